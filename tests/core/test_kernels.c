/* Each kernel beside a naive twin in float64, and the promise that a row's bits do not
 * depend on the rows around it. ctest runs this once for each instruction set. */
#include "kernels.h"
#include "linear.h"
#include "random_floats.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static double gelu(double x) {
    return x * 0.5 * erfc(-x / sqrt(2));
}

static double quick_gelu(double x) {
    return x / (1 + exp(-1.702 * x));
}

static double gelu_tanh(double x) {
    return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

static void activations_are_as_exact_as_the_header_says(void **state) {
    (void)state;
    const ce_kernels *k = ce_kernels_get();
    for (double x = -20; x < 20; x += 1.0 / 1024) {
        float a = (float)x, b = (float)x, c = (float)x, d = (float)x;
        k->activate(&a, 1, 1, 1, CE_GELU);
        k->activate(&b, 1, 1, 1, CE_QUICK_GELU);
        k->activate(&c, 1, 1, 1, CE_RELU);
        k->activate(&d, 1, 1, 1, CE_GELU_TANH);
        double bound = 2e-7 * fmax(1, fabs(x));
        assert_true(fabs(a - gelu(x)) <= bound);
        assert_true(fabs(b - quick_gelu(x)) <= bound);
        assert_true(fabs(d - gelu_tanh(x)) <= bound);
        assert_true(c == fmax(x, 0));
    }
    static const ce_activation gelus[] = {CE_QUICK_GELU, CE_GELU_TANH};
    for (size_t i = 0; i < 2; i++) {
        float far[] = {-1e30f, 1e30f, -200, 200};
        k->activate(far, 4, 1, 4, gelus[i]);
        assert_true(fabsf(far[0]) < 1e-6f && far[1] == 1e30f && fabsf(far[2]) < 1e-6f &&
                    far[3] == 200);
    }
}

static void softmax_is_the_textbook_s(void **state) {
    (void)state;
    for (size_t n = 1; n <= 80; n++) {
        float x[80], y[80];
        size_t padded = ce_round_up(n, CE_MAX_LANES);
        double top = -INFINITY, sum = 0;
        for (size_t i = 0; i < padded; i++) {
            x[i] = i < n ? 30 * uniform() : -INFINITY;
            y[i] = i < n ? x[i] : NAN; /* what is behind them does not matter */
            top = fmax(top, x[i]);
        }
        for (size_t i = 0; i < n; i++)
            sum += exp(0.5 * (x[i] - top));
        ce_kernels_get()->softmax(y, n, 0.5f);
        for (size_t i = 0; i < padded; i++)
            assert_true(fabs(y[i] - exp(0.5 * (x[i] - top)) / sum) < 1e-6);
    }
}

/* One query over rows `path` of keys and values that lie side by side. */
static void attend_naively(double *out, const float *q, const float *rows, size_t ld,
                           const uint32_t *path, size_t n, size_t heads, size_t size) {
    for (size_t h = 0; h < heads; h++, q += size, rows += size, out += size) {
        double total = 0;
        memset(out, 0, size * sizeof *out);
        for (size_t j = 0; j < n; j++) {
            const float *key = rows + path[j] * ld, *value = key + heads * size * 8;
            double score = 0;
            for (size_t p = 0; p < size; p++)
                score += (double)q[p] * (double)key[p] / sqrt((double)size);
            total += exp(score);
            for (size_t p = 0; p < size; p++)
                out[p] += exp(score) * (double)value[p];
        }
        for (size_t p = 0; p < size; p++)
            out[p] /= total;
    }
}

static void attention_over_scattered_rows_is_the_textbook_s(void **state) {
    (void)state;
    const ce_kernels *k = ce_kernels_get();
    static const size_t sizes[] = {1, 7, 16, 21, 64, 80};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t n = 1; n < 80; n += 1 + n / 3) {
            size_t heads = 3, width = heads * sizes[s], ld = 9 * width + 5;
            float *q = random_floats(width), *rows = random_floats(90 * ld),
                  *out = random_floats(width), *scores = random_floats(96);
            double *truth = malloc(width * sizeof *truth);
            uint32_t path[80];
            for (size_t j = 0; j < n; j++)
                path[j] = (uint32_t)ce_random_below(&random_state, 90);
            k->attend(out, q, rows, rows + heads * sizes[s] * 8, ld, path, n, heads,
                      sizes[s], scores);
            attend_naively(truth, q, rows, ld, path, n, heads, sizes[s]);
            for (size_t i = 0; i < width; i++)
                assert_true(fabs((double)out[i] - truth[i]) < 2e-6);
            free(q);
            free(rows);
            free(out);
            free(scores);
            free(truth);
        }
}

static void layer_norm_is_the_textbook_s(void **state) {
    (void)state;
    for (size_t n = 1; n < 200; n += 7) {
        float *x = random_floats(n), *gain = random_floats(n), *bias = random_floats(n);
        float *y = malloc(n * sizeof *y);
        double mean = 0, variance = 0;
        for (size_t i = 0; i < n; i++) {
            x[i] += 3;
            mean += x[i] / (double)n;
        }
        for (size_t i = 0; i < n; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)n;
        ce_kernels_get()->layer_norm(y, x, gain, bias, n, 1e-5f);
        for (size_t i = 0; i < n; i++)
            assert_true(fabs(y[i] - ((x[i] - mean) / sqrt(variance + 1e-5) * gain[i] +
                                     bias[i])) < 2e-5);
        free(x);
        free(y);
        free(gain);
        free(bias);
    }
}

/* Whatever stays unwritten is NaN. */
static float *unwritten(size_t n) {
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = NAN;
    return x;
}

static void packing_puts_each_number_in_its_place(void **state) {
    (void)state;
    const ce_kernels *kernels = ce_kernels_get();
    enum { ROWS = 70, COLUMNS = 83, LD = 91 };
    float *src = random_floats(ROWS * LD);
    size_t groups[] = {kernels->mr, kernels->nr}, nr = kernels->nr;
    for (size_t rows = 1; rows <= ROWS; rows += 1 + rows / 9)
        for (size_t columns = 1; columns <= COLUMNS; columns += 1 + columns / 9) {
            for (size_t g = 0; g < 2; g++) {
                size_t group = groups[g], n = ce_round_up(rows, group) * columns;
                float *packed = unwritten(n);
                kernels->pack(packed, src, LD, rows, columns, group);
                for (size_t i = 0; i < n; i++) {
                    size_t row = i / (group * columns) * group + i % group;
                    size_t column = i % (group * columns) / group;
                    assert_true(packed[i] == (row < rows ? src[row * LD + column] : 0));
                }
                free(packed);
            }
            size_t n = ce_round_up(columns, nr) * rows;
            float *packed = unwritten(n);
            kernels->pack_columns(packed, src, LD, rows, columns);
            for (size_t i = 0; i < n; i++) {
                size_t row = i % (nr * rows) / nr, column = i / (nr * rows) * nr + i % nr;
                assert_true(packed[i] == (column < columns ? src[row * LD + column] : 0));
            }
            free(packed);
        }
    free(src);
}

/* Rows of a matrix with more columns are activated as those of their own. */
static void an_activation_leaves_what_is_beside_it(void **state) {
    (void)state;
    for (size_t n = 1; n < 40; n++) {
        enum { ROWS = 3, LD = 50 };
        float *x = random_floats(ROWS * LD), alone[40], before[ROWS * LD];
        memcpy(before, x, sizeof before);
        ce_kernels_get()->activate(x, LD, ROWS, n, CE_QUICK_GELU);
        for (size_t row = 0; row < ROWS; row++) {
            memcpy(alone, before + row * LD, n * sizeof *alone);
            ce_kernels_get()->activate(alone, n, 1, n, CE_QUICK_GELU);
            assert_memory_equal(x + row * LD, alone, n * sizeof *x);
            assert_memory_equal(x + row * LD + n, before + row * LD + n,
                                (LD - n) * sizeof *x);
        }
        free(x);
    }
}

static ce_linear linear_of(size_t out, size_t in, const float *rows, const float *bias) {
    ce_linear l;
    ce_linear_init(&l, out, in);
    assert_int_equal(ce_linear_set_rows(&l, 0, rows, out, "rows", NULL), 0);
    if (bias)
        assert_int_equal(ce_linear_set_bias_values(&l, 0, bias, out, NULL), 0);
    return l;
}

static float *workspace_new(void) {
    return aligned_alloc(64, ce_linear_workspace() * sizeof(float));
}

/* Shapes below, at and above the edges of tiles and blocks. */
static void linear_is_the_naive_sum(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1},      {5, 7, 3},     {12, 32, 64},
                                       {13, 33, 65},   {50, 40, 72},  {241, 17, 513},
                                       {3, 100, 1100}, {240, 64, 512}};
    float *workspace = workspace_new();
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int variant = 0; variant < 3; variant++) {
            size_t rows = shapes[s][0], out = shapes[s][1], in = shapes[s][2];
            float *x = random_floats(rows * in), *w = random_floats(out * in);
            float *bias = random_floats(out), *y = random_floats(rows * out);
            float *before = malloc(rows * out * sizeof *before);
            memcpy(before, y, rows * out * sizeof *before);
            ce_linear l = linear_of(out, in, w, variant == 1 ? NULL : bias);
            ce_linear_forward(&l, y, x, rows, variant == 0 ? CE_GELU : CE_NO_ACTIVATION,
                              variant == 2, workspace);
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < out; j++) {
                    double sum = variant == 1 ? 0 : bias[j];
                    for (size_t p = 0; p < in; p++)
                        sum += (double)x[i * in + p] * w[j * in + p];
                    sum = variant == 0 ? gelu(sum) : sum;
                    sum += variant == 2 ? before[i * out + j] : 0;
                    assert_true(fabs(sum - y[i * out + j]) <
                                2e-6 * sqrt((double)in) + 1e-6);
                }
            ce_linear_free(&l);
            free(x);
            free(w);
            free(y);
            free(bias);
            free(before);
        }
    free(workspace);
}

static void a_row_s_bits_do_not_depend_on_the_rows_around_it(void **state) {
    (void)state;
    if (strncmp(ce_engine_description(), "OpenBLAS", 8) == 0) {
        print_message("OpenBLAS does not promise this: skipped\n");
        skip();
    }
    size_t rows = 97, out = 45, in = 601;
    float *x = random_floats(rows * in), *w = random_floats(out * in),
          *workspace = workspace_new();
    float *all = malloc(rows * out * sizeof *all),
          *some = malloc(rows * out * sizeof *some);
    ce_linear l = linear_of(out, in, w, NULL);
    ce_linear_forward(&l, all, x, rows, CE_QUICK_GELU, false, workspace);
    for (size_t first = 0; first < rows; first += 5)
        for (size_t n = 1; first + n <= rows; n += 11) {
            ce_linear_forward(&l, some, x + first * in, n, CE_QUICK_GELU, false, workspace);
            assert_memory_equal(some, all + first * out, n * out * sizeof *some);
        }
    ce_linear_free(&l);
    free(x);
    free(w);
    free(all);
    free(some);
    free(workspace);
}

static void a_team_computes_the_same_bits(void **state) {
    (void)state;
    static const size_t shapes[][3] = {
        {1, 1, 1}, {50, 33, 700}, {7, 640, 64}, {241, 97, 13}};
    float *workspace = workspace_new();
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t members = 2; members < 6; members++) {
            size_t rows = shapes[s][0], out = shapes[s][1], in = shapes[s][2];
            float *x = random_floats(rows * in), *w = random_floats(out * in);
            float *bias = random_floats(out);
            float *alone = malloc(rows * out * sizeof *alone);
            float *together = malloc(rows * out * sizeof *together);
            ce_linear l = linear_of(out, in, w, bias);
            ce_linear_forward(&l, alone, x, rows, CE_GELU, false, workspace);
            ce_team *team = NULL;
            assert_int_equal(ce_team_new(&team, members, NULL), 0);
            ce_linear_use_team(team);
            ce_linear_forward(&l, together, x, rows, CE_GELU, false, workspace);
            ce_linear_use_team(NULL);
            ce_team_free(team);
            assert_memory_equal(alone, together, rows * out * sizeof *alone);
            ce_linear_free(&l);
            free(x);
            free(w);
            free(bias);
            free(alone);
            free(together);
        }
    free(workspace);
}

/* Matrices of every stored type and both orientations give the same layer. */
static void stored_matrices_are_packed_alike(void **state) {
    (void)state;
    enum { OUT = 71, IN = 150 };
    static float rows[OUT][IN];
    static char bytes[OUT * IN * 4 + 512];
    for (size_t i = 0; i < OUT * IN; i++)
        rows[i / IN][i % IN] =
            (float)((int)(ce_random_next(&random_state) % 255) - 127) / 64;
    float *x = random_floats(IN), *workspace = workspace_new(), truth[OUT], y[OUT];
    ce_linear l = linear_of(OUT, IN, rows[0], NULL);
    ce_linear_forward(&l, truth, x, 1, CE_NO_ACTIVATION, false, workspace);
    ce_linear_free(&l);
    for (int orientation = 0; orientation < 2; orientation++) {
        size_t shape[2] = {orientation == CE_ROWS_OUT ? OUT : IN,
                           orientation == CE_ROWS_OUT ? IN : OUT};
        size_t length = (size_t)snprintf(
            bytes + 8, 400,
            "{\"w\":{\"dtype\":\"BF16\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%d]}}",
            shape[0], shape[1], OUT * IN * 2);
        bytes[0] = (char)length;
        for (size_t i = 0; i < OUT * IN; i++) { /* 8 significant bits: exact in bfloat16 */
            size_t o = orientation == CE_ROWS_OUT ? i / IN : i % OUT;
            size_t p = orientation == CE_ROWS_OUT ? i % IN : i / OUT;
            memcpy(bytes + 8 + length + 2 * i, (char *)&rows[o][p] + 2, 2);
        }
        ce_weights *w;
        ce_error err;
        assert_int_equal(
            ce_weights_open(&w, scratch_write("w", bytes, 8 + length + OUT * IN * 2), &err),
            0);
        ce_linear_init(&l, OUT, IN);
        assert_int_equal(
            ce_linear_set(&l, 0, w, "w", OUT, (ce_orientation)orientation, &err), 0);
        ce_linear_forward(&l, y, x, 1, CE_NO_ACTIVATION, false, workspace);
        assert_memory_equal(y, truth, sizeof y);
        ce_linear_free(&l);
        ce_weights_free(w);
    }
    free(x);
    free(workspace);
}

int main(void) {
    print_message("engine: %s\n", ce_engine_description());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_are_as_exact_as_the_header_says),
        cmocka_unit_test(softmax_is_the_textbook_s),
        cmocka_unit_test(attention_over_scattered_rows_is_the_textbook_s),
        cmocka_unit_test(layer_norm_is_the_textbook_s),
        cmocka_unit_test(packing_puts_each_number_in_its_place),
        cmocka_unit_test(an_activation_leaves_what_is_beside_it),
        cmocka_unit_test(linear_is_the_naive_sum),
        cmocka_unit_test(a_row_s_bits_do_not_depend_on_the_rows_around_it),
        cmocka_unit_test(a_team_computes_the_same_bits),
        cmocka_unit_test(stored_matrices_are_packed_alike),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

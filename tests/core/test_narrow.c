/* Layers of int8 and bfloat16 beside naive twins: the integer sums exactly, what is around
 * them to float's rounding. ctest runs this once for each instruction set. */
#include "narrow.h"

#include "cpu.h"
#include "onednn.h"
#include "random_floats.h"
#include "scratch.h"
#include "simd_narrow.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int64_t between(int64_t low, int64_t high) {
    return low + (int64_t)(ce_random_next(&random_state) >> 8) % (high - low + 1);
}

static float *workspace_new(void) {
    return aligned_alloc(64, ce_linear_workspace() * sizeof(float));
}

static ce_linear layer_of(ce_precision precision, size_t out, size_t in, const float *rows,
                          const float *bias) {
    ce_linear l;
    ce_linear_init(&l, out, in);
    assert_int_equal(ce_linear_set_rows(&l, 0, rows, out, "rows", NULL), 0);
    if (bias)
        assert_int_equal(ce_linear_set_bias_values(&l, 0, bias, out, NULL), 0);
    assert_int_equal(ce_linear_set_precision(&l, precision, NULL), 0);
    return l;
}

static void a_rounded_row_is_within_half_a_step(void **state) {
    (void)state;
    const ce_narrow_kernels *k = ce_narrow_kernels_get();
    for (size_t n = 1; n < 200; n += 13)
        for (int variant = 0; variant < 4; variant++) {
            float *x = random_floats(n), scale;
            float size = variant == 1 ? 1e-20f : variant == 2 ? 1e30f : 1;
            for (size_t i = 0; i < n; i++)
                x[i] = variant == 3 ? fabsf(x[i]) - 0.17f : x[i] * size;
            x[n / 2] = 0;
            uint8_t *q = malloc(n);
            int32_t zero;
            k->quantise(q, x, n, &scale, &zero);
            assert_in_range(zero, 0, 255);
            assert_int_equal(q[n / 2], zero);
            for (size_t i = 0; i < n; i++) {
                double error = fabs((double)x[i] - (double)scale * (q[i] - zero));
                assert_true(error <= (double)scale * 0.5001 + 1e-300 ||
                            /* the ends, where the zero point itself was rounded */
                            ((q[i] == 0 || q[i] == 255) && error <= (double)scale));
            }
            free(x);
            free(q);
        }
}

static void a_row_of_zeros_has_no_scale_and_one_of_nan_no_number(void **state) {
    (void)state;
    const ce_narrow_kernels *k = ce_narrow_kernels_get();
    for (size_t n = 1; n < 70; n += 17)
        for (size_t at = 0; at < n; at += 3) {
            float x[70] = {0}, scale;
            uint8_t q[70];
            int32_t zero;
            k->quantise(q, x, n, &scale, &zero);
            assert_true(scale == 0 && zero == 0 && q[at] == 0);
            const float bad[] = {NAN, INFINITY, -INFINITY};
            for (size_t b = 0; b < 3; b++) {
                x[at] = bad[b];
                k->quantise(q, x, n, &scale, &zero);
                assert_true(isnan(scale));
            }
        }
}

static float widened(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void bfloat16_rounds_to_the_nearest_and_then_to_even(void **state) {
    (void)state;
    const ce_narrow_kernels *k = ce_narrow_kernels_get();
    const float ties[] = {0x1.01p0f, 0x1.03p0f, -0x1.01p0f, 0x1.fffp127f, 0, NAN, INFINITY};
    const float truth[] = {0x1p0f, 0x1.04p0f, -0x1p0f, INFINITY, 0, NAN, INFINITY};
    for (size_t copies = 1; copies <= 33; copies += 16)
        for (size_t t = 0; t < 7; t++) {
            float x[33];
            uint16_t out[33];
            for (size_t i = 0; i < copies; i++)
                x[i] = ties[t];
            k->round_bf16(out, x, copies);
            for (size_t i = 0; i < copies; i++)
                assert_true(isnan(truth[t]) ? isnan(widened(out[i]))
                                            : widened(out[i]) == truth[t]);
        }
    for (size_t i = 0; i < 1000; i++) {
        float x = uniform();
        uint16_t half;
        k->round_bf16(&half, &x, 1);
        assert_true(fabsf(x - widened(half)) <= fabsf(x) * 0x1p-8f);
    }
}

/* A broken checkpoint's: what it spoils must show. */
static void a_weight_that_is_no_number_leaves_no_number(void **state) {
    (void)state;
    enum { OUT = 40, IN = 70 };
    const float bad[] = {NAN, INFINITY, -INFINITY};
    float *workspace = workspace_new(), y[OUT];
    for (int p = 0; p < CE_PRECISIONS; p++)
        for (size_t b = 0; b < 3; b++) {
            float *w = random_floats(OUT * IN), *x = random_floats(IN);
            w[7 * IN + 3] = bad[b];
            ce_linear l = layer_of((ce_precision)p, OUT, IN, w, NULL);
            ce_linear_forward(&l, y, x, 1, CE_NO_ACTIVATION, false, workspace);
            for (size_t i = 0; i < OUT; i++)
                assert_true(isfinite(y[i]) == (i != 7));
            ce_linear_free(&l);
            free(w);
            free(x);
        }
    free(workspace);
}

/* Integers that the rounding leaves alone: weights with a 127 in each output, rows with a 0
 * and a 255 (scales of 1). What comes out is then the integer sum itself, below 2^24. */
static void integer_sums_are_exact(void **state) {
    (void)state;
    static const size_t shapes[][3] = {
        {1, 5, 3}, {17, 64, 64}, {33, 300, 770}, {16, 257, 100}, {50, 70, 3000}};
    float *workspace = workspace_new();
    for (size_t s = 0; s < 5; s++) {
        size_t rows = shapes[s][0], out = shapes[s][1], in = shapes[s][2];
        float *w = malloc(out * in * sizeof *w), *x = malloc(rows * in * sizeof *x);
        float *y = malloc(rows * out * sizeof *y);
        for (size_t i = 0; i < out * in; i++)
            w[i] = i % in == 0 ? 127 : (float)between(-127, 127);
        for (size_t i = 0; i < rows * in; i++)
            x[i] = i % in == 0 ? 255 : i % in == 1 ? 0 : (float)between(0, 255);
        ce_linear l = layer_of(CE_INT8, out, in, w, NULL);
        ce_linear_forward(&l, y, x, rows, CE_NO_ACTIVATION, false, workspace);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < out; j++) {
                int64_t sum = 0;
                for (size_t p = 0; p < in; p++)
                    sum += (int64_t)x[i * in + p] * (int64_t)w[j * in + p];
                assert_true(y[i * out + j] == (float)sum);
            }
        ce_linear_free(&l);
        free(w);
        free(x);
        free(y);
    }
    free(workspace);
}

/* 512 * 255 * 127 fits 24 bits; pairs of such products do not fit 16. */
static void the_largest_products_do_not_saturate(void **state) {
    (void)state;
    enum { OUT = 80, IN = 512 };
    float *workspace = workspace_new(), *w = malloc(OUT * IN * sizeof *w);
    float x[IN], y[OUT];
    for (size_t i = 0; i < OUT * IN; i++)
        w[i] = i / IN % 2 ? -127 : 127;
    for (size_t i = 0; i < IN; i++)
        x[i] = 255;
    ce_linear l = layer_of(CE_INT8, OUT, IN, w, NULL);
    ce_linear_forward(&l, y, x, 1, CE_NO_ACTIVATION, false, workspace);
    for (size_t j = 0; j < OUT; j++)
        assert_true(y[j] == (j % 2 ? -1.0f : 1.0f) * 255 * 127 * IN);
    ce_linear_free(&l);
    free(w);
    free(workspace);
}

enum { MOST_ROWS = 12, MOST_COLUMNS = 32 };

/* What a tile adds to row i, column j. */
typedef float product(const ce_narrow_tile *t, size_t i, size_t j);

/* Every tile, whole and cut off at every row and column, beside its product; what is not of
 * the tile stays as it was. bias [nr]; the sums are exact in float32. */
static void check_tiles(void (*tile)(const ce_narrow_tile *t), ce_narrow_tile t,
                        const float *bias, product *of) {
    enum { STRIDE = MOST_COLUMNS + 5 };
    const ce_narrow_kernels *k = ce_narrow_kernels_get();
    t.y_stride = STRIDE;
    for (t.rows = 1; t.rows <= k->mr; t.rows++)
        for (t.columns = 1; t.columns <= k->nr; t.columns++) {
            float y[MOST_ROWS * STRIDE];
            for (size_t i = 0; i < MOST_ROWS * STRIDE; i++)
                y[i] = 3;
            t.y = y;
            t.accumulate = t.columns % 2;
            t.bias = t.columns % 3 ? bias : NULL;
            tile(&t);
            for (size_t i = 0; i < MOST_ROWS; i++)
                for (size_t j = 0; j < STRIDE; j++) {
                    float truth = 3;
                    if (i < t.rows && j < t.columns)
                        truth =
                            of(&t, i, j) + (t.bias ? bias[j] : 0) + (t.accumulate ? 3 : 0);
                    assert_true(y[i * STRIDE + j] == truth);
                }
        }
}

static float product_of_bytes(const ce_narrow_tile *t, size_t i, size_t j) {
    const uint8_t *x = t->x;
    const int8_t *w = t->w;
    size_t nr = ce_narrow_kernels_get()->nr;
    int64_t sum = 0;
    for (size_t p = 0; p < t->k; p++)
        sum += (x[i * t->x_stride + p] - t->zeros[i]) * w[(p / 4 * nr + j) * 4 + p % 4];
    return (float)sum * t->row_scales[i] * t->column_scales[j];
}

static void a_tile_is_its_naive_twin(void **state) {
    (void)state;
    enum { K = 24 };
    const ce_narrow_kernels *k = ce_narrow_kernels_get();
    assert_true(k->mr <= MOST_ROWS && k->nr <= MOST_COLUMNS);
    uint8_t x[MOST_ROWS * K];
    _Alignas(64) int8_t w[MOST_COLUMNS * K];
    int32_t zeros[MOST_ROWS], totals[MOST_COLUMNS] = {0};
    float row_scales[MOST_ROWS], column_scales[MOST_COLUMNS], bias[MOST_COLUMNS];
    for (size_t i = 0; i < k->mr * K; i++)
        x[i] = i % 7 ? (uint8_t)between(0, 255) : 255;
    for (size_t i = 0; i < k->nr * K; i++) {
        w[i] = i % 5 ? (int8_t)between(-127, 127) : i % 2 ? -127 : 127;
        totals[i / 4 % k->nr] += w[i];
    }
    for (size_t i = 0; i < k->mr; i++) {
        zeros[i] = (int32_t)between(0, 255);
        row_scales[i] = ldexpf(1, (int)i - 4); /* exact, so that the sums can be told */
    }
    for (size_t j = 0; j < k->nr; j++) {
        column_scales[j] = j % 2 ? 0.5f : 4;
        bias[j] = (float)between(-9, 9);
    }
    ce_narrow_tile t = {.x = x,
                        .w = w,
                        .x_stride = K,
                        .k = K,
                        .row_scales = row_scales,
                        .zeros = zeros,
                        .column_scales = column_scales,
                        .totals = totals};
    check_tiles(k->tile, t, bias, product_of_bytes);
}

static float product_of_halves(const ce_narrow_tile *t, size_t i, size_t j) {
    const uint16_t *x = t->x, *w = t->w;
    size_t nr = ce_narrow_kernels_get()->nr;
    float sum = 0;
    for (size_t p = 0; p < t->k / 2; p++)
        sum +=
            widened(x[i * t->x_stride / 2 + p]) * widened(w[(p / 2 * nr + j) * 2 + p % 2]);
    return sum;
}

/* Of small integers. */
static void a_tile_of_halves_is_its_naive_twin(void **state) {
    (void)state;
    enum { WORDS = 7, K = WORDS * CE_NARROW_STEP };
    const ce_narrow_kernels *k = ce_narrow_kernels_get();
    if (!k->tile_bf16) {
        print_message("no AVX-512 BF16: skipped\n");
        skip();
    }
    float x[MOST_ROWS * 2 * WORDS], w[2 * WORDS * MOST_COLUMNS], bias[MOST_COLUMNS];
    uint16_t halves[MOST_ROWS * 2 * WORDS], panel[2 * WORDS * MOST_COLUMNS];
    for (size_t i = 0; i < k->mr * 2 * WORDS; i++)
        x[i] = (float)between(-20, 20);
    for (size_t i = 0; i < 2 * WORDS * k->nr; i++)
        w[i] = (float)between(-20, 20);
    for (size_t j = 0; j < k->nr; j++)
        bias[j] = (float)between(-9, 9);
    k->round_bf16(halves, x, k->mr * 2 * WORDS);
    for (size_t p = 0; p < WORDS; p++) {
        uint16_t *to = panel + p * 2 * k->nr;
        const float *even = w + 2 * p * k->nr, *odd = even + k->nr;
        k->pair_bf16(to, even, odd, k->nr);
        for (size_t j = 0; j < k->nr; j++) /* where the two rows come to lie */
            assert_true(widened(to[2 * j]) == even[j] && widened(to[2 * j + 1]) == odd[j]);
    }
    ce_narrow_tile t = {.x = halves, .w = panel, .x_stride = K, .k = K};
    check_tiles(k->tile_bf16, t, bias, product_of_halves);
}

static double activated(double v, ce_activation a) {
    return a == CE_GELU ? v * 0.5 * erfc(-v / sqrt(2)) : v;
}

/* y of one row in doubles, from numbers rounded as the precision says. */
static void naive_row(double *y, const float *x, const float *w, size_t out, size_t in,
                      ce_precision precision) {
    const ce_narrow_kernels *k = ce_narrow_kernels_get();
    uint8_t *q = malloc(in);
    uint16_t *half = malloc(2 * in * sizeof *half);
    float scale;
    int32_t zero;
    k->quantise(q, x, in, &scale, &zero);
    k->round_bf16(half, x, in);
    for (size_t j = 0; j < out; j++, w += in) {
        double sum = 0, most = 0;
        k->round_bf16(half + in, w, in);
        for (size_t p = 0; p < in; p++)
            most = fmax(most, fabs((double)w[p]));
        float inverse = 127 / (float)most;
        for (size_t p = 0; p < in; p++)
            sum += precision == CE_INT8
                       ? (q[p] - zero) * (double)rintf(w[p] * inverse)
                       : (double)widened(half[p]) * (double)widened(half[in + p]);
        y[j] = precision == CE_INT8 ? sum * (double)scale * most / 127 : sum;
    }
    free(q);
    free(half);
}

static void a_layer_is_its_naive_twin(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1},     {2, 63, 17},   {19, 65, 129},
                                       {40, 257, 96}, {9, 768, 768}, {5, 100, 3072}};
    float *workspace = workspace_new();
    for (size_t s = 0; s < 6; s++)
        for (int variant = 0; variant < 4; variant++) {
            size_t rows = shapes[s][0], out = shapes[s][1], in = shapes[s][2];
            ce_precision precision = variant % 2 ? CE_BFLOAT16 : CE_INT8;
            ce_activation activation = variant < 2 ? CE_GELU : CE_NO_ACTIVATION;
            bool accumulate = variant >= 2;
            float *w = random_floats(out * in), *x = random_floats(rows * in);
            float *bias = random_floats(out), *y = random_floats(rows * out);
            float *before = malloc(rows * out * sizeof *before);
            double *truth = malloc(out * sizeof *truth);
            memcpy(before, y, rows * out * sizeof *y);
            ce_linear l = layer_of(precision, out, in, w, variant ? bias : NULL);
            ce_linear_forward(&l, y, x, rows, activation, accumulate, workspace);
            for (size_t i = 0; i < rows; i++) {
                naive_row(truth, x + i * in, w, out, in, precision);
                for (size_t j = 0; j < out; j++) {
                    double v = truth[j] + (variant ? (double)bias[j] : 0);
                    v += accumulate ? (double)before[i * out + j] : 0;
                    assert_true(fabs(activated(v, activation) - (double)y[i * out + j]) <=
                                1e-6 * sqrt((double)in) + 4e-6 * fabs(v));
                }
            }
            ce_linear_free(&l);
            free(w);
            free(x);
            free(bias);
            free(y);
            free(before);
            free(truth);
        }
    free(workspace);
}

static void a_row_does_not_depend_on_the_others(void **state) {
    (void)state;
    enum { ROWS = 75, OUT = 330, IN = 200 };
    float *workspace = workspace_new(), *w = random_floats(OUT * IN);
    float *x = random_floats(ROWS * IN), *bias = random_floats(OUT);
    float *all = malloc(ROWS * OUT * sizeof *all),
          *some = malloc(ROWS * OUT * sizeof *some);
    ce_team *team;
    assert_int_equal(ce_team_new(&team, 3, NULL), 0);
    for (ce_precision p = CE_INT8; p <= CE_BFLOAT16; p++) {
        ce_linear l = layer_of(p, OUT, IN, w, bias);
        ce_linear_forward(&l, all, x, ROWS, CE_QUICK_GELU, false, workspace);
        for (size_t n = 1; n <= ROWS; n += n < 18 ? 1 : 19)
            for (size_t first = 0; first + n <= ROWS; first += 11) {
                ce_linear_forward(&l, some, x + first * IN, n, CE_QUICK_GELU, false,
                                  workspace);
                assert_memory_equal(some, all + first * OUT, n * OUT * sizeof *some);
            }
        ce_linear_use_team(team);
        ce_linear_forward(&l, some, x, ROWS, CE_QUICK_GELU, false, workspace);
        ce_linear_use_team(NULL);
        assert_memory_equal(some, all, ROWS * OUT * sizeof *some);
        ce_linear_free(&l);
    }
    ce_team_free(team);
    free(w);
    free(x);
    free(bias);
    free(all);
    free(some);
    free(workspace);
}

typedef struct pieces {
    const float *x;
    size_t width, piece;
} pieces;

static size_t find_piece(const void *context, const float **rows, size_t first,
                         size_t count, size_t column) {
    const pieces *p = context;
    for (size_t i = 0; i < count; i++)
        rows[i] = p->x + (first + i) * p->width + column;
    return p->piece - column % p->piece;
}

static void scattered_rows_are_put_together(void **state) {
    (void)state;
    enum { ROWS = 37, OUT = 40, IN = 90 };
    float *workspace = workspace_new(), *w = random_floats(OUT * IN);
    float *x = random_floats(ROWS * IN), whole[ROWS * OUT], scattered[ROWS * OUT];
    for (ce_precision p = CE_INT8; p <= CE_BFLOAT16; p++) {
        ce_linear l = layer_of(p, OUT, IN, w, NULL);
        ce_linear_forward(&l, whole, x, ROWS, CE_RELU, false, workspace);
        for (size_t piece = 1; piece <= IN; piece += 29) {
            pieces context = {x, IN, piece};
            ce_rows rows = {find_piece, &context};
            ce_linear_forward_rows(&l, scattered, &rows, ROWS, CE_RELU, false, workspace);
            assert_memory_equal(scattered, whole, sizeof whole);
        }
        ce_linear_free(&l);
    }
    free(w);
    free(x);
    free(workspace);
}

static void what_is_no_number_stays_none_and_zeros_give_the_bias(void **state) {
    (void)state;
    enum { OUT = 70, IN = 33 };
    float *workspace = workspace_new(), *w = random_floats(OUT * IN);
    float x[3 * IN] = {0}, bias[OUT], y[3 * OUT];
    memset(w + 5 * IN, 0, IN * sizeof *w); /* an output without weights */
    for (size_t j = 0; j < OUT; j++)
        bias[j] = uniform();
    x[IN + 7] = NAN;
    x[2 * IN + 1] = 1;
    for (ce_precision p = CE_INT8; p <= CE_BFLOAT16; p++) {
        ce_linear l = layer_of(p, OUT, IN, w, bias);
        ce_linear_forward(&l, y, x, 3, CE_NO_ACTIVATION, false, workspace);
        assert_memory_equal(y, bias, sizeof bias);
        for (size_t j = 0; j < OUT; j++)
            assert_true(isnan(y[OUT + j]));
        assert_true(y[2 * OUT + 5] == bias[5]);
        ce_linear_free(&l);
    }
    free(w);
    free(workspace);
}

static void vnni_and_bf16_are_used_where_there_are_any(void **state) {
    (void)state;
    assert_int_equal(ce_engine_is_fast(CE_INT8),
                     ce_cpu_has_vnni() || ce_cpu_has_avx_vnni());
    assert_int_equal(ce_engine_is_fast(CE_BFLOAT16), ce_cpu_has_bf16());
    assert_true(ce_engine_is_fast(CE_FP32));
    assert_null(ce_product_get(CE_INT8, CE_PRODUCT_COLUMNS + 1, 64));
}

static void precisions_have_names(void **state) {
    (void)state;
    ce_precision p = CE_FP32;
    for (int i = 0; i < CE_PRECISIONS; i++) {
        assert_true(ce_precision_parse(&p, ce_precision_name((ce_precision)i)));
        assert_int_equal(p, i);
    }
    assert_false(ce_precision_parse(&p, "int4") || ce_precision_parse(&p, "") ||
                 ce_precision_parse(&p, "INT8"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rounded_row_is_within_half_a_step),
        cmocka_unit_test(a_row_of_zeros_has_no_scale_and_one_of_nan_no_number),
        cmocka_unit_test(bfloat16_rounds_to_the_nearest_and_then_to_even),
        cmocka_unit_test(a_weight_that_is_no_number_leaves_no_number),
        cmocka_unit_test(integer_sums_are_exact),
        cmocka_unit_test(the_largest_products_do_not_saturate),
        cmocka_unit_test(a_tile_is_its_naive_twin),
        cmocka_unit_test(a_tile_of_halves_is_its_naive_twin),
        cmocka_unit_test(a_layer_is_its_naive_twin),
        cmocka_unit_test(a_row_does_not_depend_on_the_others),
        cmocka_unit_test(scattered_rows_are_put_together),
        cmocka_unit_test(what_is_no_number_stays_none_and_zeros_give_the_bias),
        cmocka_unit_test(vnni_and_bf16_are_used_where_there_are_any),
        cmocka_unit_test(precisions_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

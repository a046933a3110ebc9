#include "matrix.h"
#include "golden.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static float noise(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / 8388608.0f - 1.0f;
}

static ce_matrix make(size_t rows, size_t cols) {
    ce_matrix m;
    assert_int_equal(ce_matrix_init(&m, rows, cols, NULL), 0);
    return m;
}

static ce_matrix random_matrix(size_t rows, size_t cols, unsigned seed) {
    ce_matrix m = make(rows, cols);
    for (size_t i = 0; i < rows * cols; i++)
        m.data[i] = noise(&seed);
    return m;
}

static ce_matrix similarity(const ce_matrix *a, const ce_matrix *b) {
    ce_matrix out;
    ce_error err;
    if (ce_matrix_similarity(&out, a, b, &err) < 0)
        fail_msg("%s", err.message);
    assert_true(out.rows == a->rows && out.cols == b->rows);
    return out;
}

static bool same_bits(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static void test_a_new_matrix_is_zero_and_an_impossible_one_is_refused(void **state) {
    (void)state;
    ce_matrix m = make(3, 5);
    for (size_t i = 0; i < 15; i++)
        assert_true(same_bits(m.data[i], 0));
    assert_ptr_equal(ce_matrix_row(&m, 2), m.data + 10);
    ce_matrix_free(&m);
    assert_true(m.data == NULL && m.rows == 0 && m.cols == 0);
    ce_matrix_free(&m);
    ce_matrix_free(NULL);
    ce_error err;
    assert_int_equal(ce_matrix_init(&m, SIZE_MAX / 4, 2, &err), CE_ENOMEM);
    assert_int_equal(ce_matrix_init(&m, SIZE_MAX, SIZE_MAX, &err), CE_ENOMEM);
    assert_null(m.data);
    m = make(0, 7);
    ce_matrix_free(&m);
    m = make(7, 0);
    ce_matrix_normalize(&m);
    ce_matrix_free(&m);
}

static void test_normalised_rows_are_unit_vectors(void **state) {
    (void)state;
    static const float scales[] = {1, 1e-30f, 1e37f, FLT_MIN / 64, 1e-3f};
    ce_matrix m = random_matrix(5, 301, 7), n = random_matrix(5, 301, 7);
    for (size_t r = 0; r < 5; r++)
        for (size_t c = 0; c < 301; c++) {
            m.data[r * 301 + c] *= scales[r];
            n.data[r * 301 + c] = m.data[r * 301 + c];
        }
    ce_matrix_normalize(&m);
    for (size_t r = 0; r < 5; r++) {
        long double sum = 0, unit = 0;
        for (size_t c = 0; c < 301; c++)
            sum += (long double)n.data[r * 301 + c] * n.data[r * 301 + c];
        for (size_t c = 0; c < 301; c++) {
            long double want = n.data[r * 301 + c] / sqrtl(sum), got = m.data[r * 301 + c];
            assert_true(fabsl(got - want) <= FLT_EPSILON / 2 * fabsl(want) * 1.0001L);
            unit += got * got;
        }
        assert_true(fabsl(unit - 1) < 1e-7L);
    }
    ce_matrix_free(&m);
    ce_matrix_free(&n);
}

static void test_a_zero_row_stays_and_a_nan_spoils_only_its_row(void **state) {
    (void)state;
    ce_matrix m = make(3, 4);
    ce_matrix_row(&m, 1)[2] = NAN;
    ce_matrix_row(&m, 2)[3] = -2;
    ce_matrix_normalize(&m);
    for (size_t c = 0; c < 4; c++) {
        assert_true(same_bits(ce_matrix_row(&m, 0)[c], 0));
        assert_true(isnan(ce_matrix_row(&m, 1)[c]));
    }
    assert_true(ce_matrix_row(&m, 2)[3] == -1 && ce_matrix_row(&m, 2)[0] == 0);
    ce_matrix_free(&m);
}

static void test_the_mean_is_that_of_exact_sums(void **state) {
    (void)state;
    ce_matrix m = random_matrix(83, 150, 3);
    ce_matrix_row(&m, 5)[149] = 3e7f; /* a float32 sum would lose the rest */
    float mean[150];
    ce_matrix_mean(&m, mean);
    for (size_t c = 0; c < 150; c++) {
        double sum = 0;
        for (size_t r = 0; r < 83; r++)
            sum += (double)ce_matrix_row(&m, r)[c];
        assert_true(mean[c] == (float)(sum / 83));
    }
    ce_matrix_free(&m);
}

static void test_a_weighted_mean_divides_by_the_weights(void **state) {
    (void)state;
    ce_matrix m = random_matrix(7, 130, 5);
    double weights[7] = {1, 2, 0.5, 3, 1e-3, 7, 1};
    float mean[130], plain[130];
    ce_matrix_mean_weighted(&m, weights, mean);
    for (size_t c = 0; c < 130; c++) {
        double sum = 0, total = 0;
        for (size_t r = 0; r < 7; r++) {
            sum += weights[r] * (double)ce_matrix_row(&m, r)[c];
            total += weights[r];
        }
        assert_true(mean[c] == (float)(sum / total));
    }
    ce_matrix_mean(&m, plain);
    ce_matrix_mean_weighted(&m, NULL, mean);
    assert_memory_equal(plain, mean, sizeof mean);
    ce_matrix_free(&m);
}

static void test_zero_shot_weights_equal_the_reference(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    golden_tensor embeds, weights; /* [classes, templates, d], [d, classes] */
    golden_file *f =
        golden_open(golden_path(path, sizeof path, "metrics/inputs.safetensors"));
    assert_true(golden_find(f, "zero_shot_weights.text_embeds", &embeds));
    assert_true(golden_find(f, "zero_shot_weights.weights", &weights));
    size_t classes = embeds.shape[0], templates = embeds.shape[1], d = embeds.shape[2];
    ce_matrix w = make(classes, d);
    double worst = 0;
    for (size_t c = 0; c < classes; c++) {
        ce_matrix m = make(templates, d);
        memcpy(m.data, (const float *)embeds.data + c * templates * d,
               templates * d * sizeof(float));
        ce_matrix_normalize(&m);
        ce_matrix_mean(&m, ce_matrix_row(&w, c));
        ce_matrix_free(&m);
    }
    ce_matrix_normalize(&w);
    for (size_t c = 0; c < classes; c++)
        for (size_t i = 0; i < d; i++) {
            double want = (double)((const float *)weights.data)[i * classes + c];
            worst = fmax(worst, fabs(want - (double)ce_matrix_row(&w, c)[i]));
        }
    assert_true(worst < 1.2e-7); /* of unit vectors: one rounding to float32 */
    ce_matrix_free(&w);
    golden_close(f);
}

/* The bound of a sum of n products in blocks of 64 (Higham, Accuracy and Stability of
 * Numerical Algorithms, 4.2): (64 + n / 64 + 1) u times the sum of magnitudes. */
static void expect_close_to_exact(const ce_matrix *a, const ce_matrix *b) {
    ce_matrix s = similarity(a, b);
    double unit = (64 + (double)a->cols / 64 + 1) * (double)FLT_EPSILON / 2;
    for (size_t i = 0; i < a->rows; i++)
        for (size_t j = 0; j < b->rows; j++) {
            double sum = 0, magnitude = 0;
            for (size_t c = 0; c < a->cols; c++) {
                double p = (double)ce_matrix_row(a, i)[c] * (double)ce_matrix_row(b, j)[c];
                sum += p;
                magnitude += fabs(p);
            }
            double error = fabs(sum - (double)ce_matrix_row(&s, i)[j]);
            assert_true(error <= unit * magnitude);
        }
    ce_matrix_free(&s);
}

static void test_similarity_equals_its_float64_twin_in_every_shape(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 15, 16, 17, 33, 63, 64, 65, 130};
    const size_t count = sizeof sizes / sizeof *sizes;
    for (size_t i = 0; i < count * count; i++) {
        ce_matrix a = random_matrix(sizes[i % count], sizes[i * 5 % count], 1);
        ce_matrix b = random_matrix(sizes[i / count], a.cols, 2);
        expect_close_to_exact(&a, &b);
        ce_matrix_free(&a);
        ce_matrix_free(&b);
    }
    ce_matrix a = random_matrix(9, 1024, 3), b = random_matrix(20, 1024, 4);
    expect_close_to_exact(&a, &b);
    ce_matrix_free(&a);
    ce_matrix_free(&b);
}

static void test_a_similarity_does_not_depend_on_where_its_rows_stand(void **state) {
    (void)state;
    enum { M = 71, N = 37, D = 203 };
    ce_matrix a = random_matrix(M, D, 5), b = random_matrix(N, D, 6);
    ce_matrix pa = make(M, D), pb = make(N, D);
    for (size_t i = 0; i < M; i++)
        memcpy(ce_matrix_row(&pa, i), ce_matrix_row(&a, i * 29 % M), D * sizeof(float));
    for (size_t j = 0; j < N; j++)
        memcpy(ce_matrix_row(&pb, j), ce_matrix_row(&b, j * 11 % N), D * sizeof(float));
    ce_matrix s = similarity(&a, &b), p = similarity(&pa, &pb), t = similarity(&b, &a);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            float here = ce_matrix_row(&s, i * 29 % M)[j * 11 % N];
            assert_true(same_bits(here, ce_matrix_row(&p, i)[j]));
            assert_true(same_bits(here, ce_matrix_row(&t, j * 11 % N)[i * 29 % M]));
        }
    for (size_t i = 0; i < M; i++) { /* and alone */
        ce_matrix one = {1, D, ce_matrix_row(&a, i)};
        ce_matrix row = similarity(&one, &b), entry = similarity(&b, &one);
        assert_memory_equal(row.data, ce_matrix_row(&s, i), N * sizeof(float));
        assert_memory_equal(entry.data, row.data, N * sizeof(float));
        ce_matrix_free(&row);
        ce_matrix_free(&entry);
    }
    ce_matrix *all[] = {&a, &b, &pa, &pb, &s, &p, &t};
    for (size_t i = 0; i < 7; i++)
        ce_matrix_free(all[i]);
}

static void test_a_dot_product_is_an_entry_of_the_similarity(void **state) {
    (void)state;
    static const size_t widths[] = {1, 63, 64, 65, 300};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        ce_matrix a, b;
        assert_int_equal(ce_matrix_init(&a, 5, widths[w], NULL), CE_OK);
        assert_int_equal(ce_matrix_init(&b, 18, widths[w], NULL), CE_OK);
        for (size_t i = 0; i < 5 * widths[w]; i++)
            a.data[i] = sinf((float)i);
        for (size_t i = 0; i < 18 * widths[w]; i++)
            b.data[i] = cosf((float)i * 1.5f);
        ce_matrix s = similarity(&a, &b);
        for (size_t i = 0; i < 5; i++)
            for (size_t j = 0; j < 18; j++)
                assert_true(ce_dot(ce_matrix_row(&a, i), ce_matrix_row(&b, j), widths[w]) ==
                            ce_matrix_row(&s, i)[j]);
        ce_matrix_free(&s);
        ce_matrix_free(&a);
        ce_matrix_free(&b);
    }
}

static void test_equal_rows_tie_exactly(void **state) {
    (void)state;
    enum { N = 53, D = 512 };
    ce_matrix a = random_matrix(7, D, 8), b = random_matrix(N, D, 9);
    for (size_t j = 1; j < N; j += 3) /* duplicates in every lane of a vector */
        memcpy(ce_matrix_row(&b, j), ce_matrix_row(&b, 0), D * sizeof(float));
    ce_matrix_normalize(&a);
    ce_matrix_normalize(&b);
    ce_matrix s = similarity(&a, &b);
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 1; j < N; j += 3)
            assert_true(same_bits(ce_matrix_row(&s, i)[j], ce_matrix_row(&s, i)[0]));
    ce_matrix_free(&a);
    ce_matrix_free(&b);
    ce_matrix_free(&s);
}

static void test_nan_and_infinity_stay_in_their_row(void **state) {
    (void)state;
    ce_matrix a = random_matrix(6, 70, 10), b = random_matrix(18, 70, 11);
    ce_matrix_row(&a, 5)[69] = INFINITY;
    ce_matrix_row(&b, 17)[0] = NAN;
    ce_matrix s = similarity(&a, &b);
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < 18; j++)
            assert_int_equal(isfinite(ce_matrix_row(&s, i)[j]) != 0, i != 5 && j != 17);
    ce_matrix_free(&a);
    ce_matrix_free(&b);
    ce_matrix_free(&s);
}

static void test_vectors_of_different_spaces_are_refused(void **state) {
    (void)state;
    ce_matrix a = make(2, 3), b = make(2, 4), out;
    ce_error err;
    assert_int_equal(ce_matrix_similarity(&out, &a, &b, &err), CE_EINVAL);
    assert_string_equal(err.message, "similarity of vectors of 3 and 4 dimensions");
    assert_null(out.data);
    ce_matrix_free(&a);
    ce_matrix_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_matrix_is_zero_and_an_impossible_one_is_refused),
        cmocka_unit_test(test_normalised_rows_are_unit_vectors),
        cmocka_unit_test(test_a_zero_row_stays_and_a_nan_spoils_only_its_row),
        cmocka_unit_test(test_the_mean_is_that_of_exact_sums),
        cmocka_unit_test(test_a_weighted_mean_divides_by_the_weights),
        cmocka_unit_test(test_zero_shot_weights_equal_the_reference),
        cmocka_unit_test(test_similarity_equals_its_float64_twin_in_every_shape),
        cmocka_unit_test(test_a_similarity_does_not_depend_on_where_its_rows_stand),
        cmocka_unit_test(test_a_dot_product_is_an_entry_of_the_similarity),
        cmocka_unit_test(test_equal_rows_tie_exactly),
        cmocka_unit_test(test_nan_and_infinity_stay_in_their_row),
        cmocka_unit_test(test_vectors_of_different_spaces_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

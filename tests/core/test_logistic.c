#include "logistic.h"
#include "golden.h"
#include "score.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tasks.h"

static const ce_logistic_options EXACT = {.tolerance = 1e-9, .max_iterations = 10000};

static double at(const json_t *rows, size_t i, size_t j) {
    return json_number_value(json_array_get(json_array_get(rows, i), j));
}

/* ---- scikit-learn ---- */

/* coef [present, d]; for two classes [1, d], the difference of the two. */
static void expect_weights(const ce_logistic *l, const json_t *fit, size_t dims) {
    const json_t *present = json_object_get(fit, "present"),
                 *coef = json_object_get(fit, "coef"),
                 *intercept = json_object_get(fit, "intercept");
    size_t k = json_array_size(present);
    double bias, first_bias, shift = 0, scale = 0;
    const double *first = ce_logistic_weights(l, 0, &first_bias);
    assert_non_null(first);
    if (k > 2) /* intercepts are unique up to a shift */
        shift = first_bias - json_number_value(json_array_get(intercept, 0));
    for (size_t c = k == 2; c < k; c++) {
        size_t class = (size_t)json_integer_value(json_array_get(present, c));
        size_t row = k == 2 ? 0 : c;
        const double *w = ce_logistic_weights(l, class, &bias);
        assert_non_null(w);
        for (size_t d = 0; d < dims; d++)
            scale = fmax(scale, fabs(at(coef, row, d)));
        for (size_t d = 0; d < dims; d++)
            assert_true(fabs(w[d] - (k == 2 ? first[d] : 0) - at(coef, row, d)) <
                        1e-6 * scale);
        double want = json_number_value(json_array_get(intercept, row));
        assert_true(fabs(bias - (k == 2 ? first_bias : shift) - want) < 1e-6 * (1 + scale));
    }
}

static void expect_fit(const json_t *problem, const json_t *fit, bool plain) {
    const json_t *rows = json_object_get(problem, "x");
    size_t n = json_array_size(rows), dims = json_array_size(json_array_get(rows, 0));
    size_t classes = (size_t)tasks_number(problem, "classes");
    uint32_t *labels = calloc(n, sizeof *labels);
    ce_matrix x, scores;
    ce_logistic *l;
    ce_logistic_fit done;
    ce_logistic_options options = EXACT;
    options.plain = plain;
    assert_int_equal(ce_matrix_init(&x, n, dims, NULL), CE_OK);
    for (size_t i = 0; i < n; i++) {
        labels[i] = (uint32_t)json_integer_value(
            json_array_get(json_object_get(problem, "labels"), i));
        for (size_t d = 0; d < dims; d++)
            ce_matrix_row(&x, i)[d] = (float)at(rows, i, d);
    }
    assert_int_equal(ce_logistic_new(&l, &x, labels, classes, &options, NULL), CE_OK);
    assert_int_equal(ce_logistic_solve(l, tasks_number(fit, "strength"), &done, NULL),
                     CE_OK);
    assert_true(done.converged && done.iterations > 0);
    assert_true(fabs(done.objective / tasks_number(fit, "objective") - 1) < 1e-10);
    expect_weights(l, fit, dims);
    assert_int_equal(ce_logistic_scores(l, &scores, &x, NULL), CE_OK);
    for (size_t i = 0; i < n; i++) {
        size_t best;
        ce_top_k(ce_matrix_row(&scores, i), classes, &best, 1);
        assert_int_equal(
            best, json_integer_value(json_array_get(json_object_get(fit, "predicted"), i)));
    }
    ce_matrix_free(&scores);
    ce_logistic_free(l);
    ce_matrix_free(&x);
    free(labels);
}

static void test_solutions_equal_scikit_learns(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    json_t *answers = golden_json(golden_path(path, sizeof path, "metrics/sklearn.json"));
    json_t *problem, *fit;
    size_t p, f;
    assert_int_equal(json_array_size(json_object_get(answers, "logistic")), 2);
    json_array_foreach(json_object_get(answers, "logistic"), p, problem)
        json_array_foreach(json_object_get(problem, "fits"), f, fit) {
        expect_fit(problem, fit, false);
        expect_fit(problem, fit, true);
    }
    json_decref(answers);
}

/* ---- properties ---- */

typedef struct problem {
    ce_matrix x;
    uint32_t *labels;
} problem;

static double noise(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / (1 << 24) - 0.5;
}

/* Points around one centre a class. */
static problem make_problem(size_t n, size_t dims, size_t classes, unsigned seed) {
    problem p;
    assert_int_equal(ce_matrix_init(&p.x, n, dims, NULL), CE_OK);
    p.labels = calloc(n, sizeof *p.labels);
    assert_non_null(p.labels);
    for (size_t i = 0; i < n; i++) {
        p.labels[i] = (uint32_t)(i % classes);
        for (size_t d = 0; d < dims; d++)
            ce_matrix_row(&p.x, i)[d] =
                (float)(noise(&seed) + 0.3 * (d % classes == p.labels[i]));
    }
    return p;
}

static void free_problem(problem *p) {
    ce_matrix_free(&p->x);
    free(p->labels);
}

/* The gradient of the objective, from its definition, is zero at the solution. */
static void test_the_gradient_vanishes_at_the_solution(void **state) {
    (void)state;
    enum { N = 300, D = 7, K = 4 };
    problem p = make_problem(N, D, K, 11);
    ce_logistic *l;
    ce_logistic_fit fit;
    double gradient[K][D + 1] = {{0}}, strength = 3;
    assert_int_equal(ce_logistic_new(&l, &p.x, p.labels, K, &EXACT, NULL), CE_OK);
    assert_int_equal(ce_logistic_solve(l, strength, &fit, NULL), CE_OK);
    for (size_t i = 0; i < N; i++) {
        double z[K], sum = 0, bias;
        for (size_t c = 0; c < K; c++) {
            const double *w = ce_logistic_weights(l, c, &bias);
            z[c] = bias;
            for (size_t d = 0; d < D; d++)
                z[c] += w[d] * (double)ce_matrix_row(&p.x, i)[d];
            sum += exp(z[c]);
        }
        for (size_t c = 0; c < K; c++) {
            double miss = strength * (exp(z[c]) / sum - (c == p.labels[i]));
            for (size_t d = 0; d < D; d++)
                gradient[c][d] += miss * (double)ce_matrix_row(&p.x, i)[d];
            gradient[c][D] += miss;
        }
    }
    for (size_t c = 0; c < K; c++) {
        double bias;
        const double *w = ce_logistic_weights(l, c, &bias);
        for (size_t d = 0; d < D; d++)
            assert_true(fabs(gradient[c][d] + w[d]) < 1e-5);
        assert_true(fabs(gradient[c][D]) < 1e-5);
    }
    ce_logistic_free(l);
    free_problem(&p);
}

static void test_the_bits_do_not_depend_on_the_number_of_threads(void **state) {
    (void)state;
    enum { N = 3001, D = 70, K = 6 };
    problem p = make_problem(N, D, K, 12);
    ce_matrix scores[3];
    for (int t = 0; t < 3; t++) {
        ce_logistic *l;
        ce_logistic_fit fit;
        ce_logistic_options options = {.threads = t + 1, .max_iterations = 30};
        assert_int_equal(ce_logistic_new(&l, &p.x, p.labels, K, &options, NULL), CE_OK);
        assert_int_equal(ce_logistic_solve(l, 100, &fit, NULL), CE_OK);
        assert_int_equal(ce_logistic_scores(l, &scores[t], &p.x, NULL), CE_OK);
        assert_memory_equal(scores[t].data, scores[0].data, N * K * sizeof(float));
        ce_logistic_free(l);
    }
    for (int t = 0; t < 3; t++)
        ce_matrix_free(&scores[t]);
    free_problem(&p);
}

static void test_too_few_iterations_are_told(void **state) {
    (void)state;
    problem p = make_problem(200, 10, 3, 13);
    ce_logistic *l;
    ce_logistic_fit fit;
    ce_logistic_options options = {.max_iterations = 2};
    assert_int_equal(ce_logistic_new(&l, &p.x, p.labels, 3, &options, NULL), CE_OK);
    assert_int_equal(ce_logistic_solve(l, 1000, &fit, NULL), CE_OK);
    assert_true(!fit.converged && fit.iterations <= 2);
    ce_logistic_free(l);
    free_problem(&p);
}

/* The defaults of a user: unit rows, every strength of the sweep, whatever its size. */
static void test_the_strengths_of_the_sweep_converge(void **state) {
    (void)state;
    problem p = make_problem(400, 24, 5, 14);
    ce_logistic *l;
    ce_logistic_fit fit;
    ce_logistic_options options = {0};
    ce_matrix_normalize(&p.x);
    assert_int_equal(ce_logistic_new(&l, &p.x, p.labels, 5, &options, NULL), CE_OK);
    for (int e = -6; e <= 6; e++) {
        assert_int_equal(ce_logistic_solve(l, pow(10, e), &fit, NULL), CE_OK);
        assert_true(fit.converged);
    }
    ce_logistic_free(l);
    free_problem(&p);
}

static void test_a_class_without_items_is_never_predicted(void **state) {
    (void)state;
    problem p = make_problem(30, 4, 2, 15);
    ce_logistic *l;
    ce_logistic_fit fit;
    ce_matrix scores;
    double bias;
    for (size_t i = 0; i < 30; i++)
        p.labels[i] = p.labels[i] ? 3 : 1;
    assert_int_equal(ce_logistic_new(&l, &p.x, p.labels, 5, &EXACT, NULL), CE_OK);
    assert_int_equal(ce_logistic_solve(l, 1, &fit, NULL), CE_OK);
    ce_matrix_row(&p.x, 4)[2] = NAN;
    assert_int_equal(ce_logistic_scores(l, &scores, &p.x, NULL), CE_OK);
    assert_true(isinf(ce_matrix_row(&scores, 3)[0]) && isinf(ce_matrix_row(&scores, 3)[4]));
    assert_true(isfinite(ce_matrix_row(&scores, 3)[1]));
    for (size_t c = 0; c < 5; c++)
        assert_true(isnan(ce_matrix_row(&scores, 4)[c]));
    assert_null(ce_logistic_weights(l, 2, &bias));
    assert_non_null(ce_logistic_weights(l, 3, &bias));
    ce_matrix_free(&scores);
    ce_logistic_free(l);
    free_problem(&p);
}

static void expect_refused(const problem *p, size_t classes, const char *message) {
    ce_logistic *l;
    ce_error err;
    assert_int_equal(ce_logistic_new(&l, &p->x, p->labels, classes, &EXACT, &err),
                     CE_EINVAL);
    assert_null(l);
    assert_string_equal(err.message, message);
}

static void test_what_cannot_be_learned_is_refused(void **state) {
    (void)state;
    problem p = make_problem(10, 3, 2, 16), none = p;
    ce_logistic *l;
    ce_logistic_fit fit;
    ce_matrix scores, wide = {10, 2, p.x.data};
    ce_error err;
    none.x.rows = 0;
    expect_refused(&none, 2, "there is nothing to learn from");
    expect_refused(&p, 1, "row 2: label 2 of 1 classes");
    assert_int_equal(ce_logistic_new(&l, &p.x, p.labels, 2, &EXACT, NULL), CE_OK);
    assert_int_equal(ce_logistic_solve(l, 0, &fit, &err), CE_EINVAL);
    assert_int_equal(ce_logistic_solve(l, (double)NAN, &fit, &err), CE_EINVAL);
    assert_int_equal(ce_logistic_scores(l, &scores, &wide, &err), CE_EINVAL);
    ce_logistic_free(l);
    ce_matrix_row(&p.x, 6)[1] = INFINITY;
    expect_refused(&p, 2, "row 7 is no embedding: it holds NaN or infinity");
    ce_matrix_row(&p.x, 6)[1] = 0;
    memset(p.labels, 0, 10 * sizeof *p.labels);
    expect_refused(&p, 2, "all 10 training rows are of one class");
    free_problem(&p);
}

static void test_a_raised_flag_ends_it(void **state) {
    (void)state;
    problem p = make_problem(50, 3, 3, 17);
    atomic_bool cancel = true;
    ce_logistic *l;
    ce_logistic_fit fit;
    ce_logistic_options options = {.cancel = &cancel};
    assert_int_equal(ce_logistic_new(&l, &p.x, p.labels, 3, &options, NULL), CE_OK);
    assert_int_equal(ce_logistic_solve(l, 1, &fit, NULL), CE_ECANCELLED);
    ce_logistic_free(l);
    free_problem(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_solutions_equal_scikit_learns),
        cmocka_unit_test(test_the_gradient_vanishes_at_the_solution),
        cmocka_unit_test(test_the_bits_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(test_too_few_iterations_are_told),
        cmocka_unit_test(test_the_strengths_of_the_sweep_converge),
        cmocka_unit_test(test_a_class_without_items_is_never_predicted),
        cmocka_unit_test(test_what_cannot_be_learned_is_refused),
        cmocka_unit_test(test_a_raised_flag_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "probe.h"
#include "score.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { D = 8, K = 3, TRAIN = 90, VALIDATION = 45, TEST = 60 };

static float data[TRAIN + VALIDATION + TEST][D];
static uint32_t labels[TRAIN + VALIDATION + TEST];
static ce_matrix train_rows, validation_rows, test_rows;
static ce_split train, validation;

static double noise(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / (1 << 24) - 0.5;
}

static int setup(void **state) {
    (void)state;
    unsigned seed = 21;
    for (size_t i = 0; i < TRAIN + VALIDATION + TEST; i++) {
        labels[i] = (uint32_t)(i % K);
        for (size_t d = 0; d < D; d++)
            data[i][d] = (float)(noise(&seed) + 0.25 * (d % K == labels[i]));
    }
    train_rows = (ce_matrix){TRAIN, D, data[0]};
    validation_rows = (ce_matrix){VALIDATION, D, data[TRAIN]};
    test_rows = (ce_matrix){TEST, D, data[TRAIN + VALIDATION]};
    train = (ce_split){&train_rows, labels};
    validation = (ce_split){&validation_rows, labels + TRAIN};
    return 0;
}

/* Scores of one strength, learned from rows 0 .. n-1 alone. */
static ce_matrix learn(size_t n, double strength, const ce_matrix *x) {
    ce_matrix rows = {n, D, data[0]}, scores;
    ce_logistic *l;
    ce_logistic_fit fit;
    ce_logistic_options options = {0};
    assert_int_equal(ce_logistic_new(&l, &rows, labels, K, &options, NULL), CE_OK);
    assert_int_equal(ce_logistic_solve(l, strength, &fit, NULL), CE_OK);
    assert_int_equal(ce_logistic_scores(l, &scores, x, NULL), CE_OK);
    ce_logistic_free(l);
    return scores;
}

static double accuracy(const ce_matrix *scores, const uint32_t *targets) {
    double hits = 0;
    for (size_t i = 0; i < scores->rows; i++)
        hits += ce_rank(ce_matrix_row(scores, i), K, targets[i]) == 0;
    return hits / (double)scores->rows;
}

static void test_a_given_strength_learns_the_training_rows_alone(void **state) {
    (void)state;
    ce_probe probe;
    ce_probe_options options = {.classes = K, .strength = 0.5};
    assert_int_equal(ce_probe_run(&probe, &train, NULL, &test_rows, &options, NULL), CE_OK);
    ce_matrix want = learn(TRAIN, 0.5, &test_rows);
    assert_true(probe.strength == 0.5 && probe.tried == 0 && probe.fit.converged);
    assert_memory_equal(probe.scores.data, want.data, TEST * K * sizeof(float));
    assert_true(accuracy(&probe.scores, labels + TRAIN + VALIDATION) > 0.5);
    ce_matrix_free(&want);
    ce_probe_free(&probe);
}

static void count(void *context, size_t done, size_t total) {
    assert_true(done <= total);
    *(size_t *)context = done;
}

static void test_the_best_strength_learns_training_and_validation_rows(void **state) {
    (void)state;
    ce_probe probe;
    size_t done = 0;
    ce_probe_options options = {.classes = K, .progress = count, .progress_context = &done};
    assert_int_equal(ce_probe_run(&probe, &train, &validation, &test_rows, &options, NULL),
                     CE_OK);
    ce_matrix want = learn(TRAIN + VALIDATION, probe.strength, &test_rows);
    assert_memory_equal(probe.scores.data, want.data, TEST * K * sizeof(float));
    assert_int_equal(done, CE_PROBE_TRIALS + 1);
    ce_matrix_free(&want);
    ce_probe_free(&probe);
}

static void test_the_smallest_of_the_best_strengths_is_chosen(void **state) {
    (void)state;
    ce_probe probe;
    ce_probe_options options = {.classes = K};
    assert_int_equal(ce_probe_run(&probe, &train, &validation, &test_rows, &options, NULL),
                     CE_OK);
    assert_in_range(probe.tried, 7 + 4, CE_PROBE_TRIALS);
    const ce_trial *best = NULL;
    for (size_t i = 0; i < probe.tried; i++) {
        const ce_trial *t = &probe.trials[i];
        double grid = (log10(t->strength) + 6) * 8;
        assert_true(fabs(grid - round(grid)) < 1e-9);
        assert_true(i == 0 || t->strength > probe.trials[i - 1].strength);
        if (!best || t->accuracy > best->accuracy)
            best = t;
        ce_matrix scores = learn(TRAIN, t->strength, &validation_rows);
        assert_true(fabs(accuracy(&scores, labels + TRAIN) - t->accuracy) < 1e-12);
        ce_matrix_free(&scores);
    }
    assert_true(probe.strength == best->strength);
    ce_probe_free(&probe);
}

static void expect_refused(const ce_split *a, const ce_split *b, size_t classes,
                           const char *message) {
    ce_probe probe;
    ce_error err;
    ce_probe_options options = {.classes = classes};
    assert_int_equal(ce_probe_run(&probe, a, b, &test_rows, &options, &err), CE_EINVAL);
    assert_string_equal(err.message, message);
    ce_probe_free(&probe);
}

static void test_faults_name_the_split(void **state) {
    (void)state;
    ce_matrix none = {0, D, data[0]}, wide = {TRAIN, 4, data[0]};
    ce_split empty = {&none, labels}, other = {&wide, labels};
    const uint32_t same[TRAIN] = {0};
    ce_split one = {&train_rows, same};
    expect_refused(&empty, &validation, K, "the training split is empty");
    expect_refused(&train, &empty, K, "the validation split is empty");
    expect_refused(&train, &other, K,
                   "the validation split has embeddings of 4 dimensions, not 8");
    expect_refused(&train, NULL, K, "without a validation split a strength must be given");
    expect_refused(&train, &validation, 2,
                   "the training split, row 3: label 3 of 2 classes");
    expect_refused(&one, &validation, K, "all 90 training rows are of one class");
    float kept = data[TRAIN + 1][3];
    data[TRAIN + 1][3] = NAN;
    expect_refused(&train, &validation, K,
                   "the validation split, row 2: not an embedding (NaN or infinity)");
    data[TRAIN + 1][3] = kept;
}

static void test_a_raised_flag_ends_it(void **state) {
    (void)state;
    atomic_bool cancel = true;
    ce_probe probe;
    ce_probe_options options = {.classes = K, .solver = {.cancel = &cancel}};
    assert_int_equal(ce_probe_run(&probe, &train, &validation, &test_rows, &options, NULL),
                     CE_ECANCELLED);
    ce_probe_free(&probe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_given_strength_learns_the_training_rows_alone),
        cmocka_unit_test(test_the_best_strength_learns_training_and_validation_rows),
        cmocka_unit_test(test_the_smallest_of_the_best_strengths_is_chosen),
        cmocka_unit_test(test_faults_name_the_split),
        cmocka_unit_test(test_a_raised_flag_ends_it),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

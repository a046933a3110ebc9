#include "roc.h"
#include "golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tasks.h"

enum { MAX_N = 100 };

static void test_the_area_equals_scikit_learns(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    json_t *answers = golden_json(golden_path(path, sizeof path, "metrics/sklearn.json"));
    const json_t *entry, *cases = json_object_get(answers, "roc");
    size_t c;
    assert_int_equal(json_array_size(cases), 2);
    json_array_foreach(cases, c, entry) {
        double scores[MAX_N];
        bool matches[MAX_N];
        size_t n = json_array_size(json_object_get(entry, "scores"));
        ce_roc roc;
        assert_in_range(n, 1, MAX_N);
        for (size_t i = 0; i < n; i++) {
            scores[i] =
                json_number_value(json_array_get(json_object_get(entry, "scores"), i));
            matches[i] = json_is_true(json_array_get(json_object_get(entry, "matches"), i));
        }
        assert_int_equal(ce_roc_of(&roc, scores, matches, n, NULL), CE_OK);
        assert_true(fabs(roc.auc - tasks_number(entry, "auc")) < 1e-14);
    }
    json_decref(answers);
}

/* Every pair of a match and another. */
static double naive_auc(const double *scores, const bool *matches, size_t n) {
    double wins = 0, pairs = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            if (!matches[i] || matches[j])
                continue;
            pairs++;
            wins += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
        }
    }
    return wins / pairs;
}

static void test_area_and_best_accuracy_equal_their_naive_twins(void **state) {
    (void)state;
    static const double values[] = {
        0, 1, 2, 2.5, -1, (double)NAN, (double)INFINITY, -(double)INFINITY};
    unsigned seed = 5;
    for (int round = 0; round < 500; round++) {
        double scores[MAX_N], best = 0;
        bool matches[MAX_N];
        size_t n = (size_t)round % 13 + 1;
        ce_roc roc;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            scores[i] = values[seed >> 29];
            matches[i] = seed >> 20 & 1;
        }
        assert_int_equal(ce_roc_of(&roc, scores, matches, n, NULL), CE_OK);
        double naive = naive_auc(scores, matches, n);
        assert_true(isnan(naive) ? isnan(roc.auc) : fabs(roc.auc - naive) < 1e-15);
        for (double t = -2.25; t < 4; t += 0.5)
            best = fmax(best, ce_accuracy_from(scores, matches, n, t));
        best = fmax(best, ce_accuracy_from(scores, matches, n, (double)INFINITY));
        best = fmax(best, ce_accuracy_from(scores, matches, n, -(double)INFINITY));
        assert_true(roc.accuracy >= best);
        assert_true(ce_accuracy_from(scores, matches, n, roc.threshold) == roc.accuracy);
    }
}

static void
test_the_threshold_lies_in_the_middle_and_is_the_lowest_of_the_best(void **state) {
    (void)state;
    const double scores[] = {1, 2, 3, 4}, same[] = {1, 1, 1};
    const bool upper[] = {false, false, true, true}, tied[] = {false, true, false, true};
    const bool all[] = {true, true, true, true}, none[] = {false, false, false, false};
    ce_roc roc;
    ce_roc_of(&roc, scores, upper, 4, NULL);
    assert_true(roc.threshold == 2.5 && roc.accuracy == 1 && roc.auc == 1);
    ce_roc_of(&roc, scores, tied, 4, NULL); /* 1.5 and 3.5 are right three times */
    assert_true(roc.threshold == 1.5 && roc.accuracy == 0.75 && roc.auc == 0.75);
    ce_roc_of(&roc, scores, all, 4, NULL);
    assert_true(roc.threshold == 1 && roc.accuracy == 1 && isnan(roc.auc));
    ce_roc_of(&roc, scores, none, 4, NULL);
    assert_true(isinf(roc.threshold) && roc.accuracy == 1 && isnan(roc.auc));
    ce_roc_of(&roc, same, tied, 3, NULL);
    assert_true(isinf(roc.threshold) && roc.accuracy == 2.0 / 3 && roc.auc == 0.5);
}

static void test_neighbouring_numbers_are_told_apart(void **state) {
    (void)state;
    const double scores[] = {1, nextafter(1, 2)};
    const bool matches[] = {false, true};
    ce_roc roc;
    ce_roc_of(&roc, scores, matches, 2, NULL);
    assert_true(roc.accuracy == 1);
    assert_true(ce_accuracy_from(scores, matches, 2, roc.threshold) == 1);
}

static void test_of_nothing_there_is_no_figure(void **state) {
    (void)state;
    const double unread[] = {(double)NAN, (double)NAN};
    const bool matches[] = {false, true};
    ce_roc roc;
    assert_int_equal(ce_roc_of(&roc, NULL, NULL, 0, NULL), CE_OK);
    assert_true(isnan(roc.auc) && isnan(roc.accuracy) && isnan(roc.threshold));
    assert_true(isnan(ce_accuracy_from(NULL, NULL, 0, 0)));
    assert_int_equal(ce_roc_of(&roc, unread, matches, 2, NULL), CE_OK);
    assert_true(roc.auc == 0 && roc.accuracy == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_area_equals_scikit_learns),
        cmocka_unit_test(test_area_and_best_accuracy_equal_their_naive_twins),
        cmocka_unit_test(
            test_the_threshold_lies_in_the_middle_and_is_the_lowest_of_the_best),
        cmocka_unit_test(test_neighbouring_numbers_are_told_apart),
        cmocka_unit_test(test_of_nothing_there_is_no_figure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

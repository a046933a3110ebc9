/* Comparisons of precision, ROC area and median: against twins that copy items, against all
 * permutations, and on made-up runs without a true difference. */
#include "paired_order.h"
#include "binomial.h"
#include "matrix.h"
#include "metrics.h"
#include "roc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 300, CLASSES = 3 };

typedef struct runs {
    size_t n;
    double base[CLASSES * MOST], changed[CLASSES * MOST];
    uint8_t labels[CLASSES * MOST];
    uint32_t clusters[MOST];
} runs;

static size_t classes_of(ce_order_statistic s) {
    return s == CE_ORDER_PRECISION ? CLASSES : 1;
}

/* Skill: how far positives stand before the others. Unread and ignored items where
 * `hostile`; the area gets ties, the median whole numbers. */
static void make_runs(runs *s, ce_order_statistic statistic, size_t n, double skill,
                      bool hostile, uint64_t seed) {
    ce_random r = {seed};
    *s = (runs){.n = n};
    for (size_t i = 0; i < n; i++)
        s->clusters[i] = (uint32_t)(7 * (i / 3));
    for (size_t i = 0; i < n * classes_of(statistic); i++) {
        double luck = ce_random_unit(&r);
        s->labels[i] = luck < 0.3 ? CE_LABEL_YES
                       : luck > 0.95 && hostile && statistic == CE_ORDER_PRECISION
                           ? CE_LABEL_IGNORED
                           : CE_LABEL_NO;
        double lead = s->labels[i] == CE_LABEL_YES ? 0.3 : 0;
        s->base[i] = ce_random_unit(&r) - lead;
        s->changed[i] = ce_random_unit(&r) - lead - (lead > 0 ? skill : 0);
        if (statistic == CE_ORDER_AUC) {
            s->base[i] = floor(20 * s->base[i]);
            s->changed[i] = floor(20 * s->changed[i]);
        } else if (statistic == CE_ORDER_MEDIAN) {
            s->base[i] = 1 + floor(9 * fabs(s->base[i]));
            s->changed[i] = 1 + floor(9 * fabs(s->changed[i]));
        }
        if (hostile && i % n == 3)
            s->base[i] = (double)INFINITY;
        if (hostile && i % n == 5)
            s->changed[i] = (double)INFINITY;
    }
}

static ce_paired_order input_of(const runs *s, ce_order_statistic statistic) {
    return (ce_paired_order){.statistic = statistic,
                             .n = s->n,
                             .classes = classes_of(statistic),
                             .base = s->base,
                             .changed = s->changed,
                             .labels = statistic == CE_ORDER_MEDIAN ? NULL : s->labels,
                             .resamples = 4000,
                             .chance = {.seed = 11, .threads = 1}};
}

#define assert_double_near(a, b, by) assert_true(fabs((a) - (b)) <= (by))

/* ---- naive twins, by the metrics' own code ---- */

static double naive_precision(const double *places, const uint8_t *labels, size_t n) {
    static float scores[CLASSES * MOST];
    static uint8_t marks[CLASSES * MOST];
    double ap[CLASSES], sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < CLASSES; c++) {
            double place = places[c * n + i];
            scores[i * CLASSES + c] = isinf(place) ? NAN : (float)-place;
            marks[i * CLASSES + c] = labels[c * n + i];
        }
    ce_matrix m = {.rows = n, .cols = CLASSES, .data = scores};
    assert_int_equal(ce_average_precision(ap, &m, marks, NULL), 0);
    for (size_t c = 0; c < CLASSES; c++)
        sum += ap[c] / CLASSES;
    return sum;
}

static double naive_area(const double *places, const uint8_t *labels, size_t n) {
    double scores[MOST];
    bool matches[MOST];
    ce_roc roc;
    for (size_t i = 0; i < n; i++) {
        scores[i] = isinf(places[i]) ? (double)NAN : -places[i];
        matches[i] = labels[i] == CE_LABEL_YES;
    }
    assert_int_equal(ce_roc_of(&roc, scores, matches, n, NULL), 0);
    return roc.auc;
}

static double naive_median(const double *places, size_t n) {
    uint32_t ranks[MOST], scratch[MOST];
    for (size_t i = 0; i < n; i++)
        ranks[i] = isinf(places[i]) ? CE_RANK_NONE : (uint32_t)places[i] - 1;
    return ce_median_rank(ranks, n, scratch);
}

static double naive(ce_order_statistic s, const double *places, const uint8_t *labels,
                    size_t n) {
    return s == CE_ORDER_PRECISION ? naive_precision(places, labels, n)
           : s == CE_ORDER_AUC     ? naive_area(places, labels, n)
                                   : naive_median(places, n);
}

static double naive_difference(const runs *s, ce_order_statistic statistic) {
    return naive(statistic, s->changed, s->labels, s->n) -
           naive(statistic, s->base, s->labels, s->n);
}

/* Whole clusters where asked: numbers of three items each. */
static void naive_resample(runs *to, const runs *from, ce_order_statistic statistic,
                           bool clustered, ce_random *r) {
    size_t step = clustered ? 3 : 1, n = from->n;
    to->n = n;
    for (size_t at = 0; at < n; at += step) {
        size_t first = step * ce_random_below(r, n / step);
        for (size_t k = 0; k < step; k++)
            for (size_t c = 0; c < classes_of(statistic); c++) {
                to->base[c * n + at + k] = from->base[c * n + first + k];
                to->changed[c * n + at + k] = from->changed[c * n + first + k];
                to->labels[c * n + at + k] = from->labels[c * n + first + k];
            }
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void check_interval(ce_order_statistic statistic, bool clustered) {
    enum { DRAWS = 4000 };
    static runs s, drawn;
    static double differences[DRAWS];
    ce_random r = {5};
    ce_paired_result result;
    make_runs(&s, statistic, 60, 0.15, true, 17);
    ce_paired_order in = input_of(&s, statistic);
    in.clusters = clustered ? s.clusters : NULL;
    assert_int_equal(ce_paired_order_test(&result, &in, NULL), 0);
    assert_double_near(result.base, naive(statistic, s.base, s.labels, s.n), 1e-12);
    assert_double_near(result.changed, naive(statistic, s.changed, s.labels, s.n), 1e-12);
    for (size_t i = 0; i < DRAWS; i++) {
        naive_resample(&drawn, &s, statistic, clustered, &r);
        differences[i] = naive_difference(&drawn, statistic);
    }
    qsort(differences, DRAWS, sizeof *differences, by_value);
    double low = differences[DRAWS / 40], high = differences[DRAWS - DRAWS / 40];
    printf("%d %d: %f to %f, naive %f to %f\n", statistic, clustered, result.low,
           result.high, low, high);
    assert_double_near(result.low, low, 0.08 * (high - low));
    assert_double_near(result.high, high, 0.08 * (high - low));
}

static void test_intervals_are_those_of_resamples_that_copy_items(void **state) {
    (void)state;
    for (int s = CE_ORDER_PRECISION; s <= CE_ORDER_MEDIAN; s++) {
        check_interval((ce_order_statistic)s, false);
        check_interval((ce_order_statistic)s, true);
    }
}

/* ---- all permutations ---- */

/* Places as the test swaps them: of an item among its run's, ties in the middle for areas.
 */
static double place_among(const runs *s, const double *places, size_t class, size_t i,
                          ce_order_statistic statistic) {
    double before = 0, alike = 0, own = places[class * s->n + i];
    if (statistic == CE_ORDER_MEDIAN || isinf(own))
        return own;
    for (size_t k = 0; k < s->n; k++) {
        double other = places[class * s->n + k];
        if (s->labels[class * s->n + k] == CE_LABEL_IGNORED)
            continue;
        before += other < own;
        alike += other == own;
    }
    return before + (alike + 1) / 2;
}

static void check_p(ce_order_statistic statistic, uint64_t seed) {
    enum { N = 12 };
    static runs s, ranked, swapped;
    ce_paired_result result;
    double far = 0;
    make_runs(&s, statistic, N, 0.2, true, seed);
    ce_paired_order in = input_of(&s, statistic);
    in.resamples = 20000;
    assert_int_equal(ce_paired_order_test(&result, &in, NULL), 0);
    ranked = swapped = s;
    for (size_t c = 0; c < classes_of(statistic); c++)
        for (size_t i = 0; i < N; i++) {
            ranked.base[c * N + i] = place_among(&s, s.base, c, i, statistic);
            ranked.changed[c * N + i] = place_among(&s, s.changed, c, i, statistic);
        }
    for (unsigned choice = 0; choice < 1 << N; choice++) {
        for (size_t k = 0; k < N * classes_of(statistic); k++) {
            bool swap = choice >> k % N & 1;
            swapped.base[k] = swap ? ranked.changed[k] : ranked.base[k];
            swapped.changed[k] = swap ? ranked.base[k] : ranked.changed[k];
        }
        far += fabs(naive_difference(&swapped, statistic)) >=
               fabs(naive_difference(&s, statistic)) - 1e-12;
    }
    double p = far / (1 << N);
    printf("%d: p %f, of all permutations %f\n", statistic, result.p, p);
    assert_double_near(result.p, p, 4 * sqrt(p * (1 - p) / 20000) + 1e-4);
}

static void test_p_is_that_of_all_permutations(void **state) {
    (void)state;
    for (int s = CE_ORDER_PRECISION; s <= CE_ORDER_MEDIAN; s++)
        for (uint64_t seed = 1; seed <= 3; seed++)
            check_p((ce_order_statistic)s, seed);
}

/* ---- chance ---- */

/* How often p <= 0.05 on runs of this skill, whose scores have scales of their own. */
static uint64_t rejections(ce_order_statistic statistic, double skill, size_t pairs,
                           bool monotone) {
    static runs s;
    uint64_t rejected = 0;
    for (uint64_t i = 0; i < pairs; i++) {
        ce_paired_result result;
        make_runs(&s, statistic, 60, skill, false, 7919 * (i + 1));
        for (size_t k = 0; monotone && k < s.n * classes_of(statistic); k++)
            s.changed[k] = 1000 + exp(s.changed[k] / 4);
        ce_paired_order in = input_of(&s, statistic);
        in.resamples = 199;
        in.chance.seed = i;
        assert_int_equal(ce_paired_order_test(&result, &in, NULL), 0);
        rejected += result.p <= 0.05;
    }
    printf("%d, skill %.2f: %d of %d rejected\n", statistic, skill, (int)rejected,
           (int)pairs);
    return rejected;
}

static void test_false_alarms_are_as_rare_as_they_say(void **state) {
    enum { PAIRS = 1000 };
    (void)state;
    for (int s = CE_ORDER_PRECISION; s <= CE_ORDER_MEDIAN; s++) {
        uint64_t seen = rejections((ce_order_statistic)s, 0, PAIRS, s != CE_ORDER_MEDIAN);
        assert_true(seen > 0 && 1 - ce_binomial_tail(seen - 1, PAIRS, 0.05) > 0.001);
        if (s != CE_ORDER_MEDIAN) /* whose differences are few whole numbers */
            assert_true(ce_binomial_tail(seen, PAIRS, 0.05) > 0.001);
    }
}

static void test_a_difference_is_seen(void **state) {
    (void)state;
    assert_true(rejections(CE_ORDER_PRECISION, 0.3, 200, true) > 150);
    assert_true(rejections(CE_ORDER_AUC, 0.3, 200, true) > 90);
}

/* ---- edges ---- */

static void test_equal_runs_differ_by_nothing(void **state) {
    static runs s;
    ce_paired_result r;
    (void)state;
    for (int k = CE_ORDER_PRECISION; k <= CE_ORDER_MEDIAN; k++) {
        make_runs(&s, (ce_order_statistic)k, 50, 0, true, 3);
        ce_paired_order in = input_of(&s, (ce_order_statistic)k);
        in.changed = in.base;
        assert_int_equal(ce_paired_order_test(&r, &in, NULL), 0);
        assert_true(r.difference == 0 && r.low == 0 && r.high == 0 && r.p == 1);
    }
}

static void test_results_do_not_depend_on_threads(void **state) {
    static runs s;
    ce_paired_result one, four;
    (void)state;
    make_runs(&s, CE_ORDER_PRECISION, 300, 0.1, true, 3);
    ce_paired_order in = input_of(&s, CE_ORDER_PRECISION);
    assert_int_equal(ce_paired_order_test(&one, &in, NULL), 0);
    in.chance.threads = 4;
    assert_int_equal(ce_paired_order_test(&four, &in, NULL), 0);
    assert_true(one.low == four.low && one.high == four.high && one.p == four.p);
}

static void test_what_cannot_be_compared_is_refused(void **state) {
    static runs s;
    ce_paired_result r;
    (void)state;
    make_runs(&s, CE_ORDER_AUC, 20, 0, false, 3);
    ce_paired_order in = input_of(&s, CE_ORDER_AUC);
    memset(s.labels, CE_LABEL_YES, sizeof s.labels);
    assert_int_equal(ce_paired_order_test(&r, &in, NULL), 0);
    assert_true(isnan(r.p) && isnan(r.low) && isnan(r.base));
    in.n = 0;
    assert_int_equal(ce_paired_order_test(&r, &in, NULL), CE_EINVAL);
    in = input_of(&s, CE_ORDER_MEDIAN);
    for (size_t i = 0; i < 11; i++)
        s.base[i] = (double)INFINITY;
    assert_int_equal(ce_paired_order_test(&r, &in, NULL), 0);
    assert_true(isnan(r.p) && isinf(r.base));
    s.base[0] = (double)NAN;
    assert_int_equal(ce_paired_order_test(&r, &in, NULL), CE_EINVAL);
    in.resamples = 0;
    assert_int_equal(ce_paired_order_test(&r, &in, NULL), CE_EINVAL);
}

static void test_a_raised_flag_ends_it(void **state) {
    static runs s;
    ce_paired_result r;
    atomic_bool raised = true;
    (void)state;
    make_runs(&s, CE_ORDER_AUC, 50, 0, false, 3);
    ce_paired_order in = input_of(&s, CE_ORDER_AUC);
    in.chance.cancel = &raised;
    assert_int_equal(ce_paired_order_test(&r, &in, NULL), CE_ECANCELLED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intervals_are_those_of_resamples_that_copy_items),
        cmocka_unit_test(test_p_is_that_of_all_permutations),
        cmocka_unit_test(test_false_alarms_are_as_rare_as_they_say),
        cmocka_unit_test(test_a_difference_is_seen),
        cmocka_unit_test(test_equal_runs_differ_by_nothing),
        cmocka_unit_test(test_results_do_not_depend_on_threads),
        cmocka_unit_test(test_what_cannot_be_compared_is_refused),
        cmocka_unit_test(test_a_raised_flag_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

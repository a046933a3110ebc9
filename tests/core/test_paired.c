#include "paired.h"
#include "calibration.h"
#include "golden.h"
#include "paired_hits.h"
#include "sign_flip.h"
#include "stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- items, and a naive twin of the statistics ---- */

enum { MOST = 2000 };

typedef struct items {
    size_t n;
    double base[MOST], changed[MOST];
    bool base_correct[MOST], changed_correct[MOST];
    uint32_t classes[MOST], clusters[MOST];
} items;

/* Values are hits for all but MEAN and ECE, where they are multiples of 1/`steps`. */
static void make_items(items *s, ce_paired_statistic statistic, size_t n, uint64_t seed) {
    bool hits = statistic == CE_PAIRED_HITS || statistic == CE_PAIRED_CLASS_MEAN;
    ce_random r = {seed};
    s->n = n;
    for (size_t i = 0; i < n; i++) {
        double skill = ce_random_unit(&r), luck = ce_random_unit(&r);
        s->base_correct[i] = skill > 0.35;
        s->changed_correct[i] = luck < 0.15 ? ce_random_unit(&r) > 0.5 : skill > 0.37;
        s->base[i] = hits ? s->base_correct[i] : 0.1 + 0.9 * skill;
        s->changed[i] = hits ? s->changed_correct[i] : fmin(1, 0.08 + 0.9 * skill * skill);
        s->classes[i] = (uint32_t)(7 + 3 * ce_random_below(&r, 1 + n / 20));
        s->clusters[i] = (uint32_t)(i / 3 * 5 % 997); /* a number may come twice */
    }
}

static ce_paired input_of(const items *s, ce_paired_statistic statistic, bool clustered) {
    return (ce_paired){.statistic = statistic,
                       .n = s->n,
                       .base = s->base,
                       .changed = s->changed,
                       .base_correct = s->base_correct,
                       .changed_correct = s->changed_correct,
                       .classes = statistic == CE_PAIRED_CLASS_MEAN ? s->classes : NULL,
                       .clusters = clustered ? s->clusters : NULL,
                       .resamples = 2000,
                       .chance = {.seed = 42, .threads = 1}};
}

static double naive_class_mean(const items *s, const double *values) {
    double sum = 0, classes = 0;
    for (uint32_t c = 0; c < 1000; c++) {
        double in_class = 0, count = 0;
        for (size_t i = 0; i < s->n; i++)
            if (s->classes[i] == c) {
                in_class += values[i];
                count++;
            }
        sum += count > 0 ? in_class / count : 0;
        classes += count > 0;
    }
    return sum / classes;
}

static double naive(const items *s, ce_paired_statistic statistic, bool changed) {
    const double *values = changed ? s->changed : s->base;
    ce_calibration_bin bins[CE_CALIBRATION_BINS];
    double sum = 0;
    if (statistic == CE_PAIRED_ECE)
        return ce_calibration_error(values, changed ? s->changed_correct : s->base_correct,
                                    s->n, bins);
    if (statistic == CE_PAIRED_CLASS_MEAN)
        return naive_class_mean(s, values);
    for (size_t i = 0; i < s->n; i++)
        sum += values[i];
    return sum / (double)s->n;
}

static double naive_difference(const items *s, ce_paired_statistic statistic) {
    return naive(s, statistic, true) - naive(s, statistic, false);
}

static void copy_item(items *to, size_t at, const items *from, size_t i) {
    to->base[at] = from->base[i];
    to->changed[at] = from->changed[i];
    to->base_correct[at] = from->base_correct[i];
    to->changed_correct[at] = from->changed_correct[i];
    to->classes[at] = from->classes[i];
    to->clusters[at] = from->clusters[i];
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Copies items, or whole clusters of them, into a new set. */
static void naive_resample(items *to, const items *from, bool clustered, ce_random *r) {
    uint32_t names[MOST];
    size_t clusters = 0;
    for (size_t i = 0; i < from->n; i++) {
        size_t j = 0;
        while (j < clusters && names[j] != from->clusters[i])
            j++;
        if (j == clusters)
            names[clusters++] = from->clusters[i];
    }
    to->n = 0;
    for (size_t draw = 0; draw < (clustered ? clusters : from->n); draw++) {
        size_t pick = ce_random_below(r, clustered ? clusters : from->n);
        for (size_t i = 0; i < from->n; i++)
            if (clustered ? from->clusters[i] == names[pick] : i == pick)
                copy_item(to, to->n++, from, i);
    }
}

enum { TWIN_RESAMPLES = 3000 };

/* Both ends of the interval are quantiles of the twin's resamples: a share of them near
 * 2.5 % lies outside, as near as two samples come. */
static void check_interval(ce_paired_statistic statistic, bool clustered, size_t n,
                           uint64_t seed) {
    static items s, drawn;
    static double differences[TWIN_RESAMPLES];
    ce_paired_result result;
    ce_random r = {seed + 1};
    make_items(&s, statistic, n, seed);
    ce_paired in = input_of(&s, statistic, clustered);
    in.resamples = 20000;
    assert_int_equal(ce_paired_test(&result, &in, NULL), 0);
    assert_true(fabs(result.base - naive(&s, statistic, false)) < 1e-12);
    assert_true(fabs(result.changed - naive(&s, statistic, true)) < 1e-12);
    assert_true(fabs(result.difference - naive_difference(&s, statistic)) < 1e-12);
    for (size_t b = 0; b < TWIN_RESAMPLES; b++) {
        drawn.n = 0;
        naive_resample(&drawn, &s, clustered, &r);
        differences[b] = naive_difference(&drawn, statistic);
    }
    qsort(differences, TWIN_RESAMPLES, sizeof *differences, by_value);
    size_t below = 0, above = 0, at_low = 0, at_high = 0;
    for (size_t b = 0; b < TWIN_RESAMPLES; b++) {
        below += differences[b] < result.low - 1e-12;
        above += differences[b] > result.high + 1e-12;
        at_low += fabs(differences[b] - result.low) <= 1e-12;
        at_high += fabs(differences[b] - result.high) <= 1e-12;
    }
    /* 75 are to be expected, with a standard deviation of 9 */
    assert_true(below <= 75 + 40 && below + at_low >= 75 - 40);
    assert_true(above <= 75 + 40 && above + at_high >= 75 - 40);
}

static void test_intervals_are_those_of_resamples_that_copy_items(void **state) {
    (void)state;
    for (int clustered = 0; clustered < 2; clustered++)
        for (int statistic = CE_PAIRED_HITS; statistic <= CE_PAIRED_ECE; statistic++) {
            check_interval((ce_paired_statistic)statistic, clustered, 40, 5);
            check_interval((ce_paired_statistic)statistic, clustered, 200, 6);
        }
}

/* Hits are resampled in closed form: the twin of many resamples, at all shares. */
static void test_the_interval_of_hits_is_the_limit_of_resampling(void **state) {
    (void)state;
    enum { DRAWS = 20000 };
    static const uint64_t cases[][3] = {{2, 1, 50}, {0, 5, 50},   {50, 70, 120}, {3, 3, 9},
                                        {1, 0, 1},  {0, 30, 300}, {12, 20, 400}, {9, 0, 9}};
    ce_random r = {3};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        uint64_t rose = cases[c][0], fell = cases[c][1], n = cases[c][2];
        double low, high, below = 0, above = 0, to_low = 0, to_high = 0;
        ce_paired_hits_interval(rose, fell, n, &low, &high);
        assert_true(-1 <= low && low <= high && high <= 1);
        for (int d = 0; d < DRAWS; d++) {
            int64_t sum = 0;
            for (uint64_t i = 0; i < n; i++) {
                uint64_t pick = ce_random_below(&r, n);
                sum += (pick < rose) - (pick >= rose && pick < rose + fell);
            }
            double difference = (double)sum / (double)n;
            below += difference < low - 1e-12;
            to_low += difference < low + 1e-12;
            above += difference > high + 1e-12;
            to_high += difference > high - 1e-12;
        }
        /* 500 are to be expected, with a standard deviation of 22 */
        assert_true(below < 610 && to_low > 390 && above < 610 && to_high > 390);
    }
    double low, high;
    ce_paired_hits_interval(0, 0, 1000000, &low, &high);
    assert_true(low == 0 && high == 0);
    ce_paired_hits_interval(30000, 35000, 1000000, &low, &high);
    double error = sqrt(0.065 - 0.005 * 0.005) / 1000;
    assert_true(fabs(low + 0.005 + 1.95996 * error) < 2e-6);
    assert_true(fabs(high + 0.005 - 1.95996 * error) < 2e-6);
}

/* ---- the tests ---- */

/* p from all 2^units ways to permute: which share is as far from 0? */
static double exact_p(const items *s, ce_paired_statistic statistic, const uint32_t *unit,
                      size_t units) {
    static items permuted;
    double seen = fabs(naive_difference(s, statistic)), far = 0;
    for (uint32_t ways = 0; ways < 1u << units; ways++) {
        permuted = *s;
        for (size_t i = 0; i < s->n; i++)
            if (ways >> unit[i] & 1) {
                permuted.base[i] = s->changed[i];
                permuted.changed[i] = s->base[i];
                permuted.base_correct[i] = s->changed_correct[i];
                permuted.changed_correct[i] = s->base_correct[i];
            }
        far += fabs(naive_difference(&permuted, statistic)) >= seen - 1e-12;
    }
    return far / (double)(1u << units);
}

static void check_p(ce_paired_statistic statistic, bool clustered, uint64_t seed) {
    enum { UNITS = 11, FLIPS = 40000 };
    static items s;
    uint32_t unit[MOST];
    ce_paired_result result;
    make_items(&s, statistic, clustered ? 2 * UNITS : UNITS, seed);
    for (size_t i = 0; i < s.n; i++) {
        unit[i] = (uint32_t)(i % UNITS);
        s.clusters[i] = 1000 - unit[i];
    }
    ce_paired in = input_of(&s, statistic, clustered);
    in.resamples = FLIPS;
    assert_int_equal(ce_paired_test(&result, &in, NULL), 0);
    double p = exact_p(&s, statistic, unit, UNITS);
    assert_true(fabs(result.p - p) < 4.5 * sqrt(p * (1 - p) / FLIPS) + 1.5 / FLIPS);
}

static void test_p_is_that_of_all_permutations(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < 5; seed++)
        for (int clustered = 0; clustered < 2; clustered++)
            for (int statistic = CE_PAIRED_HITS; statistic <= CE_PAIRED_ECE; statistic++)
                if (statistic != CE_PAIRED_HITS || clustered)
                    check_p((ce_paired_statistic)statistic, clustered, seed);
}

static void test_hits_without_clusters_go_to_mcnemar(void **state) {
    (void)state;
    static items s;
    ce_paired_result result;
    make_items(&s, CE_PAIRED_HITS, 500, 9);
    ce_paired in = input_of(&s, CE_PAIRED_HITS, false);
    assert_int_equal(ce_paired_test(&result, &in, NULL), 0);
    assert_string_equal(result.test, "McNemar exact");
    size_t rose = 0, fell = 0;
    double square = 0;
    for (size_t i = 0; i < s.n; i++) {
        double d = s.changed[i] - s.base[i];
        rose += d > 0;
        fell += d < 0;
        square += (d - result.difference) * (d - result.difference);
    }
    assert_true(rose > 0 && fell > 0 && result.rose == rose && result.fell == fell);
    assert_true(result.p == ce_mcnemar(rose, fell));
    assert_true(fabs(result.spread - sqrt(square / 499)) < 1e-12);
    for (size_t i = 0; i < s.n; i++)
        s.clusters[i] = (uint32_t)(4000000000u - 7 * i); /* each its own */
    in.clusters = s.clusters;
    ce_paired_result lone;
    assert_int_equal(ce_paired_test(&lone, &in, NULL), 0);
    assert_true(lone.p == result.p && lone.low == result.low && lone.high == result.high);
}

static void test_signs_of_few_values_are_counted_right(void **state) {
    (void)state;
    static const double values[] = {0, 0.1, 0.2, 0.3, 0, -0.1, 0.1 + 0.2, -1e-30};
    double p;
    assert_int_equal(ce_sign_flip(&p, values, 8, 50000, (ce_chance){.seed = 1}, NULL), 0);
    /* |sum of 1 2 3 -1 3| = 8 or more: 1 2 3 +-1 3 (10, 8), 8 = -1+2+3+1+3 and mirrored */
    assert_true(fabs(p - 6. / 32) < 0.01);
    assert_int_equal(ce_sign_flip(&p, values, 1, 100, (ce_chance){.seed = 1}, NULL), 0);
    assert_true(p == 1);
    assert_int_equal(ce_sign_flip(&p, values, 0, 100, (ce_chance){.seed = 1}, NULL), 0);
    assert_true(p == 1);
    static double many[5000];
    for (size_t i = 0; i < 5000; i++)
        many[i] = 1;
    assert_int_equal(ce_sign_flip(&p, many, 5000, 999, (ce_chance){.seed = 1}, NULL), 0);
    assert_true(p == 0.001);
}

/* ---- what holds for all ---- */

static void test_equal_runs_differ_by_nothing(void **state) {
    (void)state;
    static items s;
    ce_paired_result r;
    for (int clustered = 0; clustered < 2; clustered++)
        for (int statistic = CE_PAIRED_HITS; statistic <= CE_PAIRED_ECE; statistic++) {
            make_items(&s, (ce_paired_statistic)statistic, 300, 8);
            ce_paired in = input_of(&s, (ce_paired_statistic)statistic, clustered);
            in.changed = in.base;
            in.changed_correct = in.base_correct;
            assert_int_equal(ce_paired_test(&r, &in, NULL), 0);
            assert_true(r.p == 1 && r.low == 0 && r.high == 0 && r.difference == 0);
            assert_true(r.rose == 0 && r.fell == 0 && r.spread == 0 && r.base == r.changed);
        }
}

static bool same(const ce_paired_result *a, const ce_paired_result *b) {
    return a->low == b->low && a->high == b->high && a->p == b->p && a->spread == b->spread;
}

static void test_results_depend_on_the_seed_and_not_on_threads(void **state) {
    (void)state;
    static items s;
    ce_paired_result one, three, other;
    for (int clustered = 0; clustered < 2; clustered++)
        for (int statistic = CE_PAIRED_MEAN; statistic <= CE_PAIRED_ECE; statistic++) {
            make_items(&s, (ce_paired_statistic)statistic, MOST, 8);
            ce_paired in = input_of(&s, (ce_paired_statistic)statistic, clustered);
            assert_int_equal(ce_paired_test(&one, &in, NULL), 0);
            in.chance.threads = 3;
            assert_int_equal(ce_paired_test(&three, &in, NULL), 0);
            in.chance.seed++;
            assert_int_equal(ce_paired_test(&other, &in, NULL), 0);
            assert_true(same(&one, &three) && !same(&one, &other));
            assert_true(one.p > 0 && one.p <= 1 && one.low <= one.high);
        }
}

static void test_a_raised_flag_ends_it(void **state) {
    (void)state;
    static items s;
    ce_paired_result r;
    ce_error err;
    atomic_bool stop = true;
    for (int statistic = CE_PAIRED_MEAN; statistic <= CE_PAIRED_ECE; statistic++) {
        make_items(&s, (ce_paired_statistic)statistic, 100, 3);
        ce_paired in = input_of(&s, (ce_paired_statistic)statistic, false);
        in.resamples = 1000000;
        in.chance.cancel = &stop;
        assert_int_equal(ce_paired_test(&r, &in, &err), CE_ECANCELLED);
    }
}

static void test_one_item_is_enough(void **state) {
    (void)state;
    static items s;
    ce_paired_result r;
    for (int statistic = CE_PAIRED_HITS; statistic <= CE_PAIRED_ECE; statistic++) {
        make_items(&s, (ce_paired_statistic)statistic, 1, 3);
        ce_paired in = input_of(&s, (ce_paired_statistic)statistic, true);
        assert_int_equal(ce_paired_test(&r, &in, NULL), 0);
        assert_true(r.p == 1 && fabs(r.low - r.difference) < 1e-12 && r.low == r.high);
    }
}

static void test_what_cannot_be_compared_is_refused(void **state) {
    (void)state;
    static items s;
    ce_paired_result r;
    ce_error err;
    make_items(&s, CE_PAIRED_MEAN, 10, 3);
    ce_paired in = input_of(&s, CE_PAIRED_HITS, false);
    assert_int_equal(ce_paired_test(&r, &in, &err), CE_EINVAL);
    assert_string_equal(err.message, "item 1: a hit is 0 or 1");
    in.statistic = CE_PAIRED_MEAN;
    s.changed[4] = (double)NAN;
    assert_int_equal(ce_paired_test(&r, &in, &err), CE_EINVAL);
    assert_string_equal(err.message, "item 5: the value is not finite");
    in.resamples = 0;
    assert_int_equal(ce_paired_test(&r, &in, &err), CE_EINVAL);
    in.n = 0;
    assert_int_equal(ce_paired_test(&r, &in, &err), CE_EINVAL);
    assert_string_equal(err.message, "no items");
}

/* ---- several tests ---- */

static void test_holm_equals_the_reference(void **state) {
    (void)state;
    /* statsmodels.stats.multitest.multipletests(p, method="holm") */
    static const double p[] = {0.01, 0.04, 0.03, 0.2, 0.005, 0.04, 1.0};
    static const double expected[] = {0.06, 0.16, 0.15, 0.4, 0.035, 0.16, 1.0};
    double adjusted[7];
    assert_int_equal(ce_holm(adjusted, p, 7), 0);
    for (size_t i = 0; i < 7; i++)
        assert_true(fabs(adjusted[i] - expected[i]) < 1e-15);
    assert_int_equal(ce_holm(adjusted, p, 1), 0);
    assert_true(adjusted[0] == 0.01);
    assert_int_equal(ce_holm(adjusted, p, 0), 0);
}

/* The reference's two runs: the interval of ours is one of its kind. */
static void test_the_reference_runs_are_compared_alike(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    golden_tensor before, after;
    static items s;
    ce_paired_result r;
    golden_file *f =
        golden_open(golden_path(path, sizeof path, "metrics/inputs.safetensors"));
    assert_true(golden_find(f, "bootstrap.before", &before));
    assert_true(golden_find(f, "bootstrap.after", &after));
    for (size_t i = 0; i < before.count; i++) {
        s.base[i] = (double)((const int64_t *)before.data)[i];
        s.changed[i] = (double)((const int64_t *)after.data)[i];
    }
    s.n = before.count;
    ce_paired in = input_of(&s, CE_PAIRED_HITS, false);
    assert_int_equal(ce_paired_test(&r, &in, NULL), 0);
    assert_true(fabs(r.difference - 0.058333333333333334) < 1e-15);
    assert_true(fabs(r.spread / sqrt((double)s.n) - 0.03394405800834771) < 2e-4);
    assert_true(fabs(r.low - 0) < 1.5 / 120 && fabs(r.high - 0.125) < 1.5 / 120);
    golden_close(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intervals_are_those_of_resamples_that_copy_items),
        cmocka_unit_test(test_the_interval_of_hits_is_the_limit_of_resampling),
        cmocka_unit_test(test_p_is_that_of_all_permutations),
        cmocka_unit_test(test_hits_without_clusters_go_to_mcnemar),
        cmocka_unit_test(test_signs_of_few_values_are_counted_right),
        cmocka_unit_test(test_equal_runs_differ_by_nothing),
        cmocka_unit_test(test_results_depend_on_the_seed_and_not_on_threads),
        cmocka_unit_test(test_a_raised_flag_ends_it),
        cmocka_unit_test(test_one_item_is_enough),
        cmocka_unit_test(test_what_cannot_be_compared_is_refused),
        cmocka_unit_test(test_holm_equals_the_reference),
        cmocka_unit_test(test_the_reference_runs_are_compared_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

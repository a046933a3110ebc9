/* Do the paired tests keep what they promise? Many pairs of runs are made up, with and
 * without a true difference; how often a test is wrong must agree with its level, its power
 * and its coverage. Bounds are those that a true binomial stays within 99.9 % of the time.
 */
#include "binomial.h"
#include "paired.h"
#include "power.h"
#include "stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
enum { PAIRS = 100 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { PAIRS = 100 };
#else
enum { PAIRS = 1000 };
#endif
#else
enum { PAIRS = 1000 };
#endif

enum { MOST = 500, CLUSTER = 5, CLASSES = 5 };

/* ---- pairs of runs ---- */

typedef struct world {
    ce_paired_statistic statistic;
    size_t n;
    double worse, better; /* of hits: each item's chance */
    double shift;         /* of values, in standard deviations of a difference */
    bool clustered;       /* clusters of five share their luck */
    bool told;            /* and the test knows */
    size_t resamples;
} world;

typedef struct runs {
    double base[MOST], changed[MOST];
    bool base_correct[MOST], changed_correct[MOST];
    uint32_t classes[MOST], clusters[MOST];
} runs;

/* Symmetric, of variance 1. */
static double noise(ce_random *r) {
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += ce_random_unit(r);
    return sum;
}

static void make_hit(runs *s, size_t i, const world *w, double luck, double skill) {
    s->base[i] = luck < w->worse ? 1 : luck < w->worse + w->better ? 0 : skill < 0.6;
    s->changed[i] = luck < w->worse ? 0 : luck < w->worse + w->better ? 1 : skill < 0.6;
}

/* Both runs' confidences and answers come from the same distribution. */
static void make_confidence(runs *s, size_t i, ce_random *r) {
    double skill = ce_random_unit(r);
    s->base[i] = 0.3 + 0.4 * skill + 0.3 * ce_random_unit(r);
    s->changed[i] = 0.3 + 0.4 * skill + 0.3 * ce_random_unit(r);
    s->base_correct[i] = ce_random_unit(r) < s->base[i] - 0.05;
    s->changed_correct[i] = ce_random_unit(r) < s->changed[i] - 0.05;
}

static void make_runs(runs *s, const world *w, ce_random *r) {
    double luck = 0, common = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (!w->clustered || i % CLUSTER == 0) {
            luck = ce_random_unit(r);
            common = noise(r);
        }
        s->classes[i] = (uint32_t)(i / CLUSTER % CLASSES);
        s->clusters[i] = (uint32_t)(i / CLUSTER);
        if (w->statistic == CE_PAIRED_ECE) {
            make_confidence(s, i, r);
        } else if (w->statistic == CE_PAIRED_MEAN) {
            double own = w->clustered ? 0.6 * noise(r) : 0;
            s->base[i] = noise(r);
            s->changed[i] = s->base[i] + (w->clustered ? 0.8 : 1) * common + own + w->shift;
        } else {
            make_hit(s, i, w, luck, ce_random_unit(r));
        }
    }
}

static ce_paired_result compare(const world *w, uint64_t seed) {
    static runs s;
    ce_paired_result result;
    ce_random r = {seed};
    make_runs(&s, w, &r);
    ce_paired in = {.statistic = w->statistic,
                    .n = w->n,
                    .base = s.base,
                    .changed = s.changed,
                    .base_correct = s.base_correct,
                    .changed_correct = s.changed_correct,
                    .classes = s.classes,
                    .clusters = w->told ? s.clusters : NULL,
                    .resamples = w->resamples,
                    .chance = {.seed = seed, .threads = 1}};
    assert_int_equal(ce_paired_test(&result, &in, NULL), 0);
    assert_true(result.p > 0 && result.p <= 1 && result.low <= result.high);
    return result;
}

/* ---- counting ---- */

typedef struct outcome {
    uint64_t rejected, covered; /* p <= 0.05; the true difference lies in the interval */
} outcome;

static outcome simulate(const world *w, double truth, const char *what) {
    outcome o = {0};
    for (uint64_t i = 0; i < PAIRS; i++) {
        ce_paired_result r = compare(w, 1000003 * (i + 1));
        o.rejected += r.p <= 0.05;
        o.covered += r.low <= truth + 1e-12 && truth <= r.high + 1e-12;
    }
    printf("%s: %d of %d rejected, %d covered\n", what, (int)o.rejected, PAIRS,
           (int)o.covered);
    return o;
}

/* Whether a binomial of this chance is as small, as large, as `seen` in more than one case
 * in a thousand. */
static bool not_above(uint64_t seen, double chance) {
    return seen == 0 || 1 - ce_binomial_tail(seen - 1, PAIRS, chance) > 0.001;
}

static bool not_below(uint64_t seen, double chance) {
    return ce_binomial_tail(seen, PAIRS, chance) > 0.001;
}

static void check_level(const world *w, double truth, const char *what, bool exact) {
    outcome o = simulate(w, truth, what);
    assert_true(not_above(o.rejected, 0.05));
    assert_true(!exact || not_below(o.rejected, 0.05));
}

/* ---- no true difference ---- */

static void test_mcnemar_raises_few_false_alarms(void **state) {
    (void)state;
    world w = {CE_PAIRED_HITS, 400, .worse = 0.05, .better = 0.05, .resamples = 1};
    check_level(&w, 0, "McNemar", false);
    w.n = 60; /* so few differ that the test can hardly reject */
    check_level(&w, 0, "McNemar, few items", false);
}

static void test_permutations_raise_false_alarms_as_often_as_they_say(void **state) {
    (void)state;
    world values = {CE_PAIRED_MEAN, 40, .resamples = 199};
    check_level(&values, 0, "sign flips", true);
    world classes = {CE_PAIRED_CLASS_MEAN, 300, 0.1, 0.1, .resamples = 199};
    check_level(&classes, 0, "sign flips, class mean", false);
    world calibration = {CE_PAIRED_ECE, 150, .resamples = 199};
    check_level(&calibration, 0, "swaps, calibration error", true);
}

static void test_clusters_must_be_told_and_are_then_allowed_for(void **state) {
    (void)state;
    world w = {CE_PAIRED_HITS,    500,          .worse = 0.15,   .better = 0.15,
               .clustered = true, .told = true, .resamples = 199};
    check_level(&w, 0, "clustered hits", false);
    world values = {CE_PAIRED_MEAN, 200, .clustered = true, .told = true, .resamples = 199};
    check_level(&values, 0, "clustered values", true);
    w.told = values.told = false; /* what would fail, does: the simulation can tell */
    assert_false(not_above(simulate(&w, 0, "clusters not told").rejected, 0.05));
    assert_false(not_above(simulate(&values, 0, "clusters not told").rejected, 0.05));
}

/* ---- a true difference ---- */

static void test_hits_are_seen_with_the_power_computed(void **state) {
    (void)state;
    static const double cases[][3] = {
        {300, 0.08, 0.03}, {500, 0.03, 0.06}, {80, 0.2, 0.05}};
    for (size_t i = 0; i < 3; i++) {
        world w = {CE_PAIRED_HITS, (size_t)cases[i][0], cases[i][1], cases[i][2],
                   .resamples = 1};
        double power = ce_power_hits(w.n, w.worse, w.better, 0.05);
        outcome o = simulate(&w, w.better - w.worse, "a difference in hits");
        printf("    power %.3f\n", power);
        assert_true(not_above(o.rejected, power) && not_below(o.rejected, power));
    }
}

/* A drop of 5 points where 10 % differ, with as many items as are said to be needed. */
static void test_the_items_needed_are_enough(void **state) {
    (void)state;
    world w = {CE_PAIRED_HITS, ce_items_for_hits(0.05, 0.1, 0.05, 0.8), 0.075, 0.025,
               .resamples = 1};
    assert_true(w.n <= MOST);
    outcome o = simulate(&w, -0.05, "as many items as needed");
    assert_true(not_above(o.rejected, 0.81) && not_below(o.rejected, 0.8));
}

static void test_values_are_seen_with_the_power_computed(void **state) {
    (void)state;
    world w = {CE_PAIRED_MEAN, ce_items_for_values(0.2, 1, 0.05, 0.8), .shift = 0.2,
               .resamples = 999};
    assert_true(fabs(ce_power_values(w.n, 0.2, 1, 0.05) - 0.8) < 0.003);
    outcome o = simulate(&w, 0.2, "a difference in values");
    assert_true(not_above(o.rejected, 0.8) && not_below(o.rejected, 0.8));
}

/* ---- intervals ---- */

static void check_coverage(const world *w, double truth, const char *what) {
    outcome o = simulate(w, truth, what);
    assert_true(not_above(o.covered, 0.95) && not_below(o.covered, 0.95));
}

static void test_intervals_hold_the_truth_as_often_as_they_say(void **state) {
    (void)state;
    world hits = {CE_PAIRED_HITS, 500, 0.12, 0.06, .resamples = 1};
    check_coverage(&hits, -0.06, "interval of hits");
    world values = {CE_PAIRED_MEAN, 200, .shift = 0.3, .resamples = 1000};
    check_coverage(&values, 0.3, "interval of values");
    world clustered = {CE_PAIRED_MEAN,    500,          .shift = 0.3,
                       .clustered = true, .told = true, .resamples = 1000};
    check_coverage(&clustered, 0.3, "interval of clustered values");
    world classes = {CE_PAIRED_CLASS_MEAN, 500, 0.12, 0.06, .resamples = 1000};
    check_coverage(&classes, -0.06, "interval of a class mean");
    clustered.told = false; /* too narrow, and found to be */
    assert_false(not_below(simulate(&clustered, 0.3, "clusters not told").covered, 0.95));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mcnemar_raises_few_false_alarms),
        cmocka_unit_test(test_permutations_raise_false_alarms_as_often_as_they_say),
        cmocka_unit_test(test_clusters_must_be_told_and_are_then_allowed_for),
        cmocka_unit_test(test_hits_are_seen_with_the_power_computed),
        cmocka_unit_test(test_the_items_needed_are_enough),
        cmocka_unit_test(test_values_are_seen_with_the_power_computed),
        cmocka_unit_test(test_intervals_hold_the_truth_as_often_as_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "stats.h"
#include "golden.h"
#include "metrics.h"
#include "trials.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tasks.h"

/* ---- the generator ---- */

static void test_splitmix64_gives_the_published_sequence(void **state) {
    (void)state;
    ce_random zero = {0}, other = {1234567};
    assert_true(ce_random_next(&zero) == 0xe220a8397b1dcdafu);
    assert_true(ce_random_next(&zero) == 0x6e789e6aa1b965f4u);
    assert_true(ce_random_next(&zero) == 0x06c45d188009454fu);
    assert_true(ce_random_next(&other) == 6457827717110365317u);
    assert_true(ce_random_next(&other) == 3203168211198807973u);
}

static void test_below_stays_below_and_favours_nothing(void **state) {
    (void)state;
    ce_random r = {1};
    size_t counts[7] = {0}, thirds[3] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t x = ce_random_below(&r, 7);
        assert_true(x < 7);
        counts[x]++;
    }
    for (int i = 0; i < 7; i++) /* five standard deviations of 10000 */
        assert_true(counts[i] > 9535 && counts[i] < 10465);
    /* Of 2^64 draws for 3 * 2^62 results one in four must be rejected: without that, the
     * shares would be far from a third. */
    uint64_t quarter = (uint64_t)1 << 62;
    for (int i = 0; i < 30000; i++) {
        uint64_t x = ce_random_below(&r, 3 * quarter);
        assert_true(x < 3 * quarter);
        thirds[x % 3]++;
    }
    for (int i = 0; i < 3; i++)
        assert_true(thirds[i] > 9590 && thirds[i] < 10410);
    assert_true(ce_random_below(&r, 1) == 0);
    assert_true(ce_random_below(&r, UINT64_MAX) < UINT64_MAX);
}

/* ---- Wilson ---- */

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static json_t *open_cases(void) {
    char path[GOLDEN_PATH];
    json_t *cases = golden_json(golden_path(path, sizeof path, "metrics/cases.json"));
    assert_non_null(cases);
    return cases;
}

static void test_wilson_equals_the_reference(void **state) {
    (void)state;
    json_t *cases = open_cases(), *list = json_object_get(cases, "wilson"), *c;
    size_t i;
    assert_true(json_array_size(list) >= 14);
    json_array_foreach(list, i, c) {
        double low, high;
        ce_wilson((size_t)number(c, "hits"), (size_t)number(c, "n"), &low, &high);
        assert_true(fabs(low - number(c, "low")) < 1e-15);
        assert_true(fabs(high - number(c, "high")) < 1e-15);
    }
    json_decref(cases);
}

static void test_wilson_stays_in_the_unit_interval_and_is_exact_at_its_ends(void **state) {
    (void)state;
    for (size_t n = 1; n <= 200; n++)
        for (size_t hits = 0; hits <= n; hits++) {
            double low, high, mirror_low, mirror_high, p = (double)hits / (double)n;
            ce_wilson(hits, n, &low, &high);
            ce_wilson(n - hits, n, &mirror_low, &mirror_high);
            assert_true(0 <= low && low <= p && p <= high && high <= 1);
            assert_true((low == 0) == (hits == 0) && (high == 1) == (hits == n));
            assert_true(fabs(low + mirror_high - 1) < 1e-15);
        }
    double low, high;
    ce_wilson(0, 50000, &low, &high);
    assert_true(low == 0 && high > 0);
    ce_wilson(50000, 50000, &low, &high);
    assert_true(low < 1 && high == 1);
}

/* ---- quantiles ---- */

static void test_quantiles_equal_numpys(void **state) {
    (void)state;
    static const double v[] = {-3.25, -0.1, 0.3, 0.7, 1.3, 2.9, 31.1};
    static const double expected[][2] = {
        /* q, numpy.quantile(v, q) of NumPy 2 */
        {0, -3.25},
        {0.025000000000000001, -2.7774999999999999},
        {0.10000000000000001, -1.3599999999999999},
        {0.33333333333333331, 0.29999999999999999},
        {0.5, 0.69999999999999996},
        {0.66000000000000003, 1.276},
        {0.90000000000000002, 14.180000000000012},
        {0.97499999999999998, 26.86999999999999},
        {1, 31.100000000000001},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_true(ce_quantile(v, 7, expected[i][0]) == expected[i][1]);
    for (double q = 0; q <= 1; q += 0.25)
        assert_true(ce_quantile(v, 1, q) == v[0]);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void test_quantiles_of_given_resamples_equal_the_reference(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    golden_tensor before, after, resamples;
    golden_file *f =
        golden_open(golden_path(path, sizeof path, "metrics/inputs.safetensors"));
    assert_true(golden_find(f, "bootstrap.before", &before));
    assert_true(golden_find(f, "bootstrap.after", &after));
    assert_true(golden_find(f, "bootstrap.resamples", &resamples));
    size_t b = resamples.shape[0], n = resamples.shape[1];
    assert_string_equal(resamples.dtype, "U8");
    double *deltas = calloc(b, sizeof *deltas);
    assert_non_null(deltas);
    for (size_t r = 0; r < b; r++) {
        const uint8_t *index = (const uint8_t *)resamples.data + r * n;
        int64_t sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += ((const int64_t *)after.data)[index[i]] -
                   ((const int64_t *)before.data)[index[i]];
        deltas[r] = (double)sum / (double)n;
    }
    qsort(deltas, b, sizeof *deltas, by_value);
    json_t *cases = open_cases();
    json_t *pair = json_object_get(json_object_get(cases, "bootstrap"), "percentile_95");
    double low = json_number_value(json_array_get(pair, 0));
    double high = json_number_value(json_array_get(pair, 1));
    assert_true(fabs(ce_quantile(deltas, b, 0.025) - low) < 1e-15);
    assert_true(fabs(ce_quantile(deltas, b, 0.975) - high) < 1e-15);
    json_decref(cases);
    free(deltas);
    golden_close(f);
}

/* ---- bootstrap ---- */

enum { ITEMS = 130, CLASSES = 9, RESAMPLES = 200 };

static void make_items(uint32_t *ranks, uint32_t *targets) {
    ce_random r = {99};
    for (size_t i = 0; i < ITEMS; i++) {
        targets[i] = (uint32_t)ce_random_below(&r, CLASSES - 1); /* the last is absent */
        ranks[i] = (uint32_t)ce_random_below(&r, 2 + targets[i] % 3);
    }
    ranks[3] = CE_RANK_NONE;
    targets[7] = 8; /* and one that many resamples miss */
}

#define CHANCE(number)                                                                     \
    &(ce_chance) {                                                                         \
        .seed = (number), .threads = 2                                                     \
    }

typedef struct twin {
    uint32_t ranks[ITEMS], targets[ITEMS];
    double recalls[RESAMPLES];
} twin;

static void draw_copies(void *context, size_t number, ce_random *r, void *scratch) {
    (void)scratch;
    twin *t = context;
    uint32_t ranks[ITEMS], targets[ITEMS];
    size_t hits[CLASSES], counts[CLASSES];
    for (size_t i = 0; i < ITEMS; i++) {
        uint64_t pick = ce_random_below(r, ITEMS);
        ranks[i] = t->ranks[pick];
        targets[i] = t->targets[pick];
    }
    ce_class_hits(ranks, targets, ITEMS, hits, counts, CLASSES);
    t->recalls[number] = ce_mean_per_class_recall(hits, counts, CLASSES);
}

static void test_the_bootstrap_equals_one_that_copies_its_items(void **state) {
    (void)state;
    twin t;
    double low, high;
    ce_error err;
    make_items(t.ranks, t.targets);
    ce_trials trials = {.run = draw_copies,
                        .context = &t,
                        .count = RESAMPLES,
                        .chance = {.seed = 2024, .threads = 1}};
    assert_int_equal(ce_trials_run(&trials, &err), CE_OK);
    qsort(t.recalls, RESAMPLES, sizeof *t.recalls, by_value);
    assert_int_equal(ce_bootstrap_mean_recall(t.ranks, t.targets, ITEMS, CLASSES, RESAMPLES,
                                              CHANCE(2024), &low, &high, &err),
                     0);
    assert_true(low == ce_quantile(t.recalls, RESAMPLES, 0.025));
    assert_true(high == ce_quantile(t.recalls, RESAMPLES, 0.975));
    assert_true(low < high);
}

static void test_the_bootstrap_depends_on_its_seed_alone(void **state) {
    (void)state;
    ce_error err;
    uint32_t ranks[ITEMS], targets[ITEMS];
    double low[3], high[3];
    make_items(ranks, targets);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ce_bootstrap_mean_recall(ranks, targets, ITEMS, CLASSES, RESAMPLES,
                                                  CHANCE(i == 2 ? 6 : 5), &low[i], &high[i],
                                                  &err),
                         0);
    assert_true(low[0] == low[1] && high[0] == high[1]);
    assert_true(low[0] != low[2] || high[0] != high[2]);
}

/* With one class the mean recall is a proportion p, of standard error sqrt(p (1-p) / n). */
static void test_the_bootstrap_is_as_wide_as_theory_says(void **state) {
    (void)state;
    ce_error err;
    enum { N = 2000 };
    static uint32_t ranks[N], targets[N];
    double low, high, p = 0.3, error = sqrt(p * (1 - p) / N);
    for (size_t i = 0; i < N; i++)
        ranks[i] = i % 10 < 3 ? 0 : 1;
    assert_int_equal(
        ce_bootstrap_mean_recall(ranks, targets, N, 1, 2000, CHANCE(1), &low, &high, &err),
        0);
    assert_true(fabs(low - (p - 1.96 * error)) < 0.15 * error);
    assert_true(fabs(high - (p + 1.96 * error)) < 0.15 * error);
}

static void test_the_bootstrap_of_certainty_or_of_nothing(void **state) {
    (void)state;
    ce_error err;
    const uint32_t ranks[4] = {0}, targets[4] = {0, 1, 2, 2};
    double low, high;
    assert_int_equal(
        ce_bootstrap_mean_recall(ranks, targets, 4, 3, 50, CHANCE(1), &low, &high, &err),
        0);
    assert_true(low == 1 && high == 1);
    assert_int_equal(
        ce_bootstrap_mean_recall(NULL, NULL, 0, 3, 50, CHANCE(1), &low, &high, &err), 0);
    assert_true(isnan(low) && isnan(high));
}

/* ---- samples ---- */

static void test_a_sample_is_distinct_ascending_and_seeded(void **state) {
    (void)state;
    for (size_t n = 0; n <= 20; n++)
        for (size_t k = 0; k <= n; k++) {
            size_t a[21], b[21];
            a[k] = 777;
            assert_int_equal(ce_sample(a, k, n, n + k), 0);
            assert_int_equal(ce_sample(b, k, n, n + k), 0);
            assert_memory_equal(a, b, k * sizeof *a);
            for (size_t i = 0; i < k; i++)
                assert_true(a[i] < n && (i == 0 || a[i - 1] < a[i]));
            assert_int_equal(a[k], 777);
        }
}

static void test_every_subset_is_as_likely_as_any(void **state) {
    (void)state;
    size_t counts[32] = {0};
    for (uint64_t seed = 0; seed < 20000; seed++) {
        size_t s[2];
        assert_int_equal(ce_sample(s, 2, 5, seed), 0);
        counts[1u << s[0] | 1u << s[1]]++;
    }
    for (unsigned set = 0; set < 32; set++) /* ten pairs; five standard deviations */
        if (__builtin_popcount(set) == 2)
            assert_true(counts[set] > 1787 && counts[set] < 2213);
}

/* ---- means ---- */

static void test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says(void **state) {
    (void)state;
    enum { N = 400 };
    double values[N], low, high;
    for (size_t i = 0; i < N; i++)
        values[i] = (double)(i % 4) / 3; /* mean 1/2, variance 5/36 */
    assert_int_equal(ce_bootstrap_mean(values, NULL, N, 20000, 1, &low, &high), CE_OK);
    double half = 1.959963984540054 * sqrt(5.0 / 36 / N);
    assert_true(fabs(low - (0.5 - half)) < 0.002 && fabs(high - (0.5 + half)) < 0.002);
}

/* Items that repeat each other are worth one: the interval is that of the clusters. */
static void test_clusters_are_drawn_whole(void **state) {
    (void)state;
    enum { N = 60, COPIES = 5 };
    double one[N], many[N * COPIES], low, high, low_many, high_many, low_free, high_free;
    uint32_t clusters[N * COPIES];
    for (size_t i = 0; i < N * COPIES; i++) {
        clusters[i] = (uint32_t)(i % N * COPIES); /* numbers with gaps */
        many[i] = one[i % N] = (double)(i % N * 7 % 10) / 9;
    }
    ce_bootstrap_mean(one, NULL, N, 1000, 9, &low, &high);
    ce_bootstrap_mean(many, clusters, N * COPIES, 1000, 9, &low_many, &high_many);
    assert_true(fabs(low - low_many) < 1e-12 && fabs(high - high_many) < 1e-12);
    ce_bootstrap_mean(many, NULL, N * COPIES, 1000, 9, &low_free, &high_free);
    assert_true(high_free - low_free < 0.6 * (high - low));
}

static void test_the_bootstrap_of_a_mean_without_an_answer_is_nan(void **state) {
    (void)state;
    const double hole[] = {1, NAN, 0}, sure[] = {1, 1, 1};
    double low, high;
    assert_int_equal(ce_bootstrap_mean(hole, NULL, 3, 100, 1, &low, &high), CE_OK);
    assert_true(isnan(low) && isnan(high));
    assert_int_equal(ce_bootstrap_mean(hole, NULL, 0, 100, 1, &low, &high), CE_OK);
    assert_true(isnan(low) && isnan(high));
    assert_int_equal(ce_bootstrap_mean(sure, NULL, 3, 100, 1, &low, &high), CE_OK);
    assert_true(low == 1 && high == 1);
}

/* ---- McNemar ---- */

static void test_mcnemar_equals_the_reference(void **state) {
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        tasks t;
        if (!tasks_open(&t, whole))
            continue;
        size_t i;
        json_t *entry;
        json_array_foreach(json_object_get(t.cases, "mcnemar"), i, entry) {
            double p = ce_mcnemar((size_t)tasks_number(entry, "b"),
                                  (size_t)tasks_number(entry, "c"));
            assert_true(fabs(p / tasks_number(entry, "p") - 1) < 1e-10);
        }
        tasks_close(&t);
    }
}

static void test_mcnemar_is_symmetric_and_exact_where_it_can_be_counted(void **state) {
    (void)state;
    assert_true(ce_mcnemar(7, 31) == ce_mcnemar(31, 7));
    assert_true(fabs(ce_mcnemar(0, 10) - 2.0 / 1024) < 1e-17);
    assert_true(fabs(ce_mcnemar(2, 8) - 2.0 * (1 + 10 + 45) / 1024) < 1e-14);
    assert_true(ce_mcnemar(0, 5000) > 0 && ce_mcnemar(0, 5000) < 1e-300 &&
                ce_mcnemar(100000, 100000) == 1);
    assert_true(ce_mcnemar(500000, 500001) <= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splitmix64_gives_the_published_sequence),
        cmocka_unit_test(test_below_stays_below_and_favours_nothing),
        cmocka_unit_test(test_wilson_equals_the_reference),
        cmocka_unit_test(test_wilson_stays_in_the_unit_interval_and_is_exact_at_its_ends),
        cmocka_unit_test(test_quantiles_equal_numpys),
        cmocka_unit_test(test_quantiles_of_given_resamples_equal_the_reference),
        cmocka_unit_test(test_the_bootstrap_equals_one_that_copies_its_items),
        cmocka_unit_test(test_the_bootstrap_depends_on_its_seed_alone),
        cmocka_unit_test(test_the_bootstrap_is_as_wide_as_theory_says),
        cmocka_unit_test(test_the_bootstrap_of_certainty_or_of_nothing),
        cmocka_unit_test(test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says),
        cmocka_unit_test(test_clusters_are_drawn_whole),
        cmocka_unit_test(test_the_bootstrap_of_a_mean_without_an_answer_is_nan),
        cmocka_unit_test(test_mcnemar_equals_the_reference),
        cmocka_unit_test(test_mcnemar_is_symmetric_and_exact_where_it_can_be_counted),
        cmocka_unit_test(test_a_sample_is_distinct_ascending_and_seeded),
        cmocka_unit_test(test_every_subset_is_as_likely_as_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

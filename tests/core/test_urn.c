#include "urn.h"
#include "binomial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static ce_urn *urn_of(const uint32_t *counts, size_t kinds) {
    ce_error err;
    ce_urn *urn = NULL;
    assert_int_equal(ce_urn_new(&urn, counts, kinds, &err), 0);
    return urn;
}

/* Pearson's statistic of what was seen against what was to be expected; cells where less
 * than 5 are expected are put together. In standard deviations above its mean. */
static double surprise(const double *seen, const double *expected, size_t n) {
    double sum = 0, rest_seen = 0, rest_expected = 0;
    size_t cells = 0;
    for (size_t i = 0; i < n; i++) {
        if (expected[i] < 5) {
            rest_seen += seen[i];
            rest_expected += expected[i];
            continue;
        }
        sum += (seen[i] - expected[i]) * (seen[i] - expected[i]) / expected[i];
        cells++;
    }
    if (rest_expected > 1) {
        sum += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
        cells++;
    }
    double freedom = (double)cells - 1;
    return freedom > 0 ? (sum - freedom) / sqrt(2 * freedom) : 0;
}

enum { DRAWS = 40000 };

/* Each kind's count, and the sum of any two kinds', is binomial. */
static void check_marginals(const uint32_t *counts, size_t kinds, uint64_t seed) {
    enum { MOST = 2048 };
    static double seen[16][MOST], pair[MOST], expected[MOST];
    uint32_t tally[16], balls = 0;
    ce_urn *urn = urn_of(counts, kinds);
    ce_random r = {seed};
    for (size_t k = 0; k < kinds; k++)
        balls += counts[k];
    memset(seen, 0, sizeof seen);
    memset(pair, 0, sizeof pair);
    assert_true(balls < MOST);
    for (int d = 0; d < DRAWS; d++) {
        uint32_t sum = 0;
        ce_urn_draw(urn, &r, tally);
        for (size_t k = 0; k < kinds; k++) {
            sum += tally[k];
            seen[k][tally[k]]++;
        }
        assert_int_equal(sum, balls);
        pair[tally[0] + tally[kinds - 1]]++;
    }
    for (size_t k = 0; k < kinds; k++) {
        for (uint32_t i = 0; i <= balls; i++)
            expected[i] = DRAWS * ce_binomial_pmf(i, balls, (double)counts[k] / balls);
        assert_true(surprise(seen[k], expected, balls + 1) < 5);
    }
    for (uint32_t i = 0; kinds > 2 && i <= balls; i++)
        expected[i] =
            DRAWS *
            ce_binomial_pmf(i, balls, (double)(counts[0] + counts[kinds - 1]) / balls);
    assert_true(kinds < 3 || surprise(pair, expected, balls + 1) < 5);
    ce_urn_free(urn);
}

static void test_counts_are_binomial_one_by_one_and_two_by_two(void **state) {
    (void)state;
    static const uint32_t small[] = {3, 1, 2}, few[] = {1, 1}, one[] = {7},
                          mixed[] = {40, 1, 1, 2, 2, 2, 60, 5, 1, 1, 30},
                          large[] = {1800, 100, 1, 1, 1, 97}, none[] = {5, 0, 120};
    check_marginals(small, 3, 1);
    check_marginals(few, 2, 2);
    check_marginals(one, 1, 3);
    check_marginals(mixed, 11, 4);
    check_marginals(large, 6, 5);
    check_marginals(none, 3, 6);
}

/* Where counting is possible: all 27 ways to draw three of three, by their chances. */
static void test_three_of_three_come_as_often_as_counting_says(void **state) {
    (void)state;
    static const uint32_t counts[] = {1, 1, 1};
    double seen[64] = {0}, expected[64] = {0};
    uint32_t tally[3];
    ce_urn *urn = urn_of(counts, 3);
    ce_random r = {11};
    for (int d = 0; d < DRAWS; d++) {
        ce_urn_draw(urn, &r, tally);
        seen[tally[0] * 16 + tally[1] * 4 + tally[2]]++;
    }
    for (int way = 0; way < 27; way++) {
        uint32_t of[3] = {0};
        of[way % 3]++;
        of[way / 3 % 3]++;
        of[way / 9]++;
        expected[of[0] * 16 + of[1] * 4 + of[2]] += DRAWS / 27.;
    }
    assert_true(surprise(seen, expected, 64) < 5);
    ce_urn_free(urn);
}

/* A sum over many kinds: mean, variance and skewness of the multinomial's. */
static void test_sums_over_many_kinds_spread_as_theory_says(void **state) {
    (void)state;
    enum { KINDS = 3000, SUMS = 4000 };
    static uint32_t counts[KINDS], tally[KINDS];
    static double value[KINDS];
    ce_random r = {5};
    double balls = 0, mean = 0, variance = 0, seen = 0, square = 0;
    for (size_t k = 0; k < KINDS; k++) {
        counts[k] = (uint32_t)(k % 50 == 0 ? 300 : 1 + k % 3);
        value[k] = ce_random_unit(&r) - 0.2;
        balls += counts[k];
        mean += counts[k] * value[k];
        variance += counts[k] * value[k] * value[k];
    }
    variance -= mean * mean / balls;
    ce_urn *urn = urn_of(counts, KINDS);
    for (int i = 0; i < SUMS; i++) {
        double sum = -mean;
        ce_urn_draw(urn, &r, tally);
        for (size_t k = 0; k < KINDS; k++)
            sum += tally[k] * value[k];
        seen += sum / SUMS;
        square += sum * sum / SUMS;
    }
    assert_true(fabs(seen) < 4 * sqrt(variance / SUMS));
    assert_true(fabs(square / variance - 1) < 4 * sqrt(2. / SUMS));
    ce_urn_free(urn);
}

static void test_an_empty_urn_is_refused(void **state) {
    (void)state;
    static const uint32_t counts[] = {0, 0};
    ce_error err;
    ce_urn *urn = NULL;
    assert_int_equal(ce_urn_new(&urn, counts, 2, &err), CE_EINVAL);
    assert_int_equal(ce_urn_new(&urn, counts, 0, &err), CE_EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_are_binomial_one_by_one_and_two_by_two),
        cmocka_unit_test(test_three_of_three_come_as_often_as_counting_says),
        cmocka_unit_test(test_sums_over_many_kinds_spread_as_theory_says),
        cmocka_unit_test(test_an_empty_urn_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

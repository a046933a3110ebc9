#include "power.h"
#include "stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void test_normal_quantiles_equal_the_reference(void **state) {
    (void)state;
    static const double cases[][2] = {/* q, scipy.stats.norm.ppf(q) */
                                      {1e-12, -7.0344838253011313},
                                      {0.001, -3.0902323061678132},
                                      {0.025, -1.9599639845400545},
                                      {0.3, -0.52440051270804089},
                                      {0.5, 0},
                                      {0.8, 0.8416212335729143},
                                      {0.9999, 3.7190164854557088}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(fabs(ce_normal_quantile(cases[i][0]) - cases[i][1]) < 2e-13);
}

/* Over all ways that n items can go: wrong, right, or nowhere. */
static double naive_power(int n, double worse, double better, double alpha) {
    double power = 0;
    for (int b = 0; b <= n; b++)
        for (int c = 0; b + c <= n; c++) {
            double rest = n - b - c, chance = lgamma(n + 1.);
            chance -= lgamma(b + 1.) + lgamma(c + 1.) + lgamma(rest + 1);
            chance += (b ? b * log(worse) : 0) + (c ? c * log(better) : 0);
            chance += rest > 0 ? rest * log(1 - worse - better) : 0;
            if (ce_mcnemar((size_t)b, (size_t)c) <= alpha)
                power += exp(chance);
        }
    return power;
}

static void test_power_equals_counting_all_outcomes(void **state) {
    (void)state;
    static const double cases[][4] = {{60, 0.2, 0.05, 0.05},  {8, 0.85, 0.1, 0.05},
                                      {100, 0.1, 0.1, 0.05},  {150, 0.06, 0.02, 0.01},
                                      {1, 0.5, 0.2, 0.5},     {40, 0.3, 0.001, 1e-4},
                                      {120, 0.02, 0.3, 0.05}, {5, 0.3, 0.1, 0.05}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double *c = cases[i];
        double power = ce_power_hits((size_t)c[0], c[1], c[2], c[3]);
        assert_true(fabs(power - naive_power((int)c[0], c[1], c[2], c[3])) < 1e-11);
    }
}

static void test_power_equals_the_reference(void **state) {
    (void)state;
    static const double cases[][5] = {/* from scipy.stats.binom */
                                      {60, 0.2, 0.05, 0.05, 0.58085490920290672},
                                      {300, 0.06, 0.02, 0.05, 0.6324011760378907},
                                      {1000, 0.05, 0.03, 0.01, 0.33018795158755276},
                                      {100, 0.1, 0.1, 0.05, 0.029440205993088293},
                                      {8, 0.9, 0.1, 0.05, 0.43046722000000009}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double *c = cases[i];
        assert_true(fabs(ce_power_hits((size_t)c[0], c[1], c[2], c[3]) - c[4]) < 1e-12);
        assert_true(fabs(ce_power_hits((size_t)c[0], c[2], c[1], c[3]) - c[4]) < 1e-12);
    }
    assert_true(ce_power_hits(100, 0, 0, 0.05) == 0);
    assert_true(ce_power_hits(1000000, 0.02, 0.02, 0.05) < 0.05);
    assert_true(ce_power_hits(1000000, 0.02, 0.025, 0.05) > 0.999);
}

static double power_of(size_t n, double drop, double discordant) {
    return ce_power_hits(n, (discordant + drop) / 2, (discordant - drop) / 2, 0.05);
}

/* Whatever is found has the power and one item less has not; no smaller number has it but
 * within the few percent that the steps of the exact test are high. */
static void test_items_needed_are_the_fewest(void **state) {
    (void)state;
    static const double cases[][2] = {{0.1, 0.2}, {0.05, 0.05}, {0.2, 0.3},  {0.5, 0.5},
                                      {1, 1},     {0.03, 0.1},  {0.3, 0.31}, {0.1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double drop = cases[i][0], discordant = cases[i][1];
        size_t n = ce_items_for_hits(drop, discordant, 0.05, 0.8), fewest = 1;
        while (power_of(fewest, drop, discordant) < 0.8)
            fewest++;
        assert_true(power_of(n, drop, discordant) >= 0.8);
        assert_true(power_of(n - 1, drop, discordant) < 0.8);
        assert_true(n >= fewest && (double)n <= 1.04 * (double)fewest + 1);
    }
    assert_int_equal(ce_items_for_hits(1, 1, 0.05, 0.8), 6); /* 2 / 2^6 <= 0.05 */
}

static void test_the_formula_for_many_items_meets_the_exact_power(void **state) {
    (void)state;
    size_t n = ce_items_for_hits(0.0025, 0.09, 0.05, 0.8);
    assert_true(n > CE_POWER_EXACT);
    assert_true(fabs(power_of(n, 0.0025, 0.09) - 0.8) < 0.003);
}

static void test_values_follow_the_z_test(void **state) {
    (void)state;
    size_t n = ce_items_for_values(0.005, 0.28, 0.05, 0.8);
    assert_int_equal(n, 24615); /* (1.959964 + 0.841621)^2 0.28^2 / 0.005^2, rounded up */
    assert_true(fabs(ce_power_values(n, 0.005, 0.28, 0.05) - 0.8) < 1e-4);
    assert_true(fabs(ce_power_values(50, 0, 1, 0.05) - 0.05) < 1e-12);
    assert_true(ce_power_values(50, -0.3, 1, 0.05) == ce_power_values(50, 0.3, 1, 0.05));
    assert_int_equal(ce_items_for_values(0.1, 0, 0.05, 0.8), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal_quantiles_equal_the_reference),
        cmocka_unit_test(test_power_equals_counting_all_outcomes),
        cmocka_unit_test(test_power_equals_the_reference),
        cmocka_unit_test(test_items_needed_are_the_fewest),
        cmocka_unit_test(test_the_formula_for_many_items_meets_the_exact_power),
        cmocka_unit_test(test_values_follow_the_z_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

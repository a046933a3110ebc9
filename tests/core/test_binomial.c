#include "binomial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

static bool near(double x, double expected, double relative) {
    return fabs(x - expected) <= relative * fabs(expected);
}

static void test_masses_and_tails_equal_forty_digits(void **state) {
    (void)state;
    static const struct {
        uint64_t k, n;
        double p, mass, tail;
    } cases[] = {
        /* mpmath, 40 digits, rounded */
        {3, 10, 0.5, 0.1171875, 0.171875},
        {0, 7, 0.2, 0.20971519999999998, 0.20971519999999998},
        {250, 50000, 0.005, 0.025286210717653593, 0.51681234202725721},
        {400000, 1000000, 0.4, 0.00081433730494360493, 0.50043431320676524},
        {499000, 1000000, 0.5, 0.00010798197801891516, 0.022804149932691043},
        {17, 40, 0.9, 1.4798060038912349e-13, 1.6051173994526046e-13},
        {1, 1, 0.3, 0.3, 1},
        {900, 1000, 0.9, 0.042016790861085438, 0.51541770956591937},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double exact = cases[i].n > 100000 ? 2e-11 : 1e-13;
        assert_true(near(ce_binomial_pmf(cases[i].k, cases[i].n, cases[i].p), cases[i].mass,
                         exact));
        assert_true(near(ce_binomial_tail(cases[i].k, cases[i].n, cases[i].p),
                         cases[i].tail, exact));
    }
    assert_true(near(ce_binomial_log_pmf(480000, 1000000, 0.5),
                     log(2.3658832409334219) - 351 * log(10), 1e-12));
}

/* Pascal's triangle with weights: P(n, k) = (1 - p) P(n - 1, k) + p P(n - 1, k - 1). */
static void test_masses_equal_pascals(void **state) {
    (void)state;
    enum { MOST = 120 };
    static const double chances[] = {0, 1e-9, 0.01, 0.37, 0.5, 0.93, 1};
    for (size_t c = 0; c < sizeof chances / sizeof *chances; c++) {
        double row[MOST + 2] = {1}, p = chances[c];
        for (uint64_t n = 0; n <= MOST; n++) {
            double sum = 0;
            for (uint64_t k = 0; k <= n; k++) {
                sum += row[k];
                assert_true(fabs(ce_binomial_pmf(k, n, p) - row[k]) < 1e-13);
                assert_true(fabs(ce_binomial_tail(k, n, p) - sum) < 1e-13);
            }
            assert_true(ce_binomial_pmf(n + 1, n, p) == 0);
            for (uint64_t k = n + 1; k > 0; k--)
                row[k] = (1 - p) * row[k] + p * row[k - 1];
            row[0] *= 1 - p;
        }
    }
}

static void test_poisson_is_the_limit_and_sums_to_one(void **state) {
    (void)state;
    static const double means[] = {1e-6, 0.3, 1, 17.5, 250, 44000};
    for (size_t i = 0; i < sizeof means / sizeof *means; i++) {
        double mean = means[i], sum = 0, moment = 0;
        uint64_t last = (uint64_t)(mean + 12 * sqrt(mean) + 40);
        for (uint64_t k = 0; k <= last; k++) {
            sum += ce_poisson_pmf(k, mean);
            moment += (double)k * ce_poisson_pmf(k, mean);
        }
        assert_true(fabs(sum - 1) < 1e-11 && near(moment, mean, 1e-11));
        uint64_t many = (uint64_t)1 << 50, k = (uint64_t)mean;
        assert_true(near(ce_poisson_pmf(k, mean),
                         ce_binomial_pmf(k, many, mean / (double)many), 1e-6));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masses_and_tails_equal_forty_digits),
        cmocka_unit_test(test_masses_equal_pascals),
        cmocka_unit_test(test_poisson_is_the_limit_and_sums_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "binomial.h"

#include <math.h>

static const double TWO_PI = 6.283185307179586477;

/* log(n!) - log(sqrt(2 pi n) (n / e)^n): what Stirling's formula leaves, by its series
 * (Abramowitz and Stegun, 6.1.41), whose next term is below 1e-16 from 16 on. */
static double stirling_error(double n) {
    static const double by_count[16] = {0, /* unused */
                                        0.08106146679532725822,
                                        0.041340695955409294094,
                                        0.027677925684998339149,
                                        0.020790672103765093112,
                                        0.016644691189821192163,
                                        0.013876128823070747999,
                                        0.011896709945891770095,
                                        0.010411265261972096497,
                                        0.0092554621827127329177,
                                        0.0083305634333628712565,
                                        0.007573675487951840795,
                                        0.0069428401072095298657,
                                        0.0064089941880042070684,
                                        0.0059513701127588477356,
                                        0.005554733551962801371};
    if (n < 16)
        return by_count[(int)n];
    double square = n * n;
    return (1. / 12 -
            (1. / 360 - (1. / 1260 - (1. / 1680 - 1. / 1188 / square) / square) / square) /
                square) /
           n;
}

/* x log(x / mean) + mean - x, without the cancellation of the quotient near 1. */
static double deviance(double x, double mean) {
    double above = x - mean;
    if (fabs(above) < 0.5 * mean)
        return x * log1p(above / mean) - above;
    return x * log(x / mean) - above;
}

/* Loader: Fast and Accurate Computation of Binomial Probabilities (2000): nothing large is
 * subtracted from anything large, as it would be with three log-gammas. */
double ce_binomial_log_pmf(uint64_t k, uint64_t n, double p) {
    double count = (double)n, hits = (double)k, misses = count - hits;
    if (k > n || (p <= 0 && k > 0) || (p >= 1 && k < n))
        return -HUGE_VAL;
    if (k == 0)
        return n == 0 || p <= 0 ? 0 : count * log1p(-p);
    if (k == n)
        return count * log(p);
    return stirling_error(count) - stirling_error(hits) - stirling_error(misses) -
           deviance(hits, count * p) - deviance(misses, count * (1 - p)) -
           0.5 * log(TWO_PI * hits * (misses / count));
}

double ce_binomial_pmf(uint64_t k, uint64_t n, double p) {
    return exp(ce_binomial_log_pmf(k, n, p));
}

/* pmf(k) + pmf(k - 1) + ..., from pmf(k) = 1: each from the one before, until no more is
 * added. For k below the mean, where the terms fall. */
static double falling_sum(double k, double n, double odds) {
    double term = 1, sum = 0;
    while (k >= 0 && term > sum * 1e-18) {
        sum += term;
        term *= k / ((n - k + 1) * odds);
        k--;
    }
    return sum;
}

double ce_binomial_tail(uint64_t k, uint64_t n, double p) {
    if (k >= n || p <= 0)
        return 1;
    if (p >= 1)
        return 0;
    double count = (double)n, hits = (double)k;
    if (hits <= count * p)
        return ce_binomial_pmf(k, n, p) * falling_sum(hits, count, p / (1 - p));
    return 1 -
           ce_binomial_pmf(k + 1, n, p) * falling_sum(count - hits - 1, count, (1 - p) / p);
}

double ce_poisson_pmf(uint64_t k, double mean) {
    double count = (double)k;
    if (k == 0)
        return exp(-mean);
    return exp(-stirling_error(count) - deviance(count, mean)) / sqrt(TWO_PI * count);
}

/* The binomial distribution: of n tries with chance p each, how many succeed.
 *
 *     double chance = ce_binomial_pmf(3, 10, 0.5);    // 120 / 1024
 *     double so_few = ce_binomial_tail(3, 10, 0.5);   // 176 / 1024
 *
 * n < 2^53, p in 0..1.
 */
#ifndef CE_BINOMIAL_H
#define CE_BINOMIAL_H

#include <stdint.h>

/* P(X = k) to about 1e-15 (k up to some hundreds) or 1e-11 (millions), relative; 0 where
 * k > n. log_pmf is its logarithm, which does not underflow. */
double ce_binomial_pmf(uint64_t k, uint64_t n, double p);
double ce_binomial_log_pmf(uint64_t k, uint64_t n, double p);

/* Sum of pmf(i) for i <= k: P(X <= k). From the largest term outwards, so that a small tail
 * keeps its digits. */
double ce_binomial_tail(uint64_t k, uint64_t n, double p);

/* P(X = k) of the Poisson distribution, what n p = mean > 0 tends to for large n. */
double ce_poisson_pmf(uint64_t k, double mean);

#endif

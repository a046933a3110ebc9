/* The binomial distribution: of n tries with chance p each, how many succeed.
 *
 *     double chance = ce_binomial_pmf(3, 10, 0.5);    // 120 / 1024
 *     uint64_t hits = ce_binomial_draw(&random, 50000, 0.02);
 *
 * n < 2^53, p in 0..1.
 */
#ifndef CE_BINOMIAL_H
#define CE_BINOMIAL_H

#include "stats.h"

#include <stdint.h>

/* P(X = k) to about 1e-15 (k up to some hundreds) or 1e-11 (millions), relative; 0 where
 * k > n. log_pmf is its logarithm, which does not underflow. */
double ce_binomial_pmf(uint64_t k, uint64_t n, double p);
double ce_binomial_log_pmf(uint64_t k, uint64_t n, double p);

/* Sum of pmf(i) for i <= k: P(X <= k). From the largest term outwards, so that a small tail
 * keeps its digits. */
double ce_binomial_tail(uint64_t k, uint64_t n, double p);

/* A number with exactly this distribution, as far as doubles go. */
uint64_t ce_binomial_draw(ce_random *r, uint64_t n, double p);

/* Uniform in [0, 1), 53 bits. */
double ce_random_unit(ce_random *r);

#endif

/* The sign-flip permutation test: were the signs of these differences a coin's?
 *
 *     double p;
 *     ce_sign_flip(&p, differences, n, 10000, seed, 0, &err);
 */
#ifndef CE_SIGN_FLIP_H
#define CE_SIGN_FLIP_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

/* Two-sided, of the sum of values[n] (finite; zeros do not matter):
 * (1 + how many of `flips` random choices of signs give a sum as far from 0) / (1 + flips).
 * 1 where the sum is 0. Sums that rounding alone may hold apart are equal. */
int ce_sign_flip(double *p, const double *values, size_t n, size_t flips, uint64_t seed,
                 int threads, ce_error *err);

#endif

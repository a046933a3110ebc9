/* The sign-flip permutation test: were the signs of these differences a coin's?
 *
 *     double p;
 *     ce_sign_flip(&p, differences, n, 10000, (ce_chance){.seed = 1}, &err);
 */
#ifndef CE_SIGN_FLIP_H
#define CE_SIGN_FLIP_H

#include "error.h"
#include "trials.h"

#include <stddef.h>

/* Two-sided, of the sum of values[n] (finite; zeros do not matter):
 * (1 + how many of `flips` random choices of signs give a sum as far from 0) / (1 + flips).
 * 1 where the sum is 0. Sums that rounding alone may hold apart are equal. */
int ce_sign_flip(double *p, const double *values, size_t n, size_t flips, ce_chance chance,
                 ce_error *err);

/* Eight values have 256 choices among them, whose sums are tabulated once for a batch of
 * permutations; each of these then takes a byte of a random number for all eight. */
enum { CE_EIGHT = 8, CE_CHOICES = 1 << CE_EIGHT, CE_FLIP_BATCH = 1024 };

/* sums[CE_CHOICES]: of those of values[CE_EIGHT] whose bit is set in the choice. */
void ce_choice_sums(double *sums, const double *values);

#endif

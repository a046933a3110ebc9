/* Intervals, all of them at 95 %, and p values.
 *
 *     double low, high;
 *     ce_wilson(hits, n, &low, &high);
 */
#ifndef CE_STATS_H
#define CE_STATS_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

/* A small seeded generator (SplitMix64, Steele et al. 2014): same numbers everywhere. */
struct ce_chance; /* trials.h */

typedef struct ce_random {
    uint64_t state;
} ce_random;
uint64_t ce_random_next(ce_random *r);
/* Uniform in 0 .. n-1, unbiased (rejection); n >= 1. */
uint64_t ce_random_below(ce_random *r, uint64_t n);
/* Uniform in [0, 1), in steps of 2^-53. */
double ce_random_unit(ce_random *r);

/* Wilson's score interval for hits of n at 95 % (z = 1.959963984540054); n >= 1. */
void ce_wilson(size_t hits, size_t n, double *low, double *high);

/* The q-quantile (0..1) of values[n], sorted ascending, by linear interpolation (NumPy's
 * default); n >= 1. */
double ce_quantile(const double *sorted, size_t n, double q);

/* Percentile bootstrap (over items) of the mean per-class recall: `resamples` draws of n
 * items with replacement, as trials.h says; NaN of nothing. CE_ENOMEM, CE_ECANCELLED. */
int ce_bootstrap_mean_recall(const uint32_t *ranks, const uint32_t *targets, size_t n,
                             size_t classes, size_t resamples,
                             const struct ce_chance *chance, double *low, double *high,
                             ce_error *err);

/* Percentile bootstrap of the mean of values[n]. With `clusters` (NULL: every item is its
 * own) the items of one cluster are drawn together, clusters[i] < n: pictures of one scene,
 * captions of one picture are not independent. A value that is NaN, n = 0 or no resamples
 * give NaN. Returns 0 or CE_ENOMEM. */
int ce_bootstrap_mean(const double *values, const uint32_t *clusters, size_t n,
                      size_t resamples, uint64_t seed, double *low, double *high);

/* McNemar's test, exact: of b + c items that one of two runs got right and the other wrong,
 * b went one way; the two-sided p under the binomial with 1/2. 1 where b + c = 0; never 0:
 * the smallest normal double stands for what is smaller. */
double ce_mcnemar(size_t b, size_t c);

/* Holm's adjustment for testing n hypotheses at once: each p becomes the smallest
 * familywise level at which it would be rejected. adjusted[i] belongs to p[i]; p in 0..1.
 * Returns 0 or CE_ENOMEM. */
int ce_holm(double *adjusted, const double *p, size_t n);

/* k distinct indices of 0 .. n-1, ascending: a seeded sample without replacement
 * (Floyd's algorithm); k <= n. Returns 0 or CE_ENOMEM. */
int ce_sample(size_t *out, size_t k, size_t n, uint64_t seed);

#endif

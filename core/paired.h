/* Two runs over the same items: is the second better or worse, by how much, and is that
 * more than chance?
 *
 *     ce_paired in = {.statistic = CE_PAIRED_HITS, .n = n, .base = old, .changed = new,
 *                     .resamples = 10000};
 *     ce_paired_result r;
 *     if (ce_paired_test(&r, &in, &err) == CE_OK)
 *         printf("%+.2f %% [%+.2f, %+.2f], p = %.3g\n", 100 * r.difference, ...);
 *
 * The interval is the percentile bootstrap's, at 95 %: items are drawn with replacement,
 * both runs' values of an item together. The test is McNemar's, exact, for hits; else a
 * permutation of what the runs are called, item by item, two-sided:
 * p = (1 + those as far from 0 as what was seen) / (1 + resamples).
 * Items of one cluster (captions of one picture) are drawn, and permuted, together.
 */
#ifndef CE_PAIRED_H
#define CE_PAIRED_H

#include "error.h"
#include "trials.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ce_paired_statistic {
    CE_PAIRED_HITS,       /* mean of 0 and 1 */
    CE_PAIRED_MEAN,       /* mean of any finite values */
    CE_PAIRED_CLASS_MEAN, /* mean over the classes drawn of the mean over a class's items */
    CE_PAIRED_ECE         /* the expected calibration error (core/calibration.h) */
} ce_paired_statistic;

typedef struct ce_paired {
    ce_paired_statistic statistic;
    size_t n;                                   /* items, 1 .. 2^31 */
    const double *base, *changed;               /* [n] values; for ECE the confidences */
    const bool *base_correct, *changed_correct; /* [n], for ECE only */
    const uint32_t *classes;                    /* [n], any numbers; for CLASS_MEAN only */
    const uint32_t *clusters;                   /* [n], any numbers; NULL: each its own */
    size_t resamples;                           /* and as many permutations; >= 1 */
    ce_chance chance;                           /* no result depends on its threads */
} ce_paired;

typedef struct ce_paired_result {
    double base, changed, difference; /* of the statistic; changed - base */
    double low, high;                 /* of the difference, 95 % */
    double p;                         /* in (0, 1] */
    /* sqrt(n) times the difference's standard error: for a mean over single items the
     * standard deviation of their differences (n - 1 below), else by the bootstrap. */
    double spread;
    size_t rose, fell; /* items whose value (for ECE: whose correctness) did */
    const char *test;  /* its name */
} ce_paired_result;

int ce_paired_test(ce_paired_result *out, const ce_paired *in, ce_error *err);

#endif

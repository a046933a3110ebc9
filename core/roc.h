/* Right pairs and wrong pairs, told apart by a score.
 *
 *     ce_roc roc;
 *     ce_roc_of(&roc, scores, matches, n, &err);
 *     printf("%f, at best %f from %f on\n", roc.auc, roc.accuracy, roc.threshold);
 *
 * A score that is NaN (the pair could not be read) is no score: its pair counts, and is
 * wrong whatever is asked.
 */
#ifndef CE_ROC_H
#define CE_ROC_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct ce_roc {
    size_t positives, negatives;
    double auc;       /* NaN where either is 0 */
    double threshold; /* the lowest of those with the best accuracy; see below */
    double accuracy;  /* there; NaN for n = 0 */
} ce_roc;

/* The area is Mann and Whitney's: the share of (match, other) pairs whose match scores
 * higher, equal scores at one half. Thresholds tried: the lowest score (all match), the
 * middle between neighbouring distinct scores, and INFINITY (none does). O(n log n). */
int ce_roc_of(ce_roc *out, const double *scores, const bool *matches, size_t n,
              ce_error *err);

/* Share of items for which (score >= threshold) is what `matches` says; NaN for n = 0. */
double ce_accuracy_from(const double *scores, const bool *matches, size_t n,
                        double threshold);

#endif

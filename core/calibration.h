/* Scores -> probabilities, and how far they can be believed.
 *
 *     ce_belief b = ce_softmax_belief(cosines, classes, scale, target);
 *     double ece = ce_calibration_error(confidences, correct, n, bins);
 *
 * All in float64, the same bits on every CPU; a row at a time, so nobody holds the
 * probabilities of all items.
 */
#ifndef CE_CALIBRATION_H
#define CE_CALIBRATION_H

#include <stdbool.h>
#include <stddef.h>

enum { CE_CALIBRATION_BINS = 15 };

/* What a row of scores says of its item. All NaN where a score is NaN. */
typedef struct ce_belief {
    double confidence; /* probability of the best score's class */
    double target;     /* probability of the true class */
    double brier;      /* see below */
} ce_belief;

/* scores[n], n >= 1, target < n. Probabilities are softmax(scale * scores). The Brier score
 * is Brier's own, of 1950: the sum over all classes of (probability - truth)^2, from 0 to 2
 * (twice what is usual for two classes). */
ce_belief ce_softmax_belief(const float *scores, size_t n, double scale, size_t target);

/* The same of scores without a NaN, where `best`, the lowest index of the largest, is
 * known. */
ce_belief ce_softmax_belief_of(const float *scores, size_t n, double scale, size_t target,
                               size_t best);

/* For models that judge each pair alone: sigmoid(scale * scores + bias). They need not sum
 * to 1, so the Brier score, the same sum, goes from 0 to n. */
ce_belief ce_sigmoid_belief(const float *scores, size_t n, double scale, double bias,
                            size_t target);
ce_belief ce_sigmoid_belief_of(const float *scores, size_t n, double scale, double bias,
                               size_t target, size_t best); /* as above */

typedef struct ce_calibration_bin {
    size_t count;
    double accuracy, confidence; /* means over the bin; NaN where count is 0 */
} ce_calibration_bin;

/* The bin of a confidence: the one with low < confidence <= high; 0 falls in the first. */
size_t ce_calibration_bin_of(double confidence);

/* The expected calibration error (Guo et al., ICML 2017): items in bins (low, high] of
 * equal width by confidence (0 falls in the first), then the mean of |accuracy -
 * confidence| over the bins, weighted by their counts. Items whose confidence is NaN said
 * nothing and are left out. NaN where none is left. bins[CE_CALIBRATION_BINS] is filled. */
double ce_calibration_error(const double *confidences, const bool *correct, size_t n,
                            ce_calibration_bin *bins);

#endif

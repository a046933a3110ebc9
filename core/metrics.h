/* Ranks and hits -> the figures that are reported. An item that could not be read has
 * rank CE_RANK_NONE: it counts in n, and as a miss.
 */
#ifndef CE_METRICS_H
#define CE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#define CE_RANK_NONE UINT32_MAX

/* Share of ranks below k (ranks count from 0), over n items; NaN for n = 0. */
double ce_accuracy_at(const uint32_t *ranks, size_t n, uint32_t k);

/* hits[c] and counts[c] (both [classes], zeroed here): items of class c with rank 0, and
 * items of class c. targets[i] < classes. */
void ce_class_hits(const uint32_t *ranks, const uint32_t *targets, size_t n, size_t *hits,
                   size_t *counts, size_t classes);

/* Mean of hits/counts over classes with counts > 0; NaN where there is none. */
double ce_mean_per_class_recall(const size_t *hits, const size_t *counts, size_t classes);

#endif

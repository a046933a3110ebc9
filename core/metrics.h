/* Ranks and hits -> the figures that are reported. An item that could not be read has
 * rank CE_RANK_NONE, or a score that is NaN: it counts in n, and as a miss.
 */
#ifndef CE_METRICS_H
#define CE_METRICS_H

#include "matrix.h"

#include <stdbool.h>
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

/* The median of ranks counted from 1 (the mean of the middle two where n is even). An
 * unread item stands behind every rank, so the median can be INFINITY; NaN for n = 0.
 * `scratch` has room for n. */
double ce_median_rank(const uint32_t *ranks, size_t n, uint32_t *scratch);

/* The mean of 1 / rank, counted from 1; an unread item adds 0. NaN for n = 0. */
double ce_mean_reciprocal_rank(const uint32_t *ranks, size_t n);

/* What an item is to a class, where it may have several. */
enum {
    CE_LABEL_NO,
    CE_LABEL_YES,
    CE_LABEL_IGNORED /* in neither count, as PASCAL VOC's difficult */
};

/* ap[scores.cols]: for each class the mean over its items of the precision at their rank
 * (not the 11-point form of VOC2007); 0 where it has none. Of equal scores the lower row
 * comes first. labels[scores.rows, scores.cols] are CE_LABEL_*. */
int ce_average_precision(double *ap, const ce_matrix *scores, const uint8_t *labels,
                         ce_error *err);

/* ranks[scores.rows, scores.cols]: where each item stands in the order that the precision
 * of a class goes by, from 1; 0 where it is ignored or has no score. Fewer than 2^24 items.
 */
int ce_class_ranks(ce_matrix *ranks, const ce_matrix *scores, const uint8_t *labels,
                   ce_error *err);

/* Two pictures and two captions, scores[2 * caption + picture] (Thrush et al., Winoground,
 * CVPR 2022): every comparison is strict, so a tie is wrong. */
typedef struct ce_winoground {
    bool text;  /* each picture prefers its caption */
    bool image; /* each caption prefers its picture */
    bool group; /* both */
} ce_winoground;
ce_winoground ce_winoground_of(const float scores[4]);

#endif

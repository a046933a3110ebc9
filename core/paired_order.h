/* Two runs over the same items, where the figure is of their order and no mean of theirs:
 * mean average precision, the area under the ROC curve, the median rank.
 *
 *     ce_paired_order in = {.statistic = CE_ORDER_AUC, .n = n, .classes = 1, .base = old,
 *                           .changed = new, .labels = matches, .resamples = 10000};
 *     ce_paired_result r;
 *     int code = ce_paired_order_test(&r, &in, &err);
 *
 * The figure is computed anew for every resample. The interval is the percentile
 * bootstrap's over items, as in core/paired.h. For the test both runs' places of an item
 * change hands with the chance 1/2: p = (1 + permutations as far apart as what was seen) /
 * (1 + resamples). What changes hands is not the score, since two models' scores have
 * scales of their own, but where it stands among its run's: Bandos, Rockette, Gur, A
 * permutation test sensitive to differences in areas for comparing ROC curves from a paired
 * design, Statistics in Medicine 24 (2005). A rank that is the figure itself changes hands
 * as it is.
 */
#ifndef CE_PAIRED_ORDER_H
#define CE_PAIRED_ORDER_H

#include "order.h"
#include "paired.h"

typedef struct ce_paired_order {
    ce_order_statistic statistic;
    size_t n, classes;            /* n items, 1 .. 2^30; one class but for the precision */
    const double *base, *changed; /* [classes, n] the lower the earlier (of scores, minus
                                   * them); INFINITY: could not be read */
    const uint8_t *labels;        /* [classes, n] CE_LABEL_*; NULL for the median */
    const uint32_t *clusters;     /* [n], any numbers; NULL: each its own */
    size_t resamples;             /* and as many permutations; >= 1 */
    ce_chance chance;             /* no result depends on its threads */
} ce_paired_order;

/* Of `out` rose and fell are counted for the median only: items whose rank did. A class
 * without positives adds 0 to the precision, and is none in a resample that lost them.
 * low, high and p are NAN where the figure of a run does not exist or is not finite. */
int ce_paired_order_test(ce_paired_result *out, const ce_paired_order *in, ce_error *err);

#endif

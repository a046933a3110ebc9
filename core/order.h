/* Items in the order of their scores, and what is measured along it, for sixteen resamples
 * in one go: an item counts as often as each of them drew it. Sorted once, walked often.
 *
 *     ce_order *o;
 *     ce_order_new(&o, CE_ORDER_PRECISION, places, NULL, labels, n, classes, &err);
 *     ce_order_walk(value, o, weights);            // value[16], weights[items][16]
 *     ce_order_free(o);
 */
#ifndef CE_ORDER_H
#define CE_ORDER_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

typedef enum ce_order_statistic {
    CE_ORDER_PRECISION, /* mean over classes of the average precision (core/metrics.h) */
    CE_ORDER_AUC,       /* the area under the ROC curve (core/roc.h); one class */
    CE_ORDER_MEDIAN     /* the median of the places themselves; one class, no labels */
} ce_order_statistic;

enum { CE_LANES = 16 };

typedef struct ce_order {
    ce_order_statistic statistic;
    size_t classes;
    size_t *start;  /* [classes + 1] of the two lists: where a class begins */
    size_t *unread; /* [classes] where its unread items begin, which are the last */
    double *place;  /* the lower the earlier; INFINITY: could not be read */
    uint32_t
        *item; /* twice the item whose weights count, and 1 more where it is positive */
} ce_order;

/* places[classes, n], none of them NaN; labels[classes, n] are CE_LABEL_* (NULL for the
 * median). `changed`, where it is not NULL, are the places that another run gave: they
 * stand in the same order, as items 1, 3, ..., and the first run's as 0, 2, ... */
int ce_order_new(ce_order **out, ce_order_statistic statistic, const double *places,
                 const double *changed, const uint8_t *labels, size_t n, size_t classes,
                 ce_error *err);
void ce_order_free(ce_order *o);

/* Writes to places[classes, n] each item's number in its order, from 1; those with equal
 * places share the middle of theirs for the area, and go by their items for the precision.
 * The unread stay so. */
void ce_order_number(const ce_order *o, double *places, size_t n);

/* The statistic where item i is drawn weights[i][lane] times (up to 255); NAN where it does
 * not exist (no positives). Classes without positives are none. */
void ce_order_walk(double *out, const ce_order *o, const uint8_t *weights);

#endif

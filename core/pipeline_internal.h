/* What the two sides of core/pipeline share: what becomes of an item. */
#ifndef CE_PIPELINE_INTERNAL_H
#define CE_PIPELINE_INTERNAL_H

#include "pipeline.h"

/* Notes why an item has no embedding: its row [d] becomes NaN. */
int ce_item_set_problem(ce_item_status *status, float *row, size_t d, const char *message,
                        ce_error *err);

/* Weights that are finite can still overflow: no number that is none may pass for an
 * answer. */
bool ce_row_is_finite(const float *row, size_t d);
extern const char ce_row_overflows[]; /* what is said of one that is not */

#endif

/* A look at every value of a checkpoint, as `clipeval doctor` takes it.
 *
 *     ce_notes notes = {0};
 *     ce_survey(weights, &notes, &err);
 */
#ifndef CE_SURVEY_H
#define CE_SURVEY_H

#include "notes.h"
#include "weights.h"

/* Adds a note for the tensors that hold NaN or infinity (CE_FAULT, "not-finite") and one
 * for those that are all zero (CE_WARNING, "all-zero"); each names the first and counts the
 * rest. Tensors of integers are not looked at. CE_ENOMEM. */
int ce_survey(ce_weights *w, ce_notes *notes, ce_error *err);

#endif

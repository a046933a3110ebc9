/* A look at every value of a checkpoint, as `clipeval doctor` takes it.
 *
 *     ce_notes notes = {0};
 *     ce_survey(weights, &notes, &err);
 */
#ifndef CE_SURVEY_H
#define CE_SURVEY_H

#include "notes.h"
#include "weights.h"

/* Tensors with one fault: the first is named, the others are counted. */
typedef struct ce_finding {
    const ce_tensor *first;
    size_t count;
} ce_finding;

void ce_finding_add(ce_finding *f, const ce_tensor *t);

/* "FILE: tensor NAME ONE", "FILE: tensor NAME and 3 more MANY"; nothing for none. */
void ce_finding_note(const ce_finding *f, ce_notes *notes, ce_severity severity,
                     const char *code, const char *one, const char *many);

/* Adds a note for the tensors that hold NaN or infinity (CE_FAULT, "not-finite") and one
 * for those that are all zero (CE_WARNING, "all-zero"); each names the first and counts the
 * rest. Tensors of integers are not looked at. CE_ENOMEM. */
int ce_survey(ce_weights *w, ce_notes *notes, ce_error *err);

#endif

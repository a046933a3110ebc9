/* What the text towers share: rows of a batch from ids, and how large a batch may be. */
#ifndef CE_TEXT_TOWER_H
#define CE_TEXT_TOWER_H

#include "towers.h"

/* x [sum of lengths, width] = the embedding of each token plus that of its place.
 * tokens [vocabulary, width], positions [context or more, width]; ids [n, context]. */
void ce_text_embed(float *x, const float *tokens, const float *positions, size_t width,
                   const int32_t *ids, size_t context, const size_t *lengths, size_t n);

/* Sets t->max_tokens and t->scratch, which has room for the rows, for as many rows again,
 * and for the transformer. CE_EFORMAT: so many tokens a text overflow. */
int ce_text_tower_size(ce_text_tower *t, const ce_transformer *transformer, size_t context,
                       const ce_weights *w, ce_error *err);

#endif

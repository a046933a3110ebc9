/* What the text towers share: rows of a batch from ids, and how large a batch may be. */
#ifndef CE_TEXT_TOWER_H
#define CE_TEXT_TOWER_H

#include "towers.h"

/* x [rows, width] = the embedding of each token plus that of its place.
 * tokens [vocabulary, width], positions [context or more, width]. */
void ce_text_embed(float *x, const float *tokens, const float *positions, size_t width,
                   const ce_text_rows *rows);

/* Rows that a block may have: as many as the products like, a second's work at most, and
 * room for a whole text. */
size_t ce_text_tower_rows(const ce_text_config *config);

/* Sets t->max_rows and t->scratch, which has room for the rows and for the transformer, as
 * t->shares says. CE_EFORMAT: so many tokens a text overflow. */
int ce_text_tower_size(ce_text_tower *t, const ce_transformer *transformer,
                       const ce_text_config *config, const ce_weights *w, ce_error *err);

#endif

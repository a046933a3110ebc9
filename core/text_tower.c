#include "text_tower.h"

/* Whole slices of core/linear.c, and few enough that the rows of a ViT-B's text tower take
 * 20 MB. */
enum { BLOCK_ROWS = 960 };

void ce_text_embed(float *x, const float *tokens, const float *positions, size_t width,
                   const ce_text_rows *rows) {
    for (size_t i = 0; i < rows->rows; i++, x += width) {
        const float *token = tokens + (size_t)rows->tokens[i] * width;
        const float *position = positions + rows->places[i] * width;
        for (size_t j = 0; j < width; j++)
            x[j] = token[j] + position[j];
    }
}

size_t ce_text_tower_rows(size_t context) {
    return context > BLOCK_ROWS ? context : BLOCK_ROWS;
}

int ce_text_tower_size(ce_text_tower *t, const ce_transformer *transformer, size_t context,
                       const ce_weights *w, ce_error *err) {
    t->max_rows = ce_text_tower_rows(context);
    size_t inside = t->shares
                        ? ce_transformer_tree_scratch(transformer, t->max_rows, context)
                        : ce_transformer_scratch(transformer, t->max_rows, context);
    t->scratch = t->max_rows * transformer->width + CE_MAX_LANES + inside;
    return inside == SIZE_MAX
               ? ce_fail(err, CE_EFORMAT, "%s: %zu tokens a text are too many",
                         ce_weights_path(w), context)
               : CE_OK;
}

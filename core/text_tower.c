#include "text_tower.h"

/* core/linear.c multiplies slices of 240 rows; blocks of more than four of them save next
 * to nothing. */
enum { SLICE = 240, MOST_SLICES = 4 };

void ce_text_embed(float *x, const float *tokens, const float *positions, size_t width,
                   const ce_text_rows *rows) {
    for (size_t i = 0; i < rows->rows; i++, x += width) {
        const float *token = tokens + (size_t)rows->tokens[i] * width;
        const float *position = positions + rows->places[i] * width;
        for (size_t j = 0; j < width; j++)
            x[j] = token[j] + position[j];
    }
}

size_t ce_text_tower_rows(const ce_text_config *c) {
    const double second = 1e11; /* operations of one core, about */
    double row = 2.0 * c->layers * c->width * (4.0 * c->width + 2.0 * c->hidden);
    double slices = second / (SLICE * row);
    size_t rows = slices >= MOST_SLICES ? SLICE * (size_t)MOST_SLICES
                  : slices < 1          ? SLICE
                                        : SLICE * (size_t)slices;
    size_t context = (size_t)c->context;
    return context > rows ? context : rows;
}

int ce_text_tower_size(ce_text_tower *t, const ce_transformer *transformer,
                       const ce_text_config *config, const ce_weights *w, ce_error *err) {
    size_t context = (size_t)config->context;
    t->max_rows = ce_text_tower_rows(config);
    size_t inside = t->shares
                        ? ce_transformer_tree_scratch(transformer, t->max_rows, context)
                        : ce_transformer_scratch(transformer, t->max_rows, context);
    t->scratch = t->max_rows * transformer->width + CE_MAX_LANES + inside;
    return inside == SIZE_MAX
               ? ce_fail(err, CE_EFORMAT, "%s: %zu tokens a text are too many",
                         ce_weights_path(w), context)
               : CE_OK;
}

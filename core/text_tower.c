#include "text_tower.h"

enum { BATCH_ROWS = 480 };

void ce_text_embed(float *x, const float *tokens, const float *positions, size_t width,
                   const int32_t *ids, size_t context, const size_t *lengths, size_t n) {
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < lengths[i]; p++, x += width) {
            const float *token = tokens + (size_t)ids[i * context + p] * width;
            for (size_t j = 0; j < width; j++)
                x[j] = token[j] + positions[p * width + j];
        }
}

int ce_text_tower_size(ce_text_tower *t, const ce_transformer *transformer, size_t context,
                       const ce_weights *w, ce_error *err) {
    t->max_tokens = context > BATCH_ROWS ? context : BATCH_ROWS;
    size_t inside = ce_transformer_scratch(transformer, t->max_tokens, context);
    t->scratch = 2 * t->max_tokens * transformer->width + 2 * CE_MAX_LANES + inside;
    return inside == SIZE_MAX
               ? ce_fail(err, CE_EFORMAT, "%s: %zu tokens a text are too many",
                         ce_weights_path(w), context)
               : CE_OK;
}

/* CLIP's text tower (Radford et al. 2021): a GPT-2 style causal transformer.
 *
 *     token embedding + position -> blocks (causal) -> layer norm -> the end-of-text row
 *                                -> projection
 *
 * The arithmetic is that of OpenAI's CLIP.encode_text (clip/model.py). Because no token
 * sees a later one, a text ends at its pooled token: padding is never computed. That is
 * exact.
 */
#include "towers.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_ROWS = 480 };

typedef struct gpt {
    ce_text_tower base;
    size_t context;
    float *positions; /* [context, width] */
    float *embedding; /* [vocab_size, width] */
    ce_norm final;
    ce_transformer transformer;
    ce_linear projection;
} gpt;

typedef struct gpt_names {
    const char *embedding, *positions, *blocks, *final, *projection;
    ce_orientation projection_orientation;
    const ce_block_names *block;
} gpt_names;

static const gpt_names hugging_face = {
    .embedding = "text_model.embeddings.token_embedding.weight",
    .positions = "text_model.embeddings.position_embedding.weight",
    .blocks = "text_model.encoder.layers.",
    .final = "text_model.final_layer_norm",
    .projection = "text_projection.weight",
    .projection_orientation = CE_ROWS_OUT,
    .block = &ce_names_hugging_face,
};

static const gpt_names open_clip = {
    .embedding = "token_embedding.weight",
    .positions = "positional_embedding",
    .blocks = "transformer.resblocks.",
    .final = "ln_final",
    .projection = "text_projection",
    .projection_orientation = CE_ROWS_IN,
    .block = &ce_names_open_clip,
};

static void gpt_free(ce_text_tower *base) {
    gpt *g = (gpt *)base;
    free(g->positions);
    free(g->embedding);
    ce_norm_free(&g->final);
    ce_transformer_free(&g->transformer);
    ce_linear_free(&g->projection);
    free(g);
}

static void gpt_encode(const ce_text_tower *base, float *out, const int32_t *ids,
                       const size_t *lengths, size_t n, float *scratch) {
    const gpt *g = (const gpt *)base;
    size_t width = g->transformer.width, rows = 0;
    for (size_t i = 0; i < n; i++)
        rows += lengths[i];
    float *x = ce_take(&scratch, rows * width);
    float *pooled = ce_take(&scratch, n * width);
    float *row = x;
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < lengths[i]; p++, row += width) {
            const float *token = g->embedding + (size_t)ids[i * g->context + p] * width;
            for (size_t j = 0; j < width; j++)
                row[j] = token[j] + g->positions[p * width + j];
        }
    ce_transformer_forward(&g->transformer, x, lengths, n, scratch);
    row = x;
    for (size_t i = 0; i < n; i++) {
        row += lengths[i] * width; /* one past the pooled row */
        ce_kernels_get()->layer_norm(pooled + i * width, row - width, g->final.gain,
                                     g->final.bias, width, g->transformer.eps);
    }
    ce_linear_forward(&g->projection, out, pooled, n, CE_NO_ACTIVATION, false, scratch);
}

static int load(gpt *g, const ce_config *config, ce_weights *w, const gpt_names *names,
                ce_error *err) {
    size_t width = g->transformer.width;
    size_t embedding_shape[] = {(size_t)config->text.vocab_size, width};
    size_t position_shape[] = {g->context, width};
    int result =
        ce_weights_take_floats(w, &g->embedding, names->embedding, 2, embedding_shape, err);
    if (result == CE_OK) {
        ce_tensor_release(ce_weights_find(w, names->embedding));
        result = ce_weights_take_floats(w, &g->positions, names->positions, 2,
                                        position_shape, err);
    }
    if (result == CE_OK)
        result = ce_norm_load(&g->final, w, names->final, width, err);
    if (result == CE_OK)
        result = ce_transformer_load(&g->transformer, w, names->blocks, names->block, err);
    ce_linear_init(&g->projection, (size_t)config->embed_dim, width);
    if (result == CE_OK)
        result =
            ce_linear_set(&g->projection, 0, w, names->projection,
                          (size_t)config->embed_dim, names->projection_orientation, err);
    return result;
}

int ce_text_gpt_open(ce_text_tower **out, const ce_config *config, ce_weights *w,
                     ce_error *err) {
    const ce_text_config *c = &config->text;
    gpt *g = calloc(1, sizeof *g);
    if (!g)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    g->context = (size_t)c->context;
    g->transformer = (ce_transformer){.width = (size_t)c->width,
                                      .heads = (size_t)c->heads,
                                      .hidden = (size_t)c->hidden,
                                      .layers = (size_t)c->layers,
                                      .activation = c->activation,
                                      .causal = true,
                                      .eps = (float)c->eps};
    g->base.encode = gpt_encode;
    g->base.free = gpt_free;
    g->base.max_tokens = g->context > BATCH_ROWS ? g->context : BATCH_ROWS;
    snprintf(g->base.summary, sizeof g->base.summary,
             "causal transformer %d x %d, %d heads, context %d, vocabulary %d, %s",
             c->layers, c->width, c->heads, c->context, c->vocab_size,
             ce_activation_name(c->activation));
    int result =
        load(g, config, w,
             config->style == CE_TEXT_HUGGING_FACE ? &hugging_face : &open_clip, err);
    size_t inside = ce_transformer_scratch(&g->transformer, g->base.max_tokens, g->context);
    g->base.scratch =
        2 * g->base.max_tokens * g->transformer.width + 2 * CE_MAX_LANES + inside;
    if (result == CE_OK && inside == SIZE_MAX)
        result = ce_fail(err, CE_EFORMAT, "%s: %d tokens a text are too many",
                         ce_weights_path(w), c->context);
    if (result < 0) {
        gpt_free(&g->base);
        return result;
    }
    *out = &g->base;
    return CE_OK;
}

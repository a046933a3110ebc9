/* CLIP's text tower (Radford et al. 2021), a GPT-2 style transformer:
 *
 *     token embedding + position -> blocks -> layer norm -> one row -> projection
 *
 * The arithmetic is that of OpenAI's CLIP.encode_text (clip/model.py), of open_clip's
 * TextTransformer and of transformers' SiglipTextTransformer, whose blocks are not causal.
 * Where they are, no token sees a later one, so a text ends at its pooled token (padding is
 * never computed) and texts share the rows of what they begin with. That is exact.
 */
#include "text_tower.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct gpt {
    ce_text_tower base;
    size_t context;
    float *positions; /* [context, width] */
    float *embedding; /* [vocab_size, width] */
    ce_norm final;
    ce_transformer transformer;
    bool has_projection;
    ce_linear projection;
} gpt;

typedef struct gpt_names {
    const char *embedding, *positions, *blocks, *final;
    const char *projection; /* + ".weight", ".bias", as of a layer */
    const char *matrix;     /* the projection where it is a parameter [width, embed_dim] */
    const ce_block_names *block;
} gpt_names;

static const gpt_names hugging_face = {
    .embedding = "text_model.embeddings.token_embedding.weight",
    .positions = "text_model.embeddings.position_embedding.weight",
    .blocks = "text_model.encoder.layers.",
    .final = "text_model.final_layer_norm",
    .projection = "text_projection",
    .block = &ce_names_hugging_face,
};

static const gpt_names siglip = {
    .embedding = "text_model.embeddings.token_embedding.weight",
    .positions = "text_model.embeddings.position_embedding.weight",
    .blocks = "text_model.encoder.layers.",
    .final = "text_model.final_layer_norm",
    .projection = "text_model.head",
    .block = &ce_names_hugging_face,
};

static const gpt_names open_clip = {
    .embedding = "token_embedding.weight",
    .positions = "positional_embedding",
    .blocks = "transformer.resblocks.",
    .final = "ln_final",
    .projection = "text_projection",
    .matrix = "text_projection",
    .block = &ce_names_open_clip,
};

/* open_clip's CustomTextCLIP: the text tower is a module of its own. */
static const gpt_names open_clip_custom = {
    .embedding = "text.token_embedding.weight",
    .positions = "text.positional_embedding",
    .blocks = "text.transformer.resblocks.",
    .final = "text.ln_final",
    .projection = "text.text_projection",
    .matrix = "text.text_projection",
    .block = &ce_names_open_clip,
};

static const gpt_names *names_of(const ce_config *config, const ce_weights *w) {
    if (config->family == CE_FAMILY_SIGLIP)
        return &siglip;
    if (config->family != CE_FAMILY_OPEN_CLIP)
        return &hugging_face;
    return ce_weights_find(w, open_clip_custom.embedding) ? &open_clip_custom : &open_clip;
}

static void gpt_free(ce_text_tower *base) {
    gpt *g = (gpt *)base;
    free(g->positions);
    free(g->embedding);
    ce_norm_free(&g->final);
    ce_transformer_free(&g->transformer);
    ce_linear_free(&g->projection);
    free(g);
}

static void gpt_encode(const ce_text_tower *base, float *out, const ce_text_rows *rows,
                       float *scratch) {
    const gpt *g = (const gpt *)base;
    const ce_transformer *t = &g->transformer;
    ce_wanted wanted = {rows->wanted, rows->texts};
    float *x = ce_take(&scratch, rows->rows * t->width);
    ce_text_embed(x, g->embedding, g->positions, t->width, rows);
    if (base->shares)
        ce_transformer_forward_tree(t, x, rows->places, rows->rows, &wanted, scratch);
    else
        ce_transformer_forward(t, x, rows->lengths, rows->texts, &wanted, scratch);
    float *to = g->has_projection ? x : out;
    ce_norm_forward(&g->final, to, x, t->width, rows->texts, t->width, t->eps);
    if (g->has_projection)
        ce_linear_forward(&g->projection, out, x, rows->texts, CE_NO_ACTIVATION, false,
                          scratch);
}

static int load_projection(gpt *g, const ce_config *config, ce_weights *w,
                           const gpt_names *names, ce_error *err) {
    size_t d = (size_t)config->embed_dim;
    g->has_projection = !config->text.no_projection;
    if (!g->has_projection)
        return CE_OK;
    ce_linear_init(&g->projection, d, g->transformer.width);
    if (config->text.projection_bias)
        return ce_linear_set_layer(&g->projection, 0, w, names->projection, d, err);
    if (names->matrix)
        return ce_linear_set(&g->projection, 0, w, names->matrix, d, CE_ROWS_IN, err);
    char name[64];
    snprintf(name, sizeof name, "%s.weight", names->projection);
    return ce_linear_set(&g->projection, 0, w, name, d, CE_ROWS_OUT, err);
}

static int load(gpt *g, const ce_config *config, ce_weights *w, ce_error *err) {
    const gpt_names *names = names_of(config, w);
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
    return result < 0 ? result : load_projection(g, config, w, names, err);
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
                                      .layer_scale = c->layer_scale,
                                      .precision = config->precision,
                                      .eps = (float)c->eps};
    g->base.shares = !c->not_causal;
    g->base.encode = gpt_encode;
    g->base.free = gpt_free;
    snprintf(g->base.summary, sizeof g->base.summary,
             "%s transformer %d x %d, %d heads, context %d, vocabulary %d, %s",
             c->not_causal ? "bidirectional" : "causal", c->layers, c->width, c->heads,
             c->context, c->vocab_size, ce_activation_name(c->activation));
    int result = load(g, config, w, err);
    if (result == CE_OK)
        result = ce_text_tower_size(&g->base, &g->transformer, c, w, err);
    if (result < 0) {
        gpt_free(&g->base);
        return result;
    }
    *out = &g->base;
    return CE_OK;
}

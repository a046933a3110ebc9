/* BERT (Devlin et al. 2019) as Chinese-CLIP uses it for texts:
 *
 *     word + position + segment embedding -> layer norm -> blocks that normalise afterwards
 *         -> the first row ([CLS], without BERT's pooler) -> projection
 *
 * The arithmetic is that of transformers' ChineseCLIPTextModel. Padding is masked there; a
 * text that ends at its last token and is computed alone gives the same, so padding is
 * never computed.
 */
#include "text_tower.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bert {
    ce_text_tower base;
    size_t rows;      /* of the position table */
    float *positions; /* [rows, width], with the first segment's embedding added */
    float *words;     /* [vocab_size, width] */
    ce_norm norm;
    ce_transformer transformer;
    ce_linear projection;
} bert;

static void bert_free(ce_text_tower *base) {
    bert *b = (bert *)base;
    free(b->positions);
    free(b->words);
    ce_norm_free(&b->norm);
    ce_transformer_free(&b->transformer);
    ce_linear_free(&b->projection);
    free(b);
}

static void bert_encode(const ce_text_tower *base, float *out, const ce_text_rows *rows,
                        float *scratch) {
    const bert *b = (const bert *)base;
    const ce_transformer *t = &b->transformer;
    ce_wanted wanted = {rows->wanted, rows->texts};
    float *x = ce_take(&scratch, rows->rows * t->width);
    ce_text_embed(x, b->words, b->positions, t->width, rows);
    ce_norm_forward(&b->norm, x, x, t->width, rows->rows, t->width, t->eps);
    ce_transformer_forward(t, x, rows->lengths, rows->texts, &wanted, scratch);
    ce_linear_forward(&b->projection, out, x, rows->texts, CE_NO_ACTIVATION, false,
                      scratch);
}

/* positions += the embedding of the first segment: a text has no second one. */
static int add_segment(bert *b, ce_weights *w, size_t types, ce_error *err) {
    size_t width = b->transformer.width, shape[] = {types, width};
    float *segments = NULL;
    int result = ce_weights_take_floats(
        w, &segments, "text_model.embeddings.token_type_embeddings.weight", 2, shape, err);
    for (size_t i = 0; result == CE_OK && i < b->rows * width; i++)
        b->positions[i] += segments[i % width];
    free(segments);
    return result;
}

static int load(bert *b, const ce_config *config, ce_weights *w, ce_error *err) {
    static const char *const words = "text_model.embeddings.word_embeddings.weight";
    size_t width = b->transformer.width, d = (size_t)config->embed_dim;
    size_t word_shape[] = {(size_t)config->text.vocab_size, width};
    size_t position_shape[] = {b->rows, width};
    int result = ce_weights_take_floats(w, &b->words, words, 2, word_shape, err);
    if (result == CE_OK) {
        ce_tensor_release(ce_weights_find(w, words));
        result = ce_weights_take_floats(w, &b->positions,
                                        "text_model.embeddings.position_embeddings.weight",
                                        2, position_shape, err);
    }
    if (result == CE_OK)
        result = add_segment(b, w, (size_t)config->text.type_vocab_size, err);
    if (result == CE_OK)
        result = ce_norm_load(&b->norm, w, "text_model.embeddings.LayerNorm", width, err);
    if (result == CE_OK)
        result = ce_transformer_load(&b->transformer, w, "text_model.encoder.layer.",
                                     &ce_names_bert, err);
    ce_linear_init(&b->projection, d, width);
    if (result == CE_OK)
        result = ce_linear_set(&b->projection, 0, w, "text_projection.weight", d,
                               CE_ROWS_OUT, err);
    return result;
}

int ce_text_bert_open(ce_text_tower **out, const ce_config *config, ce_weights *w,
                      ce_error *err) {
    const ce_text_config *c = &config->text;
    bert *b = calloc(1, sizeof *b);
    if (!b)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    b->rows = (size_t)c->positions;
    b->transformer = (ce_transformer){.width = (size_t)c->width,
                                      .heads = (size_t)c->heads,
                                      .hidden = (size_t)c->hidden,
                                      .layers = (size_t)c->layers,
                                      .activation = c->activation,
                                      .post_norm = true,
                                      .precision = config->precision,
                                      .eps = (float)c->eps};
    b->base.encode = bert_encode;
    b->base.free = bert_free;
    snprintf(b->base.summary, sizeof b->base.summary,
             "BERT %d x %d, %d heads, context %d, vocabulary %d, %s", c->layers, c->width,
             c->heads, c->context, c->vocab_size, ce_activation_name(c->activation));
    int result = load(b, config, w, err);
    if (result == CE_OK)
        result = ce_text_tower_size(&b->base, &b->transformer, c, w, err);
    if (result < 0) {
        bert_free(&b->base);
        return result;
    }
    *out = &b->base;
    return CE_OK;
}

/* The blocks of a transformer, filled from a checkpoint. */
#include "transformer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const ce_block_names ce_names_hugging_face = {
    .ln_1 = "layer_norm1",
    .ln_2 = "layer_norm2",
    .query = "self_attn.q_proj",
    .key = "self_attn.k_proj",
    .value = "self_attn.v_proj",
    .out = "self_attn.out_proj",
    .fc = "mlp.fc1",
    .proj = "mlp.fc2",
};

const ce_block_names ce_names_bert = {
    .ln_1 = "attention.output.LayerNorm",
    .ln_2 = "output.LayerNorm",
    .query = "attention.self.query",
    .key = "attention.self.key",
    .value = "attention.self.value",
    .out = "attention.output.dense",
    .fc = "intermediate.dense",
    .proj = "output.dense",
};

const ce_block_names ce_names_open_clip = {
    .ln_1 = "ln_1",
    .ln_2 = "ln_2",
    .in_weight = "attn.in_proj_weight",
    .in_bias = "attn.in_proj_bias",
    .out = "attn.out_proj",
    .fc = "mlp.c_fc",
    .proj = "mlp.c_proj",
    .scale_1 = "ls_1.gamma",
    .scale_2 = "ls_2.gamma",
};

const ce_block_names ce_names_timm = {
    .ln_1 = "norm1",
    .ln_2 = "norm2",
    .in_weight = "attn.qkv.weight",
    .in_bias = "attn.qkv.bias",
    .out = "attn.proj",
    .fc = "mlp.fc1",
    .proj = "mlp.fc2",
    .scale_1 = "ls1.gamma",
    .scale_2 = "ls2.gamma",
};

int ce_norm_load(ce_norm *norm, ce_weights *w, const char *name, size_t width,
                 ce_error *err) {
    char full[320];
    snprintf(full, sizeof full, "%s.weight", name);
    int result = ce_weights_take_floats(w, &norm->gain, full, 1, &width, err);
    if (result < 0)
        return result;
    snprintf(full, sizeof full, "%s.bias", name);
    return ce_weights_take_floats(w, &norm->bias, full, 1, &width, err);
}

void ce_norm_free(ce_norm *norm) {
    free(norm->gain);
    free(norm->bias);
    *norm = (ce_norm){0};
}

/* Loads BLOCK.PART.weight and .bias into outputs first .. first + n - 1 of `l`. */
static int load_part(ce_linear *l, size_t first, size_t n, ce_weights *w, const char *block,
                     const char *part, ce_error *err) {
    char name[256];
    snprintf(name, sizeof name, "%s%s", block, part);
    return ce_linear_set_layer(l, first, w, name, n, err);
}

/* A stacked weight and bias in two layers: the query, and keys and values. */
static int load_stacked_apart(ce_block *b, size_t width, ce_weights *w, const char *weight,
                              const char *bias, ce_error *err) {
    size_t shape[] = {3 * width, width};
    float *rows = NULL, *biases = NULL;
    const char *path = ce_weights_path(w);
    int result = ce_weights_take_floats(w, &rows, weight, 2, shape, err);
    if (result == CE_OK)
        result = ce_weights_take_floats(w, &biases, bias, 1, shape, err);
    bool filled = result == CE_OK && !ce_weights_is_shapes_only(w);
    if (filled)
        result = ce_linear_set_rows(&b->query, 0, rows, width, path, err);
    if (filled && result == CE_OK)
        result = ce_linear_set_bias_values(&b->query, 0, biases, width, err);
    if (filled && result == CE_OK)
        result = ce_linear_set_rows(&b->qkv, 0, rows + width * width, 2 * width, path, err);
    if (filled && result == CE_OK)
        result = ce_linear_set_bias_values(&b->qkv, 0, biases + width, 2 * width, err);
    free(rows);
    free(biases);
    return result;
}

static int load_qkv(ce_block *b, size_t width, bool apart, ce_weights *w, const char *block,
                    const ce_block_names *names, ce_error *err) {
    ce_linear_init(&b->query, width, width);
    ce_linear_init(&b->qkv, (apart ? 2 : 3) * width, width);
    if (names->in_weight) {
        char weight[256], bias[256];
        snprintf(weight, sizeof weight, "%s%s", block, names->in_weight);
        snprintf(bias, sizeof bias, "%s%s", block, names->in_bias);
        if (apart)
            return load_stacked_apart(b, width, w, weight, bias, err);
        int result = ce_linear_set(&b->qkv, 0, w, weight, 3 * width, CE_ROWS_OUT, err);
        return result < 0 ? result
                          : ce_linear_set_bias(&b->qkv, 0, w, bias, 3 * width, err);
    }
    size_t at = apart ? 0 : width;
    int result =
        load_part(apart ? &b->query : &b->qkv, 0, width, w, block, names->query, err);
    if (result == CE_OK)
        result = load_part(&b->qkv, at, width, w, block, names->key, err);
    return result < 0 ? result
                      : load_part(&b->qkv, at + width, width, w, block, names->value, err);
}

static int load_linear(ce_linear *l, size_t out, size_t in, ce_weights *w,
                       const char *block, const char *part, ce_error *err) {
    ce_linear_init(l, out, in);
    return load_part(l, 0, out, w, block, part, err);
}

static int load_scale(ce_linear *l, ce_weights *w, const char *block, const char *part,
                      ce_error *err) {
    char name[256];
    float *factors = NULL;
    snprintf(name, sizeof name, "%s%s", block, part);
    int result = ce_weights_take_floats(w, &factors, name, 1, &l->out, err);
    if (result == CE_OK)
        ce_linear_scale_outputs(l, factors);
    free(factors);
    return result;
}

static int load_block(ce_block *b, const ce_transformer *t, bool is_last, ce_weights *w,
                      const char *block, const ce_block_names *names, ce_error *err) {
    char ln_1[256], ln_2[256];
    snprintf(ln_1, sizeof ln_1, "%s%s", block, names->ln_1);
    snprintf(ln_2, sizeof ln_2, "%s%s", block, names->ln_2);
    int result = ce_norm_load(&b->ln_1, w, ln_1, t->width, err);
    if (result == CE_OK)
        result = load_qkv(b, t->width, is_last, w, block, names, err);
    if (result == CE_OK)
        result = load_linear(&b->out, t->width, t->width, w, block, names->out, err);
    if (result == CE_OK)
        result = ce_norm_load(&b->ln_2, w, ln_2, t->width, err);
    if (result == CE_OK)
        result = load_linear(&b->fc, t->hidden, t->width, w, block, names->fc, err);
    if (result == CE_OK)
        result = load_linear(&b->proj, t->width, t->hidden, w, block, names->proj, err);
    if (result == CE_OK && t->layer_scale)
        result = load_scale(&b->out, w, block, names->scale_1, err);
    if (result == CE_OK && t->layer_scale)
        result = load_scale(&b->proj, w, block, names->scale_2, err);
    ce_linear *const layers[] = {&b->query, &b->qkv, &b->out, &b->fc, &b->proj};
    for (size_t i = 0; i < 5 && result == CE_OK; i++)
        result = ce_linear_set_precision(layers[i], t->precision, err);
    return result;
}

/* One of two threads that load the blocks: `first`, first + 2, ... */
typedef struct loader {
    ce_transformer *t;
    ce_weights *w;
    const char *prefix;
    const ce_block_names *names;
    size_t first, failed; /* the block that failed, or t->layers */
    int result;
    ce_error err;
} loader;

static void *load_blocks(void *context) {
    loader *l = context;
    l->failed = l->t->layers;
    for (size_t i = l->first; i < l->t->layers; i += 2) {
        char block[200];
        snprintf(block, sizeof block, "%s%zu.", l->prefix, i);
        l->result = load_block(&l->t->blocks[i], l->t, i + 1 == l->t->layers, l->w, block,
                               l->names, &l->err);
        if (l->result < 0) {
            l->failed = i;
            break;
        }
    }
    return NULL;
}

int ce_transformer_load(ce_transformer *t, ce_weights *w, const char *prefix,
                        const ce_block_names *names, ce_error *err) {
    t->blocks = calloc(t->layers, sizeof *t->blocks);
    if (!t->blocks)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    loader even = {.t = t, .w = w, .prefix = prefix, .names = names}, odd = even;
    odd.first = 1;
    pthread_t thread;
    bool threaded = pthread_create(&thread, NULL, load_blocks, &odd) == 0;
    load_blocks(&even);
    if (threaded)
        pthread_join(thread, NULL);
    else
        load_blocks(&odd);
    /* the first fault in the order of the blocks, so that it is the same at every run */
    const loader *l = even.failed < odd.failed ? &even : &odd;
    return l->result < 0 ? ce_fail(err, l->result, "%s", l->err.message) : CE_OK;
}

void ce_transformer_free(ce_transformer *t) {
    for (size_t i = 0; t->blocks && i < t->layers; i++) {
        ce_block *b = &t->blocks[i];
        ce_norm_free(&b->ln_1);
        ce_norm_free(&b->ln_2);
        ce_linear_free(&b->query);
        ce_linear_free(&b->qkv);
        ce_linear_free(&b->out);
        ce_linear_free(&b->fc);
        ce_linear_free(&b->proj);
    }
    free(t->blocks);
    t->blocks = NULL;
}

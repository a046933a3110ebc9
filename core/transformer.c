#include "transformer.h"

#include <math.h>
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

void ce_norm_forward(const ce_norm *norm, float *y, const float *x, size_t stride, size_t n,
                     size_t width, float eps) {
    const ce_kernels *kernels = ce_kernels_get();
    for (size_t i = 0; i < n; i++)
        kernels->layer_norm(y + i * width, x + i * stride, norm->gain, norm->bias, width,
                            eps);
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

static int load_qkv(ce_linear *l, size_t width, ce_weights *w, const char *block,
                    const ce_block_names *names, ce_error *err) {
    ce_linear_init(l, 3 * width, width);
    if (names->in_weight) {
        char name[256];
        snprintf(name, sizeof name, "%s%s", block, names->in_weight);
        int result = ce_linear_set(l, 0, w, name, 3 * width, CE_ROWS_OUT, err);
        if (result < 0)
            return result;
        snprintf(name, sizeof name, "%s%s", block, names->in_bias);
        return ce_linear_set_bias(l, 0, w, name, 3 * width, err);
    }
    int result = CE_OK;
    const char *parts[] = {names->query, names->key, names->value};
    for (size_t i = 0; i < 3 && result == CE_OK; i++)
        result = load_part(l, i * width, width, w, block, parts[i], err);
    return result;
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

static int load_block(ce_block *b, const ce_transformer *t, ce_weights *w,
                      const char *block, const ce_block_names *names, ce_error *err) {
    char ln_1[256], ln_2[256];
    snprintf(ln_1, sizeof ln_1, "%s%s", block, names->ln_1);
    snprintf(ln_2, sizeof ln_2, "%s%s", block, names->ln_2);
    int result = ce_norm_load(&b->ln_1, w, ln_1, t->width, err);
    if (result == CE_OK)
        result = load_qkv(&b->qkv, t->width, w, block, names, err);
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
    ce_linear *const layers[] = {&b->qkv, &b->out, &b->fc, &b->proj};
    for (size_t i = 0; i < 4 && result == CE_OK; i++)
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
        l->result = load_block(&l->t->blocks[i], l->t, l->w, block, l->names, &l->err);
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
        ce_linear_free(&b->qkv);
        ce_linear_free(&b->out);
        ce_linear_free(&b->fc);
        ce_linear_free(&b->proj);
    }
    free(t->blocks);
    t->blocks = NULL;
}

/* The attention of one head over one sequence. */
typedef struct head_scratch {
    float *a;      /* queries, then probabilities, packed by mr */
    float *b;      /* keys, then values, packed by nr */
    float *scores; /* [length, length rounded up to CE_MAX_LANES] */
} head_scratch;

static size_t scores_stride(size_t length) {
    return ce_round_up(length, CE_MAX_LANES);
}

/* Values [length, size] (row stride ld) -> panels [size / nr][length][nr]. */
static void pack_values(float *dst, const float *v, size_t ld, size_t length, size_t size,
                        size_t nr) {
    for (size_t j = 0; j < size; j += nr) {
        size_t cols = size - j < nr ? size - j : nr;
        for (size_t p = 0; p < length; p++, dst += nr) {
            memcpy(dst, v + p * ld + j, cols * sizeof *dst);
            for (size_t c = cols; c < nr; c++)
                dst[c] = 0;
        }
    }
}

/* mixed [length, width], the columns of this head; qkv points at its query columns. */
static void attend_head(const ce_transformer *t, float *mixed, const float *qkv,
                        size_t length, const head_scratch *s) {
    const ce_kernels *kernels = ce_kernels_get();
    size_t size = t->width / t->heads, ld = 3 * t->width, stride = scores_stride(length);
    kernels->pack(s->a, qkv, ld, length, size, kernels->mr);
    kernels->pack(s->b, qkv + t->width, ld, length, size, kernels->nr);
    ce_gemm_run(&(ce_gemm){.m = length,
                           .n = length,
                           .k = size,
                           .a = s->a,
                           .b = s->b,
                           .panel = size * kernels->nr,
                           .c = s->scores,
                           .ldc = stride});
    float scale = 1 / sqrtf((float)size);
    for (size_t i = 0; i < length; i++) {
        float *row = s->scores + i * stride;
        for (size_t j = length; j < stride; j++)
            row[j] = -INFINITY;
        kernels->softmax(row, stride, scale);
    }
    kernels->pack(s->a, s->scores, stride, length, length, kernels->mr);
    pack_values(s->b, qkv + 2 * t->width, ld, length, size, kernels->nr);
    ce_gemm_run(&(ce_gemm){.m = length,
                           .n = size,
                           .k = length,
                           .a = s->a,
                           .b = s->b,
                           .panel = length * kernels->nr,
                           .c = mixed,
                           .ldc = t->width});
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t packed_a_size(const ce_transformer *t, size_t longest) {
    size_t k = larger(t->width / t->heads, longest);
    return ce_round_up(longest, ce_kernels_get()->mr) * k;
}

static size_t packed_b_size(const ce_transformer *t, size_t longest) {
    size_t nr = ce_kernels_get()->nr, size = t->width / t->heads;
    return larger(ce_round_up(longest, nr) * size, ce_round_up(size, nr) * longest);
}

/* Floats for what a pass keeps of each row; SIZE_MAX where that overflows. */
static size_t row_scratch(const ce_transformer *t, size_t rows, size_t longest) {
    const size_t sane = (size_t)1 << 36; /* floats: no real model comes near */
    size_t per_row = 5 * t->width + t->hidden, all;
    if (longest > 1u << 17 || __builtin_mul_overflow(rows, per_row, &all) || all > sane)
        return SIZE_MAX;
    return all + ce_linear_workspace() + 8 * CE_MAX_LANES;
}

size_t ce_transformer_scratch(const ce_transformer *t, size_t rows, size_t longest) {
    size_t all = row_scratch(t, rows, longest);
    return all == SIZE_MAX ? all
                           : all + packed_a_size(t, longest) + packed_b_size(t, longest) +
                                 longest * scores_stride(longest);
}

size_t ce_transformer_tree_scratch(const ce_transformer *t, size_t rows, size_t deepest) {
    size_t all = row_scratch(t, rows, deepest);
    return all == SIZE_MAX ? all : all + 2 * scores_stride(deepest);
}

/* What the passes over one batch share. */
typedef struct pass {
    const ce_transformer *t;
    float *x; /* [rows, width] */
    size_t rows;
    float *normed; /* [rows, width]; also what heads mix */
    float *qkv;    /* [rows, 3 * width] */
    float *hidden; /* [rows, hidden] */
    float *workspace;
    /* sequences */
    const size_t *lengths; /* [n] */
    size_t n;
    head_scratch head;
    /* or a tree */
    const uint32_t *depths; /* [rows] */
    uint32_t *path;         /* [deepest] of the row in hand, the rows from its root on */
    float *scores;          /* [deepest] */
} pass;

static void norm_rows(const pass *p, const ce_norm *norm, float *y) {
    ce_norm_forward(norm, y, p->x, p->t->width, p->rows, p->t->width, p->t->eps);
}

static void attend_sequences(const pass *p) {
    const ce_transformer *t = p->t;
    for (size_t s = 0, first = 0; s < p->n; first += p->lengths[s++])
        for (size_t h = 0, at = 0; h < t->heads; h++, at += t->width / t->heads)
            attend_head(t, p->normed + first * t->width + at,
                        p->qkv + first * 3 * t->width + at, p->lengths[s], &p->head);
}

/* Row by row: a text has few tokens before each, and a row's sums are the same whatever
 * else is in the tree. */
static void attend_tree(const pass *p, const ce_wanted *wanted) {
    const ce_transformer *t = p->t;
    size_t width = t->width, next = 0;
    for (size_t i = 0; i < p->rows; i++) {
        const float *query = p->qkv + i * 3 * width;
        p->path[p->depths[i]] = (uint32_t)i;
        if (wanted && (next == wanted->n || wanted->rows[next] != i))
            continue;
        next++;
        ce_kernels_get()->attend(p->normed + i * width, query, p->qkv + width,
                                 p->qkv + 2 * width, 3 * width, p->path, p->depths[i] + 1,
                                 t->heads, width / t->heads, p->scores);
    }
}

static void keep(float *rows, const ce_wanted *wanted, size_t width) {
    for (size_t i = 0; i < wanted->n; i++)
        memmove(rows + i * width, rows + wanted->rows[i] * width, width * sizeof *rows);
}

static void attention_branch(pass *p, const ce_block *b, const ce_wanted *wanted) {
    const ce_transformer *t = p->t;
    if (!t->post_norm)
        norm_rows(p, &b->ln_1, p->normed);
    ce_linear_forward(&b->qkv, p->qkv, t->post_norm ? p->x : p->normed, p->rows,
                      CE_NO_ACTIVATION, false, p->workspace);
    if (p->depths)
        attend_tree(p, wanted);
    else
        attend_sequences(p);
    if (wanted) {
        keep(p->x, wanted, t->width);
        keep(p->normed, wanted, t->width);
        p->rows = wanted->n;
    }
    ce_linear_forward(&b->out, p->x, p->normed, p->rows, CE_NO_ACTIVATION, true,
                      p->workspace);
    if (t->post_norm)
        norm_rows(p, &b->ln_1, p->x);
}

static void mlp_branch(const pass *p, const ce_block *b) {
    const ce_transformer *t = p->t;
    if (!t->post_norm)
        norm_rows(p, &b->ln_2, p->normed);
    ce_linear_forward(&b->fc, p->hidden, t->post_norm ? p->x : p->normed, p->rows,
                      t->activation, false, p->workspace);
    ce_linear_forward(&b->proj, p->x, p->hidden, p->rows, CE_NO_ACTIVATION, true,
                      p->workspace);
    if (t->post_norm)
        norm_rows(p, &b->ln_2, p->x);
}

static void run(pass *p, const ce_wanted *wanted, float *scratch) {
    const ce_transformer *t = p->t;
    p->normed = ce_take(&scratch, p->rows * t->width);
    p->qkv = ce_take(&scratch, p->rows * 3 * t->width);
    p->hidden = ce_take(&scratch, p->rows * t->hidden);
    p->workspace = scratch;
    for (size_t layer = 0; layer < t->layers; layer++) {
        attention_branch(p, &t->blocks[layer], layer + 1 == t->layers ? wanted : NULL);
        mlp_branch(p, &t->blocks[layer]);
    }
}

void ce_transformer_forward(const ce_transformer *t, float *x, const size_t *lengths,
                            size_t n, const ce_wanted *wanted, float *scratch) {
    pass p = {.t = t, .x = x, .lengths = lengths, .n = n};
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        p.rows += lengths[i];
        longest = larger(longest, lengths[i]);
    }
    p.head = (head_scratch){ce_take(&scratch, packed_a_size(t, longest)),
                            ce_take(&scratch, packed_b_size(t, longest)),
                            ce_take(&scratch, longest * scores_stride(longest))};
    run(&p, wanted, scratch);
}

void ce_transformer_forward_tree(const ce_transformer *t, float *x, const uint32_t *depths,
                                 size_t rows, const ce_wanted *wanted, float *scratch) {
    pass p = {.t = t, .x = x, .rows = rows, .depths = depths};
    size_t deepest = 0;
    for (size_t i = 0; i < rows; i++)
        deepest = larger(deepest, depths[i] + 1);
    p.scores = ce_take(&scratch, scores_stride(deepest));
    p.path = (uint32_t *)ce_take(&scratch, deepest); /* of the same size as a float */
    run(&p, wanted, scratch);
}

#include "transformer.h"

#include "attention.h"

#include <string.h>

void ce_norm_forward(const ce_norm *norm, float *y, const float *x, size_t stride, size_t n,
                     size_t width, float eps) {
    const ce_kernels *kernels = ce_kernels_get();
    for (size_t i = 0; i < n; i++)
        kernels->layer_norm(y + i * width, x + i * stride, norm->gain, norm->bias, width,
                            eps);
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
                           : all + ce_attention_scratch(t->width / t->heads, longest) +
                                 2 * ce_round_up(longest, CE_MAX_LANES);
}

size_t ce_transformer_tree_scratch(const ce_transformer *t, size_t rows, size_t deepest) {
    size_t all = row_scratch(t, rows, deepest);
    return all == SIZE_MAX ? all : all + 2 * ce_round_up(deepest, CE_MAX_LANES);
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
    float *attention;
    /* or a tree */
    const uint32_t *depths; /* [rows] */
    uint32_t *path;         /* [deepest] of the row in hand, the rows from its root on; of
                               sequences: 0, 1, ... */
    float *scores;          /* [deepest] */
} pass;

static void norm_rows(const pass *p, const ce_norm *norm, float *y) {
    ce_norm_forward(norm, y, p->x, p->t->width, p->rows, p->t->width, p->t->eps);
}

static void attend_sequences(const pass *p, const ce_attended *x) {
    const ce_transformer *t = p->t;
    size_t size = t->width / t->heads;
    for (size_t s = 0, first = 0; s < p->n; first += p->lengths[s++])
        for (size_t h = 0, at = 0; h < t->heads; h++, at += size) {
            ce_attended head = {
                x->query + first * x->query_stride + at, x->key + first * x->stride + at,
                x->value + first * x->stride + at, x->query_stride, x->stride};
            ce_attention_head(p->normed + first * t->width + at, t->width, &head,
                              p->lengths[s], size, t->precision, p->attention);
        }
}

/* The query's row `row` becomes row `row` of what heads mix. */
static void attend_row(const pass *p, const ce_attended *x, size_t row, size_t first,
                       size_t n) {
    const ce_transformer *t = p->t;
    ce_kernels_get()->attend(p->normed + row * t->width, x->query + row * x->query_stride,
                             x->key + first * x->stride, x->value + first * x->stride,
                             x->stride, p->path, n, t->heads, t->width / t->heads,
                             p->scores);
}

/* The query has the wanted rows alone. */
static void attend_wanted(const pass *p, const ce_attended *x, const ce_wanted *wanted) {
    for (size_t s = 0, first = 0, i = 0; s < p->n; first += p->lengths[s++])
        for (; i < wanted->n && wanted->rows[i] < first + p->lengths[s]; i++)
            attend_row(p, x, i, first, p->lengths[s]);
}

/* Row by row: a text has few tokens before each, and a row's sums are the same whatever
 * else is in the tree. */
static void attend_tree(const pass *p, const ce_attended *x, size_t rows,
                        const ce_wanted *wanted) {
    for (size_t i = 0, next = 0; i < rows; i++) {
        p->path[p->depths[i]] = (uint32_t)i;
        if (wanted && (next == wanted->n || wanted->rows[next] != i))
            continue;
        attend_row(p, x, next++, 0, p->depths[i] + 1);
    }
}

static void keep(float *rows, const ce_wanted *wanted, size_t width) {
    for (size_t i = 0; i < wanted->n; i++)
        memmove(rows + i * width, rows + wanted->rows[i] * width, width * sizeof *rows);
}

/* Query, key and value of the last block; from here on only the wanted rows count. */
static ce_attended map_last(pass *p, const ce_block *b, const ce_wanted *wanted) {
    size_t width = p->t->width, rows = p->rows;
    float *in = p->t->post_norm ? p->x : p->normed, *query = p->qkv + rows * 2 * width;
    ce_linear_forward(&b->qkv, p->qkv, in, rows, CE_NO_ACTIVATION, false, p->workspace);
    if (wanted) {
        keep(p->x, wanted, width);
        if (in != p->x)
            keep(in, wanted, width);
        p->rows = wanted->n;
    }
    ce_linear_forward(&b->query, query, in, p->rows, CE_NO_ACTIVATION, false, p->workspace);
    return (ce_attended){query, p->qkv, p->qkv + width, width, 2 * width};
}

static ce_attended map_all(const pass *p, const ce_block *b) {
    size_t width = p->t->width;
    ce_linear_forward(&b->qkv, p->qkv, p->t->post_norm ? p->x : p->normed, p->rows,
                      CE_NO_ACTIVATION, false, p->workspace);
    return (ce_attended){p->qkv, p->qkv + width, p->qkv + 2 * width, 3 * width, 3 * width};
}

static void attention_branch(pass *p, const ce_block *b, bool is_last,
                             const ce_wanted *wanted) {
    const ce_transformer *t = p->t;
    size_t rows = p->rows;
    if (!t->post_norm)
        norm_rows(p, &b->ln_1, p->normed);
    ce_attended x = is_last ? map_last(p, b, wanted) : map_all(p, b);
    if (p->depths)
        attend_tree(p, &x, rows, wanted);
    else if (wanted)
        attend_wanted(p, &x, wanted);
    else
        attend_sequences(p, &x);
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
        bool is_last = layer + 1 == t->layers;
        attention_branch(p, &t->blocks[layer], is_last, is_last ? wanted : NULL);
        mlp_branch(p, &t->blocks[layer]);
    }
}

void ce_transformer_forward(const ce_transformer *t, float *x, const size_t *lengths,
                            size_t n, const ce_wanted *wanted, float *scratch) {
    pass p = {.t = t, .x = x, .lengths = lengths, .n = n};
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        p.rows += lengths[i];
        longest = ce_larger(longest, lengths[i]);
    }
    p.attention = ce_take(&scratch, ce_attention_scratch(t->width / t->heads, longest));
    p.scores = ce_take(&scratch, longest);
    p.path = (uint32_t *)ce_take(&scratch, longest); /* of the same size as a float */
    for (size_t i = 0; i < longest; i++)
        p.path[i] = (uint32_t)i;
    run(&p, wanted, scratch);
}

void ce_transformer_forward_tree(const ce_transformer *t, float *x, const uint32_t *depths,
                                 size_t rows, const ce_wanted *wanted, float *scratch) {
    pass p = {.t = t, .x = x, .rows = rows, .depths = depths};
    size_t deepest = 0;
    for (size_t i = 0; i < rows; i++)
        deepest = ce_larger(deepest, depths[i] + 1);
    p.scores = ce_take(&scratch, deepest);
    p.path = (uint32_t *)ce_take(&scratch, deepest); /* of the same size as a float */
    run(&p, wanted, scratch);
}

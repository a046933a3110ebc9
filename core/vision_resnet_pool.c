#include "vision_resnet_pool.h"

#include "transformer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t head_size(const ce_resnet_pool *p) {
    return p->width / p->heads;
}

/* The rows of K or V head by head; with `turned` each head's block is transposed. */
static int set_heads(ce_linear *heads, const ce_resnet_pool *p, ce_weights *w,
                     const ce_tensor *t, bool turned, ce_error *err) {
    size_t size = head_size(p), width = p->width, block = size * width;
    float *rows = ce_floats_new(2 * block), *columns = rows ? rows + block : NULL;
    int result = rows ? CE_OK : ce_fail(err, CE_ENOMEM, "out of memory");
    for (size_t h = 0; h < p->heads && result == CE_OK; h++) {
        result = ce_tensor_widen(w, t, rows, h * block, block, err);
        for (size_t c = 0; turned && c < width; c++)
            for (size_t i = 0; i < size; i++)
                columns[c * size + i] = rows[i * width + c];
        if (result == CE_OK)
            result = ce_linear_set_rows(&heads[h], 0, turned ? columns : rows, heads[h].out,
                                        ce_weights_path(w), err);
    }
    free(rows);
    return result;
}

static int load_heads(ce_linear **heads, const ce_resnet_pool *p, ce_weights *w,
                      const char *name, bool turned, ce_error *err) {
    ce_tensor *t;
    size_t size = head_size(p), shape[] = {p->width, p->width};
    *heads = calloc(p->heads, sizeof **heads);
    if (!*heads)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    for (size_t h = 0; h < p->heads; h++)
        ce_linear_init(&(*heads)[h], turned ? p->width : size, turned ? size : p->width);
    int result = ce_weights_take(w, &t, name, 2, shape, err);
    if (result < 0 || ce_weights_is_shapes_only(w))
        return result;
    result = set_heads(*heads, p, w, t, turned, err);
    ce_tensor_release(t);
    return result;
}

/* The biases of K are checked and dropped: softmax does not see them. */
static int load_head_biases(const ce_resnet_pool *p, ce_weights *w, ce_error *err) {
    float *keys = NULL, *values = NULL;
    int result =
        ce_weights_take_floats(w, &keys, "visual.attnpool.k_proj.bias", 1, &p->width, err);
    if (result == CE_OK)
        result = ce_weights_take_floats(w, &values, "visual.attnpool.v_proj.bias", 1,
                                        &p->width, err);
    for (size_t h = 0, size = head_size(p); h < p->heads && result == CE_OK; h++)
        result = ce_linear_set_bias_values(&p->values[h], 0, values + h * size, size, err);
    free(keys);
    free(values);
    return result;
}

static int load_linear(ce_linear *l, size_t out, size_t in, ce_weights *w, const char *name,
                       ce_error *err) {
    char full[64];
    ce_linear_init(l, out, in);
    snprintf(full, sizeof full, "visual.attnpool.%s", name);
    return ce_linear_set_layer(l, 0, w, full, out, err);
}

int ce_resnet_pool_load(ce_resnet_pool *p, size_t embed_dim, ce_weights *w, ce_error *err) {
    size_t width = p->width, shape[] = {p->tokens, width};
    int result = ce_weights_take_floats(
        w, &p->positions, "visual.attnpool.positional_embedding", 2, shape, err);
    if (result == CE_OK)
        result = load_linear(&p->query, width, width, w, "q_proj", err);
    if (result == CE_OK)
        result = load_heads(&p->keys, p, w, "visual.attnpool.k_proj.weight", true, err);
    if (result == CE_OK)
        result = load_heads(&p->values, p, w, "visual.attnpool.v_proj.weight", false, err);
    if (result == CE_OK)
        result = load_head_biases(p, w, err);
    return result < 0 ? result
                      : load_linear(&p->projection, embed_dim, width, w, "c_proj", err);
}

void ce_resnet_pool_free(ce_resnet_pool *p) {
    for (size_t h = 0; h < p->heads; h++) {
        if (p->keys)
            ce_linear_free(&p->keys[h]);
        if (p->values)
            ce_linear_free(&p->values[h]);
    }
    free(p->keys);
    free(p->values);
    free(p->positions);
    ce_linear_free(&p->query);
    ce_linear_free(&p->projection);
}

/* What forward takes from its scratch. */
typedef struct arena {
    float *x;       /* [n, tokens, width]: the mean, then the positions */
    float *queries; /* [n, width] */
    float *asked;   /* [heads, n, width]: K^T q; then the mixtures of x */
    float *part;    /* [n, width]: one head's part of queries, or of the result */
    float *mixed;   /* [n, width] */
    float *scores;  /* [heads, tokens rounded up to a vector] */
    float *a, *b;   /* operands packed by mr and by nr */
    float *work;    /* for ce_linear */
} arena;

static size_t scores_stride(const ce_resnet_pool *p) {
    return ce_round_up(p->tokens, CE_MAX_LANES);
}

/* Lays the arena out from `scratch` on; returns its floats. */
static size_t lay_out(const ce_resnet_pool *p, arena *s, size_t n, float *scratch) {
    const ce_kernels *kernels = ce_kernels_get();
    size_t deepest = ce_larger(p->width, p->tokens);
    size_t sizes[] = {n * p->tokens * p->width,
                      n * p->width,
                      p->heads * n * p->width,
                      n * p->width,
                      n * p->width,
                      p->heads * scores_stride(p),
                      ce_round_up(p->heads, kernels->mr) * deepest,
                      ce_larger(ce_round_up(p->tokens, kernels->nr) * p->width,
                                ce_round_up(p->width, kernels->nr) * p->tokens),
                      ce_linear_workspace()};
    float **places[] = {&s->x,      &s->queries, &s->asked, &s->part, &s->mixed,
                        &s->scores, &s->a,       &s->b,     &s->work};
    size_t floats = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        *places[i] = scratch ? scratch + floats : NULL;
        floats += ce_round_up(sizes[i], CE_MAX_LANES);
    }
    return floats;
}

size_t ce_resnet_pool_scratch(const ce_resnet_pool *p, size_t n) {
    arena unused;
    return lay_out(p, &unused, n, NULL);
}

/* x [tokens, width] of one picture; its mean token also goes to `mean`. */
static void add_positions(const ce_resnet_pool *p, float *x, float *mean,
                          const float *features) {
    size_t width = p->width, count = p->tokens - 1;
    memcpy(x, features, width * sizeof *x);
    for (size_t t = 1; t < count; t++)
        for (size_t c = 0; c < width; c++)
            x[c] += features[t * width + c];
    for (size_t c = 0; c < width; c++)
        x[c] = x[c] / (float)count + p->positions[c];
    for (size_t i = 0; i < count * width; i++)
        x[width + i] = features[i] + p->positions[width + i];
    memcpy(mean, x, width * sizeof *x);
}

/* Of one picture, whose rows of `asked` [heads] are `ld` apart: what each head asks is
 * replaced by the mixture of x that answers it. */
static void attend(const ce_resnet_pool *p, const arena *s, float *asked, size_t ld,
                   const float *x) {
    const ce_kernels *kernels = ce_kernels_get();
    size_t stride = scores_stride(p);
    float scale = 1 / sqrtf((float)head_size(p));
    kernels->pack(s->a, asked, ld, p->heads, p->width, kernels->mr);
    kernels->pack(s->b, x, p->width, p->tokens, p->width, kernels->nr);
    ce_gemm_run(&(ce_gemm){.m = p->heads,
                           .n = p->tokens,
                           .k = p->width,
                           .a = s->a,
                           .b = s->b,
                           .panel = p->width * kernels->nr,
                           .c = s->scores,
                           .ldc = stride});
    for (size_t h = 0; h < p->heads; h++)
        kernels->softmax(s->scores + h * stride, p->tokens, scale);
    kernels->pack(s->a, s->scores, stride, p->heads, p->tokens, kernels->mr);
    kernels->pack_columns(s->b, x, p->width, p->tokens, p->width);
    ce_gemm_run(&(ce_gemm){.m = p->heads,
                           .n = p->width,
                           .k = p->tokens,
                           .a = s->a,
                           .b = s->b,
                           .panel = p->tokens * kernels->nr,
                           .c = asked,
                           .ldc = ld});
}

/* Columns of `size` between rows of `to` and `from`. */
static void copy_columns(float *to, size_t to_ld, const float *from, size_t from_ld,
                         size_t n, size_t size) {
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * to_ld, from + i * from_ld, size * sizeof *to);
}

void ce_resnet_pool_forward(const ce_resnet_pool *p, float *out, const float *features,
                            size_t n, float *scratch) {
    arena s;
    lay_out(p, &s, n, scratch);
    size_t width = p->width, size = head_size(p), picture = p->tokens * width;
    for (size_t i = 0; i < n; i++)
        add_positions(p, s.x + i * picture, s.mixed + i * width,
                      features + i * (picture - width));
    ce_linear_forward(&p->query, s.queries, s.mixed, n, CE_NO_ACTIVATION, false, s.work);
    for (size_t h = 0; h < p->heads; h++) {
        copy_columns(s.part, size, s.queries + h * size, width, n, size);
        ce_linear_forward(&p->keys[h], s.asked + h * n * width, s.part, n, CE_NO_ACTIVATION,
                          false, s.work);
    }
    for (size_t i = 0; i < n; i++)
        attend(p, &s, s.asked + i * width, n * width, s.x + i * picture);
    for (size_t h = 0; h < p->heads; h++) {
        ce_linear_forward(&p->values[h], s.part, s.asked + h * n * width, n,
                          CE_NO_ACTIVATION, false, s.work);
        copy_columns(s.mixed + h * size, width, s.part, size, n, size);
    }
    ce_linear_forward(&p->projection, out, s.mixed, n, CE_NO_ACTIVATION, false, s.work);
}

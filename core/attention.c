#include "attention.h"

#include "kernels.h"
#include "simd_narrow.h"

#include <math.h>

/* Whole tiles, so that none of them has an edge. */
static size_t scores_stride(size_t length) {
    return ce_round_up(length, ce_larger(ce_kernels_get()->nr, CE_MAX_LANES));
}

/* The next head's columns of row `i`, which lie beside this one's. */
static void fetch_next(const ce_attended *x, size_t i, size_t size) {
    const float *rows[] = {x->query + i * x->query_stride, x->key + i * x->stride,
                           x->value + i * x->stride};
    for (size_t k = 0; k < 3; k++)
        for (size_t p = size; p < 2 * size; p += CE_CACHE_LINE / sizeof(float))
            __builtin_prefetch(rows[k] + p);
}

/* scores [length, stride]: each row becomes its softmax. Meanwhile what the next head
 * reads is fetched. */
static void soften(float *scores, const ce_attended *x, size_t length, size_t size) {
    size_t stride = scores_stride(length);
    float scale = 1 / sqrtf((float)size);
    for (size_t i = 0; i < length; i++) {
        fetch_next(x, i, size);
        ce_kernels_get()->softmax(scores + i * stride, length, scale);
    }
}

/* ---- in float32 ---- */

static void attend_floats(float *mixed, size_t ld, const ce_attended *x, size_t length,
                          size_t size, float *scores, float *scratch) {
    const ce_kernels *kernels = ce_kernels_get();
    size_t mr = kernels->mr, nr = kernels->nr, stride = scores_stride(length);
    float *a = ce_take(&scratch, ce_round_up(length, mr) * ce_larger(size, length));
    float *b = scratch;
    kernels->pack(a, x->query, x->query_stride, length, size, mr);
    kernels->pack(b, x->key, x->stride, length, size, nr);
    ce_gemm_run(&(ce_gemm){.m = length,
                           .n = ce_round_up(length, nr),
                           .k = size,
                           .a = a,
                           .b = b,
                           .panel = size * nr,
                           .c = scores,
                           .ldc = stride});
    soften(scores, x, length, size);
    kernels->pack(a, scores, stride, length, length, mr);
    kernels->pack_columns(b, x->value, x->stride, length, size);
    ce_gemm_run(&(ce_gemm){.m = length,
                           .n = size,
                           .k = length,
                           .a = a,
                           .b = b,
                           .panel = length * nr,
                           .c = mixed,
                           .ldc = ld});
}

/* ---- in bfloat16, two of which are one word of a product ---- */

static size_t words_of(size_t n) {
    return (n + 1) / 2;
}

/* rows [n, 2 * words] of x [n, size] (row stride ld), zeros behind them. */
static void round_rows(uint16_t *rows, const float *x, size_t ld, size_t n, size_t size) {
    for (size_t i = 0; i < n; i++, rows += 2 * words_of(size)) {
        ce_narrow_kernels_get()->round_bf16(rows, x + i * ld, size);
        if (size % 2)
            rows[size] = 0;
    }
}

/* Values [length, size] (row stride ld) -> panels [size / nr][words][nr] of two rows. */
static void pair_values(uint16_t *panels, const float *v, size_t ld, size_t length,
                        size_t size) {
    const ce_narrow_kernels *kernels = ce_narrow_kernels_get();
    for (size_t j = 0; j < size; j += kernels->nr) {
        size_t columns = size - j < kernels->nr ? size - j : kernels->nr;
        for (size_t p = 0; p < length; p += 2, panels += 2 * kernels->nr)
            kernels->pair_bf16(panels, v + p * ld + j,
                               p + 1 < length ? v + (p + 1) * ld + j : NULL, columns);
    }
}

/* y [m, n] (row stride ld) = x [m, words] w, panels [n / nr][words][nr]. */
static void multiply(float *y, size_t ld, const void *x, const void *w, size_t m, size_t n,
                     size_t words) {
    const ce_narrow_kernels *kernels = ce_narrow_kernels_get();
    size_t mr = kernels->mr, nr = kernels->nr, bytes = words * CE_NARROW_STEP;
    for (size_t j = 0; j < n; j += nr)
        for (size_t i = 0; i < m; i += mr)
            kernels->tile_bf16(&(ce_narrow_tile){.y = y + i * ld + j,
                                                 .x = (const char *)x + i * bytes,
                                                 .w = (const char *)w + j * bytes,
                                                 .y_stride = ld,
                                                 .x_stride = bytes,
                                                 .k = bytes,
                                                 .rows = m - i < mr ? m - i : mr,
                                                 .columns = n - j < nr ? n - j : nr});
}

static void attend_halves(float *mixed, size_t ld, const ce_attended *x, size_t length,
                          size_t size, float *scores, float *scratch) {
    const ce_narrow_kernels *kernels = ce_narrow_kernels_get();
    size_t words = words_of(size), keys = words_of(length), nr = kernels->nr;
    float *room =
        ce_take(&scratch, ce_round_up(length, kernels->mr) * ce_larger(words, keys));
    uint16_t *rows = (uint16_t *)(void *)room;
    float *panels = scratch; /* words, of which only the bits count */
    round_rows(rows, x->key, x->stride, length, size);
    ce_kernels_get()->pack(panels, room, words, length, words, nr);
    round_rows(rows, x->query, x->query_stride, length, size);
    multiply(scores, scores_stride(length), rows, panels, length, length, words);
    soften(scores, x, length, size);
    round_rows(rows, scores, scores_stride(length), length, length);
    pair_values((uint16_t *)(void *)panels, x->value, x->stride, length, size);
    multiply(mixed, ld, rows, panels, length, size, keys);
}

size_t ce_attention_scratch(size_t size, size_t longest) {
    size_t mr = ce_kernels_get()->mr, nr = ce_kernels_get()->nr;
    size_t a = ce_round_up(longest, mr) * ce_larger(size, longest);
    size_t b = ce_larger(ce_round_up(longest, nr) * size, ce_round_up(size, nr) * longest);
    return longest * scores_stride(longest) + a + b + 3 * CE_MAX_LANES;
}

void ce_attention_head(float *mixed, size_t ld, const ce_attended *x, size_t length,
                       size_t size, ce_precision precision, float *scratch) {
    bool halves = precision != CE_FP32 && ce_narrow_kernels_get()->tile_bf16;
    float *scores = ce_take(&scratch, length * scores_stride(length));
    (halves ? attend_halves : attend_floats)(mixed, ld, x, length, size, scores, scratch);
}

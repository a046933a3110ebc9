/* The arithmetic that is not a whole layer: the matrix tile, layer norm, softmax,
 * activations, and their dispatch to the widest instructions this CPU has. core/simd.c is
 * compiled once for each instruction set; nothing else in core depends on one.
 *
 * Every output value is computed by a sequence of operations that depends only on its own
 * inputs and column, never on the number of rows, so embeddings do not change with the
 * batch. (OpenBLAS does not promise that: its edge kernels round differently.)
 */
#ifndef CE_KERNELS_H
#define CE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ce_dtype { CE_F32, CE_F16, CE_BF16, CE_I64, CE_OTHER_DTYPE } ce_dtype;

typedef enum ce_activation {
    CE_NO_ACTIVATION,
    CE_RELU,
    CE_QUICK_GELU, /* x * sigmoid(1.702 x) */
    CE_GELU,       /* x * Phi(x), with the error function, not its tanh approximation */
    CE_GELU_TANH   /* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) */
} ce_activation;

#define CE_MAX_LANES 16 /* floats; buffers handed to the kernels are padded to this */
enum { CE_TILE_STEP = 8, CE_CACHE_LINE = 64 };

/* c[rows, nr], rows <= mr: the first rows of sum over p < k of a[p, mr] b[p, nr], plus
 * bias[nr] where not NULL, plus what c held where `accumulate`; at last, with `relu`, what
 * is below 0 becomes 0. */
typedef struct ce_tile {
    float *c;
    size_t ldc, rows; /* floats from one row of c to the next; rows that there are */
    const float *a, *b;
    size_t k;
    const float *bias;
    bool accumulate, relu;
    /* At each of k / CE_TILE_STEP steps the following `lines` cache lines from `next` on,
     * wherever that is, are fetched: what will be read soon. */
    const char *next;
    size_t lines;
} ce_tile;

typedef struct ce_kernels {
    const char *name; /* "AVX-512", "AVX2", "baseline" */
    size_t mr, nr;    /* rows and columns of one tile */

    void (*tile)(const ce_tile *t);

    /* Packs src[rows, k] (row stride ld) for `tile`: groups of `group` rows become
     * [k, group], zeros where rows end. dst holds round_up(rows, group) * k floats. */
    void (*pack)(float *dst, const float *src, size_t ld, size_t rows, size_t k,
                 size_t group);

    /* One group of `pack`: columns [0, k) of `count` <= group <= 32 rows that lie anywhere.
     */
    void (*pack_rows)(float *dst, const float *const *rows, size_t count, size_t k,
                      size_t group);

    /* Packs src[k, columns] (row stride ld), whose columns are the rows of a b: panels
     * [columns / nr][k][nr], zeros where columns end. */
    void (*pack_columns)(float *dst, const float *src, size_t ld, size_t k, size_t columns);

    /* y[n] = (x - mean) / sqrt(var + eps) * gain + bias (biased variance). */
    void (*layer_norm)(float *y, const float *x, const float *gain, const float *bias,
                       size_t n, float eps);

    /* x[n] = softmax(scale * x[n]), zeros behind it up to a multiple of CE_MAX_LANES. */
    void (*softmax)(float *x, size_t n, float scale);

    /* One query of `heads` heads of `size` columns over n rows that lie anywhere: row j is
     * row path[j] of keys and of values (row stride ld). out [heads * size]; scores holds n
     * floats, rounded up to CE_MAX_LANES. */
    void (*attend)(float *out, const float *query, const float *keys, const float *values,
                   size_t ld, const uint32_t *path, size_t n, size_t heads, size_t size,
                   float *scores);

    /* x[rows, n] (row stride ld) in place. The GELUs are within 2e-7 * max(1, |x|) of the
     * exact value. */
    void (*activate)(float *x, size_t ld, size_t rows, size_t n, ce_activation activation);

    /* A tile of core/winograd, n channels: in [16] points at its 4x4 inputs, and out + k *
     * stride is what becomes of them at point k; in + k * stride is what the layer of point
     * k made of it, out [4] points at the 2x2 outputs, in each of which what is below 0
     * becomes 0 after bias [n] is added. */
    void (*winograd_in)(float *out, size_t stride, const float *const *in, size_t n);
    void (*winograd_out)(float *const *out, const float *in, size_t stride,
                         const float *bias, size_t n);

    /* Widens n stored values to float32; returns false if any is NaN or infinite. */
    bool (*widen)(float *out, const void *in, ce_dtype dtype, size_t n);
} ce_kernels;

/* The kernels of this CPU, the same at every call. */
const ce_kernels *ce_kernels_get(void);

/* c[m, n] = a b^T as `tile` does it, for a packed by mr, b packed by nr with
 * `panel` floats from one group of nr columns to the next (so that a slice of k can be
 * taken). bias[n rounded up to nr] or NULL. */
typedef struct ce_gemm {
    size_t m, n, k;
    const float *a, *b;
    size_t panel;
    float *c;
    size_t ldc;
    const float *bias;
    bool accumulate;
    ce_activation activation;
} ce_gemm;
void ce_gemm_run(const ce_gemm *g);

static inline size_t ce_larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static inline size_t ce_round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* One array out of a scratch arena, each starting on its own cache line. */
static inline float *ce_take(float **arena, size_t floats) {
    float *taken = *arena;
    *arena += ce_round_up(floats, CE_MAX_LANES);
    return taken;
}

#endif

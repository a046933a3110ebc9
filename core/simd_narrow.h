/* Products of 8 and 16 bits, rounding rows to them, and what happens to the sums. Compiled
 * once for each instruction set, as the kernels of kernels.h, and for VNNI and BF16.
 */
#ifndef CE_SIMD_NARROW_H
#define CE_SIMD_NARROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CE_NARROW_STEP = 4 }; /* bytes of x that one instruction multiplies */

/* A tile of a product: the first `rows` <= mr rows and `columns` <= nr columns of y. Of
 * 8-bit numbers, x unsigned and w signed,
 *
 *     y = scale_row * scale_column * (x w - zero_row * total_column) + bias (+ y)
 *
 * of bfloat16
 *
 *     y = x w + bias (+ y)
 *
 * where the scales, zeros and totals are not looked at. The mr rows of x and the whole
 * panel w, [k / 4][nr] times four bytes, are read whatever there is of y. */
typedef struct ce_narrow_tile {
    float *y;
    const void *x;
    const void *w;
    size_t y_stride; /* floats */
    size_t x_stride; /* bytes */
    size_t k;        /* bytes of a row, a multiple of CE_NARROW_STEP */
    size_t rows, columns;
    const float *row_scales;    /* [rows] */
    const int32_t *zeros;       /* [rows] */
    const float *column_scales; /* [columns] */
    const int32_t *totals;      /* [columns] sums of w */
    const float *bias;          /* [columns] or NULL */
    bool accumulate;
} ce_narrow_tile;

typedef struct ce_narrow_kernels {
    const char *name; /* "AVX-512 VNNI" */
    bool vnni;        /* four products of bytes in one step */
    size_t mr, nr;    /* rows and columns of one tile */

    /* x[n] = about scale * (q[n] - zero), with 0 exactly: the 256 steps reach from the
     * least value to the largest (or to 0, where all lie on one side of it), so that the
     * error is at most scale / 2, to float's own rounding. A row of zeros has scale 0; one
     * with NaN or infinity has scale NaN. */
    void (*quantise)(uint8_t *q, const float *x, size_t n, float *scale, int32_t *zero);

    /* out[n] = x[n] rounded to bfloat16, to the even one in the middle. NaN stays NaN. */
    void (*round_bf16)(uint16_t *out, const float *x, size_t n);

    /* y[n] = scale * scales[n] * (sums[n] - zero * totals[n]) + bias[n] (+ y[n]), where
     * totals are the sums of the weights; bias may be NULL. */
    void (*take_int8)(float *y, const int32_t *sums, size_t n, float scale, int32_t zero,
                      const float *scales, const int32_t *totals, const float *bias,
                      bool accumulate);

    /* y[n] = sums[n] + bias[n] (+ y[n]) */
    void (*take_bf16)(float *y, const float *sums, size_t n, const float *bias,
                      bool accumulate);

    /* panel [n][2] = even [n] and odd [n], or zeros where it is NULL, rounded to bfloat16:
     * two rows of a w, interleaved as tile_bf16 wants them. */
    void (*pair_bf16)(uint16_t *panel, const float *even, const float *odd, size_t n);

    void (*tile)(const ce_narrow_tile *t);      /* of 8-bit numbers */
    void (*tile_bf16)(const ce_narrow_tile *t); /* NULL: the CPU has no AVX-512 BF16 */
} ce_narrow_kernels;

/* Those of this CPU, the same at every call. */
const ce_narrow_kernels *ce_narrow_kernels_get(void);

#endif

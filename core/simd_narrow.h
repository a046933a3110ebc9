/* The arithmetic around products of 8 and 16 bits: rounding rows to them, and what happens
 * to the sums. Compiled once for each instruction set, as the kernels of kernels.h.
 */
#ifndef CE_SIMD_NARROW_H
#define CE_SIMD_NARROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ce_narrow_kernels {
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

    /* sums[rows, n] = x[rows, k] w[n, k]^T in 32 bits, where there is no VNNI. */
    void (*multiply)(int32_t *sums, const uint8_t *x, const int8_t *w, size_t rows,
                     size_t n, size_t k);
} ce_narrow_kernels;

/* Those of this CPU, the same at every call. */
const ce_narrow_kernels *ce_narrow_kernels_get(void);

#endif

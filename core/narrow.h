/* The weights of one layer in 8 or 16 bits, and the product with them: the engine behind
 * core/linear for CE_INT8 and CE_BFLOAT16.
 *
 * int8: y = scale_row * scale_out * (sum of (q - zero) w) + bias. W is rounded once to
 * -127 .. 127 with a scale for each output (symmetric); a row of x as it comes, to 0 .. 255
 * with its own scale and zero point (Krishnamoorthi 2018, arXiv:1806.08342, asymmetric),
 * which serves both normed rows and what a GELU leaves, nearly all of it positive. The sums
 * are exact, so nothing depends on who computes them.
 *
 * bf16: both rounded to the nearest, summed in float32; only where the CPU has AVX-512 BF16
 * (elsewhere core/linear rounds, and computes in float32).
 *
 * The products are those of core/simd_narrow.c, or oneDNN's where the CPU has AMX
 * (CLIPEVAL_ENGINE=onednn in the environment: wherever oneDNN has a kernel).
 */
#ifndef CE_NARROW_H
#define CE_NARROW_H

#include "linear.h"

typedef struct ce_narrow ce_narrow;

/* What a layer's weights are made of: writes row i, [in], to `to`. */
typedef void ce_narrow_row(const void *context, float *to, size_t i);

/* *out is NULL where such a layer is not to be had on this CPU; CE_ENOMEM. */
int ce_narrow_new(ce_narrow **out, ce_precision precision, size_t n, size_t in,
                  ce_narrow_row *row, const void *context, ce_error *err);
void ce_narrow_free(ce_narrow *w);

/* Floats of workspace that any forward needs. */
enum { CE_NARROW_WORKSPACE = 640 * 1024 };

/* Inputs that a layer may have; one with more stays float32. */
enum { CE_NARROW_DEPTH = 16384 };

/* As ce_linear_forward_rows; bias [n] or NULL; team or NULL. */
void ce_narrow_forward(const ce_narrow *w, float *y, const ce_rows *x, size_t rows,
                       const float *bias, ce_activation activation, bool accumulate,
                       ce_team *team, float *workspace);

/* Whether this CPU multiplies such numbers faster than float32. */
bool ce_narrow_is_fast(ce_precision precision);

/* "clipeval AVX-512 VNNI", "oneDNN 2.6.3 avx512_core_amx and clipeval AVX-512 VNNI and
 * BF16": what computes CE_INT8 or CE_BFLOAT16 on this CPU; borrowed. */
const char *ce_narrow_description(ce_precision precision);

#endif

/* What core/linear, which multiplies, and core/linear_fill share. */
#ifndef CE_LINEAR_INTERNAL_H
#define CE_LINEAR_INTERNAL_H

#include "linear.h"

/* Whether OpenBLAS computes in float32: weights are [out, in] then, and not panels. */
bool ce_linear_on_openblas(void);

/* Each of x [n] rounded to bfloat16, still as float32. */
void ce_linear_round(float *x, size_t n);

#endif

/* 3x3 convolutions of stride 1 with 4 multiplications for an output in place of 9:
 * F(2x2, 3x3) of Lavin and Gray 2015 (https://arxiv.org/abs/1509.09308), after Winograd.
 * A tile of 4x4 inputs becomes 16 numbers a channel, each of which goes through a linear
 * layer of its own (input channels to output channels), and those become 2x2 outputs. In
 * float32 the errors are about those of the sum over 9 places: the constants are 1 and
 * 1/2.
 *
 *     ce_winograd w;
 *     ce_winograd_init(&w, out, in);
 *     ce_winograd_set_rows(&w, 0, rows, out, "model.safetensors", &err);
 *     ce_winograd_set_bias(&w, bias, &err);
 *     ce_winograd_forward(&w, y, x, n, height, width, zeros, scratch);
 *     ce_winograd_free(&w);
 */
#ifndef CE_WINOGRAD_H
#define CE_WINOGRAD_H

#include "linear.h"

typedef struct ce_winograd {
    size_t out, in;
    ce_linear points[16]; /* [out, in] each */
    float *bias;          /* [out] */
} ce_winograd;

void ce_winograd_init(ce_winograd *w, size_t out, size_t in);
void ce_winograd_free(ce_winograd *w);

/* The `n` outputs from `first` on: rows [n, 3, 3, in]; `name` is the file they came from.
 */
int ce_winograd_set_rows(ce_winograd *w, size_t first, const float *rows, size_t n,
                         const char *name, ce_error *err);
int ce_winograd_set_bias(ce_winograd *w, const float *bias, ce_error *err);

/* From now on its layers compute in another precision, see ce_linear_set_precision. What
 * they are given are sums of up to 4 numbers: 16 bits bear that, 8 bits would not. */
int ce_winograd_set_precision(ce_winograd *w, ce_precision precision, ce_error *err);

/* Floats of scratch that a forward pass needs. */
size_t ce_winograd_scratch(const ce_winograd *w);

/* y [n, height, width, out] = the convolution of x [n, height, width, in], outside of which
 * all is zero, plus bias; then what is below 0 becomes 0. zeros [in]. */
void ce_winograd_forward(const ce_winograd *w, float *y, const float *x, size_t n,
                         size_t height, size_t width, const float *zeros, float *scratch);

#endif

/* A convolution without bias and the batch normalisation behind it, which is folded into it
 * when it is loaded: 1x1, or 3x3 with a border of zeros. A 3x3 one of stride 1 goes through
 * core/winograd, but in int8.
 *
 *     ce_conv c;
 *     ce_conv_load(&c, weights, "visual.conv2", "visual.bn2", out, in, 3, 1, CE_FP32,
 * &err); ce_shape o = ce_conv_forward(&c, y, x, s, zeros, CE_RELU, false, scratch);
 *     ce_conv_free(&c);
 */
#ifndef CE_CONVOLUTION_H
#define CE_CONVOLUTION_H

#include "winograd.h"

typedef struct ce_conv {
    ce_linear linear; /* [out, kernel * kernel * in]; without weights where `fast` */
    ce_winograd winograd;
    bool fast; /* winograd has the weights */
    size_t kernel, stride;
} ce_conv;

/* The activation of a batch: [picture, row, column, channel]. */
typedef struct ce_shape {
    size_t n, height, width, channels;
} ce_shape;

/* CONV.weight [out, in, kernel, kernel], NORM.weight, .bias, .running_mean, .running_var.
 * `precision` is what ce_conv_narrow will be told: all but int8 may be fast. */
int ce_conv_load(ce_conv *c, ce_weights *w, const char *conv, const char *norm, size_t out,
                 size_t in, size_t kernel, size_t stride, ce_precision precision,
                 ce_error *err);
void ce_conv_free(ce_conv *c);

/* The last step of loading: another precision, where that is worth it. */
int ce_conv_narrow(ce_conv *c, ce_precision precision, ce_error *err);

/* x of shape s -> y, whose shape is returned. zeros: as many as x has channels; scratch:
 * ce_linear_workspace or, where it is more, ce_winograd_scratch. */
ce_shape ce_conv_forward(const ce_conv *c, float *y, const float *x, ce_shape s,
                         const float *zeros, ce_activation activation, bool accumulate,
                         float *scratch);

/* The same of pixels [n, 3, height, width] and a 3x3 kernel of stride 2, whose input has so
 * few channels that a border of zeros around it costs less than to look at each place of
 * the kernel. bordered: [n, height + 2, width + 2, 3]. */
ce_shape ce_conv_forward_pixels(const ce_conv *c, float *y, float *bordered,
                                const float *pixels, size_t n, size_t height, size_t width,
                                float *scratch);

#endif

#include "convolution.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double batch_norm_eps = 1e-5;

void ce_conv_free(ce_conv *c) {
    ce_linear_free(&c->linear);
    ce_winograd_free(&c->winograd);
}

/* Where a 3x3 convolution reads: x of shape s, for each position of shape o. */
typedef struct neighbourhoods {
    const float *x, *zeros;
    ce_shape s, o;
    size_t stride;
} neighbourhoods;

typedef struct position {
    size_t picture, y, x;
} position;

static position position_of(size_t index, ce_shape o) {
    size_t row = index / o.width;
    return (position){row / o.height, row % o.height, index % o.width};
}

static void advance(position *p, ce_shape o) {
    if (++p->x < o.width)
        return;
    p->x = 0;
    if (++p->y < o.height)
        return;
    p->y = 0;
    p->picture++;
}

/* Columns are [ky, kx, channel]; those of one place of the kernel lie side by side. */
static size_t find_neighbours(const void *context, const float **rows, size_t first,
                              size_t count, size_t column) {
    const neighbourhoods *h = context;
    size_t channels = h->s.channels, place = column / channels, offset = column % channels;
    size_t ky = place / 3, kx = place % 3;
    position at = position_of(first, h->o);
    for (size_t i = 0; i < count; i++, advance(&at, h->o)) {
        size_t y = at.y * h->stride + ky - 1; /* wraps around below zero */
        size_t x = at.x * h->stride + kx - 1;
        size_t index = (at.picture * h->s.height + y) * h->s.width + x;
        rows[i] =
            y < h->s.height && x < h->s.width ? h->x + index * channels + offset : h->zeros;
    }
    return channels - offset;
}

/* The same of a picture with a border of zeros around it, which is part of s: there the
 * whole [kx, channel] lie side by side. */
static size_t find_inside(const void *context, const float **rows, size_t first,
                          size_t count, size_t column) {
    const neighbourhoods *h = context;
    size_t channels = h->s.channels, ky = column / (3 * channels);
    size_t offset = column % (3 * channels);
    position at = position_of(first, h->o);
    for (size_t i = 0; i < count; i++, advance(&at, h->o)) {
        size_t y = at.y * h->stride + ky, x = at.x * h->stride;
        size_t index = (at.picture * h->s.height + y) * h->s.width + x;
        rows[i] = h->x + index * channels + offset;
    }
    return 3 * channels - offset;
}

static size_t positions_of(ce_shape s) {
    return s.n * s.height * s.width;
}

ce_shape ce_conv_forward(const ce_conv *c, float *out, const float *in, ce_shape s,
                         const float *zeros, ce_activation activation, bool accumulate,
                         float *scratch) {
    ce_shape o = {s.n, (s.height + c->stride - 1) / c->stride,
                  (s.width + c->stride - 1) / c->stride, c->linear.out};
    if (c->kernel == 1) {
        ce_linear_forward(&c->linear, out, in, positions_of(s), activation, accumulate,
                          scratch);
        return o;
    }
    if (c->fast) { /* whose activation is always this one */
        ce_winograd_forward(&c->winograd, out, in, s.n, s.height, s.width, zeros, scratch);
        return o;
    }
    neighbourhoods h = {in, zeros, s, o, c->stride};
    ce_rows rows = {find_neighbours, &h};
    ce_linear_forward_rows(&c->linear, out, &rows, positions_of(o), activation, accumulate,
                           scratch);
    return o;
}

/* pixels [n, 3, height, width] -> [n, height + 2, width + 2, 3] with a border of zeros. */
static ce_shape interleave(float *out, const float *pixels, ce_shape s) {
    size_t area = s.height * s.width, row = (s.width + 2) * 3;
    for (size_t i = 0; i < s.n; i++) {
        memset(out, 0, row * sizeof *out);
        out += row;
        for (size_t y = 0; y < s.height; y++, out += row) {
            const float *from = pixels + i * 3 * area + y * s.width;
            memset(out, 0, 3 * sizeof *out);
            for (size_t x = 0; x < s.width; x++)
                for (size_t k = 0; k < 3; k++)
                    out[(x + 1) * 3 + k] = from[k * area + x];
            memset(out + row - 3, 0, 3 * sizeof *out);
        }
        memset(out, 0, row * sizeof *out);
        out += row;
    }
    return (ce_shape){s.n, s.height + 2, s.width + 2, 3};
}

ce_shape ce_conv_forward_pixels(const ce_conv *c, float *out, float *bordered,
                                const float *pixels, size_t n, size_t height, size_t width,
                                float *scratch) {
    ce_shape s = {n, height, width, 3};
    ce_shape o = {n, (height + 1) / 2, (width + 1) / 2, c->linear.out};
    neighbourhoods h = {bordered, NULL, interleave(bordered, pixels, s), o, 2};
    ce_rows rows = {find_inside, &h};
    ce_linear_forward_rows(&c->linear, out, &rows, positions_of(o), CE_RELU, false,
                           scratch);
    return o;
}

/* The batch norm of `n` channels as y = factor * x + bias. */
static int load_batch_norm(double *factors, float *biases, ce_weights *w, const char *norm,
                           size_t n, ce_error *err) {
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
    float *parts[4] = {0};
    char name[256];
    int result = CE_OK;
    for (size_t i = 0; i < 4 && result == CE_OK; i++) {
        snprintf(name, sizeof name, "%s.%s", norm, names[i]);
        result = ce_weights_take_floats(w, &parts[i], name, 1, &n, err);
    }
    for (size_t o = 0; o < n && result == CE_OK; o++) {
        if (parts[3][o] < 0)
            result = ce_fail(err, CE_EFORMAT, "%s: tensor %s.running_var is negative",
                             ce_weights_path(w), norm);
        factors[o] = parts[0][o] / sqrt(parts[3][o] + batch_norm_eps);
        biases[o] = (float)(parts[1][o] - parts[2][o] * factors[o]);
    }
    for (size_t i = 0; i < 4; i++)
        free(parts[i]);
    return result;
}

/* Weights [n, in, area] -> factors[n] times them, as [n, area, in]. */
static void fold(float *out, const float *stored, const double *factors, size_t n,
                 size_t in, size_t area) {
    for (size_t o = 0; o < n; o++, stored += in * area)
        for (size_t k = 0; k < area; k++)
            for (size_t i = 0; i < in; i++)
                *out++ = (float)(stored[i * area + k] * factors[o]);
}

/* Moves a stored [out, in, kernel, kernel] into the layer, a few outputs at a time. */
static int set_folded(ce_conv *c, const ce_weights *w, const ce_tensor *t,
                      const double *factors, ce_error *err) {
    enum { OUTPUTS = 32 }; /* a multiple of every kernel's nr: whole panels */
    size_t area = c->kernel * c->kernel, depth = c->linear.in;
    float *stored = ce_floats_new(2 * OUTPUTS * depth);
    float *rows = stored ? stored + OUTPUTS * depth : NULL;
    int result = stored ? CE_OK : ce_fail(err, CE_ENOMEM, "out of memory");
    for (size_t o = 0; o < c->linear.out && result == CE_OK; o += OUTPUTS) {
        size_t n = c->linear.out - o < OUTPUTS ? c->linear.out - o : OUTPUTS;
        result = ce_tensor_widen(w, t, stored, o * depth, n * depth, err);
        if (result < 0)
            break;
        fold(rows, stored, factors + o, n, depth / area, area);
        const char *path = ce_weights_path(w);
        result = c->fast ? ce_winograd_set_rows(&c->winograd, o, rows, n, path, err)
                         : ce_linear_set_rows(&c->linear, o, rows, n, path, err);
    }
    free(stored);
    return result;
}

/* Whether a product is large enough that 8 bits save more than the rounding of its rows and
 * the scaling of its sums cost (64 x 64 loses an eighth, 64 x 256 gains two thirds). */
static bool is_worth_narrowing(const ce_linear *l) {
    return l->in * l->out >= 40 * (l->in + l->out);
}

/* Loads a convolution without bias and the batch norm behind it:
 * y = (Wx - mean) * gain / sqrt(var + eps) + bias, with the factor moved into W. */
int ce_conv_load(ce_conv *c, ce_weights *w, const char *conv_name, const char *norm_name,
                 size_t out, size_t in, size_t kernel, size_t stride,
                 ce_precision precision, ce_error *err) {
    char name[256];
    size_t stored_shape[] = {out, in, kernel, kernel};
    ce_tensor *t;
    *c = (ce_conv){.kernel = kernel, .stride = stride};
    ce_linear_init(&c->linear, out, in * kernel * kernel);
    ce_winograd_init(&c->winograd, out, in);
    bool stays = precision != CE_INT8 || !is_worth_narrowing(&c->linear);
    c->fast = kernel == 3 && stride == 1 && stays;
    snprintf(name, sizeof name, "%s.weight", conv_name);
    int result = ce_weights_take(w, &t, name, 4, stored_shape, err);
    if (result < 0)
        return result;
    double *factors = malloc(out * sizeof *factors); /* no more than the tensor has */
    float *biases = malloc(out * sizeof *biases);
    if (!factors || !biases)
        result = ce_fail(err, CE_ENOMEM, "out of memory");
    if (result == CE_OK)
        result = load_batch_norm(factors, biases, w, norm_name, out, err);
    if (result == CE_OK && !ce_weights_is_shapes_only(w)) {
        result = set_folded(c, w, t, factors, err);
        if (result == CE_OK)
            result = c->fast ? ce_winograd_set_bias(&c->winograd, biases, err)
                             : ce_linear_set_bias_values(&c->linear, 0, biases, out, err);
        ce_tensor_release(t);
    }
    free(factors);
    free(biases);
    return result;
}

int ce_conv_narrow(ce_conv *c, ce_precision precision, ce_error *err) {
    if (!is_worth_narrowing(c->fast ? &c->winograd.points[0] : &c->linear))
        return CE_OK;
    return c->fast ? ce_winograd_set_precision(&c->winograd, precision, err)
                   : ce_linear_set_precision(&c->linear, precision, err);
}

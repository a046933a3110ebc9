/* CLIP's ModifiedResNet (Radford et al. 2021; OpenAI's clip/model.py, which open_clip
 * shares):
 *
 *     stem: three 3x3 convolutions (the first with stride 2), then a 2x2 average pool
 *     four stages of bottlenecks: 1x1, 3x3, average pool where the stage strides, 1x1;
 *         the shortcut is pooled and mapped alike ("anti-aliased strides")
 *     attention pool: the mean of all positions asks, mean and positions answer
 *
 * Batch normalisation is folded into the convolution before it when the model is opened.
 * Activations are kept as [picture, row, column, channel], so a 1x1 convolution is a linear
 * layer as it stands, and so is a 3x3 one whose rows are neighbourhoods: they are packed
 * from where they lie, never copied together. In float32 a 3x3 one of stride 1 goes through
 * core/winograd.
 */
#include "towers.h"
#include "vision_resnet_pool.h"
#include "winograd.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_FLOATS = 2 * 1024 * 1024 /* of the largest activation of a batch */ };
static const double batch_norm_eps = 1e-5;

typedef struct conv {
    ce_linear linear; /* [out, kernel * kernel * in]; without weights where `fast` */
    ce_winograd winograd;
    bool fast; /* winograd has the weights */
    size_t kernel, stride;
} conv;

typedef struct bottleneck {
    conv conv1, conv2, conv3, downsample;
    bool has_downsample;
    size_t stride;
} bottleneck;

/* Four activations live at once. */
enum { X, Y, A, C, BUFFERS };

typedef struct resnet {
    ce_vision base;
    size_t image_width, image_height;
    conv stem[3];
    bottleneck *blocks;
    size_t block_count;
    size_t sizes[BUFFERS]; /* floats of each buffer for one picture */
    float *zeros; /* as many as a neighbourhood has channels: outside the picture */
    size_t zeros_count;
    ce_resnet_pool pool;
} resnet;

/* The activation of a batch. */
typedef struct shape {
    size_t n, height, width, channels;
} shape;

static size_t positions_of(shape s) {
    return s.n * s.height * s.width;
}

static void conv_free(conv *c) {
    ce_linear_free(&c->linear);
    ce_winograd_free(&c->winograd);
}

static void resnet_free(ce_vision *base) {
    resnet *r = (resnet *)base;
    for (size_t i = 0; i < 3; i++)
        conv_free(&r->stem[i]);
    for (size_t i = 0; r->blocks && i < r->block_count; i++) {
        conv_free(&r->blocks[i].conv1);
        conv_free(&r->blocks[i].conv2);
        conv_free(&r->blocks[i].conv3);
        conv_free(&r->blocks[i].downsample);
    }
    free(r->blocks);
    free(r->zeros);
    ce_resnet_pool_free(&r->pool);
    free(r);
}

/* 2x2 average pool with stride 2; an odd last row or column is left out, as in torch. `out`
 * may be `in`: nothing is written before it has been read. */
static shape average_pool(float *out, const float *in, shape s) {
    shape o = {s.n, s.height / 2, s.width / 2, s.channels};
    for (size_t i = 0; i < o.n; i++)
        for (size_t y = 0; y < o.height; y++)
            for (size_t x = 0; x < o.width; x++, out += o.channels) {
                const float *a =
                    in + ((i * s.height + 2 * y) * s.width + 2 * x) * s.channels;
                const float *b = a + s.channels, *c = a + s.width * s.channels;
                const float *d = c + s.channels;
                for (size_t k = 0; k < o.channels; k++)
                    out[k] = (a[k] + b[k] + c[k] + d[k]) * 0.25f;
            }
    return o;
}

/* Where a 3x3 convolution reads: x of shape s, for each position of shape o. */
typedef struct neighbourhoods {
    const float *x, *zeros;
    shape s, o;
    size_t stride;
} neighbourhoods;

typedef struct position {
    size_t picture, y, x;
} position;

static position position_of(size_t index, shape o) {
    size_t row = index / o.width;
    return (position){row / o.height, row % o.height, index % o.width};
}

static void advance(position *p, shape o) {
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

static shape convolve(const resnet *r, const conv *c, float *out, const float *in, shape s,
                      ce_activation activation, bool accumulate, float *scratch) {
    shape o = {s.n, (s.height + c->stride - 1) / c->stride,
               (s.width + c->stride - 1) / c->stride, c->linear.out};
    if (c->kernel == 1) {
        ce_linear_forward(&c->linear, out, in, positions_of(s), activation, accumulate,
                          scratch);
        return o;
    }
    if (c->fast) { /* whose activation is always this one */
        ce_winograd_forward(&c->winograd, out, in, s.n, s.height, s.width, r->zeros,
                            scratch);
        return o;
    }
    neighbourhoods h = {in, r->zeros, s, o, c->stride};
    ce_rows rows = {find_neighbours, &h};
    ce_linear_forward_rows(&c->linear, out, &rows, positions_of(o), activation, accumulate,
                           scratch);
    return o;
}

/* pixels [n, 3, height, width] -> [n, height + 2, width + 2, 3] with a border of zeros. */
static shape interleave(float *out, const float *pixels, shape s) {
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
    return (shape){s.n, s.height + 2, s.width + 2, 3};
}

/* The first convolution, whose input has so few channels that a border of zeros around it
 * costs less than to look at each place of the kernel. */
static shape convolve_pixels(const resnet *r, float *out, float *bordered,
                             const float *pixels, size_t n, float *scratch) {
    shape s = {n, r->image_height, r->image_width, 3};
    shape o = {n, (s.height + 1) / 2, (s.width + 1) / 2, r->stem[0].linear.out};
    neighbourhoods h = {bordered, NULL, interleave(bordered, pixels, s), o, 2};
    ce_rows rows = {find_inside, &h};
    ce_linear_forward_rows(&r->stem[0].linear, out, &rows, positions_of(o), CE_RELU, false,
                           scratch);
    return o;
}

/* Runs one bottleneck from buffer[X]; the result is there again (X and Y may have been
 * swapped). */
static shape run_bottleneck(const resnet *r, const bottleneck *b, float **buffer, shape s,
                            float *scratch) {
    float *a = buffer[A], *c = buffer[C];
    shape inner = convolve(r, &b->conv1, a, buffer[X], s, CE_RELU, false, scratch);
    inner = convolve(r, &b->conv2, c, a, inner, CE_RELU, false, scratch);
    const float *last = c;
    if (b->stride == 2) {
        inner = average_pool(a, c, inner);
        last = a;
    }
    if (b->has_downsample) {
        float *x = buffer[X];
        if (b->stride == 2)
            s = average_pool(x, x, s);
        convolve(r, &b->downsample, buffer[Y], x, s, CE_NO_ACTIVATION, false, scratch);
        buffer[X] = buffer[Y];
        buffer[Y] = x;
    }
    return convolve(r, &b->conv3, buffer[X], last, inner, CE_RELU, true, scratch);
}

static void resnet_encode(const ce_vision *base, float *out, const float *pixels, size_t n,
                          float *scratch) {
    const resnet *r = (const resnet *)base;
    float *buffer[BUFFERS];
    for (size_t i = 0; i < BUFFERS; i++)
        buffer[i] = ce_take(&scratch, n * r->sizes[i]);
    shape s = convolve_pixels(r, buffer[C], buffer[A], pixels, n, scratch);
    s = convolve(r, &r->stem[1], buffer[A], buffer[C], s, CE_RELU, false, scratch);
    s = convolve(r, &r->stem[2], buffer[Y], buffer[A], s, CE_RELU, false, scratch);
    s = average_pool(buffer[X], buffer[Y], s);
    for (size_t i = 0; i < r->block_count; i++)
        s = run_bottleneck(r, &r->blocks[i], buffer, s, scratch);
    ce_resnet_pool_forward(&r->pool, out, buffer[X], n, scratch);
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
static int set_folded(conv *c, const ce_weights *w, const ce_tensor *t,
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
static int load_conv(conv *c, ce_weights *w, const char *conv_name, const char *norm_name,
                     size_t out, size_t in, size_t kernel, size_t stride,
                     ce_precision precision, ce_error *err) {
    char name[256];
    size_t stored_shape[] = {out, in, kernel, kernel};
    ce_tensor *t;
    *c = (conv){.kernel = kernel, .stride = stride};
    ce_linear_init(&c->linear, out, in * kernel * kernel);
    ce_winograd_init(&c->winograd, out, in);
    bool stays = precision == CE_FP32 || !is_worth_narrowing(&c->linear);
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

/* The same, with both names behind `block`. */
static int load_part(conv *c, ce_weights *w, const char *block, const char *conv_name,
                     const char *norm_name, size_t out, size_t in, size_t kernel,
                     ce_precision precision, ce_error *err) {
    char full[128], norm[128];
    snprintf(full, sizeof full, "%s.%s", block, conv_name);
    snprintf(norm, sizeof norm, "%s.%s", block, norm_name);
    return load_conv(c, w, full, norm, out, in, kernel, 1, precision, err);
}

static int load_bottleneck(bottleneck *b, ce_weights *w, const char *block, size_t in,
                           size_t planes, ce_precision precision, ce_error *err) {
    int result =
        load_part(&b->conv1, w, block, "conv1", "bn1", planes, in, 1, precision, err);
    if (result == CE_OK)
        result = load_part(&b->conv2, w, block, "conv2", "bn2", planes, planes, 3,
                           precision, err);
    if (result == CE_OK)
        result = load_part(&b->conv3, w, block, "conv3", "bn3", planes * 4, planes, 1,
                           precision, err);
    b->has_downsample = b->stride == 2 || in != planes * 4;
    if (result == CE_OK && b->has_downsample)
        result = load_part(&b->downsample, w, block, "downsample.0", "downsample.1",
                           planes * 4, in, 1, precision, err);
    return result;
}

/* The stem stays float32: it sees the pixels, and has next to no weights. */
static int narrow_bottleneck(bottleneck *b, ce_precision precision, ce_error *err) {
    ce_linear *const layers[] = {&b->conv1.linear, &b->conv2.linear, &b->conv3.linear,
                                 &b->downsample.linear};
    int result = CE_OK;
    for (size_t i = 0; i < 4 && result == CE_OK; i++)
        if (is_worth_narrowing(layers[i]))
            result = ce_linear_set_precision(layers[i], precision, err);
    return result;
}

static void need(size_t *floats, size_t n) {
    *floats = *floats > n ? *floats : n;
}

/* What a bottleneck writes to the buffers; `x` is the one that its input is in. */
static size_t plan_bottleneck(resnet *r, const bottleneck *b, size_t x, size_t area,
                              size_t area_behind) {
    need(&r->sizes[A], area * b->conv1.linear.out);
    need(&r->sizes[C], area * b->conv2.linear.out);
    need(&r->zeros_count, b->conv1.linear.out);
    x = b->has_downsample ? X + Y - x : x;
    need(&r->sizes[x], area_behind * b->conv3.linear.out);
    return x;
}

static void plan_stem(resnet *r) {
    size_t height = r->image_height, width = r->image_width;
    size_t area = (height + 1) / 2 * ((width + 1) / 2);
    need(&r->sizes[A], (height + 2) * (width + 2) * 3);
    need(&r->sizes[C], area * r->stem[0].linear.out);
    need(&r->sizes[A], area * r->stem[1].linear.out);
    need(&r->sizes[Y], area * r->stem[2].linear.out);
    need(&r->sizes[X], area / 4 * r->stem[2].linear.out);
    need(&r->zeros_count, r->stem[1].linear.out);
}

static int load_stages(resnet *r, const ce_config *config, ce_weights *w, ce_error *err) {
    const ce_vision_config *c = &config->vision;
    size_t in = (size_t)c->width, index = 0, x = X;
    size_t height = (r->image_height + 1) / 4, width = (r->image_width + 1) / 4;
    int result = CE_OK;
    for (size_t stage = 0; stage < 4; stage++) {
        size_t planes = (size_t)c->width << stage;
        for (size_t i = 0; i < (size_t)c->blocks[stage] && result == CE_OK; i++) {
            bottleneck *b = &r->blocks[index++];
            char name[64];
            snprintf(name, sizeof name, "visual.layer%zu.%zu", stage + 1, i);
            b->stride = stage > 0 && i == 0 ? 2 : 1;
            result = load_bottleneck(b, w, name, in, planes, config->precision, err);
            if (result == CE_OK)
                result = narrow_bottleneck(b, config->precision, err);
            size_t area = height * width;
            height /= b->stride;
            width /= b->stride;
            x = plan_bottleneck(r, b, x, area, height * width);
            in = planes * 4;
        }
    }
    r->pool.width = in;
    r->pool.tokens = height * width + 1;
    return result;
}

static int load_stem(resnet *r, size_t width, ce_weights *w, ce_error *err) {
    size_t out[] = {width / 2, width / 2, width}, in[] = {3, width / 2, width / 2};
    int result = CE_OK;
    for (size_t i = 0; i < 3 && result == CE_OK; i++) {
        char conv_name[32], norm_name[32];
        snprintf(conv_name, sizeof conv_name, "visual.conv%zu", i + 1);
        snprintf(norm_name, sizeof norm_name, "visual.bn%zu", i + 1);
        result = load_conv(&r->stem[i], w, conv_name, norm_name, out[i], in[i], 3,
                           i == 0 ? 2 : 1, CE_FP32, err);
    }
    plan_stem(r);
    return result;
}

static int load(resnet *r, const ce_config *config, ce_weights *w, ce_error *err) {
    const ce_vision_config *c = &config->vision;
    int result = load_stem(r, (size_t)c->width, w, err);
    for (size_t i = 0; i < 4; i++)
        r->block_count += (size_t)c->blocks[i];
    r->blocks = calloc(r->block_count, sizeof *r->blocks);
    if (result == CE_OK && !r->blocks)
        result = ce_fail(err, CE_ENOMEM, "out of memory");
    if (result == CE_OK)
        result = load_stages(r, config, w, err);
    if (result == CE_OK && r->pool.tokens < 2)
        result =
            ce_fail(err, CE_EFORMAT, "%s: pictures of %zu x %zu are too small for a ResNet",
                    ce_weights_path(w), r->image_width, r->image_height);
    size_t heads = (size_t)c->heads;
    if (result == CE_OK && r->pool.width % heads)
        result = ce_fail(err, CE_EFORMAT, "%s: %zu heads do not divide a width of %zu",
                         ce_weights_path(w), heads, r->pool.width);
    if (result < 0)
        return result;
    r->pool.heads = heads;
    r->zeros = calloc(r->zeros_count, sizeof *r->zeros);
    if (!r->zeros)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    return ce_resnet_pool_load(&r->pool, (size_t)config->embed_dim, w, err);
}

/* As many pictures as keep the largest activation below BATCH_FLOATS. */
static void size_batch(resnet *r) {
    size_t largest = 1, all = ce_linear_workspace();
    for (size_t i = 0; i < BUFFERS; i++)
        need(&largest, r->sizes[i]);
    size_t n = BATCH_FLOATS / largest;
    n = n < 1 ? 1 : n > 8 ? 8 : n;
    need(&all, ce_resnet_pool_scratch(&r->pool, n));
    for (size_t i = 0; i < 3; i++)
        need(&all, ce_winograd_scratch(&r->stem[i].winograd));
    for (size_t i = 0; i < r->block_count; i++)
        need(&all, ce_winograd_scratch(&r->blocks[i].conv2.winograd));
    for (size_t i = 0; i < BUFFERS; i++)
        all += ce_round_up(n * r->sizes[i], CE_MAX_LANES);
    r->base.batch = n;
    r->base.scratch = all;
}

int ce_vision_resnet_open(ce_vision **out, const ce_config *config, ce_weights *w,
                          ce_error *err) {
    const ce_vision_config *c = &config->vision;
    resnet *r = calloc(1, sizeof *r);
    if (!r)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    r->image_width = (size_t)c->image_width;
    r->image_height = (size_t)c->image_height;
    r->base.encode = resnet_encode;
    r->base.free = resnet_free;
    snprintf(r->base.summary, sizeof r->base.summary,
             "ModifiedResNet %d-%d-%d-%d, width %d, %d heads", c->blocks[0], c->blocks[1],
             c->blocks[2], c->blocks[3], c->width, c->heads);
    int result = load(r, config, w, err);
    if (result < 0) {
        resnet_free(&r->base);
        return result;
    }
    size_batch(r);
    *out = &r->base;
    return CE_OK;
}

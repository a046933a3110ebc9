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
 * from where they lie, never copied together (core/convolution).
 */
#include "convolution.h"
#include "towers.h"
#include "vision_resnet_pool.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH_FLOATS = 2 * 1024 * 1024 /* of the largest activation of a batch */ };

typedef struct bottleneck {
    ce_conv conv1, conv2, conv3, downsample;
    bool has_downsample;
    size_t stride;
} bottleneck;

/* Four activations live at once. */
enum { X, Y, A, C, BUFFERS };

typedef struct resnet {
    ce_vision base;
    size_t image_width, image_height;
    ce_conv stem[3];
    bottleneck *blocks;
    size_t block_count;
    size_t sizes[BUFFERS]; /* floats of each buffer for one picture */
    float *zeros; /* as many as a neighbourhood has channels: outside the picture */
    size_t zeros_count;
    ce_resnet_pool pool;
} resnet;

static void resnet_free(ce_vision *base) {
    resnet *r = (resnet *)base;
    for (size_t i = 0; i < 3; i++)
        ce_conv_free(&r->stem[i]);
    for (size_t i = 0; r->blocks && i < r->block_count; i++) {
        ce_conv_free(&r->blocks[i].conv1);
        ce_conv_free(&r->blocks[i].conv2);
        ce_conv_free(&r->blocks[i].conv3);
        ce_conv_free(&r->blocks[i].downsample);
    }
    free(r->blocks);
    free(r->zeros);
    ce_resnet_pool_free(&r->pool);
    free(r);
}

/* 2x2 average pool with stride 2; an odd last row or column is left out, as in torch. `out`
 * may be `in`: nothing is written before it has been read. */
static ce_shape average_pool(float *out, const float *in, ce_shape s) {
    ce_shape o = {s.n, s.height / 2, s.width / 2, s.channels};
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

/* Runs one bottleneck from buffer[X]; the result is there again (X and Y may have been
 * swapped). */
static ce_shape run_bottleneck(const resnet *r, const bottleneck *b, float **buffer,
                               ce_shape s, float *scratch) {
    float *a = buffer[A], *c = buffer[C];
    ce_shape inner =
        ce_conv_forward(&b->conv1, a, buffer[X], s, r->zeros, CE_RELU, false, scratch);
    inner = ce_conv_forward(&b->conv2, c, a, inner, r->zeros, CE_RELU, false, scratch);
    const float *last = c;
    if (b->stride == 2) {
        inner = average_pool(a, c, inner);
        last = a;
    }
    if (b->has_downsample) {
        float *x = buffer[X];
        if (b->stride == 2)
            s = average_pool(x, x, s);
        ce_conv_forward(&b->downsample, buffer[Y], x, s, r->zeros, CE_NO_ACTIVATION, false,
                        scratch);
        buffer[X] = buffer[Y];
        buffer[Y] = x;
    }
    return ce_conv_forward(&b->conv3, buffer[X], last, inner, r->zeros, CE_RELU, true,
                           scratch);
}

static void resnet_encode(const ce_vision *base, float *out, const float *pixels, size_t n,
                          float *scratch) {
    const resnet *r = (const resnet *)base;
    float *buffer[BUFFERS];
    for (size_t i = 0; i < BUFFERS; i++)
        buffer[i] = ce_take(&scratch, n * r->sizes[i]);
    ce_shape s = ce_conv_forward_pixels(&r->stem[0], buffer[C], buffer[A], pixels, n,
                                        r->image_height, r->image_width, scratch);
    s = ce_conv_forward(&r->stem[1], buffer[A], buffer[C], s, r->zeros, CE_RELU, false,
                        scratch);
    s = ce_conv_forward(&r->stem[2], buffer[Y], buffer[A], s, r->zeros, CE_RELU, false,
                        scratch);
    s = average_pool(buffer[X], buffer[Y], s);
    for (size_t i = 0; i < r->block_count; i++)
        s = run_bottleneck(r, &r->blocks[i], buffer, s, scratch);
    ce_resnet_pool_forward(&r->pool, out, buffer[X], n, scratch);
}

/* The same, with both names behind `block`. */
static int load_part(ce_conv *c, ce_weights *w, const char *block, const char *conv_name,
                     const char *norm_name, size_t out, size_t in, size_t kernel,
                     ce_precision precision, ce_error *err) {
    char full[128], norm[128];
    snprintf(full, sizeof full, "%s.%s", block, conv_name);
    snprintf(norm, sizeof norm, "%s.%s", block, norm_name);
    return ce_conv_load(c, w, full, norm, out, in, kernel, 1, precision, err);
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
    ce_conv *const layers[] = {&b->conv1, &b->conv2, &b->conv3, &b->downsample};
    int result = CE_OK;
    for (size_t i = 0; i < 4 && result == CE_OK; i++)
        result = ce_conv_narrow(layers[i], precision, err);
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
        result = ce_conv_load(&r->stem[i], w, conv_name, norm_name, out[i], in[i], 3,
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

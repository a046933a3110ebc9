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
 * layer as it stands, and a 3x3 one is after its neighbourhoods are gathered.
 */
#include "towers.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GATHER_ROWS = 240, /* output positions of a 3x3 convolution gathered at once */
    BATCH_FLOATS = 2 * 1024 * 1024 /* of the largest activation of a batch */
};
static const double batch_norm_eps = 1e-5;

typedef struct conv {
    ce_linear linear; /* [out, kernel * kernel * in] */
    size_t kernel, stride;
} conv;

typedef struct bottleneck {
    conv conv1, conv2, conv3, downsample;
    bool has_downsample;
    size_t stride;
} bottleneck;

typedef struct resnet {
    ce_vision base;
    size_t image_width, image_height;
    conv stem[3];
    bottleneck *blocks;
    size_t block_count;
    size_t largest;      /* floats of the largest activation of one picture */
    size_t gather_depth; /* of the deepest 3x3 convolution: 9 * channels */
    /* attention pool */
    size_t width, heads, tokens; /* tokens: positions + 1 */
    float *positions;            /* [tokens, width] */
    ce_linear query, key_value, projection;
} resnet;

/* The activation of a batch. */
typedef struct shape {
    size_t n, height, width, channels;
} shape;

static size_t positions_of(shape s) {
    return s.n * s.height * s.width;
}

static void resnet_free(ce_vision *base) {
    resnet *r = (resnet *)base;
    for (size_t i = 0; i < 3; i++)
        ce_linear_free(&r->stem[i].linear);
    for (size_t i = 0; r->blocks && i < r->block_count; i++) {
        ce_linear_free(&r->blocks[i].conv1.linear);
        ce_linear_free(&r->blocks[i].conv2.linear);
        ce_linear_free(&r->blocks[i].conv3.linear);
        ce_linear_free(&r->blocks[i].downsample.linear);
    }
    free(r->blocks);
    free(r->positions);
    ce_linear_free(&r->query);
    ce_linear_free(&r->key_value);
    ce_linear_free(&r->projection);
    free(r);
}

/* 2x2 average pool with stride 2; an odd last row or column is left out, as in torch. */
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

/* The 3x3 neighbourhoods of `count` output positions from `first` on: gathered
 * [count, 3, 3, channels], zeros outside the picture. */
static void gather(float *gathered, const float *in, shape s, shape o, size_t stride,
                   size_t first, size_t count) {
    for (size_t at = first; at < first + count; at++) {
        size_t picture = at / (o.height * o.width), place = at % (o.height * o.width);
        size_t top = place / o.width * stride, left = place % o.width * stride;
        for (size_t ky = 0; ky < 3; ky++)
            for (size_t kx = 0; kx < 3; kx++, gathered += s.channels) {
                size_t y = top + ky - 1, x = left + kx - 1; /* wraps around below zero */
                if (y < s.height && x < s.width)
                    memcpy(gathered,
                           in + ((picture * s.height + y) * s.width + x) * s.channels,
                           s.channels * sizeof *gathered);
                else
                    memset(gathered, 0, s.channels * sizeof *gathered);
            }
    }
}

static shape convolve(const conv *c, float *out, const float *in, shape s,
                      ce_activation activation, bool accumulate, float *scratch) {
    shape o = {s.n, (s.height + c->stride - 1) / c->stride,
               (s.width + c->stride - 1) / c->stride, c->linear.out};
    if (c->kernel == 1) {
        ce_linear_forward(&c->linear, out, in, positions_of(s), activation, accumulate,
                          scratch);
        return o;
    }
    float *gathered = ce_take(&scratch, GATHER_ROWS * c->linear.in);
    for (size_t first = 0; first < positions_of(o); first += GATHER_ROWS) {
        size_t left = positions_of(o) - first;
        size_t count = left < GATHER_ROWS ? left : GATHER_ROWS;
        gather(gathered, in, s, o, c->stride, first, count);
        ce_linear_forward(&c->linear, out + first * o.channels, gathered, count, activation,
                          accumulate, scratch);
    }
    return o;
}

/* Runs one bottleneck from *x; the result is in *x again (x and y may be swapped). */
static shape run_bottleneck(const bottleneck *b, float **x, float **y, float *a, float *c,
                            shape s, float *scratch) {
    shape inner = convolve(&b->conv1, a, *x, s, CE_RELU, false, scratch);
    inner = convolve(&b->conv2, c, a, inner, CE_RELU, false, scratch);
    const float *last = c;
    if (b->stride == 2) {
        inner = average_pool(a, c, inner);
        last = a;
    }
    if (b->has_downsample) {
        const float *shortcut = *x;
        shape small = s;
        if (b->stride == 2) {
            small = average_pool(c, *x, s);
            shortcut = c;
        }
        convolve(&b->downsample, *y, shortcut, small, CE_NO_ACTIVATION, false, scratch);
        float *swap = *x;
        *x = *y;
        *y = swap;
    }
    shape o = convolve(&b->conv3, *x, last, inner, CE_NO_ACTIVATION, true, scratch);
    ce_kernels_get()->activate(*x, positions_of(o) * o.channels, CE_RELU);
    return o;
}

/* One picture: query [width] of its mean token, key_value [tokens, 2 * width] -> mixed. */
static void pool_picture(const resnet *r, float *mixed, const float *query,
                         const float *key_value, float *scores) {
    size_t size = r->width / r->heads, stride = ce_round_up(r->tokens, CE_MAX_LANES);
    for (size_t h = 0; h < r->heads; h++) {
        for (size_t t = 0; t < stride; t++)
            scores[t] = t < r->tokens ? 0 : -INFINITY;
        for (size_t t = 0; t < r->tokens; t++)
            for (size_t i = 0; i < size; i++)
                scores[t] +=
                    query[h * size + i] * key_value[t * 2 * r->width + h * size + i];
        ce_kernels_get()->softmax(scores, stride, 1 / sqrtf((float)size));
        float *head = mixed + h * size;
        memset(head, 0, size * sizeof *head);
        for (size_t t = 0; t < r->tokens; t++)
            for (size_t i = 0; i < size; i++)
                head[i] += scores[t] * key_value[(t * 2 + 1) * r->width + h * size + i];
    }
}

/* features [n, positions, width] -> out [n, embed_dim]. */
static void attention_pool(const resnet *r, float *out, const float *features, size_t n,
                           float *scratch) {
    size_t width = r->width, count = r->tokens;
    float *x = ce_take(&scratch, n * count * width); /* tokens: mean, then positions */
    float *key_value = ce_take(&scratch, n * count * 2 * width);
    float *means = ce_take(&scratch, n * width);
    float *queries = ce_take(&scratch, n * width);
    float *mixed = ce_take(&scratch, n * width);
    float *scores = ce_take(&scratch, ce_round_up(count, CE_MAX_LANES));
    for (size_t i = 0; i < n; i++) {
        const float *from = features + i * (count - 1) * width;
        float *to = x + i * count * width;
        for (size_t c = 0; c < width; c++) {
            float sum = 0;
            for (size_t t = 0; t < count - 1; t++)
                sum += from[t * width + c];
            to[c] = sum / (float)(count - 1) + r->positions[c];
        }
        for (size_t k = 0; k < (count - 1) * width; k++)
            to[width + k] = from[k] + r->positions[width + k];
        memcpy(means + i * width, to, width * sizeof *to);
    }
    ce_linear_forward(&r->query, queries, means, n, CE_NO_ACTIVATION, false, scratch);
    ce_linear_forward(&r->key_value, key_value, x, n * count, CE_NO_ACTIVATION, false,
                      scratch);
    for (size_t i = 0; i < n; i++)
        pool_picture(r, mixed + i * width, queries + i * width,
                     key_value + i * count * 2 * width, scores);
    ce_linear_forward(&r->projection, out, mixed, n, CE_NO_ACTIVATION, false, scratch);
}

static void resnet_encode(const ce_vision *base, float *out, const float *pixels, size_t n,
                          float *scratch) {
    const resnet *r = (const resnet *)base;
    float *x = ce_take(&scratch, n * r->largest), *y = ce_take(&scratch, n * r->largest);
    float *a = ce_take(&scratch, n * r->largest), *c = ce_take(&scratch, n * r->largest);
    shape s = {n, r->image_height, r->image_width, 3};
    size_t area = s.height * s.width;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < 3; k++)
            for (size_t p = 0; p < area; p++)
                a[(i * area + p) * 3 + k] = pixels[(i * 3 + k) * area + p];
    s = convolve(&r->stem[0], c, a, s, CE_RELU, false, scratch);
    s = convolve(&r->stem[1], a, c, s, CE_RELU, false, scratch);
    s = convolve(&r->stem[2], c, a, s, CE_RELU, false, scratch);
    s = average_pool(x, c, s);
    for (size_t i = 0; i < r->block_count; i++)
        s = run_bottleneck(&r->blocks[i], &x, &y, a, c, s, scratch);
    attention_pool(r, out, x, n, scratch);
}

/* Loads a convolution without bias and the batch norm behind it:
 * y = (Wx - mean) * gain / sqrt(var + eps) + bias, with the factor moved into W. */
static int load_conv(conv *c, ce_weights *w, const char *conv_name, const char *norm_name,
                     size_t out, size_t in, size_t kernel, size_t stride, ce_error *err) {
    c->kernel = kernel;
    c->stride = stride;
    static const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    float *norm[4] = {0}, *stored = NULL, *row = NULL;
    char name[256];
    size_t area = kernel * kernel, stored_shape[] = {out, in, kernel, kernel};
    snprintf(name, sizeof name, "%s.weight", conv_name);
    int result = ce_weights_take_floats(w, &stored, name, 4, stored_shape, err);
    for (size_t i = 0; i < 4 && result == CE_OK; i++) {
        snprintf(name, sizeof name, "%s.%s", norm_name, parts[i]);
        result = ce_weights_take_floats(w, &norm[i], name, 1, &out, err);
    }
    ce_linear_init(&c->linear, out, in * area);
    row = malloc(in * area * sizeof *row);
    if (result == CE_OK && !row)
        result = ce_fail(err, CE_ENOMEM, "out of memory");
    for (size_t o = 0; o < out && result == CE_OK; o++) {
        if (norm[3][o] < 0) {
            result = ce_fail(err, CE_EFORMAT, "%s: tensor %s.running_var is negative",
                             ce_weights_path(w), norm_name);
            break;
        }
        double factor = norm[0][o] / sqrt(norm[3][o] + batch_norm_eps);
        float bias = (float)(norm[1][o] - norm[2][o] * factor);
        for (size_t i = 0; i < in; i++) /* [in, area] -> [area, in] */
            for (size_t k = 0; k < area; k++)
                row[k * in + i] = (float)(stored[(o * in + i) * area + k] * factor);
        result = ce_linear_set_rows(&c->linear, o, row, 1, ce_weights_path(w), err);
        if (result == CE_OK)
            result = ce_linear_set_bias_values(&c->linear, o, &bias, 1, err);
    }
    for (size_t i = 0; i < 4; i++)
        free(norm[i]);
    free(stored);
    free(row);
    return result;
}

/* The same, with both names behind `block`. */
static int load_part(conv *c, ce_weights *w, const char *block, const char *conv_name,
                     const char *norm_name, size_t out, size_t in, size_t kernel,
                     ce_error *err) {
    char full[128], norm[128];
    snprintf(full, sizeof full, "%s.%s", block, conv_name);
    snprintf(norm, sizeof norm, "%s.%s", block, norm_name);
    return load_conv(c, w, full, norm, out, in, kernel, 1, err);
}

static int load_bottleneck(bottleneck *b, ce_weights *w, const char *block, size_t in,
                           size_t planes, ce_error *err) {
    int result = load_part(&b->conv1, w, block, "conv1", "bn1", planes, in, 1, err);
    if (result == CE_OK)
        result = load_part(&b->conv2, w, block, "conv2", "bn2", planes, planes, 3, err);
    if (result == CE_OK)
        result = load_part(&b->conv3, w, block, "conv3", "bn3", planes * 4, planes, 1, err);
    b->has_downsample = b->stride == 2 || in != planes * 4;
    if (result == CE_OK && b->has_downsample)
        result = load_part(&b->downsample, w, block, "downsample.0", "downsample.1",
                           planes * 4, in, 1, err);
    return result;
}

/* Notes the size of an activation and of a 3x3 convolution that reads it. */
static void note(resnet *r, size_t height, size_t width, size_t channels, bool gathered) {
    if (height * width * channels > r->largest)
        r->largest = height * width * channels;
    if (gathered && 9 * channels > r->gather_depth)
        r->gather_depth = 9 * channels;
}

static int load_stages(resnet *r, const ce_vision_config *c, ce_weights *w, size_t height,
                       size_t width, ce_error *err) {
    size_t in = (size_t)c->width, index = 0;
    int result = CE_OK;
    for (size_t stage = 0; stage < 4; stage++) {
        size_t planes = (size_t)c->width << stage;
        for (size_t i = 0; i < (size_t)c->blocks[stage] && result == CE_OK; i++) {
            bottleneck *b = &r->blocks[index++];
            char name[64];
            snprintf(name, sizeof name, "visual.layer%zu.%zu", stage + 1, i);
            b->stride = stage > 0 && i == 0 ? 2 : 1;
            note(r, height, width, in, false);
            note(r, height, width, planes, true);
            height /= b->stride;
            width /= b->stride;
            note(r, height, width, planes * 4, false);
            result = load_bottleneck(b, w, name, in, planes, err);
            in = planes * 4;
        }
    }
    r->width = in;
    r->tokens = height * width + 1;
    return result;
}

static int load_pool_linear(ce_linear *l, size_t first, size_t out, ce_weights *w,
                            const char *name, ce_error *err) {
    char full[64];
    snprintf(full, sizeof full, "visual.attnpool.%s.weight", name);
    int result = ce_linear_set(l, first, w, full, out, CE_ROWS_OUT, err);
    snprintf(full, sizeof full, "visual.attnpool.%s.bias", name);
    return result < 0 ? result : ce_linear_set_bias(l, first, w, full, out, err);
}

static int load_attention_pool(resnet *r, size_t embed_dim, ce_weights *w, ce_error *err) {
    size_t width = r->width, shape_of_positions[] = {r->tokens, width};
    int result =
        ce_weights_take_floats(w, &r->positions, "visual.attnpool.positional_embedding", 2,
                               shape_of_positions, err);
    ce_linear_init(&r->query, width, width);
    ce_linear_init(&r->key_value, 2 * width, width);
    ce_linear_init(&r->projection, embed_dim, width);
    if (result == CE_OK)
        result = load_pool_linear(&r->query, 0, width, w, "q_proj", err);
    if (result == CE_OK)
        result = load_pool_linear(&r->key_value, 0, width, w, "k_proj", err);
    if (result == CE_OK)
        result = load_pool_linear(&r->key_value, width, width, w, "v_proj", err);
    if (result == CE_OK)
        result = load_pool_linear(&r->projection, 0, embed_dim, w, "c_proj", err);
    return result;
}

static int load(resnet *r, const ce_config *config, ce_weights *w, ce_error *err) {
    const ce_vision_config *c = &config->vision;
    size_t half = (size_t)c->width / 2, out[] = {half, half, half * 2},
           in[] = {3, half, half};
    size_t height = (r->image_height + 1) / 2, width = (r->image_width + 1) / 2;
    note(r, r->image_height, r->image_width, 3, true);
    note(r, height, width, half * 2, true);
    int result = CE_OK;
    for (size_t i = 0; i < 3 && result == CE_OK; i++) {
        char conv_name[32], norm_name[32];
        snprintf(conv_name, sizeof conv_name, "visual.conv%zu", i + 1);
        snprintf(norm_name, sizeof norm_name, "visual.bn%zu", i + 1);
        result = load_conv(&r->stem[i], w, conv_name, norm_name, out[i], in[i], 3,
                           i == 0 ? 2 : 1, err);
    }
    for (size_t i = 0; i < 4; i++)
        r->block_count += (size_t)c->blocks[i];
    r->blocks = calloc(r->block_count, sizeof *r->blocks);
    if (result == CE_OK && !r->blocks)
        result = ce_fail(err, CE_ENOMEM, "out of memory");
    if (result == CE_OK)
        result = load_stages(r, c, w, height / 2, width / 2, err);
    if (result == CE_OK && r->tokens < 2)
        result =
            ce_fail(err, CE_EFORMAT, "%s: pictures of %zu x %zu are too small for a ResNet",
                    ce_weights_path(w), r->image_width, r->image_height);
    r->heads = (size_t)c->heads;
    if (result == CE_OK && r->width % r->heads)
        result = ce_fail(err, CE_EFORMAT, "%s: %zu heads do not divide a width of %zu",
                         ce_weights_path(w), r->heads, r->width);
    return result < 0 ? result : load_attention_pool(r, (size_t)config->embed_dim, w, err);
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
    size_t n = BATCH_FLOATS / r->largest;
    n = n < 1 ? 1 : n > 8 ? 8 : n;
    r->base.batch = n;
    size_t pool = n * (r->tokens * 3 + 3) * r->width + r->tokens + 7 * CE_MAX_LANES;
    size_t gathered = GATHER_ROWS * r->gather_depth + CE_MAX_LANES;
    r->base.scratch = 4 * n * r->largest + 4 * CE_MAX_LANES +
                      (pool > gathered ? pool : gathered) + ce_linear_workspace();
    *out = &r->base;
    return CE_OK;
}

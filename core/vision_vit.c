/* Vision Transformer (Dosovitskiy et al. 2021) as the CLIP family uses it:
 *
 *     pixels -> patches, one linear map -> [class token |] patches + positions
 *            -> [layer norm] -> blocks -> layer norm -> pool -> [projection]
 *
 * The arithmetic is that of OpenAI's VisionTransformer (clip/model.py), which open_clip's
 * (with its options) and transformers' CLIPVisionTransformer share, and of transformers'
 * SiglipVisionTransformer: no class token, no first norm, a pool by attention
 * (vision_pool.c), no projection.
 */
#include "towers.h"
#include "vision_pool.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Token rows that one batch should have: enough to amortise the passes over the weights. */
enum { BATCH_ROWS = 800 };

typedef struct vit {
    ce_vision base;
    size_t patch, rows, cols; /* of the grid of patches */
    size_t image_width, image_height;
    ce_linear embed;    /* [width, 3 * patch * patch] */
    float *class_token; /* [width], or NULL */
    float *positions;   /* [tokens, width] */
    bool has_pre, norm_after_pool, has_projection;
    ce_norm pre, post;
    ce_transformer transformer;
    ce_pool pool;
    ce_attention_pool head;
    ce_linear projection;
} vit;

typedef struct vit_names {
    const char *class_token, *patches, *positions, *pre, *post, *blocks, *projection;
    ce_orientation projection_orientation;
    const ce_block_names *block;
    const ce_pool_names *head;
} vit_names;

static const vit_names hugging_face = {
    .class_token = "vision_model.embeddings.class_embedding",
    .patches = "vision_model.embeddings.patch_embedding",
    .positions = "vision_model.embeddings.position_embedding.weight",
    .pre = "vision_model.pre_layrnorm", /* the library's own spelling */
    .post = "vision_model.post_layernorm",
    .blocks = "vision_model.encoder.layers.",
    .projection = "visual_projection.weight",
    .projection_orientation = CE_ROWS_OUT,
    .block = &ce_names_hugging_face,
    .head = &ce_pool_names_hugging_face,
};

static const vit_names open_clip = {
    .class_token = "visual.class_embedding",
    .patches = "visual.conv1",
    .positions = "visual.positional_embedding",
    .pre = "visual.ln_pre",
    .post = "visual.ln_post",
    .blocks = "visual.transformer.resblocks.",
    .projection = "visual.proj",
    .projection_orientation = CE_ROWS_IN,
    .block = &ce_names_open_clip,
};

/* A timm ViT inside open_clip, as its SigLIPs have: no class token, no projection. */
static const vit_names timm = {
    .patches = "visual.trunk.patch_embed.proj",
    .positions = "visual.trunk.pos_embed",
    .post = "visual.trunk.norm",
    .blocks = "visual.trunk.blocks.",
    .block = &ce_names_timm,
    .head = &ce_pool_names_timm,
};

static const vit_names *names_of(const ce_config *config) {
    if (config->family != CE_FAMILY_OPEN_CLIP)
        return &hugging_face;
    return config->vision.timm ? &timm : &open_clip;
}

static size_t grid_of(const vit *v) {
    return v->rows * v->cols;
}

static size_t tokens(const vit *v, bool has_class_token) {
    return grid_of(v) + (has_class_token ? 1 : 0);
}

static void vit_free(ce_vision *base) {
    vit *v = (vit *)base;
    ce_linear_free(&v->embed);
    free(v->class_token);
    free(v->positions);
    ce_norm_free(&v->pre);
    ce_norm_free(&v->post);
    ce_transformer_free(&v->transformer);
    ce_attention_pool_free(&v->head);
    ce_linear_free(&v->projection);
    free(v);
}

/* pixels [3, height, width] -> patches [grid, 3 * patch * patch], in the order of a
 * convolution's weights: channel, row, column. */
static void cut_patches(const vit *v, float *patches, const float *pixels) {
    for (size_t row = 0; row < v->rows; row++)
        for (size_t col = 0; col < v->cols; col++)
            for (size_t c = 0; c < 3; c++)
                for (size_t y = 0; y < v->patch; y++, patches += v->patch)
                    memcpy(patches,
                           pixels +
                               (c * v->image_height + row * v->patch + y) * v->image_width +
                               col * v->patch,
                           v->patch * sizeof *patches);
}

/* x [tokens, width] of one picture: class token, then the embedded patches, plus positions.
 */
static void assemble_tokens(const vit *v, float *x, const float *embedded) {
    size_t width = v->transformer.width;
    const float *positions = v->positions;
    if (v->class_token) {
        for (size_t i = 0; i < width; i++)
            x[i] = v->class_token[i] + positions[i];
        x += width;
        positions += width;
    }
    for (size_t i = 0; i < grid_of(v) * width; i++)
        x[i] = embedded[i] + positions[i];
}

/* x [n, tokens, width] */
static void embed(const vit *v, float *x, const float *pixels, size_t n, float *scratch) {
    size_t width = v->transformer.width, grid = grid_of(v);
    size_t patch_size = 3 * v->patch * v->patch, count = tokens(v, v->class_token != NULL);
    float *patches = ce_take(&scratch, n * grid * patch_size);
    float *embedded = ce_take(&scratch, n * grid * width);
    for (size_t i = 0; i < n; i++)
        cut_patches(v, patches + i * grid * patch_size,
                    pixels + i * 3 * v->image_width * v->image_height);
    ce_linear_forward(&v->embed, embedded, patches, n * grid, CE_NO_ACTIVATION, false,
                      scratch);
    for (size_t i = 0; i < n; i++)
        assemble_tokens(v, x + i * count * width, embedded + i * grid * width);
    if (v->has_pre)
        ce_norm_forward(&v->pre, x, x, width, n * count, width, v->transformer.eps);
}

/* mean [width] of rows [n, width] */
static void average(float *mean, const float *rows, size_t n, size_t width) {
    memset(mean, 0, width * sizeof *mean);
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < width; i++)
            mean[i] += rows[t * width + i];
    for (size_t i = 0; i < width; i++)
        mean[i] /= (float)n;
}

/* pooled [n, width] of x [n, tokens, width], which the last norm may change */
static void pool(const vit *v, float *pooled, float *x, size_t n, float *scratch) {
    size_t width = v->transformer.width, count = tokens(v, v->class_token != NULL);
    float eps = v->transformer.eps;
    if (v->pool == CE_POOL_FIRST) { /* of which the last block has left nothing else */
        ce_norm_forward(&v->post, pooled, x, width, n, width, eps);
        return;
    }
    if (!v->norm_after_pool)
        ce_norm_forward(&v->post, x, x, width, n * count, width, eps);
    if (v->pool == CE_POOL_ATTENTION)
        ce_attention_pool_forward(&v->head, pooled, x, count, n, scratch);
    for (size_t i = 0; i < n && v->pool == CE_POOL_AVERAGE; i++)
        average(pooled + i * width, x + ((i + 1) * count - grid_of(v)) * width, grid_of(v),
                width);
    if (v->norm_after_pool)
        ce_norm_forward(&v->post, pooled, pooled, width, n, width, eps);
}

static void vit_encode(const ce_vision *base, float *out, const float *pixels, size_t n,
                       float *scratch) {
    const vit *v = (const vit *)base;
    size_t width = v->transformer.width, count = tokens(v, v->class_token != NULL);
    size_t lengths[BATCH_ROWS], first[BATCH_ROWS];
    ce_wanted wanted = {first, n}; /* the class tokens */
    float *x = ce_take(&scratch, n * count * width);
    float *pooled = ce_take(&scratch, n * width);
    embed(v, x, pixels, n, scratch);
    for (size_t i = 0; i < n; i++) {
        lengths[i] = count;
        first[i] = i * count;
    }
    ce_transformer_forward(&v->transformer, x, lengths, n,
                           v->pool == CE_POOL_FIRST ? &wanted : NULL, scratch);
    pool(v, v->has_projection ? pooled : out, x, n, scratch);
    if (v->has_projection)
        ce_linear_forward(&v->projection, out, pooled, n, CE_NO_ACTIVATION, false, scratch);
}

static int load_embedding(vit *v, const ce_vision_config *c, ce_weights *w,
                          const vit_names *names, ce_error *err) {
    size_t width = v->transformer.width, patch = v->patch;
    size_t class_shape[] = {width};
    size_t position_shape[] = {1, tokens(v, !c->no_class_token), width};
    size_t patch_shape[] = {width, 3, patch, patch};
    char name[96];
    ce_linear_init(&v->embed, width, 3 * patch * patch);
    snprintf(name, sizeof name, "%s.weight", names->patches);
    int result = ce_linear_set_shaped(&v->embed, 0, w, name, 4, patch_shape, err);
    snprintf(name, sizeof name, "%s.bias", names->patches);
    if (result == CE_OK && c->patch_bias)
        result = ce_linear_set_bias(&v->embed, 0, w, name, width, err);
    if (result == CE_OK) /* pixels had 8 bits to begin with */
        result = ce_linear_set_precision(&v->embed, v->transformer.precision, err);
    if (result == CE_OK && !c->no_class_token)
        result = ce_weights_take_floats(w, &v->class_token, names->class_token, 1,
                                        class_shape, err);
    if (result == CE_OK)
        result = ce_weights_take_floats(w, &v->positions, names->positions, c->timm ? 3 : 2,
                                        position_shape + (c->timm ? 0 : 1), err);
    if (result == CE_OK && v->has_pre)
        result = ce_norm_load(&v->pre, w, names->pre, width, err);
    return result;
}

static int load(vit *v, const ce_config *config, ce_weights *w, ce_error *err) {
    const vit_names *names = names_of(config);
    size_t width = v->transformer.width, d = (size_t)config->embed_dim;
    int result = load_embedding(v, &config->vision, w, names, err);
    if (result == CE_OK)
        result = ce_transformer_load(&v->transformer, w, names->blocks, names->block, err);
    if (result == CE_OK)
        result = ce_norm_load(&v->post, w, names->post, width, err);
    if (result == CE_OK && v->pool == CE_POOL_ATTENTION)
        result = ce_attention_pool_load(&v->head, w, names->head, err);
    ce_linear_init(&v->projection, d, width);
    if (result == CE_OK && v->has_projection)
        result = ce_linear_set(&v->projection, 0, w, names->projection, d,
                               names->projection_orientation, err);
    return result;
}

/* SIZE_MAX where it overflows. `count`: tokens of a picture. */
static size_t scratch_size(const vit *v, size_t count) {
    size_t n = v->base.batch, width = v->transformer.width;
    size_t inside = ce_transformer_scratch(&v->transformer, n * count, count);
    size_t embedding = n * grid_of(v) * (3 * v->patch * v->patch + width) +
                       ce_linear_workspace() + 2 * CE_MAX_LANES;
    size_t head =
        v->pool == CE_POOL_ATTENTION ? ce_attention_pool_scratch(&v->head, count, n) : 0;
    size_t most = embedding > head ? embedding : head;
    if (inside == SIZE_MAX)
        return SIZE_MAX;
    return n * (count + 1) * width + 2 * CE_MAX_LANES + (inside > most ? inside : most);
}

static void describe(char *out, size_t size, const ce_vision_config *c) {
    const char *pool = c->pool == CE_POOL_AVERAGE     ? ", average pool"
                       : c->pool == CE_POOL_ATTENTION ? ", attention pool"
                                                      : "";
    snprintf(out, size, "ViT %d x %d, %d heads, patch %d, %s%s%s%s", c->layers, c->width,
             c->heads, c->patch, ce_activation_name(c->activation), pool,
             c->no_pre_norm && !c->no_class_token ? ", no pre-norm" : "",
             c->layer_scale ? ", layer scale" : "");
}

int ce_vision_vit_open(ce_vision **out, const ce_config *config, ce_weights *w,
                       ce_error *err) {
    const ce_vision_config *c = &config->vision;
    vit *v = calloc(1, sizeof *v);
    if (!v)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    v->patch = (size_t)c->patch;
    v->image_width = (size_t)c->image_width;
    v->image_height = (size_t)c->image_height;
    v->rows = v->image_height / v->patch;
    v->cols = v->image_width / v->patch;
    v->has_pre = !c->no_pre_norm;
    v->norm_after_pool = c->norm_after_pool;
    v->has_projection = !c->no_projection;
    v->pool = c->pool;
    v->transformer = (ce_transformer){.width = (size_t)c->width,
                                      .heads = (size_t)c->heads,
                                      .hidden = (size_t)c->hidden,
                                      .layers = (size_t)c->layers,
                                      .activation = c->activation,
                                      .layer_scale = c->layer_scale,
                                      .precision = config->precision,
                                      .eps = (float)c->eps};
    v->head = (ce_attention_pool){.width = v->transformer.width,
                                  .heads = v->transformer.heads,
                                  .hidden = v->transformer.hidden,
                                  .activation = c->activation,
                                  .eps = v->transformer.eps};
    size_t count = tokens(v, !c->no_class_token);
    v->base.encode = vit_encode;
    v->base.free = vit_free;
    v->base.batch = count < BATCH_ROWS ? BATCH_ROWS / count : 1;
    describe(v->base.summary, sizeof v->base.summary, c);
    int result = load(v, config, w, err);
    v->base.scratch = result == CE_OK ? scratch_size(v, count) : 0;
    if (v->base.scratch == SIZE_MAX)
        result = ce_fail(err, CE_EFORMAT, "%s: %zu tokens a picture are too many",
                         ce_weights_path(w), count);
    if (result < 0) {
        vit_free(&v->base);
        return result;
    }
    *out = &v->base;
    return CE_OK;
}

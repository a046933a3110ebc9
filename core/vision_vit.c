/* Vision Transformer (Dosovitskiy et al. 2021) as CLIP uses it:
 *
 *     pixels -> patches, one linear map without bias -> [class token | patches] + positions
 *            -> layer norm -> blocks -> layer norm of the class token -> projection
 *
 * The arithmetic is that of OpenAI's VisionTransformer (clip/model.py), which open_clip and
 * transformers' CLIPVisionTransformer share.
 */
#include "towers.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Token rows that one batch should have: enough to amortise the passes over the weights. */
enum { BATCH_ROWS = 448 };

typedef struct vit {
    ce_vision base;
    size_t patch, rows, cols; /* of the grid of patches */
    size_t image_width, image_height;
    ce_linear embed;    /* [width, 3 * patch * patch] */
    float *class_token; /* [width] */
    float *positions;   /* [tokens, width] */
    ce_norm pre, post;
    ce_transformer transformer;
    ce_linear projection;
} vit;

typedef struct vit_names {
    const char *class_token, *patches, *positions, *pre, *post, *blocks, *projection;
    ce_orientation projection_orientation;
    const ce_block_names *block;
} vit_names;

static const vit_names hugging_face = {
    .class_token = "vision_model.embeddings.class_embedding",
    .patches = "vision_model.embeddings.patch_embedding.weight",
    .positions = "vision_model.embeddings.position_embedding.weight",
    .pre = "vision_model.pre_layrnorm", /* the library's own spelling */
    .post = "vision_model.post_layernorm",
    .blocks = "vision_model.encoder.layers.",
    .projection = "visual_projection.weight",
    .projection_orientation = CE_ROWS_OUT,
    .block = &ce_names_hugging_face,
};

static const vit_names open_clip = {
    .class_token = "visual.class_embedding",
    .patches = "visual.conv1.weight",
    .positions = "visual.positional_embedding",
    .pre = "visual.ln_pre",
    .post = "visual.ln_post",
    .blocks = "visual.transformer.resblocks.",
    .projection = "visual.proj",
    .projection_orientation = CE_ROWS_IN,
    .block = &ce_names_open_clip,
};

static size_t tokens(const vit *v) {
    return v->rows * v->cols + 1;
}

static void vit_free(ce_vision *base) {
    vit *v = (vit *)base;
    ce_linear_free(&v->embed);
    free(v->class_token);
    free(v->positions);
    ce_norm_free(&v->pre);
    ce_norm_free(&v->post);
    ce_transformer_free(&v->transformer);
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

/* x[tokens, width] of one picture: class token, then the embedded patches, plus positions.
 */
static void assemble_tokens(const vit *v, float *x, const float *embedded) {
    size_t width = v->transformer.width;
    for (size_t i = 0; i < width; i++)
        x[i] = v->class_token[i] + v->positions[i];
    for (size_t i = 0; i < (tokens(v) - 1) * width; i++)
        x[width + i] = embedded[i] + v->positions[width + i];
}

static void vit_encode(const ce_vision *base, float *out, const float *pixels, size_t n,
                       float *scratch) {
    const vit *v = (const vit *)base;
    const ce_kernels *kernels = ce_kernels_get();
    size_t width = v->transformer.width, count = tokens(v), grid = count - 1;
    size_t patch_size = 3 * v->patch * v->patch;
    size_t lengths[BATCH_ROWS];
    float *x = ce_take(&scratch, n * count * width);
    float *pooled = ce_take(&scratch, n * width);

    float *rest = scratch;
    float *patches = ce_take(&rest, n * grid * patch_size);
    float *embedded = ce_take(&rest, n * grid * width);
    for (size_t i = 0; i < n; i++)
        cut_patches(v, patches + i * grid * patch_size,
                    pixels + i * 3 * v->image_width * v->image_height);
    ce_linear_forward(&v->embed, embedded, patches, n * grid, CE_NO_ACTIVATION, false,
                      rest);
    for (size_t i = 0; i < n; i++) {
        assemble_tokens(v, x + i * count * width, embedded + i * grid * width);
        lengths[i] = count;
    }
    float eps = v->transformer.eps;
    for (float *row = x; row < x + n * count * width; row += width)
        kernels->layer_norm(row, row, v->pre.gain, v->pre.bias, width, eps);
    ce_transformer_forward(&v->transformer, x, lengths, n, scratch);
    for (size_t i = 0; i < n; i++)
        kernels->layer_norm(pooled + i * width, x + i * count * width, v->post.gain,
                            v->post.bias, width, eps);
    ce_linear_forward(&v->projection, out, pooled, n, CE_NO_ACTIVATION, false, scratch);
}

static int load(vit *v, const ce_config *config, ce_weights *w, const vit_names *names,
                ce_error *err) {
    size_t width = v->transformer.width, patch = v->patch;
    size_t class_shape[] = {width}, position_shape[] = {tokens(v), width};
    size_t patch_shape[] = {width, 3, patch, patch};
    ce_linear_init(&v->embed, width, 3 * patch * patch);
    int result = ce_linear_set_shaped(&v->embed, 0, w, names->patches, 4, patch_shape, err);
    if (result == CE_OK)
        result = ce_weights_take_floats(w, &v->class_token, names->class_token, 1,
                                        class_shape, err);
    if (result == CE_OK)
        result = ce_weights_take_floats(w, &v->positions, names->positions, 2,
                                        position_shape, err);
    if (result == CE_OK)
        result = ce_norm_load(&v->pre, w, names->pre, width, err);
    if (result == CE_OK)
        result = ce_norm_load(&v->post, w, names->post, width, err);
    if (result == CE_OK)
        result = ce_transformer_load(&v->transformer, w, names->blocks, names->block, err);
    ce_linear_init(&v->projection, (size_t)config->embed_dim, width);
    if (result == CE_OK)
        result =
            ce_linear_set(&v->projection, 0, w, names->projection,
                          (size_t)config->embed_dim, names->projection_orientation, err);
    return result;
}

static size_t scratch_size(const vit *v) {
    size_t n = v->base.batch, count = tokens(v), width = v->transformer.width;
    size_t inside = ce_transformer_scratch(&v->transformer, n * count, count);
    size_t embedding = n * (count - 1) * (3 * v->patch * v->patch + width) +
                       ce_linear_workspace() + 2 * CE_MAX_LANES;
    if (inside == SIZE_MAX)
        return SIZE_MAX;
    return n * (count + 1) * width + 2 * CE_MAX_LANES +
           (inside > embedding ? inside : embedding);
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
    v->transformer = (ce_transformer){.width = (size_t)c->width,
                                      .heads = (size_t)c->heads,
                                      .hidden = (size_t)c->hidden,
                                      .layers = (size_t)c->layers,
                                      .activation = c->activation,
                                      .eps = (float)c->eps};
    v->base.encode = vit_encode;
    v->base.free = vit_free;
    v->base.batch = tokens(v) < BATCH_ROWS ? BATCH_ROWS / tokens(v) : 1;
    snprintf(v->base.summary, sizeof v->base.summary, "ViT %d x %d, %d heads, patch %d, %s",
             c->layers, c->width, c->heads, c->patch, ce_activation_name(c->activation));
    int result =
        load(v, config, w,
             config->style == CE_TEXT_HUGGING_FACE ? &hugging_face : &open_clip, err);
    v->base.scratch = result == CE_OK ? scratch_size(v) : 0;
    if (v->base.scratch == SIZE_MAX)
        result = ce_fail(err, CE_EFORMAT, "%s: %zu tokens a picture are too many",
                         ce_weights_path(w), tokens(v));
    if (result < 0) {
        vit_free(&v->base);
        return result;
    }
    *out = &v->base;
    return CE_OK;
}

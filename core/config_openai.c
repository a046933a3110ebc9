/* OpenAI's checkpoints, which hold no configuration: sizes follow from shapes as in
 * build_model of openai/CLIP (clip/model.py), heads are 64 wide, the activation is
 * quick_gelu and pictures are prepared as in clip.py's _transform. */
#include "config_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_type(const ce_weights *w, const char *name, ce_dtype dtype) {
    const ce_tensor *t = ce_weights_find(w, name);
    return t && t->dtype == dtype;
}

static const char *const scalars[] = {"input_resolution", "context_length", "vocab_size"};

static bool has_scalars(const ce_weights *w) {
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
        const ce_tensor *t = ce_weights_find(w, scalars[i]);
        if (!t || t->dtype != CE_I64 || t->count != 1)
            return false;
    }
    return true;
}

/* What convert_weights leaves: matrices and convolutions in half precision, the rest not.
 */
static bool has_mixed_precision(const ce_weights *w) {
    return is_type(w, "visual.conv1.weight", CE_F16) &&
           is_type(w, "transformer.resblocks.0.attn.in_proj_weight", CE_F16) &&
           is_type(w, "text_projection", CE_F16) && is_type(w, "ln_final.weight", CE_F32) &&
           is_type(w, "token_embedding.weight", CE_F32) &&
           is_type(w, "positional_embedding", CE_F32);
}

const char *ce_config_openai_marks(const ce_weights *w, bool *certain) {
    *certain = has_scalars(w);
    if (*certain)
        return ce_weights_is_torchscript(w)
                   ? "a TorchScript archive with its sizes"
                   : "a state dict with input_resolution, context_length and vocab_size";
    if (ce_weights_is_torchscript(w))
        return "a TorchScript archive";
    return has_mixed_precision(w) ? "partly in half precision" : NULL;
}

static int no_marks(const ce_weights *w, ce_error *err) {
    const char *path = ce_weights_path(w);
    if (ce_weights_find(w, "visual.conv1.weight") ||
        ce_weights_find(w, "visual.trunk.patch_embed.proj.weight"))
        return ce_fail(
            err, CE_EFORMAT,
            "%s: nothing says which activation it takes, and names and shapes do "
            "not tell: --arch ViT-B-32 (or another of open_clip's names, "
            "-quickgelu or not) would, or --arch openai",
            path);
    return ce_fail(
        err, CE_EFORMAT,
        "%s: no CLIP that is known: it holds neither visual.conv1.weight (OpenAI, "
        "open_clip) nor vision_model.embeddings.patch_embedding.weight "
        "(transformers)",
        path);
}

/* One side of a tensor. */
static int read_side(const ce_weights *w, const char *name, int rank, int side, int *out,
                     int min, int max, ce_error *err) {
    const ce_tensor *t = ce_weights_find(w, name);
    if (!t)
        return ce_fail(err, CE_EFORMAT, "%s: no tensor %s, which an OpenAI CLIP has",
                       ce_weights_path(w), name);
    if (t->rank != rank)
        return ce_fail(err, CE_EFORMAT, "%s: tensor %s has %d dimensions, not %d",
                       ce_weights_path(w), name, t->rank, rank);
    size_t n = t->shape[side];
    if (n < (size_t)min || n > (size_t)max)
        return ce_fail(err, CE_EFORMAT,
                       "%s: tensor %s has a side of %zu, where an OpenAI CLIP has %d to %d",
                       ce_weights_path(w), name, n, min, max);
    *out = (int)n;
    return CE_OK;
}

/* How many blocks there are: PREFIX0SUFFIX, PREFIX1SUFFIX, ... */
static int count_blocks(const ce_weights *w, const char *prefix, const char *suffix,
                        int *out, ce_error *err) {
    char name[96];
    for (*out = 0; *out <= CE_MAX_LAYERS; (*out)++) {
        snprintf(name, sizeof name, "%s%d%s", prefix, *out, suffix);
        if (!ce_weights_find(w, name))
            break;
    }
    if (*out < 1 || *out > CE_MAX_LAYERS)
        return ce_fail(err, CE_EFORMAT, "%s: %d layers named %sN%s are absurd",
                       ce_weights_path(w), *out, prefix, suffix);
    return CE_OK;
}

/* The side of the square of positions behind the first. */
static int read_grid(const ce_weights *w, const char *name, int *out, ce_error *err) {
    const int max = CE_PREPROCESS_MAX_SIDE;
    int rows = 0;
    int result = read_side(w, name, 2, 0, &rows, 2, max * max + 1, err);
    if (result < 0)
        return result;
    *out = (int)lround(sqrt(rows - 1));
    if (*out * *out + 1 != rows)
        return ce_fail(err, CE_EFORMAT,
                       "%s: tensor %s: its %d rows are no square and one more",
                       ce_weights_path(w), name, rows);
    return CE_OK;
}

static int set_image_size(const ce_weights *w, ce_vision_config *v, int side,
                          ce_error *err) {
    if (side > CE_PREPROCESS_MAX_SIDE)
        return ce_fail(err, CE_EFORMAT, "%s: pictures of %d x %d are absurd",
                       ce_weights_path(w), side, side);
    v->image_width = v->image_height = side;
    return CE_OK;
}

static int read_vit(const ce_weights *w, ce_vision_config *v, ce_error *err) {
    int grid = 1, height = 0;
    v->kind = CE_VISION_VIT;
    int result =
        read_side(w, "visual.conv1.weight", 4, 0, &v->width, 64, CE_MAX_WIDTH, err);
    if (result == CE_OK)
        result = read_side(w, "visual.conv1.weight", 4, 2, &height, 1,
                           CE_PREPROCESS_MAX_SIDE, err);
    if (result == CE_OK)
        result = read_side(w, "visual.conv1.weight", 4, 3, &v->patch, 1,
                           CE_PREPROCESS_MAX_SIDE, err);
    if (result == CE_OK && height != v->patch)
        result = ce_fail(err, CE_EFORMAT,
                         "%s: tensor visual.conv1.weight: %d x %d is no "
                         "square patch",
                         ce_weights_path(w), height, v->patch);
    if (result == CE_OK)
        result = count_blocks(w, "visual.transformer.resblocks.", ".attn.in_proj_weight",
                              &v->layers, err);
    if (result == CE_OK)
        result = read_grid(w, "visual.positional_embedding", &grid, err);
    v->heads = v->width / 64;
    v->hidden = v->width * 4;
    v->pool = CE_POOL_FIRST;
    return result < 0 ? result : set_image_size(w, v, v->patch * grid, err);
}

static int read_resnet(const ce_weights *w, ce_vision_config *v, ce_error *err) {
    int grid = 1;
    v->kind = CE_VISION_RESNET;
    int result = read_side(w, "visual.layer1.0.conv1.weight", 4, 0, &v->width, 2,
                           CE_MAX_WIDTH / 32, err);
    for (int i = 0; i < 4 && result == CE_OK; i++) {
        char prefix[] = "visual.layer1.";
        prefix[sizeof "visual.layer" - 1] = (char)('1' + i);
        result = count_blocks(w, prefix, ".conv1.weight", &v->blocks[i], err);
    }
    if (result == CE_OK)
        result = read_grid(w, "visual.attnpool.positional_embedding", &grid, err);
    v->heads = v->width * 32 / 64;
    return result < 0 ? result : set_image_size(w, v, grid * 32, err);
}

static int read_text(const ce_weights *w, ce_text_config *t, ce_error *err) {
    int result =
        read_side(w, "positional_embedding", 2, 0, &t->context, 2, CE_MAX_CONTEXT, err);
    if (result == CE_OK)
        result = read_side(w, "token_embedding.weight", 2, 0, &t->vocab_size, 2,
                           CE_MAX_VOCAB, err);
    if (result == CE_OK)
        result = read_side(w, "ln_final.weight", 1, 0, &t->width, 64, CE_MAX_WIDTH, err);
    if (result == CE_OK)
        result = count_blocks(w, "transformer.resblocks.", ".attn.in_proj_weight",
                              &t->layers, err);
    t->heads = t->width / 64;
    t->hidden = t->width * 4;
    t->pool = CE_POOL_LARGEST_ID;
    return result;
}

/* The archives state three sizes besides; build_model drops them. */
static int check_scalars(const ce_config *c, const ce_weights *w, ce_error *err) {
    const int found[] = {c->vision.image_width, c->text.context, c->text.vocab_size};
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars && has_scalars(w); i++) {
        const ce_tensor *t = ce_weights_find(w, scalars[i]);
        int64_t stated = 0;
        memcpy(&stated, t->data, sizeof stated);
        if (stated != found[i])
            return ce_fail(err, CE_EFORMAT, "%s: %s is %lld, but the shapes say %d",
                           ce_weights_path(w), scalars[i], (long long)stated, found[i]);
    }
    return CE_OK;
}

static void name_sources(ce_config *out, const ce_checkpoint *files, const char *marks) {
    const char *shown = ce_config_shown(files, files->weights);
    snprintf(out->architecture_source, sizeof out->architecture_source, "shapes of %.*s",
             PATH_MAX - 64, shown);
    snprintf(out->activation_source, sizeof out->activation_source, "OpenAI's (%s)",
             marks ? marks : "--arch openai");
    snprintf(out->preprocess_source, sizeof out->preprocess_source, "OpenAI's");
}

int ce_config_read_openai(ce_config *out, const ce_checkpoint *files, const ce_weights *w,
                          ce_notes *notes, ce_error *err) {
    bool certain = true, told = *files->arch;
    const char *marks = told ? NULL : ce_config_openai_marks(w, &certain);
    if (!told && !marks)
        return no_marks(w, err);
    *out = (ce_config){.family = CE_FAMILY_OPEN_CLIP,
                       .style = CE_TEXT_OPENAI,
                       .tokenizer = CE_TOKENIZER_BPE};
    out->vision.activation = out->text.activation = CE_QUICK_GELU;
    out->vision.eps = out->text.eps = 1e-5;
    int result = ce_weights_find(w, "visual.proj") ? read_vit(w, &out->vision, err)
                                                   : read_resnet(w, &out->vision, err);
    if (result == CE_OK)
        result = read_text(w, &out->text, err);
    if (result == CE_OK)
        result =
            read_side(w, "text_projection", 2, 1, &out->embed_dim, 1, CE_MAX_WIDTH, err);
    if (result == CE_OK)
        result = check_scalars(out, w, err);
    if (result < 0)
        return result;
    const int side = out->vision.image_width;
    out->preprocess = (ce_preprocess){.resize_mode = CE_RESIZE_SHORTEST,
                                      .interpolation = CE_BICUBIC,
                                      .resize_width = side,
                                      .resize_height = side,
                                      .width = side,
                                      .height = side,
                                      .crop_rounding = CE_CROP_HALF_EVEN,
                                      .rescale = 1.0 / 255,
                                      .mean = CE_CLIP_MEAN,
                                      .std = CE_CLIP_STD};
    name_sources(out, files, marks);
    if (!certain)
        ce_notes_add(notes, CE_WARNING, "openai-assumed",
                     "%s: quick_gelu is taken because the file is %s, as OpenAI's are; if "
                     "it is another's, name its architecture (--arch ViT-B-32)",
                     files->weights, marks);
    return CE_OK;
}

/* open_clip's directories: open_clip_config.json (model_cfg and preprocess_cfg, as
 * open_clip's push_to_hf_hub writes them) and open_clip_model.safetensors. Absent values
 * take the defaults of open_clip's CLIPVisionCfg, CLIPTextCfg and PreprocessCfg (3.3). An
 * option that is set and not implemented is an error that names it.
 */
#include "config.h"

#include "json.h"

#include <stdio.h>
#include <string.h>

/* What an option that is not read may be. Absent and null are always fine. */
typedef enum allowed {
    ANYTHING, /* read below, or without influence on an embedding */
    ONLY_FALSE,
    ONLY_TEXT /* the string in `text` */
} allowed;

typedef struct option {
    const char *key;
    allowed allowed;
    const char *text;
} option;

static const option model_options[] = {
    {"embed_dim", ANYTHING, 0},
    {"vision_cfg", ANYTHING, 0},
    {"text_cfg", ANYTHING, 0},
    {"quick_gelu", ANYTHING, 0},
    {"init_logit_scale", ANYTHING, 0},
    {"cast_dtype", ANYTHING, 0},
    {"output_dict", ANYTHING, 0},
    {"custom_text", ONLY_FALSE, 0},
    {"nonscalar_logit_scale", ONLY_FALSE, 0},
    {NULL, ANYTHING, 0},
};

static const option vision_options[] = {
    {"image_size", ANYTHING, 0},
    {"layers", ANYTHING, 0},
    {"width", ANYTHING, 0},
    {"head_width", ANYTHING, 0},
    {"mlp_ratio", ANYTHING, 0},
    {"patch_size", ANYTHING, 0},
    {"patch_dropout", ANYTHING, 0},
    {"output_tokens", ANYTHING, 0},
    {"attn_pooler_queries", ANYTHING, 0},
    {"attn_pooler_heads", ANYTHING, 0},
    {"attentional_pool", ONLY_FALSE, 0},
    {"no_ln_pre", ONLY_FALSE, 0},
    {"final_ln_after_pool", ONLY_FALSE, 0},
    {"pool_type", ONLY_TEXT, "tok"},
    {"pos_embed_type", ONLY_TEXT, "learnable"},
    {NULL, ANYTHING, 0},
};

static const option text_options[] = {
    {"context_length", ANYTHING, 0},
    {"vocab_size", ANYTHING, 0},
    {"width", ANYTHING, 0},
    {"heads", ANYTHING, 0},
    {"layers", ANYTHING, 0},
    {"mlp_ratio", ANYTHING, 0},
    {"pad_id", ANYTHING, 0},
    {"bos_id", ANYTHING, 0},
    {"eos_id", ANYTHING, 0},
    {"output_tokens", ANYTHING, 0},
    {"embed_cls", ONLY_FALSE, 0},
    {"no_causal_mask", ONLY_FALSE, 0},
    {"final_ln_after_pool", ONLY_FALSE, 0},
    {"proj_bias", ONLY_FALSE, 0},
    {"pool_type", ONLY_TEXT, "argmax"},
    {"proj_type", ONLY_TEXT, "linear"},
    {NULL, ANYTHING, 0},
};

static const option preprocess_options[] = {
    {"size", ANYTHING, 0}, /* not read: the library takes the tower's */
    {"mean", ANYTHING, 0},
    {"std", ANYTHING, 0},
    {"interpolation", ANYTHING, 0},
    {"resize_mode", ANYTHING, 0},
    {"fill_color", ANYTHING, 0},
    {"mode", ONLY_TEXT, "RGB"},
    {NULL, ANYTHING, 0},
};

static bool is_allowed(const option *o, const json_t *value) {
    if (json_is_null(value))
        return true;
    if (!o->key) /* an option we do not know: harmless only where it is off */
        return json_is_false(value) || (json_is_object(value) && !json_object_size(value));
    if (o->allowed == ONLY_FALSE)
        return json_is_false(value);
    return o->allowed != ONLY_TEXT ||
           (json_is_string(value) && strcmp(json_string_value(value), o->text) == 0);
}

static int check_options(const json_t *object, const option *options, const char *part,
                         const char *name, ce_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        const option *o = options;
        while (o->key && strcmp(o->key, key) != 0)
            o++;
        if (!is_allowed(o, value)) {
            char text[80] = "";
            json_dumpb(value, text, sizeof text - 1, JSON_ENCODE_ANY | JSON_COMPACT);
            return ce_fail(err, CE_EUNSUPPORTED, "%s: %s.%s = %s is not implemented", name,
                           part, key, text);
        }
    }
    return CE_OK;
}

static int read_hidden(const json_t *object, int width, int *hidden, const char *name,
                       ce_error *err) {
    double ratio = 4;
    int result = ce_json_double(object, "mlp_ratio", &ratio, name, err);
    if (result == CE_OK &&
        !(ratio > 0 && width * ratio >= 1 && width * ratio <= CE_MAX_HIDDEN))
        result = ce_fail(err, CE_EFORMAT, "%s: mlp_ratio %g is absurd", name, ratio);
    if (result == CE_OK)
        *hidden = (int)(width * ratio);
    return result;
}

/* A size is a number or [height, width]. */
static int read_size(const json_t *object, const char *key, int *height, int *width,
                     const char *name, ce_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_array(value)) {
        int result = ce_json_int(object, key, height, 1, CE_PREPROCESS_MAX_SIDE, name, err);
        if (result == CE_OK && value && !json_is_null(value))
            *width = *height;
        return result;
    }
    double sides[2];
    int result = ce_json_doubles(object, key, sides, 2, name, err);
    for (int i = 0; i < 2 && result == CE_OK; i++)
        if (!(sides[i] >= 1 && sides[i] <= CE_PREPROCESS_MAX_SIDE))
            result = ce_fail(err, CE_EFORMAT, "%s: %s is absurd", name, key);
    if (result == CE_OK) {
        *height = (int)sides[0];
        *width = (int)sides[1];
    }
    return result;
}

static int read_resnet(ce_vision_config *v, const json_t *layers, int head_width,
                       const char *name, ce_error *err) {
    v->kind = CE_VISION_RESNET;
    if (json_array_size(layers) != 4)
        return ce_fail(err, CE_EFORMAT, "%s: vision_cfg.layers must name four stages",
                       name);
    for (size_t i = 0; i < 4; i++) {
        const json_t *n = json_array_get(layers, i);
        json_int_t count = json_is_integer(n) ? json_integer_value(n) : 0;
        if (count < 1 || count > CE_MAX_LAYERS)
            return ce_fail(err, CE_EFORMAT, "%s: vision_cfg.layers is absurd", name);
        v->blocks[i] = (int)count;
    }
    if (v->width % 2 || v->width > CE_MAX_WIDTH / 32)
        return ce_fail(err, CE_EFORMAT, "%s: vision_cfg.width %d is absurd for a ResNet",
                       name, v->width);
    v->heads = v->width * 32 / head_width;
    if (v->heads < 1)
        return ce_fail(err, CE_EFORMAT, "%s: vision_cfg.head_width %d is absurd", name,
                       head_width);
    return CE_OK;
}

static int read_vision(ce_vision_config *v, const json_t *object, const char *name,
                       ce_error *err) {
    *v = (ce_vision_config){.image_width = 224,
                            .image_height = 224,
                            .width = 768,
                            .patch = 16,
                            .layers = 12,
                            .eps = 1e-5};
    int head_width = 64;
    int result = check_options(object, vision_options, "vision_cfg", name, err);
    if (result == CE_OK)
        result =
            read_size(object, "image_size", &v->image_height, &v->image_width, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "width", &v->width, 1, CE_MAX_WIDTH, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "head_width", &head_width, 1, CE_MAX_WIDTH, name, err);
    if (result < 0)
        return result;
    const json_t *layers = json_object_get(object, "layers");
    if (json_is_array(layers))
        return read_resnet(v, layers, head_width, name, err);
    v->kind = CE_VISION_VIT;
    v->heads = v->width / head_width;
    if (v->heads < 1)
        return ce_fail(err, CE_EFORMAT,
                       "%s: vision_cfg.head_width %d is larger than the width", name,
                       head_width);
    result = ce_json_int(object, "layers", &v->layers, 1, CE_MAX_LAYERS, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "patch_size", &v->patch, 1, CE_PREPROCESS_MAX_SIDE,
                             name, err);
    return result < 0 ? result : read_hidden(object, v->width, &v->hidden, name, err);
}

static int read_text(ce_text_config *t, const json_t *object, const char *name,
                     ce_error *err) {
    *t = (ce_text_config){.context = 77,
                          .vocab_size = 49408,
                          .width = 512,
                          .heads = 8,
                          .layers = 12,
                          .eps = 1e-5,
                          .pool = CE_POOL_LARGEST_ID};
    int result = check_options(object, text_options, "text_cfg", name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "context_length", &t->context, 2, CE_MAX_CONTEXT, name,
                             err);
    if (result == CE_OK)
        result =
            ce_json_int(object, "vocab_size", &t->vocab_size, 2, CE_MAX_VOCAB, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "width", &t->width, 1, CE_MAX_WIDTH, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "heads", &t->heads, 1, CE_MAX_WIDTH, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "layers", &t->layers, 1, CE_MAX_LAYERS, name, err);
    return result < 0 ? result : read_hidden(object, t->width, &t->hidden, name, err);
}

static int read_model(ce_config *out, const json_t *model, const char *name,
                      ce_error *err) {
    const json_t *vision = NULL, *text = NULL;
    bool quick_gelu = false;
    int result = check_options(model, model_options, "model_cfg", name, err);
    if (result == CE_OK)
        result = ce_json_require(model, "embed_dim", name, err);
    if (result == CE_OK)
        result =
            ce_json_int(model, "embed_dim", &out->embed_dim, 1, CE_MAX_WIDTH, name, err);
    if (result == CE_OK)
        result = ce_json_bool(model, "quick_gelu", &quick_gelu, name, err);
    if (result == CE_OK)
        result = ce_json_require(model, "vision_cfg", name, err);
    if (result == CE_OK)
        result = ce_json_require(model, "text_cfg", name, err);
    if (result == CE_OK)
        result = ce_json_object(model, "vision_cfg", &vision, name, err);
    if (result == CE_OK)
        result = ce_json_object(model, "text_cfg", &text, name, err);
    if (result == CE_OK)
        result = read_vision(&out->vision, vision, name, err);
    if (result == CE_OK)
        result = read_text(&out->text, text, name, err);
    out->vision.activation = out->text.activation = quick_gelu ? CE_QUICK_GELU : CE_GELU;
    return result;
}

static int read_modes(ce_preprocess *p, const json_t *object, const char *name,
                      ce_error *err) {
    const char *mode = "shortest", *interpolation = "bicubic";
    int result = ce_json_string(object, "resize_mode", &mode, name, err);
    if (result == CE_OK)
        result = ce_json_string(object, "interpolation", &interpolation, name, err);
    if (result < 0)
        return result;
    if (strcmp(mode, "shortest") == 0)
        p->resize_mode = CE_RESIZE_SHORTEST;
    else if (strcmp(mode, "squash") == 0)
        p->resize_mode = CE_RESIZE_SQUASH;
    else if (strcmp(mode, "longest") == 0)
        p->resize_mode = CE_RESIZE_LONGEST;
    else
        return ce_fail(err, CE_EUNSUPPORTED, "%s: resize_mode \"%s\" is not implemented",
                       name, mode);
    /* "random" concerns training; the library evaluates it as bicubic */
    if (strcmp(interpolation, "bilinear") == 0)
        p->interpolation = CE_BILINEAR;
    else if (strcmp(interpolation, "bicubic") == 0 || strcmp(interpolation, "random") == 0)
        p->interpolation = CE_BICUBIC;
    else
        return ce_fail(err, CE_EUNSUPPORTED, "%s: interpolation \"%s\" is not implemented",
                       name, interpolation);
    if (p->resize_mode != CE_RESIZE_SQUASH && p->width != p->height)
        return ce_fail(
            err, CE_EUNSUPPORTED,
            "%s: resize_mode \"%s\" to %d x %d is not implemented (only to squares)", name,
            mode, p->width, p->height);
    return CE_OK;
}

static int read_preprocess(ce_preprocess *p, const json_t *object,
                           const ce_vision_config *v, const char *name, ce_error *err) {
    *p = (ce_preprocess){.width = v->image_width,
                         .height = v->image_height,
                         .crop_rounding = CE_CROP_HALF_EVEN,
                         .rescale = 1.0 / 255,
                         .mean = {0.48145466, 0.4578275, 0.40821073},
                         .std = {0.26862954, 0.26130258, 0.27577711}};
    int result = check_options(object, preprocess_options, "preprocess_cfg", name, err);
    if (result == CE_OK)
        result = ce_json_doubles(object, "mean", p->mean, 3, name, err);
    if (result == CE_OK)
        result = ce_json_doubles(object, "std", p->std, 3, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "fill_color", &p->fill, 0, 255, name, err);
    p->resize_width = p->width;
    p->resize_height = p->height;
    return result < 0 ? result : read_modes(p, object, name, err);
}

int ce_config_read_open_clip(ce_config *out, const ce_checkpoint *files, ce_notes *notes,
                             ce_error *err) {
    const char *name = files->config;
    json_t *root;
    (void)notes;
    int result = ce_json_load(&root, name, err);
    if (result < 0)
        return result;
    out->style = CE_TEXT_OPEN_CLIP;
    out->family = CE_FAMILY_OPEN_CLIP;
    snprintf(out->architecture_source, sizeof out->architecture_source, "%s", name);
    snprintf(out->activation_source, sizeof out->activation_source, "%s", name);
    snprintf(out->preprocess_source, sizeof out->preprocess_source, "%s", name);
    const json_t *model = NULL, *preprocess = NULL;
    result = ce_json_require(root, "model_cfg", name, err);
    if (result == CE_OK)
        result = ce_json_object(root, "model_cfg", &model, name, err);
    if (result == CE_OK)
        result = read_model(out, model, name, err);
    if (result == CE_OK)
        result = ce_json_object(root, "preprocess_cfg", &preprocess, name, err);
    if (result == CE_OK)
        result = read_preprocess(&out->preprocess, preprocess, &out->vision, name, err);
    json_decref(root);
    return result;
}

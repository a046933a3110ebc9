/* open_clip's image towers: vision_cfg (CLIPVisionCfg and _build_vision_tower, model.py).
 */
#include "config_open_clip.h"

#include <stdio.h>
#include <string.h>

static const ce_option vision_options[] = {
    {"image_size", NULL},
    {"layers", NULL},
    {"width", NULL},
    {"head_width", NULL},
    {"mlp_ratio", NULL},
    {"patch_size", NULL},
    {"ls_init_value", NULL},
    {"no_ln_pre", NULL},
    {"final_ln_after_pool", NULL},
    {"act_kwargs", NULL},
    {"norm_kwargs", NULL},
    {"patch_dropout", NULL}, /* training */
    {"output_tokens", NULL},
    {"attn_pooler_queries", NULL}, /* of attentional_pool */
    {"attn_pooler_heads", NULL},
    {"timm_model_pretrained", NULL}, /* of timm_model_name, down to the end */
    {"timm_pool", NULL},
    {"timm_proj", NULL},
    {"timm_proj_bias", NULL},
    {"timm_drop", NULL},
    {"timm_drop_path", NULL},
    {"timm_model_name", NULL},
    {"pool_type", "tok,avg,"},
    {"pos_embed_type", "learnable,sin_cos_2d,"}, /* stored alike */
    {"block_type", "default,"},
    {NULL, NULL},
};

static int read_resnet(ce_vision_config *v, const json_t *layers, int head_width,
                       const char *name, ce_error *err) {
    v->kind = CE_VISION_RESNET;
    v->patch = v->layers = 0;
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

static int read_vit(ce_vision_config *v, const json_t *object, int head_width,
                    const char *name, ce_error *err) {
    int height = v->patch;
    const char *pool = "tok";
    v->heads = v->width / head_width;
    if (v->heads < 1)
        return ce_fail(err, CE_EFORMAT,
                       "%s: vision_cfg.head_width %d is larger than the width", name,
                       head_width);
    int result = ce_json_int(object, "layers", &v->layers, 1, CE_MAX_LAYERS, name, err);
    if (result == CE_OK)
        result =
            ce_open_clip_read_size(object, "patch_size", &height, &v->patch, name, err);
    if (result == CE_OK && height != v->patch)
        result = ce_fail(err, CE_EUNSUPPORTED,
                         "%s: vision_cfg.patch_size of %d x %d is not implemented", name,
                         height, v->patch);
    if (result == CE_OK)
        result = ce_json_bool(object, "no_ln_pre", &v->no_pre_norm, name, err);
    if (result == CE_OK)
        result =
            ce_json_bool(object, "final_ln_after_pool", &v->norm_after_pool, name, err);
    if (result == CE_OK)
        result = ce_json_string(object, "pool_type", &pool, name, err);
    if (result == CE_OK)
        result = ce_open_clip_read_kwargs(object, &v->activation, &v->eps, "vision_cfg",
                                          name, err);
    v->pool = strcmp(pool, "avg") == 0 ? CE_POOL_AVERAGE : CE_POOL_FIRST;
    v->layer_scale = ce_open_clip_is_set(object, "ls_init_value");
    return result < 0 ? result
                      : ce_open_clip_read_hidden(object, v->width, &v->hidden, name, err);
}

/* timm's names of SigLIP's image towers (timm 1.0, vision_transformer.py), each with the
 * side of its pictures behind them. */
static const struct {
    const char *name;
    int patch, width, layers, heads, hidden;
    ce_activation activation;
} timm_towers[] = {
    {"vit_base_patch32_siglip_256", 32, 768, 12, 12, 3072, CE_GELU_TANH},
    {"vit_base_patch16_siglip_", 16, 768, 12, 12, 3072, CE_GELU},
    {"vit_large_patch16_siglip_512", 16, 1024, 24, 16, 4096, CE_GELU_TANH},
    {"vit_large_patch16_siglip_", 16, 1024, 24, 16, 4096, CE_GELU},
    {"vit_so400m_patch14_siglip_", 14, 1152, 27, 16, 4304, CE_GELU},
    {"vit_so400m_patch16_siglip_", 16, 1152, 27, 16, 4304, CE_GELU_TANH},
    {"vit_giantopt_patch16_siglip_", 16, 1536, 40, 16, 6144, CE_GELU_TANH},
};

static int set_timm_tower(ce_vision_config *v, const char *tower, const char *name,
                          ce_error *err) {
    const char *size = strrchr(tower, '_') ? strrchr(tower, '_') + 1 : "";
    char stated[16];
    snprintf(stated, sizeof stated, "%d", v->image_width);
    for (size_t i = 0; i < sizeof timm_towers / sizeof *timm_towers; i++) {
        size_t n = strlen(timm_towers[i].name);
        if (strncmp(tower, timm_towers[i].name, n) != 0 || (tower[n] && tower + n != size))
            continue;
        if (strcmp(size, stated) != 0 || v->image_height != v->image_width)
            return ce_fail(err, CE_EFORMAT,
                           "%s: vision_cfg.image_size is %d x %d, but %s takes pictures of "
                           "%.8s",
                           name, v->image_height, v->image_width, tower, size);
        v->patch = timm_towers[i].patch;
        v->width = timm_towers[i].width;
        v->layers = timm_towers[i].layers;
        v->heads = timm_towers[i].heads;
        v->hidden = timm_towers[i].hidden;
        v->activation = timm_towers[i].activation;
        return CE_OK;
    }
    return ce_fail(err, CE_EUNSUPPORTED,
                   "%s: vision_cfg.timm_model_name = \"%.100s\" is not implemented (of "
                   "timm's, only SigLIP's are)",
                   name, tower);
}

static int require_text(const json_t *object, const char *key, const char *wanted,
                        const char *name, ce_error *err) {
    const char *text = "(absent)";
    int result = ce_json_string(object, key, &text, name, err);
    if (result == CE_OK && strcmp(text, wanted) != 0)
        result = ce_fail(err, CE_EUNSUPPORTED,
                         "%s: vision_cfg.%s = \"%.40s\" is not implemented (\"%s\" is)",
                         name, key, text, wanted);
    return result;
}

/* Such a tower has no other options: what else vision_cfg says, the library ignores. */
static int read_timm(ce_config *out, const json_t *object, const char *tower,
                     const char *name, ce_error *err) {
    ce_vision_config *v = &out->vision;
    int result = set_timm_tower(v, tower, name, err);
    if (result == CE_OK)
        result = require_text(object, "timm_pool", "map", name, err);
    if (result == CE_OK)
        result = require_text(object, "timm_proj", "none", name, err);
    if (result == CE_OK && v->width != out->embed_dim)
        result = ce_fail(err, CE_EFORMAT, "%s: embed_dim is %d, but %s gives %d", name,
                         out->embed_dim, tower, v->width);
    v->kind = CE_VISION_VIT;
    v->eps = 1e-6;
    v->timm = v->no_class_token = v->no_pre_norm = v->patch_bias = v->no_projection = true;
    v->pool = CE_POOL_ATTENTION;
    return result;
}

int ce_open_clip_read_vision(ce_config *out, const json_t *object, ce_activation activation,
                             const char *name, ce_error *err) {
    ce_vision_config *v = &out->vision;
    const char *tower = NULL;
    *v = (ce_vision_config){.image_width = 224,
                            .image_height = 224,
                            .width = 768,
                            .patch = 16,
                            .layers = 12,
                            .activation = activation,
                            .eps = 1e-5};
    int head_width = 64;
    int result =
        ce_open_clip_check_options(object, vision_options, "vision_cfg", name, err);
    if (result == CE_OK)
        result = ce_open_clip_read_size(object, "image_size", &v->image_height,
                                        &v->image_width, name, err);
    if (result == CE_OK)
        result = ce_json_string(object, "timm_model_name", &tower, name, err);
    if (result == CE_OK && tower && *tower)
        return read_timm(out, object, tower, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "width", &v->width, 1, CE_MAX_WIDTH, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "head_width", &head_width, 1, CE_MAX_WIDTH, name, err);
    if (result < 0)
        return result;
    const json_t *layers = json_object_get(object, "layers");
    return json_is_array(layers) ? read_resnet(v, layers, head_width, name, err)
                                 : read_vit(v, object, head_width, name, err);
}

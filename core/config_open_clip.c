/* open_clip's checkpoints: open_clip_config.json (model_cfg and preprocess_cfg, as
 * push_to_hf_hub writes them), an architecture by its name, or a model configuration's
 * path. Absent values take the defaults of open_clip's CLIPVisionCfg and CLIPTextCfg (3.3:
 * model.py). An option that is set and not implemented is an error that names it. */
#include "config_open_clip.h"
#include "open_clip_archs.h"

#include <stdio.h>
#include <string.h>

static const ce_option model_options[] = {
    {"embed_dim", NULL},
    {"vision_cfg", NULL},
    {"text_cfg", NULL},
    {"quick_gelu", NULL},
    {"init_logit_scale", NULL},
    {"init_logit_bias", NULL},
    {"nonscalar_logit_scale", NULL}, /* [1] instead of [] */
    {"custom_text", NULL},           /* the text tower's names start with "text." */
    {"cast_dtype", NULL},
    {"output_dict", NULL},
    {NULL, NULL},
};

static const ce_option text_options[] = {
    {"context_length", NULL},
    {"vocab_size", NULL},
    {"width", NULL},
    {"heads", NULL},
    {"layers", NULL},
    {"mlp_ratio", NULL},
    {"ls_init_value", NULL},
    {"act_kwargs", NULL},
    {"norm_kwargs", NULL},
    {"no_causal_mask", NULL},
    {"proj_bias", NULL},
    {"hf_tokenizer_name", NULL}, /* ce_config_read_tokenizer */
    {"tokenizer_kwargs", NULL},
    {"tokenizer_mode", NULL},
    {"pad_id", NULL}, /* used with embed_cls only */
    {"bos_id", NULL},
    {"eos_id", NULL},
    {"output_tokens", NULL},
    {"final_ln_after_pool", NULL}, /* the library reads it nowhere */
    {"hf_model_pretrained", NULL}, /* of hf_model_name, down to the end */
    {"hf_proj_type", NULL},
    {"hf_pooler_type", NULL},
    {"hf_model_name", ","},
    {"pool_type", "argmax,first,last,eos,"},
    {"proj_type", "linear,none,"},
    {"block_type", "default,"},
    {NULL, NULL},
};

static int read_text_sizes(ce_text_config *t, const json_t *object, const char *name,
                           ce_error *err) {
    int result =
        ce_json_int(object, "context_length", &t->context, 2, CE_MAX_CONTEXT, name, err);
    if (result == CE_OK)
        result =
            ce_json_int(object, "vocab_size", &t->vocab_size, 2, CE_MAX_VOCAB, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "width", &t->width, 1, CE_MAX_WIDTH, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "heads", &t->heads, 1, CE_MAX_WIDTH, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "layers", &t->layers, 1, CE_MAX_LAYERS, name, err);
    return result < 0 ? result
                      : ce_open_clip_read_hidden(object, t->width, &t->hidden, name, err);
}

static ce_pool text_pool(const char *name) {
    return strcmp(name, "first") == 0  ? CE_POOL_FIRST
           : strcmp(name, "last") == 0 ? CE_POOL_LAST
           : strcmp(name, "eos") == 0  ? CE_POOL_END_OF_TEXT
                                       : CE_POOL_LARGEST_ID;
}

static int read_text(ce_text_config *t, const json_t *object, ce_activation activation,
                     const char *name, ce_error *err) {
    *t = (ce_text_config){.context = 77,
                          .vocab_size = 49408,
                          .width = 512,
                          .heads = 8,
                          .layers = 12,
                          .activation = activation,
                          .eps = 1e-5,
                          .end_of_text = 2};
    const char *pool = "argmax", *projection = "linear";
    int result = ce_open_clip_check_options(object, text_options, "text_cfg", name, err);
    if (result == CE_OK)
        result = read_text_sizes(t, object, name, err);
    if (result == CE_OK)
        result = ce_json_string(object, "pool_type", &pool, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "eos_id", &t->end_of_text, 0, CE_MAX_VOCAB, name, err);
    if (result == CE_OK)
        result = ce_json_string(object, "proj_type", &projection, name, err);
    if (result == CE_OK)
        result = ce_json_bool(object, "proj_bias", &t->projection_bias, name, err);
    if (result == CE_OK)
        result = ce_json_bool(object, "no_causal_mask", &t->not_causal, name, err);
    if (result == CE_OK)
        result = ce_open_clip_read_kwargs(object, &t->activation, &t->eps, "text_cfg", name,
                                          err);
    t->pool = text_pool(pool);
    t->no_projection = strcmp(projection, "none") == 0;
    t->projection_bias = t->projection_bias && !t->no_projection;
    t->layer_scale = ce_open_clip_is_set(object, "ls_init_value");
    if (result == CE_OK && t->pool == CE_POOL_END_OF_TEXT &&
        t->end_of_text >= t->vocab_size)
        result = ce_fail(err, CE_EFORMAT,
                         "%s: text_cfg.eos_id %d is outside the vocabulary of %d", name,
                         t->end_of_text, t->vocab_size);
    return result;
}

static int read_model(ce_config *out, const json_t *model, const json_t **text,
                      const char *name, ce_error *err) {
    const json_t *vision = NULL;
    bool quick_gelu = false;
    int result = ce_open_clip_check_options(model, model_options, "model_cfg", name, err);
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
        result = ce_json_object(model, "text_cfg", text, name, err);
    ce_activation activation = quick_gelu ? CE_QUICK_GELU : CE_GELU;
    if (result == CE_OK)
        result = ce_open_clip_read_vision(out, vision, activation, name, err);
    if (result == CE_OK)
        result = read_text(&out->text, *text, activation, name, err);
    if (result == CE_OK && out->text.no_projection && out->text.width != out->embed_dim)
        result = ce_fail(err, CE_EFORMAT,
                         "%s: text_cfg.proj_type is \"none\", but the width %d is not "
                         "embed_dim %d",
                         name, out->text.width, out->embed_dim);
    out->sigmoid = ce_open_clip_is_set(model, "init_logit_bias");
    return result;
}

/* The model configuration by name. OpenAI's spelling means OpenAI's weights. */
static int open_arch(json_t **root, char shown[96], const ce_checkpoint *files,
                     ce_notes *notes, ce_error *err) {
    char ours[64];
    const char *name = files->arch;
    if (ce_open_clip_arch_of_openai(ours, sizeof ours, name)) {
        ce_notes_add(
            notes, CE_REMARK, "openai-spelling",
            "%s: \"%s\" is OpenAI's name, so its activation, quick_gelu, is taken; "
            "open_clip's own \"%.*s\" has gelu",
            files->weights, name, (int)(strlen(ours) - strlen("-quickgelu")), ours);
        name = ours;
    }
    snprintf(shown, 96, "open_clip's %s", name);
    return ce_open_clip_arch(root, name, err);
}

/* model_cfg, or a file that is nothing else, as open_clip's own model_configs are. */
static int read_architecture(ce_config *out, const json_t *root, const char *name,
                             const ce_checkpoint *files, ce_error *err) {
    const json_t *model = NULL, *text = NULL;
    const char *shown = ce_config_shown(files, name);
    int result = ce_json_object(root, "model_cfg", &model, name, err);
    if (result == CE_OK && !model && !json_object_get(root, "embed_dim"))
        result = ce_fail(err, CE_EFORMAT, "%s: \"model_cfg\" is missing", name);
    model = model ? model : root;
    if (result == CE_OK)
        result = read_model(out, model, &text, name, err);
    if (result == CE_OK)
        result = ce_config_read_tokenizer(out, text, files, name, err);
    if (result < 0)
        return result;
    snprintf(out->architecture_source, sizeof out->architecture_source, "%.*s",
             PATH_MAX - 64, shown);
    snprintf(out->activation_source, sizeof out->activation_source, "%.*s: %s",
             PATH_MAX - 64, shown,
             ce_open_clip_is_set(model, "quick_gelu") ? "quick_gelu"
                                                      : "no quick_gelu, which means gelu");
    return CE_OK;
}

/* preprocess_cfg of a file; `root` NULL: there is no file. */
static int read_pictures(ce_config *out, const json_t *root, const ce_checkpoint *files,
                         ce_notes *notes, ce_error *err) {
    const json_t *preprocess = NULL;
    const char *name = files->config;
    int result = ce_json_object(root, "preprocess_cfg", &preprocess, name, err);
    if (result == CE_OK)
        result = ce_config_read_preprocess_cfg(out, preprocess, name, notes, err);
    if (preprocess)
        snprintf(out->preprocess_source, sizeof out->preprocess_source,
                 "%.*s: preprocess_cfg", PATH_MAX - 64, ce_config_shown(files, name));
    else
        snprintf(out->preprocess_source, sizeof out->preprocess_source,
                 "open_clip's defaults");
    if (!root && (strstr(files->arch, "CLIPA") || strstr(files->arch, "SigLIP")))
        ce_notes_add(notes, CE_WARNING, "preprocess-assumed",
                     "%s: open_clip's defaults for pictures are taken, but those published "
                     "as %s take others: an open_clip_config.json would say which",
                     files->weights, files->arch);
    return result;
}

/* An architecture that is named goes before the file's; its pictures stay. */
int ce_config_read_open_clip(ce_config *out, const ce_checkpoint *files, ce_notes *notes,
                             ce_error *err) {
    char arch[96] = "";
    json_t *named = NULL, *file = NULL;
    int result = *files->config ? ce_json_load(&file, files->config, err) : CE_OK;
    if (result == CE_OK && *files->arch)
        result = open_arch(&named, arch, files, notes, err);
    out->family = CE_FAMILY_OPEN_CLIP;
    out->style = CE_TEXT_OPEN_CLIP;
    if (result == CE_OK)
        result = read_architecture(out, named ? named : file, named ? arch : files->config,
                                   files, err);
    if (result == CE_OK)
        result = read_pictures(out, file, files, notes, err);
    json_decref(named);
    json_decref(file);
    return result;
}

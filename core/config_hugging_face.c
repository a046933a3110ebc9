/* transformers' CLIPModel: config.json, preprocessor_config.json, model.safetensors.
 * Absent values take the defaults of transformers' CLIPTextConfig, CLIPVisionConfig and
 * CLIPImageProcessor; the activation must be stated, because guessing it wrong costs points
 * silently.
 */
#include "config.h"

#include "json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct reader {
    const json_t *config; /* the object that counts */
    const char *name;     /* the file */
    const char *part;     /* "text_config", or "text_config_dict" */
    ce_error *err;
    int result;
} reader;

static void read_int(reader *r, const char *key, int *out, int min, int max) {
    if (r->result == CE_OK)
        r->result = ce_json_int(r->config, key, out, min, max, r->name, r->err);
}

static void read_double(reader *r, const char *key, double *out) {
    if (r->result == CE_OK)
        r->result = ce_json_double(r->config, key, out, r->name, r->err);
    if (r->result == CE_OK && !(*out > 0 && *out < 1))
        r->result = ce_fail(r->err, CE_EFORMAT, "%s: %s.%s is not between 0 and 1", r->name,
                            r->part, key);
}

static void read_activation(reader *r, ce_activation *out) {
    const char *name = NULL;
    if (r->result == CE_OK)
        r->result = ce_json_string(r->config, "hidden_act", &name, r->name, r->err);
    if (r->result < 0)
        return;
    if (!name)
        r->result =
            ce_fail(r->err, CE_EFORMAT,
                    "%s: %s.hidden_act is missing: the activation decides the figures, "
                    "so state \"quick_gelu\" (OpenAI's weights) or \"gelu\"",
                    r->name, r->part);
    else if (strcmp(name, "quick_gelu") == 0)
        *out = CE_QUICK_GELU;
    else if (strcmp(name, "gelu") == 0)
        *out = CE_GELU;
    else
        r->result =
            ce_fail(r->err, CE_EUNSUPPORTED,
                    "%s: %s.hidden_act \"%s\" is not implemented (quick_gelu and gelu "
                    "are)",
                    r->name, r->part, name);
}

/* Old files hold a part twice. Where the *_dict is there the library builds the whole part
 * from it, so that what it leaves out is back at its default, whatever the part says. */
static reader open_part(const json_t *root, const char *part, const char *part_dict,
                        const char *name, ce_error *err) {
    reader r = {.name = name, .part = part, .err = err};
    r.result = ce_json_require(root, part, name, err);
    if (r.result == CE_OK)
        r.result = ce_json_object(root, part_dict, &r.config, name, err);
    if (r.result == CE_OK && r.config)
        r.part = part_dict;
    else if (r.result == CE_OK)
        r.result = ce_json_object(root, part, &r.config, name, err);
    return r;
}

static int read_text(ce_text_config *t, const json_t *root, const char *name,
                     ce_error *err) {
    *t = (ce_text_config){.context = 77,
                          .vocab_size = 49408,
                          .width = 512,
                          .heads = 8,
                          .layers = 12,
                          .hidden = 2048,
                          .eps = 1e-5,
                          .end_of_text = 49407};
    reader r = open_part(root, "text_config", "text_config_dict", name, err);
    read_int(&r, "max_position_embeddings", &t->context, 2, CE_MAX_CONTEXT);
    read_int(&r, "vocab_size", &t->vocab_size, 2, CE_MAX_VOCAB);
    read_int(&r, "hidden_size", &t->width, 1, CE_MAX_WIDTH);
    read_int(&r, "num_attention_heads", &t->heads, 1, CE_MAX_WIDTH);
    read_int(&r, "num_hidden_layers", &t->layers, 1, CE_MAX_LAYERS);
    read_int(&r, "intermediate_size", &t->hidden, 1, CE_MAX_HIDDEN);
    read_double(&r, "layer_norm_eps", &t->eps);
    read_int(&r, "eos_token_id", &t->end_of_text, 0, CE_MAX_VOCAB);
    read_activation(&r, &t->activation);
    /* Configurations from before transformers 4.30 say 2, which never was the id; the
     * library keeps pooling those at the largest id. */
    t->pool = t->end_of_text == 2 ? CE_POOL_LARGEST_ID : CE_POOL_END_OF_TEXT;
    if (r.result == CE_OK && t->pool == CE_POOL_END_OF_TEXT &&
        t->end_of_text >= t->vocab_size)
        r.result = ce_fail(err, CE_EFORMAT,
                           "%s: %s.eos_token_id %d is outside the vocabulary of %d", name,
                           r.part, t->end_of_text, t->vocab_size);
    return r.result;
}

static int read_vision(ce_vision_config *v, const json_t *root, const char *name,
                       ce_error *err) {
    *v = (ce_vision_config){.kind = CE_VISION_VIT,
                            .width = 768,
                            .heads = 12,
                            .eps = 1e-5,
                            .patch = 32,
                            .layers = 12,
                            .hidden = 3072};
    int image = 224, channels = 3;
    reader r = open_part(root, "vision_config", "vision_config_dict", name, err);
    read_int(&r, "image_size", &image, 1, CE_PREPROCESS_MAX_SIDE);
    read_int(&r, "patch_size", &v->patch, 1, CE_PREPROCESS_MAX_SIDE);
    read_int(&r, "num_channels", &channels, 3, 3);
    read_int(&r, "hidden_size", &v->width, 1, CE_MAX_WIDTH);
    read_int(&r, "num_attention_heads", &v->heads, 1, CE_MAX_WIDTH);
    read_int(&r, "num_hidden_layers", &v->layers, 1, CE_MAX_LAYERS);
    read_int(&r, "intermediate_size", &v->hidden, 1, CE_MAX_HIDDEN);
    read_double(&r, "layer_norm_eps", &v->eps);
    read_activation(&r, &v->activation);
    v->image_width = v->image_height = image;
    return r.result;
}

/* A size is an integer (old files) or {"height", "width"}, {"shortest_edge"} or
 * {"longest_edge"}. */
typedef struct size_spec {
    int height, width, shortest, longest;
} size_spec;

static int read_size(const json_t *root, const char *key, size_spec *s, const char *name,
                     ce_error *err) {
    const json_t *value = json_object_get(root, key);
    if (json_is_integer(value))
        return ce_json_int(root, key, &s->shortest, 1, CE_PREPROCESS_MAX_SIDE, name, err);
    if (!value || json_is_null(value))
        return CE_OK;
    if (!json_is_object(value))
        return ce_fail(err, CE_EFORMAT, "%s: %s is neither a number nor an object", name,
                       key);
    const int max = CE_PREPROCESS_MAX_SIDE;
    int result = ce_json_int(value, "height", &s->height, 1, max, name, err);
    if (result == CE_OK)
        result = ce_json_int(value, "width", &s->width, 1, max, name, err);
    if (result == CE_OK)
        result = ce_json_int(value, "shortest_edge", &s->shortest, 1, max, name, err);
    if (result == CE_OK)
        result = ce_json_int(value, "longest_edge", &s->longest, 1, max, name, err);
    if (result == CE_OK && (s->longest || !s->height != !s->width))
        return ce_fail(err, CE_EUNSUPPORTED, "%s: %s of this form is not implemented", name,
                       key);
    return result;
}

/* A flag that is null is off, as in Python. */
static int read_flag(const json_t *root, const char *key, bool *out, const char *name,
                     ce_error *err) {
    if (json_is_null(json_object_get(root, key)))
        *out = false;
    return ce_json_bool(root, key, out, name, err);
}

static int read_resize(ce_preprocess *p, const json_t *root, const char *name,
                       ce_error *err) {
    bool resize = true, crop = true;
    int resample = 3;
    int result = read_flag(root, "do_resize", &resize, name, err);
    if (result == CE_OK)
        result = read_flag(root, "do_center_crop", &crop, name, err);
    if (result == CE_OK)
        result = ce_json_int(root, "resample", &resample, 0, 5, name, err);
    size_spec size = {0}, cropped = {0};
    if (result == CE_OK)
        result = read_size(root, "size", &size, name, err);
    if (result == CE_OK)
        result = read_size(root, "crop_size", &cropped, name, err);
    if (result < 0)
        return result;
    if (resample != 2 && resample != 3)
        return ce_fail(
            err, CE_EUNSUPPORTED,
            "%s: resample %d is not implemented (2, bilinear, and 3, bicubic, are)", name,
            resample);
    p->interpolation = resample == 2 ? CE_BILINEAR : CE_BICUBIC;
    if (!size.shortest && !size.height)
        size.shortest = 224;
    p->resize_mode = !resize       ? CE_RESIZE_NONE
                     : size.height ? CE_RESIZE_SQUASH
                                   : CE_RESIZE_SHORTEST;
    p->resize_width = size.height ? size.width : size.shortest;
    p->resize_height = size.height ? size.height : size.shortest;
    if (cropped.shortest) /* a bare number is a square */
        cropped.height = cropped.width = cropped.shortest;
    if (!cropped.height)
        cropped.height = cropped.width = 224;
    if (!crop && p->resize_mode != CE_RESIZE_SQUASH)
        return ce_fail(err, CE_EUNSUPPORTED,
                       "%s: do_center_crop is false and size names no height and width, so "
                       "pictures would differ in size",
                       name);
    p->width = crop ? cropped.width : p->resize_width;
    p->height = crop ? cropped.height : p->resize_height;
    return CE_OK;
}

static int read_normalisation(ce_preprocess *p, const json_t *root, const char *name,
                              ce_error *err) {
    bool rescale = true, normalize = true;
    int result = read_flag(root, "do_rescale", &rescale, name, err);
    if (result == CE_OK)
        result = read_flag(root, "do_normalize", &normalize, name, err);
    if (result == CE_OK)
        result = ce_json_double(root, "rescale_factor", &p->rescale, name, err);
    if (result == CE_OK)
        result = ce_json_doubles(root, "image_mean", p->mean, 3, name, err);
    if (result == CE_OK)
        result = ce_json_doubles(root, "image_std", p->std, 3, name, err);
    if (!rescale)
        p->rescale = 1;
    for (int c = 0; c < 3 && !normalize; c++) {
        p->mean[c] = 0;
        p->std[c] = 1;
    }
    return result;
}

/* Other processors have other defaults, and two keys change what a number means. */
static int check_processor(const json_t *root, const char *name, ce_error *err) {
    static const char *const type_keys[] = {"image_processor_type",
                                            "feature_extractor_type"};
    static const char *const square_keys[] = {"default_to_square", "use_square_size"};
    for (size_t i = 0; i < 2; i++) {
        const char *type = NULL;
        int result = ce_json_string(root, type_keys[i], &type, name, err);
        if (result < 0)
            return result;
        if (type && strncmp(type, "CLIPImageProcessor", 18) != 0 &&
            strcmp(type, "CLIPFeatureExtractor") != 0)
            return ce_fail(err, CE_EUNSUPPORTED, "%s: %s \"%s\" is not implemented", name,
                           type_keys[i], type);
        if (json_is_true(json_object_get(root, square_keys[i])))
            return ce_fail(err, CE_EUNSUPPORTED, "%s: %s is not implemented", name,
                           square_keys[i]);
    }
    return CE_OK;
}

/* Newer checkpoints keep the recipe in processor_config.json, as "image_processor"; where
 * that is there it goes before preprocessor_config.json. */
static int open_processor(json_t **root, const json_t **processor, char name[PATH_MAX],
                          const char *dir, ce_error *err) {
    snprintf(name, PATH_MAX, "%s/processor_config.json", dir);
    if (access(name, F_OK) == 0) {
        int result = ce_json_load(root, name, err);
        if (result < 0)
            return result;
        result = ce_json_object(*root, "image_processor", processor, name, err);
        if (result == CE_OK && *processor)
            return CE_OK;
        json_decref(*root);
        if (result < 0)
            return result;
    }
    snprintf(name, PATH_MAX, "%s/preprocessor_config.json", dir);
    int result = ce_json_load(root, name, err);
    *processor = *root;
    return result;
}

static int read_preprocess(ce_preprocess *p, const char *dir, ce_error *err) {
    *p = (ce_preprocess){.crop_rounding = CE_CROP_FLOOR,
                         .rescale = 1.0 / 255,
                         .mean = {0.48145466, 0.4578275, 0.40821073},
                         .std = {0.26862954, 0.26130258, 0.27577711}};
    char name[PATH_MAX];
    json_t *root;
    const json_t *processor;
    int result = open_processor(&root, &processor, name, dir, err);
    if (result < 0)
        return result;
    result = check_processor(processor, name, err);
    if (result == CE_OK)
        result = read_resize(p, processor, name, err);
    if (result == CE_OK)
        result = read_normalisation(p, processor, name, err);
    json_decref(root);
    return result;
}

int ce_config_read_hugging_face(ce_config *out, const ce_checkpoint *files, ce_notes *notes,
                                ce_error *err) {
    const char *name = files->config;
    json_t *root;
    (void)notes;
    int result = ce_json_load(&root, name, err);
    if (result < 0)
        return result;
    out->style = CE_TEXT_HUGGING_FACE;
    snprintf(out->architecture_source, sizeof out->architecture_source, "%s", name);
    snprintf(out->activation_source, sizeof out->activation_source, "%s", name);
    snprintf(out->preprocess_source, sizeof out->preprocess_source,
             "preprocessor_config.json");
    out->embed_dim = 512;
    const char *type = NULL;
    result = ce_json_string(root, "model_type", &type, name, err);
    if (result == CE_OK && !type)
        result = ce_fail(err, CE_EFORMAT, "%s: model_type is missing", name);
    if (result == CE_OK && strcmp(type, "clip") != 0)
        result =
            ce_fail(err, CE_EUNSUPPORTED,
                    "%s: model_type \"%s\" is not implemented (\"clip\" is)", name, type);
    if (result == CE_OK)
        result = ce_json_int(root, "projection_dim", &out->embed_dim, 1, CE_MAX_WIDTH, name,
                             err);
    if (result == CE_OK)
        result = read_text(&out->text, root, name, err);
    if (result == CE_OK)
        result = read_vision(&out->vision, root, name, err);
    json_decref(root);
    return result < 0 ? result : read_preprocess(&out->preprocess, files->directory, err);
}

/* transformers' checkpoints: config.json of a CLIPModel, a ChineseCLIPModel or a
 * SiglipModel. Absent values take the defaults of that library's configuration classes
 * (5.23). */
#include "config_internal.h"

#include <stdio.h>
#include <string.h>

/* How serious it is that nobody states the activation. OpenAI's and LAION's CLIPs share
 * every name and shape and differ in it, so that a wrong guess costs points silently. All
 * published Chinese-CLIPs have one and the same. SigLIP's own files never state it. */
typedef enum silence { SILENCE_IS_FINE, SILENCE_WARNS, SILENCE_IS_A_FAULT } silence;

typedef struct family {
    const char *model_type;
    ce_family family;
    ce_tokenizer_kind tokenizer;
    silence activation;
    ce_text_config text;
    ce_vision_config vision;
} family;

static const family families[] = {
    {.model_type = "clip",
     .family = CE_FAMILY_CLIP,
     .tokenizer = CE_TOKENIZER_BPE,
     .activation = SILENCE_IS_A_FAULT,
     .text = {.context = 77,
              .vocab_size = 49408,
              .width = 512,
              .heads = 8,
              .layers = 12,
              .hidden = 2048,
              .activation = CE_QUICK_GELU,
              .eps = 1e-5,
              .end_of_text = 49407},
     .vision = {.width = 768,
                .heads = 12,
                .activation = CE_QUICK_GELU,
                .eps = 1e-5,
                .patch = 32,
                .layers = 12,
                .hidden = 3072}},
    {.model_type = "chinese_clip",
     .family = CE_FAMILY_CHINESE_CLIP,
     .tokenizer = CE_TOKENIZER_WORDPIECE,
     .activation = SILENCE_WARNS,
     .text = {.kind = CE_TEXT_BERT,
              .context = 512,
              .vocab_size = 30522,
              .width = 768,
              .heads = 12,
              .layers = 12,
              .hidden = 3072,
              .activation = CE_GELU,
              .eps = 1e-12,
              .pool = CE_POOL_FIRST,
              .type_vocab_size = 2},
     .vision = {.width = 768,
                .heads = 12,
                .activation = CE_QUICK_GELU,
                .eps = 1e-5,
                .patch = 32,
                .layers = 12,
                .hidden = 3072}},
    {.model_type = "siglip",
     .family = CE_FAMILY_SIGLIP,
     .tokenizer = CE_TOKENIZER_UNIGRAM,
     .activation = SILENCE_IS_FINE,
     .text = {.context = 64,
              .vocab_size = 32000,
              .width = 768,
              .heads = 12,
              .layers = 12,
              .hidden = 3072,
              .activation = CE_GELU_TANH,
              .eps = 1e-6,
              .pool = CE_POOL_LAST,
              .not_causal = true,
              .projection_bias = true},
     .vision = {.width = 768,
                .heads = 12,
                .activation = CE_GELU_TANH,
                .eps = 1e-6,
                .patch = 16,
                .layers = 12,
                .hidden = 3072,
                .pool = CE_POOL_ATTENTION,
                .no_class_token = true,
                .no_pre_norm = true,
                .patch_bias = true,
                .no_projection = true}},
};

typedef struct reader {
    const json_t *config; /* the object that counts */
    const char *name;     /* the file */
    const char *part;     /* "text_config", or "text_config_dict" */
    const family *family;
    bool states_activation;
    ce_notes *notes;
    ce_error *err;
    int result;
} reader;

static void read_int(reader *r, const char *key, int *out, int min, int max) {
    if (r->result == CE_OK)
        r->result = ce_json_int(r->config, key, out, min, max, r->name, r->err);
}

static void read_eps(reader *r, double *out) {
    if (r->result == CE_OK)
        r->result = ce_json_double(r->config, "layer_norm_eps", out, r->name, r->err);
    if (r->result == CE_OK && !(*out > 0 && *out < 1))
        r->result =
            ce_fail(r->err, CE_EFORMAT, "%s: %s.layer_norm_eps is not between 0 and 1",
                    r->name, r->part);
}

static void note_silence(reader *r, ce_activation assumed) {
    if (r->family->activation == SILENCE_IS_A_FAULT)
        ce_notes_add(
            r->notes, CE_FAULT, "activation-not-stated",
            "%s: %s.hidden_act is missing: the activation decides the figures, so state "
            "it there or with --activation: \"quick_gelu\" (OpenAI's weights, and "
            "transformers' default) or \"gelu\"",
            r->name, r->part);
    else if (r->family->activation == SILENCE_WARNS)
        ce_notes_add(r->notes, CE_WARNING, "activation-not-stated",
                     "%s: %s.hidden_act is missing: \"%s\" is taken, as transformers does",
                     r->name, r->part, ce_activation_name(assumed));
}

/* The names of transformers' ACT2FN; several are one function computed in other orders. */
static void read_activation(reader *r, ce_activation *out) {
    static const struct {
        const char *name;
        ce_activation activation;
    } known[] = {
        {"quick_gelu", CE_QUICK_GELU},   {"gelu", CE_GELU},
        {"gelu_python", CE_GELU},        {"gelu_pytorch_tanh", CE_GELU_TANH},
        {"gelu_new", CE_GELU_TANH},      {"gelu_fast", CE_GELU_TANH},
        {"gelu_accurate", CE_GELU_TANH}, {"gelu_python_tanh", CE_GELU_TANH},
    };
    const char *name = NULL;
    if (r->result == CE_OK)
        r->result = ce_json_string(r->config, "hidden_act", &name, r->name, r->err);
    if (r->result < 0)
        return;
    r->states_activation = name != NULL;
    if (!name) {
        note_silence(r, *out);
        return;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].activation;
            return;
        }
    r->result = ce_fail(r->err, CE_EUNSUPPORTED,
                        "%s: %s.hidden_act \"%s\" is not implemented (quick_gelu, gelu and "
                        "gelu_pytorch_tanh are)",
                        r->name, r->part, name);
}

/* Old files hold a part twice. Where the *_dict is there the library builds the whole part
 * from it, so that what it leaves out is back at its default, whatever the part says. */
static void open_part(reader *r, const json_t *root, const char *part,
                      const char *part_dict) {
    r->result = CE_OK;
    r->config = NULL;
    r->part = part_dict;
    if (r->family->family != CE_FAMILY_SIGLIP)
        r->result = ce_json_object(root, part_dict, &r->config, r->name, r->err);
    if (r->result < 0 || r->config)
        return;
    r->part = part;
    r->result = ce_json_require(root, part, r->name, r->err);
    if (r->result == CE_OK)
        r->result = ce_json_object(root, part, &r->config, r->name, r->err);
}

static void read_clip_text(reader *r, ce_text_config *t) {
    read_int(r, "eos_token_id", &t->end_of_text, 0, CE_MAX_VOCAB);
    /* Configurations from before transformers 4.30 say 2, which never was the id; the
     * library keeps pooling those at the largest id. */
    t->pool = t->end_of_text == 2 ? CE_POOL_LARGEST_ID : CE_POOL_END_OF_TEXT;
    if (r->result == CE_OK && t->pool == CE_POOL_END_OF_TEXT &&
        t->end_of_text >= t->vocab_size)
        r->result = ce_fail(r->err, CE_EFORMAT,
                            "%s: %s.eos_token_id %d is outside the vocabulary of %d",
                            r->name, r->part, t->end_of_text, t->vocab_size);
}

static void read_chinese_text(reader *r, ce_text_config *t) {
    const char *positions = NULL;
    read_int(r, "type_vocab_size", &t->type_vocab_size, 1, CE_MAX_WIDTH);
    read_int(r, "pad_token_id", &t->pad, 0, CE_MAX_VOCAB);
    if (r->result == CE_OK)
        r->result = ce_json_string(r->config, "position_embedding_type", &positions,
                                   r->name, r->err);
    if (r->result == CE_OK && positions && strcmp(positions, "absolute") != 0)
        r->result = ce_fail(r->err, CE_EUNSUPPORTED,
                            "%s: %s.position_embedding_type \"%s\" is not implemented",
                            r->name, r->part, positions);
    if (r->result == CE_OK && t->pad >= t->vocab_size)
        r->result = ce_fail(r->err, CE_EFORMAT,
                            "%s: %s.pad_token_id %d is outside the vocabulary of %d",
                            r->name, r->part, t->pad, t->vocab_size);
}

static int read_text(reader *r, ce_config *out, const json_t *root) {
    ce_text_config *t = &out->text;
    *t = r->family->text;
    open_part(r, root, "text_config", "text_config_dict");
    read_int(r, "max_position_embeddings", &t->context, 2, CE_MAX_CONTEXT);
    t->positions = t->context;
    /* What Chinese-CLIP was trained with, and where its own cn_clip.tokenize cuts a text;
     * no file of a checkpoint says it. */
    if (t->kind == CE_TEXT_BERT && t->context > 52)
        t->context = 52;
    read_int(r, "vocab_size", &t->vocab_size, 2, CE_MAX_VOCAB);
    read_int(r, "hidden_size", &t->width, 1, CE_MAX_WIDTH);
    read_int(r, "num_attention_heads", &t->heads, 1, CE_MAX_WIDTH);
    read_int(r, "num_hidden_layers", &t->layers, 1, CE_MAX_LAYERS);
    read_int(r, "intermediate_size", &t->hidden, 1, CE_MAX_HIDDEN);
    read_eps(r, &t->eps);
    read_activation(r, &t->activation);
    if (out->family == CE_FAMILY_CLIP)
        read_clip_text(r, t);
    else if (out->family == CE_FAMILY_CHINESE_CLIP)
        read_chinese_text(r, t);
    else {
        out->embed_dim = t->width;
        read_int(r, "projection_size", &out->embed_dim, 1, CE_MAX_WIDTH);
    }
    return r->result;
}

static int read_vision(reader *r, ce_config *out, const json_t *root) {
    ce_vision_config *v = &out->vision;
    *v = r->family->vision;
    int image = 224, channels = 3;
    bool head = true;
    open_part(r, root, "vision_config", "vision_config_dict");
    read_int(r, "image_size", &image, 1, CE_PREPROCESS_MAX_SIDE);
    read_int(r, "patch_size", &v->patch, 1, CE_PREPROCESS_MAX_SIDE);
    read_int(r, "num_channels", &channels, 3, 3);
    read_int(r, "hidden_size", &v->width, 1, CE_MAX_WIDTH);
    read_int(r, "num_attention_heads", &v->heads, 1, CE_MAX_WIDTH);
    read_int(r, "num_hidden_layers", &v->layers, 1, CE_MAX_LAYERS);
    read_int(r, "intermediate_size", &v->hidden, 1, CE_MAX_HIDDEN);
    read_eps(r, &v->eps);
    read_activation(r, &v->activation);
    v->image_width = v->image_height = image;
    if (r->result < 0 || out->family != CE_FAMILY_SIGLIP)
        return r->result;
    r->result = ce_json_bool(r->config, "vision_use_head", &head, r->name, r->err);
    if (r->result == CE_OK && !head)
        return ce_fail(r->err, CE_EUNSUPPORTED,
                       "%s: %s.vision_use_head = false is not implemented", r->name,
                       r->part);
    if (r->result == CE_OK && out->embed_dim != v->width)
        return ce_fail(r->err, CE_EFORMAT,
                       "%s: texts become %d numbers (projection_size) and pictures %d "
                       "(hidden_size): they cannot be compared",
                       r->name, out->embed_dim, v->width);
    return r->result;
}

static int find_family(const family **out, const json_t *root, const char *name,
                       ce_error *err) {
    const char *type = NULL;
    int result = ce_json_string(root, "model_type", &type, name, err);
    if (result == CE_OK && !type)
        return ce_fail(err, CE_EFORMAT,
                       "%s: model_type is missing (is it transformers' configuration?)",
                       name);
    for (size_t i = 0; i < sizeof families / sizeof *families && result == CE_OK; i++)
        if (strcmp(type, families[i].model_type) == 0) {
            *out = &families[i];
            return CE_OK;
        }
    return result < 0 ? result
                      : ce_fail(err, CE_EUNSUPPORTED,
                                "%s: model_type \"%s\" is not implemented (clip, "
                                "chinese_clip and siglip are)",
                                name, type);
}

/* Where a file says of itself that it descends from OpenAI's, its activation should too;
 * and the two towers of one CLIP were never trained with two activations. */
static void note_odd_activations(const ce_config *c, const json_t *root, const char *name,
                                 ce_notes *notes) {
    const char *origin = json_string_value(json_object_get(root, "_name_or_path"));
    if (c->family != CE_FAMILY_CLIP)
        return;
    if (origin && strncmp(origin, "openai/clip-vit-", 16) == 0 &&
        c->text.activation != CE_QUICK_GELU)
        ce_notes_add(notes, CE_WARNING, "openai-names-gelu",
                     "%s: the activation is %s, but the file says that it comes from "
                     "\"%.80s\", whose activation is quick_gelu",
                     name, ce_activation_name(c->text.activation), origin);
    if (c->text.activation != c->vision.activation)
        ce_notes_add(notes, CE_WARNING, "activations-differ",
                     "%s: hidden_act is %s for texts and %s for pictures", name,
                     ce_activation_name(c->text.activation),
                     ce_activation_name(c->vision.activation));
}

static void name_activation_source(ce_config *out, const char *shown, const reader *text,
                                   const reader *vision) {
    const reader *parts[] = {text, vision};
    char words[2][48];
    for (int i = 0; i < 2; i++)
        snprintf(words[i], sizeof words[i], "%s%s", parts[i]->part,
                 parts[i]->states_activation ? ".hidden_act" : ": transformers' default");
    snprintf(out->activation_source, sizeof out->activation_source, "%.*s: %s, %s",
             PATH_MAX - 64, shown, words[0], words[1]);
}

static int read_model(ce_config *out, const ce_checkpoint *files, const json_t *root,
                      ce_notes *notes, ce_error *err) {
    const char *name = files->config, *shown = ce_config_shown(files, name);
    const family *f = NULL;
    int result = find_family(&f, root, name, err);
    if (result < 0)
        return result;
    out->family = f->family;
    out->tokenizer = f->tokenizer;
    out->sigmoid = f->family == CE_FAMILY_SIGLIP;
    out->embed_dim = 512;
    if (f->family != CE_FAMILY_SIGLIP)
        result = ce_json_int(root, "projection_dim", &out->embed_dim, 1, CE_MAX_WIDTH, name,
                             err);
    reader text = {.name = name, .family = f, .notes = notes, .err = err}, vision = text;
    if (result == CE_OK)
        result = read_text(&text, out, root);
    if (result == CE_OK)
        result = read_vision(&vision, out, root);
    if (result < 0)
        return result;
    snprintf(out->architecture_source, sizeof out->architecture_source, "%s", shown);
    name_activation_source(out, shown, &text, &vision);
    note_odd_activations(out, root, name, notes);
    return CE_OK;
}

int ce_config_read_hugging_face(ce_config *out, const ce_checkpoint *files, ce_notes *notes,
                                ce_error *err) {
    json_t *root;
    int result = ce_json_load(&root, files->config, err);
    if (result < 0)
        return result;
    out->style = CE_TEXT_HUGGING_FACE;
    result = read_model(out, files, root, notes, err);
    json_decref(root);
    return result < 0 ? result : ce_config_read_processor(out, files, err);
}

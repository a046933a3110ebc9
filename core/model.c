#include "model_internal.h"
#include "survey.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_vision(ce_model *m, ce_vision **out, ce_error *err) {
    return m->config.vision.kind == CE_VISION_RESNET
               ? ce_vision_resnet_open(out, &m->config, m->weights, err)
               : ce_vision_vit_open(out, &m->config, m->weights, err);
}

static int open_text(ce_model *m, ce_text_tower **out, ce_error *err) {
    return m->config.text.kind == CE_TEXT_BERT
               ? ce_text_bert_open(out, &m->config, m->weights, err)
               : ce_text_gpt_open(out, &m->config, m->weights, err);
}

/* What no tower took would be left out. transformers does so silently; open_clip and
 * OpenAI's code refuse the file. */
static void note_unused(ce_model *m) {
    const ce_config *c = &m->config;
    char one[sizeof c->architecture_source + 64], many[sizeof one];
    ce_finding unused = {0};
    const ce_tensor *t;
    for (size_t i = 0; (t = ce_weights_unused(m->weights, &i)) != NULL;)
        ce_finding_add(&unused, t);
    snprintf(one, sizeof one, "has no place in the architecture that %s describes",
             c->architecture_source);
    snprintf(many, sizeof many, "have no place in the architecture that %s describes",
             c->architecture_source);
    ce_finding_note(&unused, &m->notes,
                    c->family == CE_FAMILY_OPEN_CLIP ? CE_FAULT : CE_WARNING,
                    "unused-tensors", one, many);
}

/* Whether the checkpoint holds what the towers need; notes what they are. */
static int check_towers(ce_model *m, ce_error *err) {
    ce_vision *vision = NULL;
    ce_text_tower *text = NULL;
    ce_weights_shapes_only(m->weights, true);
    int result = open_vision(m, &vision, err);
    if (result == CE_OK)
        result = open_text(m, &text, err);
    if (result == CE_OK)
        note_unused(m);
    ce_weights_shapes_only(m->weights, false);
    if (vision) {
        snprintf(m->vision_summary, sizeof m->vision_summary, "%s", vision->summary);
        vision->free(vision);
    }
    if (text) {
        snprintf(m->text_summary, sizeof m->text_summary, "%s", text->summary);
        text->free(text);
    }
    return result;
}

static void drop_tower(ce_model *m, ce_tower tower) {
    if (tower == CE_IMAGE_TOWER && m->vision) {
        m->vision->free(m->vision);
        m->vision = NULL;
    } else if (tower == CE_TEXT_TOWER && m->text) {
        m->text->free(m->text);
        m->text = NULL;
    }
}

int ce_model_need_tower(ce_model *m, ce_tower tower, ce_error *err) {
    int result = CE_OK;
    pthread_mutex_lock(&m->lock);
    if (tower == CE_IMAGE_TOWER ? !m->vision : !m->text) {
        result = ce_weights_check_unchanged(m->weights, err);
        if (result == CE_OK)
            result = tower == CE_IMAGE_TOWER ? open_vision(m, &m->vision, err)
                                             : open_text(m, &m->text, err);
        if (result == CE_OK)
            result = ce_weights_check_unchanged(m->weights, err);
        if (result < 0)
            drop_tower(m, tower); /* what was read may be of two files */
        if (m->vision && m->text)
            ce_weights_unmap(m->weights);
    }
    pthread_mutex_unlock(&m->lock);
    return result;
}

/* A parameter of one value, stored as a number or as a list of one. */
static int load_number(ce_model *m, const char *name, double *out, ce_error *err) {
    const size_t one = 1;
    float *value = NULL;
    const ce_tensor *t = ce_weights_find(m->weights, name);
    int result =
        ce_weights_take_floats(m->weights, &value, name, t ? t->rank != 0 : 0, &one, err);
    if (result == CE_OK)
        *out = value[0];
    free(value);
    return result;
}

static int load_logits(ce_model *m, ce_error *err) {
    double scale = 0;
    int result = load_number(m, "logit_scale", &scale, err);
    if (result == CE_OK && m->config.sigmoid)
        result = load_number(m, "logit_bias", &m->info.logit_bias, err);
    m->info.logit_scale = exp(scale);
    m->info.sigmoid = m->config.sigmoid;
    return result;
}

/* Embedding tables are sometimes padded to a round size. */
static bool is_padding(int rows, int words) {
    return rows % 64 == 0 && rows - words < 64;
}

static int check_tokenizer(ce_model *m, ce_error *err) {
    const ce_text_config *c = &m->config.text;
    const char *source = ce_tokenizer_source(m->tokenizer);
    int words = ce_tokenizer_vocab_size(m->tokenizer), rows = c->vocab_size;
    int end = ce_tokenizer_end_of_text(m->tokenizer);
    if (words > rows)
        return ce_fail(err, CE_EFORMAT,
                       "%s: the tokenizer (%s) has %d tokens, the text tower knows only %d",
                       m->path, source, words, rows);
    if (words < rows && !is_padding(rows, words))
        return ce_fail(
            err, CE_EFORMAT,
            "%s: the tokenizer (%s) has only %d tokens, the text tower knows %d: "
            "it belongs to another model",
            m->path, source, words, rows);
    if (c->pool == CE_POOL_END_OF_TEXT && end != c->end_of_text)
        return ce_fail(err, CE_EFORMAT,
                       "%s: the tokenizer (%s) ends a text with id %d, the configuration "
                       "pools at id %d",
                       m->path, source, end, c->end_of_text);
    return CE_OK;
}

/* The directory's or file's own name, also where it was given as "." or through "..". */
static char *name_of(const char *path) {
    char real[PATH_MAX];
    const char *whole = realpath(path, real) ? real : path;
    const char *slash = strrchr(whole, '/');
    return strdup(slash && slash[1] ? slash + 1 : whole);
}

/* The type of most of the bytes. */
static const char *bulk_dtype(ce_weights *w) {
    enum { TYPES = 32 };
    const char *names[TYPES] = {"?"};
    size_t bytes[TYPES] = {0}, most = 0;
    for (size_t i = 0; i < ce_weights_count(w); i++) {
        const ce_tensor *t = ce_weights_at(w, i);
        size_t k = 0;
        while (k < TYPES - 1 && bytes[k] && strcmp(names[k], t->dtype_name) != 0)
            k++;
        names[k] = t->dtype_name;
        bytes[k] += t->bytes;
        if (bytes[k] > bytes[most])
            most = k;
    }
    return names[most];
}

static void describe_pooling(ce_model *m) {
    static const char *const rules[] = {"first position", "last position", "largest id",
                                        "first id",       "average",       "attention"};
    const ce_config *c = &m->config;
    if (c->text.pool == CE_POOL_END_OF_TEXT)
        snprintf(m->end_of_text, sizeof m->end_of_text, "first id %d", c->text.end_of_text);
    else
        snprintf(m->end_of_text, sizeof m->end_of_text, "%s", rules[c->text.pool]);
    m->info.end_of_text = m->end_of_text;
    m->info.vision_pool = c->vision.kind == CE_VISION_RESNET ? "attention"
                          : c->vision.pool == CE_POOL_FIRST  ? "class token"
                                                             : rules[c->vision.pool];
}

static void fill_info(ce_model *m) {
    const ce_config *c = &m->config;
    describe_pooling(m);
    m->info.name = m->name;
    m->info.path = m->path;
    m->info.format = ce_format_name(m->files.format);
    m->info.weights = m->files.weights;
    m->info.weights_format = ce_weights_format(m->weights);
    m->info.architecture_source = c->architecture_source;
    m->info.activation_source = c->activation_source;
    m->info.preprocess_source = c->preprocess_source;
    m->info.vision = m->vision_summary;
    m->info.text = m->text_summary;
    m->info.activation = ce_activation_name(c->text.activation);
    m->info.vision_activation = ce_activation_name(
        c->vision.kind == CE_VISION_RESNET ? CE_RELU : c->vision.activation);
    m->info.dtype = bulk_dtype(m->weights);
    m->info.precision = ce_precision_name(c->precision);
    m->info.engine = ce_engine_describe(c->precision);
    m->info.tokenizer = ce_tokenizer_source(m->tokenizer);
    m->info.tokenizer_kind = ce_tokenizer_describe(m->tokenizer);
    m->info.embed_dim = c->embed_dim;
    m->info.image_width = c->vision.image_width;
    m->info.image_height = c->vision.image_height;
    m->info.context = c->text.context;
    m->info.preprocess = c->preprocess;
}

/* The activation that the user states where the checkpoint does not. */
static int state_activation(ce_model *m, const char *name, ce_error *err) {
    static const ce_activation known[] = {CE_QUICK_GELU, CE_GELU, CE_GELU_TANH};
    ce_config *c = &m->config;
    size_t i = 0;
    while (i < 3 && strcmp(name, ce_activation_name(known[i])) != 0)
        i++;
    if (i == 3)
        return ce_fail(err, CE_EINVAL,
                       "no activation \"%.40s\" (there are quick_gelu, gelu and gelu_tanh)",
                       name);
    if (ce_notes_drop(&m->notes, "activation-not-stated") == 0) {
        if (c->text.activation == known[i])
            return CE_OK;
        return ce_fail(err, CE_EINVAL,
                       "%s: its activation is stated, as %s (%s): \"%s\" contradicts that",
                       m->path, ce_activation_name(c->text.activation),
                       c->activation_source, name);
    }
    c->text.activation = c->vision.activation = known[i];
    snprintf(c->activation_source, sizeof c->activation_source, "--activation");
    return CE_OK;
}

/* A tensor is not what the architecture needs: says whose architecture. */
static void explain_mismatch(const ce_model *m, ce_error *err) {
    char fault[sizeof err->message];
    if (!err)
        return;
    memcpy(fault, err->message, sizeof fault);
    ce_fail(err, CE_EFORMAT, "%s (the architecture is that of %s)", fault,
            m->config.architecture_source);
}

static int check_notes(const ce_model *m, ce_error *err) {
    for (size_t i = 0; i < m->notes.count; i++)
        if (m->notes.at[i].severity == CE_FAULT)
            return ce_fail(err, CE_EFORMAT, "%s", m->notes.at[i].text);
    return m->notes.lost ? ce_fail(err, CE_ENOMEM, "%s: out of memory", m->path) : CE_OK;
}

static int open_model(ce_model *m, const ce_model_options *options, ce_error *err) {
    int result = ce_checkpoint_find(&m->files, m->path, options->arch, err);
    if (result == CE_OK)
        result = ce_weights_open(&m->weights, m->files.weights, err);
    if (result == CE_OK)
        result = ce_config_read(&m->config, &m->files, m->weights, &m->notes, err);
    m->config.precision = options->precision;
    if (result == CE_OK && options->activation)
        result = state_activation(m, options->activation, err);
    if (result == CE_OK)
        result = load_logits(m, err);
    if (result == CE_OK && (result = check_towers(m, err)) == CE_EFORMAT)
        explain_mismatch(m, err);
    if (result == CE_OK && !options->diagnose)
        result = check_notes(m, err);
    if (result == CE_OK)
        result = ce_tokenizer_open(&m->tokenizer, m->files.directory, m->config.tokenizer,
                                   m->config.style, err);
    if (result == CE_OK)
        ce_tokenizer_wrap(m->tokenizer, m->config.clean, m->config.blank_end);
    if (result == CE_OK)
        result = check_tokenizer(m, err);
    if (result == CE_OK)
        fill_info(m);
    return result;
}

int ce_model_open(ce_model **out, const char *path, const ce_model_options *options,
                  ce_error *err) {
    static const ce_model_options defaults = {0};
    options = options ? options : &defaults;
    *out = NULL;
    ce_model *m = calloc(1, sizeof *m);
    if (m)
        pthread_mutex_init(&m->lock, NULL);
    if (!m || !(m->path = strdup(path)) ||
        !(m->name = options->name ? strdup(options->name) : name_of(path))) {
        ce_model_free(m);
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", path);
    }
    int result = open_model(m, options, err);
    if (result < 0) {
        ce_model_free(m);
        return result;
    }
    *out = m;
    return CE_OK;
}

void ce_model_free(ce_model *m) {
    if (!m)
        return;
    drop_tower(m, CE_IMAGE_TOWER);
    drop_tower(m, CE_TEXT_TOWER);
    ce_tokenizer_free(m->tokenizer);
    ce_weights_free(m->weights);
    ce_notes_free(&m->notes);
    pthread_mutex_destroy(&m->lock);
    free(m->path);
    free(m->name);
    free(m);
}

const ce_model_info *ce_model_get_info(const ce_model *m) {
    return &m->info;
}

const ce_tokenizer *ce_model_tokenizer(const ce_model *m) {
    return m->tokenizer;
}

const ce_config *ce_model_get_config(const ce_model *m) {
    return &m->config;
}

const ce_notes *ce_model_notes(const ce_model *m) {
    return &m->notes;
}

int ce_model_survey(ce_model *m, ce_error *err) {
    pthread_mutex_lock(&m->lock);
    int result = m->vision && m->text
                     ? ce_fail(err, CE_EINVAL, "%s: both towers are loaded", m->path)
                     : ce_weights_check_unchanged(m->weights, err);
    if (result == CE_OK)
        result = ce_survey(m->weights, &m->notes, err);
    pthread_mutex_unlock(&m->lock);
    return result;
}

int ce_model_sha256(ce_model *m, const char **out, ce_error *err) {
    int result = m->sha256[0] ? CE_OK : ce_weights_sha256(m->weights, m->sha256, err);
    *out = m->sha256;
    return result;
}

int ce_model_known_sha256(ce_model *m, ce_cache *cache, const char **out, ce_error *err) {
    if (m->sha256[0] || !cache)
        return ce_model_sha256(m, out, err);
    ce_stamp stamp = ce_weights_stamp(m->weights);
    *out = m->sha256;
    if (ce_cache_find_weights(cache, &stamp, m->sha256))
        return ce_weights_check_unchanged(m->weights, err);
    m->sha256[0] = '\0';
    int result = ce_model_sha256(m, out, err);
    if (result == CE_OK)
        ce_cache_put_weights(cache, &stamp, m->sha256);
    return result;
}

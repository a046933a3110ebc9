#include "model.h"

#include "config.h"
#include "towers.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ce_model {
    ce_config config;
    ce_model_info info;
    char *path, *name;
    char end_of_text[32];
    char sha256[65];
    ce_tokenizer *tokenizer;
    char vision_summary[128], text_summary[128];
    pthread_mutex_t lock; /* of what follows, while towers are being loaded */
    ce_weights *weights;  /* unmapped once both towers are loaded */
    ce_vision *vision;    /* NULL until it is asked for */
    ce_text_tower *text;
};

struct ce_scratch {
    ce_tower tower;
    float *arena;
    size_t *lengths; /* [max_tokens]: tokens of each text of a batch */
};

static int open_vision(ce_model *m, ce_vision **out, ce_error *err) {
    return m->config.vision.kind == CE_VISION_RESNET
               ? ce_vision_resnet_open(out, &m->config, m->weights, err)
               : ce_vision_vit_open(out, &m->config, m->weights, err);
}

/* Whether the checkpoint holds what the towers need, and nothing else; notes what they are.
 */
static int check_towers(ce_model *m, ce_error *err) {
    ce_vision *vision = NULL;
    ce_text_tower *text = NULL;
    ce_weights_shapes_only(m->weights, true);
    int result = open_vision(m, &vision, err);
    if (result == CE_OK)
        result = ce_text_gpt_open(&text, &m->config, m->weights, err);
    if (result == CE_OK)
        result = ce_weights_check_all_used(m->weights, err);
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

/* Loads a tower at the first call for it; the file is unmapped once both are in. */
static int need_tower(ce_model *m, ce_tower tower, ce_error *err) {
    int result = CE_OK;
    pthread_mutex_lock(&m->lock);
    if (tower == CE_IMAGE_TOWER ? !m->vision : !m->text) {
        result = ce_weights_check_unchanged(m->weights, err);
        if (result == CE_OK)
            result = tower == CE_IMAGE_TOWER
                         ? open_vision(m, &m->vision, err)
                         : ce_text_gpt_open(&m->text, &m->config, m->weights, err);
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

static int load_logit_scale(ce_model *m, ce_error *err) {
    float *value = NULL;
    int result = ce_weights_take_floats(m->weights, &value, "logit_scale", 0, NULL, err);
    if (result == CE_OK)
        m->info.logit_scale = exp(value[0]);
    free(value);
    return result;
}

static int check_vocabulary(const ce_model *m, ce_error *err) {
    int words = ce_tokenizer_vocab_size(m->tokenizer), rows = m->config.text.vocab_size;
    if (words > rows)
        return ce_fail(err, CE_EFORMAT,
                       "%s: the tokenizer (%s) has %d tokens, the text tower knows only %d",
                       m->path, ce_tokenizer_source(m->tokenizer), words, rows);
    return CE_OK;
}

/* The directory's own name, also where it was given as "." or through "..". */
static char *name_of(const char *path) {
    char real[PATH_MAX];
    const char *whole = realpath(path, real) ? real : path;
    const char *slash = strrchr(whole, '/');
    return strdup(slash && slash[1] ? slash + 1 : whole);
}

static void fill_info(ce_model *m, const char *dtype) {
    const ce_config *c = &m->config;
    if (c->text.end_of_text < 0)
        snprintf(m->end_of_text, sizeof m->end_of_text, "largest id");
    else
        snprintf(m->end_of_text, sizeof m->end_of_text, "first id %d", c->text.end_of_text);
    m->info.name = m->name;
    m->info.path = m->path;
    m->info.format = c->format;
    m->info.weights = c->weights;
    m->info.vision = m->vision_summary;
    m->info.text = m->text_summary;
    m->info.activation = ce_activation_name(c->text.activation);
    m->info.dtype = dtype;
    m->info.end_of_text = m->end_of_text;
    m->info.tokenizer = ce_tokenizer_source(m->tokenizer);
    m->info.embed_dim = c->embed_dim;
    m->info.image_width = c->vision.image_width;
    m->info.image_height = c->vision.image_height;
    m->info.context = c->text.context;
    m->info.preprocess = c->preprocess;
}

static int open_model(ce_model *m, ce_error *err) {
    int result = ce_config_read(&m->config, m->path, err);
    if (result == CE_OK)
        result = ce_weights_open(&m->weights, m->config.weights, err);
    if (result == CE_OK)
        result = load_logit_scale(m, err);
    if (result == CE_OK)
        result = check_towers(m, err);
    if (result == CE_OK)
        result = ce_tokenizer_open_bpe(&m->tokenizer, m->path, m->config.style, err);
    if (result == CE_OK)
        result = check_vocabulary(m, err);
    if (result < 0)
        return result;
    /* The type of the bulk of the weights: a text block's first matrix stands for it. */
    const char *probe = m->config.style == CE_TEXT_HUGGING_FACE
                            ? "text_model.encoder.layers.0.mlp.fc1.weight"
                            : "transformer.resblocks.0.mlp.c_fc.weight";
    fill_info(m, ce_weights_find(m->weights, probe)->dtype_name);
    return CE_OK;
}

int ce_model_open(ce_model **out, const char *path, ce_error *err) {
    *out = NULL;
    ce_model *m = calloc(1, sizeof *m);
    if (m)
        pthread_mutex_init(&m->lock, NULL);
    if (!m || !(m->path = strdup(path)) || !(m->name = name_of(path))) {
        ce_model_free(m);
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", path);
    }
    int result = open_model(m, err);
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

int ce_model_sha256(ce_model *m, const char **out, ce_error *err) {
    int result = m->sha256[0] ? CE_OK : ce_weights_sha256(m->weights, m->sha256, err);
    *out = m->sha256;
    return result;
}

int ce_scratch_new(ce_scratch **out, ce_model *m, ce_tower tower, ce_error *err) {
    int result = need_tower(m, tower, err);
    if (result < 0)
        return result;
    size_t floats = tower == CE_IMAGE_TOWER ? m->vision->scratch : m->text->scratch;
    size_t lengths = tower == CE_IMAGE_TOWER ? 1 : m->text->max_tokens;
    ce_scratch *s = calloc(1, sizeof *s);
    if (s) {
        s->tower = tower;
        s->arena = ce_floats_new(floats);
        s->lengths = calloc(lengths, sizeof *s->lengths);
    }
    if (!s || !s->arena || !s->lengths) {
        ce_scratch_free(s);
        return ce_fail(err, CE_ENOMEM, "%s: out of memory for %zu MB of scratch", m->path,
                       floats >> 18);
    }
    *out = s;
    return CE_OK;
}

void ce_scratch_free(ce_scratch *s) {
    if (!s)
        return;
    free(s->arena);
    free(s->lengths);
    free(s);
}

int ce_model_encode_images(const ce_model *m, float *out, const float *pixels, size_t n,
                           ce_scratch *scratch, ce_error *err) {
    if (scratch->tower != CE_IMAGE_TOWER)
        return ce_fail(err, CE_EINVAL, "this scratch is for the text tower");
    size_t size = 3 * (size_t)m->info.image_width * (size_t)m->info.image_height;
    while (n > 0) {
        size_t batch = n < m->vision->batch ? n : m->vision->batch;
        m->vision->encode(m->vision, out, pixels, batch, scratch->arena);
        out += batch * (size_t)m->info.embed_dim;
        pixels += batch * size;
        n -= batch;
    }
    return CE_OK;
}

/* How many tokens the tower must see of one text: up to and with the pooled one. */
static int pooled_length(const ce_model *m, const int32_t *ids, size_t *length,
                         ce_error *err) {
    const ce_text_config *c = &m->config.text;
    size_t pooled = 0;
    bool found = false;
    for (size_t i = 0; i < (size_t)c->context; i++) {
        if (ids[i] < 0 || ids[i] >= c->vocab_size)
            return ce_fail(err, CE_EINVAL, "token id %d is outside the vocabulary of %d",
                           ids[i], c->vocab_size);
        if (c->end_of_text < 0) {
            if (ids[i] > ids[pooled])
                pooled = i;
        } else if (!found && ids[i] == c->end_of_text) {
            pooled = i;
            found = true;
        }
    }
    *length = pooled + 1;
    return CE_OK;
}

int ce_model_encode_tokens(const ce_model *m, float *out, const int32_t *ids, size_t n,
                           ce_scratch *scratch, ce_error *err) {
    size_t context = (size_t)m->info.context, d = (size_t)m->info.embed_dim;
    if (scratch->tower != CE_TEXT_TOWER)
        return ce_fail(err, CE_EINVAL, "this scratch is for the image tower");
    for (size_t first = 0; first < n;) {
        size_t batch = 0, tokens = 0;
        while (first + batch < n) {
            size_t length = 0;
            int result = pooled_length(m, ids + (first + batch) * context, &length, err);
            if (result < 0)
                return result;
            if (tokens + length > m->text->max_tokens)
                break;
            scratch->lengths[batch++] = length;
            tokens += length;
        }
        m->text->encode(m->text, out + first * d, ids + first * context, scratch->lengths,
                        batch, scratch->arena);
        first += batch;
    }
    return CE_OK;
}

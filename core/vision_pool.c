#include "vision_pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* mixed [width] = for each head the mean of the values, weighted by the softmax of the
 * scaled products of query and keys. query [width]; key_value [tokens, 2 * width], keys
 * first; scores: room for tokens rounded up to CE_MAX_LANES. */
static void attend_one(float *mixed, const float *query, const float *key_value,
                       size_t tokens, size_t width, size_t heads, float *scores) {
    size_t size = width / heads;
    for (size_t h = 0; h < heads; h++) {
        memset(scores, 0, tokens * sizeof *scores);
        for (size_t t = 0; t < tokens; t++)
            for (size_t i = 0; i < size; i++)
                scores[t] += query[h * size + i] * key_value[t * 2 * width + h * size + i];
        ce_kernels_get()->softmax(scores, tokens, 1 / sqrtf((float)size));
        float *head = mixed + h * size;
        memset(head, 0, size * sizeof *head);
        for (size_t t = 0; t < tokens; t++)
            for (size_t i = 0; i < size; i++)
                head[i] += scores[t] * key_value[(t * 2 + 1) * width + h * size + i];
    }
}

const ce_pool_names ce_pool_names_hugging_face = {
    .probe = "vision_model.head.probe",
    .key_value_weight = "vision_model.head.attention.in_proj_weight",
    .key_value_bias = "vision_model.head.attention.in_proj_bias",
    .out = "vision_model.head.attention.out_proj",
    .norm = "vision_model.head.layernorm",
    .fc = "vision_model.head.mlp.fc1",
    .proj = "vision_model.head.mlp.fc2",
};

const ce_pool_names ce_pool_names_timm = {
    .probe = "visual.trunk.attn_pool.latent",
    .query_weight = "visual.trunk.attn_pool.q.weight",
    .query_bias = "visual.trunk.attn_pool.q.bias",
    .key_value_weight = "visual.trunk.attn_pool.kv.weight",
    .key_value_bias = "visual.trunk.attn_pool.kv.bias",
    .out = "visual.trunk.attn_pool.proj",
    .norm = "visual.trunk.attn_pool.norm",
    .fc = "visual.trunk.attn_pool.mlp.fc1",
    .proj = "visual.trunk.attn_pool.mlp.fc2",
};

static int load_layer(ce_linear *l, size_t out, size_t in, ce_weights *w, const char *name,
                      ce_error *err) {
    ce_linear_init(l, out, in);
    return ce_linear_set_layer(l, 0, w, name, out, err);
}

/* query = Wq probe + bq, in double. */
static void map_probe(ce_attention_pool *p, const float *probe, const float *weight,
                      const float *bias) {
    for (size_t i = 0; i < p->width; i++) {
        double sum = (double)bias[i];
        for (size_t j = 0; j < p->width; j++)
            sum += (double)weight[i * p->width + j] * (double)probe[j];
        p->query[i] = (float)sum;
    }
}

/* The layers of query, keys and values as stored. */
typedef struct stored {
    float *probe, *weight, *bias;     /* keys and values are the last of weight and bias */
    float *query_weight, *query_bias; /* NULL: the first of weight and bias */
} stored;

static int take_stored(stored *s, size_t width, ce_weights *w, const ce_pool_names *names,
                       ce_error *err) {
    size_t parts = names->query_weight ? 2 : 3, square[] = {width, width};
    size_t probe_shape[] = {1, 1, width}, shape[] = {parts * width, width};
    int result = ce_weights_take_floats(w, &s->probe, names->probe, 3, probe_shape, err);
    if (result == CE_OK)
        result =
            ce_weights_take_floats(w, &s->weight, names->key_value_weight, 2, shape, err);
    if (result == CE_OK)
        result = ce_weights_take_floats(w, &s->bias, names->key_value_bias, 1, shape, err);
    if (result == CE_OK && names->query_weight)
        result = ce_weights_take_floats(w, &s->query_weight, names->query_weight, 2, square,
                                        err);
    if (result == CE_OK && names->query_weight)
        result =
            ce_weights_take_floats(w, &s->query_bias, names->query_bias, 1, square, err);
    return result;
}

static int use_stored(ce_attention_pool *p, const stored *s, const char *path,
                      ce_error *err) {
    size_t width = p->width, skip = s->query_weight ? 0 : width;
    p->query = malloc(width * sizeof *p->query);
    if (!p->query)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", path);
    map_probe(p, s->probe, s->query_weight ? s->query_weight : s->weight,
              s->query_bias ? s->query_bias : s->bias);
    ce_linear_init(&p->key_value, 2 * width, width);
    int result = ce_linear_set_rows(&p->key_value, 0, s->weight + skip * width, 2 * width,
                                    path, err);
    return result < 0 ? result
                      : ce_linear_set_bias_values(&p->key_value, 0, s->bias + skip,
                                                  2 * width, err);
}

int ce_attention_pool_load(ce_attention_pool *p, ce_weights *w, const ce_pool_names *names,
                           ce_error *err) {
    stored s = {0};
    int result = take_stored(&s, p->width, w, names, err);
    if (result == CE_OK && !ce_weights_is_shapes_only(w))
        result = use_stored(p, &s, ce_weights_path(w), err);
    if (result == CE_OK)
        result = load_layer(&p->out, p->width, p->width, w, names->out, err);
    if (result == CE_OK)
        result = ce_norm_load(&p->norm, w, names->norm, p->width, err);
    if (result == CE_OK)
        result = load_layer(&p->fc, p->hidden, p->width, w, names->fc, err);
    if (result == CE_OK)
        result = load_layer(&p->proj, p->width, p->hidden, w, names->proj, err);
    free(s.probe);
    free(s.weight);
    free(s.bias);
    free(s.query_weight);
    free(s.query_bias);
    return result;
}

void ce_attention_pool_free(ce_attention_pool *p) {
    free(p->query);
    ce_linear_free(&p->key_value);
    ce_linear_free(&p->out);
    ce_linear_free(&p->fc);
    ce_linear_free(&p->proj);
    ce_norm_free(&p->norm);
}

size_t ce_attention_pool_scratch(const ce_attention_pool *p, size_t tokens, size_t n) {
    return n * tokens * 2 * p->width + 2 * n * p->width + n * p->hidden + tokens +
           6 * CE_MAX_LANES + ce_linear_workspace();
}

void ce_attention_pool_forward(const ce_attention_pool *p, float *pooled, const float *x,
                               size_t tokens, size_t n, float *scratch) {
    size_t width = p->width;
    float *key_value = ce_take(&scratch, n * tokens * 2 * width);
    float *mixed = ce_take(&scratch, n * width); /* then normalised */
    float *hidden = ce_take(&scratch, n * p->hidden);
    float *scores = ce_take(&scratch, ce_round_up(tokens, CE_MAX_LANES));
    ce_linear_forward(&p->key_value, key_value, x, n * tokens, CE_NO_ACTIVATION, false,
                      scratch);
    for (size_t i = 0; i < n; i++)
        attend_one(mixed + i * width, p->query, key_value + i * tokens * 2 * width, tokens,
                   width, p->heads, scores);
    ce_linear_forward(&p->out, pooled, mixed, n, CE_NO_ACTIVATION, false, scratch);
    ce_norm_forward(&p->norm, mixed, pooled, width, n, width, p->eps);
    ce_linear_forward(&p->fc, hidden, mixed, n, p->activation, false, scratch);
    ce_linear_forward(&p->proj, pooled, hidden, n, CE_NO_ACTIVATION, true, scratch);
}

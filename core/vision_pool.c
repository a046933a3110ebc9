#include "vision_pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ce_attend_one(float *mixed, const float *query, const float *key_value, size_t tokens,
                   size_t width, size_t heads, float *scores) {
    size_t size = width / heads, padded = ce_round_up(tokens, CE_MAX_LANES);
    for (size_t h = 0; h < heads; h++) {
        for (size_t t = 0; t < padded; t++)
            scores[t] = t < tokens ? 0 : -INFINITY;
        for (size_t t = 0; t < tokens; t++)
            for (size_t i = 0; i < size; i++)
                scores[t] += query[h * size + i] * key_value[t * 2 * width + h * size + i];
        ce_kernels_get()->softmax(scores, padded, 1 / sqrtf((float)size));
        float *head = mixed + h * size;
        memset(head, 0, size * sizeof *head);
        for (size_t t = 0; t < tokens; t++)
            for (size_t i = 0; i < size; i++)
                head[i] += scores[t] * key_value[(t * 2 + 1) * width + h * size + i];
    }
}

static int load_layer(ce_linear *l, size_t out, size_t in, ce_weights *w, const char *name,
                      const char *part, ce_error *err) {
    char full[128];
    ce_linear_init(l, out, in);
    snprintf(full, sizeof full, "%s.%s.weight", name, part);
    int result = ce_linear_set(l, 0, w, full, out, CE_ROWS_OUT, err);
    snprintf(full, sizeof full, "%s.%s.bias", name, part);
    return result < 0 ? result : ce_linear_set_bias(l, 0, w, full, out, err);
}

/* query = Wq probe + bq, in double; Wq, Wk and Wv are stored stacked. */
static void map_probe(ce_attention_pool *p, const float *probe, const float *weight,
                      const float *bias) {
    for (size_t i = 0; i < p->width; i++) {
        double sum = bias[i];
        for (size_t j = 0; j < p->width; j++)
            sum += (double)weight[i * p->width + j] * (double)probe[j];
        p->query[i] = (float)sum;
    }
}

static int load_query_key_value(ce_attention_pool *p, ce_weights *w, const char *name,
                                ce_error *err) {
    size_t width = p->width, probe_shape[] = {1, 1, width};
    size_t weight_shape[] = {3 * width, width}, bias_shape[] = {3 * width};
    float *probe = NULL, *weight = NULL, *bias = NULL;
    char full[128];
    snprintf(full, sizeof full, "%s.probe", name);
    int result = ce_weights_take_floats(w, &probe, full, 3, probe_shape, err);
    snprintf(full, sizeof full, "%s.attention.in_proj_bias", name);
    if (result == CE_OK)
        result = ce_weights_take_floats(w, &bias, full, 1, bias_shape, err);
    snprintf(full, sizeof full, "%s.attention.in_proj_weight", name);
    if (result == CE_OK)
        result = ce_weights_take_floats(w, &weight, full, 2, weight_shape, err);
    if (result == CE_OK && !ce_weights_is_shapes_only(w)) {
        ce_linear_init(&p->key_value, 2 * width, width);
        p->query = malloc(width * sizeof *p->query);
        result = p->query ? CE_OK : ce_fail(err, CE_ENOMEM, "out of memory");
        if (result == CE_OK) {
            map_probe(p, probe, weight, bias);
            result = ce_linear_set_rows(&p->key_value, 0, weight + width * width, 2 * width,
                                        ce_weights_path(w), err);
        }
        if (result == CE_OK)
            result =
                ce_linear_set_bias_values(&p->key_value, 0, bias + width, 2 * width, err);
    }
    free(probe);
    free(weight);
    free(bias);
    return result;
}

int ce_attention_pool_load(ce_attention_pool *p, ce_weights *w, const char *name,
                           ce_error *err) {
    char norm[128];
    int result = load_query_key_value(p, w, name, err);
    if (result == CE_OK)
        result =
            load_layer(&p->out, p->width, p->width, w, name, "attention.out_proj", err);
    snprintf(norm, sizeof norm, "%s.layernorm", name);
    if (result == CE_OK)
        result = ce_norm_load(&p->norm, w, norm, p->width, err);
    if (result == CE_OK)
        result = load_layer(&p->fc, p->hidden, p->width, w, name, "mlp.fc1", err);
    if (result == CE_OK)
        result = load_layer(&p->proj, p->width, p->hidden, w, name, "mlp.fc2", err);
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
        ce_attend_one(mixed + i * width, p->query, key_value + i * tokens * 2 * width,
                      tokens, width, p->heads, scores);
    ce_linear_forward(&p->out, pooled, mixed, n, CE_NO_ACTIVATION, false, scratch);
    ce_norm_forward(&p->norm, mixed, pooled, width, n, width, p->eps);
    ce_linear_forward(&p->fc, hidden, mixed, n, p->activation, false, scratch);
    ce_linear_forward(&p->proj, pooled, hidden, n, CE_NO_ACTIVATION, true, scratch);
}

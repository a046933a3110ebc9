/* SigLIP's attention-pooling head ("MAP", Zhai et al. 2022): a learned query attends to all
 * positions, then an MLP with a residual. The arithmetic is that of transformers'
 * SiglipMultiheadAttentionPoolingHead and of timm's AttentionPoolLatent:
 *
 *     y = out(attention(probe; x))
 *     pooled = y + proj(activation(fc(layer_norm(y))))
 *
 *     ce_attention_pool head = {.width = 768, .heads = 12, ...};
 *     ce_attention_pool_load(&head, weights, &ce_pool_names_hugging_face, &err);
 *     ce_attention_pool_forward(&head, pooled, x, tokens, n, scratch);
 *     ce_attention_pool_free(&head);
 */
#ifndef CE_VISION_POOL_H
#define CE_VISION_POOL_H

#include "transformer.h"

typedef struct ce_attention_pool {
    size_t width, heads, hidden; /* set before it is loaded */
    ce_activation activation;
    float eps;
    float
        *query; /* [width]: the probe behind its linear layer, the same for all pictures */
    ce_linear key_value, out, fc, proj;
    ce_norm norm;
} ce_attention_pool;

/* How a library names the parts; the query's layer lies in front of the keys' and values'
 * (stacked), or in tensors of its own. Layers and norms: + ".weight", ".bias". */
typedef struct ce_pool_names {
    const char *probe, *query_weight, *query_bias, *key_value_weight, *key_value_bias;
    const char *out, *norm, *fc, *proj;
} ce_pool_names;
extern const ce_pool_names ce_pool_names_hugging_face, ce_pool_names_timm;

int ce_attention_pool_load(ce_attention_pool *p, ce_weights *w, const ce_pool_names *names,
                           ce_error *err);
void ce_attention_pool_free(ce_attention_pool *p);

/* Floats that a forward pass over n pictures needs. */
size_t ce_attention_pool_scratch(const ce_attention_pool *p, size_t tokens, size_t n);

/* pooled [n, width] of x [n, tokens, width] */
void ce_attention_pool_forward(const ce_attention_pool *p, float *pooled, const float *x,
                               size_t tokens, size_t n, float *scratch);

#endif

/* The attention pool at the end of CLIP's ModifiedResNet: one query, made of the mean of
 * all positions, attends to the mean and the positions.
 *
 *     ce_resnet_pool pool = {.width = 2048, .heads = 32, .tokens = 50};
 *     ce_resnet_pool_load(&pool, embed_dim, weights, &err);
 *     ce_resnet_pool_forward(&pool, out, features, n, scratch);
 *     ce_resnet_pool_free(&pool);
 *
 * As there is only one query q, no position's key or value is ever computed:
 *
 *     q . (K x + k)           = (K^T q) . x + constant, which softmax does not see
 *     sum of p_t (V x_t + v)  = V (sum of p_t x_t) + v
 *
 * which is a 27th of the multiplications for RN50, and the same up to rounding.
 */
#ifndef CE_VISION_RESNET_POOL_H
#define CE_VISION_RESNET_POOL_H

#include "linear.h"

typedef struct ce_resnet_pool {
    size_t width, heads, tokens; /* heads divide width; tokens: positions + 1 */
    float *positions;            /* [tokens, width] */
    ce_linear query, projection;
    ce_linear *keys, *values; /* of each head: K^T [width, size], V [size, width] */
} ce_resnet_pool;

/* The sizes must be set, the rest zero; free it also when this fails. Tensors
 * visual.attnpool.*. */
int ce_resnet_pool_load(ce_resnet_pool *pool, size_t embed_dim, ce_weights *w,
                        ce_error *err);
void ce_resnet_pool_free(ce_resnet_pool *pool);

/* Floats of scratch for n pictures. */
size_t ce_resnet_pool_scratch(const ce_resnet_pool *pool, size_t n);

/* features [n, tokens - 1, width] -> out [n, embed_dim]. */
void ce_resnet_pool_forward(const ce_resnet_pool *pool, float *out, const float *features,
                            size_t n, float *scratch);

#endif

/* The two kinds of tower behind a model. A tower is read-only once open; `encode` takes a
 * scratch arena of `scratch` floats, aligned to 64 bytes, and allocates nothing.
 */
#ifndef CE_TOWERS_H
#define CE_TOWERS_H

#include "config.h"
#include "transformer.h"

typedef struct ce_vision ce_vision;
struct ce_vision {
    size_t batch;   /* pictures that one call of encode takes at most */
    size_t scratch; /* floats */
    char summary[160];
    /* out [n, embed_dim]; pixels [n, 3, height, width]; n <= batch */
    void (*encode)(const ce_vision *v, float *out, const float *pixels, size_t n,
                   float *scratch);
    void (*free)(ce_vision *v);
};

int ce_vision_vit_open(ce_vision **out, const ce_config *config, ce_weights *w,
                       ce_error *err);
int ce_vision_resnet_open(ce_vision **out, const ce_config *config, ce_weights *w,
                          ce_error *err);

/* One text as a tower sees it. */
typedef struct ce_text_span {
    size_t length; /* tokens that take part; what is behind them is not computed */
    size_t pooled; /* the row that stands for the text; < length */
} ce_text_span;

typedef struct ce_text_tower ce_text_tower;
struct ce_text_tower {
    size_t max_tokens; /* rows that one call of encode takes at most, all texts together */
    size_t scratch;
    char summary[160];
    /* out [n, embed_dim]; ids [n, context]; the spans' lengths sum to <= max_tokens */
    void (*encode)(const ce_text_tower *t, float *out, const int32_t *ids,
                   const ce_text_span *spans, size_t n, float *scratch);
    void (*free)(ce_text_tower *t);
};

int ce_text_gpt_open(ce_text_tower **out, const ce_config *config, ce_weights *w,
                     ce_error *err);
int ce_text_bert_open(ce_text_tower **out, const ce_config *config, ce_weights *w,
                      ce_error *err);

#endif

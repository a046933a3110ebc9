/* The two kinds of tower behind a model. A tower is read-only once open; `encode` takes a
 * scratch arena of `scratch` floats, aligned to 64 bytes, and allocates nothing.
 */
#ifndef CE_TOWERS_H
#define CE_TOWERS_H

#include "config.h"
#include "prefix_tree.h"
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

typedef struct ce_text_tower ce_text_tower;
struct ce_text_tower {
    bool shares;     /* texts that begin alike share rows (see prefix_tree.h) */
    size_t max_rows; /* that one call of encode takes at most */
    size_t scratch;
    char summary[160];
    /* out [rows->texts, embed_dim] */
    void (*encode)(const ce_text_tower *t, float *out, const ce_text_rows *rows,
                   float *scratch);
    void (*free)(ce_text_tower *t);
};

int ce_text_gpt_open(ce_text_tower **out, const ce_config *config, ce_weights *w,
                     ce_error *err);
int ce_text_bert_open(ce_text_tower **out, const ce_config *config, ce_weights *w,
                      ce_error *err);

#endif

/* A CLIP: an image tower and a text tower over one embedding space, opened from a
 * checkpoint. A model may be used by several threads, each with its own ce_scratch.
 *
 *     ce_model *model;
 *     ce_model_open(&model, "clip-vit-base-patch32/", NULL, &err);
 *     ce_scratch *scratch;
 *     ce_scratch_new(&scratch, model, CE_IMAGE_TOWER, &err);
 *     float embeds[d];
 *     ce_model_encode_images(model, embeds, pixels, 1, scratch, &err);
 *     ce_scratch_free(scratch);
 *     ce_model_free(model);
 */
#ifndef CE_MODEL_H
#define CE_MODEL_H

#include "cache.h"
#include "error.h"
#include "notes.h"
#include "precision.h"
#include "prefix_tree.h"
#include "preprocess.h"
#include "tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ce_model ce_model;
typedef struct ce_scratch ce_scratch;
typedef enum ce_tower { CE_IMAGE_TOWER, CE_TEXT_TOWER } ce_tower;

/* What was resolved from the checkpoint. Strings are borrowed from the model. */
typedef struct ce_model_info {
    const char *name;    /* the directory's or the file's own name, or as it was given */
    const char *path;    /* as it was opened */
    const char *format;  /* "hugging-face", "open-clip", "openai" */
    const char *weights; /* path of the weights file, or of the index of its shards */
    const char *weights_format; /* "safetensors", "TorchScript", ... */
    const char *architecture_source, *activation_source, *preprocess_source; /* files */
    const char *vision;     /* one line: "ViT 12 x 768, 12 heads, patch 32, gelu" */
    const char *text;       /* one line for the text tower */
    const char *activation; /* of the text tower: "quick_gelu", "gelu", "gelu_tanh" */
    const char *vision_activation;
    const char *dtype;       /* of the bulk of the stored weights: "F32", "F16", "BF16" */
    const char *end_of_text; /* the pooling rule: "first id 49407", "largest id", ... */
    const char *vision_pool; /* "class token", "average", "attention" */
    const char *precision;   /* "fp32", "int8", "bf16" */
    const char *engine; /* what computes it: "clipeval AVX-512 VNNI", "oneDNN 2.6.3 ..." */
    const char *tokenizer;      /* ce_tokenizer_source */
    const char *tokenizer_kind; /* ce_tokenizer_describe */
    int embed_dim;
    int image_width, image_height;
    int context;        /* tokens of a text, with start and end */
    double logit_scale; /* exp(logit_scale), the factor on cosines */
    double logit_bias;  /* added behind the factor; 0 but for sigmoid models */
    bool sigmoid;       /* pairs are scored one by one: sigmoid, not softmax */
    ce_preprocess preprocess;
} ce_model_info;

typedef struct ce_model_options {
    const char *name;       /* for reports; NULL: the path's last part */
    const char *arch;       /* see ce_checkpoint_find; NULL: the checkpoint says it */
    const char *activation; /* "quick_gelu", "gelu", "gelu_tanh": for a checkpoint that does
                               not state it; else CE_EINVAL where it says another. NULL */
    ce_precision precision; /* of the towers' layers */
    bool diagnose;          /* open where only notes of CE_FAULT stand against it */
} ce_model_options;

/* Opens what ce_checkpoint_find (checkpoint.h) finds at `path`. Every tensor is checked
 * here for its type and shape: one that is missing or misshapen is an error that names it.
 * Values are read, and checked to be finite, when their tower is first asked for. `options`
 * may be NULL. */
int ce_model_open(ce_model **out, const char *path, const ce_model_options *options,
                  ce_error *err);
void ce_model_free(ce_model *model);
const ce_model_info *ce_model_get_info(const ce_model *model);
const ce_tokenizer *ce_model_tokenizer(const ce_model *model);
const struct ce_config *ce_model_get_config(const ce_model *model); /* config.h */

/* What misleads about this checkpoint, found when it was opened. */
const ce_notes *ce_model_notes(const ce_model *model);

/* Reads every tensor of the file once, and adds notes to the model's: values that are NaN
 * or infinite, tensors that are all zero. */
int ce_model_survey(ce_model *model, ce_error *err);

/* SHA-256 of the weights file, hex; computed at the first call, then kept. */
int ce_model_sha256(ce_model *model, const char **out, ce_error *err);

/* The same, looked up first where the files are still what they were, and kept. */
int ce_model_known_sha256(ce_model *model, ce_cache *cache, const char **out,
                          ce_error *err);

/* Scratch for one tower, which is loaded at the first call for it. CE_EFORMAT: its weights
 * hold NaN or infinity (named). */
int ce_scratch_new(ce_scratch **out, ce_model *model, ce_tower tower, ce_error *err);
void ce_scratch_free(ce_scratch *scratch);

/* `scratch` must be for the tower, else CE_EINVAL.
 * out [n, embed_dim], not normalised; pixels [n, 3, image_height, image_width], as
 * ce_preprocess_image gives them. A row's bits do not depend on n nor on its neighbours. */
int ce_model_encode_images(const ce_model *model, float *out, const float *pixels, size_t n,
                           ce_scratch *scratch, ce_error *err);

/* How texts are best computed together: blocks for ce_model_encode_block, for `threads`
 * threads that each take one at a time. ids [n, context], borrowed; an id outside the
 * vocabulary is CE_EINVAL. The text tower need not be loaded yet. */
int ce_model_plan_texts(const ce_model *model, ce_prefix_tree **out, const int32_t *ids,
                        size_t n, size_t threads, ce_error *err);

/* rows [distinct texts of the block, embed_dim], not normalised, in the scratch: good until
 * its next use. prefix_tree.h says which row is whose. Same invariance. */
int ce_model_encode_block(const ce_model *model, const float **rows,
                          const ce_prefix_tree *plan, size_t block, ce_scratch *scratch,
                          ce_error *err);

/* Both at once: out [n, embed_dim]. */
int ce_model_encode_tokens(const ce_model *model, float *out, const int32_t *ids, size_t n,
                           ce_scratch *scratch, ce_error *err);

#endif

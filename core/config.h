/* What a checkpoint is: its sizes, its options and its recipe for pictures, whichever
 * library wrote it, as one struct.
 *
 *     ce_checkpoint files;                                    // checkpoint.h
 *     ce_checkpoint_find(&files, "clip-vit-base-patch32/", NULL, &err);
 *     ce_weights_open(&weights, files.weights, &err);
 *     ce_config config;
 *     ce_config_read(&config, &files, weights, &notes, &err);
 */
#ifndef CE_CONFIG_H
#define CE_CONFIG_H

#include "checkpoint.h"
#include "kernels.h"
#include "notes.h"
#include "precision.h"
#include "preprocess.h"
#include "tokenizer.h"
#include "weights.h"

/* Whose architecture, and so which parts the towers have and how tensors are named. */
typedef enum ce_family {
    CE_FAMILY_CLIP,         /* transformers' CLIPModel */
    CE_FAMILY_CHINESE_CLIP, /* ChineseCLIPModel: CLIP's image tower, a BERT */
    CE_FAMILY_SIGLIP,       /* SiglipModel */
    CE_FAMILY_OPEN_CLIP     /* OpenAI's and open_clip's own names */
} ce_family;

typedef enum ce_vision_kind { CE_VISION_VIT, CE_VISION_RESNET } ce_vision_kind;
typedef enum ce_text_kind { CE_TEXT_GPT, CE_TEXT_BERT } ce_text_kind;

/* Which row of a tower's output stands for the whole. */
typedef enum ce_pool {
    CE_POOL_FIRST,       /* class token, [CLS] */
    CE_POOL_LAST,        /* the last position, padding or not */
    CE_POOL_LARGEST_ID,  /* text: the first place of the largest id */
    CE_POOL_END_OF_TEXT, /* text: the first place of `end_of_text` */
    CE_POOL_AVERAGE,     /* mean of the patches, without the class token */
    CE_POOL_ATTENTION    /* a learned query over all positions ("MAP" head) */
} ce_pool;

typedef struct ce_vision_config {
    ce_vision_kind kind;
    int image_width, image_height;
    int width; /* of the tokens; ResNet: channels behind the stem */
    int heads;
    ce_activation activation;
    double eps;    /* of the layer norms */
    int blocks[4]; /* ResNet: bottlenecks of each stage */
    /* ViT from here on */
    int patch, layers, hidden;
    ce_pool pool; /* FIRST, AVERAGE, ATTENTION */
    bool no_class_token;
    bool no_pre_norm;     /* no layer norm before the blocks */
    bool norm_after_pool; /* the last layer norm, behind the pool instead of before it */
    bool layer_scale;     /* a learned factor for each channel of a block's two branches */
    bool patch_bias;
    bool timm;          /* named as timm names a ViT, inside open_clip */
    bool no_projection; /* the pooled row is the embedding */
} ce_vision_config;

typedef struct ce_text_config {
    ce_text_kind kind;
    int context, vocab_size;
    int positions; /* rows of the position table; context, but for BERT */
    int width, heads, layers, hidden;
    ce_activation activation;
    double eps;
    ce_pool pool;        /* FIRST, LAST, LARGEST_ID, END_OF_TEXT */
    int end_of_text;     /* END_OF_TEXT: pool at the first such id */
    int pad;             /* BERT: the id that is masked behind the text */
    int type_vocab_size; /* BERT: kinds of segments; the first is used */
    bool not_causal;     /* GPT: every position sees every other, padding too */
    bool layer_scale;
    bool projection_bias, no_projection;
} ce_text_config;

typedef struct ce_config {
    ce_family family;
    ce_text_style style; /* whose text cleaning applies */
    ce_tokenizer_kind tokenizer;
    ce_clean clean; /* around the tokenizer: see ce_tokenizer_wrap */
    bool blank_end;
    bool sigmoid;           /* pairs are scored one by one, with a "logit_bias" */
    ce_precision precision; /* what the user wants; CE_FP32 when read */
    int embed_dim;
    ce_vision_config vision;
    ce_text_config text;
    ce_preprocess preprocess;
    /* Where it was read, for people: a path, "shapes of FILE", "open_clip's defaults" */
    char architecture_source[PATH_MAX + 32];
    char activation_source[PATH_MAX + 64];
    char preprocess_source[PATH_MAX + 32];
} ce_config;

/* CE_EFORMAT: a value is missing or absurd; CE_EUNSUPPORTED: an architecture or an option
 * that is not implemented, by name. What misleads but runs becomes a note; so does an
 * activation that nobody states, as a CE_FAULT (the library's default is then assumed). */
int ce_config_read(ce_config *out, const ce_checkpoint *files, const ce_weights *weights,
                   ce_notes *notes, ce_error *err);

/* "quick_gelu", "gelu", "gelu_tanh", "relu" */
const char *ce_activation_name(ce_activation a);

/* The formats, each in its own file. */
int ce_config_read_hugging_face(ce_config *out, const ce_checkpoint *files, ce_notes *notes,
                                ce_error *err);
int ce_config_read_open_clip(ce_config *out, const ce_checkpoint *files, ce_notes *notes,
                             ce_error *err);
/* Sizes from the shapes of the weights, as OpenAI's build_model infers them. */
int ce_config_read_openai(ce_config *out, const ce_checkpoint *files,
                          const ce_weights *weights, ce_notes *notes, ce_error *err);

/* Limits on what a configuration may say, so that no product of sizes overflows. */
enum {
    CE_MAX_WIDTH = 16384,
    CE_MAX_LAYERS = 256,
    CE_MAX_HIDDEN = 131072,
    CE_MAX_CONTEXT = 4096,
    CE_MAX_VOCAB = 4000000
};

#endif

/* A checkpoint directory's configuration, whichever library wrote it, as one struct.
 *
 *     ce_config config;
 *     ce_config_read(&config, "clip-vit-base-patch32/", &err);
 */
#ifndef CE_CONFIG_H
#define CE_CONFIG_H

#include "kernels.h"
#include "preprocess.h"
#include "tokenizer.h"

#include <limits.h>

typedef enum ce_vision_kind { CE_VISION_VIT, CE_VISION_RESNET } ce_vision_kind;

typedef struct ce_vision_config {
    ce_vision_kind kind;
    int image_width, image_height;
    int width; /* of the tokens; ResNet: channels behind the stem */
    int heads;
    ce_activation activation;
    double eps;                /* of the layer norms */
    int patch, layers, hidden; /* ViT */
    int blocks[4];             /* ResNet: bottlenecks of each stage */
} ce_vision_config;

typedef struct ce_text_config {
    int context, vocab_size;
    int width, heads, layers, hidden;
    ce_activation activation;
    double eps;
    int end_of_text; /* pool at the first such id; -1: at the largest id (argmax) */
} ce_text_config;

typedef struct ce_config {
    ce_text_style style;    /* the library whose format, names and text rules apply */
    const char *format;     /* "hugging-face", "open-clip" */
    char weights[PATH_MAX]; /* the weights file */
    int embed_dim;
    ce_vision_config vision;
    ce_text_config text;
    ce_preprocess preprocess;
} ce_config;

/* Tells the format by the files in `dir`. CE_EFORMAT: a value is missing or absurd;
 * CE_EUNSUPPORTED: an architecture or an option that is not implemented, by name. */
int ce_config_read(ce_config *out, const char *dir, ce_error *err);

/* "quick_gelu", "gelu", "relu" */
const char *ce_activation_name(ce_activation a);

/* The two formats, each in its own file. */
int ce_config_read_hugging_face(ce_config *out, const char *dir, ce_error *err);
int ce_config_read_open_clip(ce_config *out, const char *dir, ce_error *err);

/* Limits on what a configuration may say, so that no product of sizes overflows. */
enum {
    CE_MAX_WIDTH = 16384,
    CE_MAX_LAYERS = 256,
    CE_MAX_HIDDEN = 131072,
    CE_MAX_CONTEXT = 4096,
    CE_MAX_VOCAB = 4000000
};

#endif

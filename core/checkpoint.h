/* Which files make a checkpoint: told by what lies there and by what the files hold.
 *
 *     ce_checkpoint files;
 *     ce_checkpoint_find(&files, "ViT-B-32.pt", NULL, &err);
 *     ce_checkpoint_find(&files, "epoch_32.pt", "ViT-B-32", &err);
 */
#ifndef CE_CHECKPOINT_H
#define CE_CHECKPOINT_H

#include "error.h"

#include <limits.h>

typedef enum ce_format {
    CE_FORMAT_HUGGING_FACE, /* config.json and its companions */
    CE_FORMAT_OPEN_CLIP,    /* open_clip_config.json, or an architecture by name */
    CE_FORMAT_OPENAI        /* one file that says all: sizes follow from shapes */
} ce_format;

typedef struct ce_checkpoint {
    ce_format format;
    char directory[PATH_MAX]; /* where tokenizer files are looked for */
    char weights[PATH_MAX];   /* the file, or the index of its shards */
    char config[PATH_MAX];    /* config.json, open_clip_config.json; "": none */
    char arch[64];            /* the architecture's name, where one was given; "": none */
    char dangling[PATH_MAX];  /* a link among what was looked for that leads nowhere; "" */
} ce_checkpoint;

/* `path` is a directory or a weights file; `arch` names one of open_clip's architectures
 * ("ViT-B-32"), "openai", or is a path of a model configuration (*.json); NULL: the
 * checkpoint says it. Of a directory with open_clip_config.json a named architecture
 * replaces model_cfg only, and the recipe for pictures stays. CE_EIO: nothing there, or a
 * link that leads nowhere; CE_EFORMAT: no model, or nothing that says which architecture it
 * is (the message says what would). */
int ce_checkpoint_find(ce_checkpoint *out, const char *path, const char *arch,
                       ce_error *err);

/* "hugging-face", "open-clip", "openai" */
const char *ce_format_name(ce_format format);

#endif

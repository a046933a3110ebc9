/* What the readers of configurations share; nobody else includes this. */
#ifndef CE_CONFIG_INTERNAL_H
#define CE_CONFIG_INTERNAL_H

#include "config.h"
#include "json.h"

/* CLIP's, and most others'; ImageNet's; SigLIP's ("Inception's") is one half. */
#define CE_CLIP_MEAN                                                                       \
    { 0.48145466, 0.4578275, 0.40821073 }
#define CE_CLIP_STD                                                                        \
    { 0.26862954, 0.26130258, 0.27577711 }

/* A path as people want to read it: without the checkpoint's directory. */
const char *ce_config_shown(const ce_checkpoint *files, const char *path);

/* One number for all three channels, or three. */
int ce_config_read_channels(const json_t *object, const char *key, double out[3],
                            const char *name, ce_error *err);

/* transformers' image processor: processor_config.json or preprocessor_config.json. */
int ce_config_read_processor(ce_config *out, const ce_checkpoint *files, ce_error *err);

/* Whether the checkpoint's directory holds a file of this name. */
bool ce_config_lies_beside(const ce_checkpoint *files, const char *name);

/* open_clip's preprocess_cfg; `object` NULL: its defaults. */
int ce_config_read_preprocess_cfg(ce_config *out, const json_t *object, const char *name,
                                  ce_notes *notes, ce_error *err);

/* Which tokenizer open_clip would take for this text_cfg. */
int ce_config_read_tokenizer(ce_config *out, const json_t *text_cfg,
                             const ce_checkpoint *files, const char *name, ce_error *err);

/* What tells that OpenAI saved these weights, as words for people ("a TorchScript
 * archive"); NULL: nothing does. `*certain` is false where others might have saved such. */
const char *ce_config_openai_marks(const ce_weights *weights, bool *certain);

#endif

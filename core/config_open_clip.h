/* What config_open_clip*.c share; nobody else includes this. */
#ifndef CE_CONFIG_OPEN_CLIP_H
#define CE_CONFIG_OPEN_CLIP_H

#include "config_internal.h"

/* An option that is read elsewhere, or has no influence on an embedding. Absent and null
 * are always fine. */
typedef struct ce_option {
    const char *key;
    const char *among; /* the strings that it may be, each ends in ','; NULL: anything */
} ce_option;

/* Fails for the first key of `object` (NULL: none) that `options`, which end in a NULL key,
 * do not allow. A key that is not among them must be off. */
int ce_open_clip_check_options(const json_t *object, const ce_option *options,
                               const char *part, const char *name, ce_error *err);

/* mlp_ratio of `width` */
int ce_open_clip_read_hidden(const json_t *object, int width, int *hidden, const char *name,
                             ce_error *err);

/* A size is a number or [height, width]. */
int ce_open_clip_read_size(const json_t *object, const char *key, int *height, int *width,
                           const char *name, ce_error *err);

/* act_kwargs and norm_kwargs, which go to torch's GELU and LayerNorm. */
int ce_open_clip_read_kwargs(const json_t *object, ce_activation *activation, double *eps,
                             const char *part, const char *name, ce_error *err);

/* Whether there is a value that is not null, whatever it is. */
bool ce_open_clip_is_set(const json_t *object, const char *key);

/* vision_cfg; `activation` is what model_cfg says. */
int ce_open_clip_read_vision(ce_config *out, const json_t *object, ce_activation activation,
                             const char *name, ce_error *err);

#endif

/* The architectures that open_clip knows by name: core/data/open_clip_archs.json, built in
 * (MIT, mlfoundations/open_clip: LICENSE-open-clip).
 *
 *     json_t *model_cfg;
 *     ce_open_clip_arch(&model_cfg, "ViT-B-32", &err);
 *     json_decref(model_cfg);
 */
#ifndef CE_OPEN_CLIP_ARCHS_H
#define CE_OPEN_CLIP_ARCHS_H

#include "error.h"

#include <jansson.h>
#include <stdbool.h>

/* `**out` is a new reference to what open_clip calls model_cfg. CE_EINVAL: it knows no such
 * name (a near one is suggested); CE_EUNSUPPORTED: a tower of it is not implemented. */
int ce_open_clip_arch(json_t **out, const char *name, ce_error *err);

/* OpenAI's own spelling, "ViT-L/14@336px", as the name that open_clip gives to the same
 * towers with OpenAI's activation, "ViT-L-14-336-quickgelu"; false: it is no such spelling.
 * `out` holds `size` bytes. */
bool ce_open_clip_arch_of_openai(char *out, size_t size, const char *name);

#endif

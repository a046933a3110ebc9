/* What the numbers of a tower follow from, as text: equal texts mean equal bits for equal
 * content. Whatever changes an embedding has its place here.
 *
 *     char *text;
 *     ce_identity(&text, model, CE_IMAGE_TOWER, sha256, &err);
 *     ce_space *space = ce_cache_space(cache, text, sha256, d);
 *     free(text);
 */
#ifndef CE_IDENTITY_H
#define CE_IDENTITY_H

#include "digest.h"
#include "model.h"
#include "pipeline.h"

/* malloc'd. Of the weights `sha256`; of the resolved configuration all that the tower
 * computes with (for pictures the recipe, too); precision, engine, instruction set; the
 * decoders' versions; the compiler's and the C library's; and ours. */
int ce_identity(char **out, const ce_model *model, ce_tower tower, const char *sha256,
                ce_error *err);

/* The key of a picture: of its encoded bytes' digest and what is made of transparency. */
ce_digest ce_picture_key(const ce_digest *content, ce_alpha alpha);

/* The key of raw pixels: they are decoded already, and opaque. */
ce_digest ce_pixels_key(const ce_picture *picture);

/* The key of a text: its ids [context], padding and all. What cleans a text and cuts it is
 * in them. */
ce_digest ce_text_key(const int32_t *ids, int context);

#endif

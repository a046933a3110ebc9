/* A picture made small enough to stand in a page, as JPEG.
 *
 *     uint8_t *jpeg;
 *     size_t size;
 *     if (ce_thumbnail(&jpeg, &size, &image, 160, 80, &err) == 0) {
 *         fwrite(jpeg, 1, size, file);
 *         free(jpeg);
 *     }
 */
#ifndef CE_THUMBNAIL_H
#define CE_THUMBNAIL_H

#include "image.h"

/* Fits `image` into a square of `side` pixels (1 to 1024), its shape kept and nothing
 * enlarged, and encodes it with `quality` (1 to 100); no colour is thinned out, for a
 * picture of 28 x 28 needs all of its own. The bytes in `out` are the caller's; the same
 * picture gives the same ones. CE_EINVAL: side or quality out of range. CE_ENOMEM. */
int ce_thumbnail(uint8_t **out, size_t *out_size, const ce_image *image, int side,
                 int quality, ce_error *err);

#endif

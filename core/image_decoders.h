/* Inside the house of image.c: one function a format. Each takes the whole file, fills
 * `out` and returns 0, or fails and leaves nothing to free but what image.c frees: it
 * calls ce_image_free(out) after a failure, so a decoder may return with `out` begun.
 */
#ifndef CE_IMAGE_DECODERS_H
#define CE_IMAGE_DECODERS_H

#include "image.h"

#include <stdbool.h>

typedef struct ce_source {
    const uint8_t *data;
    size_t size;
    const char *name; /* for messages */
    ce_alpha alpha;
} ce_source;

int ce_decode_png(ce_image *out, const ce_source *src, ce_error *err);  /* libpng */
int ce_decode_jpeg(ce_image *out, const ce_source *src, ce_error *err); /* libjpeg-turbo */
int ce_decode_webp(ce_image *out, const ce_source *src, ce_error *err); /* libwebp */
int ce_decode_gif(ce_image *out, const ce_source *src, ce_error *err);  /* giflib */
int ce_decode_bmp(ce_image *out, const ce_source *src, ce_error *err);  /* stb_image */
int ce_decode_pnm(ce_image *out, const ce_source *src, ce_error *err);  /* our own */
int ce_decode_tga(ce_image *out, const ce_source *src, ce_error *err);  /* stb_image */

/* TGA has no signature: whether the header could be one. */
bool ce_is_tga(const ce_source *src);

/* The libraries' versions, as text of their own. */
const char *ce_png_version(void);
const char *ce_jpeg_version(void);
const char *ce_gif_version(void);
const char *ce_stb_version(void);

/* Checks the size that a header claims against CE_IMAGE_MAX_PIXELS and allocates the
 * pixels (not cleared). */
int ce_image_begin(ce_image *out, uint64_t width, uint64_t height, const char *name,
                   ce_error *err);

/* One RGBA pixel into RGB, as `alpha` asks. */
void ce_put_rgba(uint8_t *rgb, const uint8_t *rgba, ce_alpha alpha);

/* Up to 256 colours; an index past the last is black, as in Pillow. */
typedef struct ce_palette {
    uint8_t rgba[256][4];
} ce_palette;

static inline uint32_t ce_le16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t ce_le32(const uint8_t *p) {
    return ce_le16(p) | ce_le16(p + 2) << 16;
}

static inline uint32_t ce_be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

#endif

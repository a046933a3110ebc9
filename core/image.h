/* Pictures: a file or a block of memory becomes RGB8 pixels. The only place that
 * knows the decoders. What comes out is what Pillow's convert("RGB") gives for the
 * same file (first frame, no EXIF rotation), because that is what the tools that
 * users compare with see.
 *
 *     ce_image image;
 *     if (ce_image_load(&image, "cat.jpg", CE_ALPHA_DROP, &err) == 0) {
 *         ... image.pixels[(y * image.width + x) * 3 + channel] ...
 *         ce_image_free(&image);
 *     }
 */
#ifndef CE_IMAGE_H
#define CE_IMAGE_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_image {
    int width, height; /* at least 1 each */
    uint8_t *pixels;   /* [height, width, 3], RGB, row by row from the top */
} ce_image;

/* What becomes of transparency before anything else happens to the picture. */
typedef enum ce_alpha {
    CE_ALPHA_DROP, /* forget it; colours under clear pixels stay (Pillow's convert,
                      OpenAI's CLIP, open_clip, transformers 4) */
    CE_ALPHA_WHITE /* lay the picture over white (transformers 5) */
} ce_alpha;

/* The largest picture that is decoded, in pixels: Pillow's limit, above which it
 * calls a file a decompression bomb (2 * MAX_IMAGE_PIXELS). */
#define CE_IMAGE_MAX_PIXELS 178956970

/* Reads and decodes `path`: PNG, JPEG, WebP, GIF (first frame), BMP, PNM or TGA, told
 * apart by content. On failure `out` is empty and needs no free.
 * CE_EIO: not readable, a directory. CE_EFORMAT: not a picture, truncated, too large.
 * CE_EUNSUPPORTED: a known format that is not decoded here (TIFF, AVIF, ..., and what
 * stb_image does not read as Pillow does: BMP with run-length coding, of 16 bits, or of 24
 * with masks; TGA of 1 bit, or of 16 over white). */
int ce_image_load(ce_image *out, const char *path, ce_alpha alpha, ce_error *err);

/* The same of a file inside a file (a member of a tar): `size` bytes from `offset` on, and
 * never more of it. Messages begin with ce_image_part_name. */
int ce_image_load_part(ce_image *out, const char *path, uint64_t offset, uint64_t size,
                       ce_alpha alpha, ce_error *err);

/* The first half of these two: the encoded bytes, malloc'd, for ce_image_decode. */
int ce_image_read(void **data, size_t *size, const char *path, ce_error *err);
int ce_image_read_part(void **data, const char *path, uint64_t offset, uint64_t size,
                       ce_error *err);

/* "PATH (SIZE bytes at OFFSET)", cut to `room`. */
void ce_image_part_name(char *out, size_t room, const char *path, uint64_t offset,
                        uint64_t size);

/* The same from memory; `name` stands for the path in messages. */
int ce_image_decode(ce_image *out, const void *data, size_t size, const char *name,
                    ce_alpha alpha, ce_error *err);

/* Copies raw pixels: `channels` 1 (grey, repeated to RGB) or 3. */
int ce_image_from_pixels(ce_image *out, const uint8_t *pixels, int width, int height,
                         int channels, ce_error *err);

/* Frees the pixels and empties `image`; NULL and an empty image are fine. */
void ce_image_free(ce_image *image);

/* One line that names the decoders and their versions, for --version and run.json. */
const char *ce_image_decoders(void);

#endif

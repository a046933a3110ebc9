#include "image.h"

#include "fs.h"
#include "image_decoders.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <webp/decode.h>

/* The largest file that is read into memory. */
#define MAX_FILE ((size_t)1 << 30)

int ce_image_begin(ce_image *out, uint64_t width, uint64_t height, const char *name,
                   ce_error *err) {
    if (width == 0 || height == 0)
        return ce_fail(err, CE_EFORMAT, "%s: a picture of %llux%llu pixels", name,
                       (unsigned long long)width, (unsigned long long)height);
    if (width > INT_MAX || height > INT_MAX || width > CE_IMAGE_MAX_PIXELS / height)
        return ce_fail(
            err, CE_EFORMAT, "%s: %llux%llu pixels are more than the limit of %d", name,
            (unsigned long long)width, (unsigned long long)height, CE_IMAGE_MAX_PIXELS);
    out->pixels = malloc((size_t)(width * height) * 3);
    if (!out->pixels)
        return ce_fail(err, CE_ENOMEM, "%s: no memory for %llux%llu pixels", name,
                       (unsigned long long)width, (unsigned long long)height);
    out->width = (int)width;
    out->height = (int)height;
    return 0;
}

/* Pillow's alpha_composite over opaque white (src/libImaging/AlphaComposite.c): for this
 * background its fixed-point arithmetic is exact rounding, for every colour and alpha. */
static uint8_t over_white(uint32_t colour, uint32_t alpha) {
    return (uint8_t)((colour * alpha + 255 * (255 - alpha) + 127) / 255);
}

void ce_put_rgba(uint8_t *rgb, const uint8_t *rgba, ce_alpha alpha) {
    for (int c = 0; c < 3; c++)
        rgb[c] = alpha == CE_ALPHA_WHITE ? over_white(rgba[c], rgba[3]) : rgba[c];
}

typedef int (*decoder)(ce_image *out, const ce_source *src, ce_error *err);

typedef struct signature {
    size_t offset, size;
    const char *bytes;
    const char *kind; /* for messages */
    decoder decode;   /* NULL: known, and not decoded here */
} signature;

static const signature signatures[] = {
    {0, 8, "\x89PNG\r\n\x1a\n", "a PNG", ce_decode_png},
    {0, 3, "\xff\xd8\xff", "a JPEG", ce_decode_jpeg},
    {0, 6, "GIF87a", "a GIF", ce_decode_gif},
    {0, 6, "GIF89a", "a GIF", ce_decode_gif},
    {8, 4, "WEBP", "a WebP", ce_decode_webp}, /* behind "RIFF" and a size */
    {0, 2, "BM", "a BMP", ce_decode_bmp},
    {0, 2, "P1", "a PBM", ce_decode_pnm},
    {0, 2, "P2", "a PGM", ce_decode_pnm},
    {0, 2, "P3", "a PPM", ce_decode_pnm},
    {0, 2, "P4", "a PBM", ce_decode_pnm},
    {0, 2, "P5", "a PGM", ce_decode_pnm},
    {0, 2, "P6", "a PPM", ce_decode_pnm},
    {0, 2, "Pf", "a PFM", NULL},
    {0, 2, "PF", "a PFM", NULL},
    {0, 3, "P7\n", "a PAM", NULL},
    {0, 4, "II*\0", "a TIFF", NULL},
    {0, 4, "MM\0*", "a TIFF", NULL},
    {0, 4, "II+\0", "a BigTIFF", NULL},
    {0, 4, "MM\0+", "a BigTIFF", NULL},
    {4, 8, "ftypavif", "an AVIF", NULL},
    {4, 8, "ftypavis", "an AVIF", NULL},
    {4, 7, "ftyphei", "a HEIC", NULL},
    {4, 7, "ftyphev", "a HEIC", NULL},
    {4, 8, "ftypmif1", "a HEIF", NULL},
    {4, 8, "ftypmsf1", "a HEIF", NULL},
    {0, 4, "8BPS", "a Photoshop", NULL},
    {0, 4, "\0\0\1\0", "an icon (ICO)", NULL},
    {0, 8, "\0\0\0\x0cjP  ", "a JPEG 2000", NULL},
    {0, 4, "\xff\x4f\xff\x51", "a JPEG 2000", NULL},
    {0, 8, "\0\0\0\x0cJXL ", "a JPEG XL", NULL},
    {0, 2, "\xff\x0a", "a JPEG XL", NULL},
    {0, 4, "<svg", "an SVG", NULL},
    {0, 5, "%PDF-", "a PDF", NULL},
    {0, 4, "\x76\x2f\x31\x01", "an OpenEXR", NULL},
    {0, 4, "DDS ", "a DDS", NULL},
    {0, 4, "qoif", "a QOI", NULL},
};

static bool has_signature(const signature *s, const ce_source *src) {
    return src->size >= s->offset + s->size &&
           memcmp(src->data + s->offset, s->bytes, s->size) == 0;
}

/* An SVG may open with an XML declaration and comments: any "<svg" in the first KiB. */
static bool is_xml_svg(const ce_source *src) {
    size_t size = src->size < 1024 ? src->size : 1024;
    return size > 5 && memcmp(src->data, "<?xml", 5) == 0 &&
           memmem(src->data, size, "<svg", 4) != NULL;
}

static int unsupported(const char *kind, const ce_source *src, ce_error *err) {
    return ce_fail(err, CE_EUNSUPPORTED,
                   "%s: %s picture, which is not decoded here (PNG, JPEG, WebP, GIF, BMP, "
                   "PNM and TGA are)",
                   src->name, kind);
}

static int decode(ce_image *out, const ce_source *src, ce_error *err) {
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
        if (has_signature(&signatures[i], src))
            return signatures[i].decode ? signatures[i].decode(out, src, err)
                                        : unsupported(signatures[i].kind, src, err);
    if (is_xml_svg(src))
        return unsupported("an SVG", src, err);
    if (ce_is_tga(src))
        return ce_decode_tga(out, src, err);
    return ce_fail(err, CE_EFORMAT, "%s: not a picture (no known format)", src->name);
}

int ce_image_decode(ce_image *out, const void *data, size_t size, const char *name,
                    ce_alpha alpha, ce_error *err) {
    *out = (ce_image){0};
    if (size == 0)
        return ce_fail(err, CE_EFORMAT, "%s: empty file", name);
    ce_source src = {data, size, name, alpha};
    int rc = decode(out, &src, err);
    if (rc < 0)
        ce_image_free(out);
    return rc;
}

int ce_image_read(void **data, size_t *size, const char *path, ce_error *err) {
    char *bytes = NULL;
    int rc = ce_file_read(&bytes, size, path, MAX_FILE, err);
    *data = bytes;
    return rc;
}

int ce_image_load(ce_image *out, const char *path, ce_alpha alpha, ce_error *err) {
    *out = (ce_image){0};
    void *data;
    size_t size = 0;
    int rc = ce_image_read(&data, &size, path, err);
    if (rc == 0)
        rc = ce_image_decode(out, data, size, path, alpha, err);
    free(data);
    return rc;
}

void ce_image_part_name(char *out, size_t room, const char *path, uint64_t offset,
                        uint64_t size) {
    snprintf(out, room, "%s (%ju bytes at %ju)", path, (uintmax_t)size, (uintmax_t)offset);
}

/* What does not lie in the file is refused before memory is taken for it. */
int ce_image_read_part(void **data, const char *path, uint64_t offset, uint64_t size,
                       ce_error *err) {
    char name[sizeof err->message];
    int fd;
    uint64_t end;
    *data = NULL;
    int rc = ce_file_open(&fd, &end, path, err);
    if (rc < 0)
        return rc;
    ce_image_part_name(name, sizeof name, path, offset, size);
    if (size > end || offset > end - size)
        rc = ce_fail(err, CE_EFORMAT, "%s: the file ends at %ju", name, (uintmax_t)end);
    else if (size > MAX_FILE)
        rc = ce_fail(err, CE_EFORMAT, "%s: too large: %zu are allowed", name, MAX_FILE);
    else if (!(*data = malloc((size_t)size + 1)))
        rc = ce_fail(err, CE_ENOMEM, "%s: no memory", name);
    else
        rc = ce_file_read_at(*data, (size_t)size, fd, offset, path, err);
    close(fd);
    return rc;
}

int ce_image_load_part(ce_image *out, const char *path, uint64_t offset, uint64_t size,
                       ce_alpha alpha, ce_error *err) {
    char name[sizeof err->message];
    void *data;
    *out = (ce_image){0};
    int rc = ce_image_read_part(&data, path, offset, size, err);
    ce_image_part_name(name, sizeof name, path, offset, size);
    if (rc == 0)
        rc = ce_image_decode(out, data, (size_t)size, name, alpha, err);
    free(data);
    return rc;
}

int ce_image_from_pixels(ce_image *out, const uint8_t *pixels, int width, int height,
                         int channels, ce_error *err) {
    *out = (ce_image){0};
    if (width < 1 || height < 1 || (channels != 1 && channels != 3))
        return ce_fail(err, CE_EINVAL, "pixels of %dx%d with %d channels", width, height,
                       channels);
    int rc = ce_image_begin(out, (uint64_t)width, (uint64_t)height, "pixels", err);
    if (rc < 0)
        return rc;
    size_t count = (size_t)width * (size_t)height;
    if (channels == 3)
        memcpy(out->pixels, pixels, count * 3);
    else
        for (size_t i = 0; i < count; i++)
            memset(out->pixels + 3 * i, pixels[i], 3);
    return 0;
}

void ce_image_free(ce_image *image) {
    if (!image)
        return;
    free(image->pixels);
    *image = (ce_image){0};
}

static char decoders[160];

static void name_decoders(void) {
    int webp = WebPGetDecoderVersion(); /* 0xMMmmrr */
    snprintf(decoders, sizeof decoders,
             "libpng %s, libjpeg-turbo %s, libwebp %d.%d.%d, giflib %s, stb_image %s",
             ce_png_version(), ce_jpeg_version(), webp >> 16 & 255, webp >> 8 & 255,
             webp & 255, ce_gif_version(), ce_stb_version());
}

const char *ce_image_decoders(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, name_decoders);
    return decoders;
}

/* PNG through libpng, as strict and as lax as Pillow (PngImagePlugin.py): the checksums of
 * all chunks before the first IDAT must hold, those of IDAT are not looked at, and what
 * follows the last row is never read. */
#include "image_decoders.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Deflate cannot do better: zlib's technical notes, "Maximum Compression Factor". */
#define MAX_DEFLATE_RATIO 1032

const char *ce_png_version(void) {
    return PNG_LIBPNG_VER_STRING;
}

typedef struct reader {
    png_structp png;
    png_infop info;
    size_t at;     /* how far libpng has read */
    uint8_t *rows; /* one row, or (interlaced) all */
    ce_palette palette;
    bool has_key; /* a colour that is to be transparent */
    uint8_t key[3];
    ce_image *out;
    const ce_source *src;
    ce_error *err;
    int code;
} reader;

/* The chunks up to the first IDAT: whole, with right checksums, a header first. */
static int check_head(const ce_source *src, ce_error *err) {
    if (src->size < 33)
        return ce_fail(err, CE_EFORMAT, "%s: truncated PNG (%zu bytes)", src->name,
                       src->size);
    if (ce_be32(src->data + 8) != 13 || memcmp(src->data + 12, "IHDR", 4) != 0)
        return ce_fail(err, CE_EFORMAT, "%s: broken PNG (no header)", src->name);
    for (size_t at = 8;;) {
        if (src->size - at < 12)
            return ce_fail(err, CE_EFORMAT, "%s: truncated PNG (no picture data)",
                           src->name);
        const uint8_t *chunk = src->data + at;
        size_t size = ce_be32(chunk);
        for (int i = 4; i < 8; i++)
            if (chunk[i] < 'A' || chunk[i] > 'z')
                return ce_fail(err, CE_EFORMAT, "%s: broken PNG (chunk without a name)",
                               src->name);
        if (memcmp(chunk + 4, "IDAT", 4) == 0)
            return 0;
        if (memcmp(chunk + 4, "IEND", 4) == 0)
            return ce_fail(err, CE_EFORMAT, "%s: broken PNG (no picture data)", src->name);
        if (size > src->size - at - 12)
            return ce_fail(err, CE_EFORMAT, "%s: truncated PNG (in chunk %.4s)", src->name,
                           (const char *)chunk + 4);
        if (at == 8 && (ce_be32(chunk + 8) == 0 || ce_be32(chunk + 12) == 0))
            return ce_fail(err, CE_EFORMAT, "%s: a picture of %ux%u pixels", src->name,
                           ce_be32(chunk + 8), ce_be32(chunk + 12));
        if (crc32(0, chunk + 4, (uInt)size + 4) != ce_be32(chunk + 8 + size))
            return ce_fail(err, CE_EFORMAT, "%s: broken PNG (wrong checksum of chunk %.4s)",
                           src->name, (const char *)chunk + 4);
        at += 12 + size;
    }
}

static void read_bytes(png_structp png, png_bytep to, size_t size) {
    reader *r = png_get_io_ptr(png);
    if (size > r->src->size - r->at) {
        r->at = r->src->size;
        png_error(png, "truncated");
    }
    memcpy(to, r->src->data + r->at, size);
    r->at += size;
}

static _Noreturn void fail_exit(png_structp png, png_const_charp text) {
    reader *r = png_get_error_ptr(png);
    bool truncated = r->at == r->src->size;
    r->code = truncated
                  ? ce_fail(r->err, CE_EFORMAT, "%s: truncated PNG (%zu bytes)",
                            r->src->name, r->src->size)
                  : ce_fail(r->err, CE_EFORMAT, "%s: broken PNG (%s)", r->src->name, text);
    png_longjmp(png, 1);
}

static void no_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

/* Transparency as transformers' convert_to_rgb has it from Pillow's convert("RGBA"): the
 * low byte of the tRNS sample (1 bit: 0 or 255) against the picture's 8-bit colours. */
static void read_transparency(reader *r, int colour, int depth) {
    png_bytep alpha = NULL;
    png_color_16p key = NULL;
    int count = 0;
    if (!png_get_tRNS(r->png, r->info, &alpha, &count, &key))
        return;
    if (colour == PNG_COLOR_TYPE_PALETTE) {
        for (int i = 0; i < count && i < 256; i++)
            r->palette.rgba[i][3] = alpha[i];
    } else if (colour == PNG_COLOR_TYPE_RGB && key) {
        r->has_key = true;
        r->key[0] = (uint8_t)key->red;
        r->key[1] = (uint8_t)key->green;
        r->key[2] = (uint8_t)key->blue;
    } else if (colour == PNG_COLOR_TYPE_GRAY && key) {
        r->has_key = true;
        memset(r->key, depth > 1 ? key->gray & 255 : key->gray ? 255 : 0, 3);
    }
}

static void read_palette(reader *r) {
    png_colorp colours = NULL;
    int count = 0;
    png_get_PLTE(r->png, r->info, &colours, &count);
    for (int i = 0; i < 256; i++) {
        bool known = i < count;
        r->palette.rgba[i][0] = known ? colours[i].red : 0;
        r->palette.rgba[i][1] = known ? colours[i].green : 0;
        r->palette.rgba[i][2] = known ? colours[i].blue : 0;
        r->palette.rgba[i][3] = 255;
    }
}

/* `channels` samples a pixel, of 8 bits, but for grey of 16, which Pillow clips. */
static void convert_row(const reader *r, uint8_t *rgb, const uint8_t *row, int colour,
                        int depth) {
    size_t width = (size_t)r->out->width;
    ce_alpha alpha = r->src->alpha;
    if (colour == PNG_COLOR_TYPE_RGB) {
        memcpy(rgb, row, width * 3);
    } else if (colour == PNG_COLOR_TYPE_PALETTE) {
        for (size_t x = 0; x < width; x++)
            ce_put_rgba(rgb + 3 * x, r->palette.rgba[row[x]], alpha);
    } else if (colour == PNG_COLOR_TYPE_RGB_ALPHA) {
        for (size_t x = 0; x < width; x++)
            ce_put_rgba(rgb + 3 * x, row + 4 * x, alpha);
    } else if (colour == PNG_COLOR_TYPE_GRAY_ALPHA) {
        for (size_t x = 0; x < width; x++) {
            uint8_t g = row[2 * x];
            ce_put_rgba(rgb + 3 * x, (uint8_t[4]){g, g, g, row[2 * x + 1]}, alpha);
        }
    } else if (depth == 16) {
        for (size_t x = 0; x < width; x++)
            memset(rgb + 3 * x, row[2 * x] ? 255 : row[2 * x + 1], 3);
    } else {
        for (size_t x = 0; x < width; x++)
            memset(rgb + 3 * x, row[x], 3);
    }
    for (size_t x = 0; r->has_key && alpha == CE_ALPHA_WHITE && x < width; x++)
        if (memcmp(rgb + 3 * x, r->key, 3) == 0)
            memset(rgb + 3 * x, 255, 3);
}

/* Refuses what the compressed bytes cannot hold, before any memory is touched. */
static int begin(reader *r, size_t width, size_t height, size_t bits) {
    int rc = ce_image_begin(r->out, width, height, r->src->name, r->err);
    if (rc == 0 && (width * bits + 7) / 8 * height / MAX_DEFLATE_RATIO > r->src->size)
        rc = ce_fail(r->err, CE_EFORMAT,
                     "%s: truncated PNG (%zu bytes cannot hold %zux%zu pixels)",
                     r->src->name, r->src->size, width, height);
    return rc;
}

static void read_rows(reader *r, int colour, int depth) {
    size_t height = (size_t)r->out->height, width = (size_t)r->out->width;
    size_t stride = png_get_rowbytes(r->png, r->info);
    int passes = png_set_interlace_handling(r->png);
    r->rows = calloc(passes > 1 ? height : 1, stride);
    if (!r->rows) {
        r->code = ce_fail(r->err, CE_ENOMEM, "%s: no memory", r->src->name);
        return;
    }
    size_t step = passes > 1 ? stride : 0;
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++) {
            png_read_row(r->png, r->rows + y * step, NULL);
            if (pass == passes - 1)
                convert_row(r, r->out->pixels + y * width * 3, r->rows + y * step, colour,
                            depth);
        }
}

static void read_picture(reader *r) {
    png_set_crc_action(r->png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_read_info(r->png, r->info);
    int colour = png_get_color_type(r->png, r->info);
    int depth = png_get_bit_depth(r->png, r->info);
    r->code = begin(r, png_get_image_width(r->png, r->info),
                    png_get_image_height(r->png, r->info),
                    (size_t)depth * png_get_channels(r->png, r->info));
    if (r->code < 0)
        return;
    read_palette(r);
    read_transparency(r, colour, depth);
    if (colour == PNG_COLOR_TYPE_GRAY && depth < 8)
        png_set_expand_gray_1_2_4_to_8(r->png);
    if (colour == PNG_COLOR_TYPE_PALETTE)
        png_set_packing(r->png);
    if (colour != PNG_COLOR_TYPE_GRAY)
        png_set_strip_16(r->png);       /* the high bytes, as Pillow's RGB;16B */
    png_set_interlace_handling(r->png); /* before the update, which counts on it */
    png_read_update_info(r->png, r->info);
    read_rows(r, colour, depth);
}

/* setjmp has a function of its own, without locals that change. */
static void read_all(reader *r) {
    r->info = png_create_info_struct(r->png);
    if (!r->info)
        r->code = ce_fail(r->err, CE_ENOMEM, "%s: no memory", r->src->name);
    else if (setjmp(png_jmpbuf(r->png)) == 0)
        read_picture(r);
}

int ce_decode_png(ce_image *out, const ce_source *src, ce_error *err) {
    int rc = check_head(src, err);
    if (rc < 0)
        return rc;
    reader r = {.out = out, .src = src, .err = err};
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, fail_exit, no_warning);
    if (!r.png)
        return ce_fail(err, CE_ENOMEM, "%s: no memory", src->name);
    png_set_read_fn(r.png, &r, read_bytes);
    read_all(&r);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.rows);
    return r.code;
}

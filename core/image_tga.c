/* Truevision TGA, read here: grey, grey with alpha, palette, 15/16, 24 and 32 bits, plain
 * or run-length coded, from any corner. Which bytes count as alpha follows Pillow
 * (TgaImagePlugin.py). Layout: Truevision TGA File Format Specification 2.0. */
#include "image_decoders.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 18, MAPPED = 1, COLOUR = 2, GREY = 3, RUNS = 8 };

typedef struct reader {
    const ce_source *src;
    int kind; /* MAPPED, COLOUR, GREY */
    unsigned bits;
    size_t width, height;
    size_t line; /* bytes of a row */
    bool opaque; /* the extension area says that the alpha bits mean nothing */
    ce_palette palette;
} reader;

bool ce_is_tga(const ce_source *src) {
    const uint8_t *h = src->data;
    if (src->size < HEADER || h[1] > 1 || (h[17] & 0xc0) || !ce_le16(h + 12) ||
        !ce_le16(h + 14))
        return false;
    switch (h[2] & ~RUNS) {
    case MAPPED:
        return h[1] == 1 && h[16] == 8;
    case COLOUR:
        return h[16] == 16 || h[16] == 24 || h[16] == 32;
    case GREY:
        return h[16] == 8 || h[16] == 16 || (h[16] == 1 && h[2] == GREY);
    default:
        return false;
    }
}

static int truncated(const reader *r, ce_error *err) {
    return ce_fail(err, CE_EFORMAT, "%s: truncated TGA (%zu bytes)", r->src->name,
                   r->src->size);
}

/* 5 bits a channel and one for alpha, which is clear where the bit is set. */
static void from_16(uint8_t *rgba, const uint8_t *p) {
    uint32_t v = ce_le16(p);
    rgba[0] = (uint8_t)((v >> 10 & 31) * 255 / 31);
    rgba[1] = (uint8_t)((v >> 5 & 31) * 255 / 31);
    rgba[2] = (uint8_t)((v & 31) * 255 / 31);
    rgba[3] = v >> 15 ? 0 : 255;
}

/* `bytes` 2, 3 (BGR) or 4 (BGRA). */
static void to_rgba(uint8_t *rgba, const uint8_t *p, size_t bytes) {
    if (bytes == 2) {
        from_16(rgba, p);
        return;
    }
    rgba[0] = p[2], rgba[1] = p[1], rgba[2] = p[0];
    rgba[3] = bytes == 4 ? p[3] : 255;
}

/* Reads the colour map, if there is one, and moves *at behind it. */
static int read_map(reader *r, size_t *at, ce_error *err) {
    const uint8_t *h = r->src->data;
    size_t first = ce_le16(h + 3), count = ce_le16(h + 5), each = ((size_t)h[7] + 7) / 8;
    memset(&r->palette, 0, sizeof r->palette);
    if (h[1] == 0)
        return 0;
    if (each < 2 || each > 4)
        return ce_fail(err, CE_EUNSUPPORTED, "%s: a TGA with a palette of %d bits",
                       r->src->name, h[7]);
    if (*at > r->src->size || (r->src->size - *at) / each < count)
        return truncated(r, err);
    for (size_t i = 0; i < count && first + i < 256; i++)
        to_rgba(r->palette.rgba[first + i], h + *at + each * i, each);
    *at += each * count;
    return 0;
}

/* A file of version 2 ends in a footer that leads to an extension area, whose byte 494
 * says what the alpha bits are: 0, nothing. */
static bool alpha_is_void(const ce_source *src) {
    static const char mark[] = "TRUEVISION-XFILE."; /* and its NUL */
    if (src->size < 26 || memcmp(src->data + src->size - 18, mark, sizeof mark) != 0)
        return false;
    uint32_t area = ce_le32(src->data + src->size - 26);
    return area > 0 && area < src->size && src->size - area > 494 &&
           src->data[area + 494] == 0;
}

/* Run-length packets from data[at] into to[size]; false where the data end. */
static bool expand_runs(const reader *r, uint8_t *to, size_t size, size_t at) {
    const uint8_t *data = r->src->data;
    size_t end = r->src->size, each = r->bits / 8, n = 0;
    while (n < size) {
        if (at >= end)
            return false;
        bool run = data[at] & 0x80;
        size_t bytes = ((size_t)(data[at] & 0x7f) + 1) * each;
        at++;
        if (end - at < (run ? each : bytes))
            return false;
        for (size_t i = 0; i < bytes && n < size; i++)
            to[n++] = data[at + (run ? i % each : i)];
        at += run ? each : bytes;
    }
    return true;
}

static void put_pixel(const reader *r, uint8_t *rgb, const uint8_t *row, size_t x) {
    uint8_t rgba[4];
    size_t each = r->bits / 8;
    if (r->kind == MAPPED) {
        memcpy(rgb, r->palette.rgba[row[x]], 3);
    } else if (r->kind == COLOUR) {
        to_rgba(rgba, row + each * x, each);
        if (r->opaque)
            rgba[3] = 255;
        ce_put_rgba(rgb, rgba, r->src->alpha);
    } else if (r->bits == 1) {
        memset(rgb, row[x / 8] >> (7 - x % 8) & 1 ? 255 : 0, 3);
    } else {
        memset(rgba, row[each * x], 3);
        rgba[3] = each == 2 ? row[2 * x + 1] : 255;
        ce_put_rgba(rgb, rgba, r->src->alpha);
    }
}

static void put_rows(const reader *r, ce_image *out, const uint8_t *rows) {
    bool from_right = r->src->data[17] & 0x10, from_top = r->src->data[17] & 0x20;
    for (size_t y = 0; y < r->height; y++) {
        uint8_t *line = out->pixels + 3 * r->width * (from_top ? y : r->height - 1 - y);
        for (size_t x = 0; x < r->width; x++)
            put_pixel(r, line + 3 * (from_right ? r->width - 1 - x : x), rows + y * r->line,
                      x);
    }
}

static int read_runs(const reader *r, ce_image *out, size_t at, ce_error *err) {
    size_t size = r->line * r->height;
    if (at > r->src->size || (r->src->size - at) * 128 < r->width * r->height)
        return truncated(r, err); /* a packet is at most 128 pixels */
    uint8_t *rows = malloc(size);
    if (!rows)
        return ce_fail(err, CE_ENOMEM, "%s: no memory", r->src->name);
    int rc = expand_runs(r, rows, size, at) ? 0 : truncated(r, err);
    if (rc == 0)
        put_rows(r, out, rows);
    free(rows);
    return rc;
}

int ce_decode_tga(ce_image *out, const ce_source *src, ce_error *err) {
    const uint8_t *h = src->data;
    reader r = {.src = src,
                .kind = h[2] & ~RUNS,
                .bits = h[16],
                .width = ce_le16(h + 12),
                .height = ce_le16(h + 14),
                .opaque = alpha_is_void(src)};
    r.line = (r.width * r.bits + 7) / 8;
    size_t at = HEADER + (size_t)h[0];
    int rc = read_map(&r, &at, err);
    if (rc == 0)
        rc = ce_image_begin(out, r.width, r.height, src->name, err);
    if (rc < 0)
        return rc;
    if (h[2] & RUNS)
        return read_runs(&r, out, at, err);
    if (at > src->size || src->size - at < r.line * r.height)
        return truncated(&r, err);
    put_rows(&r, out, src->data + at);
    return 0;
}

/* Windows and OS/2 bitmaps, read here: headers of 12 to 124 bytes; 1, 4, 8 bits with a
 * palette, plain or run-length coded; 16, 24 and 32 bits, plain or with bit masks. What is
 * alpha and what is padding follows Pillow (BmpImagePlugin.py): a fourth byte counts only
 * where a mask declares it. */
#include "image_decoders.h"

#include <stdlib.h>
#include <string.h>

enum { RAW = 0, RLE8 = 1, RLE4 = 2, BITFIELDS = 3 };

typedef struct reader {
    const ce_source *src;
    uint32_t header; /* its size */
    uint32_t width, height, bits, compression, colours;
    bool top_down;
    size_t pixels; /* offset of the picture data */
    ce_palette palette;
    int byte[4];   /* 32 bits: where R, G, B and A stand; A may be -1 */
    bool bits_565; /* 16 bits: 5-6-5, else 5-5-5 */
} reader;

static int unsupported(const reader *r, const char *what, uint32_t value, ce_error *err) {
    return ce_fail(err, CE_EUNSUPPORTED, "%s: a BMP with %s %u, which is not decoded here",
                   r->src->name, what, value);
}

static int truncated(const reader *r, ce_error *err) {
    return ce_fail(err, CE_EFORMAT, "%s: truncated BMP (%zu bytes)", r->src->name,
                   r->src->size);
}

static int read_header(reader *r, ce_error *err) {
    const uint8_t *p = r->src->data + 14;
    if (r->src->size < 18 || r->src->size < 14 + (size_t)ce_le32(p))
        return truncated(r, err);
    r->header = ce_le32(p);
    if (r->header == 12) {
        r->width = ce_le16(p + 4);
        r->height = ce_le16(p + 6);
        r->bits = ce_le16(p + 10);
        return 0;
    }
    if (r->header != 40 && r->header != 52 && r->header != 56 && r->header != 64 &&
        r->header != 108 && r->header != 124)
        return unsupported(r, "a header of size", r->header, err);
    r->width = ce_le32(p + 4);
    r->height = ce_le32(p + 8);
    r->top_down = p[11] == 0xff;
    if (r->top_down)
        r->height = 0 - r->height;
    r->bits = ce_le16(p + 14);
    r->compression = ce_le32(p + 16);
    r->colours = ce_le32(p + 32);
    return 0;
}

/* Which byte of four a mask selects; -1: none, -2: no whole byte. */
static int byte_of(uint32_t mask) {
    switch (mask) {
    case 0:
        return -1;
    case 0xff:
        return 0;
    case 0xff00:
        return 1;
    case 0xff0000:
        return 2;
    case 0xff000000:
        return 3;
    default:
        return -2;
    }
}

static int read_masks(reader *r, ce_error *err) {
    /* right behind a header of 40 bytes, and at the same place in a longer one */
    const uint8_t *p = r->src->data + 54;
    uint32_t mask[4] = {0};
    if (r->src->size < 70)
        return truncated(r, err);
    for (int i = 0; i < (r->header >= 56 ? 4 : 3); i++)
        mask[i] = ce_le32(p + 4 * i);
    if (r->bits == 16) {
        r->bits_565 = mask[0] == 0xf800 && mask[1] == 0x7e0 && mask[2] == 0x1f;
        bool bits_555 = mask[0] == 0x7c00 && mask[1] == 0x3e0 && mask[2] == 0x1f;
        return r->bits_565 || bits_555 ? 0 : unsupported(r, "the red mask", mask[0], err);
    }
    if (!mask[0] && !mask[1] && !mask[2] && !mask[3])
        mask[0] = 0xff0000, mask[1] = 0xff00, mask[2] = 0xff, mask[3] = 0xff000000;
    for (int i = 0; i < 4; i++) {
        r->byte[i] = byte_of(mask[i]);
        if (r->byte[i] < (i < 3 ? 0 : -1))
            return unsupported(r, "the colour mask", mask[i], err);
    }
    if (r->bits == 24 && (r->byte[0] != 2 || r->byte[1] != 1 || r->byte[2] != 0))
        return unsupported(r, "24 bits and the red mask", mask[0], err);
    return 0;
}

static int check_layout(reader *r, ce_error *err) {
    static const int bgrx[4] = {2, 1, 0, -1};
    memcpy(r->byte, bgrx, sizeof bgrx);
    bool mapped = r->bits == 1 || r->bits == 4 || r->bits == 8;
    if (!mapped && r->bits != 16 && r->bits != 24 && r->bits != 32)
        return unsupported(r, "a pixel depth of", r->bits, err);
    if (r->compression == BITFIELDS && !mapped)
        return read_masks(r, err);
    if (r->compression == RAW || (r->compression == RLE8 && r->bits == 8) ||
        (r->compression == RLE4 && r->bits == 4))
        return 0;
    return unsupported(r, "compression", r->compression, err);
}

static int read_palette(reader *r, ce_error *err) {
    size_t each = r->header == 12 ? 3 : 4, at = 14 + (size_t)r->header;
    size_t colours = r->colours ? r->colours : (size_t)1 << r->bits;
    if (colours > 65536)
        return unsupported(r, "a palette of size", r->colours, err);
    if (r->pixels == at || r->pixels == 0)
        r->pixels = at + each * colours;
    for (size_t i = 0; i < 256; i++) {
        bool known = i < colours && at + each * (i + 1) <= r->src->size;
        for (size_t c = 0; c < 3; c++)
            r->palette.rgba[i][c] = known ? r->src->data[at + each * i + 2 - c] : 0;
        r->palette.rgba[i][3] = 255;
    }
    return 0;
}

static void put_pixel(const reader *r, uint8_t *rgb, const uint8_t *row, size_t x) {
    if (r->bits == 32) {
        const uint8_t *p = row + 4 * x;
        uint8_t alpha = r->byte[3] < 0 ? 255 : p[r->byte[3]];
        uint8_t rgba[4] = {p[r->byte[0]], p[r->byte[1]], p[r->byte[2]], alpha};
        ce_put_rgba(rgb, rgba, r->src->alpha);
    } else if (r->bits == 24) {
        for (size_t c = 0; c < 3; c++)
            rgb[c] = row[3 * x + 2 - c];
    } else if (r->bits == 16) {
        uint32_t v = ce_le16(row + 2 * x);
        rgb[0] = (uint8_t)((v >> (r->bits_565 ? 11 : 10) & 31) * 255 / 31);
        rgb[1] =
            (uint8_t)(r->bits_565 ? (v >> 5 & 63) * 255 / 63 : (v >> 5 & 31) * 255 / 31);
        rgb[2] = (uint8_t)((v & 31) * 255 / 31);
    } else {
        size_t bit = x * r->bits;
        unsigned shift = 8 - r->bits - (unsigned)(bit % 8);
        unsigned index = (unsigned)row[bit / 8] >> shift & ((1u << r->bits) - 1);
        memcpy(rgb, r->palette.rgba[index], 3);
    }
}

/* `rows`: the picture as it is stored, `stride` bytes apart. */
static void put_rows(const reader *r, ce_image *out, const uint8_t *rows, size_t stride) {
    for (size_t y = 0; y < r->height; y++) {
        size_t to = r->top_down ? y : r->height - 1 - y;
        for (size_t x = 0; x < r->width; x++)
            put_pixel(r, out->pixels + 3 * (to * r->width + x), rows + y * stride, x);
    }
}

static int read_raw(const reader *r, ce_image *out, ce_error *err) {
    /* sides and pixels are bounded by ce_image_begin: nothing overflows */
    size_t line = (r->width * (size_t)r->bits + 7) / 8, stride = (line + 3) / 4 * 4;
    if (r->pixels > r->src->size ||
        r->src->size - r->pixels < (r->height - 1) * stride + line)
        return truncated(r, err);
    put_rows(r, out, r->src->data + r->pixels, stride);
    return 0;
}

/* One literal run of `n` pixels at data[at]; returns the bytes taken, 0 where they end. */
static size_t put_literals(const reader *r, uint8_t *to, size_t n, size_t at) {
    bool four = r->compression == RLE4;
    size_t bytes = four ? (n + 1) / 2 : n;
    const uint8_t *from = r->src->data + at;
    if (r->src->size - at < bytes)
        return 0;
    for (size_t i = 0; i < n; i++)
        to[i] = !four ? from[i] : i % 2 ? from[i / 2] & 15 : from[i / 2] >> 4;
    return bytes;
}

/* Fills to[total] with palette indices; returns how many the data hold. Which pixels a
 * malformed run touches is Pillow's choice (BmpRleDecoder). */
static size_t expand_runs(const reader *r, uint8_t *to, size_t total) {
    const uint8_t *data = r->src->data;
    size_t at = r->pixels, size = r->src->size, n = 0, x = 0;
    while (n < total && at < size && size - at >= 2) {
        size_t run = data[at], code = data[at + 1], left = total - n;
        at += 2;
        if (run) {
            size_t room = x < r->width ? r->width - x : 0;
            run = run < room ? run : room;
            run = run < left ? run : left;
            for (size_t i = 0; i < run; i++)
                to[n + i] = (uint8_t)(r->compression == RLE8 ? code
                                      : i % 2                ? code & 15
                                                             : code >> 4);
            n += run, x += run;
        } else if (code == 0) { /* end of line */
            n = (n + r->width - 1) / r->width * r->width;
            x = 0;
        } else if (code == 1) { /* end of bitmap */
            break;
        } else if (code == 2) { /* skip right and up */
            if (size - at < 2)
                break;
            size_t skip = data[at] + (size_t)data[at + 1] * r->width;
            at += 2;
            n += skip < left ? skip : left;
            x = n % r->width;
        } else {
            size_t literals = code < left ? code : left;
            size_t bytes = put_literals(r, to + n, literals, at);
            if (bytes == 0)
                break;
            at += bytes;
            at += at % 2; /* runs of literals end on an even offset */
            n += literals, x += code;
        }
    }
    return n;
}

static int read_runs(reader *r, ce_image *out, ce_error *err) {
    size_t total = (size_t)r->width * r->height;
    uint8_t *indices = calloc(total, 1);
    if (!indices)
        return ce_fail(err, CE_ENOMEM, "%s: no memory", r->src->name);
    int rc = expand_runs(r, indices, total) < total ? truncated(r, err) : 0;
    r->bits = 8;
    if (rc == 0)
        put_rows(r, out, indices, r->width);
    free(indices);
    return rc;
}

int ce_decode_bmp(ce_image *out, const ce_source *src, ce_error *err) {
    reader r = {.src = src};
    int rc = read_header(&r, err);
    if (rc == 0)
        rc = check_layout(&r, err);
    if (rc < 0)
        return rc;
    r.pixels = ce_le32(src->data + 10);
    if (r.bits <= 8)
        rc = read_palette(&r, err);
    else if (r.pixels == 0)
        r.pixels = 14 + r.header + (r.compression == BITFIELDS && r.header == 40 ? 12 : 0);
    if (rc == 0)
        rc = ce_image_begin(out, r.width, r.height, src->name, err);
    if (rc < 0)
        return rc;
    return r.compression == RLE8 || r.compression == RLE4 ? read_runs(&r, out, err)
                                                          : read_raw(&r, out, err);
}

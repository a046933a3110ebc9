/* The portable bitmaps, grey maps and pixmaps P1 to P6, read here: a header of numbers and
 * plain rows. Scaling by the maximum is Pillow's (PpmImagePlugin.py): P5 and P2 of more
 * than 8 bits become 16-bit grey, which the conversion to RGB clips at 255; every other
 * sample is round(value / maximum * 255), half to even. */
#include "image_decoders.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const ce_source *src;
    size_t at;
    unsigned maximum;
    uint8_t *table; /* [maximum + 1]: sample -> byte */
} reader;

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next byte outside comments, or -1. A comment runs from '#' to the end of its line,
 * and may stand inside a number. */
static int next_byte(reader *r) {
    const ce_source *s = r->src;
    bool comment = false;
    while (r->at < s->size) {
        uint8_t c = s->data[r->at++];
        if (c == '#')
            comment = true;
        else if (!comment)
            return c;
        else if (c == '\n' || c == '\r')
            comment = false;
    }
    return -1;
}

/* A decimal number of at most ten digits and the one white space behind it. */
static bool read_number(reader *r, uint64_t *out) {
    int c, digits = 0;
    uint64_t value = 0;
    while ((c = next_byte(r)) >= 0) {
        if (is_space((uint8_t)c)) {
            if (digits)
                break;
            continue;
        }
        if (c < '0' || c > '9' || ++digits > 10)
            return false;
        value = value * 10 + (uint64_t)(c - '0');
    }
    *out = value;
    return digits > 0;
}

static int broken(const reader *r, const char *why, ce_error *err) {
    return ce_fail(err, CE_EFORMAT, "%s: broken PNM (%s)", r->src->name, why);
}

static int truncated(const reader *r, ce_error *err) {
    return ce_fail(err, CE_EFORMAT, "%s: truncated PNM (%zu bytes)", r->src->name,
                   r->src->size);
}

static int make_table(reader *r, bool grey, ce_error *err) {
    double top = grey && r->maximum > 255 ? 65535 : 255;
    r->table = malloc((size_t)r->maximum + 1);
    if (!r->table)
        return ce_fail(err, CE_ENOMEM, "%s: no memory", r->src->name);
    for (unsigned v = 0; v <= r->maximum; v++) {
        double scaled = rint((double)v / r->maximum * top);
        r->table[v] = (uint8_t)(scaled < 255 ? scaled : 255);
    }
    return 0;
}

/* P1 and P4: 1 is black. */
static int read_bits(ce_image *out, reader *r, bool plain, ce_error *err) {
    size_t width = (size_t)out->width;
    uint8_t *rgb = out->pixels;
    for (int y = 0; y < out->height; y++) {
        if (!plain && r->src->size - r->at < (width + 7) / 8)
            return truncated(r, err);
        for (size_t x = 0; x < width; x++, rgb += 3) {
            int c;
            if (!plain)
                c = r->src->data[r->at + x / 8] >> (7 - x % 8) & 1;
            else
                do
                    c = next_byte(r);
                while (c >= 0 && is_space((uint8_t)c));
            if (c < 0)
                return truncated(r, err);
            if (plain && c != '0' && c != '1')
                return broken(r, "a bit is neither 0 nor 1", err);
            memset(rgb, c & 1 ? 0 : 255, 3);
        }
        if (!plain)
            r->at += (width + 7) / 8;
    }
    return 0;
}

static int read_plain(uint8_t *to, size_t n, reader *r, ce_error *err) {
    for (size_t i = 0; i < n; i++) {
        uint64_t value;
        if (!read_number(r, &value))
            return r->at == r->src->size ? truncated(r, err)
                                         : broken(r, "a sample is no number", err);
        if (value > r->maximum)
            return broken(r, "a sample above the maximum", err);
        to[i] = r->table[value];
    }
    return 0;
}

static int read_binary(uint8_t *to, size_t n, reader *r, ce_error *err) {
    size_t each = r->maximum > 255 ? 2 : 1;
    if ((r->src->size - r->at) / each < n)
        return truncated(r, err);
    const uint8_t *p = r->src->data + r->at;
    for (size_t i = 0; i < n; i++, p += each) {
        unsigned value = each == 2 ? (unsigned)p[0] << 8 | p[1] : p[0];
        to[i] = r->table[value < r->maximum ? value : r->maximum];
    }
    return 0;
}

/* P2, P3, P5, P6. Grey lands in the last third of the pixels, and spreads from there. */
static int read_samples(ce_image *out, reader *r, char kind, ce_error *err) {
    size_t count = (size_t)out->width * (size_t)out->height;
    bool grey = kind == '2' || kind == '5', plain = kind < '4';
    int rc = make_table(r, grey, err);
    if (rc < 0)
        return rc;
    size_t samples = grey ? count : 3 * count;
    uint8_t *to = grey ? out->pixels + 2 * count : out->pixels;
    rc = plain ? read_plain(to, samples, r, err) : read_binary(to, samples, r, err);
    free(r->table);
    for (size_t i = 0; rc == 0 && grey && i < count; i++)
        memset(out->pixels + 3 * i, to[i], 3);
    return rc;
}

int ce_decode_pnm(ce_image *out, const ce_source *src, ce_error *err) {
    reader r = {.src = src, .at = 2};
    char kind = (char)src->data[1];
    bool bits = kind == '1' || kind == '4';
    uint64_t width, height, maximum = 1;
    if (src->size < 3 || !is_space(src->data[2]))
        return ce_fail(err, CE_EFORMAT, "%s: not a picture (no known format)", src->name);
    if (!read_number(&r, &width) || !read_number(&r, &height) ||
        (!bits && !read_number(&r, &maximum)))
        return broken(&r, "its header holds no numbers", err);
    if (maximum < 1 || maximum > 65535)
        return broken(&r, "a maximum outside 1 to 65535", err);
    r.maximum = (unsigned)maximum;
    int rc = ce_image_begin(out, width, height, src->name, err);
    if (rc < 0)
        return rc;
    return bits ? read_bits(out, &r, kind == '1', err) : read_samples(out, &r, kind, err);
}

/* BMP and TGA, by stb_image. Version 2.27 takes truncated files for whole ones, with
 * uninitialised memory as pixels, reads palette entries that are not there, and misreads
 * palettes of OS/2 and of TGA. So it never sees the file's own header: each format's
 * header is checked here against what there is and rewritten as the plainest one of its
 * kind, with a palette of all 2^bits colours; stb_image reads that, then the rows where
 * they are in the file. What is alpha and what is padding follows Pillow
 * (BmpImagePlugin.py, TgaImagePlugin.py). */
#include "image_decoders.h"

#include <string.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_ONLY_TGA
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS CE_IMAGE_MAX_PIXELS
/* stb_image declares what the macros above leave out; gcc complains at the end of the file,
 * so there is no way to end this behind the include. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>

enum { COLOURS = 256, BMP_HEAD = 14 + 108, TGA_HEAD = 18 };

/* A picture as stb_image gets to see it. */
typedef struct plain {
    const ce_source *src;
    const char *kind;                     /* for messages */
    uint8_t head[BMP_HEAD + 4 * COLOURS]; /* header and palette, written here */
    size_t head_size;
    size_t data;     /* where the rows begin in the file */
    size_t at;       /* bytes of head and rows that are read */
    bool overrun;    /* more were asked for than there are */
    bool opaque;     /* the fourth channel means nothing */
    bool from_right; /* rows run from right to left */
} plain;

static int unsupported(const plain *p, const char *what, uint32_t value, ce_error *err) {
    return ce_fail(err, CE_EUNSUPPORTED, "%s: a %s with %s %u, which is not decoded here",
                   p->src->name, p->kind, what, value);
}

static int truncated(const plain *p, ce_error *err) {
    return ce_fail(err, CE_EFORMAT, "%s: truncated %s (%zu bytes)", p->src->name, p->kind,
                   p->src->size);
}

static void put_le16(uint8_t *to, uint32_t value) {
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static void put_le32(uint8_t *to, uint32_t value) {
    put_le16(to, value);
    put_le16(to + 2, value >> 16);
}

static size_t size_of(const plain *p) {
    return p->head_size + (p->src->size - p->data);
}

/* stb_image asks only when it is out of bytes and needs one more: to have none then is
 * what tells that the file is too short. */
static int read_plain(void *user, char *to, int size) {
    plain *p = user;
    size_t end = size_of(p);
    int n = 0;
    for (; n < size && p->at < end; n++, p->at++)
        to[n] = (char)(p->at < p->head_size ? p->head[p->at]
                                            : p->src->data[p->data + p->at - p->head_size]);
    p->overrun = p->overrun || n == 0;
    return n;
}

/* Called for the padding of rows alone, and behind the last one there may be none. */
static void skip_plain(void *user, int size) {
    plain *p = user;
    size_t left = size_of(p) - p->at;
    p->at += (size_t)size < left ? (size_t)size : left;
}

static int is_at_end(void *user) {
    plain *p = user;
    return p->at == size_of(p);
}

static void put_pixels(ce_image *out, const plain *p, const uint8_t *rgba) {
    ce_alpha alpha = p->opaque ? CE_ALPHA_DROP : p->src->alpha;
    size_t width = (size_t)out->width, height = (size_t)out->height;
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++, rgba += 4) {
            size_t to = y * width + (p->from_right ? width - 1 - x : x);
            ce_put_rgba(out->pixels + 3 * to, rgba, alpha);
        }
}

/* `out` is begun. */
static int decode(ce_image *out, plain *p, ce_error *err) {
    static const stbi_io_callbacks io = {read_plain, skip_plain, is_at_end};
    int width, height, channels, rc = 0;
    uint8_t *rgba = stbi_load_from_callbacks(&io, p, &width, &height, &channels, 4);
    if (!rgba) /* the head is ours: nothing else can be amiss */
        return ce_fail(err, CE_ENOMEM, "%s: no memory (stb_image: %s)", p->src->name,
                       stbi_failure_reason());
    if (p->overrun)
        rc = truncated(p, err);
    else
        put_pixels(out, p, rgba);
    stbi_image_free(rgba);
    return rc;
}

/* Windows and OS/2 bitmaps: headers of 12 to 124 bytes. */
typedef struct bmp {
    uint32_t header; /* its size */
    uint32_t width, height, bits, compression, colours;
    bool top_down;
} bmp;

enum { RAW = 0, RLE8 = 1, RLE4 = 2, BITFIELDS = 3 };

static int read_bmp(bmp *b, const plain *p, ce_error *err) {
    const uint8_t *h = p->src->data + 14;
    if (p->src->size < 18 || p->src->size < 14 + (size_t)ce_le32(h))
        return truncated(p, err);
    b->header = ce_le32(h);
    if (b->header == 12) {
        b->width = ce_le16(h + 4);
        b->height = ce_le16(h + 6);
        b->bits = ce_le16(h + 10);
        return 0;
    }
    if (b->header != 40 && b->header != 52 && b->header != 56 && b->header != 64 &&
        b->header != 108 && b->header != 124)
        return unsupported(p, "a header of size", b->header, err);
    b->width = ce_le32(h + 4);
    b->height = ce_le32(h + 8);
    b->top_down = h[11] == 0xff;
    if (b->top_down)
        b->height = 0 - b->height;
    b->bits = ce_le16(h + 14);
    b->compression = ce_le32(h + 16);
    b->colours = ce_le32(h + 32);
    return 0;
}

/* What stb_image does not read, or not as Pillow: of 16 bits, it makes level 4 of 31 33,
 * where Pillow has 32. */
static int check_bmp(const bmp *b, const plain *p, ce_error *err) {
    if (b->compression == RLE8 || b->compression == RLE4)
        return ce_fail(err, CE_EUNSUPPORTED,
                       "%s: a BMP with run-length coding, which is not decoded here",
                       p->src->name);
    if (b->bits != 1 && b->bits != 4 && b->bits != 8 && b->bits != 24 && b->bits != 32)
        return unsupported(p, "a pixel depth of", b->bits, err);
    if (b->compression != RAW && !(b->compression == BITFIELDS && b->bits == 32))
        return unsupported(p, "compression", b->compression, err);
    return 0;
}

static bool is_byte(uint32_t mask) {
    return mask == 0xff || mask == 0xff00 || mask == 0xff0000 || mask == 0xff000000;
}

/* The masks of red, green, blue and alpha: a fourth byte counts as alpha only where a mask
 * declares it. */
static int put_masks(const bmp *b, plain *p, ce_error *err) {
    uint32_t mask[4] = {0xff0000, 0xff00, 0xff, 0};
    if (b->compression == BITFIELDS) {
        /* right behind a header of 40 bytes, and at the same place in a longer one */
        if (p->src->size < 70)
            return truncated(p, err);
        for (int i = 0; i < (b->header >= 56 ? 4 : 3); i++)
            mask[i] = ce_le32(p->src->data + 54 + 4 * i);
        if (!mask[0] && !mask[1] && !mask[2] && !mask[3])
            mask[0] = 0xff0000, mask[1] = 0xff00, mask[2] = 0xff, mask[3] = 0xff000000;
    }
    for (int i = 0; i < 4; i++) {
        if (!is_byte(mask[i]) && (i < 3 || mask[i]))
            return unsupported(p, "the colour mask", mask[i], err);
        put_le32(p->head + 54 + 4 * i, mask[i]);
    }
    return 0;
}

/* Completes the palette with black. */
static int put_palette(const bmp *b, plain *p, ce_error *err) {
    size_t each = b->header == 12 ? 3 : 4, at = 14 + (size_t)b->header;
    size_t all = (size_t)1 << b->bits, colours = b->colours ? b->colours : all;
    if (colours > 65536)
        return unsupported(p, "a palette of size", b->colours, err);
    if (p->data == at || p->data == 0)
        p->data = at + each * colours;
    for (size_t i = 0; i < all && i < colours; i++)
        if (at + each * (i + 1) <= p->src->size)
            memcpy(p->head + BMP_HEAD + 4 * i, p->src->data + at + each * i, 3);
    p->head_size += 4 * all;
    return 0;
}

/* A header of version 4, which has room for masks. */
static void put_bmp_header(const bmp *b, plain *p) {
    uint8_t *h = p->head;
    memcpy(h, "BM", 2);
    put_le32(h + 10, (uint32_t)p->head_size);
    put_le32(h + 14, 108);
    put_le32(h + 18, b->width);
    put_le32(h + 22, b->top_down ? 0 - b->height : b->height);
    put_le16(h + 26, 1);
    put_le16(h + 28, b->bits);
    put_le32(h + 30, b->bits == 32 ? BITFIELDS : RAW);
}

int ce_decode_bmp(ce_image *out, const ce_source *src, ce_error *err) {
    plain p = {.src = src, .kind = "BMP", .head_size = BMP_HEAD};
    bmp b = {0};
    int rc = read_bmp(&b, &p, err);
    if (rc == 0)
        rc = check_bmp(&b, &p, err);
    if (rc < 0)
        return rc;
    p.data = ce_le32(src->data + 10);
    if (b.bits <= 8)
        rc = put_palette(&b, &p, err);
    else if (p.data == 0)
        p.data = 14 + b.header + (b.compression == BITFIELDS && b.header == 40 ? 12 : 0);
    if (rc == 0 && b.bits == 32)
        rc = put_masks(&b, &p, err);
    if (rc == 0)
        rc = ce_image_begin(out, b.width, b.height, src->name, err);
    if (rc < 0)
        return rc;
    /* sides and pixels are bounded now: nothing overflows */
    size_t line = (b.width * (size_t)b.bits + 7) / 8, stride = (line + 3) / 4 * 4;
    if (p.data > src->size || src->size - p.data < (b.height - 1) * stride + line)
        return truncated(&p, err);
    put_bmp_header(&b, &p);
    return decode(out, &p, err);
}

/* Layout: Truevision TGA File Format Specification 2.0. */
enum { MAPPED = 1, COLOUR = 2, GREY = 3, RUNS = 8 };

bool ce_is_tga(const ce_source *src) {
    const uint8_t *h = src->data;
    if (src->size < TGA_HEAD || h[1] > 1 || (h[17] & 0xc0) || !ce_le16(h + 12) ||
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

/* Moves the colours to their places among 256, and p->data behind them. A picture that
 * does not use its colour map loses it. */
static int put_map(plain *p, ce_error *err) {
    const uint8_t *h = p->src->data;
    size_t first = ce_le16(h + 3), count = ce_le16(h + 5), each = ((size_t)h[7] + 7) / 8;
    if (each < 2 || each > 4)
        return unsupported(p, "a palette of bits", h[7], err);
    if (p->data > p->src->size || (p->src->size - p->data) / each < count)
        return truncated(p, err);
    if ((h[2] & ~RUNS) == MAPPED) {
        for (size_t i = 0; i < count && first + i < COLOURS; i++)
            memcpy(p->head + TGA_HEAD + each * (first + i), h + p->data + each * i, each);
        p->head[1] = 1;
        put_le16(p->head + 5, COLOURS);
        p->head[7] = (uint8_t)(8 * each);
        p->head_size += COLOURS * each;
    }
    p->data += count * each;
    return 0;
}

/* What stb_image does not read. */
static int check_tga(const plain *p, ce_error *err) {
    const uint8_t *h = p->src->data;
    if (h[16] == 1)
        return unsupported(p, "a pixel depth of", 1, err);
    if ((h[2] & ~RUNS) == COLOUR && h[16] == 16 && !p->opaque &&
        p->src->alpha == CE_ALPHA_WHITE)
        return ce_fail(err, CE_EUNSUPPORTED,
                       "%s: a TGA of 16 bits, whose transparency is not decoded here",
                       p->src->name);
    return 0;
}

int ce_decode_tga(ce_image *out, const ce_source *src, ce_error *err) {
    const uint8_t *h = src->data;
    int kind = h[2] & ~RUNS;
    plain p = {.src = src,
               .kind = "TGA",
               .head_size = TGA_HEAD,
               .data = TGA_HEAD + (size_t)h[0],
               .opaque = kind == MAPPED || (kind == COLOUR && alpha_is_void(src)),
               .from_right = h[17] & 0x10};
    int rc = check_tga(&p, err);
    if (rc == 0 && h[1] == 1)
        rc = put_map(&p, err);
    if (rc == 0)
        rc = ce_image_begin(out, ce_le16(h + 12), ce_le16(h + 14), src->name, err);
    if (rc < 0)
        return rc;
    /* A packet is at most 128 pixels; whether all are there shows in decoding. */
    size_t pixels = (size_t)out->width * (size_t)out->height, each = h[16] / 8;
    size_t least = h[2] & RUNS ? (pixels + 127) / 128 * (1 + each) : pixels * each;
    if (p.data > src->size || src->size - p.data < least)
        return truncated(&p, err);
    p.head[2] = h[2];
    memcpy(p.head + 12, h + 12, 5); /* sides and depth */
    p.head[17] = h[17] & 0x20;      /* from the top or not */
    return decode(out, &p, err);
}

const char *ce_stb_version(void) {
    return CE_STB_IMAGE_VERSION;
}

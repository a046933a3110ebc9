/* Decoding, against Pillow's pixels (tests/golden/images, and all of the shared reference
 * pictures), against layouts written out by hand, and against broken files: every fault has
 * its message, a truncated picture is refused or whole, and no mutation crashes.
 * CE_MUTATIONS sets how many mutations are tried. */
#include "image.h"

#include "golden.h"
#include "stats.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <zlib.h>
#include <cmocka.h>

/* The expected pixels: in one file with prefixed keys, or in a file of their own. */
static void compare_pictures(const char *folder, const golden_file *expected,
                             const char *prefix, ce_alpha alpha) {
    size_t length = strlen(prefix);
    int cases = 0;
    for (void *i = golden_first(expected); i; i = golden_next(expected, i)) {
        golden_tensor want;
        const char *key = golden_name(i);
        char path[2 * GOLDEN_PATH];
        if (strncmp(key, prefix, length) != 0 || !golden_find(expected, key, &want))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, key + length);
        ce_image image;
        ce_error err = {0};
        if (ce_image_load(&image, path, alpha, &err) < 0)
            fail_msg("%s", err.message);
        assert_int_equal(image.height, want.shape[0]);
        assert_int_equal(image.width, want.shape[1]);
        if (memcmp(image.pixels, want.data, want.count) != 0)
            fail_msg("%s differs", key);
        ce_image_free(&image);
        cases++;
    }
    assert_true(cases > 0);
}

static void golden_pictures_are_pillows_to_the_byte(void **state) {
    (void)state;
    char path[GOLDEN_PATH], folder[GOLDEN_PATH];
    golden_file *f =
        golden_open(golden_path(path, sizeof path, "images/decoded.safetensors"));
    assert_non_null(f);
    golden_path(folder, sizeof folder, "images");
    compare_pictures(folder, f, "decoded/", CE_ALPHA_DROP);
    compare_pictures(folder, f, "decoded-hf/", CE_ALPHA_WHITE);
    golden_close(f);
}

static void shared_pictures_are_pillows_to_the_byte(void **state) {
    (void)state;
    char path[GOLDEN_PATH], folder[GOLDEN_PATH];
    if (!shared_path(folder, sizeof folder, "images")) {
        print_message("no shared reference data: images/ is skipped\n");
        skip();
    }
    golden_file *dropped =
        golden_open(shared_path(path, sizeof path, "preprocess/decoded.safetensors"));
    golden_file *white =
        golden_open(shared_path(path, sizeof path, "preprocess/decoded-hf.safetensors"));
    assert_non_null(dropped);
    assert_non_null(white);
    compare_pictures(folder, dropped, "", CE_ALPHA_DROP);
    compare_pictures(folder, white, "", CE_ALPHA_WHITE);
    golden_close(dropped);
    golden_close(white);
}

static void check_failure(int rc, int code, const ce_image *image, const ce_error *err,
                          const char *says) {
    assert_int_equal(rc, code);
    assert_int_equal(err->code, code);
    assert_null(image->pixels);
    if (!strstr(err->message, says) || strchr(err->message, '\n'))
        fail_msg("\"%s\" does not say \"%s\"", err->message, says);
}

static void each_broken_file_has_its_own_message(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int code;
        const char *says;
    } cases[] = {
        {"empty.png", CE_EFORMAT, "empty.png: empty file"},
        {"text.jpg", CE_EFORMAT, "text.jpg: not a picture (no known format)"},
        {"truncated.jpg", CE_EFORMAT, "truncated.jpg: truncated JPEG"},
        {"header-only.jpg", CE_EFORMAT, "header-only.jpg: truncated JPEG"},
        {"wrong-crc-header.png", CE_EFORMAT, "wrong checksum of chunk IHDR"},
        {"claims-60000x60000.png", CE_EFORMAT,
         "60000x60000 pixels are more than the limit"},
        {"claims-13000x13001.png", CE_EFORMAT, "truncated PNG (71 bytes cannot hold"},
        {"garbage.gif", CE_EFORMAT, "garbage.gif: broken GIF"},
        {"zero-width.png", CE_EFORMAT, "zero-width.png: a picture of 0x2 pixels"},
        {".", CE_EIO, "is a directory"},
        {"missing.png", CE_EIO, "missing.png"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[GOLDEN_PATH], name[64];
        snprintf(name, sizeof name, "images/broken/%s", cases[i].name);
        golden_path(path, sizeof path, name);
        ce_image image;
        ce_error err = {0};
        int rc = ce_image_load(&image, path, CE_ALPHA_DROP, &err);
        check_failure(rc, cases[i].code, &image, &err, cases[i].says);
    }
}

static void a_wrong_checksum_of_data_alone_is_let_pass(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    ce_image image;
    assert_int_equal(
        ce_image_load(&image,
                      golden_path(path, sizeof path, "images/broken/wrong-crc-data.png"),
                      CE_ALPHA_DROP, NULL),
        0);
    ce_image_free(&image);
}

static void an_unreadable_file_says_so(void **state) {
    (void)state;
    char path[] = "/tmp/ce-image-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0), 0);
    close(fd);
    if (access(path, R_OK) == 0) { /* root reads everything */
        unlink(path);
        skip();
    }
    ce_image image;
    ce_error err = {0};
    check_failure(ce_image_load(&image, path, CE_ALPHA_DROP, &err), CE_EIO, &image, &err,
                  path);
    unlink(path);
}

static void known_formats_that_are_not_decoded_are_named(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } cases[] = {
        {"II*\0\10\0\0\0", 8, "a TIFF picture"},
        {"MM\0*\0\0\0\10", 8, "a TIFF picture"},
        {"\0\0\0\x1c"
         "ftypavif\0\0\0\0",
         16, "an AVIF picture"},
        {"\0\0\0\x1c"
         "ftypheic\0\0\0\0",
         16, "a HEIC picture"},
        {"8BPS\0\1", 6, "a Photoshop picture"},
        {"\0\0\1\0\1\0\20\20\0\0\0\0\0\0\0\0\30\0\0\0", 20, "an icon (ICO) picture"},
        {"\0\0\0\x0cjP  \r\n\x87\n", 12, "a JPEG 2000 picture"},
        {"<?xml version='1.0'?><!-- a --><svg/>", 37, "an SVG picture"},
        {"%PDF-1.7\n", 9, "a PDF picture"},
        {"P7\nWIDTH 1\n", 11, "a PAM picture"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ce_image image;
        ce_error err = {0};
        int rc = ce_image_decode(&image, cases[i].bytes, cases[i].size, "a/b",
                                 CE_ALPHA_DROP, &err);
        check_failure(rc, CE_EUNSUPPORTED, &image, &err, cases[i].says);
        assert_memory_equal(err.message, "a/b: ", 5);
        assert_non_null(strstr(err.message, "not decoded here (PNG, JPEG, WebP, GIF"));
    }
}

/* Decodes `size` bytes and compares with `want`, width x height RGB. */
static void check_bytes(const void *data, size_t size, ce_alpha alpha, int width,
                        int height, const uint8_t *want) {
    ce_image image;
    ce_error err = {0};
    if (ce_image_decode(&image, data, size, "bytes", alpha, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(image.width, width);
    assert_int_equal(image.height, height);
    assert_memory_equal(image.pixels, want, (size_t)width * (size_t)height * 3);
    ce_image_free(&image);
}

static void check_grey(const void *data, size_t size, int width, int height,
                       const uint8_t *want) {
    uint8_t rgb[64 * 3];
    for (int i = 0; i < width * height; i++)
        memset(rgb + 3 * i, want[i], 3);
    check_bytes(data, size, CE_ALPHA_DROP, width, height, rgb);
}

#define PNM(text) (text), sizeof(text) - 1

/* Samples scale by the maximum, half to even; grey of more than 8 bits clips at 255. */
static void pnm_of_every_kind(void **state) {
    (void)state;
    check_grey(PNM("P1 3 2 # a comment\n101\n0 1 #\n0"), 3, 2,
               (uint8_t[]){0, 255, 0, 255, 0, 255});
    check_grey(PNM("P4\n9 1\n\x80\x80"), 9, 1,
               (uint8_t[]){0, 255, 255, 255, 255, 255, 255, 255, 0});
    check_grey(PNM("P2\n3 1\n4\n0 2 4"), 3, 1, (uint8_t[]){0, 128, 255});
    check_grey(PNM("P2\n3 1\n1000\n1 2 999"), 3, 1, (uint8_t[]){66, 131, 255});
    check_grey(PNM("P5 3 1 100\n\1\62\377"), 3, 1, (uint8_t[]){3, 128, 255});
    check_grey(PNM("P5\n3 1\n65535\n\0\7\0\377\1\0"), 3, 1, (uint8_t[]){7, 255, 255});
    check_bytes(PNM("P3 1 1 255 1 2 3"), CE_ALPHA_DROP, 1, 1, (uint8_t[]){1, 2, 3});
    check_bytes(PNM("P6 1 1 65535\n\0\200\200\0\377\377"), CE_ALPHA_DROP, 1, 1,
                (uint8_t[]){0, 128, 255});
}

static void wrong_pnm_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "P5 2 2 255\nabc", "P5 2 2 0\nabcd", "P5 2 2 65536\nabcd",     "P5 -2 2 255\nabcd",
        "P5 0 2 255\n",    "P5 2",           "P2 2 1 255 3 256",       "P2 2 1 255 3 x",
        "P2 2 1 255 3",    "P1 2 1 12",      "P5 12345678901 1 255 x", "P6 1 1 255\nab",
        "P4 9 1\nx",       "P5x2 2 255\nab", "P5 60000 60000 255\nx"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ce_image image;
        ce_error err = {0};
        int rc =
            ce_image_decode(&image, wrong[i], strlen(wrong[i]), "n", CE_ALPHA_DROP, &err);
        check_failure(rc, CE_EFORMAT, &image, &err, "n: ");
    }
}

static void the_limit_is_pillows_to_the_pixel(void **state) {
    (void)state;
    ce_image image;
    ce_error err = {0};
    int rc = ce_image_decode(&image, PNM("P5 178956970 1 255\n"), "n", CE_ALPHA_DROP, &err);
    check_failure(rc, CE_EFORMAT, &image, &err, "truncated PNM");
    rc = ce_image_decode(&image, PNM("P5 178956971 1 255\n"), "n", CE_ALPHA_DROP, &err);
    check_failure(rc, CE_EFORMAT, &image, &err, "more than the limit of 178956970");
}

/* A BMP: header, then `palette`, then `data`. */
static size_t make_bmp(uint8_t *to, int width, int height, int bits, int compression,
                       const void *palette, size_t colours, const void *data, size_t size) {
    memset(to, 0, 54);
    memcpy(to, "BM", 2);
    to[10] = (uint8_t)(54 + 4 * colours);
    to[14] = 40;
    to[18] = (uint8_t)width;
    for (int i = 0; i < 4; i++)
        to[22 + i] = (uint8_t)((uint32_t)height >> 8 * i);
    to[26] = 1;
    to[28] = (uint8_t)bits;
    to[30] = (uint8_t)compression;
    to[46] = (uint8_t)colours;
    memcpy(to + 54, palette, 4 * colours);
    memcpy(to + 54 + 4 * colours, data, size);
    return 54 + 4 * colours + size;
}

static void bmp_rows_and_masks(void **state) {
    (void)state;
    static const uint8_t palette[] = {9, 8, 7, 0, 6, 5, 4, 0, 3, 2, 1, 0};
    static const uint8_t a[] = {7, 8, 9}, b[] = {4, 5, 6}, c[] = {1, 2, 3},
                         black[] = {0, 0, 0};
    uint8_t file[256], want[12];
    size_t n = make_bmp(file, 2, 2, 4, 0, palette, 3, "\x12\0\0\0\x0f\0\0\0", 8);
    memcpy(want, a, 3), memcpy(want + 3, black, 3); /* index 15 has no colour */
    memcpy(want + 6, b, 3), memcpy(want + 9, c, 3);
    check_bytes(file, n, CE_ALPHA_DROP, 2, 2, want);
    check_bytes(file, n - 3, CE_ALPHA_DROP, 2, 2, want); /* no padding behind the last */
    n = make_bmp(file, 2, -2, 4, 0, palette, 3, "\x0f\0\0\0\x12\0\0\0", 8);
    check_bytes(file, n, CE_ALPHA_DROP, 2, 2, want);
    n = make_bmp(file, 1, 1, 32, 0, palette, 0, "\1\2\3\0",
                 4); /* a fourth byte, no alpha */
    check_bytes(file, n, CE_ALPHA_WHITE, 1, 1, (uint8_t[]){3, 2, 1});
    n = make_bmp(file, 1, 1, 24, 0, palette, 1, "\1\2\3", 3); /* a gap before the rows */
    check_bytes(file, n, CE_ALPHA_DROP, 1, 1, (uint8_t[]){3, 2, 1});
    /* the masks of red, green, blue: right behind the header, where make_bmp has colours */
    static const uint8_t masks[] = {0, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0};
    n = make_bmp(file, 1, 1, 32, 3, masks, 3, "\7\3\2\1", 4);
    check_bytes(file, n, CE_ALPHA_WHITE, 1, 1, (uint8_t[]){1, 2, 3});
    memcpy(file + 14 + 40, masks, 12);
    memcpy(file + 14 + 40 + 12, "\xff\0\0", 4); /* in a header of 56 bytes: and alpha */
    file[14] = 56, file[10] = 70, file[70] = 0, file[71] = 3, file[72] = 2, file[73] = 1;
    check_bytes(file, 74, CE_ALPHA_DROP, 1, 1, (uint8_t[]){1, 2, 3});
    check_bytes(file, 74, CE_ALPHA_WHITE, 1, 1, (uint8_t[]){255, 255, 255});
}

/* OS/2: a header of 12 bytes, colours of 3. */
static void an_os2_bmp_has_all_of_its_colours(void **state) {
    (void)state;
    static const uint8_t file[] = "BM\0\0\0\0\0\0\0\0\40\0\0\0"
                                  "\14\0\0\0\3\0\1\0\1\0\1\0"
                                  "cbafed"
                                  "\x40\0\0\0";
    check_bytes(file, sizeof file - 1, CE_ALPHA_DROP, 3, 1, (const uint8_t *)"abcdefabc");
}

static void check_refusal(const void *file, size_t size, ce_alpha alpha, int code,
                          const char *says) {
    ce_image image;
    ce_error err = {0};
    int rc = ce_image_decode(&image, file, size, "n", alpha, &err);
    check_failure(rc, code, &image, &err, says);
}

/* stb_image has no run-length coding, and levels of 16 bits other than Pillow's. */
static void bmp_that_is_not_decoded_is_named(void **state) {
    (void)state;
    static const uint8_t palette[12] = {0};
    uint8_t file[256];
    size_t n = make_bmp(file, 3, 2, 8, 1, palette, 3, "\3\1\0\0\0\3\0\2\1\0\0\1", 12);
    check_refusal(file, n, CE_ALPHA_DROP, CE_EUNSUPPORTED,
                  "n: a BMP with run-length coding, which is not decoded here");
    n = make_bmp(file, 3, 2, 4, 2, palette, 3, "\3\x11\0\0\0\3\x02\x10\0\1", 10);
    check_refusal(file, n, CE_ALPHA_DROP, CE_EUNSUPPORTED, "run-length coding");
    n = make_bmp(file, 1, 1, 16, 0, palette, 0, "\x1f\x7c\0\0", 4);
    check_refusal(file, n, CE_ALPHA_DROP, CE_EUNSUPPORTED,
                  "n: a BMP with a pixel depth of 16, which is not decoded here");
    n = make_bmp(file, 1, 1, 32, 3, "\xff\xf\0\0\0\0\xf0\0\0\0\xff", 3, "\0\0\0", 4);
    check_refusal(file, n, CE_ALPHA_DROP, CE_EUNSUPPORTED, "the colour mask 4095");
    n = make_bmp(file, 1, 1, 24, 4, palette, 0, "\0\0\0", 4);
    check_refusal(file, n, CE_ALPHA_DROP, CE_EUNSUPPORTED, "compression 4");
    n = make_bmp(file, 2, 2, 24, 0, palette, 0, "abcdef\0\0abcde", 13);
    check_refusal(file, n, CE_ALPHA_DROP, CE_EFORMAT, "n: truncated BMP (67 bytes)");
}

static void tga_from_every_corner(void **state) {
    (void)state;
    uint8_t h[18] = {[2] = 3, [12] = 2, [14] = 2, [16] = 8}, file[32], run[32];
    static const struct {
        uint8_t corner, want[4];
    } cases[] = {{0x00, {3, 4, 1, 2}},
                 {0x10, {4, 3, 2, 1}},
                 {0x20, {1, 2, 3, 4}},
                 {0x30, {2, 1, 4, 3}}};
    for (size_t i = 0; i < 4; i++) {
        memcpy(file, h, 18);
        file[17] = cases[i].corner;
        memcpy(file + 18, "\1\2\3\4", 4);
        check_grey(file, 22, 2, 2, cases[i].want);
        memcpy(run, file, 18);
        run[2] = 11;
        memcpy(run + 18, "\2\1\2\3\x80\4", 6); /* three literals and a run of one */
        check_grey(run, 24, 2, 2, cases[i].want);
    }
}

/* Colours 254 and 255 of 3 or of 2 bytes: stb_image would look for them elsewhere. */
static void tga_colours_are_where_the_header_says(void **state) {
    (void)state;
    uint8_t file[64] = {
        [1] = 1, [2] = 1, [3] = 254, [5] = 2, [7] = 24, [12] = 3, [14] = 1, [16] = 8};
    memcpy(file + 18, "cbafed\377\376\0", 9); /* the last index has no colour */
    check_bytes(file, 27, CE_ALPHA_DROP, 3, 1, (const uint8_t *)"defabc\0\0\0");
    file[7] = 16;
    memcpy(file + 18, "\x04\x04\xff\xff\377\376\0", 7);
    check_bytes(file, 25, CE_ALPHA_WHITE, 3, 1,
                (uint8_t[]){255, 255, 255, 8, 0, 32, 0, 0, 0});
    /* and a map that the picture does not use */
    file[2] = 2, file[12] = 1, file[16] = 24;
    memcpy(file + 22, "cba", 3);
    check_bytes(file, 25, CE_ALPHA_DROP, 1, 1, (const uint8_t *)"abc");
}

static void tga_that_is_short_or_not_decoded_is_named(void **state) {
    (void)state;
    uint8_t file[64] = {[2] = 11, [12] = 4, [14] = 2, [16] = 8};
    memcpy(file + 18, "\x82\1\3\2\3\4\5\x80\6", 9); /* runs of 3, 4 and 1 */
    check_grey(file, 27, 4, 2, (uint8_t[]){3, 4, 5, 6, 1, 1, 1, 2});
    for (size_t size = 18; size < 27; size++)
        check_refusal(file, size, CE_ALPHA_DROP, CE_EFORMAT, "n: truncated TGA (");
    file[2] = 3;
    check_refusal(file, 25, CE_ALPHA_DROP, CE_EFORMAT, "n: truncated TGA (25 bytes)");
    file[16] = 1;
    check_refusal(file, 26, CE_ALPHA_DROP, CE_EUNSUPPORTED,
                  "n: a TGA with a pixel depth of 1, which is not decoded here");
    file[2] = 2, file[12] = 1, file[14] = 1, file[16] = 16;
    memcpy(file + 18, "\x04\x84", 2);
    check_bytes(file, 20, CE_ALPHA_DROP, 1, 1, (uint8_t[]){8, 0, 32});
    check_refusal(file, 20, CE_ALPHA_WHITE, CE_EUNSUPPORTED,
                  "n: a TGA of 16 bits, whose transparency is not decoded here");
}

/* Every colour under every alpha: Pillow's formula in full, for a background of white. */
static uint8_t alpha_composite(uint32_t source, uint32_t alpha) {
    if (alpha == 0)
        return 255;
    uint32_t blend = 255 * (255 - alpha), out = alpha * 255 + blend;
    uint32_t first = alpha * 255 * 255 * (1 << 7) / out, second = 255 * (1 << 7) - first;
    uint32_t x = source * first + 255 * second + (0x80 << 7);
    return (uint8_t)((((x >> 8) + x) >> 8) >> 7);
}

static void white_shows_through_as_in_pillow(void **state) {
    (void)state;
    size_t pixels = 256 * 256, size = 18 + 4 * pixels;
    uint8_t *file = calloc(size, 1), *want = malloc(3 * pixels);
    file[2] = 2, file[13] = 1, file[15] = 1, file[16] = 32, file[17] = 0x28;
    for (uint32_t i = 0; i < pixels; i++) {
        memset(file + 18 + 4 * i, (int)(i & 255), 3);
        file[18 + 4 * i + 3] = (uint8_t)(i >> 8);
        memset(want + 3 * i, alpha_composite(i & 255, i >> 8), 3);
    }
    check_bytes(file, size, CE_ALPHA_WHITE, 256, 256, want);
    for (uint32_t i = 0; i < pixels; i++)
        memset(want + 3 * i, (int)(i & 255), 3);
    check_bytes(file, size, CE_ALPHA_DROP, 256, 256, want);
    free(file);
    free(want);
}

/* A GIF of 3 x 1 with a frame of 1 x 1 at x = 1, index 1: the rest of the screen has the
 * transparent index, here 2. The code stream: clear, 1, end, of 3 bits each. */
static void a_small_gif_frame_lies_on_the_transparent_colour(void **state) {
    (void)state;
    static const uint8_t gif[] = "GIF89a\3\0\1\0\x81\0\0"
                                 "abcdefghijkl"
                                 "!\xf9\4\1\0\0\2\0"
                                 ",\1\0\0\0\1\0\1\0\0"
                                 "\2\2\x4c\1\0;";
    check_bytes(gif, sizeof gif - 1, CE_ALPHA_DROP, 3, 1, (const uint8_t *)"ghidefghi");
    check_bytes(gif, sizeof gif - 1, CE_ALPHA_WHITE, 3, 1,
                (const uint8_t *)"\xff\xff\xff"
                                 "def"
                                 "\xff\xff\xff");
}

static void put_chunk(uint8_t *file, size_t *at, const char *kind, const void *data,
                      size_t size) {
    uint8_t *p = file + *at;
    uint32_t crc;
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(size >> (24 - 8 * i));
    memcpy(p + 4, kind, 4);
    memcpy(p + 8, data, size);
    crc = (uint32_t)crc32(0, p + 4, (uInt)size + 4);
    for (int i = 0; i < 4; i++)
        p[8 + size + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    *at += 12 + size;
}

/* width x 1 pixels of `bits`, colour type `type`; `row` without the filter byte. */
static size_t make_png(uint8_t *file, uint8_t width, uint8_t bits, uint8_t type,
                       const char *before, const void *chunk, size_t chunk_size,
                       const void *row, size_t row_size) {
    uint8_t header[13] = {0, 0, 0, width, 0, 0, 0, 1, bits, type, 0, 0, 0}, raw[64] = {0};
    uint8_t packed[128];
    uLongf size = sizeof packed;
    size_t at = 8;
    memcpy(file, "\x89PNG\r\n\x1a\n", 8);
    memcpy(raw + 1, row, row_size);
    compress(packed, &size, raw, row_size + 1);
    put_chunk(file, &at, "IHDR", header, 13);
    if (before)
        put_chunk(file, &at, before, chunk, chunk_size);
    put_chunk(file, &at, "IDAT", packed, size);
    put_chunk(file, &at, "IEND", "", 0);
    return at;
}

static void png_corner_cases_are_pillows(void **state) {
    (void)state;
    uint8_t file[512];
    size_t n = make_png(file, 3, 8, 3, "PLTE", "abcdef", 6, "\0\1\2", 3);
    check_bytes(file, n, CE_ALPHA_DROP, 3, 1, (const uint8_t *)"abcdef\0\0\0");
    n = make_png(file, 4, 4, 0, NULL, "", 0, "\x05\xaf", 2);
    check_grey(file, n, 4, 1, (uint8_t[]){0, 85, 170, 255});
    n = make_png(file, 3, 16, 0, NULL, "", 0, "\0\5\1\0\377\377", 6);
    check_grey(file, n, 3, 1, (uint8_t[]){5, 255, 255});
    n = make_png(file, 1, 16, 2, NULL, "", 0, "\1\377\2\377\3\377", 6);
    check_bytes(file, n, CE_ALPHA_DROP, 1, 1, (uint8_t[]){1, 2, 3});
    n = make_png(file, 2, 8, 2, "tRNS", "\0a\0b\0c", 6, "abcabd", 6);
    check_bytes(file, n, CE_ALPHA_DROP, 2, 1, (const uint8_t *)"abcabd");
    check_bytes(file, n, CE_ALPHA_WHITE, 2, 1,
                (const uint8_t *)"\xff\xff\xff"
                                 "abd");
}

typedef struct corpus {
    size_t count;
    char *bytes[64];
    size_t size[64];
} corpus;

static void read_corpus(corpus *c) {
    char folder[GOLDEN_PATH], path[2 * GOLDEN_PATH];
    DIR *dir = opendir(golden_path(folder, sizeof folder, "images"));
    assert_non_null(dir);
    c->count = 0;
    for (struct dirent *e; (e = readdir(dir)) && c->count < 64;) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        struct stat info;
        if (stat(path, &info) != 0 || !S_ISREG(info.st_mode) ||
            strstr(path, ".safetensors"))
            continue;
        c->bytes[c->count] = golden_read(path, &c->size[c->count]);
        assert_non_null(c->bytes[c->count++]);
    }
    closedir(dir);
    assert_true(c->count > 30);
}

static void free_corpus(corpus *c) {
    while (c->count > 0)
        free(c->bytes[--c->count]);
}

/* Decodes a copy that ends where it ends, so that ASan sees any read past it. */
static int decode_copy(ce_image *image, const char *bytes, size_t size, ce_alpha alpha,
                       ce_error *err) {
    char *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    int rc = ce_image_decode(image, copy, size, "copy", alpha, err);
    free(copy);
    return rc;
}

static void a_truncated_picture_is_refused_or_whole(void **state) {
    (void)state;
    corpus c;
    read_corpus(&c);
    ce_random random = {1};
    for (size_t f = 0; f < c.count; f++) {
        ce_image whole, part;
        ce_error err = {0};
        assert_int_equal(decode_copy(&whole, c.bytes[f], c.size[f], CE_ALPHA_DROP, &err),
                         0);
        for (size_t i = 0; i < 40; i++) {
            size_t size = i < 16 ? c.size[f] - 1 - i : ce_random_below(&random, c.size[f]);
            if (c.size[f] <= i + 1)
                continue;
            int rc = decode_copy(&part, c.bytes[f], size, CE_ALPHA_DROP, &err);
            if (rc < 0)
                continue;
            assert_true(part.width == whole.width && part.height == whole.height);
            assert_memory_equal(part.pixels, whole.pixels,
                                3 * (size_t)part.width * (size_t)part.height);
            ce_image_free(&part);
        }
        ce_image_free(&whole);
    }
    free_corpus(&c);
}

/* So that a mutated PNG comes past the check of its first chunks. */
static void mend_png(uint8_t *p, size_t size) {
    for (size_t at = 8; size >= 12 && at <= size - 12;) {
        size_t n = (size_t)p[at] << 24 | (size_t)p[at + 1] << 16 | (size_t)p[at + 2] << 8 |
                   p[at + 3];
        if (n > size - at - 12)
            return;
        uint32_t crc = (uint32_t)crc32(0, p + at + 4, (uInt)n + 4);
        for (size_t i = 0; i < 4; i++)
            p[at + 8 + n + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += 12 + n;
    }
}

static size_t mutate(uint8_t *p, size_t size, ce_random *random) {
    if (ce_random_below(random, 8) == 0)
        size = 1 + ce_random_below(random, size);
    size_t reach = ce_random_below(random, 2) && size > 64 ? 64 : size; /* headers, often */
    for (uint64_t n = 1 + ce_random_below(random, 6); n > 0; n--) {
        uint8_t *at = p + ce_random_below(random, reach);
        switch (ce_random_below(random, 4)) {
        case 0:
            *at ^= (uint8_t)(1 << ce_random_below(random, 8));
            break;
        case 1:
            *at = (uint8_t)ce_random_next(random);
            break;
        case 2:
            *at = 0xff;
            break;
        default:
            *at = 0;
        }
    }
    if (ce_random_below(random, 2))
        mend_png(p, size);
    return size;
}

static void no_mutation_crashes(void **state) {
    (void)state;
    const char *wanted = getenv("CE_MUTATIONS");
    long mutations = wanted ? atol(wanted) : 4000;
    corpus c;
    read_corpus(&c);
    ce_random random = {(uint64_t)mutations};
    for (long i = 0; i < mutations; i++) {
        size_t f = ce_random_below(&random, c.count);
        uint8_t *bytes = malloc(c.size[f]);
        memcpy(bytes, c.bytes[f], c.size[f]);
        size_t size = mutate(bytes, c.size[f], &random);
        ce_alpha alpha = i % 2 ? CE_ALPHA_WHITE : CE_ALPHA_DROP;
        ce_image image;
        ce_error err = {0};
        int rc = decode_copy(&image, (char *)bytes, size, alpha, &err);
        assert_true(rc == 0 ? image.width > 0 && image.height > 0
                            : err.code == rc && err.message[0] && !image.pixels);
        if (rc == 0)
            ce_image_free(&image);
        free(bytes);
    }
    free_corpus(&c);
}

/* A megabyte of zeros compressed into a picture of 3 x 1 pixels: only those are inflated.
 */
static void what_a_png_holds_beyond_its_pixels_is_not_inflated(void **state) {
    (void)state;
    uint8_t *zeros = calloc(1 << 20, 1), *packed = malloc(1 << 12);
    uint8_t *file = malloc(1 << 13), header[13] = {[3] = 3, [7] = 1, [8] = 8, [9] = 2};
    uLongf size = 1 << 12;
    size_t at = 8;
    assert_int_equal(compress(packed, &size, zeros, 1 << 20), Z_OK);
    memcpy(file, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(file, &at, "IHDR", header, 13);
    put_chunk(file, &at, "IDAT", packed, size);
    check_bytes(file, at, CE_ALPHA_DROP, 3, 1, zeros);
    free(zeros);
    free(packed);
    free(file);
}

static void raw_pixels_are_copied(void **state) {
    (void)state;
    static const uint8_t pixels[] = {1, 2, 3, 4, 5, 6};
    ce_image image;
    assert_int_equal(ce_image_from_pixels(&image, pixels, 1, 2, 3, NULL), 0);
    assert_memory_equal(image.pixels, pixels, 6);
    ce_image_free(&image);
    assert_int_equal(ce_image_from_pixels(&image, pixels, 2, 1, 1, NULL), 0);
    assert_memory_equal(image.pixels, ((uint8_t[]){1, 1, 1, 2, 2, 2}), 6);
    ce_image_free(&image);
    ce_image_free(&image);
    ce_image_free(NULL);
    assert_int_equal(ce_image_from_pixels(&image, pixels, 0, 1, 1, NULL), CE_EINVAL);
    assert_int_equal(ce_image_from_pixels(&image, pixels, 1, 1, 2, NULL), CE_EINVAL);
}

static void the_decoders_are_named(void **state) {
    (void)state;
    static const char *const names[] = {"libpng 1.", "libjpeg-turbo ", "libwebp 1.",
                                        "giflib 5.", "stb_image 2."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(strstr(ce_image_decoders(), names[i]));
    assert_null(strchr(ce_image_decoders(), '\n'));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_pictures_are_pillows_to_the_byte),
        cmocka_unit_test(shared_pictures_are_pillows_to_the_byte),
        cmocka_unit_test(each_broken_file_has_its_own_message),
        cmocka_unit_test(a_wrong_checksum_of_data_alone_is_let_pass),
        cmocka_unit_test(an_unreadable_file_says_so),
        cmocka_unit_test(known_formats_that_are_not_decoded_are_named),
        cmocka_unit_test(pnm_of_every_kind),
        cmocka_unit_test(wrong_pnm_is_refused),
        cmocka_unit_test(the_limit_is_pillows_to_the_pixel),
        cmocka_unit_test(bmp_rows_and_masks),
        cmocka_unit_test(an_os2_bmp_has_all_of_its_colours),
        cmocka_unit_test(bmp_that_is_not_decoded_is_named),
        cmocka_unit_test(tga_from_every_corner),
        cmocka_unit_test(tga_colours_are_where_the_header_says),
        cmocka_unit_test(tga_that_is_short_or_not_decoded_is_named),
        cmocka_unit_test(white_shows_through_as_in_pillow),
        cmocka_unit_test(a_small_gif_frame_lies_on_the_transparent_colour),
        cmocka_unit_test(png_corner_cases_are_pillows),
        cmocka_unit_test(a_truncated_picture_is_refused_or_whole),
        cmocka_unit_test(no_mutation_crashes),
        cmocka_unit_test(what_a_png_holds_beyond_its_pixels_is_not_inflated),
        cmocka_unit_test(raw_pixels_are_copied),
        cmocka_unit_test(the_decoders_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* JPEG through libjpeg-turbo, with the settings that Pillow leaves at their defaults
 * (src/libImaging/JpegDecode.c): accurate integer DCT, fancy upsampling, block smoothing.
 * Warnings that Pillow ignores (bad codes, stray bytes) are ignored; the end of the data
 * before the end of the picture is an error, as there. */
#include "image_decoders.h"

#include <setjmp.h>
#include <stdio.h> /* jpeglib.h wants FILE */
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *ce_jpeg_version(void) {
    return TEXT(LIBJPEG_TURBO_VERSION);
}

typedef struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf back;
    ce_image *out;
    const ce_source *src;
    ce_error *err;
} reader;

/* libjpeg's way out: `code` comes back from setjmp. */
static _Noreturn void fail_exit(j_common_ptr info) {
    reader *r = info->client_data;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    bool memory = info->err->msg_code == JERR_OUT_OF_MEMORY;
    longjmp(r->back, ce_fail(r->err, memory ? CE_ENOMEM : CE_EFORMAT,
                             "%s: broken JPEG (%s)", r->src->name, text));
}

static void on_message(j_common_ptr info, int level) {
    reader *r = info->client_data;
    if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF)
        longjmp(r->back, ce_fail(r->err, CE_EFORMAT,
                                 "%s: truncated JPEG (%zu bytes are not all of it)",
                                 r->src->name, r->src->size));
}

static void no_output(j_common_ptr info) {
    (void)info;
}

/* The four samples are Adobe's inverted C, M, Y, K; Pillow's cmyk2rgb (Convert.c):
 * nk = 255 - K, nk - MULDIV255(C, nk). */
static void cmyk_to_rgb(uint8_t *rgb, const uint8_t *cmyk, size_t width) {
    for (size_t x = 0; x < width; x++, rgb += 3, cmyk += 4)
        for (int c = 0; c < 3; c++) {
            int product = (255 - cmyk[c]) * cmyk[3] + 128;
            rgb[c] = (uint8_t)(cmyk[3] - (((product >> 8) + product) >> 8));
        }
}

/* In place: `width` grey bytes at the row's start become RGB. */
static void grey_to_rgb(uint8_t *row, size_t width) {
    for (size_t x = width; x-- > 0;)
        memset(row + 3 * x, row[x], 3);
}

static int start(reader *r) {
    jpeg_mem_src(&r->jpeg, r->src->data, (unsigned long)r->src->size);
    jpeg_read_header(&r->jpeg, TRUE);
    switch (r->jpeg.num_components) {
    case 1:
        r->jpeg.out_color_space = JCS_GRAYSCALE;
        break;
    case 3:
        r->jpeg.out_color_space = JCS_RGB;
        break;
    case 4:
        r->jpeg.out_color_space = JCS_CMYK;
        break;
    default:
        return ce_fail(r->err, CE_EUNSUPPORTED, "%s: a JPEG of %d components", r->src->name,
                       r->jpeg.num_components);
    }
    int rc = ce_image_begin(r->out, r->jpeg.image_width, r->jpeg.image_height, r->src->name,
                            r->err);
    if (rc == 0)
        jpeg_start_decompress(&r->jpeg);
    return rc;
}

static void read_rows(reader *r) {
    struct jpeg_decompress_struct *jpeg = &r->jpeg;
    size_t width = jpeg->output_width;
    JSAMPARRAY cmyk = NULL; /* one row, from libjpeg's own pool */
    if (jpeg->num_components == 4)
        cmyk = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE,
                                       jpeg->output_width * 4, 1);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW rgb = r->out->pixels + jpeg->output_scanline * width * 3;
        jpeg_read_scanlines(jpeg, cmyk ? cmyk : &rgb, 1);
        if (cmyk)
            cmyk_to_rgb(rgb, cmyk[0], width);
        else if (jpeg->num_components == 1)
            grey_to_rgb(rgb, width);
    }
    jpeg_finish_decompress(jpeg); /* insists on the end-of-image marker */
}

/* setjmp has a function of its own, without locals that change. */
static int read_all(reader *r) {
    int rc = setjmp(r->back);
    if (rc == 0) {
        jpeg_create_decompress(&r->jpeg);
        rc = start(r);
        if (rc == 0)
            read_rows(r);
    }
    return rc;
}

int ce_decode_jpeg(ce_image *out, const ce_source *src, ce_error *err) {
    reader r = {.out = out, .src = src, .err = err};
    r.jpeg.err = jpeg_std_error(&r.errors);
    r.jpeg.client_data = &r;
    r.errors.error_exit = fail_exit;
    r.errors.emit_message = on_message;
    r.errors.output_message = no_output;
    int rc = read_all(&r);
    jpeg_destroy_decompress(&r.jpeg);
    return rc;
}

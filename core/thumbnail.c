#include "thumbnail.h"

#include "preprocess.h"

#include <setjmp.h>
#include <stdio.h> /* jpeglib.h wants FILE */
#include <stdlib.h>

#include <jpeglib.h>

enum { LARGEST_SIDE = 1024 };

typedef struct writer {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf back;
    const ce_image *image;
    int quality;
    unsigned char *bytes;
    unsigned long size; /* of `bytes`: its room, and in the end what is used */
    ce_error *err;
} writer;

static _Noreturn void fail_exit(j_common_ptr info) {
    writer *w = info->client_data;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    longjmp(w->back, ce_fail(w->err, CE_ENOMEM, "a thumbnail cannot be made (%s)", text));
}

static void no_output(j_common_ptr info) {
    (void)info;
}

static void write_picture(writer *w) {
    struct jpeg_compress_struct *jpeg = &w->jpeg;
    jpeg_mem_dest(jpeg, &w->bytes, &w->size);
    jpeg->image_width = (JDIMENSION)w->image->width;
    jpeg->image_height = (JDIMENSION)w->image->height;
    jpeg->input_components = 3;
    jpeg->in_color_space = JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, w->quality, TRUE);
    jpeg->optimize_coding = TRUE;
    jpeg->comp_info[0].h_samp_factor = jpeg->comp_info[0].v_samp_factor = 1; /* 4:4:4 */
    jpeg_start_compress(jpeg, TRUE);
    size_t stride = (size_t)w->image->width * 3;
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW row = w->image->pixels + jpeg->next_scanline * stride;
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
}

/* setjmp has a function of its own, without locals that change. */
static int write_all(writer *w) {
    int rc = setjmp(w->back);
    if (rc == 0) {
        jpeg_create_compress(&w->jpeg);
        write_picture(w);
    }
    return rc;
}

/* What no picture exceeds: libjpeg-turbo's own bound (turbojpeg.c, tjBufSize) for 4:4:4. So
 * jpeg_mem_dest never takes another buffer, which would be lost after an error. */
static size_t most_bytes(const ce_image *image) {
    size_t width = ((size_t)image->width + 7) / 8 * 8;
    size_t height = ((size_t)image->height + 7) / 8 * 8;
    return width * height * 6 + 2048;
}

static int encode(uint8_t **out, size_t *out_size, const ce_image *image, int quality,
                  ce_error *err) {
    writer w = {.image = image, .quality = quality, .err = err};
    w.size = most_bytes(image);
    if (!(w.bytes = malloc(w.size)))
        return ce_fail(err, CE_ENOMEM, "no memory for a thumbnail");
    w.jpeg.err = jpeg_std_error(&w.errors);
    w.jpeg.client_data = &w;
    w.errors.error_exit = fail_exit;
    w.errors.output_message = no_output;
    int rc = write_all(&w);
    jpeg_destroy_compress(&w.jpeg);
    if (rc < 0) {
        free(w.bytes);
        return rc;
    }
    *out = w.bytes;
    *out_size = w.size;
    return 0;
}

/* The shorter side of a picture whose longer one becomes `side`. */
static int shorter(int side, int lesser, int greater) {
    int rounded = (int)(((int64_t)side * lesser + greater / 2) / greater);
    return rounded > 0 ? rounded : 1;
}

int ce_thumbnail(uint8_t **out, size_t *out_size, const ce_image *image, int side,
                 int quality, ce_error *err) {
    ce_image small = {0};
    int width = image->width, height = image->height;
    if (side < 1 || side > LARGEST_SIDE || quality < 1 || quality > 100)
        return ce_fail(err, CE_EINVAL, "a thumbnail of side %d and quality %d", side,
                       quality);
    if (width <= side && height <= side)
        return encode(out, out_size, image, quality, err);
    int rc = width >= height
                 ? ce_image_resize(&small, image, side, shorter(side, height, width),
                                   CE_BICUBIC, err)
                 : ce_image_resize(&small, image, shorter(side, width, height), side,
                                   CE_BICUBIC, err);
    if (rc == 0)
        rc = encode(out, out_size, &small, quality, err);
    ce_image_free(&small);
    return rc;
}

/* Thumbnails: the size of what is decoded again, its colours beside those of the picture
 * resized in the open, and what is refused. */
#include "thumbnail.h"

#include "preprocess.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A smooth picture: red grows to the right, green downwards. */
static ce_image make(int width, int height) {
    ce_error err;
    ce_image image;
    uint8_t *pixels = malloc((size_t)width * (size_t)height * 3);
    assert_non_null(pixels);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t *p = pixels + ((size_t)y * (size_t)width + (size_t)x) * 3;
            p[0] = (uint8_t)(255 * x / width);
            p[1] = (uint8_t)(255 * y / height);
            p[2] = 90;
        }
    assert_int_equal(ce_image_from_pixels(&image, pixels, width, height, 3, &err), 0);
    free(pixels);
    return image;
}

static ce_image shrink(const ce_image *image, int side) {
    ce_error err = {0};
    ce_image back;
    uint8_t *bytes;
    size_t size;
    assert_int_equal(ce_thumbnail(&bytes, &size, image, side, 90, &err), 0);
    assert_int_equal(ce_image_decode(&back, bytes, size, "thumbnail", CE_ALPHA_DROP, &err),
                     0);
    free(bytes);
    return back;
}

static void check_size(int width, int height, int side, int want_width, int want_height) {
    ce_image image = make(width, height), small = shrink(&image, side);
    assert_int_equal(small.width, want_width);
    assert_int_equal(small.height, want_height);
    ce_image_free(&small);
    ce_image_free(&image);
}

static void a_picture_fits_the_square_and_keeps_its_shape(void **state) {
    (void)state;
    check_size(640, 480, 160, 160, 120);
    check_size(480, 640, 160, 120, 160);
    check_size(500, 500, 160, 160, 160);
    check_size(3000, 2, 160, 160, 1); /* never nothing */
    check_size(2, 3000, 160, 1, 160);
}

static void nothing_is_enlarged(void **state) {
    (void)state;
    check_size(28, 28, 160, 28, 28);
    check_size(160, 90, 160, 160, 90);
    check_size(1, 1, 1, 1, 1);
}

static void colours_are_those_of_the_resized_picture(void **state) {
    (void)state;
    ce_error err;
    ce_image image = make(320, 200), small = shrink(&image, 160), want;
    assert_int_equal(ce_image_resize(&want, &image, 160, 100, CE_BICUBIC, &err), 0);
    for (size_t i = 0; i < (size_t)160 * 100 * 3; i++)
        assert_in_range(abs(small.pixels[i] - want.pixels[i]), 0, 12);
    ce_image_free(&want);
    ce_image_free(&small);
    ce_image_free(&image);
}

static void noise_of_the_best_quality_fits_its_buffer(void **state) {
    (void)state;
    ce_error err;
    ce_image image = make(96, 96);
    uint8_t *bytes;
    size_t size;
    uint32_t x = 1;
    for (size_t i = 0; i < (size_t)96 * 96 * 3; i++) {
        x = x * 1664525 + 1013904223;
        image.pixels[i] = (x >> 16 & 1) ? 255 : 0;
    }
    assert_int_equal(ce_thumbnail(&bytes, &size, &image, 96, 100, &err), 0);
    assert_true(size > 96 * 96); /* hard indeed */
    free(bytes);
    ce_image_free(&image);
}

static void sides_and_qualities_out_of_range_are_refused(void **state) {
    (void)state;
    ce_error err;
    ce_image image = make(8, 8);
    uint8_t *bytes;
    size_t size;
    static const int wrong[][2] = {{0, 80}, {-1, 80}, {1025, 80}, {8, 0}, {8, 101}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(
            ce_thumbnail(&bytes, &size, &image, wrong[i][0], wrong[i][1], &err), CE_EINVAL);
    ce_image_free(&image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_fits_the_square_and_keeps_its_shape),
        cmocka_unit_test(nothing_is_enlarged),
        cmocka_unit_test(colours_are_those_of_the_resized_picture),
        cmocka_unit_test(noise_of_the_best_quality_fits_its_buffer),
        cmocka_unit_test(sides_and_qualities_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

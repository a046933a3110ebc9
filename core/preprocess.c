#include "preprocess.h"

#include "resample.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(const ce_image *image, ce_error *err) {
    return ce_fail(err, CE_ENOMEM, "no memory to preprocess %dx%d pixels", image->width,
                   image->height);
}

/* int(size * long / short): the division is exact but for one rounding, as in Python. */
static double long_side(int size, int longer, int shorter) {
    return floor((double)((int64_t)size * longer) / shorter);
}

/* open_clip's ResizeKeepRatio with longest=1: round(side / max(h / size, w / size)). */
static double kept_side(int side, const ce_preprocess *r, const ce_image *image) {
    double ratio = fmax((double)image->height / r->resize_height,
                        (double)image->width / r->resize_width);
    return rint(side / ratio);
}

/* The size that the whole picture is resized to, before crop or pad. */
static int resized_size(int *width, int *height, const ce_preprocess *r,
                        const ce_image *image, ce_error *err) {
    double w = image->width, h = image->height;
    switch (r->resize_mode) {
    case CE_RESIZE_NONE:
        break;
    case CE_RESIZE_SHORTEST:
        w = image->width <= image->height
                ? r->resize_width
                : long_side(r->resize_width, image->width, image->height);
        h = image->width <= image->height
                ? long_side(r->resize_width, image->height, image->width)
                : r->resize_width;
        break;
    case CE_RESIZE_SQUASH:
        w = r->resize_width;
        h = r->resize_height;
        break;
    case CE_RESIZE_LONGEST:
        w = kept_side(image->width, r, image);
        h = kept_side(image->height, r, image);
        break;
    }
    if (w < 1 || h < 1 || w > INT_MAX || h > INT_MAX)
        return ce_fail(err, CE_EFORMAT, "%dx%d pixels would become %.0fx%.0f", image->width,
                       image->height, w, h);
    *width = (int)w;
    *height = (int)h;
    return 0;
}

/* Where the result of length `want` starts in the resized length `have`; below 0: that
 * much padding goes before. torchvision's center_crop pads floor(missing / 2) before, and
 * open_clip's center_crop_or_pad too; transformers' center_crop ceil(missing / 2). */
static int crop_offset(int have, int want, ce_crop_rounding rounding) {
    int excess = have - want;
    if (rounding == CE_CROP_HALF_EVEN)
        return excess < 0 ? -(-excess / 2) : (int)rint(excess / 2.0);
    return excess < 0 ? -((1 - excess) / 2) : excess / 2;
}

/* The part of one axis that comes from the picture: `at` in the result, `from` in the
 * resized picture, `length` of both. */
typedef struct span {
    int at, from, length;
} span;

static span overlap(int have, int want, ce_crop_rounding rounding) {
    int offset = crop_offset(have, want, rounding);
    span s = {offset < 0 ? -offset : 0, offset < 0 ? 0 : offset, have < want ? have : want};
    return s;
}

int ce_preprocess_bytes(uint8_t *out, const ce_preprocess *r, const ce_image *image,
                        ce_error *err) {
    int width = 0, height = 0;
    int rc = resized_size(&width, &height, r, image, err);
    if (rc < 0)
        return rc;
    span x = overlap(width, r->width, r->crop_rounding);
    span y = overlap(height, r->height, r->crop_rounding);
    size_t stride = 3 * (size_t)r->width;
    if (x.length < r->width || y.length < r->height)
        memset(out, r->fill, stride * (size_t)r->height);
    ce_window window = {x.from, y.from, x.length, y.length};
    return ce_resample(out + (size_t)y.at * stride + 3 * (size_t)x.at, stride, image, width,
                       height, r->interpolation, window, err);
}

/* transformers' rescale and normalize: the product in float64, rounded to float32, then
 * minus mean and over std in float32. For 1/255 the product is byte / 255.0f, which is
 * torchvision's ToTensor. */
static void make_table(float table[256], const ce_preprocess *r, int channel) {
    float mean = (float)r->mean[channel], std = (float)r->std[channel];
    for (int b = 0; b < 256; b++)
        table[b] = ((float)(b * r->rescale) - mean) / std;
}

int ce_preprocess_image(float *out, const ce_preprocess *r, const ce_image *image,
                        ce_error *err) {
    size_t count = (size_t)r->width * (size_t)r->height;
    uint8_t *bytes = malloc(count * 3);
    if (!bytes)
        return no_memory(image, err);
    int rc = ce_preprocess_bytes(bytes, r, image, err);
    for (int c = 0; rc == 0 && c < 3; c++) {
        float table[256], *plane = out + (size_t)c * count;
        make_table(table, r, c);
        for (size_t i = 0; i < count; i++)
            plane[i] = table[bytes[3 * i + (size_t)c]];
    }
    free(bytes);
    return rc;
}

static int check_side(const char *what, int side, const char *name, ce_error *err) {
    if (side >= 1 && side <= CE_PREPROCESS_MAX_SIDE)
        return 0;
    return ce_fail(err, CE_EFORMAT, "%s: %s %d is not in 1 to %d", name, what, side,
                   CE_PREPROCESS_MAX_SIDE);
}

static int check_sizes(const ce_preprocess *r, const char *name, ce_error *err) {
    int rc = check_side("width", r->width, name, err);
    if (rc == 0)
        rc = check_side("height", r->height, name, err);
    if (rc < 0 || r->resize_mode == CE_RESIZE_NONE)
        return rc;
    rc = check_side("resize width", r->resize_width, name, err);
    if (rc == 0)
        rc = check_side("resize height", r->resize_height, name, err);
    if (rc == 0 && r->resize_mode != CE_RESIZE_SQUASH &&
        r->resize_width != r->resize_height)
        rc = ce_fail(err, CE_EFORMAT, "%s: resize to one side, but to %dx%d", name,
                     r->resize_width, r->resize_height);
    return rc;
}

int ce_preprocess_check(const ce_preprocess *r, const char *name, ce_error *err) {
    int rc = check_sizes(r, name, err);
    if (rc < 0)
        return rc;
    if (r->fill < 0 || r->fill > 255)
        return ce_fail(err, CE_EFORMAT, "%s: fill colour %d is not in 0 to 255", name,
                       r->fill);
    if (!isfinite(r->rescale))
        return ce_fail(err, CE_EFORMAT, "%s: the rescale factor is not finite", name);
    for (int c = 0; c < 3; c++) {
        if (!isfinite(r->mean[c]))
            return ce_fail(err, CE_EFORMAT, "%s: mean[%d] is not finite", name, c);
        if (!isfinite(r->std[c]) || (float)r->std[c] == 0)
            return ce_fail(err, CE_EFORMAT, "%s: std[%d] is 0 or not finite", name, c);
    }
    return 0;
}

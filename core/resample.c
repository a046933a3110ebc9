#include "resample.h"

#include "cpu.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* 8 bits for the result, 2 for overshoot and sign; the rest is fraction. */
#define PRECISION (32 - 8 - 2)

/* Weights are made for so many results at a time, which bounds their memory. */
#define BLOCK 256

/* The inner loops (CE_CLONES) are integer arithmetic, the same in every version. Twice as
 * fast with AVX2 on a photograph of 1600x1200. */

/* From `in` samples to `out`; the weights of results first .. first + count - 1. */
typedef struct axis {
    int in, out;
    double (*filter)(double);
    double radius; /* of the filter, in results */
    double scale, support;
    int most; /* weights of one result, at most */
    int start[BLOCK], size[BLOCK];
    int32_t *weight; /* [BLOCK, most] */
    double *exact;   /* [most] */
} axis;

static double triangle(double x) {
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* Keys' cubic with a = -1/2, in Pillow's order of operations. */
static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static void axis_init(axis *a, int in, int out, ce_interpolation interpolation) {
    a->in = in;
    a->out = out;
    a->filter = interpolation == CE_BICUBIC ? cubic : triangle;
    a->scale = (double)in / out;
    a->support = (interpolation == CE_BICUBIC ? 2 : 1) * fmax(a->scale, 1);
    a->most = (int)ceil(a->support) * 2 + 1;
    a->exact = NULL;
    a->weight = NULL;
}

/* The samples start .. end - 1 that result `i` is made of. */
static void axis_span(const axis *a, int i, int *start, int *end) {
    double center = (i + 0.5) * a->scale;
    int from = (int)(center - a->support + 0.5), to = (int)(center + a->support + 0.5);
    *start = from < 0 ? 0 : from;
    *end = to > a->in ? a->in : to;
}

static int axis_allocate(axis *a, int count, ce_error *err) {
    size_t rows = (size_t)(count < BLOCK ? count : BLOCK), most = (size_t)a->most;
    a->exact = malloc(most * sizeof *a->exact);
    a->weight = malloc(rows * most * sizeof *a->weight);
    if (a->exact && a->weight)
        return 0;
    return ce_fail(err, CE_ENOMEM, "no memory to resize %d samples to %d", a->in, a->out);
}

static void axis_free(axis *a) {
    free(a->exact);
    free(a->weight);
}

static void axis_weigh(axis *a, int first, int count) {
    for (int i = 0; i < count; i++) {
        int start, end;
        axis_span(a, first + i, &start, &end);
        double center = (first + i + 0.5) * a->scale, sum = 0;
        double inverse = 1 / fmax(a->scale, 1);
        int size = end - start;
        int32_t *weight = a->weight + (size_t)i * (size_t)a->most;
        for (int k = 0; k < size; k++) {
            a->exact[k] = a->filter((k + start - center + 0.5) * inverse);
            sum += a->exact[k];
        }
        for (int k = 0; k < size; k++) {
            double w = sum != 0 ? a->exact[k] / sum : a->exact[k];
            weight[k] = (int32_t)((w < 0 ? -0.5 : 0.5) + w * (1 << PRECISION));
        }
        a->start[i] = start;
        a->size[i] = size;
    }
}

static inline uint8_t clip(int32_t sum) {
    int32_t v = sum >> PRECISION;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* One row: `count` results of three channels; `in` starts at sample `left`. */
CE_CLONES static void filter_row(uint8_t *out, const uint8_t *in, int left, const axis *a,
                                 int count) {
    for (int i = 0; i < count; i++, out += 3) {
        const int32_t *w = a->weight + (size_t)i * (size_t)a->most;
        const uint8_t *p = in + 3 * (size_t)(a->start[i] - left);
        int32_t r = 1 << (PRECISION - 1), g = r, b = r;
        for (int k = 0; k < a->size[i]; k++, p += 3) {
            r += p[0] * w[k];
            g += p[1] * w[k];
            b += p[2] * w[k];
        }
        out[0] = clip(r);
        out[1] = clip(g);
        out[2] = clip(b);
    }
}

/* Rows of bytes; the first is sample `x`, `y` of what it is a part of. */
typedef struct plane {
    const uint8_t *bytes;
    size_t stride;
    int x, y;
} plane;

/* The window's columns, for `rows` rows. */
static void filter_columns(uint8_t *out, size_t stride, plane in, axis *a, ce_window w,
                           int rows) {
    for (int x = 0; x < w.width; x += BLOCK) {
        int count = w.width - x < BLOCK ? w.width - x : BLOCK;
        axis_weigh(a, w.x + x, count);
        for (size_t y = 0; y < (size_t)rows; y++)
            filter_row(out + y * stride + 3 * (size_t)x, in.bytes + y * in.stride, in.x, a,
                       count);
    }
}

/* One result row of n bytes: a weighted sum of whole rows, `stride` apart, in pieces that
 * stay in the first-level cache. */
CE_CLONES static void blend_rows(uint8_t *out, const uint8_t *in, size_t stride, size_t n,
                                 const int32_t *weight, int size) {
    enum { PIECE = 1024 };
    int32_t sum[PIECE];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t m = n - at < PIECE ? n - at : PIECE;
        for (size_t i = 0; i < m; i++)
            sum[i] = 1 << (PRECISION - 1);
        for (int k = 0; k < size; k++) {
            const uint8_t *row = in + at + (size_t)k * stride;
            int32_t w = weight[k];
            for (size_t i = 0; i < m; i++)
                sum[i] += row[i] * w;
        }
        for (size_t i = 0; i < m; i++)
            out[at + i] = clip(sum[i]);
    }
}

/* The window's rows, for `columns` columns. */
static void filter_rows(uint8_t *out, size_t stride, plane in, axis *a, ce_window w,
                        int columns) {
    for (int y = 0; y < w.height; y++) {
        int i = y % BLOCK;
        if (i == 0)
            axis_weigh(a, w.y + y, w.height - y < BLOCK ? w.height - y : BLOCK);
        blend_rows(out + (size_t)y * stride,
                   in.bytes + (size_t)(a->start[i] - in.y) * in.stride, in.stride,
                   3 * (size_t)columns, a->weight + (size_t)i * (size_t)a->most,
                   a->size[i]);
    }
}

/* Both passes. The first makes what the second will want of it, and no more. */
static int filter_both(uint8_t *out, size_t stride, plane in, axis *across, axis *down,
                       ce_window w, bool rows_first, ce_error *err) {
    int left, top, right, bottom, unused;
    axis_span(across, w.x, &left, &unused);
    axis_span(across, w.x + w.width - 1, &unused, &right);
    axis_span(down, w.y, &top, &unused);
    axis_span(down, w.y + w.height - 1, &unused, &bottom);
    size_t width = (size_t)(rows_first ? right - left : w.width);
    size_t height = (size_t)(rows_first ? w.height : bottom - top);
    if (height > CE_IMAGE_MAX_PIXELS / width)
        return ce_fail(err, CE_EFORMAT, "%dx%d pixels are too long a strip to resize",
                       across->in, down->in);
    uint8_t *bytes = malloc(3 * width * height);
    if (!bytes)
        return ce_fail(err, CE_ENOMEM, "no memory to resize %dx%d pixels", across->in,
                       down->in);
    if (rows_first) {
        in.bytes += 3 * (size_t)left;
        filter_rows(bytes, 3 * width, in, down, w, (int)width);
        plane middle = {bytes, 3 * width, left, w.y};
        filter_columns(out, stride, middle, across, w, w.height);
    } else {
        in.bytes += (size_t)top * in.stride;
        filter_columns(bytes, 3 * width, in, across, w, (int)height);
        plane middle = {bytes, 3 * width, w.x, top};
        filter_rows(out, stride, middle, down, w, w.width);
    }
    free(bytes);
    return 0;
}

/* Since version 13, Pillow does the rows first where the height shrinks by more than twice
 * as many pixels as the width (ImagingResampleInner); older versions never do. A pass that
 * would change nothing is left out. */
int ce_resample(uint8_t *out, size_t stride, const ce_image *image, int width, int height,
                ce_interpolation interpolation, ce_window w, ce_error *err) {
    bool horizontal = width != image->width, vertical = height != image->height;
    int64_t shrink = (int64_t)image->height - height;
    bool rows_first = shrink > 0 && shrink > 2 * ((int64_t)image->width - width);
    plane in = {image->pixels, 3 * (size_t)image->width, 0, 0};
    axis across, down;
    axis_init(&across, image->width, width, interpolation);
    axis_init(&down, image->height, height, interpolation);
    int rc = axis_allocate(&across, w.width, err);
    if (rc == 0)
        rc = axis_allocate(&down, w.height, err);
    if (rc < 0)
        goto out;
    if (horizontal && vertical) {
        rc = filter_both(out, stride, in, &across, &down, w, rows_first, err);
        goto out;
    }
    in.bytes += vertical ? 3 * (size_t)w.x : (size_t)w.y * in.stride;
    if (horizontal)
        filter_columns(out, stride, in, &across, w, w.height);
    else if (vertical)
        filter_rows(out, stride, in, &down, w, w.width);
    else
        for (size_t y = 0; y < (size_t)w.height; y++)
            memcpy(out + y * stride, in.bytes + y * in.stride + 3 * (size_t)w.x,
                   3 * (size_t)w.width);
out:
    axis_free(&across);
    axis_free(&down);
    return rc;
}

int ce_image_resize(ce_image *out, const ce_image *image, int width, int height,
                    ce_interpolation interpolation, ce_error *err) {
    *out = (ce_image){0};
    if (width < 1 || height < 1 || width > CE_IMAGE_MAX_PIXELS / height)
        return ce_fail(err, CE_EINVAL, "a picture cannot be resized to %dx%d", width,
                       height);
    uint8_t *pixels = malloc((size_t)width * (size_t)height * 3);
    if (!pixels)
        return ce_fail(err, CE_ENOMEM, "no memory for %dx%d pixels", width, height);
    ce_window all = {0, 0, width, height};
    int rc = ce_resample(pixels, 3 * (size_t)width, image, width, height, interpolation,
                         all, err);
    if (rc == 0)
        *out = (ce_image){width, height, pixels};
    else
        free(pixels);
    return rc;
}

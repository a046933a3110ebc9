#include "winograd.h"

#include <stdlib.h>
#include <string.h>

enum { POINTS = 16 };
/* Tiles that go through the layers together: what they become stays in the second-level
 * cache where there are few channels, and the weights are read for enough of them where
 * there are many. */
enum { TILE_FLOATS = 16 * 1024, LEAST_TILES = 48 };

void ce_winograd_init(ce_winograd *w, size_t out, size_t in) {
    *w = (ce_winograd){.out = out, .in = in};
    for (size_t p = 0; p < POINTS; p++)
        ce_linear_init(&w->points[p], out, in);
}

void ce_winograd_free(ce_winograd *w) {
    for (size_t p = 0; p < POINTS; p++)
        ce_linear_free(&w->points[p]);
    free(w->bias);
    *w = (ce_winograd){0};
}

/* G g of one column of three: G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1]. */
static void spread(double to[4], double a, double b, double c) {
    to[0] = a;
    to[1] = (a + b + c) / 2;
    to[2] = (a - b + c) / 2;
    to[3] = c;
}

/* points[4, 4] (stride `stride`) = G g G^T of g[3, 3] (stride `in`). */
static void transform_weight(float *points, size_t stride, const float *g, size_t in) {
    double half[3][4], whole[4];
    for (size_t x = 0; x < 3; x++)
        spread(half[x], (double)g[x * in], (double)g[(3 + x) * in],
               (double)g[(6 + x) * in]);
    for (size_t y = 0; y < 4; y++) {
        spread(whole, half[0][y], half[1][y], half[2][y]);
        for (size_t x = 0; x < 4; x++)
            points[(4 * y + x) * stride] = (float)whole[x];
    }
}

int ce_winograd_set_rows(ce_winograd *w, size_t first, const float *rows, size_t n,
                         const char *name, ce_error *err) {
    size_t size = n * w->in;
    float *points = ce_floats_new(POINTS * size);
    if (!points)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", name);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < w->in; k++)
            transform_weight(points + i * w->in + k, size, rows + 9 * i * w->in + k, w->in);
    int result = CE_OK;
    for (size_t p = 0; p < POINTS && result == CE_OK; p++)
        result = ce_linear_set_rows(&w->points[p], first, points + p * size, n, name, err);
    free(points);
    return result;
}

int ce_winograd_set_bias(ce_winograd *w, const float *bias, ce_error *err) {
    w->bias = malloc(w->out * sizeof *w->bias);
    if (!w->bias)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    memcpy(w->bias, bias, w->out * sizeof *bias);
    return CE_OK;
}

int ce_winograd_set_precision(ce_winograd *w, ce_precision precision, ce_error *err) {
    int result = CE_OK;
    for (size_t p = 0; p < POINTS && result == CE_OK; p++)
        result = ce_linear_set_precision(&w->points[p], precision, err);
    return result;
}

static size_t tiles_at_once(const ce_winograd *w) {
    size_t tiles = TILE_FLOATS / (w->in + w->out);
    return ce_round_up(tiles < LEAST_TILES ? LEAST_TILES : tiles, ce_kernels_get()->mr);
}

size_t ce_winograd_scratch(const ce_winograd *w) {
    return POINTS * tiles_at_once(w) * (w->in + w->out) + w->out + 3 * CE_MAX_LANES +
           ce_linear_workspace();
}

/* The pictures and their tiles. */
typedef struct plane {
    size_t height, width, rows, cols; /* rows, cols: of tiles */
} plane;

/* Where the 4x4 inputs of a tile lie. */
static void find_inputs(const float *at[POINTS], const float *x, const float *zeros,
                        size_t in, const plane *p, size_t tile) {
    size_t picture = tile / (p->rows * p->cols), place = tile % (p->rows * p->cols);
    size_t top = place / p->cols * 2, left = place % p->cols * 2;
    x += picture * p->height * p->width * in;
    for (size_t i = 0; i < POINTS; i++) {
        size_t y = top + i / 4 - 1, column = left + i % 4 - 1; /* may wrap around below 0 */
        bool inside = y < p->height && column < p->width;
        at[i] = inside ? x + (y * p->width + column) * in : zeros;
    }
}

/* Where its 2x2 outputs lie; `nowhere` is written where the picture has ended. */
static void find_outputs(float *at[4], float *y, float *nowhere, size_t out, const plane *p,
                         size_t tile) {
    size_t picture = tile / (p->rows * p->cols), place = tile % (p->rows * p->cols);
    size_t top = place / p->cols * 2, left = place % p->cols * 2;
    y += picture * p->height * p->width * out;
    for (size_t i = 0; i < 4; i++) {
        size_t row = top + i / 2, column = left + i % 2;
        bool inside = row < p->height && column < p->width;
        at[i] = inside ? y + (row * p->width + column) * out : nowhere;
    }
}

void ce_winograd_forward(const ce_winograd *w, float *y, const float *x, size_t n,
                         size_t height, size_t width, const float *zeros, float *scratch) {
    const ce_kernels *kernels = ce_kernels_get();
    plane p = {height, width, (height + 1) / 2, (width + 1) / 2};
    size_t most = tiles_at_once(w), all = n * p.rows * p.cols;
    float *spread = scratch, *mapped = spread + POINTS * most * w->in;
    float *nowhere = mapped + POINTS * most * w->out;
    float *workspace = nowhere + ce_round_up(w->out, CE_MAX_LANES);
    for (size_t first = 0; first < all; first += most) {
        size_t count = all - first < most ? all - first : most;
        for (size_t i = 0; i < count; i++) {
            const float *at[POINTS];
            find_inputs(at, x, zeros, w->in, &p, first + i);
            kernels->winograd_in(spread + i * w->in, most * w->in, at, w->in);
        }
        for (size_t k = 0; k < POINTS; k++)
            ce_linear_forward(&w->points[k], mapped + k * most * w->out,
                              spread + k * most * w->in, count, CE_NO_ACTIVATION, false,
                              workspace);
        for (size_t i = 0; i < count; i++) {
            float *at[4];
            find_outputs(at, y, nowhere, w->out, &p, first + i);
            kernels->winograd_out(at, mapped + i * w->out, most * w->out, w->bias, w->out);
        }
    }
}

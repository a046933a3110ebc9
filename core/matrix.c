#include "matrix.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int ce_matrix_init(ce_matrix *m, size_t rows, size_t cols, ce_error *err) {
    *m = (ce_matrix){0};
    if (cols && rows > SIZE_MAX / sizeof(float) / cols)
        return ce_fail(err, CE_ENOMEM, "a matrix of %zu x %zu is too large", rows, cols);
    size_t count = rows * cols;
    m->data = calloc(count ? count : 1, sizeof(float));
    if (!m->data)
        return ce_fail(err, CE_ENOMEM, "no memory for a matrix of %zu x %zu", rows, cols);
    m->rows = rows;
    m->cols = cols;
    return CE_OK;
}

void ce_matrix_free(ce_matrix *m) {
    if (!m)
        return;
    free(m->data);
    *m = (ce_matrix){0};
}

float *ce_matrix_row(const ce_matrix *m, size_t row) {
    return m->data + row * m->cols;
}

void ce_matrix_normalize(ce_matrix *m) {
    for (size_t r = 0; r < m->rows; r++) {
        float *row = ce_matrix_row(m, r);
        double sum = 0;
        for (size_t c = 0; c < m->cols; c++)
            sum += (double)row[c] * (double)row[c];
        if (sum == 0)
            continue;
        double norm = sqrt(sum);
        for (size_t c = 0; c < m->cols; c++)
            row[c] = (float)((double)row[c] / norm);
    }
}

/* A stripe of columns at a time, so that rows are read along and not across. */
void ce_matrix_mean_weighted(const ce_matrix *m, const double *weights, float *out) {
    enum { STRIPE = 64 };
    double total = 0;
    for (size_t r = 0; r < m->rows; r++)
        total += weights ? weights[r] : 1;
    for (size_t first = 0; first < m->cols; first += STRIPE) {
        double sum[STRIPE] = {0};
        size_t width = m->cols - first < STRIPE ? m->cols - first : STRIPE;
        for (size_t r = 0; r < m->rows; r++) {
            const float *row = ce_matrix_row(m, r) + first;
            double weight = weights ? weights[r] : 1;
            for (size_t c = 0; c < width; c++)
                sum[c] += weight * (double)row[c];
        }
        for (size_t c = 0; c < width; c++)
            out[first + c] = (float)(sum[c] / total);
    }
}

void ce_matrix_mean(const ce_matrix *m, float *out) {
    ce_matrix_mean_weighted(m, NULL, out);
}

/* ---- similarity ----
 *
 * Rows of b are packed into panels of PANEL with their columns interleaved, so that one
 * vector operation works on PANEL entries of the result. Every entry is the same sum in
 * the same order: over its columns one by one in blocks of DEPTH, then over the blocks
 * (blocks, because the rounding error of a sum grows with its length). Nothing is fused
 * or reordered, so the result does not depend on where an entry stands, nor on the
 * width of the CPU's vectors.
 */
enum { PANEL = 16, TILE = 4, DEPTH = 64, ROW_BLOCK = 64 };

/* out[panels][cols][PANEL]; rows past the last are zeros. */
static void pack_panels(float *out, const ce_matrix *b) {
    for (size_t r = 0; r < b->rows; r++) {
        const float *row = ce_matrix_row(b, r);
        float *panel = out + r / PANEL * PANEL * b->cols + r % PANEL;
        for (size_t c = 0; c < b->cols; c++)
            panel[c * PANEL] = row[c];
    }
}

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) /* no ifuncs there */
__attribute__((target_clones("avx2", "default")))
#endif
static void
dot_tile(float out[TILE][PANEL], const float *const rows[TILE], const float *panel,
         size_t cols) {
    memset(out, 0, sizeof(float) * TILE * PANEL);
    for (size_t first = 0; first < cols; first += DEPTH) {
        size_t end = cols - first < DEPTH ? cols : first + DEPTH;
        float sum[TILE][PANEL] = {{0}};
        for (size_t c = first; c < end; c++)
            for (size_t t = 0; t < TILE; t++)
                for (size_t p = 0; p < PANEL; p++)
                    sum[t][p] += rows[t][c] * panel[c * PANEL + p];
        for (size_t t = 0; t < TILE; t++)
            for (size_t p = 0; p < PANEL; p++)
                out[t][p] += sum[t][p];
    }
}

/* The order of dot_tile, for one entry. */
float ce_dot(const float *a, const float *b, size_t n) {
    float out = 0;
    for (size_t first = 0; first < n; first += DEPTH) {
        size_t end = n - first < DEPTH ? n : first + DEPTH;
        float sum = 0;
        for (size_t c = first; c < end; c++)
            sum += a[c] * b[c];
        out += sum;
    }
    return out;
}

/* Rows of a from `row` on, at most TILE, against one panel. Missing rows repeat the last:
 * they are computed like the others and dropped. */
static void similarity_tile(ce_matrix *out, const ce_matrix *a, size_t row,
                            const float *panel, size_t column) {
    float tile[TILE][PANEL];
    const float *rows[TILE];
    size_t height = a->rows - row < TILE ? a->rows - row : TILE;
    size_t width = out->cols - column < PANEL ? out->cols - column : PANEL;
    for (size_t t = 0; t < TILE; t++)
        rows[t] = ce_matrix_row(a, row + (t < height ? t : height - 1));
    dot_tile(tile, rows, panel, a->cols);
    for (size_t t = 0; t < height; t++)
        memcpy(ce_matrix_row(out, row + t) + column, tile[t], width * sizeof(float));
}

int ce_matrix_similarity(ce_matrix *out, const ce_matrix *a, const ce_matrix *b,
                         ce_error *err) {
    *out = (ce_matrix){0};
    if (a->cols != b->cols)
        return ce_fail(err, CE_EINVAL, "similarity of vectors of %zu and %zu dimensions",
                       a->cols, b->cols);
    ce_matrix packed;
    size_t panels = b->rows / PANEL + (b->rows % PANEL != 0);
    if (b->cols > SIZE_MAX / PANEL)
        return ce_fail(err, CE_ENOMEM, "vectors of %zu dimensions are too large", b->cols);
    int code = ce_matrix_init(&packed, panels, PANEL * b->cols, err);
    if (code < 0)
        return code;
    code = ce_matrix_init(out, a->rows, b->rows, err);
    if (code < 0)
        goto out;
    pack_panels(packed.data, b);
    for (size_t block = 0; block < a->rows; block += ROW_BLOCK) {
        size_t end = a->rows - block < ROW_BLOCK ? a->rows : block + ROW_BLOCK;
        for (size_t p = 0; p < panels; p++)
            for (size_t row = block; row < end; row += TILE)
                similarity_tile(out, a, row, ce_matrix_row(&packed, p), p * PANEL);
    }
out:
    ce_matrix_free(&packed);
    return code;
}

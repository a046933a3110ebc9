#include "matrix.h"

#include "cpu.h"

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
enum { PANEL = 16, TILE = 8, ROWS = 4, DEPTH = 64, ROW_BLOCK = 64 };

/* out[panels][cols][PANEL]; rows past the last are zeros. */
static void pack_panels(float *out, const ce_matrix *b) {
    for (size_t r = 0; r < b->rows; r++) {
        const float *row = ce_matrix_row(b, r);
        float *panel = out + r / PANEL * PANEL * b->cols + r % PANEL;
        for (size_t c = 0; c < b->cols; c++)
            panel[c * PANEL] = row[c];
    }
}

CE_CLONES static void dot_half_tile(float (*out)[PANEL], const float *const *rows,
                                    const float *panel, size_t cols) {
    memset(out, 0, sizeof *out * ROWS);
    for (size_t first = 0; first < cols; first += DEPTH) {
        size_t end = cols - first < DEPTH ? cols : first + DEPTH;
        float sum[ROWS][PANEL] = {{0}};
        for (size_t c = first; c < end; c++)
            for (size_t t = 0; t < ROWS; t++)
                for (size_t p = 0; p < PANEL; p++)
                    sum[t][p] += rows[t][c] * panel[c * PANEL + p];
        for (size_t t = 0; t < ROWS; t++)
            for (size_t p = 0; p < PANEL; p++)
                out[t][p] += sum[t][p];
    }
}

static void dot_narrow(float (*out)[PANEL], const float *const *rows, const float *panel,
                       size_t cols) {
    for (size_t t = 0; t < TILE; t += ROWS)
        dot_half_tile(out + t, rows + t, panel, cols);
}

#ifdef __x86_64__
typedef float lanes
    __attribute__((vector_size(sizeof(float) * PANEL), aligned(4), may_alias));

/* The same with 16 lanes: twice the rows, so that eight sums hide an addition's delay. */
__attribute__((target("avx512f"))) static void
dot_wide(float (*out)[PANEL], const float *const *rows, const float *panel, size_t cols) {
    memset(out, 0, sizeof *out * TILE);
    for (size_t first = 0; first < cols; first += DEPTH) {
        size_t end = cols - first < DEPTH ? cols : first + DEPTH;
        lanes sum[TILE] = {{0}};
        for (size_t c = first; c < end; c++) {
            lanes b = *(const lanes *)(panel + c * PANEL);
            for (size_t t = 0; t < TILE; t++)
                sum[t] += rows[t][c] * b;
        }
        for (size_t t = 0; t < TILE; t++)
            *(lanes *)out[t] += sum[t];
    }
}
#else
#define dot_wide dot_narrow
#endif

/* The order of dot_narrow, for one entry. */
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

/* At most TILE rows against one panel, whose first column is `column`. Missing rows repeat
 * the last: they are computed like the others and dropped. */
static void score_tile(float *out, const float *const *given, size_t height,
                       const ce_panels *p, size_t column) {
    float tile[TILE][PANEL];
    const float *rows[TILE];
    size_t width = p->columns - column < PANEL ? p->columns - column : PANEL;
    for (size_t t = 0; t < TILE; t++)
        rows[t] = given[t < height ? t : height - 1];
    (p->wide ? dot_wide : dot_narrow)(tile, rows, ce_matrix_row(&p->packed, column / PANEL),
                                      p->cols);
    for (size_t t = 0; t < height; t++)
        memcpy(out + t * p->columns + column, tile[t], width * sizeof(float));
}

int ce_panels_init(ce_panels *p, const ce_matrix *b, ce_error *err) {
    size_t panels = b->rows / PANEL + (b->rows % PANEL != 0);
    *p = (ce_panels){
        .columns = b->rows, .cols = b->cols, .wide = ce_cpu_simd() == CE_SIMD_AVX512};
    if (b->cols > SIZE_MAX / PANEL)
        return ce_fail(err, CE_ENOMEM, "vectors of %zu dimensions are too large", b->cols);
    int code = ce_matrix_init(&p->packed, panels, PANEL * b->cols, err);
    if (code == CE_OK)
        pack_panels(p->packed.data, b);
    return code;
}

void ce_panels_free(ce_panels *p) {
    ce_matrix_free(&p->packed);
}

/* A panel stays in the cache while ROW_BLOCK rows pass by it. */
void ce_panels_scores(float *out, const float *const *rows, size_t n, const ce_panels *p) {
    for (size_t block = 0; block < n; block += ROW_BLOCK) {
        size_t end = n - block < ROW_BLOCK ? n : block + ROW_BLOCK;
        for (size_t column = 0; column < p->columns; column += PANEL)
            for (size_t row = block; row < end; row += TILE)
                score_tile(out + row * p->columns, rows + row,
                           end - row < TILE ? end - row : TILE, p, column);
    }
}

int ce_matrix_similarity(ce_matrix *out, const ce_matrix *a, const ce_matrix *b,
                         ce_error *err) {
    *out = (ce_matrix){0};
    if (a->cols != b->cols)
        return ce_fail(err, CE_EINVAL, "similarity of vectors of %zu and %zu dimensions",
                       a->cols, b->cols);
    ce_panels panels;
    int code = ce_panels_init(&panels, b, err);
    if (code == CE_OK)
        code = ce_matrix_init(out, a->rows, b->rows, err);
    for (size_t first = 0; code == CE_OK && first < a->rows; first += ROW_BLOCK) {
        const float *rows[ROW_BLOCK];
        size_t n = a->rows - first < ROW_BLOCK ? a->rows - first : ROW_BLOCK;
        for (size_t i = 0; i < n; i++)
            rows[i] = ce_matrix_row(a, first + i);
        ce_panels_scores(ce_matrix_row(out, first), rows, n, &panels);
    }
    ce_panels_free(&panels);
    return code;
}

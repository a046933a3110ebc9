/* Rows of vectors: embeddings, scores, logits. Row-major float32.
 *
 *     ce_matrix m;
 *     ce_matrix_init(&m, rows, cols, &err);       // zeroed
 *     float *row = ce_matrix_row(&m, i);          // [cols]
 *     ce_matrix_free(&m);
 */
#ifndef CE_MATRIX_H
#define CE_MATRIX_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct ce_matrix {
    size_t rows, cols;
    float *data; /* [rows, cols] */
} ce_matrix;

int ce_matrix_init(ce_matrix *m, size_t rows, size_t cols, ce_error *err);
void ce_matrix_free(ce_matrix *m); /* empties it; NULL is fine */
float *ce_matrix_row(const ce_matrix *m, size_t row);

/* Divides each row by its L2 norm (summed in float64). A row of zeros stays; a row with
 * NaN stays NaN. */
void ce_matrix_normalize(ce_matrix *m);

/* Mean over the rows into out[cols], summed in float64; rows must be at least 1. */
void ce_matrix_mean(const ce_matrix *m, float *out);

/* The same with a weight for each row, above 0 and finite; NULL: all are 1. */
void ce_matrix_mean_weighted(const ce_matrix *m, const double *weights, float *out);

/* out = a b^T, [a.rows, b.rows]; a.cols must equal b.cols (CE_EINVAL). Every entry is
 * computed by the same sequence of operations wherever it stands, so equal rows give
 * equal scores: ties are ties. */
int ce_matrix_similarity(ce_matrix *out, const ce_matrix *a, const ce_matrix *b,
                         ce_error *err);

/* The same with b packed once, for callers that go through many rows. */
typedef struct ce_panels {
    size_t columns;   /* rows of b */
    size_t cols;      /* numbers in each */
    bool wide;        /* for vectors of 16 */
    ce_matrix packed; /* see matrix.c */
} ce_panels;
int ce_panels_init(ce_panels *p, const ce_matrix *b, ce_error *err);
void ce_panels_free(ce_panels *p);

/* out[n, columns]: rows[i][cols] against all of b. */
void ce_panels_scores(float *out, const float *const *rows, size_t n, const ce_panels *p);

/* One such entry, of a[n] and b[n]: the same bits. */
float ce_dot(const float *a, const float *b, size_t n);

#endif

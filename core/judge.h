/* Embeddings against classes: of each row its best class, where its own stands, and how
 * sure the model is. A block of rows at a time, on every core: nobody holds all scores.
 *
 *     ce_judgement *j = calloc(n, sizeof *j);
 *     ce_judge(j, &embeds, rows, targets, n, &classes, &options, &err);
 *
 * The figures are those of ce_matrix_similarity, ce_top_k, ce_rank, ce_top_is_tied and
 * ce_softmax_belief, bit for bit.
 */
#ifndef CE_JUDGE_H
#define CE_JUDGE_H

#include "calibration.h"
#include "matrix.h"

#include <stdint.h>

typedef struct ce_judgement {
    uint32_t rank; /* of the target, from 0 */
    uint32_t best; /* class */
    float score;   /* its cosine */
    bool tied;     /* that is shared */
    ce_belief belief;
} ce_judgement;

typedef struct ce_judge_options {
    double scale, bias;
    bool sigmoid; /* each class by itself: see ce_sigmoid_belief */
    int threads;  /* 1 or more */
} ce_judge_options;

/* out[n]; rows[n] of `embeds` are judged, targets[n] < classes.rows; CE_EINVAL where the
 * widths differ. */
int ce_judge(ce_judgement *out, const ce_matrix *embeds, const size_t *rows,
             const uint32_t *targets, size_t n, const ce_matrix *classes,
             const ce_judge_options *options, ce_error *err);

#endif

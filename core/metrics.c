#include "metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double ce_accuracy_at(const uint32_t *ranks, size_t n, uint32_t k) {
    size_t hits = 0;
    for (size_t i = 0; i < n; i++)
        hits += ranks[i] < k; /* CE_RANK_NONE is below no k */
    return n ? (double)hits / (double)n : (double)NAN;
}

void ce_class_hits(const uint32_t *ranks, const uint32_t *targets, size_t n, size_t *hits,
                   size_t *counts, size_t classes) {
    memset(hits, 0, classes * sizeof *hits);
    memset(counts, 0, classes * sizeof *counts);
    for (size_t i = 0; i < n; i++) {
        counts[targets[i]]++;
        hits[targets[i]] += ranks[i] == 0;
    }
}

double ce_mean_per_class_recall(const size_t *hits, const size_t *counts, size_t classes) {
    double sum = 0;
    size_t present = 0;
    for (size_t c = 0; c < classes; c++) {
        if (counts[c] == 0)
            continue;
        sum += (double)hits[c] / (double)counts[c];
        present++;
    }
    return present ? sum / (double)present : (double)NAN;
}

static int by_rank(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double rank_from_one(uint32_t rank) {
    return rank == CE_RANK_NONE ? (double)INFINITY : (double)rank + 1;
}

double ce_median_rank(const uint32_t *ranks, size_t n, uint32_t *scratch) {
    if (n == 0)
        return (double)NAN;
    memcpy(scratch, ranks, n * sizeof *ranks);
    qsort(scratch, n, sizeof *scratch, by_rank);
    return (rank_from_one(scratch[(n - 1) / 2]) + rank_from_one(scratch[n / 2])) / 2;
}

double ce_mean_reciprocal_rank(const uint32_t *ranks, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += 1 / rank_from_one(ranks[i]);
    return n ? sum / (double)n : (double)NAN;
}

/* ---- several labels an item ---- */

typedef struct scored {
    float score;
    size_t row;
    bool positive;
} scored;

static int best_first(const void *a, const void *b) {
    const scored *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

/* The items of a class that have a score and count; `positives` are all, scored or not. */
static size_t gather(scored *out, const ce_matrix *scores, const uint8_t *labels,
                     size_t class, size_t *positives) {
    size_t n = 0;
    *positives = 0;
    for (size_t row = 0; row < scores->rows; row++) {
        uint8_t label = labels[row * scores->cols + class];
        float score = ce_matrix_row(scores, row)[class];
        *positives += label == CE_LABEL_YES;
        if (label != CE_LABEL_IGNORED && !isnan(score))
            out[n++] = (scored){score, row, label == CE_LABEL_YES};
    }
    return n;
}

static double precision_of(const scored *order, size_t n, size_t positives) {
    double sum = 0;
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        if (order[i].positive)
            sum += (double)++found / (double)(i + 1);
    return positives ? sum / (double)positives : 0;
}

static scored *new_order(const ce_matrix *scores, ce_error *err) {
    scored *order = calloc(scores->rows + 1, sizeof *order);
    if (!order)
        ce_fail(err, CE_ENOMEM, "no memory to sort %zu scores", scores->rows);
    return order;
}

int ce_average_precision(double *ap, const ce_matrix *scores, const uint8_t *labels,
                         ce_error *err) {
    scored *order = new_order(scores, err);
    if (!order)
        return CE_ENOMEM;
    for (size_t class = 0; class < scores->cols; class ++) {
        size_t positives, n = gather(order, scores, labels, class, &positives);
        qsort(order, n, sizeof *order, best_first);
        ap[class] = precision_of(order, n, positives);
    }
    free(order);
    return CE_OK;
}

int ce_class_ranks(ce_matrix *ranks, const ce_matrix *scores, const uint8_t *labels,
                   ce_error *err) {
    scored *order = new_order(scores, err);
    if (!order)
        return CE_ENOMEM;
    memset(ranks->data, 0, scores->rows * scores->cols * sizeof *ranks->data);
    for (size_t class = 0; class < scores->cols; class ++) {
        size_t positives, n = gather(order, scores, labels, class, &positives);
        qsort(order, n, sizeof *order, best_first);
        for (size_t i = 0; i < n; i++)
            ce_matrix_row(ranks, order[i].row)[class] = (float)(i + 1);
    }
    free(order);
    return CE_OK;
}

/* ---- two pictures, two captions ---- */

ce_winoground ce_winoground_of(const float scores[4]) {
    bool text = scores[0] > scores[2] && scores[3] > scores[1];
    bool image = scores[0] > scores[1] && scores[3] > scores[2];
    return (ce_winoground){text, image, text && image};
}

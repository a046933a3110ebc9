#include "roc.h"

#include <math.h>
#include <stdlib.h>

typedef struct pair {
    double score;
    bool match;
} pair;

static int by_score(const void *a, const void *b) {
    double x = ((const pair *)a)->score, y = ((const pair *)b)->score;
    return (x > y) - (x < y);
}

/* From a < b on, and not below a: what is in the middle of neighbours rounds to one. */
static double between(double a, double b) {
    double middle = a / 2 + b / 2;
    return middle > a && middle <= b ? middle : b;
}

/* Pairs [first, end) share a score; how many of them match. */
static size_t group_end(const pair *pairs, size_t n, size_t first, size_t *matches) {
    size_t end = first;
    *matches = 0;
    for (; end < n && pairs[end].score == pairs[first].score; end++)
        *matches += pairs[end].match;
    return end;
}

/* pairs[n] in ascending order. At every group's end the threshold could lie: below are the
 * rejected, right where they do not match, above the accepted. */
static void sweep(ce_roc *out, const pair *pairs, size_t n, size_t total) {
    size_t scored = 0, below = 0, right, matches;
    double wins = 0;
    for (size_t i = 0; i < n; i++)
        scored += pairs[i].match;
    size_t best = right = scored;
    out->threshold = n ? pairs[0].score : (double)INFINITY;
    for (size_t first = 0, end; first < n; first = end) {
        end = group_end(pairs, n, first, &matches);
        size_t others = end - first - matches;
        wins += (double)matches * ((double)below + (double)others / 2);
        below += others;
        right = right + others - matches;
        double next =
            end < n ? between(pairs[first].score, pairs[end].score) : (double)INFINITY;
        if (right <= best || !(next > pairs[first].score)) /* nothing is above INFINITY */
            continue;
        best = right;
        out->threshold = next;
    }
    out->accuracy = (double)best / (double)total;
    if (out->positives && out->negatives)
        out->auc = wins / ((double)out->positives * (double)out->negatives);
}

int ce_roc_of(ce_roc *out, const double *scores, const bool *matches, size_t n,
              ce_error *err) {
    *out = (ce_roc){.auc = (double)NAN, .threshold = (double)NAN, .accuracy = (double)NAN};
    if (n == 0)
        return CE_OK;
    pair *pairs = calloc(n, sizeof *pairs);
    if (!pairs)
        return ce_fail(err, CE_ENOMEM, "no memory to sort %zu scores", n);
    size_t scored = 0;
    for (size_t i = 0; i < n; i++) {
        out->positives += matches[i];
        if (!isnan(scores[i]))
            pairs[scored++] = (pair){scores[i], matches[i]};
    }
    out->negatives = n - out->positives;
    qsort(pairs, scored, sizeof *pairs, by_score);
    sweep(out, pairs, scored, n);
    free(pairs);
    return CE_OK;
}

double ce_accuracy_from(const double *scores, const bool *matches, size_t n,
                        double threshold) {
    size_t right = 0;
    for (size_t i = 0; i < n; i++)
        right += !isnan(scores[i]) && (scores[i] >= threshold) == matches[i];
    return n ? (double)right / (double)n : (double)NAN;
}

#include "metrics.h"

#include <math.h>
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

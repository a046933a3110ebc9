#include "resamples.h"

#include "stats.h"

#include <math.h>
#include <stdlib.h>

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

uint32_t *ce_number_groups(const uint32_t *groups, size_t n) {
    uint64_t *order = malloc(n * sizeof *order);
    uint32_t *out = order ? malloc(n * sizeof *out) : NULL, number = 0;
    for (size_t i = 0; out && i < n; i++)
        order[i] = (uint64_t)groups[i] << 32 | i;
    if (out)
        qsort(order, n, sizeof *order, by_number);
    for (size_t i = 0; out && i < n; i++) {
        number += i > 0 && order[i] >> 32 != order[i - 1] >> 32;
        out[order[i] & UINT32_MAX] = number;
    }
    free(order);
    return out;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void ce_read_resamples(double *values, size_t n, double *low, double *high) {
    qsort(values, n, sizeof *values, by_value);
    *low = ce_quantile(values, n, 0.025);
    *high = ce_quantile(values, n, 0.975);
}

double ce_deviation(const double *values, size_t n) {
    double centre = 0, sum = 0;
    for (size_t i = 0; i < n; i++)
        centre += values[i];
    centre /= (double)n;
    for (size_t i = 0; i < n; i++)
        sum += (values[i] - centre) * (values[i] - centre);
    return n > 1 ? sqrt(sum / (double)(n - 1)) : 0;
}

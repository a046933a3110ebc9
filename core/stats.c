#include "stats.h"

#include "binomial.h"
#include "trials.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014. */
uint64_t ce_random_next(ce_random *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Lemire: Fast Random Integer Generation in an Interval, ACM TOMACS 29 (2019): the high
 * half of a product, rejected where the low half falls into the part that would favour
 * some results. 2^64 mod n of the low halves are too many. */
uint64_t ce_random_below(ce_random *r, uint64_t n) {
    unsigned __int128 product = (unsigned __int128)ce_random_next(r) * n;
    if ((uint64_t)product < n) {
        uint64_t excess = (0 - n) % n;
        while ((uint64_t)product < excess)
            product = (unsigned __int128)ce_random_next(r) * n;
    }
    return (uint64_t)(product >> 64);
}

double ce_random_unit(ce_random *r) {
    return (double)(ce_random_next(r) >> 11) * 0x1p-53;
}

/* Wilson: Probable Inference, the Law of Succession, and Statistical Inference, JASA 22
 * (1927). At both ends the bound is exact, where the formula would round. */
void ce_wilson(size_t hits, size_t n, double *low, double *high) {
    const double z = 1.959963984540054;
    double count = (double)n, p = (double)hits / count, spread = z * z / count;
    double centre = (p + spread / 2) / (1 + spread);
    double half = z / (1 + spread) * sqrt(p * (1 - p) / count + spread / (4 * count));
    *low = hits == 0 ? 0 : fmax(0, centre - half);
    *high = hits == n ? 1 : fmin(1, centre + half);
}

/* Definition 7 of Hyndman and Fan: Sample Quantiles in Statistical Packages, American
 * Statistician 50 (1996). Interpolated from the nearer neighbour, as NumPy does. */
double ce_quantile(const double *sorted, size_t n, double q) {
    double position = (double)(n - 1) * q;
    if (!(position > 0))
        return sorted[0];
    size_t below = (size_t)position;
    if (below >= n - 1)
        return sorted[n - 1];
    double a = sorted[below], b = sorted[below + 1], t = position - (double)below;
    return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* tally[2 c] misses and tally[2 c + 1] hits of each class, over the classes that occur. */
static double recall_of(const size_t *tally, size_t classes) {
    double sum = 0;
    size_t present = 0;
    for (size_t c = 0; c < classes; c++) {
        size_t hits = tally[2 * c + 1], count = hits + tally[2 * c];
        if (count == 0)
            continue;
        sum += (double)hits / (double)count;
        present++;
    }
    return sum / (double)present;
}

/* An item is nothing but its class and whether it was hit, so a resample is a tally. */
typedef struct recall_job {
    uint32_t *cells; /* [n]: 2 class + hit */
    size_t n, classes;
    double *recalls; /* of each resample */
} recall_job;

static void resample_recall(void *context, size_t number, ce_random *r, void *scratch) {
    const recall_job *j = context;
    size_t *tally = scratch;
    memset(tally, 0, 2 * j->classes * sizeof *tally);
    for (size_t i = 0; i < j->n; i++)
        tally[j->cells[ce_random_below(r, j->n)]]++;
    j->recalls[number] = recall_of(tally, j->classes);
}

int ce_bootstrap_mean_recall(const uint32_t *ranks, const uint32_t *targets, size_t n,
                             size_t classes, size_t resamples, const ce_chance *chance,
                             double *low, double *high, ce_error *err) {
    *low = *high = (double)NAN;
    if (n == 0 || resamples == 0)
        return CE_OK;
    recall_job j = {.cells = calloc(n, sizeof *j.cells),
                    .n = n,
                    .classes = classes,
                    .recalls = calloc(resamples, sizeof *j.recalls)};
    ce_trials trials = {.run = resample_recall,
                        .context = &j,
                        .count = resamples,
                        .scratch = 2 * classes * sizeof(size_t),
                        .work = n,
                        .chance = *chance};
    int code = j.cells && j.recalls ? CE_OK : ce_fail(err, CE_ENOMEM, "out of memory");
    for (size_t i = 0; i < n && code == CE_OK; i++)
        j.cells[i] = 2 * targets[i] + (ranks[i] == 0);
    if (code == CE_OK)
        code = ce_trials_run(&trials, err);
    if (code == CE_OK) {
        qsort(j.recalls, resamples, sizeof *j.recalls, by_value);
        *low = ce_quantile(j.recalls, resamples, 0.025);
        *high = ce_quantile(j.recalls, resamples, 0.975);
    }
    free(j.recalls);
    free(j.cells);
    return code;
}

/* Each cluster's sum and count, side by side; returns how many clusters hold items. */
static size_t tally_clusters(double *sums, double *counts, const double *values,
                             const uint32_t *clusters, size_t n) {
    size_t filled = 0;
    for (size_t i = 0; i < n; i++) {
        size_t cluster = clusters ? clusters[i] : i;
        sums[cluster] += values[i];
        counts[cluster]++;
    }
    for (size_t i = 0; i < n; i++) {
        if (counts[i] == 0)
            continue;
        sums[filled] = sums[i];
        counts[filled++] = counts[i];
    }
    return filled;
}

/* Davison, Hinkley: Bootstrap Methods and their Application (1997), section 3.8: whole
 * clusters are drawn, and the mean is over the items that came with them. */
int ce_bootstrap_mean(const double *values, const uint32_t *clusters, size_t n,
                      size_t resamples, uint64_t seed, double *low, double *high) {
    *low = *high = (double)NAN;
    for (size_t i = 0; i < n; i++)
        if (isnan(values[i]))
            return CE_OK;
    if (n == 0 || resamples == 0)
        return CE_OK;
    int code = CE_ENOMEM;
    double *sums = calloc(n, sizeof *sums), *counts = calloc(n, sizeof *counts);
    double *means = calloc(resamples, sizeof *means);
    if (!sums || !counts || !means)
        goto out;
    size_t filled = tally_clusters(sums, counts, values, clusters, n);
    ce_random random = {seed};
    for (size_t r = 0; r < resamples; r++) {
        double sum = 0, count = 0;
        for (size_t i = 0; i < filled; i++) {
            uint64_t drawn = ce_random_below(&random, filled);
            sum += sums[drawn];
            count += counts[drawn];
        }
        means[r] = sum / count;
    }
    qsort(means, resamples, sizeof *means, by_value);
    *low = ce_quantile(means, resamples, 0.025);
    *high = ce_quantile(means, resamples, 0.975);
    code = CE_OK;
out:
    free(means);
    free(counts);
    free(sums);
    return code;
}

/* McNemar: Note on the Sampling Error of the Difference between Correlated Proportions or
 * Percentages, Psychometrika 12 (1947); exact as the sign test of the items that differ. */
double ce_mcnemar(size_t b, size_t c) {
    if (b == c)
        return 1;
    double p = 2 * ce_binomial_tail(b < c ? b : c, (uint64_t)b + c, 0.5);
    return p > DBL_MIN ? fmin(1, p) : DBL_MIN;
}

typedef struct placed {
    double p;
    size_t at;
} placed;

static int by_p(const void *a, const void *b) {
    return by_value(&((const placed *)a)->p, &((const placed *)b)->p);
}

/* Holm: A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of
 * Statistics 6 (1979). */
int ce_holm(double *adjusted, const double *p, size_t n) {
    placed *order = calloc(n + 1, sizeof *order);
    double most = 0;
    if (!order)
        return CE_ENOMEM;
    for (size_t i = 0; i < n; i++)
        order[i] = (placed){p[i], i};
    qsort(order, n, sizeof *order, by_p);
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fmin(1, order[i].p * (double)(n - i)));
        adjusted[order[i].at] = most;
    }
    free(order);
    return CE_OK;
}

/* Bentley, Floyd: A Sample of Brilliance, CACM 30 (1987). A bit an index: the sample
 * comes out in order without sorting. */
int ce_sample(size_t *out, size_t k, size_t n, uint64_t seed) {
    unsigned char *taken = calloc(n / 8 + 1, 1);
    if (!taken)
        return CE_ENOMEM;
    ce_random random = {seed};
    for (size_t j = n - k; j < n; j++) {
        size_t pick = (size_t)ce_random_below(&random, (uint64_t)j + 1);
        if (taken[pick / 8] >> pick % 8 & 1)
            pick = j;
        taken[pick / 8] |= (unsigned char)(1u << pick % 8);
    }
    for (size_t i = 0; i < n; i++)
        if (taken[i / 8] >> i % 8 & 1)
            *out++ = i;
    free(taken);
    return CE_OK;
}

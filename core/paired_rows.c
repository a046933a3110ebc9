#include "paired_rows.h"

#include "calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINS = CE_CALIBRATION_BINS };

/* ---- items ---- */

typedef struct item {
    uint32_t label, unit; /* unit: 0 where each item is its own */
    double x, y;
} item;

static item calibration_item(const ce_paired *in, size_t i) {
    size_t base = ce_calibration_bin_of(in->base[i]);
    size_t changed = ce_calibration_bin_of(in->changed[i]);
    return (item){.label = (uint32_t)(base * BINS + changed),
                  .x = in->base_correct[i] - in->base[i],
                  .y = in->changed_correct[i] - in->changed[i]};
}

static item difference_item(const ce_paired *in, size_t i) {
    return (item){.label = in->statistic == CE_PAIRED_CLASS_MEAN ? in->classes[i] : 0,
                  .x = in->changed[i] - in->base[i]};
}

static int by_row(const void *a, const void *b) {
    const item *p = a, *q = b;
    if (p->label != q->label)
        return p->label < q->label ? -1 : 1;
    if (p->unit != q->unit)
        return p->unit < q->unit ? -1 : 1;
    if (p->x != q->x)
        return p->x < q->x ? -1 : 1;
    return (p->y > q->y) - (p->y < q->y);
}

/* ---- rows ---- */

/* Whether b goes into a's row: it is of the same cluster, or without clusters the same. */
static bool same_row(const item *a, const item *b, bool clustered) {
    return a->label == b->label && a->unit == b->unit &&
           (clustered || (a->x == b->x && a->y == b->y));
}

static void begin_row(ce_rows *r, const item *first, bool clustered) {
    if (r->groups == 0 || r->label[r->groups - 1] != first->label) {
        r->start[r->groups] = r->rows;
        r->label[r->groups++] = first->label;
    }
    if (clustered)
        r->unit[r->rows] = first->unit;
    r->rows++;
}

static void add_to_row(ce_rows *r, const item *i, bool clustered) {
    size_t row = r->rows - 1;
    if (!clustered && r->members[row]++ > 0)
        return;
    r->count[row]++;
    r->x[row] += i->x;
    r->y[row] += i->y;
}

static void add_totals(ce_rows *r) {
    for (size_t g = 0; g < r->groups; g++)
        for (size_t i = r->start[g]; i < r->start[g + 1]; i++) {
            double members = r->members[r->unit ? r->unit[i] : i];
            r->total_count[g] += members * r->count[i];
            r->total_x[g] += members * r->x[i];
            r->total_y[g] += members * r->y[i];
        }
}

/* items[n], sorted. */
static void fill(ce_rows *r, const item *items, size_t n, bool clustered) {
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !same_row(&items[i - 1], &items[i], clustered))
            begin_row(r, &items[i], clustered);
        add_to_row(r, &items[i], clustered);
    }
    r->start[r->groups] = r->rows;
    r->balls = clustered ? r->units : n;
    if (!clustered)
        r->units = r->rows;
    for (size_t u = 0; clustered && u < r->units; u++)
        r->members[u] = 1;
    add_totals(r);
}

static ce_rows *allocate(size_t n, bool clustered) {
    ce_rows *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->members = calloc(n, sizeof *r->members);
    r->count = calloc(n, sizeof *r->count);
    r->x = calloc(n, sizeof *r->x);
    r->y = calloc(n, sizeof *r->y);
    r->start = calloc(n + 1, sizeof *r->start);
    r->label = calloc(n, sizeof *r->label);
    r->total_count = calloc(n, sizeof *r->total_count);
    r->total_x = calloc(n, sizeof *r->total_x);
    r->total_y = calloc(n, sizeof *r->total_y);
    r->unit = clustered ? calloc(n, sizeof *r->unit) : NULL;
    if (r->members && r->count && r->x && r->y && r->start && r->label && r->total_count &&
        r->total_x && r->total_y && (r->unit || !clustered))
        return r;
    ce_rows_free(r);
    return NULL;
}

void ce_rows_free(ce_rows *r) {
    if (!r)
        return;
    free(r->members);
    free(r->unit);
    free(r->count);
    free(r->x);
    free(r->y);
    free(r->start);
    free(r->label);
    free(r->total_x);
    free(r->total_y);
    free(r->total_count);
    free(r);
}

static size_t count_units(const ce_paired *in) {
    size_t units = 0;
    for (size_t i = 0; in->clusters && i < in->n; i++)
        if (in->clusters[i] >= units)
            units = (size_t)in->clusters[i] + 1;
    return in->clusters ? units : in->n;
}

/* Clusters of one item each are no clusters. */
int ce_rows_new(ce_rows **out, const ce_paired *in, ce_error *err) {
    size_t n = in->n, units = count_units(in);
    bool clustered = units < n;
    item *items = calloc(n, sizeof *items);
    ce_rows *r = items ? allocate(n, clustered) : NULL;
    if (!r) {
        free(items);
        return ce_fail(err, CE_ENOMEM, "out of memory");
    }
    r->calibration = in->statistic == CE_PAIRED_ECE;
    r->units = units;
    for (size_t i = 0; i < n; i++) {
        items[i] = r->calibration ? calibration_item(in, i) : difference_item(in, i);
        items[i].unit = clustered ? in->clusters[i] : 0;
    }
    qsort(items, n, sizeof *items, by_row);
    fill(r, items, n, clustered);
    free(items);
    *out = r;
    return CE_OK;
}

/* ---- the statistic ---- */

size_t ce_rows_scratch(const ce_rows *r) {
    return r->rows * sizeof(uint32_t);
}

/* How often each row counts. */
static const uint32_t *row_weights(const ce_rows *r, const uint32_t *tally, void *scratch) {
    uint32_t *weights = scratch;
    if (!r->unit)
        return tally;
    for (size_t i = 0; i < r->rows; i++)
        weights[i] = tally[r->unit[i]];
    return weights;
}

/* Sum of weight * value over one group, in four lanes, which the compiler makes one of. */
static double weighted(const double *value, const uint32_t *weight, size_t n) {
    double lane[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t j = 0; j < 4; j++)
            lane[j] += (double)(int32_t)weight[i + j] * value[i + j];
    for (; i < n; i++)
        lane[0] += (double)(int32_t)weight[i] * value[i];
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

/* How many items of a group were drawn. */
static double group_count(const ce_rows *r, size_t at, size_t n, const uint32_t *weights) {
    uint64_t sum = 0;
    if (r->unit)
        return weighted(r->count + at, weights + at, n);
    for (size_t i = at; i < at + n; i++) /* a member is an item */
        sum += weights[i];
    return (double)sum;
}

static double mean_of_means(const ce_rows *r, const uint32_t *weights) {
    double sum = 0;
    size_t present = 0;
    for (size_t g = 0; g < r->groups; g++) {
        size_t at = r->start[g], n = r->start[g + 1] - at;
        double count = group_count(r, at, n, weights);
        if (count == 0)
            continue;
        sum += weighted(r->x + at, weights + at, n) / count;
        present++;
    }
    return sum / (double)present;
}

double ce_calibration_gaps(const double *gaps) {
    double sum = 0;
    for (size_t b = 0; b < BINS; b++)
        sum += fabs(gaps[b]);
    return sum;
}

static double calibration_difference(const ce_rows *r, const uint32_t *weights) {
    double base[BINS] = {0}, changed[BINS] = {0}, count = 0;
    for (size_t g = 0; g < r->groups; g++) {
        size_t at = r->start[g], n = r->start[g + 1] - at;
        count += group_count(r, at, n, weights);
        base[r->label[g] / BINS] += weighted(r->x + at, weights + at, n);
        changed[r->label[g] % BINS] += weighted(r->y + at, weights + at, n);
    }
    return (ce_calibration_gaps(changed) - ce_calibration_gaps(base)) / count;
}

double ce_rows_difference(const ce_rows *r, const uint32_t *tally, void *scratch) {
    const uint32_t *weights = row_weights(r, tally, scratch);
    return r->calibration ? calibration_difference(r, weights) : mean_of_means(r, weights);
}

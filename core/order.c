#include "order.h"

#include "metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { LANES = CE_LANES };

/* ---- sorting ---- */

typedef struct placed {
    double place;
    uint32_t item;
    bool positive;
} placed;

/* Of equal places the lower item comes first, as in core/metrics.h. */
static int by_item(const void *a, const void *b) {
    const placed *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

/* Where ties have no order: positives first, for longer runs of one kind. */
static int by_kind(const void *a, const void *b) {
    const placed *x = a, *y = b;
    if (x->place == y->place && x->positive != y->positive)
        return x->positive ? -1 : 1;
    return by_item(a, b);
}

/* For the precision, what could not be read counts among the positives alone. */
static bool counts(ce_order_statistic statistic, double place, uint8_t label) {
    return label != CE_LABEL_IGNORED &&
           (statistic != CE_ORDER_PRECISION || label == CE_LABEL_YES || place < INFINITY);
}

typedef struct source {
    const double *places[2];
    const uint8_t *labels;
    size_t n, runs;
} source;

static size_t gather(placed *out, const source *from, ce_order_statistic statistic,
                     size_t class) {
    size_t count = 0;
    for (size_t i = 0; i < from->n; i++)
        for (size_t run = 0; run < from->runs; run++) {
            size_t at = class * from->n + i;
            uint8_t label = from->labels ? from->labels[at] : CE_LABEL_NO;
            double place = from->places[run][at];
            if (counts(statistic, place, label))
                out[count++] = (placed){place, (uint32_t)(from->runs * i + run),
                                        label == CE_LABEL_YES};
        }
    return count;
}

static void fill(ce_order *o, placed *scratch, const source *from) {
    bool ties_by_kind = o->statistic == CE_ORDER_AUC;
    for (size_t c = 0; c < o->classes; c++) {
        size_t at = o->start[c], count = gather(scratch, from, o->statistic, c);
        qsort(scratch, count, sizeof *scratch, ties_by_kind ? by_kind : by_item);
        o->unread[c] = o->start[c + 1] = at + count;
        for (size_t i = count; i-- > 0;) {
            o->place[at + i] = scratch[i].place;
            o->item[at + i] = 2 * scratch[i].item + scratch[i].positive;
            if (isinf(scratch[i].place))
                o->unread[c] = at + i;
        }
    }
}

int ce_order_new(ce_order **out, ce_order_statistic statistic, const double *places,
                 const double *changed, const uint8_t *labels, size_t n, size_t classes,
                 ce_error *err) {
    source from = {{places, changed}, labels, n, changed ? 2 : 1};
    size_t each = n * from.runs;
    placed *scratch = calloc(each, sizeof *scratch);
    ce_order *o = calloc(1, sizeof *o);
    if (o) {
        o->statistic = statistic;
        o->classes = classes;
        o->start = calloc(classes + 1, sizeof *o->start);
        o->unread = calloc(classes, sizeof *o->unread);
        o->place = calloc(each, classes * sizeof *o->place);
        o->item = calloc(each, classes * sizeof *o->item);
    }
    bool enough = scratch && o && o->start && o->unread && o->place && o->item;
    if (enough)
        fill(o, scratch, &from);
    else
        ce_order_free(o);
    free(scratch);
    if (!enough)
        return ce_fail(err, CE_ENOMEM, "no memory to sort %zu items of %zu classes", n,
                       classes);
    *out = o;
    return CE_OK;
}

void ce_order_free(ce_order *o) {
    if (!o)
        return;
    free(o->start);
    free(o->unread);
    free(o->place);
    free(o->item);
    free(o);
}

static size_t end_of_ties(const ce_order *o, size_t first, size_t end) {
    size_t i = first + 1;
    while (i < end && o->place[i] == o->place[first])
        i++;
    return i;
}

void ce_order_number(const ce_order *o, double *places, size_t n) {
    for (size_t c = 0; c < o->classes; c++)
        for (size_t from = o->start[c], i = from, end; i < o->unread[c]; i = end) {
            end = o->statistic == CE_ORDER_AUC ? end_of_ties(o, i, o->unread[c]) : i + 1;
            for (size_t k = i; k < end; k++)
                places[c * n + o->item[k] / 2] = (double)(i - from + 1 + end - from) / 2;
        }
}

/* ---- adding ---- */

static const uint8_t *row_of(const ce_order *o, size_t i, const uint8_t *weights) {
    return weights + (size_t)(o->item[i] >> 1) * LANES;
}

static bool positive(const ce_order *o, size_t i) {
    return o->item[i] & 1;
}

/* Adds the weights of placed items [first, end); 256 of them fit into 16 bits. */
static void add_run(uint32_t *sums, const ce_order *o, size_t first, size_t end,
                    const uint8_t *weights) {
    while (first < end) {
        uint16_t part[LANES] = {0};
        size_t stop = end - first > 256 ? first + 256 : end;
        for (; first < stop; first++) {
            const uint8_t *w = row_of(o, first, weights);
            for (size_t l = 0; l < LANES; l++)
                part[l] = (uint16_t)(part[l] + w[l]);
        }
        for (size_t l = 0; l < LANES; l++)
            sums[l] += part[l];
    }
}

/* The end of a run of one kind. */
static size_t end_of_run(const ce_order *o, size_t first, size_t end, bool kind) {
    while (first < end && positive(o, first) == kind)
        first++;
    return first;
}

/* ---- average precision ---- */

typedef struct precision {
    uint32_t seen[LANES], found[LANES], lost[LANES]; /* lost: positives that are unread */
    double sum[LANES];
} precision;

/* What is drawn several times stands there several times, one after another. */
static void add_positive(precision *p, const uint8_t *weights) {
    uint8_t most = 0;
    for (size_t l = 0; l < LANES; l++)
        most = weights[l] > most ? weights[l] : most;
    for (uint8_t copy = 0; copy < most; copy++)
        for (size_t l = 0; l < LANES; l++) {
            uint32_t more = weights[l] > copy;
            p->seen[l] += more;
            p->found[l] += more;
            double below = (int32_t)(p->seen[l] + !more); /* not 0 */
            p->sum[l] += (double)(int32_t)more * (int32_t)p->found[l] / below;
        }
}

static void walk_class(precision *p, const ce_order *o, size_t class,
                       const uint8_t *weights) {
    size_t i = o->start[class], end = o->unread[class];
    *p = (precision){0};
    while (i < end) {
        size_t next = end_of_run(o, i, end, false);
        add_run(p->seen, o, i, next, weights);
        for (i = next; i < end && positive(o, i); i++)
            add_positive(p, row_of(o, i, weights));
    }
    add_run(p->lost, o, end, o->start[class + 1], weights);
}

static void walk_precision(double *out, const ce_order *o, const uint8_t *weights) {
    double sum[LANES] = {0};
    uint32_t present[LANES] = {0};
    precision p;
    for (size_t c = 0; c < o->classes; c++) {
        walk_class(&p, o, c, weights);
        for (size_t l = 0; l < LANES; l++)
            if (p.found[l] + p.lost[l] > 0) {
                sum[l] += p.sum[l] / (p.found[l] + p.lost[l]);
                present[l]++;
            }
    }
    for (size_t l = 0; l < LANES; l++)
        out[l] = present[l] ? sum[l] / present[l] : (double)NAN;
}

/* ---- area under the ROC curve ---- */

typedef struct area {
    uint32_t yes[LANES], no[LANES]; /* that were passed */
    double lost[LANES]; /* twice the pairs whose negative comes first, ties by half */
} area;

static void pass_ties(area *a, const ce_order *o, size_t first, size_t end,
                      const uint8_t *weights) {
    size_t middle = end_of_run(o, first, end, true);
    uint32_t yes[LANES] = {0}, no[LANES] = {0};
    add_run(no, o, middle, end, weights);
    if (middle > first) {
        add_run(yes, o, first, middle, weights);
        for (size_t l = 0; l < LANES; l++)
            a->lost[l] += (double)yes[l] * (2.0 * a->no[l] + no[l]);
    }
    for (size_t l = 0; l < LANES; l++) {
        a->yes[l] += yes[l];
        a->no[l] += no[l];
    }
}

static void walk_area(double *out, const ce_order *o, const uint8_t *weights) {
    area a = {{0}, {0}, {0}};
    uint32_t unread_yes[LANES] = {0}, unread_no[LANES] = {0};
    size_t end = o->unread[0], all = o->start[1], middle = end_of_run(o, end, all, true);
    for (size_t first = 0, next; first < end; first = next) {
        next = end_of_ties(o, first, end);
        pass_ties(&a, o, first, next, weights);
    }
    add_run(unread_yes, o, end, middle, weights);
    add_run(unread_no, o, middle, all, weights);
    for (size_t l = 0; l < LANES; l++) {
        double pairs =
            ((double)a.yes[l] + unread_yes[l]) * ((double)a.no[l] + unread_no[l]);
        double won = (double)a.yes[l] * a.no[l] - a.lost[l] / 2;
        out[l] = pairs > 0 ? won / pairs : (double)NAN;
    }
}

/* ---- median ---- */

static void walk_median(double *out, const ce_order *o, const uint8_t *weights) {
    uint32_t total[LANES] = {0}, passed[LANES] = {0};
    double lower[LANES], upper[LANES];
    size_t n = o->start[1];
    add_run(total, o, 0, n, weights);
    for (size_t first = 0, next; first < n; first = next) {
        next = end_of_ties(o, first, n);
        for (size_t l = 0; l < LANES; l++) {
            lower[l] = 2.0 * passed[l] < total[l] ? o->place[first] : lower[l];
            upper[l] = 2.0 * passed[l] <= total[l] ? o->place[first] : upper[l];
        }
        add_run(passed, o, first, next, weights);
    }
    for (size_t l = 0; l < LANES; l++)
        out[l] = (lower[l] + upper[l]) / 2;
}

void ce_order_walk(double *out, const ce_order *o, const uint8_t *weights) {
    if (o->statistic == CE_ORDER_PRECISION)
        walk_precision(out, o, weights);
    else if (o->statistic == CE_ORDER_AUC)
        walk_area(out, o, weights);
    else
        walk_median(out, o, weights);
}

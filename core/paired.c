#include "paired.h"

#include "calibration.h"
#include "paired_hits.h"
#include "paired_rows.h"
#include "paired_swaps.h"
#include "resamples.h"
#include "sign_flip.h"
#include "stats.h"
#include "urn.h"

#include <math.h>
#include <stdlib.h>

/* ---- what was seen ---- */

static double mean(const double *values, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    return sum / (double)n;
}

/* Of one run: the mean over the classes that occur of the mean over a class's items. */
static double class_mean(const ce_paired *in, const double *values, double *sums,
                         double *counts, size_t classes) {
    double sum = 0;
    size_t present = 0;
    for (size_t c = 0; c < classes; c++)
        sums[c] = counts[c] = 0;
    for (size_t i = 0; i < in->n; i++) {
        sums[in->classes[i]] += values[i];
        counts[in->classes[i]]++;
    }
    for (size_t c = 0; c < classes; c++)
        if (counts[c] > 0) {
            sum += sums[c] / counts[c];
            present++;
        }
    return sum / (double)present;
}

static int see_class_means(ce_paired_result *out, const ce_paired *in, ce_error *err) {
    size_t classes = 0;
    for (size_t i = 0; i < in->n; i++)
        if (in->classes[i] >= classes)
            classes = (size_t)in->classes[i] + 1;
    double *sums = calloc(classes, 2 * sizeof *sums);
    if (!sums)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    out->base = class_mean(in, in->base, sums, sums + classes, classes);
    out->changed = class_mean(in, in->changed, sums, sums + classes, classes);
    free(sums);
    return CE_OK;
}

static void count_changes(ce_paired_result *out, const ce_paired *in) {
    bool ece = in->statistic == CE_PAIRED_ECE;
    for (size_t i = 0; i < in->n; i++) {
        double before = ece ? in->base_correct[i] : in->base[i];
        double after = ece ? in->changed_correct[i] : in->changed[i];
        out->rose += after > before;
        out->fell += after < before;
    }
}

static int see(ce_paired_result *out, const ce_paired *in, ce_error *err) {
    ce_calibration_bin bins[CE_CALIBRATION_BINS];
    int code = CE_OK;
    count_changes(out, in);
    if (in->statistic == CE_PAIRED_CLASS_MEAN) {
        code = see_class_means(out, in, err);
    } else if (in->statistic == CE_PAIRED_ECE) {
        out->base = ce_calibration_error(in->base, in->base_correct, in->n, bins);
        out->changed = ce_calibration_error(in->changed, in->changed_correct, in->n, bins);
    } else {
        out->base = mean(in->base, in->n);
        out->changed = mean(in->changed, in->n);
    }
    out->difference = out->changed - out->base;
    if (in->statistic == CE_PAIRED_HITS) /* without the rounding */
        out->difference = ((double)out->rose - (double)out->fell) / (double)in->n;
    return code;
}

/* ---- the interval ---- */

typedef struct bootstrap {
    const ce_rows *rows;
    const ce_urn *urn;
    double *differences; /* [resamples] */
} bootstrap;

static void resample(void *context, size_t number, ce_random *r, void *scratch) {
    const bootstrap *b = context;
    uint32_t *tally = scratch;
    ce_urn_draw(b->urn, r, tally);
    b->differences[number] = ce_rows_difference(b->rows, tally, tally + b->rows->units);
}

/* The standard deviation of what single items differ by. */
static double item_spread(const ce_rows *r) {
    double n = (double)r->balls, centre = r->total_x[0] / n, sum = 0;
    for (size_t i = 0; i < r->rows; i++)
        sum += r->members[i] * (r->x[i] - centre) * (r->x[i] - centre);
    return n > 1 ? sqrt(sum / (n - 1)) : 0;
}

static void read_resamples(ce_paired_result *out, double *differences, const ce_paired *in,
                           const ce_rows *rows) {
    size_t count = in->resamples;
    out->spread = in->statistic == CE_PAIRED_MEAN && !rows->unit
                      ? item_spread(rows)
                      : ce_deviation(differences, count) * sqrt((double)in->n);
    ce_read_resamples(differences, count, &out->low, &out->high);
}

static int find_interval(ce_paired_result *out, const ce_paired *in, const ce_rows *rows,
                         ce_error *err) {
    ce_urn *urn = NULL;
    bootstrap b = {rows, NULL, calloc(in->resamples, sizeof *b.differences)};
    int code = b.differences ? ce_urn_new(&urn, rows->members, rows->units, err)
                             : ce_fail(err, CE_ENOMEM, "out of memory");
    if (code < 0)
        goto out;
    b.urn = urn;
    ce_trials trials = {.run = resample,
                        .context = &b,
                        .count = in->resamples,
                        .scratch = rows->units * sizeof(uint32_t) + ce_rows_scratch(rows),
                        .work = rows->rows,
                        .chance = in->chance};
    if ((code = ce_trials_run(&trials, err)) == CE_OK)
        read_resamples(out, b.differences, in, rows);
out:
    ce_urn_free(urn);
    free(b.differences);
    return code;
}

/* ---- the test ---- */

/* What each unit adds to the difference; of each member, one after another. */
static void unit_values(double *out, double *sums, const ce_rows *r) {
    for (size_t g = 0; g < r->groups; g++)
        for (size_t i = r->start[g]; i < r->start[g + 1]; i++)
            sums[r->unit ? r->unit[i] : i] +=
                r->x[i] / (r->total_count[g] * (double)r->groups);
    for (size_t u = 0; u < r->units; u++)
        for (uint32_t m = 0; m < r->members[u]; m++)
            *out++ = sums[u];
}

static int test_signs(ce_paired_result *out, const ce_paired *in, const ce_rows *rows,
                      ce_chance chance, ce_error *err) {
    double *values = calloc(rows->balls, sizeof *values);
    double *sums = calloc(rows->units, sizeof *sums);
    int code = CE_ENOMEM;
    if (values && sums) {
        unit_values(values, sums, rows);
        code = ce_sign_flip(&out->p, values, rows->balls, in->resamples, chance, err);
    } else {
        ce_fail(err, code, "out of memory");
    }
    out->test = "sign-flip permutation";
    free(sums);
    free(values);
    return code;
}

/* Hits that stand each for themselves need no chance. */
static void count_hits(ce_paired_result *out, const ce_paired *in) {
    double n = (double)in->n, differ = (double)(out->rose + out->fell);
    ce_paired_hits_interval(out->rose, out->fell, in->n, &out->low, &out->high);
    out->spread =
        n > 1 ? sqrt(fmax(0, differ - n * out->difference * out->difference) / (n - 1)) : 0;
    out->p = ce_mcnemar(out->fell, out->rose);
    out->test = "McNemar exact";
}

/* The permutations take another seed than the bootstrap. */
static int test(ce_paired_result *out, const ce_paired *in, const ce_rows *rows,
                ce_error *err) {
    ce_chance chance = in->chance;
    chance.seed += 0x9fb21c651e98df25u;
    if (in->statistic == CE_PAIRED_ECE) {
        out->test = "swap permutation";
        return ce_swap_test(&out->p, rows, in->resamples, chance, err);
    }
    return test_signs(out, in, rows, chance, err);
}

/* ---- both ---- */

static int check(const ce_paired *in, ce_error *err) {
    if (in->n == 0 || in->n > INT32_MAX)
        return ce_fail(err, CE_EINVAL, "%s", in->n ? "too many items" : "no items");
    if (in->resamples == 0 || in->resamples > INT32_MAX)
        return ce_fail(err, CE_EINVAL, "resamples must be 1 to 2147483647");
    for (size_t i = 0; i < in->n; i++)
        if (!isfinite(in->base[i]) || !isfinite(in->changed[i]) ||
            !isfinite(in->changed[i] - in->base[i]))
            return ce_fail(err, CE_EINVAL, "item %zu: the value is not finite", i + 1);
        else if (in->statistic == CE_PAIRED_HITS &&
                 ((in->base[i] != 0 && in->base[i] != 1) ||
                  (in->changed[i] != 0 && in->changed[i] != 1)))
            return ce_fail(err, CE_EINVAL, "item %zu: a hit is 0 or 1", i + 1);
    return CE_OK;
}

static int test_numbered(ce_paired_result *out, const ce_paired *in, ce_error *err) {
    ce_rows *rows = NULL;
    int code = see(out, in, err);
    if (code == CE_OK)
        code = ce_rows_new(&rows, in, err);
    if (code < 0)
        return code;
    if (in->statistic == CE_PAIRED_HITS && !rows->unit)
        count_hits(out, in);
    else if ((code = find_interval(out, in, rows, err)) == CE_OK)
        code = test(out, in, rows, err);
    ce_rows_free(rows);
    return code;
}

int ce_paired_test(ce_paired_result *out, const ce_paired *in, ce_error *err) {
    ce_paired numbered = *in;
    uint32_t *clusters = NULL, *classes = NULL;
    *out = (ce_paired_result){0};
    int code = check(in, err);
    if (code < 0)
        return code;
    if (in->clusters)
        numbered.clusters = clusters = ce_number_groups(in->clusters, in->n);
    if (in->statistic == CE_PAIRED_CLASS_MEAN)
        numbered.classes = classes = ce_number_groups(in->classes, in->n);
    if ((in->clusters && !clusters) || (numbered.classes != in->classes && !classes))
        code = ce_fail(err, CE_ENOMEM, "out of memory");
    else
        code = test_numbered(out, &numbered, err);
    free(classes);
    free(clusters);
    return code;
}

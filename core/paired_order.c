#include "paired_order.h"

#include "metrics.h"
#include "resamples.h"
#include "urn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = CE_LANES, HALF = LANES / 2 };

typedef struct job {
    size_t n, units;
    const uint32_t *unit; /* [n]; NULL: each item its own */
    ce_order *base, *changed, *both;
    ce_urn *urn;
    double scale;        /* the share of the classes that have positives */
    double *differences; /* [resamples + LANES] */
} job;

static size_t unit_of(const job *j, size_t i) {
    return j->unit ? j->unit[i] : i;
}

/* ---- one figure less the other ---- */

/* Both are infinite where half of the items could not be read: nothing tells them apart. */
static void subtract(double *out, const double *changed, const double *base, double scale,
                     size_t n) {
    for (size_t l = 0; l < n; l++)
        out[l] = isinf(base[l]) && isinf(changed[l]) ? 0 : scale * (changed[l] - base[l]);
}

static void resample(void *context, size_t number, ce_random *r, void *scratch) {
    const job *j = context;
    uint32_t *tally = scratch;
    uint8_t *weights = (uint8_t *)(tally + j->units);
    double base[LANES], changed[LANES];
    for (size_t l = 0; l < LANES; l++) {
        ce_urn_draw(j->urn, r, tally);
        for (size_t i = 0; i < j->n; i++) { /* above 255: once in 10^500 */
            uint32_t times = tally[unit_of(j, i)];
            weights[i * LANES + l] = (uint8_t)(times < 255 ? times : 255);
        }
    }
    ce_order_walk(base, j->base, weights);
    ce_order_walk(changed, j->changed, weights);
    subtract(j->differences + number * LANES, changed, base, j->scale, LANES);
}

/* What `both` holds of an item are its place in the base run, then that in the other. Half
 * of the lanes take one of them, and the other half what is left. */
static void permute(void *context, size_t number, ce_random *r, void *scratch) {
    const job *j = context;
    uint8_t *coins = scratch, *weights = coins + j->units;
    double figure[LANES];
    for (size_t u = 0; u < j->units; u++)
        coins[u] = ce_random_next(r) >> 56 & 255;
    for (size_t i = 0; i < j->n; i++) {
        uint8_t *own = weights + 2 * i * LANES, *other = own + LANES;
        for (size_t l = 0; l < HALF; l++) {
            uint8_t swapped = coins[unit_of(j, i)] >> l & 1;
            own[l] = other[HALF + l] = !swapped;
            own[HALF + l] = other[l] = swapped;
        }
    }
    ce_order_walk(figure, j->both, weights);
    subtract(j->differences + number * HALF, figure + HALF, figure, j->scale, HALF);
}

/* ---- what was seen ---- */

static double share_with_positives(const ce_paired_order *in) {
    size_t with = 0;
    for (size_t c = 0; in->labels && c < in->classes; c++)
        with += memchr(in->labels + c * in->n, CE_LABEL_YES, in->n) != NULL;
    return in->statistic == CE_ORDER_PRECISION ? (double)with / (double)in->classes : 1;
}

static int see(ce_paired_result *out, job *j, const ce_paired_order *in, ce_error *err) {
    double base[LANES], changed[LANES];
    uint8_t *once = malloc(in->n * LANES);
    if (!once)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    memset(once, 1, in->n * LANES);
    ce_order_walk(base, j->base, once);
    ce_order_walk(changed, j->changed, once);
    free(once);
    j->scale = share_with_positives(in);
    out->base = j->scale * base[0];
    out->changed = j->scale * changed[0];
    out->difference = out->changed - out->base;
    for (size_t i = 0; in->statistic == CE_ORDER_MEDIAN && i < in->n; i++) {
        out->rose += in->changed[i] > in->base[i];
        out->fell += in->changed[i] < in->base[i];
    }
    return CE_OK;
}

/* Both runs' orders and their union, in places that mean the same in both. */
static int sort_items(job *j, const ce_paired_order *in, ce_error *err) {
    ce_order_statistic s = in->statistic;
    size_t count = in->n * in->classes;
    double *places = calloc(in->n, 2 * in->classes * sizeof *places);
    if (!places)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    memcpy(places, in->base, count * sizeof *places);
    memcpy(places + count, in->changed, count * sizeof *places);
    int code =
        ce_order_new(&j->base, s, in->base, NULL, in->labels, in->n, in->classes, err);
    if (code == CE_OK)
        code = ce_order_new(&j->changed, s, in->changed, NULL, in->labels, in->n,
                            in->classes, err);
    if (code == CE_OK && s != CE_ORDER_MEDIAN) {
        ce_order_number(j->base, places, in->n);
        ce_order_number(j->changed, places + count, in->n);
    }
    if (code == CE_OK)
        code = ce_order_new(&j->both, s, places, places + count, in->labels, in->n,
                            in->classes, err);
    free(places);
    return code;
}

/* ---- chance ---- */

static size_t units_of(const ce_paired_order *in, const uint32_t *unit) {
    size_t units = 0;
    for (size_t i = 0; unit && i < in->n; i++)
        if (unit[i] >= units)
            units = (size_t)unit[i] + 1;
    return unit ? units : in->n;
}

static int new_urn(job *j, ce_error *err) {
    uint32_t *one = calloc(j->units, sizeof *one);
    for (size_t u = 0; one && u < j->units; u++)
        one[u] = 1;
    int code = one ? ce_urn_new(&j->urn, one, j->units, err)
                   : ce_fail(err, CE_ENOMEM, "out of memory");
    free(one);
    return code;
}

static int run(job *j, const ce_paired_order *in, bool permutations, ce_error *err) {
    size_t lanes = permutations ? HALF : LANES;
    ce_trials trials = {.run = permutations ? permute : resample,
                        .context = j,
                        .count = (in->resamples + lanes - 1) / lanes,
                        .scratch = j->units * sizeof(uint32_t) + 2 * in->n * LANES,
                        .work = in->n * in->classes * LANES,
                        .chance = in->chance};
    if (permutations) /* others than the bootstrap's */
        trials.chance.seed += 0x9fb21c651e98df25u;
    return ce_trials_run(&trials, err);
}

/* Resamples without a figure, since no positive was drawn, are left out. */
static void find_interval(ce_paired_result *out, const job *j, const ce_paired_order *in) {
    size_t kept = 0;
    for (size_t i = 0; i < in->resamples; i++)
        if (!isnan(j->differences[i]))
            j->differences[kept++] = j->differences[i];
    if (kept == 0)
        j->differences[kept++] = out->difference;
    out->spread = ce_deviation(j->differences, kept) * sqrt((double)in->n);
    ce_read_resamples(j->differences, kept, &out->low, &out->high);
}

static double share_as_far(const job *j, double seen, size_t permutations) {
    size_t far = 0;
    for (size_t i = 0; i < permutations; i++)
        far += !(fabs(j->differences[i]) < fabs(seen) - 1e-12);
    return (double)(1 + far) / (double)(1 + permutations);
}

static int check(const ce_paired_order *in, ce_error *err) {
    if (in->n == 0 || in->n > (size_t)1 << 30 || in->classes == 0)
        return ce_fail(err, CE_EINVAL, "%s",
                       in->n && in->classes ? "too many items" : "no items");
    if (in->classes > SIZE_MAX / 64 / in->n)
        return ce_fail(err, CE_EINVAL, "too many items");
    if (in->resamples == 0 || in->resamples > INT32_MAX)
        return ce_fail(err, CE_EINVAL, "resamples must be 1 to 2147483647");
    for (size_t i = 0; i < in->n * in->classes; i++)
        if (isnan(in->base[i]) || isnan(in->changed[i]))
            return ce_fail(err, CE_EINVAL, "item %zu: no number", i % in->n + 1);
    return CE_OK;
}

static int compare(ce_paired_result *out, job *j, const ce_paired_order *in,
                   ce_error *err) {
    int code = sort_items(j, in, err);
    if (code == CE_OK)
        code = see(out, j, in, err);
    if (code == CE_OK && !isfinite(out->difference)) {
        out->low = out->high = out->p = (double)NAN;
        return CE_OK;
    }
    if (code == CE_OK)
        code = new_urn(j, err);
    if (code == CE_OK && !(j->differences = calloc(in->resamples + LANES, sizeof(double))))
        code = ce_fail(err, CE_ENOMEM, "out of memory");
    if (code == CE_OK && (code = run(j, in, false, err)) == CE_OK)
        find_interval(out, j, in);
    if (code == CE_OK && (code = run(j, in, true, err)) == CE_OK)
        out->p = share_as_far(j, out->difference, in->resamples);
    return code;
}

int ce_paired_order_test(ce_paired_result *out, const ce_paired_order *in, ce_error *err) {
    job j = {.n = in->n};
    uint32_t *unit = NULL;
    *out = (ce_paired_result){.test = "swap permutation"};
    int code = check(in, err);
    if (code < 0)
        return code;
    if (in->clusters && !(unit = ce_number_groups(in->clusters, in->n)))
        return ce_fail(err, CE_ENOMEM, "out of memory");
    j.unit = unit;
    j.units = units_of(in, unit);
    code = compare(out, &j, in, err);
    ce_order_free(j.base);
    ce_order_free(j.changed);
    ce_order_free(j.both);
    ce_urn_free(j.urn);
    free(j.differences);
    free(unit);
    return code;
}

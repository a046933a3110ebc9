#include "paired_swaps.h"

#include "calibration.h"
#include "sign_flip.h"

#include <math.h>
#include <stdlib.h>

enum { BINS = CE_CALIBRATION_BINS, BATCH = CE_FLIP_BATCH };

/* A swap moves a row's x out of the base run's bin and its y into it; the other run always
 * holds the rest of both. So the base run's bins tell all. */
typedef struct swap_job {
    const ce_rows *rows;
    size_t permutations;
    double base[BINS], both[BINS], count; /* as seen */
    double seen;
    size_t *far; /* [batches] */
} swap_job;

static double difference(const swap_job *job, const double *base) {
    double changed[BINS];
    for (size_t b = 0; b < BINS; b++)
        changed[b] = job->both[b] - base[b];
    return (ce_calibration_gaps(changed) - ce_calibration_gaps(base)) / job->count;
}

static void sum_up(swap_job *job) {
    const ce_rows *r = job->rows;
    for (size_t g = 0; g < r->groups; g++) {
        job->base[r->label[g] / BINS] += r->total_x[g];
        job->both[r->label[g] / BINS] += r->total_x[g];
        job->both[r->label[g] % BINS] += r->total_y[g];
        job->count += r->total_count[g];
    }
    job->seen = fabs(difference(job, job->base)) - 1e-12;
}

/* ---- items that stand for themselves: eight at a time, for a batch of permutations ----
 */

typedef struct batch {
    double base[BINS][BATCH];
    double x[CE_CHOICES], y[CE_CHOICES];
} batch;

/* What leaves a bin, or enters it, by eight items' swaps. */
static void move(double *from, double *to, const batch *b, ce_random *r) {
    for (size_t i = 0; i < BATCH; i += 8) {
        uint64_t bytes = ce_random_next(r);
        for (size_t j = 0; j < 8; j++, bytes >>= 8) {
            from[i + j] -= b->x[bytes & 255];
            to[i + j] += b->y[bytes & 255];
        }
    }
}

static void move_inside(double *bin, const batch *b, ce_random *r) {
    for (size_t i = 0; i < BATCH; i += 8) {
        uint64_t bytes = ce_random_next(r);
        for (size_t j = 0; j < 8; j++, bytes >>= 8)
            bin[i + j] += b->y[bytes & 255];
    }
}

static void swap_eight(batch *b, uint32_t label, const double *x, const double *y,
                       ce_random *r) {
    size_t from = label / BINS, to = label % BINS;
    double gain[CE_EIGHT];
    if (from != to) {
        ce_choice_sums(b->x, x);
        ce_choice_sums(b->y, y);
        move(b->base[from], b->base[to], b, r);
        return;
    }
    for (size_t i = 0; i < CE_EIGHT; i++)
        gain[i] = y[i] - x[i];
    ce_choice_sums(b->y, gain);
    move_inside(b->base[to], b, r);
}

/* A row's members are swapped each for itself; one that is the same in both runs may stay.
 */
static void swap_group(batch *b, const ce_rows *rows, size_t group, ce_random *r) {
    double x[CE_EIGHT] = {0}, y[CE_EIGHT] = {0};
    uint32_t label = rows->label[group];
    size_t held = 0;
    for (size_t i = rows->start[group]; i < rows->start[group + 1]; i++) {
        bool same = label / BINS == label % BINS && rows->x[i] == rows->y[i];
        for (uint32_t m = 0; !same && m < rows->members[i]; m++) {
            x[held] = rows->x[i];
            y[held++] = rows->y[i];
            if (held == CE_EIGHT) {
                swap_eight(b, label, x, y, r);
                held = 0;
            }
        }
    }
    for (size_t i = held; i < CE_EIGHT; i++)
        x[i] = y[i] = 0;
    if (held > 0)
        swap_eight(b, label, x, y, r);
}

static void swap_batch(void *context, size_t number, ce_random *r, void *scratch) {
    const swap_job *job = context;
    batch *b = scratch;
    double base[BINS];
    for (size_t bin = 0; bin < BINS; bin++)
        for (size_t i = 0; i < BATCH; i++)
            b->base[bin][i] = job->base[bin];
    for (size_t g = 0; g < job->rows->groups; g++)
        swap_group(b, job->rows, g, r);
    for (size_t i = 0; i < BATCH && number * BATCH + i < job->permutations; i++) {
        for (size_t bin = 0; bin < BINS; bin++)
            base[bin] = b->base[bin][i];
        job->far[number] += fabs(difference(job, base)) >= job->seen;
    }
}

/* ---- clusters: permutation by permutation ---- */

static void toss(bool *swapped, size_t n, ce_random *r) {
    uint64_t coins = 0;
    for (size_t i = 0; i < n; i++, coins >>= 1) {
        if (i % 64 == 0)
            coins = ce_random_next(r);
        swapped[i] = coins & 1;
    }
}

static void swap_clusters(void *context, size_t number, ce_random *r, void *scratch) {
    const swap_job *job = context;
    const ce_rows *rows = job->rows;
    bool *swapped = scratch;
    double base[BINS];
    for (size_t bin = 0; bin < BINS; bin++)
        base[bin] = job->base[bin];
    toss(swapped, rows->units, r);
    for (size_t g = 0; g < rows->groups; g++) {
        double x = 0, y = 0;
        for (size_t i = rows->start[g]; i < rows->start[g + 1]; i++) {
            double moves = swapped[rows->unit[i]];
            x += moves * rows->x[i];
            y += moves * rows->y[i];
        }
        base[rows->label[g] / BINS] -= x;
        base[rows->label[g] % BINS] += y;
    }
    job->far[number] = fabs(difference(job, base)) >= job->seen;
}

int ce_swap_test(double *p, const ce_rows *rows, size_t permutations, ce_chance chance,
                 ce_error *err) {
    size_t count = rows->unit ? permutations : (permutations + BATCH - 1) / BATCH, far = 0;
    swap_job job = {.rows = rows, .permutations = permutations};
    job.far = calloc(count, sizeof *job.far);
    if (!job.far)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    sum_up(&job);
    ce_trials trials = {.run = rows->unit ? swap_clusters : swap_batch,
                        .context = &job,
                        .count = count,
                        .scratch = rows->unit ? rows->units : sizeof(batch),
                        .work = rows->unit ? rows->rows : rows->balls * BATCH / CE_EIGHT,
                        .chance = chance};
    int code = ce_trials_run(&trials, err);
    for (size_t i = 0; code == CE_OK && i < count; i++)
        far += job.far[i];
    *p = (double)(1 + far) / (double)(1 + permutations);
    free(job.far);
    return code;
}

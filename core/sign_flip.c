#include "sign_flip.h"

#include <math.h>
#include <stdlib.h>

typedef struct flip_job {
    const double *values; /* [n], n a multiple of eight */
    size_t n, flips;
    double start; /* the sum with every sign turned */
    double seen;  /* |sum| from which on a flip is as far from 0 */
    size_t *far;  /* [batches] */
} flip_job;

typedef struct flip_scratch {
    double table[CE_CHOICES], sums[CE_FLIP_BATCH];
} flip_scratch;

void ce_choice_sums(double *sums, const double *values) {
    sums[0] = 0;
    for (size_t i = 0; i < CE_EIGHT; i++)
        for (size_t j = 0; j < (size_t)1 << i; j++)
            sums[j + ((size_t)1 << i)] = sums[j] + values[i];
}

static void add_flips(flip_scratch *s, ce_random *r) {
    for (size_t i = 0; i < CE_FLIP_BATCH; i += 8) {
        uint64_t bytes = ce_random_next(r);
        for (size_t j = 0; j < 8; j++)
            s->sums[i + j] += s->table[bytes >> 8 * j & 255];
    }
}

static void run_batch(void *context, size_t number, ce_random *r, void *scratch) {
    const flip_job *job = context;
    flip_scratch *s = scratch;
    size_t left = job->flips - number * CE_FLIP_BATCH;
    for (size_t i = 0; i < CE_FLIP_BATCH; i++)
        s->sums[i] = job->start;
    for (size_t i = 0; i < job->n; i += CE_EIGHT) {
        ce_choice_sums(s->table, job->values + i);
        add_flips(s, r);
    }
    for (size_t i = 0; i < CE_FLIP_BATCH && i < left; i++)
        job->far[number] += fabs(s->sums[i]) >= job->seen;
}

/* Twice the values other than 0, what a turned sign moves; filled up with zeros. */
static size_t keep(double *out, const double *values, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (values[i] != 0)
            out[kept++] = 2 * values[i];
    while (kept % CE_EIGHT)
        out[kept++] = 0;
    return kept;
}

/* The sum with every sign turned, and how far from 0 counts as far. */
static void measure(flip_job *job) {
    double sum = 0, size = 0;
    for (size_t i = 0; i < job->n; i++) {
        sum += job->values[i] / 2;
        size += fabs(job->values[i]) / 2;
    }
    job->start = -sum;
    job->seen = fabs(sum) - 1e-12 * size;
}

int ce_sign_flip(double *p, const double *values, size_t n, size_t flips, ce_chance chance,
                 ce_error *err) {
    size_t batches = (flips + CE_FLIP_BATCH - 1) / CE_FLIP_BATCH, far = 0;
    double *kept = calloc(n + CE_EIGHT, sizeof *kept);
    flip_job job = {.values = kept, .flips = flips, .far = calloc(batches + 1, sizeof far)};
    int code = CE_ENOMEM;
    if (!kept || !job.far) {
        ce_fail(err, code, "out of memory");
        goto out;
    }
    job.n = keep(kept, values, n);
    measure(&job);
    ce_trials trials = {.run = run_batch,
                        .context = &job,
                        .count = job.seen > 0 ? batches : 0,
                        .scratch = sizeof(flip_scratch),
                        .work = job.n * CE_FLIP_BATCH / CE_EIGHT,
                        .chance = chance};
    if ((code = ce_trials_run(&trials, err)) < 0)
        goto out;
    for (size_t i = 0; i < batches; i++)
        far += job.far[i];
    *p = job.seen > 0 ? (double)(1 + far) / (double)(1 + flips) : 1;
out:
    free(job.far);
    free(kept);
    return code;
}

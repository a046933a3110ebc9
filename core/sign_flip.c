#include "sign_flip.h"

#include "trials.h"

#include <math.h>
#include <stdlib.h>

/* Eight values have 256 choices of signs: their sums are tabulated once for a batch of
 * flips, each of which then takes a byte of a random number for them. */
enum { TOGETHER = 8, SUMS = 1 << TOGETHER, BATCH = 1024 };

typedef struct flip_job {
    const double *values; /* [n], n a multiple of TOGETHER */
    size_t n, flips;
    double seen; /* |sum| from which on a flip is as far from 0 */
    size_t *far; /* [batches] */
} flip_job;

typedef struct flip_scratch {
    double table[SUMS], sums[BATCH];
} flip_scratch;

static void tabulate(double *table, const double *values) {
    table[0] = 0;
    for (size_t i = 0; i < TOGETHER; i++)
        table[0] -= values[i];
    for (size_t i = 0; i < TOGETHER; i++)
        for (size_t j = 0; j < (size_t)1 << i; j++)
            table[j + ((size_t)1 << i)] = table[j] + 2 * values[i];
}

static void add_flips(flip_scratch *s, ce_random *r) {
    for (size_t i = 0; i < BATCH; i += 8) {
        uint64_t bytes = ce_random_next(r);
        for (size_t j = 0; j < 8; j++)
            s->sums[i + j] += s->table[bytes >> 8 * j & 255];
    }
}

static void run_batch(void *context, size_t number, ce_random *r, void *scratch) {
    const flip_job *job = context;
    flip_scratch *s = scratch;
    size_t left = job->flips - number * BATCH;
    for (size_t i = 0; i < BATCH; i++)
        s->sums[i] = 0;
    for (size_t i = 0; i < job->n; i += TOGETHER) {
        tabulate(s->table, job->values + i);
        add_flips(s, r);
    }
    for (size_t i = 0; i < BATCH && i < left; i++)
        job->far[number] += fabs(s->sums[i]) >= job->seen;
}

/* The values other than 0, filled up with zeros. */
static size_t keep(double *out, const double *values, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (values[i] != 0)
            out[kept++] = values[i];
    while (kept % TOGETHER)
        out[kept++] = 0;
    return kept;
}

static double distance(const double *values, size_t n) {
    double sum = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        sum += values[i];
        size += fabs(values[i]);
    }
    return fabs(sum) - 1e-12 * size;
}

int ce_sign_flip(double *p, const double *values, size_t n, size_t flips, uint64_t seed,
                 int threads, ce_error *err) {
    size_t batches = (flips + BATCH - 1) / BATCH, far = 0;
    double *kept = calloc(n + TOGETHER, sizeof *kept);
    flip_job job = {.values = kept, .flips = flips, .far = calloc(batches + 1, sizeof far)};
    int code = CE_ENOMEM;
    if (!kept || !job.far) {
        ce_fail(err, code, "out of memory");
        goto out;
    }
    job.n = keep(kept, values, n);
    job.seen = distance(kept, job.n);
    ce_trials trials = {.run = run_batch,
                        .context = &job,
                        .count = job.seen > 0 ? batches : 0,
                        .scratch = sizeof(flip_scratch),
                        .work = job.n * BATCH / TOGETHER,
                        .seed = seed,
                        .threads = threads};
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

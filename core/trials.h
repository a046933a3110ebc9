/* Many random trials on several threads, with results that do not depend on how many: each
 * trial has a generator of its own, seeded by the seed and its number.
 *
 *     ce_trials t = {.run = resample, .context = &job, .count = 10000, .chance = {.seed =
 * 7}}; ce_trials_run(&t, &err);                // resample(&job, i, &random, scratch) each
 */
#ifndef CE_TRIALS_H
#define CE_TRIALS_H

#include "error.h"
#include "stats.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* What all trials of a job have in common. */
typedef struct ce_chance {
    uint64_t seed;
    int threads;               /* 0: all cores */
    const atomic_bool *cancel; /* raised: no further trial begins; NULL: never */
} ce_chance;

typedef struct ce_trials {
    /* One trial. It writes to a place of its own in the context. */
    void (*run)(void *context, size_t number, ce_random *r, void *scratch);
    void *context;
    size_t count;
    size_t scratch; /* bytes, for one trial at a time */
    size_t work;    /* of a trial, in steps: what is soon done needs no threads */
    ce_chance chance;
} ce_trials;

/* Returns when all are done, CE_ECANCELLED, or CE_ENOMEM before any has begun. */
int ce_trials_run(const ce_trials *trials, ce_error *err);

#endif

/* What a test draws, the same in every run: its own `random_state` may be seeded anew.
 *
 *     float *x = random_floats(rows * in);
 */
#ifndef RANDOM_FLOATS_H
#define RANDOM_FLOATS_H

#include "stats.h"

#include <stdlib.h>

static ce_random random_state = {42};

/* In [-1, 1). */
static inline float uniform(void) {
    return (float)(2 * ce_random_unit(&random_state) - 1);
}

/* To be freed. One more than n, so that n may be 0. */
static inline float *random_floats(size_t n) {
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = uniform();
    return x;
}

#endif

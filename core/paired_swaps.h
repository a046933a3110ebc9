/* The permutation test of a calibration error: which run an item's confidence and answer
 * came from was a coin's toss.
 *
 *     ce_swap_test(&p, rows, 10000, (ce_chance){.seed = 1}, &err);
 */
#ifndef CE_PAIRED_SWAPS_H
#define CE_PAIRED_SWAPS_H

#include "paired_rows.h"
#include "trials.h"

/* p = (1 + how many permutations put the errors as far apart as they are) / (1 +
 * permutations); `rows` are of CE_PAIRED_ECE. */
int ce_swap_test(double *p, const ce_rows *rows, size_t permutations, ce_chance chance,
                 ce_error *err);

#endif

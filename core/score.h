/* Scores -> order. The tie rule, everywhere: the higher score first; of equal scores the
 * lower index first; NaN after everything.
 *
 *     size_t best[5];
 *     ce_top_k(scores, n, best, 5);
 *     size_t rank = ce_rank(scores, n, target);      // 0: the best
 */
#ifndef CE_SCORE_H
#define CE_SCORE_H

#include <stdbool.h>
#include <stddef.h>

/* Indices of the k best of scores[n], best first; returns min(k, n). */
size_t ce_top_k(const float *scores, size_t n, size_t *best, size_t k);

/* How many entries come before `target` under the tie rule: 0 .. n-1. */
size_t ce_rank(const float *scores, size_t n, size_t target);

/* Whether the best score is shared by two or more entries. */
bool ce_top_is_tied(const float *scores, size_t n);

#endif

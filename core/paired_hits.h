/* The bootstrap of hits, without drawing: with nothing but counts to resample, its
 * distribution is known.
 *
 *     ce_paired_hits_interval(rose, fell, n, &low, &high);
 */
#ifndef CE_PAIRED_HITS_H
#define CE_PAIRED_HITS_H

#include <stdint.h>

/* Of n items `rose` became right and `fell` went wrong; rose + fell <= n, 1 <= n < 2^31.
 * The 2.5 % and 97.5 % quantiles of the difference of their shares over resamples of the n
 * items: what the percentile bootstrap tends to with ever more resamples. */
void ce_paired_hits_interval(uint64_t rose, uint64_t fell, uint64_t n, double *low,
                             double *high);

#endif

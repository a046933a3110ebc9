/* How surely a comparison of n items would see a change, and how many items it would take.
 *
 *     double power = ce_power_hits(50000, 0.03, 0.025, 0.05);
 *     size_t n = ce_items_for_hits(0.005, 0.055, 0.05, 0.8);
 *
 * All tests are two-sided with level alpha in (0, 1).
 */
#ifndef CE_POWER_H
#define CE_POWER_H

#include <stddef.h>

/* The power of McNemar's exact test: each of n items goes wrong with the chance `worse`,
 * becomes right with the chance `better`, independently; worse + better <= 1. Exact: summed
 * over how many items differ. n <= 2^31. */
double ce_power_hits(size_t n, double worse, double better, double alpha);

/* The power of the paired z test for a mean difference, given the standard deviation of
 * the items' differences (> 0). */
double ce_power_values(size_t n, double difference, double spread, double alpha);

/* The least n with which a drop of `drop` (> 0) is seen with this power, where `discordant`
 * is the share of items that differ between the runs (drop <= discordant <= 1). By the
 * exact power up to CE_POWER_EXACT items, beyond by Connor's formula. */
enum { CE_POWER_EXACT = 100000 };
size_t ce_items_for_hits(double drop, double discordant, double alpha, double power);

/* The same for values, whose differences have the standard deviation `spread` (>= 0). */
size_t ce_items_for_values(double drop, double spread, double alpha, double power);

/* The q-quantile of the standard normal distribution; 0 < q < 1. */
double ce_normal_quantile(double q);

#endif

/* What all comparisons by resampling do alike.
 *
 *     uint32_t *unit = ce_number_groups(clusters, n);
 *     ce_read_resamples(differences, 10000, &low, &high);
 */
#ifndef CE_RESAMPLES_H
#define CE_RESAMPLES_H

#include <stddef.h>
#include <stdint.h>

/* A copy of groups[n], numbered from 0 in their order, without gaps; to be freed. NULL: no
 * memory. */
uint32_t *ce_number_groups(const uint32_t *groups, size_t n);

/* Sorts values[n] and gives the percentile interval at 95 %; n >= 1. */
void ce_read_resamples(double *values, size_t n, double *low, double *high);

/* The standard deviation, with n - 1 below; 0 for n = 1. */
double ce_deviation(const double *values, size_t n);

#endif

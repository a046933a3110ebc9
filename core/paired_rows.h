/* The items of two runs, arranged for resampling: a row is what is equal in all that
 * matters, or what one cluster holds of one class. Rows of a group (a class, a pair of
 * calibration bins) lie together.
 *
 *     ce_rows *rows;
 *     ce_rows_new(&rows, in, &err);
 *     double d = ce_rows_difference(rows, tally, scratch);   // tally[rows->units]
 *     ce_rows_free(rows);
 */
#ifndef CE_PAIRED_ROWS_H
#define CE_PAIRED_ROWS_H

#include "paired.h"

typedef struct ce_rows {
    bool calibration;
    size_t rows, groups, units, balls;
    /* What is drawn and permuted as one: unit u stands for members[u] alike (1 where there
     * are clusters). unit[rows] is each row's; NULL: row i is unit i. */
    uint32_t *members, *unit;
    /* [rows], of one member: how many items, and the sums of their differences; for
     * calibration, of (correct - confidence) in the base run (x) and the other (y). */
    double *count, *x, *y;
    double *total_count, *total_x, *total_y; /* [groups] the same, of all members */
    size_t *start;                           /* [groups + 1] rows */
    uint32_t *label; /* [groups] the class; base bin * 15 + the other run's bin */
} ce_rows;

/* The numbers of clusters, and of classes, are 0 .. one less than there are. */
int ce_rows_new(ce_rows **out, const ce_paired *in, ce_error *err);
void ce_rows_free(ce_rows *rows);

/* Bytes of scratch that this needs. */
size_t ce_rows_scratch(const ce_rows *rows);

/* The difference of the statistic where unit u was drawn tally[u] times. */
double ce_rows_difference(const ce_rows *rows, const uint32_t *tally, void *scratch);

/* |count * (accuracy - confidence)|, summed over the bins. */
double ce_calibration_gaps(const double *gaps);

#endif

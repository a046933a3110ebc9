#include "paired_hits.h"

#include "binomial.h"

#include <math.h>

/* How many of n items are among those that differ, in a resample: binomial. Of those, how
 * many rose: binomial again. `first` .. `last` hold all of it but 1e-18. */
typedef struct changes {
    uint64_t n, first, last;
    double differ, rise;    /* shares: of n, of those that differ */
    double mean, deviation; /* of the rises less the falls */
} changes;

static changes changes_of(uint64_t rose, uint64_t fell, uint64_t n) {
    double count = (double)n, up = (double)rose / count, down = (double)fell / count;
    changes c = {.n = n, .differ = up + down, .rise = up / (up + down)};
    double centre = count * c.differ, width = 9 * sqrt(centre) + 40;
    c.first = centre > width ? (uint64_t)(centre - width) : 0;
    c.last = centre + width < count ? (uint64_t)(centre + width) : n;
    c.mean = count * (up - down);
    c.deviation = sqrt(count * fmax(0, c.differ - (up - down) * (up - down)));
    return c;
}

/* P(rises - falls <= d). */
static double below(const changes *c, double d) {
    double sum = 0;
    for (uint64_t m = c->first; m <= c->last; m++) {
        double most = floor(((double)m + d) / 2); /* rises, of m */
        if (most >= 0)
            sum += ce_binomial_pmf(m, c->n, c->differ) *
                   ce_binomial_tail((uint64_t)most, m, c->rise);
    }
    return sum;
}

/* The least d with P(rises - falls <= d) >= q. */
static double quantile(const changes *c, double q) {
    double reach = 10 * c->deviation + 50;
    double low = fmax(-(double)c->n - 1, floor(c->mean - reach));
    double high = fmin((double)c->n, ceil(c->mean + reach));
    while (high - low > 1) {
        double middle = floor((low + high) / 2);
        if (below(c, middle) >= q)
            high = middle;
        else
            low = middle;
    }
    return high;
}

void ce_paired_hits_interval(uint64_t rose, uint64_t fell, uint64_t n, double *low,
                             double *high) {
    *low = *high = 0;
    if (rose + fell == 0)
        return;
    changes c = changes_of(rose, fell, n);
    *low = quantile(&c, 0.025) / (double)n;
    *high = quantile(&c, 0.975) / (double)n;
}

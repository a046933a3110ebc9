#include "power.h"

#include "binomial.h"

#include <math.h>
#include <stdint.h>

/* ---- the normal distribution ---- */

static double normal_below(double z) {
    return 0.5 * erfc(-z * 0.70710678118654752440);
}

/* Newton's steps on the lower half, where erfc keeps its digits, from a start (Abramowitz
 * and Stegun 26.2.22) that is good to 3e-3. */
double ce_normal_quantile(double q) {
    if (q > 0.5)
        return -ce_normal_quantile(1 - q);
    double t = sqrt(-2 * log(q));
    double z = (2.30753 + 0.27061 * t) / (1 + t * (0.99229 + t * 0.04481)) - t;
    for (int i = 0; i < 6; i++)
        z -= (normal_below(z) - q) * 2.50662827463100050242 * exp(z * z / 2);
    return z;
}

/* ---- hits ---- */

/* The most of m items that may go the rarer way for the exact p to be <= alpha, or -1;
 * `from` is the answer for fewer items. One item more raises it by one at most. */
static int64_t critical(uint64_t m, double alpha, int64_t from) {
    while (2 * (from + 1) < (int64_t)m &&
           2 * ce_binomial_tail((uint64_t)(from + 1), m, 0.5) <= alpha)
        from++;
    return from;
}

/* The chance that the test of m differing items rejects, when each went wrong with the
 * chance `wrong`. */
static double rejected(uint64_t m, int64_t most, double wrong) {
    if (most < 0)
        return 0;
    return ce_binomial_tail((uint64_t)most, m, wrong) +
           ce_binomial_tail((uint64_t)most, m, 1 - wrong);
}

/* Duffy: Asymptotic and Exact Power for the McNemar Test and Its Analogue with R Controls
 * per Case, Biometrics 40 (1984). How many items differ is binomial; nine standard
 * deviations of it hold all but 1e-18. */
double ce_power_hits(size_t n, double worse, double better, double alpha) {
    double differ = worse + better, power = 0;
    if (n == 0 || !(differ > 0))
        return 0;
    double centre = (double)n * fmin(differ, 1);
    double width = 9 * sqrt(centre * fmax(0, 1 - differ)) + 40;
    uint64_t first = centre > width ? (uint64_t)(centre - width) : 0;
    uint64_t last = centre + width < (double)n ? (uint64_t)(centre + width) : n;
    /* The first critical value by the normal approximation, surely from below. */
    double start =
        0.5 * (double)first + ce_normal_quantile(alpha / 2) * 0.5 * sqrt((double)first) - 3;
    int64_t most = start > 0 ? (int64_t)start : -1;
    for (uint64_t m = first; m <= last; m++) {
        most = critical(m, alpha, most);
        power += ce_binomial_pmf(m, n, fmin(differ, 1)) * rejected(m, most, worse / differ);
    }
    return fmin(1, power);
}

/* Connor: Sample Size for Testing Differences in Proportions for the Paired-Sample Design,
 * Biometrics 43 (1987), two-sided. */
static double connor(double drop, double discordant, double alpha, double power) {
    double z = -ce_normal_quantile(alpha / 2) * sqrt(discordant) +
               ce_normal_quantile(power) * sqrt(fmax(0, discordant - drop * drop));
    return z <= 0 ? 1 : z * z / (drop * drop);
}

static double power_of_drop(size_t n, double drop, double discordant, double alpha) {
    double worse = 0.5 * (discordant + drop);
    return ce_power_hits(n, worse, discordant - worse, alpha);
}

/* By bisection: but for some steps of the order of a percent of it, power grows with n. */
size_t ce_items_for_hits(double drop, double discordant, double alpha, double power) {
    double about = connor(drop, discordant, alpha, power);
    if (!(about < CE_POWER_EXACT))
        return about < 9e15 ? (size_t)ceil(about) : (size_t)9e15;
    size_t low = 0, high = (size_t)ceil(about) + 8;
    while (power_of_drop(high, drop, discordant, alpha) < power) {
        low = high;
        high *= 2;
    }
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (power_of_drop(middle, drop, discordant, alpha) < power)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* ---- values ---- */

double ce_power_values(size_t n, double difference, double spread, double alpha) {
    double far = ce_normal_quantile(alpha / 2);
    double shift = fabs(difference) * sqrt((double)n) / spread;
    return normal_below(far + shift) + normal_below(far - shift);
}

size_t ce_items_for_values(double drop, double spread, double alpha, double power) {
    double z = (ce_normal_quantile(power) - ce_normal_quantile(alpha / 2)) * spread / drop;
    if (!(z > 0))
        return 1;
    return z < 9e7 ? (size_t)fmax(1, ceil(z * z)) : (size_t)9e15;
}

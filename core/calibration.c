#include "calibration.h"

#include "cpu.h"

#include <math.h>
#include <stdint.h>

/* ---- the exponential ----
 *
 * e^x = 2^k e^r with k = round(x / ln 2), so |r| <= ln(2) / 2: there e^r's Taylor series to
 * r^13 is off by less than 2^-57. ln 2 is taken off in two parts (the larger with so few
 * bits that its multiples are exact), as fdlibm's e_exp.c does. All in all within 4.5e-16
 * of e^x, relative. The C library's would do, but not several at a time, and it differs in
 * the last bit between CPUs; these are the same everywhere, since nothing here is fused.
 */
static const double LN2_HIGH = 6.93147180369123816490e-01,
                    LN2_LOW = 1.90821492927058770002e-10,
                    LOG2_E = 1.44269504088896338700e+00,
                    ROUNDER = 6755399441055744; /* 1.5 * 2^52: sums with it are integers */

static inline double exponential(double x) {
    union {
        double value;
        uint64_t bits;
    } shifted, power;
    shifted.value = x * LOG2_E + ROUNDER;
    double k = shifted.value - ROUNDER;
    double r = x - k * LN2_HIGH - k * LN2_LOW, e = 1 / 6227020800.0;
    e = e * r + 1 / 479001600.0;
    e = e * r + 1 / 39916800.0;
    e = e * r + 1 / 3628800.0;
    e = e * r + 1 / 362880.0;
    e = e * r + 1 / 40320.0;
    e = e * r + 1 / 5040.0;
    e = e * r + 1 / 720.0;
    e = e * r + 1 / 120.0;
    e = e * r + 1 / 24.0;
    e = e * r + 1 / 6.0;
    e = e * r + 1 / 2.0;
    e = e * r + 1;
    e = e * r + 1;
    power.bits = (shifted.bits + 1023) << 52; /* 2^k: the low bits of `shifted` are k's */
    e = e * power.value;
    e = x < -708 ? 0 : e; /* the ends of what a float64 can be */
    return x > 709 ? (double)INFINITY : e;
}

/* ---- beliefs ---- */

/* Of all classes but the target: the sum of x and that of x^2, where x is what a link makes
 * of scale * score + shift. Class i goes to the sums' lane i mod LANES. */
enum { LANES = 8 };

typedef struct others {
    double sum, squares;
} others;

static inline double e_to(double z) {
    return exponential(z);
}

static inline double sigmoid(double z) {
    return 1 / (1 + exponential(-z));
}

static inline __attribute__((always_inline)) others add_others(const float *scores,
                                                               size_t n, double scale,
                                                               double shift, size_t target,
                                                               double (*link)(double)) {
    double sum[LANES] = {0}, squares[LANES] = {0};
    others all = {0};
    for (size_t first = 0; first < n; first += LANES) {
        double x[LANES] = {0};
        size_t width = n - first < LANES ? n - first : LANES;
        if (width == LANES)
            for (size_t i = 0; i < LANES; i++)
                x[i] = link(scale * (double)scores[first + i] + shift);
        else
            for (size_t i = 0; i < width; i++)
                x[i] = link(scale * (double)scores[first + i] + shift);
        if (target - first < LANES) /* target < first wraps round */
            x[target - first] = 0;
        for (size_t i = 0; i < LANES; i++) {
            sum[i] += x[i];
            squares[i] += x[i] * x[i];
        }
    }
    for (size_t i = 0; i < LANES; i++) {
        all.sum += sum[i];
        all.squares += squares[i];
    }
    return all;
}

CE_CLONES static others add_exponentials(const float *scores, size_t n, double scale,
                                         double shift, size_t target) {
    return add_others(scores, n, scale, shift, target, e_to);
}

CE_CLONES static others add_sigmoids(const float *scores, size_t n, double scale,
                                     double shift, size_t target) {
    return add_others(scores, n, scale, shift, target, sigmoid);
}

/* The best class, or n where a score is NaN. */
static size_t best_of(const float *scores, size_t n) {
    size_t best = 0;
    for (size_t i = 0; i < n; i++)
        if (isnan(scores[i]))
            return n;
        else if (scores[i] > scores[best])
            best = i;
    return best;
}

static const ce_belief NOTHING = {(double)NAN, (double)NAN, (double)NAN};

/* With own = e^(own score - best score) and others = the sum of the like, the probability
 * of the target is own / (own + others), and 1 minus it others / (own + others). */
ce_belief ce_softmax_belief_of(const float *scores, size_t n, double scale, size_t target,
                               size_t best) {
    double largest = scale * (double)scores[best];
    double own = exponential(scale * (double)scores[target] - largest);
    others o = add_exponentials(scores, n, scale, -largest, target);
    double sum = own + o.sum;
    return (ce_belief){.confidence = exponential(0) / sum,
                       .target = own / sum,
                       .brier = (o.squares + o.sum * o.sum) / (sum * sum)};
}

ce_belief ce_softmax_belief(const float *scores, size_t n, double scale, size_t target) {
    size_t best = best_of(scores, n);
    return best == n ? NOTHING : ce_softmax_belief_of(scores, n, scale, target, best);
}

ce_belief ce_sigmoid_belief_of(const float *scores, size_t n, double scale, double bias,
                               size_t target, size_t best) {
    double own = sigmoid(scale * (double)scores[target] + bias);
    others o = add_sigmoids(scores, n, scale, bias, target);
    return (ce_belief){.confidence = sigmoid(scale * (double)scores[best] + bias),
                       .target = own,
                       .brier = o.squares + (own - 1) * (own - 1)};
}

ce_belief ce_sigmoid_belief(const float *scores, size_t n, double scale, double bias,
                            size_t target) {
    size_t best = best_of(scores, n);
    return best == n ? NOTHING : ce_sigmoid_belief_of(scores, n, scale, bias, target, best);
}

/* The edges are the multiples of 1/15, rounded. */
size_t ce_calibration_bin_of(double confidence) {
    const double bins = CE_CALIBRATION_BINS;
    size_t bin = 0;
    while (bin + 1 < CE_CALIBRATION_BINS && confidence > (double)(bin + 1) / bins)
        bin++;
    return bin;
}

double ce_calibration_error(const double *confidences, const bool *correct, size_t n,
                            ce_calibration_bin *bins) {
    size_t counted = 0;
    double error = 0;
    for (size_t b = 0; b < CE_CALIBRATION_BINS; b++)
        bins[b] = (ce_calibration_bin){0};
    for (size_t i = 0; i < n; i++) {
        if (isnan(confidences[i]))
            continue;
        ce_calibration_bin *bin = &bins[ce_calibration_bin_of(confidences[i])];
        bin->count++;
        bin->accuracy += correct[i];
        bin->confidence += confidences[i];
        counted++;
    }
    for (size_t b = 0; b < CE_CALIBRATION_BINS; b++) {
        double count = (double)bins[b].count;
        bins[b].accuracy /= count; /* 0 / 0 is the NaN that is promised */
        bins[b].confidence /= count;
        if (bins[b].count)
            error += count / (double)counted * fabs(bins[b].accuracy - bins[b].confidence);
    }
    return counted ? error : (double)NAN;
}

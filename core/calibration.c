#include "calibration.h"

#include "score.h"

#include <math.h>

/* (p - y)^2 summed over the classes, and the two probabilities that are asked for. */
typedef struct belief_sum {
    ce_belief belief;
    size_t best, target;
} belief_sum;

static void add_class(belief_sum *s, size_t class, double probability) {
    double miss = probability - (class == s->target);
    s->belief.brier += miss * miss;
    if (class == s->best)
        s->belief.confidence = probability;
    if (class == s->target)
        s->belief.target = probability;
}

static bool any_nan(const float *scores, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (isnan(scores[i]))
            return true;
    return false;
}

static const ce_belief NOTHING = {(double)NAN, (double)NAN, (double)NAN};

ce_belief ce_softmax_belief(const float *scores, size_t n, double scale, size_t target) {
    belief_sum s = {.target = target};
    double sum = 0;
    if (any_nan(scores, n))
        return NOTHING;
    ce_top_k(scores, n, &s.best, 1);
    double largest = scale * (double)scores[s.best];
    for (size_t i = 0; i < n; i++)
        sum += exp(scale * (double)scores[i] - largest);
    for (size_t i = 0; i < n; i++)
        add_class(&s, i, exp(scale * (double)scores[i] - largest) / sum);
    return s.belief;
}

ce_belief ce_softmax_belief_of(const float *scores, size_t n, double scale, size_t target,
                               size_t best, double *scratch) {
    belief_sum s = {.target = target, .best = best};
    double sum = 0, brier = 0, largest = scale * (double)scores[best];
    if (any_nan(scores, n))
        return NOTHING;
    for (size_t i = 0; i < n; i++)
        scratch[i] = exp(scale * (double)scores[i] - largest);
    for (size_t i = 0; i < n; i++)
        sum += scratch[i];
    for (size_t i = 0; i < n; i++)
        scratch[i] /= sum;
    s.belief.confidence = scratch[best];
    s.belief.target = scratch[target];
    scratch[target] -= 1;
    for (size_t i = 0; i < n; i++)
        brier += scratch[i] * scratch[i];
    s.belief.brier = brier;
    return s.belief;
}

ce_belief ce_sigmoid_belief(const float *scores, size_t n, double scale, double bias,
                            size_t target) {
    belief_sum s = {.target = target};
    if (any_nan(scores, n))
        return NOTHING;
    ce_top_k(scores, n, &s.best, 1);
    for (size_t i = 0; i < n; i++)
        add_class(&s, i, 1 / (1 + exp(-(scale * (double)scores[i] + bias))));
    return s.belief;
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

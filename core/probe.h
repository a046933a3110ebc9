/* The linear probe: how well the classes of frozen embeddings are told apart by a
 * hyperplane.
 *
 *     ce_probe probe;
 *     ce_probe_options options = {.classes = 10};
 *     ce_probe_run(&probe, &train, &validation, &test, &options, &err);
 *     ... ce_rank(ce_matrix_row(&probe.scores, i), 10, target) == 0 ...
 *     ce_probe_free(&probe);
 *
 * The strength C of core/logistic.h (the inverse of the penalty's weight) is chosen as in
 * the CLIP paper (Radford et al. 2021, appendix A.3) and in CLIP_benchmark's linear_probe:
 * of 97 strengths, 10^-6 .. 10^6 with 8 to a factor of ten, every 16th is tried; then those
 * 8, 4, 2 and 1 steps beside the best. Best is the highest accuracy on the validation
 * split, of equal ones the smallest strength. The best is then learned anew, from zeros, on
 * training and validation rows together. Unlike CLIP_benchmark, which trains some epochs of
 * AdamW, each problem is solved to its minimum.
 */
#ifndef CE_PROBE_H
#define CE_PROBE_H

#include "logistic.h"

enum { CE_PROBE_TRIALS = 7 + 4 * 2 };

typedef struct ce_split {
    const ce_matrix *rows;  /* [n, d] */
    const uint32_t *labels; /* [n] */
} ce_split;

typedef struct ce_probe_options {
    size_t classes;
    double strength; /* 0: chosen on the validation split; else that is not looked at, and
                        only the training rows are learned */
    ce_logistic_options solver;
    void (*progress)(void *context, size_t done,
                     size_t total); /* between problems; or NULL */
    void *progress_context;
} ce_probe_options;

typedef struct ce_trial {
    double strength, accuracy; /* on the validation split */
    int iterations;
    bool converged;
} ce_trial;

typedef struct ce_probe {
    double strength;     /* what the scores are made with */
    ce_logistic_fit fit; /* its solution */
    ce_matrix scores;    /* [test rows, classes], see ce_logistic_scores */
    size_t tried;        /* trials, in ascending strength */
    ce_trial trials[CE_PROBE_TRIALS];
} ce_probe;

/* `validation` may be NULL where a strength is given. Errors as ce_logistic_new and
 * ce_logistic_solve; they name the split. */
int ce_probe_run(ce_probe *out, const ce_split *train, const ce_split *validation,
                 const ce_matrix *test, const ce_probe_options *options, ce_error *err);
void ce_probe_free(ce_probe *probe);

#endif

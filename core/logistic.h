/* Multinomial logistic regression with an L2 penalty, by L-BFGS, as scikit-learn's
 * LogisticRegression(C = strength) defines it:
 *
 *     minimise  C sum_i -log softmax(W x_i + b)[label_i]  +  1/2 |W|^2
 *
 * The intercepts b are not penalised. Classes without a training item take no part (their
 * intercept would have no minimum), and are never predicted. For two classes scikit-learn
 * has one vector w = W_1 - W_0 and penalises 1/2 |w|^2; the same minimum is reached here,
 * with |W|^2 for the penalty.
 *
 *     ce_logistic *l;
 *     ce_logistic_fit fit;
 *     ce_logistic_new(&l, &x, labels, classes, &options, &err);
 *     ce_logistic_solve(l, 0.316, &fit, &err);
 *     ce_logistic_scores(l, &scores, &test, &err);      // [test.rows, classes]
 *     ce_logistic_free(l);
 *
 * All in float64. The bits do not depend on the number of threads; with another BLAS kernel
 * they may.
 */
#ifndef CE_LOGISTIC_H
#define CE_LOGISTIC_H

#include "matrix.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct ce_logistic ce_logistic;

typedef struct ce_logistic_options {
    int max_iterations;        /* of L-BFGS; 0: 1000, as the CLIP paper allows */
    double tolerance;          /* of |gradient|, the objective divided by C n; 0: 1e-7 */
    int threads;               /* 0: one for each core */
    bool plain;                /* our own loops even where OpenBLAS is installed */
    const atomic_bool *cancel; /* NULL, or a flag polled at every step */
} ce_logistic_options;

typedef struct ce_logistic_fit {
    double objective; /* as above, C sum + penalty */
    int iterations;
    bool converged; /* |gradient| is within the tolerance, or within 1e-4 where rounding
                       lets no step improve the objective; false: the iterations ran out */
} ce_logistic_fit;

/* x [n, d] and labels[n] are borrowed. CE_EINVAL: no rows, a label >= classes, all of one
 * class, a number that is not finite; CE_ENOMEM. */
int ce_logistic_new(ce_logistic **out, const ce_matrix *x, const uint32_t *labels,
                    size_t classes, const ce_logistic_options *options, ce_error *err);
void ce_logistic_free(ce_logistic *l);

/* Starts from the last solution (zeros at first). strength: C above, finite, above 0. No
 * convergence is no error. CE_EINVAL, CE_ENOMEM, CE_ECANCELLED. */
int ce_logistic_solve(ce_logistic *l, double strength, ce_logistic_fit *fit, ce_error *err);

/* out [x.rows, classes]: W x + b, -INFINITY for a class that took no part; a row of x with
 * NaN gives a row of NaN. CE_EINVAL: other dimensions than it was made with. */
int ce_logistic_scores(const ce_logistic *l, ce_matrix *out, const ce_matrix *x,
                       ce_error *err);

/* Weights [d] and intercept of a class; NULL for one that took no part. */
const double *ce_logistic_weights(const ce_logistic *l, size_t class, double *intercept);

#endif

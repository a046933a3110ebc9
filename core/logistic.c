#include "logistic.h"

#include "blas.h"
#include "pipeline.h"
#include "team.h"

#include <lbfgs.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows are shared out in SLOTS ranges whatever the number of threads; each has its own sum
 * of losses and gradients, and these are added in their order. */
enum { SLOTS = 16, BLOCK = 128, CORRECTIONS = 10 };

static const double STALLED = 1e-4;      /* scikit-learn's tolerance */
static const double WORTH_THREADS = 1e6; /* multiplications of one evaluation */

struct ce_logistic {
    const ce_matrix *x;
    uint32_t *labels;  /* [x.rows], numbers of present classes */
    uint32_t *present; /* [classes]: number among the present, or UINT32_MAX */
    size_t classes, k; /* k: those present */
    size_t dims, size; /* size: variables, k * dims weights and k intercepts */
    double penalty;    /* of |W|^2 / 2 beside the mean loss */
    double *variables; /* [size], from lbfgs_malloc: W [k, dims], b [k] */
    double *gradients; /* [SLOTS, size] */
    double *gradient;  /* [size], of the end */
    double *scratch;   /* [members, BLOCK, dims + k] */
    double losses[SLOTS];
    size_t members;
    ce_team *team;
    const double *at; /* where the members evaluate */
    int iterations;
    ce_logistic_options options;
};

/* ---- objective ---- */

/* out[m, n] = a[m, k] b[n, k]^T */
static void multiply_rows(const ce_logistic *l, double *out, const double *a,
                          const double *b, size_t m, size_t n, size_t k) {
    if (!l->options.plain && ce_blas()) {
        ce_blas()->dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, 1,
                         a, (int)k, b, (int)k, 0, out, (int)n);
        return;
    }
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t c = 0; c < k; c++)
                sum += a[i * k + c] * b[j * k + c];
            out[i * n + j] = sum;
        }
    }
}

/* out[m, n] += a[k, m]^T b[k, n] */
static void add_outer(const ce_logistic *l, double *out, const double *a, const double *b,
                      size_t m, size_t n, size_t k) {
    if (!l->options.plain && ce_blas()) {
        ce_blas()->dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)n, (int)k, 1,
                         a, (int)m, b, (int)n, 1, out, (int)n);
        return;
    }
    for (size_t c = 0; c < k; c++)
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++)
                out[i * n + j] += a[c * m + i] * b[c * n + j];
}

/* x [rows, dims] = rows of the data; z [rows, k] = their logits. */
static void logits_of(const ce_logistic *l, double *z, double *x, const float *data,
                      size_t rows, const double *variables) {
    const double *intercepts = variables + l->k * l->dims;
    for (size_t i = 0; i < rows * l->dims; i++)
        x[i] = (double)data[i];
    multiply_rows(l, z, x, variables, rows, l->k, l->dims);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < l->k; c++)
            z[r * l->k + c] += intercepts[c];
}

/* z [k] logits -> softmax - truth, the gradient; returns -log softmax[label]. */
static double loss_of(double *z, size_t k, size_t label) {
    double largest = z[0], sum = 0, own = z[label];
    for (size_t c = 1; c < k; c++)
        largest = fmax(largest, z[c]);
    for (size_t c = 0; c < k; c++)
        sum += z[c] = exp(z[c] - largest);
    for (size_t c = 0; c < k; c++)
        z[c] /= sum;
    z[label] -= 1;
    return log(sum) + largest - own;
}

static void evaluate_rows(ce_logistic *l, size_t slot, size_t first, size_t rows,
                          double *scratch) {
    double *x = scratch, *z = scratch + BLOCK * l->dims;
    double *gradient = l->gradients + slot * l->size,
           *intercepts = gradient + l->k * l->dims;
    logits_of(l, z, x, ce_matrix_row(l->x, first), rows, l->at);
    for (size_t r = 0; r < rows; r++) {
        l->losses[slot] += loss_of(z + r * l->k, l->k, l->labels[first + r]);
        for (size_t c = 0; c < l->k; c++)
            intercepts[c] += z[r * l->k + c];
    }
    add_outer(l, gradient, z, x, l->k, l->dims, rows);
}

static void evaluate_part(void *context, size_t member, size_t members) {
    ce_logistic *l = context;
    double *scratch = l->scratch + member * BLOCK * (l->dims + l->k);
    for (size_t slot = member; slot < SLOTS; slot += members) {
        size_t share = l->x->rows / SLOTS, rest = l->x->rows % SLOTS;
        size_t first = slot * share + (slot < rest ? slot : rest);
        size_t end = first + share + (slot < rest);
        memset(l->gradients + slot * l->size, 0, l->size * sizeof *l->gradients);
        l->losses[slot] = 0;
        for (; first < end; first += BLOCK)
            evaluate_rows(l, slot, first, end - first < BLOCK ? end - first : BLOCK,
                          scratch);
    }
}

/* Mean loss + penalty / 2 |W|^2, and its gradient: divided by C n, so that the size of the
 * problem does not change the meaning of the tolerance (as in scikit-learn). */
static double evaluate(void *context, const double *variables, double *gradient, int size,
                       double step) {
    (void)size, (void)step;
    ce_logistic *l = context;
    double loss = 0, squares = 0, n = (double)l->x->rows;
    l->at = variables;
    if (l->team)
        ce_team_run(l->team, evaluate_part, l);
    else
        evaluate_part(l, 0, 1);
    for (size_t slot = 0; slot < SLOTS; slot++)
        loss += l->losses[slot];
    for (size_t i = 0; i < l->size; i++) {
        double sum = 0;
        for (size_t slot = 0; slot < SLOTS; slot++)
            sum += l->gradients[slot * l->size + i];
        gradient[i] = sum / n;
    }
    for (size_t i = 0; i < l->k * l->dims; i++) {
        squares += variables[i] * variables[i];
        gradient[i] += l->penalty * variables[i];
    }
    return loss / n + l->penalty / 2 * squares;
}

/* ---- set-up ---- */

static int check_rows(const ce_matrix *x, const uint32_t *labels, size_t classes,
                      ce_error *err) {
    if (x->rows == 0 || x->cols == 0)
        return ce_fail(err, CE_EINVAL, "there is nothing to learn from");
    for (size_t i = 0; i < x->rows; i++) {
        if (labels[i] >= classes)
            return ce_fail(err, CE_EINVAL, "row %zu: label %zu of %zu classes", i + 1,
                           (size_t)labels[i] + 1, classes);
        for (size_t c = 0; c < x->cols; c++)
            if (!isfinite(ce_matrix_row(x, i)[c]))
                return ce_fail(err, CE_EINVAL,
                               "row %zu is no embedding: it holds NaN or infinity", i + 1);
    }
    return CE_OK;
}

static int number_classes(ce_logistic *l, const uint32_t *labels, ce_error *err) {
    memset(l->present, 0xff, l->classes * sizeof *l->present);
    for (size_t i = 0; i < l->x->rows; i++)
        l->present[labels[i]] = 0;
    for (size_t c = 0; c < l->classes; c++)
        if (l->present[c] == 0)
            l->present[c] = (uint32_t)l->k++;
    if (l->k < 2)
        return ce_fail(err, CE_EINVAL, "all %zu training rows are of one class",
                       l->x->rows);
    for (size_t i = 0; i < l->x->rows; i++)
        l->labels[i] = l->present[labels[i]];
    return CE_OK;
}

/* liblbfgs and BLAS count by int. */
static int count_variables(ce_logistic *l, ce_error *err) {
    l->dims = l->x->cols;
    if (l->dims >= INT_MAX / BLOCK || l->k > INT_MAX / 2 / (l->dims + 1))
        return ce_fail(err, CE_EINVAL, "%zu classes of %zu dimensions are too many", l->k,
                       l->dims);
    l->size = l->k * (l->dims + 1);
    return CE_OK;
}

static void count_members(ce_logistic *l) {
    int threads = l->options.threads > 0 ? l->options.threads : ce_default_threads();
    double work = (double)l->x->rows * (double)l->size;
    l->members = work < WORTH_THREADS ? 1 : threads < SLOTS ? (size_t)threads : SLOTS;
}

static int allocate(ce_logistic *l, ce_error *err) {
    l->variables = lbfgs_malloc((int)l->size);
    l->gradients = calloc(SLOTS * l->size, sizeof *l->gradients);
    l->gradient = calloc(l->size, sizeof *l->gradient);
    l->scratch = calloc(l->members * BLOCK * (l->dims + l->k), sizeof *l->scratch);
    if (!l->variables || !l->gradients || !l->gradient || !l->scratch)
        return ce_fail(err, CE_ENOMEM, "no memory for %zu weights", l->size);
    memset(l->variables, 0, l->size * sizeof *l->variables);
    return l->members > 1 ? ce_team_new(&l->team, l->members, err) : CE_OK;
}

int ce_logistic_new(ce_logistic **out, const ce_matrix *x, const uint32_t *labels,
                    size_t classes, const ce_logistic_options *options, ce_error *err) {
    *out = NULL;
    int code = check_rows(x, labels, classes, err);
    if (code < 0)
        return code;
    ce_logistic *l = calloc(1, sizeof *l);
    if (!l)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    l->x = x;
    l->classes = classes;
    l->options = *options;
    if (!(l->options.tolerance > 0))
        l->options.tolerance = 1e-7;
    if (l->options.max_iterations <= 0)
        l->options.max_iterations = 1000;
    l->labels = calloc(x->rows, sizeof *l->labels);
    l->present = calloc(classes, sizeof *l->present);
    code = l->labels && l->present ? number_classes(l, labels, err)
                                   : ce_fail(err, CE_ENOMEM, "out of memory");
    if (code == CE_OK)
        code = count_variables(l, err);
    if (code == CE_OK) {
        count_members(l);
        code = allocate(l, err);
    }
    if (code == CE_OK)
        *out = l;
    else
        ce_logistic_free(l);
    return code;
}

void ce_logistic_free(ce_logistic *l) {
    if (!l)
        return;
    ce_team_free(l->team);
    lbfgs_free(l->variables);
    free(l->gradients);
    free(l->gradient);
    free(l->scratch);
    free(l->present);
    free(l->labels);
    free(l);
}

/* ---- solving ----
 *
 * liblbfgs would stop at a gradient that is small beside |x|: beside large weights, so at
 * large strengths, far from the minimum. The watch stops it at the tolerance instead.
 */

static int watch(void *context, const double *x, const double *g, double fx, double xnorm,
                 double gnorm, double step, int n, int k, int tries) {
    (void)x, (void)g, (void)fx, (void)xnorm, (void)step, (void)n, (void)tries;
    ce_logistic *l = context;
    l->iterations = k;
    if (l->options.cancel && atomic_load(l->options.cancel))
        return LBFGSERR_CANCELED; /* which lbfgs() returns */
    return gnorm <= l->options.tolerance ? LBFGS_STOP : 0;
}

/* Where no step lowers the objective by more than its rounding, this is near enough. */
static bool has_converged(const ce_logistic *l, int outcome) {
    double squares = 0;
    for (size_t i = 0; i < l->size; i++)
        squares += l->gradient[i] * l->gradient[i];
    bool stalled = outcome != LBFGSERR_MAXIMUMITERATION;
    return sqrt(squares) <=
           (stalled ? fmax(STALLED, l->options.tolerance) : l->options.tolerance);
}

int ce_logistic_solve(ce_logistic *l, double strength, ce_logistic_fit *fit,
                      ce_error *err) {
    double n = (double)l->x->rows;
    lbfgs_parameter_t p;
    if (!(strength > 0) || !isfinite(strength))
        return ce_fail(err, CE_EINVAL, "a strength of %g", strength);
    l->penalty = (l->k == 2 ? 2 : 1) / (strength * n);
    l->iterations = 0;
    lbfgs_parameter_init(&p);
    p.m = CORRECTIONS;
    p.epsilon = 0;
    p.max_iterations = l->options.max_iterations;
    int outcome = lbfgs((int)l->size, l->variables, NULL, evaluate, watch, l, &p);
    if (outcome == LBFGSERR_CANCELED)
        return ce_fail(err, CE_ECANCELLED, "interrupted");
    if (outcome == LBFGSERR_OUTOFMEMORY)
        return ce_fail(err, CE_ENOMEM, "no memory for %zu weights", l->size);
    double mean = evaluate(l, l->variables, l->gradient, (int)l->size, 0);
    *fit = (ce_logistic_fit){.objective = mean * strength * n,
                             .iterations = l->iterations,
                             .converged = has_converged(l, outcome)};
    return CE_OK;
}

/* ---- use ---- */

static void spread_row(const ce_logistic *l, float *out, const double *z) {
    bool unread = isnan(z[0]); /* NaN in x is in every logit */
    for (size_t c = 0; c < l->classes; c++)
        out[c] = unread                        ? NAN
                 : l->present[c] == UINT32_MAX ? -INFINITY
                                               : (float)z[l->present[c]];
}

int ce_logistic_scores(const ce_logistic *l, ce_matrix *out, const ce_matrix *x,
                       ce_error *err) {
    *out = (ce_matrix){0};
    if (x->cols != l->dims)
        return ce_fail(err, CE_EINVAL, "embeddings of %zu dimensions, learned from %zu",
                       x->cols, l->dims);
    int code = ce_matrix_init(out, x->rows, l->classes, err);
    for (size_t first = 0; code == CE_OK && first < x->rows; first += BLOCK) {
        size_t rows = x->rows - first < BLOCK ? x->rows - first : BLOCK;
        double *z = l->scratch + BLOCK * l->dims;
        logits_of(l, z, l->scratch, ce_matrix_row(x, first), rows, l->variables);
        for (size_t r = 0; r < rows; r++)
            spread_row(l, ce_matrix_row(out, first + r), z + r * l->k);
    }
    return code;
}

const double *ce_logistic_weights(const ce_logistic *l, size_t class, double *intercept) {
    if (class >= l->classes || l->present[class] == UINT32_MAX)
        return NULL;
    *intercept = l->variables[l->k * l->dims + l->present[class]];
    return l->variables + l->present[class] * l->dims;
}

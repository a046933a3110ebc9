#include "probe.h"

#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GRID = 97, STEPS_PER_DECADE = 8, FIRST_STEP = 16 };

typedef struct sweep {
    ce_logistic *solver;
    const ce_split *validation;
    const ce_probe_options *options;
    ce_probe *probe;
} sweep;

static double strength_at(size_t i) {
    return pow(10, (double)i / STEPS_PER_DECADE - 6);
}

static void show(const ce_probe_options *o, size_t done, size_t total) {
    if (o->progress)
        o->progress(o->progress_context, done, total);
}

/* ---- splits ---- */

static int check_split(const ce_split *s, const char *name, size_t dims, size_t classes,
                       ce_error *err) {
    const ce_matrix *m = s->rows;
    if (m->rows == 0)
        return ce_fail(err, CE_EINVAL, "the %s split is empty", name);
    if (m->cols != dims)
        return ce_fail(err, CE_EINVAL,
                       "the %s split has embeddings of %zu dimensions, not %zu", name,
                       m->cols, dims);
    for (size_t i = 0; i < m->rows; i++) {
        if (s->labels[i] >= classes)
            return ce_fail(err, CE_EINVAL,
                           "the %s split, row %zu: label %zu of %zu classes", name, i + 1,
                           (size_t)s->labels[i] + 1, classes);
        for (size_t c = 0; c < dims; c++)
            if (!isfinite(ce_matrix_row(m, i)[c]))
                return ce_fail(err, CE_EINVAL,
                               "the %s split, row %zu: not an embedding (NaN or infinity)",
                               name, i + 1);
    }
    return CE_OK;
}

static int check(const ce_split *train, const ce_split *validation, const ce_matrix *test,
                 const ce_probe_options *o, ce_error *err) {
    size_t dims = train->rows->cols;
    if (!(o->strength >= 0) || isinf(o->strength))
        return ce_fail(err, CE_EINVAL, "a strength of %g", o->strength);
    if (o->strength == 0 && !validation)
        return ce_fail(err, CE_EINVAL,
                       "without a validation split a strength must be given");
    if (test->cols != dims)
        return ce_fail(err, CE_EINVAL,
                       "the test split has embeddings of %zu dimensions, not %zu",
                       test->cols, dims);
    int code = check_split(train, "training", dims, o->classes, err);
    if (code == CE_OK && o->strength == 0)
        code = check_split(validation, "validation", dims, o->classes, err);
    return code;
}

static int join(ce_matrix *rows, uint32_t **labels, const ce_split *a, const ce_split *b,
                ce_error *err) {
    size_t first = a->rows->rows, then = b->rows->rows, width = a->rows->cols;
    int code = ce_matrix_init(rows, first + then, width, err);
    if (code < 0)
        return code;
    *labels = calloc(first + then, sizeof **labels);
    if (!*labels)
        return ce_fail(err, CE_ENOMEM, "no memory for %zu labels", first + then);
    memcpy(rows->data, a->rows->data, first * width * sizeof *rows->data);
    memcpy(rows->data + first * width, b->rows->data, then * width * sizeof *rows->data);
    memcpy(*labels, a->labels, first * sizeof **labels);
    memcpy(*labels + first, b->labels, then * sizeof **labels);
    return CE_OK;
}

/* ---- the sweep ---- */

static double accuracy_of(const ce_matrix *scores, const uint32_t *labels) {
    size_t hits = 0;
    for (size_t i = 0; i < scores->rows; i++)
        hits += ce_rank(ce_matrix_row(scores, i), scores->cols, labels[i]) == 0;
    return (double)hits / (double)scores->rows;
}

/* Trials stay in ascending strength. */
static void keep(ce_probe *probe, const ce_trial *trial) {
    size_t at = probe->tried++;
    for (; at > 0 && probe->trials[at - 1].strength > trial->strength; at--)
        probe->trials[at] = probe->trials[at - 1];
    probe->trials[at] = *trial;
}

static int try(sweep *s, size_t index, ce_error *err) {
    ce_logistic_fit fit;
    ce_matrix scores = {0};
    ce_trial trial = {.strength = strength_at(index)};
    int code = ce_logistic_solve(s->solver, trial.strength, &fit, err);
    if (code == CE_OK)
        code = ce_logistic_scores(s->solver, &scores, s->validation->rows, err);
    if (code == CE_OK) {
        trial.accuracy = accuracy_of(&scores, s->validation->labels);
        trial.iterations = fit.iterations;
        trial.converged = fit.converged;
        keep(s->probe, &trial);
        show(s->options, s->probe->tried, CE_PROBE_TRIALS + 1);
    }
    ce_matrix_free(&scores);
    return code;
}

static size_t best_index(const ce_probe *probe) {
    const ce_trial *best = probe->trials;
    for (size_t i = 1; i < probe->tried; i++)
        if (probe->trials[i].accuracy > best->accuracy)
            best = &probe->trials[i];
    return (size_t)lround((log10(best->strength) + 6) * STEPS_PER_DECADE);
}

static int choose(sweep *s, ce_error *err) {
    int code = CE_OK;
    for (size_t i = 0; code == CE_OK && i < GRID; i += FIRST_STEP)
        code = try(s, i, err);
    for (size_t step = FIRST_STEP / 2; code == CE_OK && step > 0; step /= 2) {
        size_t peak = best_index(s->probe);
        if (peak >= step)
            code = try(s, peak - step, err);
        if (code == CE_OK && peak + step < GRID)
            code = try(s, peak + step, err);
    }
    if (code == CE_OK)
        s->probe->strength = strength_at(best_index(s->probe));
    return code;
}

static int choose_strength(ce_probe *out, const ce_split *train, const ce_split *validation,
                           const ce_probe_options *o, ce_error *err) {
    sweep s = {.validation = validation, .options = o, .probe = out};
    int code =
        ce_logistic_new(&s.solver, train->rows, train->labels, o->classes, &o->solver, err);
    if (code == CE_OK)
        code = choose(&s, err);
    ce_logistic_free(s.solver);
    return code;
}

/* ---- the probe ---- */

static int learn(ce_probe *out, const ce_matrix *rows, const uint32_t *labels,
                 const ce_matrix *test, const ce_probe_options *o, ce_error *err) {
    ce_logistic *solver;
    int code = ce_logistic_new(&solver, rows, labels, o->classes, &o->solver, err);
    if (code == CE_OK)
        code = ce_logistic_solve(solver, out->strength, &out->fit, err);
    if (code == CE_OK)
        code = ce_logistic_scores(solver, &out->scores, test, err);
    ce_logistic_free(solver);
    return code;
}

int ce_probe_run(ce_probe *out, const ce_split *train, const ce_split *validation,
                 const ce_matrix *test, const ce_probe_options *options, ce_error *err) {
    ce_matrix both = {0};
    uint32_t *labels = NULL;
    *out = (ce_probe){.strength = options->strength};
    int code = check(train, validation, test, options, err);
    if (code < 0)
        return code;
    if (options->strength > 0)
        return learn(out, train->rows, train->labels, test, options, err);
    code = choose_strength(out, train, validation, options, err);
    if (code == CE_OK)
        code = join(&both, &labels, train, validation, err);
    if (code == CE_OK)
        code = learn(out, &both, labels, test, options, err);
    if (code == CE_OK)
        show(options, CE_PROBE_TRIALS + 1, CE_PROBE_TRIALS + 1);
    ce_matrix_free(&both);
    free(labels);
    return code;
}

void ce_probe_free(ce_probe *probe) {
    if (!probe)
        return;
    ce_matrix_free(&probe->scores);
    *probe = (ce_probe){0};
}

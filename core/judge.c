#include "judge.h"

#include "cpu.h"
#include "score.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { BLOCK = 64 }; /* rows that a worker claims at once */

typedef struct job {
    ce_judgement *out;
    const ce_matrix *embeds;
    const size_t *rows;
    const uint32_t *targets;
    size_t n, classes;
    ce_panels panels;
    const ce_judge_options *options;
    atomic_size_t next;
    atomic_bool failed;
} job;

/* What the functions of score.h say of scores of which none is NaN: loops that a compiler
 * turns into vectors. */
CE_CLONES static void rank_plain(ce_judgement *j, const float *x, size_t n, size_t target) {
    float most = x[0], own = x[target];
    uint32_t above = 0, equal = 0, shared = 0;
    for (size_t i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < n; i++) {
        above += x[i] > own;
        shared += x[i] == most;
    }
    for (size_t i = 0; i < target; i++)
        equal += x[i] == own;
    j->rank = above + equal;
    j->tied = shared > 1;
    for (j->best = 0; x[j->best] != most;)
        j->best++;
}

static void rank_any(ce_judgement *j, const float *x, size_t n, size_t target) {
    size_t best;
    ce_top_k(x, n, &best, 1);
    j->best = (uint32_t)best;
    j->rank = (uint32_t)ce_rank(x, n, target);
    j->tied = ce_top_is_tied(x, n);
}

CE_CLONES static bool any_nan(const float *x, size_t n) {
    unsigned count = 0;
    for (size_t i = 0; i < n; i++)
        count += x[i] != x[i];
    return count > 0;
}

static void judge_row(const job *all, size_t i, const float *x) {
    ce_judgement *j = &all->out[i];
    const ce_judge_options *o = all->options;
    size_t n = all->classes, target = all->targets[i];
    if (any_nan(x, n)) {
        rank_any(j, x, n, target);
        j->belief = ce_softmax_belief(x, n, o->scale, target); /* none */
    } else {
        rank_plain(j, x, n, target);
        j->belief = o->sigmoid
                        ? ce_sigmoid_belief_of(x, n, o->scale, o->bias, target, j->best)
                        : ce_softmax_belief_of(x, n, o->scale, target, j->best);
    }
    j->score = x[j->best];
}

static void *work(void *context) {
    job *j = context;
    float *scores = calloc(BLOCK * j->classes, sizeof *scores);
    if (!scores)
        atomic_store(&j->failed, true);
    while (!atomic_load(&j->failed)) {
        size_t first = atomic_fetch_add(&j->next, BLOCK);
        if (first >= j->n)
            break;
        size_t count = j->n - first < BLOCK ? j->n - first : BLOCK;
        const float *rows[BLOCK];
        for (size_t i = 0; i < count; i++)
            rows[i] = ce_matrix_row(j->embeds, j->rows[first + i]);
        ce_panels_scores(scores, rows, count, &j->panels);
        for (size_t i = 0; i < count; i++)
            judge_row(j, first + i, scores + i * j->classes);
    }
    free(scores);
    return NULL;
}

int ce_judge(ce_judgement *out, const ce_matrix *embeds, const size_t *rows,
             const uint32_t *targets, size_t n, const ce_matrix *classes,
             const ce_judge_options *options, ce_error *err) {
    enum { MOST = 64 };
    pthread_t threads[MOST];
    int started = 0, wanted = options->threads < MOST ? options->threads : MOST;
    job j = {.out = out,
             .embeds = embeds,
             .rows = rows,
             .targets = targets,
             .n = n,
             .classes = classes->rows,
             .options = options};
    if (embeds->cols != classes->cols)
        return ce_fail(err, CE_EINVAL, "embeddings of %zu numbers, classes of %zu",
                       embeds->cols, classes->cols);
    int code = ce_panels_init(&j.panels, classes, err);
    if (code < 0)
        return code;
    while (started + 1 < wanted && (size_t)started * BLOCK < n &&
           pthread_create(&threads[started], NULL, work, &j) == 0)
        started++;
    work(&j);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    ce_panels_free(&j.panels);
    return atomic_load(&j.failed) ? ce_fail(err, CE_ENOMEM, "no memory for scores") : CE_OK;
}

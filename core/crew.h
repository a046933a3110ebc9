/* The threads of one call: each claims work until none is left, the calling thread reports
 * how far they are.
 *
 *     ce_crew crew = {.options = options, .total = n, .work = work, .context = &job};
 *     int result = ce_crew_run(&crew, 4, &err);
 *
 * where work(&crew, &job) is
 *
 *     while (!ce_crew_stopped(crew) && (i = atomic_fetch_add(&job->next, 1)) < n) {
 *         if (do_item(job, i, &err) < 0)
 *             ce_crew_fail(crew, &err);
 *         atomic_fetch_add(&crew->done, 1);
 *     }
 */
#ifndef CE_CREW_H
#define CE_CREW_H

#include "pipeline.h"

#include <pthread.h>

typedef struct ce_crew ce_crew;
struct ce_crew {
    const ce_pipeline_options *options; /* cancel, progress, cache; NULL: none of them */
    size_t total;                       /* for progress */
    atomic_size_t done;                 /* of it; more than 0 at first: found */
    void (*work)(ce_crew *crew, void *context);
    void *context;
    /* the crew's own */
    atomic_int running;
    atomic_bool failed;
    ce_error err;         /* the first failure */
    pthread_mutex_t lock; /* of err and finished */
    pthread_cond_t finished;
};

/* Runs work on `threads` threads, this one where no other is to be had, until all have
 * returned. The first failure, or CE_ECANCELLED. */
int ce_crew_run(ce_crew *crew, size_t threads, ce_error *err);

/* For work: whether to leave off, and a failure of the whole call. */
bool ce_crew_stopped(const ce_crew *crew);
void ce_crew_fail(ce_crew *crew, const ce_error *err);

/* Threads that the options ask for. */
size_t ce_crew_threads(const ce_pipeline_options *options);

#endif

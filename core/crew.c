#include "crew.h"

#include <stdlib.h>
#include <time.h>

bool ce_crew_stopped(const ce_crew *c) {
    return atomic_load(&c->failed) ||
           (c->options && c->options->cancel && atomic_load(c->options->cancel));
}

void ce_crew_fail(ce_crew *c, const ce_error *err) {
    pthread_mutex_lock(&c->lock);
    if (!atomic_exchange(&c->failed, true))
        c->err = *err;
    pthread_mutex_unlock(&c->lock);
}

size_t ce_crew_threads(const ce_pipeline_options *options) {
    return options && options->threads > 0 ? (size_t)options->threads
                                           : (size_t)ce_default_threads();
}

static void *worker(void *context) {
    ce_crew *c = context;
    c->work(c, c->context);
    pthread_mutex_lock(&c->lock);
    atomic_fetch_sub(&c->running, 1);
    pthread_cond_signal(&c->finished);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void report_progress(const ce_crew *c) {
    if (c->options && c->options->progress)
        c->options->progress(c->options->progress_context, atomic_load(&c->done), c->total);
}

/* The calling thread reports while the workers work. */
static void wait_for_workers(ce_crew *c) {
    pthread_mutex_lock(&c->lock);
    while (atomic_load(&c->running) > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100 * 1000 * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&c->finished, &c->lock, &until);
        pthread_mutex_unlock(&c->lock);
        report_progress(c);
        if (c->options && c->options->cache)
            ce_cache_tick(c->options->cache);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
}

int ce_crew_run(ce_crew *c, size_t threads, ce_error *err) {
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->finished, NULL);
    pthread_t *handles = calloc(threads + 1, sizeof *handles);
    size_t started = 0;
    atomic_store(&c->running, (int)threads);
    while (handles && started < threads &&
           pthread_create(&handles[started], NULL, worker, c) == 0)
        started++;
    atomic_fetch_sub(&c->running, (int)(threads - started));
    if (started == 0)
        c->work(c, c->context);
    wait_for_workers(c);
    for (size_t i = 0; i < started; i++)
        pthread_join(handles[i], NULL);
    free(handles);
    report_progress(c);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->finished);
    if (atomic_load(&c->failed))
        return ce_fail(err, c->err.code, "%s", c->err.message);
    if (ce_crew_stopped(c))
        return ce_fail(err, CE_ECANCELLED, "interrupted");
    return CE_OK;
}

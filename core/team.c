#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { MAX_MEMBERS = 64, SPINS = 4000 };

typedef struct member {
    ce_team *team;
    size_t number;
    pthread_t thread;
} member;

struct ce_team {
    size_t members;
    void (*part)(void *job, size_t member, size_t members);
    void *job;
    atomic_size_t round;   /* goes up when there is a job, or the end */
    atomic_size_t working; /* members that have not finished it */
    atomic_bool over;
    member member[MAX_MEMBERS]; /* 0 is the caller */
};

/* Waits a moment; for the first few thousand times without giving up the core. */
static void pause_briefly(size_t tries) {
    if (tries >= SPINS)
        sched_yield();
#if defined(__x86_64__)
    else
        __builtin_ia32_pause();
#endif
}

static void *serve(void *context) {
    member *m = context;
    ce_team *t = m->team;
    for (size_t seen = 0;; seen++) {
        for (size_t tries = 0; atomic_load(&t->round) == seen; tries++)
            pause_briefly(tries);
        if (atomic_load(&t->over))
            return NULL;
        t->part(t->job, m->number, t->members);
        atomic_fetch_sub(&t->working, 1);
    }
}

int ce_team_new(ce_team **out, size_t members, ce_error *err) {
    ce_team *t = calloc(1, sizeof *t);
    if (!t)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    t->members = 1;
    for (size_t i = 1; i < members && i < MAX_MEMBERS; i++) {
        t->member[i] = (member){.team = t, .number = i};
        if (pthread_create(&t->member[i].thread, NULL, serve, &t->member[i]) != 0)
            break;
        t->members++;
    }
    *out = t;
    return CE_OK;
}

void ce_team_free(ce_team *t) {
    if (!t)
        return;
    atomic_store(&t->over, true);
    atomic_fetch_add(&t->round, 1);
    for (size_t i = 1; i < t->members; i++)
        pthread_join(t->member[i].thread, NULL);
    free(t);
}

void ce_team_run(ce_team *t, void (*part)(void *job, size_t member, size_t members),
                 void *job) {
    t->part = part;
    t->job = job;
    atomic_store(&t->working, t->members - 1);
    atomic_fetch_add(&t->round, 1);
    part(job, 0, t->members);
    for (size_t tries = 0; atomic_load(&t->working) > 0; tries++)
        pause_briefly(tries);
}

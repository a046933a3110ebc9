#include "trials.h"

#include "pipeline.h"
#include "team.h"

#include <stdbool.h>
#include <stdlib.h>

enum { WORTH_A_TEAM = 1000000, MOST_MEMBERS = 64 };

typedef struct crew {
    const ce_trials *trials;
    uint64_t seed;
    atomic_size_t next;
    void **scratch; /* [members] */
} crew;

static ce_random generator(const crew *c, size_t number) {
    ce_random outer = {c->seed + number * 0xd1342543de82ef95u};
    return (ce_random){ce_random_next(&outer)};
}

static bool cancelled(const ce_trials *t) {
    return t->chance.cancel && atomic_load(t->chance.cancel);
}

/* Each member claims one trial after another: one that is disturbed holds up no other. */
static void work(void *context, size_t member, size_t members) {
    (void)members;
    crew *c = context;
    const ce_trials *t = c->trials;
    for (;;) {
        size_t number = atomic_fetch_add(&c->next, 1);
        if (number >= t->count || cancelled(t))
            return;
        ce_random r = generator(c, number);
        t->run(t->context, number, &r, c->scratch[member]);
    }
}

static size_t wanted_members(const ce_trials *t) {
    int threads = t->chance.threads > 0 ? t->chance.threads : ce_default_threads();
    size_t members = t->count < MOST_MEMBERS ? t->count : MOST_MEMBERS;
    if ((double)t->count * (double)t->work < WORTH_A_TEAM || members == 0)
        return 1;
    return (size_t)threads < members ? (size_t)threads : members;
}

static int run_team(crew *c, size_t members, ce_error *err) {
    ce_team *team = NULL;
    if (members < 2) {
        work(c, 0, 1);
        return CE_OK;
    }
    int code = ce_team_new(&team, members, err);
    if (code < 0)
        return code;
    ce_team_run(team, work, c);
    ce_team_free(team);
    return CE_OK;
}

int ce_trials_run(const ce_trials *t, ce_error *err) {
    ce_random seeds = {t->chance.seed};
    crew c = {.trials = t, .seed = ce_random_next(&seeds)};
    size_t members = wanted_members(t), made = 0;
    int code;
    c.scratch = calloc(members + 1, sizeof *c.scratch);
    for (; c.scratch && made < members; made++)
        if (!(c.scratch[made] = malloc(t->scratch + 1)))
            break;
    code = made < members || !c.scratch ? ce_fail(err, CE_ENOMEM, "out of memory")
                                        : run_team(&c, members, err);
    if (code == CE_OK && cancelled(t))
        code = ce_fail(err, CE_ECANCELLED, "cancelled");
    for (size_t i = 0; i < made; i++)
        free(c.scratch[i]);
    free(c.scratch);
    return code;
}

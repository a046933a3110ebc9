/* A few threads that share one small job after another: for a lone picture, when the other
 * cores would have nothing to do. Members wait for work without sleeping, so a team should
 * live no longer than the work.
 *
 *     ce_team *team;
 *     ce_team_new(&team, 2, &err);
 *     ce_team_run(team, part, &job);      // part(&job, 0, 2) here, part(&job, 1, 2) there
 *     ce_team_free(team);
 */
#ifndef CE_TEAM_H
#define CE_TEAM_H

#include "error.h"

#include <stddef.h>

typedef struct ce_team ce_team;

/* `members` with the caller, 2 .. 64. Fewer where no thread is to be had. */
int ce_team_new(ce_team **out, size_t members, ce_error *err);
void ce_team_free(ce_team *team);

/* Returns when every member has done its part. Only the thread that made the team calls it.
 */
void ce_team_run(ce_team *team, void (*part)(void *job, size_t member, size_t members),
                 void *job);

#endif

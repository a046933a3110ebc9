/* An urn of balls of several kinds, from which as many are drawn, with replacement, as it
 * holds: a bootstrap's resample is the tally of its kinds.
 *
 *     ce_urn *urn;
 *     ce_urn_new(&urn, counts, kinds, &err);          // counts[k] balls of kind k
 *     ce_urn_draw(urn, &random, tally);       // tally[kinds], of the counts' sum
 *     ce_urn_free(urn);
 *
 * The tally is multinomial, exactly; what differs from drawing ball by ball is the time.
 */
#ifndef CE_URN_H
#define CE_URN_H

#include "error.h"
#include "stats.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_urn ce_urn;

/* kinds >= 1, and at least one ball; below 2^32 balls in all. */
int ce_urn_new(ce_urn **out, const uint32_t *counts, size_t kinds, ce_error *err);
void ce_urn_free(ce_urn *urn);

/* Overwrites tally[kinds]. The urn itself does not change: threads may share it. */
void ce_urn_draw(const ce_urn *urn, ce_random *r, uint32_t *tally);

#endif

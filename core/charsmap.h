/* SentencePiece's "precompiled_charsmap": byte strings and what each becomes, as
 * u32 size, a double array of that size (darts-clone's), and the results, each with a NUL.
 *
 *     ce_charsmap m;
 *     ce_charsmap_init(&m, bytes, size, "spiece.model", &err);
 *     size_t length;
 *     const char *to = ce_charsmap_longest(&m, text, n, &length);   // NULL: nothing
 *     ce_charsmap_free(&m);
 */
#ifndef CE_CHARSMAP_H
#define CE_CHARSMAP_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_charsmap {
    uint32_t *units; /* [count]; count 0: nothing is mapped */
    size_t count;
    char *results; /* NUL at the end */
} ce_charsmap;

/* CE_EFORMAT: sizes that lie, units that point outside. No bytes: an empty map. */
int ce_charsmap_init(ce_charsmap *m, const char *bytes, size_t size, const char *name,
                     ce_error *err);
void ce_charsmap_free(ce_charsmap *m);

/* What the longest (or shortest) known string at the head of `text` becomes, and its
 * length; NULL where none is known. */
const char *ce_charsmap_longest(const ce_charsmap *m, const char *text, size_t n,
                                size_t *length);
const char *ce_charsmap_shortest(const ce_charsmap *m, const char *text, size_t n,
                                 size_t *length);

#endif

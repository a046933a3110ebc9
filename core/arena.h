/* Memory that is given back all at once: what a parser builds from a file, within a limit
 * that the file cannot move.
 *
 *     ce_arena arena = {.limit = 64 << 20};
 *     char *name = ce_arena_text(&arena, bytes, size);     // NULL: limit or out of memory
 *     ce_arena_free(&arena);
 */
#ifndef CE_ARENA_H
#define CE_ARENA_H

#include <stddef.h>

typedef struct ce_arena {
    struct ce_arena_block *blocks; /* the newest first */
    size_t total;                  /* bytes asked of the system */
    size_t limit;                  /* of `total`; 0: none */
} ce_arena;

/* Zeroed, aligned for any type; NULL where the limit or memory does not allow it. */
void *ce_arena_alloc(ce_arena *a, size_t size);

/* `size` bytes and a NUL. */
char *ce_arena_text(ce_arena *a, const char *text, size_t size);

void ce_arena_free(ce_arena *a);

#endif

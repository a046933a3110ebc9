#include "arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK 4096
#define LARGEST_STEP ((size_t)1 << 20)

typedef struct ce_arena_block {
    struct ce_arena_block *next;
    size_t used, room;
    alignas(max_align_t) unsigned char bytes[];
} block;

/* Blocks double up to a megabyte; what is larger gets one of its own. */
static block *add_block(ce_arena *a, size_t size) {
    size_t room = a->blocks ? 2 * a->blocks->room : FIRST_BLOCK;
    room = room < LARGEST_STEP ? room : LARGEST_STEP;
    room = room < size ? size : room;
    if (room > SIZE_MAX - sizeof(block) ||
        (a->limit && (a->total > a->limit || room > a->limit - a->total)))
        return NULL;
    block *b = calloc(1, sizeof *b + room);
    if (!b)
        return NULL;
    *b = (block){a->blocks, 0, room};
    a->blocks = b;
    a->total += room;
    return b;
}

void *ce_arena_alloc(ce_arena *a, size_t size) {
    const size_t step = alignof(max_align_t);
    if (size > SIZE_MAX - step)
        return NULL;
    size = (size + step - 1) / step * step;
    block *b = a->blocks;
    if (!b || size > b->room - b->used)
        b = add_block(a, size);
    if (!b)
        return NULL;
    b->used += size;
    return b->bytes + b->used - size;
}

char *ce_arena_text(ce_arena *a, const char *text, size_t size) {
    char *copy = size < SIZE_MAX ? ce_arena_alloc(a, size + 1) : NULL;
    if (copy && size)
        memcpy(copy, text, size);
    return copy;
}

void ce_arena_free(ce_arena *a) {
    while (a->blocks) {
        block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->total = 0;
}

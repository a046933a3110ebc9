#include "urn.h"

#include "binomial.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The balls lie in blocks. How many draws fall into each block is one binomial a block;
 * then a block of 256 single balls takes a byte of a random number for each draw, and a
 * block of one kind takes nothing more. */
enum { BLOCK = 256, LARGE = 96 }; /* a kind with as many balls is a block of its own */

typedef struct block {
    uint32_t size;        /* balls */
    const uint32_t *kind; /* [size] of each ball; [1] where all are of one kind */
    bool one_kind;
} block;

struct ce_urn {
    size_t kinds, balls, blocks;
    block *block;
    uint32_t *kind; /* what the blocks' lists point into */
};

static void add_block(ce_urn *urn, uint32_t size, const uint32_t *kind, bool one_kind) {
    urn->block[urn->blocks++] = (block){size, kind, one_kind};
}

/* Large kinds first, then the rest in blocks of 256. */
static void fill(ce_urn *urn, const uint32_t *counts) {
    uint32_t *next = urn->kind;
    for (size_t k = 0; k < urn->kinds; k++)
        if (counts[k] >= LARGE) {
            *next = (uint32_t)k;
            add_block(urn, counts[k], next++, true);
        }
    uint32_t *singles = next;
    for (size_t k = 0; k < urn->kinds; k++)
        for (uint32_t i = 0; counts[k] < LARGE && i < counts[k]; i++)
            *next++ = (uint32_t)k;
    for (; singles < next; singles += BLOCK)
        add_block(urn, next - singles < BLOCK ? (uint32_t)(next - singles) : BLOCK, singles,
                  false);
}

int ce_urn_new(ce_urn **out, const uint32_t *counts, size_t kinds, ce_error *err) {
    size_t balls = 0, entries = 0, large = 0;
    for (size_t k = 0; k < kinds; k++) {
        balls += counts[k];
        entries += counts[k] < LARGE ? counts[k] : 1;
        large += counts[k] >= LARGE;
    }
    if (balls == 0 || balls > UINT32_MAX)
        return ce_fail(err, CE_EINVAL, "no items to draw from, or too many");
    ce_urn *urn = calloc(1, sizeof *urn);
    if (urn) {
        urn->kinds = kinds;
        urn->balls = balls;
        urn->kind = calloc(entries, sizeof *urn->kind);
        urn->block = calloc(large + entries / BLOCK + 1, sizeof *urn->block);
    }
    if (!urn || !urn->kind || !urn->block) {
        ce_urn_free(urn);
        return ce_fail(err, CE_ENOMEM, "out of memory");
    }
    fill(urn, counts);
    *out = urn;
    return CE_OK;
}

void ce_urn_free(ce_urn *urn) {
    if (!urn)
        return;
    free(urn->block);
    free(urn->kind);
    free(urn);
}

size_t ce_urn_balls(const ce_urn *urn) {
    return urn->balls;
}

/* Eight draws of one random number. */
static void draw_bytes(const uint32_t *kind, ce_random *r, size_t draws, uint32_t *tally) {
    for (; draws >= 8; draws -= 8) {
        uint64_t bytes = ce_random_next(r);
        for (int i = 0; i < 8; i++)
            tally[kind[bytes >> 8 * i & 255]]++;
    }
    uint64_t bytes = draws ? ce_random_next(r) : 0;
    for (; draws > 0; draws--, bytes >>= 8)
        tally[kind[bytes & 255]]++;
}

static void draw_block(const block *b, ce_random *r, size_t draws, uint32_t *tally) {
    if (b->one_kind)
        tally[*b->kind] += (uint32_t)draws;
    else if (b->size == BLOCK)
        draw_bytes(b->kind, r, draws, tally);
    else
        for (; draws > 0; draws--)
            tally[b->kind[ce_random_below(r, b->size)]]++;
}

void ce_urn_draw(const ce_urn *urn, ce_random *r, size_t draws, uint32_t *tally) {
    size_t balls = urn->balls;
    memset(tally, 0, urn->kinds * sizeof *tally);
    for (size_t i = 0; i < urn->blocks && draws > 0; i++) {
        const block *b = &urn->block[i];
        size_t here = ce_binomial_draw(r, draws, (double)b->size / (double)balls);
        draw_block(b, r, here, tally);
        draws -= here;
        balls -= b->size;
    }
}

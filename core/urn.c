#include "urn.h"

#include "binomial.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Brown, Bromberg: An Efficient Two-Stage Procedure for Generating Random Variates from the
 * Multinomial Distribution, American Statistician 38 (1984). Independent Poisson counts,
 * given their sum, are multinomial. So every kind gets a Poisson count, of rates that sum
 * to somewhat less than is to be drawn; what is then missing is drawn ball by ball. Where
 * the sum came out too large all begins again.
 *
 * Kinds with as many balls share a table of outcomes: twelve random bits choose a slot,
 * which tells the outcome; or, if outcomes share the slot, the first of them, and the rest
 * of the number decides. An outcome is a count; for kinds of a single ball, of which there
 * are the most, the counts of two of them. */
enum { SLOT_BITS = 12, SLOTS = 1 << SLOT_BITS, A_WORD = 64 / SLOT_BITS };
enum { SHARED = 0x8000, MOST_FIRST = 0x7fff, SIDE = 32 }; /* a pair: SIDE a + b */

typedef struct shelf {
    size_t kinds, first; /* kind[first ..] of the urn */
    bool pairs;
    uint32_t lowest; /* what outcome 0 counts */
    size_t outcomes;
    double *below;        /* [outcomes] the chance of this one or one before it */
    uint16_t slot[SLOTS]; /* an outcome; SHARED + the first of several */
} shelf;

struct ce_urn {
    size_t kinds, balls, shelves;
    double rate;    /* of one ball */
    shelf *shelf;   /* [shelves] */
    uint32_t *kind; /* [kinds], by how many balls they have */
    uint32_t *ball; /* [balls] kinds */
};

/* ---- tables ---- */

static void fill_slots(shelf *s) {
    size_t at = 0, last = s->outcomes - 1;
    for (size_t i = 0; i < SLOTS; i++) {
        while (at < last && s->below[at] <= (double)i / SLOTS)
            at++;
        bool whole = s->below[at] >= (double)(i + 1) / SLOTS && at <= MOST_FIRST;
        s->slot[i] = (uint16_t)((at < MOST_FIRST ? at : MOST_FIRST) | (whole ? 0 : SHARED));
    }
}

static bool tabulate_pairs(shelf *s, double mean) {
    double sum = 0;
    s->pairs = true;
    s->outcomes = SIDE * SIDE; /* 32 where 1 is expected: one in 10^36 */
    s->below = calloc(s->outcomes, sizeof *s->below);
    for (uint64_t i = 0; s->below && i < s->outcomes; i++)
        s->below[i] = sum +=
            ce_poisson_pmf(i / SIDE, mean) * ce_poisson_pmf(i % SIDE, mean);
    return s->below != NULL;
}

/* Ten standard deviations, and more where few are expected: what lies beyond is lost in
 * the rounding of a double. */
static bool tabulate_counts(shelf *s, double mean) {
    double width = 10 * sqrt(mean) + 30, sum = 0;
    s->lowest = mean > width ? (uint32_t)(mean - width) : 0;
    s->outcomes = (size_t)(mean + width) - s->lowest + 1;
    s->below = calloc(s->outcomes, sizeof *s->below);
    for (size_t i = 0; s->below && i < s->outcomes; i++)
        s->below[i] = sum += ce_poisson_pmf(s->lowest + i, mean);
    return s->below != NULL;
}

static bool tabulate(shelf *s, uint32_t balls, double rate) {
    if (!(balls == 1 ? tabulate_pairs(s, rate) : tabulate_counts(s, balls * rate)))
        return false;
    fill_slots(s);
    return true;
}

/* ---- making ---- */

typedef struct pile {
    uint32_t balls, kind;
} pile;

static int by_size(const void *a, const void *b) {
    const pile *p = a, *q = b;
    if (p->balls != q->balls)
        return p->balls < q->balls ? -1 : 1;
    return (p->kind > q->kind) - (p->kind < q->kind);
}

/* Two standard deviations below: one sum in forty is too large, and drawn again. */
static double rate_of(size_t balls) {
    double count = (double)balls;
    return balls < 100 ? 0 : (count - 2 * sqrt(count)) / count;
}

static size_t count_sizes(const pile *piles, size_t kinds) {
    size_t sizes = 1;
    for (size_t k = 1; k < kinds; k++)
        sizes += piles[k].balls != piles[k - 1].balls;
    return sizes;
}

static bool fill(ce_urn *urn, const pile *piles) {
    uint32_t *ball = urn->ball;
    for (size_t k = 0; k < urn->kinds; k++) {
        urn->kind[k] = piles[k].kind;
        for (uint32_t i = 0; i < piles[k].balls; i++)
            *ball++ = piles[k].kind;
        if (urn->rate <= 0)
            continue;
        if (k == 0 || piles[k].balls != piles[k - 1].balls) {
            shelf *s = &urn->shelf[urn->shelves++];
            s->first = k;
            if (!tabulate(s, piles[k].balls, urn->rate))
                return false;
        }
        urn->shelf[urn->shelves - 1].kinds++;
    }
    return true;
}

static ce_urn *make(const pile *piles, size_t kinds, size_t balls) {
    ce_urn *urn = calloc(1, sizeof *urn);
    if (!urn)
        return NULL;
    *urn = (ce_urn){.kinds = kinds, .balls = balls, .rate = rate_of(balls)};
    urn->kind = calloc(kinds, sizeof *urn->kind);
    urn->ball = calloc(balls, sizeof *urn->ball);
    urn->shelf = calloc(urn->rate > 0 ? count_sizes(piles, kinds) : 1, sizeof *urn->shelf);
    if (urn->kind && urn->ball && urn->shelf && fill(urn, piles))
        return urn;
    ce_urn_free(urn);
    return NULL;
}

int ce_urn_new(ce_urn **out, const uint32_t *counts, size_t kinds, ce_error *err) {
    size_t balls = 0;
    pile *piles = calloc(kinds + 1, sizeof *piles);
    for (size_t k = 0; piles && k < kinds; k++) {
        piles[k] = (pile){counts[k], (uint32_t)k};
        balls += counts[k];
    }
    if (piles)
        qsort(piles, kinds, sizeof *piles, by_size);
    ce_urn *urn =
        piles && balls > 0 && balls <= UINT32_MAX ? make(piles, kinds, balls) : NULL;
    bool fits = !piles || (balls > 0 && balls <= UINT32_MAX);
    free(piles);
    if (!fits)
        return ce_fail(err, CE_EINVAL, "no balls to draw from, or too many");
    if (!urn)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    *out = urn;
    return CE_OK;
}

void ce_urn_free(ce_urn *urn) {
    if (!urn)
        return;
    for (size_t i = 0; urn->shelf && i < urn->shelves; i++)
        free(urn->shelf[i].below);
    free(urn->shelf);
    free(urn->kind);
    free(urn->ball);
    free(urn);
}

/* ---- drawing ---- */

/* Which of the outcomes that share the slot; the last, should rounding leave none. */
static size_t settle(const shelf *s, size_t slot, ce_random *r) {
    double u = ((double)slot + ce_random_unit(r)) / SLOTS;
    size_t at = s->slot[slot] & MOST_FIRST;
    while (at < s->outcomes - 1 && s->below[at] <= u)
        at++;
    return at;
}

static size_t outcome(const shelf *s, size_t slot, ce_random *r) {
    size_t found = s->slot[slot];
    return found & SHARED ? settle(s, slot, r) : found;
}

/* Both return the sum. */
static uint64_t draw_counts(const shelf *s, const uint32_t *kind, ce_random *r,
                            uint32_t *tally) {
    uint64_t sum = 0;
    for (size_t i = 0; i < s->kinds; i++) {
        uint32_t count = s->lowest + (uint32_t)outcome(s, ce_random_next(r) % SLOTS, r);
        sum += tally[kind[i]] = count;
    }
    return sum;
}

static uint64_t draw_pair(const shelf *s, const uint32_t *kind, size_t slot, ce_random *r,
                          uint32_t *tally) {
    size_t found = outcome(s, slot, r);
    tally[kind[0]] = (uint32_t)(found / SIDE);
    tally[kind[1]] = (uint32_t)(found % SIDE);
    return found / SIDE + found % SIDE;
}

static uint64_t draw_pairs(const shelf *s, const uint32_t *kind, ce_random *random,
                           uint32_t *tally) {
    ce_random r = *random; /* in a register */
    uint64_t sum = 0;
    size_t i = 0;
    for (; i + 2 * A_WORD <= s->kinds; i += 2 * A_WORD) {
        uint64_t bits = ce_random_next(&r);
        for (size_t j = 0; j < 2 * A_WORD; j += 2, bits >>= SLOT_BITS)
            sum += draw_pair(s, kind + i + j, bits % SLOTS, &r, tally);
    }
    for (; i + 2 <= s->kinds; i += 2)
        sum += draw_pair(s, kind + i, ce_random_next(&r) % SLOTS, &r, tally);
    if (i < s->kinds) /* one that has no partner */
        sum += tally[kind[i]] =
            (uint32_t)(outcome(s, ce_random_next(&r) % SLOTS, &r) / SIDE);
    *random = r;
    return sum;
}

static uint64_t draw_shelf(const shelf *s, const uint32_t *kind, ce_random *r,
                           uint32_t *tally) {
    return s->pairs ? draw_pairs(s, kind, r, tally) : draw_counts(s, kind, r, tally);
}

void ce_urn_draw(const ce_urn *urn, ce_random *r, uint32_t *tally) {
    uint64_t drawn;
    do {
        drawn = 0;
        if (urn->rate <= 0)
            memset(tally, 0, urn->kinds * sizeof *tally);
        for (size_t i = 0; i < urn->shelves; i++)
            drawn += draw_shelf(&urn->shelf[i], urn->kind + urn->shelf[i].first, r, tally);
    } while (drawn > urn->balls);
    for (; drawn < urn->balls; drawn++)
        tally[urn->ball[ce_random_below(r, urn->balls)]]++;
}

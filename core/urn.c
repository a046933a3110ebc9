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
 * Kinds with as many balls share a table of their Poisson distribution: twelve random bits
 * choose a slot, which tells the count; or, if two counts share the slot, that the rest of
 * the number must be looked at. */
enum { SLOT_BITS = 12, SLOTS = 1 << SLOT_BITS, A_WORD = 64 / SLOT_BITS, SHARED = 0xffff };

typedef struct shelf {
    size_t kinds, first;  /* kind[first ..] of the urn */
    uint32_t lowest;      /* count, with which `below` begins */
    size_t counts;        /* how many follow it */
    double *below;        /* [counts] P(X <= lowest + i) */
    uint16_t slot[SLOTS]; /* count - lowest, or SHARED */
} shelf;

struct ce_urn {
    size_t kinds, balls, shelves;
    double rate;    /* of one ball */
    shelf *shelf;   /* [shelves] */
    uint32_t *kind; /* [kinds], by how many balls they have */
    uint32_t *ball; /* [balls] kinds */
};

/* ---- a Poisson distribution ---- */

static size_t count_at(const shelf *s, double u) {
    size_t low = 0, high = s->counts - 1; /* rounding may leave u above the last */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->below[middle] > u)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Ten standard deviations, and more where few are expected: what lies beyond is lost in
 * the rounding of a double. */
static bool tabulate(shelf *s, double mean) {
    double width = 10 * sqrt(mean) + 30, sum = 0;
    s->lowest = mean > width ? (uint32_t)(mean - width) : 0;
    s->counts = (size_t)(mean + width) - s->lowest + 1;
    s->below = calloc(s->counts, sizeof *s->below);
    if (!s->below)
        return false;
    for (size_t i = 0; i < s->counts; i++)
        s->below[i] = sum += ce_poisson_pmf(s->lowest + i, mean);
    for (size_t i = 0; i < SLOTS; i++) {
        size_t from = count_at(s, (double)i / SLOTS);
        bool whole = s->below[from] >= (double)(i + 1) / SLOTS && from < SHARED;
        s->slot[i] = whole ? (uint16_t)from : SHARED;
    }
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

/* Three standard deviations below: one sum in a thousand is too large. */
static double rate_of(size_t balls) {
    double count = (double)balls;
    return balls < 100 ? 0 : (count - 3 * sqrt(count)) / count;
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
            if (!tabulate(s, fmax(urn->rate * piles[k].balls, 1e-300)))
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

/* The count, less the lowest, where two share the slot. */
static uint32_t settle(const shelf *s, uint64_t slot, ce_random *r) {
    return (uint32_t)count_at(s, ((double)slot + ce_random_unit(r)) / SLOTS);
}

/* Returns the sum. */
static uint64_t draw_shelf(const shelf *s, const uint32_t *kind, ce_random *random,
                           uint32_t *tally) {
    const uint32_t lowest = s->lowest;
    ce_random r = *random; /* in a register */
    uint64_t sum = 0, bits = 0;
    for (size_t i = 0; i < s->kinds; i++, bits >>= SLOT_BITS) {
        if (i % A_WORD == 0)
            bits = ce_random_next(&r);
        uint32_t above = s->slot[bits % SLOTS];
        if (above == SHARED)
            above = settle(s, bits % SLOTS, &r);
        sum += tally[kind[i]] = lowest + above;
    }
    *random = r;
    return sum;
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

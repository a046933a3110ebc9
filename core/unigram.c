/* The search of SentencePiece 0.2 (unigram_model.cc, EncodeOptimized) and of tokenizers
 * 0.23 (unigram/model.rs, encode_optimized): for every end the best piece that ends there;
 * of equal sums the first found, that is the longest last piece, stays. */
#include "unigram.h"

#include <stdlib.h>
#include <string.h>

#define SMALL 1024

typedef struct best {
    double sum;
    int32_t id;
    uint32_t begin;
    bool reached;
} best;

int ce_unigram_init(ce_unigram *u, size_t count, ce_error *err) {
    u->count = count;
    u->scores = calloc(count + 1, sizeof *u->scores);
    return u->scores ? 0 : ce_fail(err, CE_ENOMEM, "out of memory for %zu pieces", count);
}

void ce_unigram_free(ce_unigram *u) {
    ce_trie_free(&u->trie);
    free(u->scores);
    *u = (ce_unigram){0};
}

int ce_unigram_add(ce_unigram *u, int32_t id, const char *text, size_t size, double score,
                   ce_error *err) {
    u->scores[id] = score;
    return ce_trie_put(&u->trie, text, size, id, err);
}

static size_t character_size(char head) {
    unsigned char byte = (unsigned char)head;
    return byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

static void offer(const ce_unigram *u, best *end, uint32_t begin, int32_t id, double sum) {
    if (u->float_sums)
        sum = (double)(float)sum; /* of two floats: rounded as their float sum is */
    if (!end->reached || sum > end->sum)
        *end = (best){sum, id, begin, true};
}

/* All pieces that begin at `begin`; an unknown one where its first character is none. */
static size_t extend(const ce_unigram *u, best *ends, const char *text, size_t size,
                     size_t begin) {
    double sum = ends[begin].sum;
    size_t one = character_size(text[begin]);
    bool known = false;
    uint32_t node = 0;
    if (one > size - begin)
        one = size - begin;
    for (size_t i = begin; i < size; i++) {
        node = ce_trie_step(&u->trie, node, text[i]);
        if (!node)
            break;
        int32_t id = u->trie.values[node];
        if (id < 0)
            continue;
        offer(u, &ends[i + 1], (uint32_t)begin, id, u->scores[id] + sum);
        known |= i + 1 - begin == one;
    }
    if (!known)
        offer(u, &ends[begin + one], (uint32_t)begin, u->unknown, u->unknown_score + sum);
    return one;
}

/* Backwards from the end; runs of unknown characters are merged, then all is turned. */
static int collect(const ce_unigram *u, ce_unigram_pieces *out, const best *ends,
                   size_t size, ce_error *err) {
    size_t count = 0, place;
    for (size_t end = size; end > 0; end = ends[end].begin)
        count++;
    out->at = malloc(count * sizeof *out->at);
    if (!out->at)
        return ce_fail(err, CE_ENOMEM, "out of memory for a text of %zu bytes", size);
    place = count;
    for (size_t end = size; end > 0; end = ends[end].begin) {
        const best *b = &ends[end];
        if (b->id == u->unknown && place < count && out->at[place].id == u->unknown)
            out->at[place].begin = b->begin;
        else
            out->at[--place] = (ce_unigram_piece){b->id, b->begin, (uint32_t)end};
    }
    out->count = count - place;
    memmove(out->at, out->at + place, out->count * sizeof *out->at);
    return 0;
}

int ce_unigram_cut(const ce_unigram *u, ce_unigram_pieces *out, const char *text,
                   size_t size, ce_error *err) {
    best small[SMALL], *ends = small;
    *out = (ce_unigram_pieces){0};
    if (size == 0)
        return 0;
    if (size >= SMALL)
        ends = size < UINT32_MAX ? malloc((size + 1) * sizeof *ends) : NULL;
    if (!ends)
        return ce_fail(err, CE_ENOMEM, "out of memory for a text of %zu bytes", size);
    memset(ends, 0, (size + 1) * sizeof *ends);
    for (size_t i = 0; i < size;)
        i += extend(u, ends, text, size, i);
    int rc = collect(u, out, ends, size, err);
    if (ends != small)
        free(ends);
    return rc;
}

void ce_unigram_pieces_free(ce_unigram_pieces *p) {
    free(p->at);
    *p = (ce_unigram_pieces){0};
}

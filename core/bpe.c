#include "bpe.h"

#include "unicode.h"

#include <stdlib.h>
#include <string.h>

#define NO_RANK UINT32_MAX
#define NOWHERE UINT32_MAX

int ce_bpe_init(ce_bpe *b, size_t capacity, ce_error *err) {
    *b = (ce_bpe){.capacity = capacity};
    int bits = 4;
    while (bits < 30 && ((size_t)1 << bits) < 2 * capacity)
        bits++;
    b->shift = 64 - bits;
    b->mask = ((size_t)1 << bits) - 1;
    if (capacity <= (size_t)1 << 29) {
        b->merges = malloc((capacity + 1) * sizeof *b->merges);
        b->slots = calloc((size_t)1 << bits, sizeof *b->slots);
    }
    if (b->merges && b->slots)
        return 0;
    ce_bpe_free(b);
    return ce_fail(err, CE_ENOMEM, "out of memory for %zu merges", capacity);
}

void ce_bpe_free(ce_bpe *b) {
    free(b->merges);
    free(b->slots);
    *b = (ce_bpe){0};
}

/* GPT-2's bytes_to_unicode: these bytes stand for themselves as Latin-1; the others, in
 * order, are U+0100 and up. CLIP numbers the printable ones first. */
static bool is_printable(unsigned byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

size_t ce_bpe_letter(char out[4], unsigned byte) {
    unsigned letter = byte;
    if (!is_printable(byte)) {
        letter = 256;
        for (unsigned other = 0; other < byte; other++)
            letter += !is_printable(other);
    }
    return ce_rune_encode((unsigned char *)out, (int32_t)letter);
}

unsigned ce_bpe_byte(unsigned index) {
    for (int printable = 1; printable >= 0; printable--)
        for (unsigned byte = 0; byte < 256; byte++)
            if (is_printable(byte) == (printable == 1) && index-- == 0)
                return byte;
    return 0;
}

int ce_bpe_set_symbols(ce_bpe *b, const ce_vocab *vocab, int32_t unknown, const char *name,
                       ce_error *err) {
    static const ce_token_text ends[2] = {{"", 0}, {"</w>", 4}};
    for (int end = 0; end < 2; end++)
        for (unsigned byte = 0; byte < 256; byte++) {
            char letter[4];
            ce_token_text text = {letter, ce_bpe_letter(letter, byte)};
            int32_t id = ce_vocab_find_joined(vocab, text, ends[end]);
            if (id < 0)
                id = unknown;
            if (id < 0)
                return ce_fail(err, CE_EFORMAT, "%s: no token for byte %u (\"%.*s%s\")",
                               name, byte, (int)text.size, letter, ends[end].at);
            b->symbols[end][byte] = id;
        }
    return 0;
}

/* The slot that holds the pair, or the empty one where it belongs. */
static uint32_t *slot_of(const ce_bpe *b, int32_t left, int32_t right) {
    /* Fibonacci hashing: Knuth, TAOCP 3, section 6.4 */
    uint64_t key = (uint64_t)left << 32 | (uint32_t)right;
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> b->shift);
    for (;; i = (i + 1) & b->mask) {
        uint32_t rank = b->slots[i];
        if (rank == 0 ||
            (b->merges[rank - 1].left == left && b->merges[rank - 1].right == right))
            return &b->slots[i];
    }
}

int ce_bpe_add(ce_bpe *b, const ce_vocab *vocab, ce_token_text left, ce_token_text right,
               const char *name, const char *where, size_t number, ce_error *err) {
    ce_bpe_merge m = {.left = ce_vocab_find(vocab, left.at, left.size),
                      .right = ce_vocab_find(vocab, right.at, right.size),
                      .result = ce_vocab_find_joined(vocab, left, right)};
    if (m.left < 0 || m.right < 0) {
        ce_token_text t = m.left < 0 ? left : right;
        return ce_fail(err, CE_EFORMAT, "%s: %s %zu: no token \"%.*s\" in the vocabulary",
                       name, where, number, ce_vocab_quote(t.at, t.size), t.at);
    }
    if (m.result < 0)
        return ce_fail(err, CE_EFORMAT,
                       "%s: %s %zu: no token \"%.*s%.*s\" in the vocabulary", name, where,
                       number, ce_vocab_quote(left.at, left.size), left.at,
                       ce_vocab_quote(right.at, right.size), right.at);
    uint32_t *slot = slot_of(b, m.left, m.right);
    if (*slot)
        return ce_fail(err, CE_EFORMAT,
                       "%s: %s %zu repeats an earlier merge, \"%.*s %.*s\"", name, where,
                       number, ce_vocab_quote(left.at, left.size), left.at,
                       ce_vocab_quote(right.at, right.size), right.at);
    if (b->count == b->capacity)
        return ce_fail(err, CE_EINVAL, "%s: the merges grew while they were read", name);
    b->merges[b->count++] = m;
    *slot = (uint32_t)b->count;
    return 0;
}

/* A word being merged: its symbols as a linked list, each with the rank of its pair with
 * the next one, and a heap of the candidates by rank, then position. A candidate whose
 * rank is no longer that of its symbol is stale. */
typedef struct word {
    uint32_t *id, *rank, *next, *previous; /* [symbols] */
    uint64_t *heap;                        /* [2 * symbols], rank << 32 | position */
    size_t waiting;
} word;

static void heap_push(word *w, uint64_t key) {
    size_t i = w->waiting++;
    while (i > 0 && w->heap[(i - 1) / 2] > key) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = key;
}

static uint64_t heap_pop(word *w) {
    uint64_t top = w->heap[0], last = w->heap[--w->waiting];
    size_t i = 0;
    for (size_t child = 1; child < w->waiting; child = 2 * i + 1) {
        if (child + 1 < w->waiting && w->heap[child + 1] < w->heap[child])
            child++;
        if (w->heap[child] >= last)
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return top;
}

static void rank_pair(const ce_bpe *b, word *w, uint32_t at) {
    w->rank[at] = NO_RANK;
    if (w->next[at] == NOWHERE)
        return;
    uint32_t rank = *slot_of(b, (int32_t)w->id[at], (int32_t)w->id[w->next[at]]);
    if (rank == 0)
        return;
    w->rank[at] = rank - 1;
    heap_push(w, (uint64_t)(rank - 1) << 32 | at);
}

static void merge_word(const ce_bpe *b, word *w, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        w->next[i] = i + 1 < size ? i + 1 : NOWHERE;
        w->previous[i] = i > 0 ? i - 1 : NOWHERE;
    }
    for (uint32_t i = 0; i < size; i++)
        rank_pair(b, w, i);
    while (w->waiting) {
        uint64_t key = heap_pop(w);
        uint32_t at = (uint32_t)key, rank = (uint32_t)(key >> 32);
        if (w->rank[at] != rank)
            continue;
        uint32_t gone = w->next[at];
        w->id[at] = (uint32_t)b->merges[rank].result;
        w->next[at] = w->next[gone];
        w->rank[gone] = NO_RANK;
        if (w->next[at] != NOWHERE)
            w->previous[w->next[at]] = at;
        rank_pair(b, w, at);
        if (w->previous[at] != NOWHERE)
            rank_pair(b, w, w->previous[at]);
    }
}

/* Fills the symbols; gives their number. */
static uint32_t spell(const ce_bpe *b, uint32_t *ids, const int32_t *runes, size_t count) {
    uint32_t n = 0;
    unsigned char utf8[4] = {0};
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size = ce_rune_encode(utf8, runes[i]);
        for (size_t k = 0; k < size; k++)
            ids[n++] = (uint32_t)b->symbols[0][utf8[k]];
    }
    if (size > 0)
        ids[n - 1] = (uint32_t)b->symbols[1][utf8[size - 1]];
    return n;
}

/* Words of up to so many bytes live on the stack. */
#define SMALL_WORD 128

static size_t utf8_size(const int32_t *runes, size_t count) {
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += runes[i] < 0x80 ? 1 : runes[i] < 0x800 ? 2 : runes[i] < 0x10000 ? 3 : 4;
    return size;
}

int ce_bpe_encode_word(const ce_bpe *b, ce_ids *out, const int32_t *runes, size_t count,
                       ce_error *err) {
    uint64_t small[SMALL_WORD * 4];
    uint64_t *block = small;
    size_t room = utf8_size(runes, count); /* CE_TEXT_MAX bounds it */
    if (room > SMALL_WORD && !(block = malloc(room * 4 * sizeof *block)))
        return ce_fail(err, CE_ENOMEM, "out of memory for a word of %zu characters", count);
    word w = {.heap = block};
    w.id = (uint32_t *)(block + 2 * room);
    w.rank = w.id + room;
    w.next = w.rank + room;
    w.previous = w.next + room;
    uint32_t size = spell(b, w.id, runes, count);
    if (size > 0) {
        merge_word(b, &w, size);
        for (uint32_t at = 0; at != NOWHERE && !out->overflow; at = w.next[at])
            ce_ids_put(out, (int32_t)w.id[at]);
    }
    if (block != small)
        free(block);
    return 0;
}

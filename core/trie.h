/* Byte strings -> ids, walked a byte at a time: every piece that begins at a place of a
 * text is found in one pass.
 *
 *     ce_trie t = {0};
 *     ce_trie_put(&t, "the", 3, 17, &err);
 *     for (uint32_t node = 0; i < n && (node = ce_trie_step(&t, node, text[i])); i++)
 *         if (t.values[node] >= 0) ...
 *     ce_trie_free(&t);
 *
 * The edges lie in one hash table, so that 250,000 pieces are put in some 50 ms.
 */
#ifndef CE_TRIE_H
#define CE_TRIE_H

#include "error.h"
#include "tokenizer_hash.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_trie_edge {
    uint32_t key;   /* node << 8 | byte */
    uint32_t child; /* 0: empty */
} ce_trie_edge;

typedef struct ce_trie {
    ce_trie_edge *edges; /* [2 ** (64 - shift)], open addressing */
    int32_t *values;     /* [count]; -1: no string ends at this node */
    size_t count, capacity;
    int shift;
    ce_hash_key key;
} ce_trie;

void ce_trie_free(ce_trie *t);

/* 0; or 1 where the string has an id, which stays. */
int ce_trie_put(ce_trie *t, const char *text, size_t size, int32_t value, ce_error *err);
/* The id of a whole string, -1: none. */
int32_t ce_trie_find(const ce_trie *t, const char *text, size_t size);

static inline ce_trie_edge *ce_trie_edge_of(const ce_trie *t, uint32_t key) {
    uint64_t mask = UINT64_MAX >> t->shift;
    for (uint64_t i = ce_hash_end(&t->key, key) >> t->shift;; i = (i + 1) & mask)
        if (t->edges[i].child == 0 || t->edges[i].key == key)
            return &t->edges[i];
}

/* The node below; 0 where there is none. */
static inline uint32_t ce_trie_step(const ce_trie *t, uint32_t node, char byte) {
    return t->edges ? ce_trie_edge_of(t, node << 8 | (unsigned char)byte)->child : 0;
}

#endif

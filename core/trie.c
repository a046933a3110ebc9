#include "trie.h"

#include <stdlib.h>

#define NODES_MAX ((size_t)1 << 24) /* a key has 24 bits for a node */

void ce_trie_free(ce_trie *t) {
    free(t->edges);
    free(t->values);
    *t = (ce_trie){0};
}

/* Twice the edges; the table stays at most half full. */
static int grow(ce_trie *t, ce_error *err) {
    size_t capacity = t->capacity ? 2 * t->capacity : 4096;
    ce_trie wide = {.count = t->count, .capacity = capacity, .shift = 64, .key = t->key};
    if (!t->edges)
        wide.key = ce_hash_key_draw();
    for (size_t slots = 1; slots < 2 * capacity; slots *= 2)
        wide.shift--;
    wide.values = realloc(t->values, capacity * sizeof *wide.values);
    if (wide.values)
        t->values = wide.values;
    wide.edges = calloc(2 * capacity, sizeof *wide.edges);
    if (capacity > NODES_MAX || !wide.values || !wide.edges) {
        free(wide.edges);
        return ce_fail(err, CE_ENOMEM, "out of memory for a vocabulary");
    }
    for (size_t i = 0; i < 2 * t->capacity; i++)
        if (t->edges[i].child)
            *ce_trie_edge_of(&wide, t->edges[i].key) = t->edges[i];
    if (wide.count == 0)
        wide.values[wide.count++] = -1; /* the root */
    free(t->edges);
    *t = wide;
    return 0;
}

int ce_trie_put(ce_trie *t, const char *text, size_t size, int32_t value, ce_error *err) {
    uint32_t node = 0;
    for (size_t i = 0; i < size; i++) {
        if (t->count == t->capacity) {
            int rc = grow(t, err);
            if (rc < 0)
                return rc;
        }
        uint32_t key = node << 8 | (unsigned char)text[i];
        ce_trie_edge *edge = ce_trie_edge_of(t, key);
        if (!edge->child) {
            *edge = (ce_trie_edge){key, (uint32_t)t->count};
            t->values[t->count++] = -1;
        }
        node = edge->child;
    }
    if (node == 0 || t->values[node] >= 0)
        return node != 0;
    t->values[node] = value;
    return 0;
}

int32_t ce_trie_find(const ce_trie *t, const char *text, size_t size) {
    uint32_t node = 0;
    for (size_t i = 0; i < size; i++)
        if (!(node = ce_trie_step(t, node, text[i])))
            return -1;
    return node ? t->values[node] : -1;
}

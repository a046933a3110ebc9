#include "prefix_tree.h"

#include <stdlib.h>
#include <string.h>

static const int32_t *ids_of(const ce_prefix_tree *t, size_t k) {
    return t->ids + t->order[k] * t->context;
}

static size_t length_of(const ce_prefix_tree *t, size_t k) {
    return t->lengths[t->order[k]];
}

static int by_tokens(const void *a, const void *b, void *context) {
    const ce_prefix_tree *t = context;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const int32_t *x = t->ids + i * t->context, *y = t->ids + j * t->context;
    size_t n = t->lengths[i] < t->lengths[j] ? t->lengths[i] : t->lengths[j];
    for (size_t p = 0; p < n; p++)
        if (x[p] != y[p])
            return x[p] < y[p] ? -1 : 1;
    if (t->lengths[i] != t->lengths[j])
        return t->lengths[i] < t->lengths[j] ? -1 : 1;
    return (i > j) - (i < j);
}

/* Tokens that order[k - 1] and order[k] begin with alike. */
static size_t common(const ce_prefix_tree *t, size_t k) {
    const int32_t *x = ids_of(t, k - 1), *y = ids_of(t, k);
    size_t a = length_of(t, k - 1), b = length_of(t, k), p = 0;
    while (p < a && p < b && x[p] == y[p])
        p++;
    return t->shares || (p == a && p == b) ? p : 0;
}

static void sort(ce_prefix_tree *t) {
    for (size_t i = 0; i < t->n; i++)
        t->order[i] = (uint32_t)i;
    qsort_r(t->order, t->n, sizeof *t->order, by_tokens, t);
    for (size_t k = 0; k < t->n; k++) {
        size_t shared = k ? common(t, k) : 0, length = length_of(t, k);
        t->shared[k] = (uint32_t)shared;
        t->tokens += length;
        t->rows += length - shared;
        t->texts += shared < length;
    }
}

int ce_prefix_tree_new(ce_prefix_tree **out, const int32_t *ids, size_t context,
                       const uint32_t *lengths, const uint32_t *pooled, size_t n,
                       bool shares, ce_error *err) {
    ce_prefix_tree *t = calloc(1, sizeof *t);
    if (t) {
        *t = (ce_prefix_tree){.ids = ids, .n = n, .context = context, .shares = shares};
        t->lengths = calloc(n + 1, sizeof *t->lengths);
        t->pooled = calloc(n + 1, sizeof *t->pooled);
        t->order = calloc(n + 1, sizeof *t->order);
        t->shared = calloc(n + 1, sizeof *t->shared);
    }
    if (!t || !t->lengths || !t->pooled || !t->order || !t->shared) {
        ce_prefix_tree_free(t);
        return ce_fail(err, CE_ENOMEM, "out of memory for %zu texts", n);
    }
    memcpy(t->lengths, lengths, n * sizeof *lengths);
    memcpy(t->pooled, pooled, n * sizeof *pooled);
    sort(t);
    *out = t;
    return CE_OK;
}

void ce_prefix_tree_free(ce_prefix_tree *t) {
    if (!t)
        return;
    free(t->lengths);
    free(t->pooled);
    free(t->order);
    free(t->shared);
    free(t->first);
    free(t);
}

/* Rows that each block should have. Fewer than MIN_ROWS a block leave a matrix product too
 * little to do for each weight that it reads. */
static size_t target_rows(const ce_prefix_tree *t, size_t most, size_t threads) {
    enum { MIN_ROWS = 96, MAX_THREADS = 1024 };
    threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
    size_t blocks = (t->rows + most - 1) / most;
    blocks = (blocks + threads - 1) / threads * threads;
    size_t target = blocks ? (t->rows + blocks - 1) / blocks : most;
    target += t->context / 2; /* what cuts cost */
    target = target < MIN_ROWS ? MIN_ROWS : target;
    return target < most ? target : most;
}

/* The end of the block that begins at `first`: of the last eighth of the places where it
 * could end, the one that shares least with what follows. */
static size_t end_of_block(const ce_prefix_tree *t, size_t first, size_t target) {
    size_t rows = length_of(t, first), best = first + 1;
    for (size_t k = first + 1; k < t->n; k++) {
        size_t own = length_of(t, k) - t->shared[k];
        bool late = rows >= target - target / 8;
        if (own > 0 && (!late || t->shared[k] <= t->shared[best] ||
                        t->shared[best] == length_of(t, best)))
            best = k;
        if (rows + own > target)
            return best;
        rows += own;
    }
    return t->n;
}

int ce_prefix_tree_cut(ce_prefix_tree *t, size_t most, size_t threads, ce_error *err) {
    size_t target = target_rows(t, most, threads), room = 0;
    t->blocks = 0;
    for (size_t k = 0;; k = end_of_block(t, k, target), t->blocks++) {
        if (t->blocks == room) {
            size_t *more = realloc(t->first, (room = 2 * room + 16) * sizeof *more);
            if (!more)
                return ce_fail(err, CE_ENOMEM, "out of memory for %zu texts", t->n);
            t->first = more;
        }
        t->first[t->blocks] = k;
        if (k == t->n)
            return CE_OK;
    }
}

int ce_text_rows_init(ce_text_rows *r, size_t most, ce_error *err) {
    *r = (ce_text_rows){.tokens = calloc(most, sizeof *r->tokens),
                        .places = calloc(most, sizeof *r->places),
                        .lengths = calloc(most, sizeof *r->lengths),
                        .wanted = calloc(most, sizeof *r->wanted)};
    if (r->tokens && r->places && r->lengths && r->wanted)
        return CE_OK;
    ce_text_rows_free(r);
    return ce_fail(err, CE_ENOMEM, "out of memory for %zu tokens", most);
}

void ce_text_rows_free(ce_text_rows *r) {
    free(r->tokens);
    free(r->places);
    free(r->lengths);
    free(r->wanted);
    *r = (ce_text_rows){0};
}

void ce_text_rows_fill(ce_text_rows *r, const ce_prefix_tree *t, size_t block) {
    r->rows = r->texts = 0;
    for (size_t k = t->first[block]; k < t->first[block + 1]; k++) {
        if (!ce_prefix_tree_opens_row(t, block, k))
            continue;
        size_t length = length_of(t, k), at = k == t->first[block] ? 0 : t->shared[k];
        r->wanted[r->texts] = r->rows + t->pooled[t->order[k]] - at;
        r->lengths[r->texts++] = length;
        for (; at < length; at++, r->rows++) {
            r->tokens[r->rows] = ids_of(t, k)[at];
            r->places[r->rows] = (uint32_t)at;
        }
    }
}

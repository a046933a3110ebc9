/* Many texts as few rows of a transformer. In a causal tower a token's row depends on the
 * tokens before it and on nothing else, so texts that begin alike share rows: sorted by
 * their tokens they are a tree, and each distinct prefix is one row of it. Where every
 * token sees every other, only texts that are the same share anything.
 *
 *     ce_prefix_tree *tree;
 *     ce_prefix_tree_new(&tree, ids, context, lengths, pooled, n, true, &err);
 *     ce_prefix_tree_cut(tree, 960, threads, &err);
 *     for (size_t b = 0; b < tree->blocks; b++) {
 *         ce_text_rows_fill(&rows, tree, b);           // row 0 .. rows.texts - 1 of out
 *         tower->encode(tower, out, &rows, scratch);
 *         size_t row = SIZE_MAX;                       // to each text, its row
 *         for (size_t k = tree->first[b]; k < tree->first[b + 1]; k++) {
 *             row += ce_prefix_tree_opens_row(tree, b, k);
 *             use(tree->order[k], out + row * d);
 *         }
 *     }
 *     ce_prefix_tree_free(tree);
 */
#ifndef CE_PREFIX_TREE_H
#define CE_PREFIX_TREE_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ce_prefix_tree {
    const int32_t *ids; /* [n, context], borrowed */
    size_t n, context;
    bool shares;       /* prefixes; else only whole texts are shared */
    uint32_t *lengths; /* [n] tokens that take part */
    uint32_t *pooled;  /* [n] the one of them that stands for the text */
    uint32_t *order;   /* [n] texts sorted by their tokens */
    uint32_t *shared;  /* [n] tokens of order[k] whose rows order[k - 1] has too: all of
                          them where the two texts are the same */
    size_t tokens;     /* sum of the lengths */
    size_t rows;       /* of them are distinct */
    size_t texts;      /* distinct */
    size_t blocks;     /* block b is order[first[b] .. first[b + 1]) */
    size_t *first;     /* [blocks + 1] */
} ce_prefix_tree;

/* lengths[n] in 1 .. context and pooled[n] below them are copied; with `shares` a text's
 * pooled token is its last. n is below 2^32. CE_ENOMEM. */
int ce_prefix_tree_new(ce_prefix_tree **out, const int32_t *ids, size_t context,
                       const uint32_t *lengths, const uint32_t *pooled, size_t n,
                       bool shares, ce_error *err);
void ce_prefix_tree_free(ce_prefix_tree *tree);

/* Cuts the order into blocks of at most `most` rows (`most` >= context), as many for each
 * of `threads` where there are few. A prefix that reaches over a cut is computed on both
 * sides of it, so cuts are made where little is shared. */
int ce_prefix_tree_cut(ce_prefix_tree *tree, size_t most, size_t threads, ce_error *err);

/* Whether order[k] of block b is another text than the one before it in the block. */
static inline bool ce_prefix_tree_opens_row(const ce_prefix_tree *tree, size_t b,
                                            size_t k) {
    return k == tree->first[b] || tree->shared[k] < tree->lengths[tree->order[k]];
}

/* One block, as a tower takes it. A row's text is the rows before it with falling places:
 * the nearest one with place p - 1, from there the nearest with p - 2, and so on to 0. */
typedef struct ce_text_rows {
    size_t rows;
    int32_t *tokens;  /* [rows] */
    uint32_t *places; /* [rows] of each token in its text, from 0 */
    size_t texts;
    size_t *lengths; /* [texts] rows of each, where they are not shared */
    size_t *wanted;  /* [texts] the row that stands for each, ascending */
} ce_text_rows;

/* Room for blocks of up to `most` rows. */
int ce_text_rows_init(ce_text_rows *rows, size_t most, ce_error *err);
void ce_text_rows_free(ce_text_rows *rows);
void ce_text_rows_fill(ce_text_rows *rows, const ce_prefix_tree *tree, size_t block);

#endif

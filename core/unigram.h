/* The unigram language model (Kudo, https://arxiv.org/abs/1804.10959): a normalised text is
 * cut into the pieces whose scores add up highest.
 *
 *     ce_unigram u = {.unknown = 2, ...};
 *     ce_unigram_add(&u, id, "the", 3, score, &err);  ...
 *     ce_unigram_pieces p = {0};
 *     ce_unigram_cut(&u, &p, text, size, &err);
 *     ... p.at[i].id, text[p.at[i].begin .. p.at[i].end - 1] ...
 *     ce_unigram_pieces_free(&p);
 */
#ifndef CE_UNIGRAM_H
#define CE_UNIGRAM_H

#include "trie.h"

#include <stdbool.h>

typedef struct ce_unigram {
    ce_trie trie;
    double *scores; /* [count]; of pieces in the trie */
    size_t count;
    double unknown_score; /* of a character that is no piece */
    int32_t unknown;
    /* SentencePiece adds and compares floats, tokenizers doubles. Ties depend on it. */
    bool float_sums;
} ce_unigram;

/* Room for ids below `count`. */
int ce_unigram_init(ce_unigram *u, size_t count, ce_error *err);
void ce_unigram_free(ce_unigram *u);
/* 0; 1 where the piece is there already. */
int ce_unigram_add(ce_unigram *u, int32_t id, const char *text, size_t size, double score,
                   ce_error *err);

typedef struct ce_unigram_piece {
    int32_t id;
    uint32_t begin, end; /* bytes; a run of unknown characters is one piece */
} ce_unigram_piece;

typedef struct ce_unigram_pieces {
    ce_unigram_piece *at; /* [count] */
    size_t count;
} ce_unigram_pieces;

/* `text` is UTF-8. */
int ce_unigram_cut(const ce_unigram *u, ce_unigram_pieces *out, const char *text,
                   size_t size, ce_error *err);
void ce_unigram_pieces_free(ce_unigram_pieces *p);

#endif

/* Byte-pair encoding of one word: bytes become symbols (the last one in its "</w>" form),
 * and the neighbours whose merge ranks best are joined until none can be. Ranks follow
 * the order in which merges are added. (Sennrich et al., https://arxiv.org/abs/1508.07909;
 * bytes instead of characters as in GPT-2.)
 */
#ifndef CE_BPE_H
#define CE_BPE_H

#include "tokenizer_internal.h"
#include "vocab.h"

typedef struct ce_bpe_merge {
    int32_t left, right, result;
} ce_bpe_merge;

typedef struct ce_bpe {
    int32_t symbols[2][256]; /* id of a byte: inside a word, at its end */
    ce_bpe_merge *merges;    /* [count], by rank */
    size_t count, capacity;
    uint32_t *slots; /* hash table of rank + 1, open addressing */
    size_t mask;
    int shift;
} ce_bpe;

int ce_bpe_init(ce_bpe *b, size_t capacity, ce_error *err);
void ce_bpe_free(ce_bpe *b);

/* The printable character that stands for `byte` in vocabulary files, as UTF-8; gives its
 * size. */
size_t ce_bpe_letter(char out[4], unsigned byte);
/* The byte with id `index` in CLIP's own vocabulary. */
unsigned ce_bpe_byte(unsigned index);

/* Looks the 512 byte symbols up; `unknown` (-1: none, CE_EFORMAT) stands in for a missing
 * one. */
int ce_bpe_set_symbols(ce_bpe *b, const ce_vocab *vocab, int32_t unknown, const char *name,
                       ce_error *err);

/* `where`: "line" or "merge", for messages with `number`. CE_EFORMAT: a token has no id;
 * the pair is there already. */
int ce_bpe_add(ce_bpe *b, const ce_vocab *vocab, ce_token_text left, ce_token_text right,
               const char *name, const char *where, size_t number, ce_error *err);

int ce_bpe_encode_word(const ce_bpe *b, ce_ids *out, const int32_t *runes, size_t count,
                       ce_error *err);

#endif

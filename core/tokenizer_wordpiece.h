/* BERT's tokenizer between its files (tokenizer_wordpiece_open.c) and a text
 * (tokenizer_wordpiece.c). */
#ifndef CE_TOKENIZER_WORDPIECE_H
#define CE_TOKENIZER_WORDPIECE_H

#include "added_tokens.h"
#include "tokenizer_internal.h"
#include "unicode.h"
#include "vocab.h"

/* A longer word is one unknown token; files may ask for other limits up to this one. */
#define CE_WORDPIECE_CHARS_MAX 1000

typedef struct ce_tokenizer_wordpiece {
    ce_tokenizer base;
    ce_vocab vocab;
    int32_t pieces; /* lower ids are parts of words, the rest added tokens */
    size_t longest; /* piece, bytes */
    ce_added_tokens added;
    bool clean, split_chinese, strip_accents, lower_case; /* BertNormalizer */
    char *prefix; /* of a token that continues a word: "##" */
    size_t max_chars;
    int32_t unknown;
} ce_tokenizer_wordpiece;

/* Encodes one text; ce_tokenizer.encode of this family. */
int ce_tokenizer_wordpiece_encode(const ce_tokenizer *tok, ce_ids *out, const char *text,
                                  size_t size, ce_error *err);
/* The normalizer, in place. */
int ce_tokenizer_wordpiece_normalize(const ce_tokenizer_wordpiece *t, ce_runes *r,
                                     ce_error *err);

#endif

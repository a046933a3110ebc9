/* What the families of tokenizers share. tokenizer.c frames a text's ids with start, end
 * and padding; a family embeds `ce_tokenizer` as its first member and gives the ids
 * between. */
#ifndef CE_TOKENIZER_INTERNAL_H
#define CE_TOKENIZER_INTERNAL_H

#include "tokenizer.h"

/* Where a family puts its ids. What does not fit is only noted: `overflow` tells a family
 * that it may stop. */
typedef struct ce_ids {
    int32_t *at;
    size_t count, limit;
    bool overflow;
} ce_ids;

static inline void ce_ids_put(ce_ids *ids, int32_t id) {
    if (ids->count < ids->limit)
        ids->at[ids->count++] = id;
    else
        ids->overflow = true;
}

struct ce_tokenizer {
    int (*encode)(const ce_tokenizer *tok, ce_ids *out, const char *text, size_t size,
                  ce_error *err);
    void (*free)(ce_tokenizer *tok);
    const char *source;
    ce_tokenizer_kind kind;
    int vocab_size;
    int32_t start, end, pad; /* -1: the family has none */
    bool end_once;           /* a text that ends with the end token gets no other */
    ce_clean clean;
    bool blank_end;
    char description[256];
};

#endif

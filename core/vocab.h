/* Token strings <-> ids 0 .. count - 1, while a tokenizer is opened. The strings are
 * copied into one block.
 *
 *     ce_vocab v;
 *     ce_vocab_init(&v, count, bytes, &err);
 *     ce_vocab_put(&v, id, "th", 2, "vocab.json", &err);
 *     int32_t id = ce_vocab_find(&v, "th", 2);
 *     ce_vocab_free(&v);
 */
#ifndef CE_VOCAB_H
#define CE_VOCAB_H

#include "error.h"
#include "tokenizer_hash.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_token_text {
    const char *at; /* NULL: no token has this id yet */
    size_t size;
} ce_token_text;

typedef struct ce_vocab_slot {
    uint32_t id;  /* + 1; 0: empty */
    uint32_t tag; /* more bits of the hash, so that few strings are compared */
} ce_vocab_slot;

typedef struct ce_vocab {
    size_t count;         /* ids there will be */
    ce_token_text *texts; /* [count] */
    ce_vocab_slot *slots; /* hash table, open addressing */
    size_t mask;
    ce_hash_key key;
    char *bytes;
    size_t used, capacity;
} ce_vocab;

/* `bytes`: at least the sum of the sizes of all strings that will be put. */
int ce_vocab_init(ce_vocab *v, size_t count, size_t bytes, ce_error *err);
void ce_vocab_free(ce_vocab *v);

/* CE_EFORMAT: the id is not below count, or taken; the string has an id. */
int ce_vocab_put(ce_vocab *v, int64_t id, const char *text, size_t size, const char *name,
                 ce_error *err);

/* The id of a string, or of two joined; -1 where there is none. */
int32_t ce_vocab_find(const ce_vocab *v, const char *text, size_t size);
int32_t ce_vocab_find_joined(const ce_vocab *v, ce_token_text a, ce_token_text b);

/* A prefix of a token, short enough for a message, not cut inside a character. */
int ce_vocab_quote(const char *text, size_t size);

#endif

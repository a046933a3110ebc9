/* Hashing of what a file's author chose: under a key of its own for each table, so that no
 * file can be made whose entries all fall into one place. A key decides where an entry
 * lies, never what is found.
 *
 *     ce_hash_key key = ce_hash_key_draw();
 *     uint64_t h = ce_hash_end(&key, ce_hash_more(&key, 0, "th", 2));
 */
#ifndef CE_TOKENIZER_HASH_H
#define CE_TOKENIZER_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct ce_hash_key {
    uint64_t point; /* below 2 ** 61 - 1 */
    uint64_t mask;
} ce_hash_key;

ce_hash_key ce_hash_key_draw(void);

/* The bytes as a polynomial's coefficients, at the key's point, modulo 2 ** 61 - 1: two
 * strings of n bytes meet for at most n of the points. Goes on from `h`, which begins with
 * 0, so that a string may come in parts. */
uint64_t ce_hash_more(const ce_hash_key *key, uint64_t h, const char *text, size_t size);

/* Spreads neighbours: all bits of `h` decide on all bits of the result (the shifts and
 * factors are those of MurmurHash3's fmix64, which is in the public domain). */
static inline uint64_t ce_hash_end(const ce_hash_key *key, uint64_t h) {
    h ^= key->mask;
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

#endif

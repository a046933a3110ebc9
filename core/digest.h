/* 128 bits that stand for content: XXH3-128 (Collet, xxHash 0.8). It tells accidents apart,
 * not attacks: who can write a picture can as well write the cache.
 *
 *     ce_digest d = ce_digest_of(bytes, size);
 *     ce_digest both = ce_digest_join("picture", &d, &other);
 */
#ifndef CE_DIGEST_H
#define CE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ce_digest {
    uint8_t bytes[16]; /* in xxHash's canonical order, the same on every machine */
} ce_digest;

ce_digest ce_digest_of(const void *data, size_t size);

/* Of a short word that says what is joined, and two digests in this order. */
ce_digest ce_digest_join(const char *word, const ce_digest *a, const ce_digest *b);

bool ce_digest_equal(const ce_digest *a, const ce_digest *b);

#endif

#include "tokenizer_hash.h"

#include <sys/random.h>
#include <time.h>

#define PRIME (((uint64_t)1 << 61) - 1)

__extension__ typedef unsigned __int128 wide;

/* Where the system has no random bytes yet, or none for us, the clock and an address have
 * to do. */
ce_hash_key ce_hash_key_draw(void) {
    ce_hash_key key;
    if (getrandom(&key, sizeof key, GRND_NONBLOCK) != (ssize_t)sizeof key) {
        struct timespec now = {0};
        clock_gettime(CLOCK_REALTIME, &now);
        key.point = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u;
        key.mask = (uint64_t)(uintptr_t)&key ^ (uint64_t)now.tv_sec << 32;
    }
    key.point = key.point % (PRIME - 256) + 256;
    return key;
}

uint64_t ce_hash_more(const ce_hash_key *key, uint64_t h, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        wide product = (wide)h * key->point + (unsigned char)text[i] + 1;
        h = (uint64_t)(product & PRIME) + (uint64_t)(product >> 61);
        h = h >= PRIME ? h - PRIME : h;
    }
    return h;
}

#include "digest.h"

#include <string.h>
#include <xxhash.h>

ce_digest ce_digest_of(const void *data, size_t size) {
    XXH128_canonical_t canonical;
    ce_digest out;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(size ? data : "", size));
    memcpy(out.bytes, canonical.digest, sizeof out.bytes);
    return out;
}

ce_digest ce_digest_join(const char *word, const ce_digest *a, const ce_digest *b) {
    char text[64] = {0};
    size_t n = strnlen(word, 31);
    memcpy(text, word, n);
    memcpy(text + 32, a->bytes, sizeof a->bytes);
    memcpy(text + 48, b->bytes, sizeof b->bytes);
    return ce_digest_of(text, sizeof text);
}

bool ce_digest_equal(const ce_digest *a, const ce_digest *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

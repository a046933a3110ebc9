/* A unit of the double array, https://github.com/s-yata/darts-clone: bits 0 to 7 and 31
 * label, 8 has_leaf, 9 wide offset, 10 to 30 offset; of a leaf, bits 0 to 30 the value. */
#include "charsmap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static uint32_t offset_of(uint32_t unit) {
    return unit >> 10 << ((unit & (1u << 9)) >> 6);
}

static bool has_leaf(uint32_t unit) {
    return unit >> 8 & 1;
}

static bool is_leaf(uint32_t unit) {
    return unit >> 31;
}

/* Every unit is checked, reachable or not, and walking still looks where it steps. */
static int check(const ce_charsmap *m, size_t result_size, const char *name,
                 ce_error *err) {
    for (size_t i = 0; i < m->count; i++) {
        uint32_t unit = m->units[i];
        size_t below = i ^ offset_of(unit);
        if (is_leaf(unit))
            continue;
        if (below >= m->count)
            return ce_fail(err, CE_EFORMAT,
                           "%s: character map: unit %zu points to %zu of %zu", name, i,
                           below, m->count);
        if (has_leaf(unit) && (m->units[below] & INT32_MAX) >= result_size)
            return ce_fail(err, CE_EFORMAT,
                           "%s: character map: unit %zu has a result beyond the end", name,
                           i);
    }
    return 0;
}

static uint32_t little_endian(const char *bytes) {
    uint32_t value = 0;
    for (int k = 3; k >= 0; k--)
        value = value << 8 | (unsigned char)bytes[k];
    return value;
}

int ce_charsmap_init(ce_charsmap *m, const char *bytes, size_t size, const char *name,
                     ce_error *err) {
    *m = (ce_charsmap){0};
    if (size == 0)
        return 0;
    size_t units = size < 4 ? 0 : little_endian(bytes);
    if (units == 0 || units % 4 != 0 || units > size - 4)
        return ce_fail(err, CE_EFORMAT,
                       "%s: character map: a table of %zu bytes does not fit in %zu", name,
                       units, size);
    size_t results = size - 4 - units;
    if (results == 0 || bytes[size - 1] != '\0')
        return ce_fail(err, CE_EFORMAT, "%s: character map: the last result does not end",
                       name);
    m->count = units / 4;
    m->units = malloc(units);
    m->results = malloc(results);
    int rc = 0;
    if (!m->units || !m->results) {
        rc = ce_fail(err, CE_ENOMEM, "%s: out of memory for a character map", name);
    } else {
        for (size_t i = 0; i < m->count; i++)
            m->units[i] = little_endian(bytes + 4 + 4 * i);
        memcpy(m->results, bytes + 4 + units, results);
        rc = check(m, results, name, err);
    }
    if (rc < 0)
        ce_charsmap_free(m);
    return rc;
}

void ce_charsmap_free(ce_charsmap *m) {
    free(m->units);
    free(m->results);
    *m = (ce_charsmap){0};
}

static const char *search(const ce_charsmap *m, const char *text, size_t n, size_t *length,
                          bool longest) {
    const char *found = NULL;
    size_t at = m->count ? offset_of(m->units[0]) : 0;
    for (size_t i = 0; i < n && m->count; i++) {
        unsigned char byte = (unsigned char)text[i];
        at ^= byte;
        if (at >= m->count || (m->units[at] & 0x800000ffu) != byte)
            break;
        uint32_t unit = m->units[at];
        at ^= offset_of(unit);
        if (!has_leaf(unit))
            continue;
        found = m->results + (m->units[at] & INT32_MAX);
        *length = i + 1;
        if (!longest)
            break;
    }
    return found;
}

const char *ce_charsmap_longest(const ce_charsmap *m, const char *text, size_t n,
                                size_t *length) {
    return search(m, text, n, length, true);
}

const char *ce_charsmap_shortest(const ce_charsmap *m, const char *text, size_t n,
                                 size_t *length) {
    return search(m, text, n, length, false);
}

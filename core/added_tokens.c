#include "added_tokens.h"

#include "unicode.h"

#include <stdlib.h>
#include <string.h>

static void mark_head(ce_added_tokens *set, bool normalized, int32_t rune) {
    set->heads[normalized][rune >> 6 & 3] |= (uint64_t)1 << (rune & 63);
}

static bool may_begin(const ce_added_tokens *set, bool normalized, int32_t rune) {
    return set->heads[normalized][rune >> 6 & 3] >> (rune & 63) & 1;
}

int ce_added_tokens_add(ce_added_tokens *set, const int32_t *runes, size_t count,
                        ce_added_token flags, ce_error *err) {
    if (count == 0)
        return 0;
    ce_added_token *grown = realloc(set->at, (set->count + 1) * sizeof *grown);
    if (grown)
        set->at = grown;
    flags.runes = malloc(count * sizeof *runes);
    if (!grown || !flags.runes) {
        free(flags.runes);
        return ce_fail(err, CE_ENOMEM, "out of memory for added tokens");
    }
    memcpy(flags.runes, runes, count * sizeof *runes);
    flags.count = count;
    size_t place = set->count;
    while (place > 0 && set->at[place - 1].count < count)
        place--;
    memmove(set->at + place + 1, set->at + place, (set->count - place) * sizeof *set->at);
    set->at[place] = flags;
    set->count++;
    mark_head(set, flags.normalized, runes[0]);
    return 0;
}

void ce_added_tokens_free(ce_added_tokens *set) {
    for (size_t i = 0; i < set->count; i++)
        free(set->at[i].runes);
    free(set->at);
    *set = (ce_added_tokens){0};
}

static const ce_added_token *longest_at(const ce_added_tokens *set, const int32_t *r,
                                        size_t n, bool normalized) {
    if (!may_begin(set, normalized, r[0]))
        return NULL;
    for (size_t i = 0; i < set->count; i++) {
        const ce_added_token *a = &set->at[i];
        if (a->normalized == normalized && a->runes[0] == r[0] && a->count <= n &&
            memcmp(a->runes, r, a->count * sizeof *r) == 0)
            return a;
    }
    return NULL;
}

static bool stands_alone(const int32_t *r, size_t n, size_t begin, size_t end) {
    return (begin == 0 || !ce_rune_is_word(r[begin - 1])) &&
           (end == n || !ce_rune_is_word(r[end]));
}

static bool is_space(int32_t rune) {
    return ce_rune_classify(rune) == CE_RUNE_SPACE;
}

bool ce_added_tokens_find(const ce_added_tokens *set, ce_added_match *m, const int32_t *r,
                          size_t n, size_t from, bool normalized) {
    for (size_t i = from; i < n; i++) {
        const ce_added_token *a = longest_at(set, r + i, n - i, normalized);
        if (!a)
            continue;
        if (a->single_word && !stands_alone(r, n, i, i + a->count)) {
            i += a->count - 1;
            continue;
        }
        *m = (ce_added_match){a, i, i + a->count};
        while (a->lstrip && m->begin > from && is_space(r[m->begin - 1]))
            m->begin--;
        while (a->rstrip && m->end < n && is_space(r[m->end]))
            m->end++;
        return true;
    }
    return false;
}

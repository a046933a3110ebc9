/* Tokens that are found in a text as they are written, before it is split into words:
 * "[SEP]", "</s>", "<extra_id_0>". Found leftmost first, and longest there, as by the
 * tokenizers library (added_vocabulary.rs).
 *
 *     ce_added_tokens set = {0};
 *     ce_added_tokens_add(&set, runes, count, (ce_added_token){.id = 3}, &err);
 *     ce_added_match m;
 *     for (size_t from = 0; ce_added_tokens_find(&set, &m, r, n, from, false); from =
 * m.end)
 *         ... r[from .. m.begin - 1] is text, and m.token ends before m.end ...
 *     ce_added_tokens_free(&set);
 */
#ifndef CE_ADDED_TOKENS_H
#define CE_ADDED_TOKENS_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ce_added_token {
    int32_t *runes;
    size_t count;
    int32_t id;
    bool normalized;     /* sought in the normalised text, not in the raw one */
    bool single_word;    /* not inside a longer word */
    bool lstrip, rstrip; /* takes the white space beside it along */
    bool special;        /* the owner's to use */
} ce_added_token;

typedef struct ce_added_tokens {
    ce_added_token *at; /* [count], longest first */
    size_t count;
    uint64_t heads[2][4]; /* [normalized]: low bytes of first runes */
} ce_added_tokens;

typedef struct ce_added_match {
    const ce_added_token *token;
    size_t begin, end;
} ce_added_match;

/* `flags`: all but runes and count, which are copied. An empty token is never found. */
int ce_added_tokens_add(ce_added_tokens *set, const int32_t *runes, size_t count,
                        ce_added_token flags, ce_error *err);
void ce_added_tokens_free(ce_added_tokens *set);

/* The next one that begins at `from` or behind. */
bool ce_added_tokens_find(const ce_added_tokens *set, ce_added_match *m, const int32_t *r,
                          size_t n, size_t from, bool normalized);

#endif

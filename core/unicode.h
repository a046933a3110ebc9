/* Text as code points ("runes"), and the few operations on it that tokenizers need. The
 * character tables are utf8proc's (2.8: Unicode 15.0): a letter younger than they are
 * counts as a mark.
 *
 *     ce_runes r;
 *     ce_runes_init(&r);
 *     int rc = ce_runes_decode(&r, text, size, &err);
 *     if (rc == 0)
 *         rc = ce_runes_lower(&r, false, &err);
 *     ... r.at[0 .. r.count - 1] ...
 *     ce_runes_free(&r);
 */
#ifndef CE_UNICODE_H
#define CE_UNICODE_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CE_RUNES_SMALL 256
/* Longer texts are refused, so that no size computed from a text's can overflow. */
#define CE_TEXT_MAX ((size_t)16 << 20)

/* Short texts need no allocation. Do not copy the struct: `at` may point into it. */
typedef struct ce_runes {
    int32_t *at;
    size_t count, capacity;
    int32_t small[CE_RUNES_SMALL];
} ce_runes;

void ce_runes_init(ce_runes *r);
void ce_runes_free(ce_runes *r);

/* Replaces the content. CE_EINVAL: not UTF-8 (names the byte offset), or too long. */
int ce_runes_decode(ce_runes *r, const char *text, size_t size, ce_error *err);
int ce_runes_copy(ce_runes *r, const int32_t *from, size_t count, ce_error *err);
/* `from` must not lie in `r`. */
int ce_runes_append(ce_runes *r, const int32_t *from, size_t count, ce_error *err);

/* Normalisation forms C and D (UAX #15). */
int ce_runes_nfc(ce_runes *r, ce_error *err);
int ce_runes_nfd(ce_runes *r, ce_error *err);

/* Lower case, with Unicode's one unconditional expansion (U+0130). `final_sigma`: a
 * capital sigma at the end of a word becomes U+03C2, as in Python's str.lower(); else it
 * is U+03C3 everywhere, as in Rust's char::to_lowercase(). */
int ce_runes_lower(ce_runes *r, bool final_sigma, ce_error *err);

/* Every run of white space becomes one space. */
void ce_runes_squeeze(ce_runes *r);

/* How many bytes at the head of `text` are UTF-8. */
size_t ce_utf8_prefix(const char *text, size_t size);

typedef enum ce_rune_class {
    CE_RUNE_OTHER,
    CE_RUNE_SPACE,
    CE_RUNE_LETTER,
    CE_RUNE_NUMBER
} ce_rune_class;

/* White_Space, L*, N*: the \s, \p{L} and \p{N} of Oniguruma and of Python's `regex`. */
ce_rune_class ce_rune_classify(int32_t rune);
/* The \w of UTS #18: alphabetic, marks, decimal digits, connectors, joiners. */
bool ce_rune_is_word(int32_t rune);

/* UTF-8 of a rune; gives its size, 1 to 4. */
size_t ce_rune_encode(unsigned char out[4], int32_t rune);

#endif

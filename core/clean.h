/* What open_clip does to a text before it hands it to a tokenizer of transformers
 * (tokenizer.py, get_clean_fn): basic_clean mends it (repair.h), then white space becomes
 * single spaces, and more by the kind.
 *
 *     ce_runes r;
 *     ...
 *     ce_clean_runes(&r, CE_CLEAN_CANONICAL, &err);
 */
#ifndef CE_CLEAN_H
#define CE_CLEAN_H

#include "unicode.h"

typedef enum ce_clean {
    CE_CLEAN_NONE,
    CE_CLEAN_WHITESPACE, /* "whitespace": nothing more */
    CE_CLEAN_LOWER,      /* "lower": lower case, as Python's str.lower */
    CE_CLEAN_CANONICAL   /* "canonicalize": `_` to a space, ASCII punctuation away, lower */
} ce_clean;

int ce_clean_runes(ce_runes *r, ce_clean clean, ce_error *err);

/* "mended, lower case": for people; "" for CE_CLEAN_NONE. */
const char *ce_clean_describe(ce_clean clean);

#endif

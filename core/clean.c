#include "clean.h"

#include "repair.h"

/* Python's string.punctuation */
static bool is_punctuation(int32_t rune) {
    return (rune >= '!' && rune <= '/') || (rune >= ':' && rune <= '@') ||
           (rune >= '[' && rune <= '`') || (rune >= '{' && rune <= '~');
}

static void drop_punctuation(ce_runes *r) {
    size_t to = 0;
    for (size_t i = 0; i < r->count; i++) {
        int32_t rune = r->at[i] == '_' ? ' ' : r->at[i];
        if (!is_punctuation(rune))
            r->at[to++] = rune;
    }
    r->count = to;
}

/* " ".join(text.split()) */
static void join_words(ce_runes *r) {
    size_t to = 0;
    ce_runes_squeeze(r);
    for (size_t i = 0; i < r->count; i++) {
        bool is_edge = to == 0 || i + 1 == r->count;
        if (r->at[i] != ' ' || !is_edge)
            r->at[to++] = r->at[i];
    }
    r->count = to;
}

int ce_clean_runes(ce_runes *r, ce_clean clean, ce_error *err) {
    if (clean == CE_CLEAN_NONE)
        return CE_OK;
    int rc = ce_runes_fix_text(r, err);
    if (rc < 0)
        return rc;
    ce_runes_unescape_html(r);
    ce_runes_unescape_html(r);
    if (clean == CE_CLEAN_CANONICAL)
        drop_punctuation(r);
    join_words(r);
    return clean == CE_CLEAN_WHITESPACE ? CE_OK : ce_runes_lower(r, true, err);
}

const char *ce_clean_describe(ce_clean clean) {
    static const char *const names[] = {"", "mended", "mended, lower case",
                                        "mended, lower case, punctuation removed"};
    return names[clean];
}

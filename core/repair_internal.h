/* What the parts of the text repair share: repair.c (the order of the steps, and those
 * that need no guessing), repair_html.c, repair_mojibake.c (wrong code pages undone),
 * repair_badness.c (does it look like that at all?), repair_codepages.c (tables). */
#ifndef CE_REPAIR_INTERNAL_H
#define CE_REPAIR_INTERNAL_H

#include "repair.h"

/* A segment that reads like nothing a person wrote: a lower-case accented letter before a
 * currency sign, a C1 control, ... */
bool ce_runes_look_garbled(const int32_t *r, size_t n);

/* Undoes wrong decodings until none is found. */
int ce_runes_undo_mojibake(ce_runes *r, size_t *budget, ce_error *err);

/* Rounds end when nothing changes, which a text can put off for long: `budget` is the work
 * still allowed, in looks at a rune (about 10 ns). CE_EINVAL where it is used up. */
int ce_repair_spend(size_t *budget, size_t looks, ce_error *err);

/* ftfy's more careful unescape: whole references with a semicolon only, but also the names
 * in capitals where they mean nothing else. */
void ce_runes_unescape_careful(ce_runes *r);

/* In the order in which they are tried. Bytes below 0x80 are ASCII in all of them. The
 * Windows pages are sloppy: what they leave undefined is Latin-1, and 0x1A is U+FFFD, a
 * character that was lost. */
typedef enum ce_codepage {
    CE_LATIN_1,
    CE_WINDOWS_1252,
    CE_WINDOWS_1251,
    CE_WINDOWS_1250,
    CE_WINDOWS_1253,
    CE_WINDOWS_1254,
    CE_WINDOWS_1257,
    CE_ISO_8859_2,
    CE_MAC_ROMAN,
    CE_CP437,
    CE_CODEPAGES
} ce_codepage;

static inline bool ce_codepage_is_sloppy(ce_codepage page) {
    return page >= CE_WINDOWS_1252 && page <= CE_WINDOWS_1257;
}

/* -1 where the page lacks the rune. */
int ce_codepage_byte(ce_codepage page, int32_t rune);
/* byte: 0x80 to 0xff. */
int32_t ce_codepage_rune(ce_codepage page, int byte);

static inline bool ce_rune_is_c1(int32_t rune) {
    return rune >= 0x80 && rune <= 0x9f;
}

#endif

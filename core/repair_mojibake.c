/* Mojibake undone: UTF-8 that was decoded with a code page is encoded with it again and
 * decoded as what it was. The order of the trials, and what is forgiven (a no-break space
 * that became a space, characters that were lost on the way), are ftfy 6.3.1's
 * (fix_encoding; Apache 2.0, Robyn Speer). */
#include "repair_internal.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The text as bytes, and room for its next form: no step makes more than GROWTH bytes of
 * one rune's. */
#define GROWTH 3
typedef struct bytes {
    unsigned char *at, *spare;
    size_t count;
} bytes;

static void put(bytes *b, size_t *to, const void *from, size_t size) {
    memcpy(b->spare + *to, from, size);
    *to += size;
}

static void turn(bytes *b, size_t count) {
    unsigned char *at = b->at;
    b->at = b->spare;
    b->spare = at;
    b->count = count;
}

/* ---- patterns of bytes ---- */

/* First byte, then one letter a byte:
 *   ' '  itself                  '?'  itself               'E'  0xed
 *   'c'  continuation, 80..bf    'n'  the same, neither 85 nor a0
 *   'h'  high half of a surrogate pair, a0..af             'l'  low half, b0..bf
 *   's'  0x1a, what was lost     'S'  0x1a or c
 *   'q'  0x1a or '?'             'Q'  0x1a, '?' or c */
typedef struct pattern {
    unsigned char first, last;
    const char *rest;
} pattern;

/* UTF-8 but for a space where a no-break space, A0, has been; only where the result is a
 * likely character. */
static const pattern spaced[] = {
    {0xc2, 0xc3, " "},   {0xc5, 0xc5, " "},   {0xce, 0xce, " "},  {0xd0, 0xd0, " "},
    {0xd9, 0xd9, " "},   {0xe2, 0xe3, " n"},  {0xe0, 0xe3, "n "}, {0xf0, 0xf0, " cc"},
    {0xf0, 0xf0, "c c"}, {0xf0, 0xf0, "cc "},
};

/* UTF-8 or CESU-8 with bytes lost. */
static const pattern lossy[] = {
    {0xc2, 0xdf, "s"},   {0xc2, 0xc3, "?"},  {0xed, 0xed, "hqElQ"}, {0xed, 0xed, "hQElq"},
    {0xe0, 0xef, "qS"},  {0xe0, 0xef, "Sq"}, {0xf0, 0xf4, "qSS"},   {0xf0, 0xf4, "SqS"},
    {0xf0, 0xf4, "SSq"}, {0x1a, 0x1a, ""},
};

static bool fits(char letter, int byte) {
    bool continues = (byte & 0xc0) == 0x80, lost = byte == 0x1a;
    switch (letter) {
    case 'c':
        return continues;
    case 'n':
        return continues && byte != 0x85 && byte != 0xa0;
    case 'h':
        return (byte & 0xf0) == 0xa0;
    case 'l':
        return (byte & 0xf0) == 0xb0;
    case 'E':
        return byte == 0xed;
    case 's':
        return lost;
    case 'S':
        return lost || continues;
    case 'q':
        return lost || byte == '?';
    case 'Q':
        return lost || byte == '?' || continues;
    default:
        return byte == letter;
    }
}

static bool begins(const pattern *p, const unsigned char *at, size_t n) {
    if (*at < p->first || *at > p->last)
        return false;
    size_t size = strlen(p->rest);
    for (size_t i = 0; i < size; i++)
        if (i + 1 == n || !fits(p->rest[i], at[i + 1]))
            return false;
    return true;
}

/* Size of the first pattern that the bytes begin with, 0: none. */
static size_t match(const pattern *p, size_t count, const unsigned char *at, size_t n) {
    for (size_t i = 0; i < count; i++)
        if (begins(&p[i], at, n))
            return strlen(p[i].rest) + 1;
    return 0;
}

/* ---- bytes -> bytes ---- */

static bool has_spaced(const bytes *b) {
    for (size_t i = 0; i < b->count; i++)
        if (match(spaced, COUNT(spaced), b->at + i, b->count - i))
            return true;
    return false;
}

/* C3 and a space is nearly always the French word a-grave, whose no-break space fell
 * together with the space behind it; but not in these Portuguese words. */
static bool is_a_grave_word(const unsigned char *at, size_t n) {
    static const char *const not_before[] = {" ", "quele", "quela", "quilo", "s "};
    if (n < 2 || at[0] != 0xc3 || at[1] != ' ')
        return false;
    for (size_t i = 0; i < COUNT(not_before); i++) {
        size_t size = strlen(not_before[i]);
        if (n - 2 >= size && memcmp(at + 2, not_before[i], size) == 0)
            return false;
    }
    return true;
}

static void part_a_grave_words(bytes *b) {
    size_t to = 0;
    for (size_t i = 0; i < b->count;) {
        if (is_a_grave_word(b->at + i, b->count - i)) {
            put(b, &to, "\xc3\xa0 ", 3);
            i += 2;
        } else {
            put(b, &to, b->at + i++, 1);
        }
    }
    turn(b, to);
}

static void restore_no_break_spaces(bytes *b) {
    part_a_grave_words(b);
    for (size_t i = 0, size; i < b->count; i += size ? size : 1) {
        size = match(spaced, COUNT(spaced), b->at + i, b->count - i);
        for (size_t k = 0; k < size; k++)
            if (b->at[i + k] == ' ')
                b->at[i + k] = 0xa0;
    }
}

static void replace_lossy(bytes *b) {
    size_t to = 0;
    for (size_t i = 0; i < b->count;) {
        size_t size = match(lossy, COUNT(lossy), b->at + i, b->count - i);
        put(b, &to, size ? (const void *)"\xef\xbf\xbd" : b->at + i, size ? 3 : 1);
        i += size ? size : 1;
    }
    turn(b, to);
}

/* A surrogate pair in CESU-8 becomes its character. Like ftfy's regular expressions, whose
 * `$` also stands before a final line end, this one and the next take such a line end for
 * the last byte. */
static size_t read_pair(const unsigned char *at, size_t n, int32_t *rune) {
    if (n < 6 || at[0] != 0xed || !fits('h', at[1]) || !fits('c', at[2]) || at[3] != 0xed ||
        !fits('l', at[4]) || !(fits('c', at[5]) || (n == 6 && at[5] == '\n')))
        return 0;
    *rune = 0x10000 + ((at[1] & 0x0f) << 16) + ((at[2] & 0x3f) << 10) +
            ((at[4] & 0x0f) << 6) + (at[5] & 0x3f);
    return 6;
}

/* Java's U+0000. */
static size_t read_null(const unsigned char *at, size_t n) {
    return n > 1 && at[0] == 0xc0 && (at[1] == 0x80 || (n == 2 && at[1] == '\n')) ? 2 : 0;
}

static void standardize(bytes *b) {
    size_t to = 0;
    for (size_t i = 0; i < b->count;) {
        int32_t rune = 0;
        size_t n = b->count - i, size = read_null(b->at + i, n);
        if (size == 0)
            size = read_pair(b->at + i, n, &rune);
        if (size)
            to += ce_rune_encode(b->spare + to, rune);
        else
            put(b, &to, b->at + i, size = 1);
        i += size;
    }
    turn(b, to);
}

/* ---- the whole text ---- */

static bool encode(bytes *b, const ce_runes *r, ce_codepage page) {
    for (b->count = 0; b->count < r->count; b->count++) {
        int byte = ce_codepage_byte(page, r->at[b->count]);
        if (byte < 0)
            return false;
        b->at[b->count] = (unsigned char)byte;
    }
    return true;
}

/* 1: `out` is the text as UTF-8 that was taken for `page`; 0: it was not. */
static int redecode(ce_runes *out, bytes *b, const ce_runes *r, ce_codepage page,
                    ce_error *err) {
    if (!encode(b, r, page))
        return 0;
    /* in Mac OS Roman that would be an en dash with a space behind */
    if (page != CE_MAC_ROMAN && has_spaced(b))
        restore_no_break_spaces(b);
    if (ce_codepage_is_sloppy(page))
        replace_lossy(b);
    standardize(b);
    if (ce_utf8_prefix((const char *)b->at, b->count) < b->count)
        return 0;
    int rc = ce_runes_decode(out, (const char *)b->at, b->count, err);
    return rc < 0 ? rc : 1;
}

static int redecode_any(ce_runes *out, const ce_runes *r, ce_error *err) {
    bytes b = {.at = malloc(2 * GROWTH * r->count)};
    if (!b.at)
        return ce_fail(err, CE_ENOMEM, "out of memory for a text of %zu characters",
                       r->count);
    unsigned char *memory = b.at;
    b.spare = b.at + GROWTH * r->count;
    int rc = 0;
    for (int page = 0; page < CE_CODEPAGES && rc == 0; page++)
        rc = redecode(out, &b, r, (ce_codepage)page, err);
    free(memory);
    return rc;
}

/* ---- parts of the text ---- */

/* What a rune may be in UTF-8 that was decoded with Latin-1 or a Windows page. */
enum { LEAD_2 = 1, LEAD_3 = 2, LEAD_4 = 4, CONTINUATION = 8, STRICT = 16 };

static bool stands_for_itself(int32_t rune) {
    return (rune >= 0x2013 && rune <= 0x2015) || (rune >= 0x2018 && rune <= 0x201e) ||
           rune == 0x2022 || rune == 0x2026;
}

static unsigned role_of_byte(int byte) {
    if (byte < 0xc0)
        return CONTINUATION | STRICT;
    if (byte < 0xe0)
        return byte >= 0xc2 ? LEAD_2 : 0;
    if (byte < 0xf0)
        return LEAD_3;
    return byte == 0xf0 || byte == 0xf3 ? LEAD_4 : 0;
}

static unsigned roles_of(int32_t rune) {
    if (rune < 0x80)
        return rune == ' ' ? CONTINUATION : 0; /* it may have been a no-break space */
    unsigned roles = 0;
    for (int page = CE_LATIN_1; page <= CE_WINDOWS_1257; page++) {
        int byte = ce_codepage_byte((ce_codepage)page, rune);
        if (byte >= 0x80)
            roles |= role_of_byte(byte);
    }
    return stands_for_itself(rune) ? roles & ~(unsigned)STRICT : roles;
}

/* Size of the run of what looks like UTF-8 at `at`. */
static size_t match_run(const unsigned char *roles, size_t n, size_t at) {
    size_t i = at, size;
    if (at > 0 && roles[at - 1] & STRICT)
        return 0;
    for (; i < n; i += size) {
        size = roles[i] & LEAD_2 ? 2 : roles[i] & LEAD_3 ? 3 : roles[i] & LEAD_4 ? 4 : 0;
        if (size == 0 || size > n - i)
            break;
        for (size_t k = 1; k < size; k++)
            if (!(roles[i + k] & CONTINUATION))
                return i - at;
    }
    return i - at;
}

static int append_mended(ce_runes *out, const int32_t *run, size_t n, size_t *budget,
                         ce_error *err) {
    ce_runes part;
    ce_runes_init(&part);
    int rc = ce_runes_copy(&part, run, n, err);
    if (rc == 0)
        rc = ce_runes_undo_mojibake(&part, budget, err);
    if (rc == 0)
        rc = ce_runes_append(out, part.at, part.count, err);
    ce_runes_free(&part);
    return rc;
}

/* Mends each run by itself. It is shorter than the text, so that this ends. */
static int mend_runs(ce_runes *out, const ce_runes *r, size_t *budget, ce_error *err) {
    unsigned char *roles = malloc(r->count);
    if (!roles)
        return ce_fail(err, CE_ENOMEM, "out of memory for a text of %zu characters",
                       r->count);
    for (size_t i = 0; i < r->count; i++)
        roles[i] = (unsigned char)roles_of(r->at[i]);
    int rc = 0;
    out->count = 0;
    for (size_t i = 0; i < r->count && rc == 0;) {
        size_t size = match_run(roles, r->count, i);
        if (size > 0 && size < r->count && ce_runes_look_garbled(r->at + i, size))
            rc = append_mended(out, r->at + i, size, budget, err);
        else
            rc = ce_runes_append(out, r->at + i, size ? size : 1, err);
        i += size ? size : 1;
    }
    free(roles);
    return rc;
}

/* Web browsers, too, take C1 controls for Windows-1252. */
static void mend_c1(ce_runes *r) {
    for (size_t i = 0; i < r->count; i++)
        if (ce_rune_is_c1(r->at[i]))
            r->at[i] = ce_codepage_rune(CE_WINDOWS_1252, r->at[i]);
}

/* ---- all of it ---- */

static bool is_ascii(const ce_runes *r) {
    for (size_t i = 0; i < r->count; i++)
        if (r->at[i] >= 0x80)
            return false;
    return true;
}

static bool equal(const ce_runes *a, const ce_runes *b) {
    return a->count == b->count && memcmp(a->at, b->at, a->count * sizeof *a->at) == 0;
}

/* What a trial of all pages costs, in looks at a rune. */
#define LOOKS 32

/* `next` is the text after the first of the three ways that does something. */
static int undo_once(ce_runes *next, const ce_runes *r, size_t *budget, ce_error *err) {
    int rc = redecode_any(next, r, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = mend_runs(next, r, budget, err);
    if (rc == 0 && equal(next, r))
        mend_c1(next);
    return rc;
}

int ce_runes_undo_mojibake(ce_runes *r, size_t *budget, ce_error *err) {
    ce_runes next;
    ce_runes_init(&next);
    bool changed = true;
    int rc = 0;
    while (changed && !is_ascii(r) && ce_runes_look_garbled(r->at, r->count)) {
        if ((rc = ce_repair_spend(budget, LOOKS * r->count, err)) < 0 ||
            (rc = undo_once(&next, r, budget, err)) < 0)
            break;
        changed = !equal(&next, r);
        if ((rc = ce_runes_copy(r, next.at, next.count, err)) < 0)
            break;
    }
    ce_runes_free(&next);
    return rc;
}

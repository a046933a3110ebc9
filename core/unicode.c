#include "unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void ce_runes_init(ce_runes *r) {
    r->at = r->small;
    r->count = 0;
    r->capacity = CE_RUNES_SMALL;
}

void ce_runes_free(ce_runes *r) {
    if (r->at != r->small)
        free(r->at);
    ce_runes_init(r);
}

/* Room for `capacity` runes; the content stays. */
static int reserve(ce_runes *r, size_t capacity, ce_error *err) {
    if (capacity <= r->capacity)
        return 0;
    int32_t *at = capacity <= SIZE_MAX / sizeof *at ? malloc(capacity * sizeof *at) : NULL;
    if (!at)
        return ce_fail(err, CE_ENOMEM, "out of memory for a text of %zu characters",
                       capacity);
    size_t count = r->count;
    memcpy(at, r->at, count * sizeof *at);
    ce_runes_free(r);
    r->at = at;
    r->count = count;
    r->capacity = capacity;
    return 0;
}

int ce_runes_decode(ce_runes *r, const char *text, size_t size, ce_error *err) {
    r->count = 0;
    if (size > CE_TEXT_MAX)
        return ce_fail(err, CE_EINVAL, "a text of %zu bytes is too long", size);
    int rc = reserve(r, size, err);
    if (rc < 0)
        return rc;
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    for (size_t i = 0; i < size;) {
        utf8proc_ssize_t used = 1;
        if (bytes[i] < 0x80)
            r->at[r->count] = bytes[i];
        else
            used =
                utf8proc_iterate(bytes + i, (utf8proc_ssize_t)(size - i), &r->at[r->count]);
        if (used < 1)
            return ce_fail(err, CE_EINVAL, "the text is not UTF-8 at byte %zu", i);
        i += (size_t)used;
        r->count++;
    }
    return 0;
}

size_t ce_utf8_prefix(const char *text, size_t size) {
    int32_t rune;
    size_t i = 0;
    while (i < size) {
        if ((unsigned char)text[i] < 0x80) {
            i++;
            continue;
        }
        utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)text + i,
                                                 (utf8proc_ssize_t)(size - i), &rune);
        if (used < 1)
            break;
        i += (size_t)used;
    }
    return i;
}

int ce_runes_copy(ce_runes *r, const int32_t *from, size_t count, ce_error *err) {
    r->count = 0;
    int rc = reserve(r, count, err);
    if (rc < 0)
        return rc;
    memcpy(r->at, from, count * sizeof *from);
    r->count = count;
    return 0;
}

int ce_runes_append(ce_runes *r, const int32_t *from, size_t count, ce_error *err) {
    int rc = count > r->capacity - r->count ? reserve(r, 2 * (r->count + count), err) : 0;
    if (rc < 0)
        return rc;
    memcpy(r->at + r->count, from, count * sizeof *from);
    r->count += count;
    return 0;
}

static int combining_class(int32_t rune) {
    return rune < 0x300 ? 0 : (int)utf8proc_get_property(rune)->combining_class;
}

/* Stable sort of a run of combining marks by class. utf8proc's own pass is an insertion
 * sort: quadratic, and a text may consist of marks alone. */
static void sort_marks(int32_t *marks, int32_t *scratch, size_t n) {
    size_t place[256] = {0};
    for (size_t i = 0; i < n; i++)
        place[combining_class(marks[i])]++;
    size_t sum = 0;
    for (int c = 0; c < 256; c++) {
        size_t here = place[c];
        place[c] = sum;
        sum += here;
    }
    for (size_t i = 0; i < n; i++)
        scratch[place[combining_class(marks[i])]++] = marks[i];
    memcpy(marks, scratch, n * sizeof *marks);
}

static void order_marks(int32_t *runes, int32_t *scratch, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && combining_class(runes[end]))
            end++;
        if (end - i > 1)
            sort_marks(runes + i, scratch, end - i);
        i = end > i ? end : i + 1;
    }
}

/* Canonical decomposition of one rune gives at most 4. */
#define EXPANSION 4

/* The canonical decomposition of all runes, marks in order; `*wide` is malloc'd. */
static int decompose(const ce_runes *r, int32_t **wide, size_t *count, ce_error *err) {
    size_t room = r->count * EXPANSION;
    int32_t *to = malloc((2 * room + 1) * sizeof *to); /* the runes, and scratch behind */
    if (!to)
        return ce_fail(err, CE_ENOMEM, "out of memory for a text of %zu characters",
                       r->count);
    int boundary = 0;
    *count = 0;
    for (size_t i = 0; i < r->count; i++) {
        utf8proc_ssize_t got = utf8proc_decompose_char(
            r->at[i], to + *count, (utf8proc_ssize_t)(room - *count),
            UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary);
        if (got < 0 || (size_t)got > room - *count) {
            free(to);
            return ce_fail(err, CE_EINVAL, "cannot decompose U+%04X", (unsigned)r->at[i]);
        }
        *count += (size_t)got;
    }
    order_marks(to, to + room, *count);
    *wide = to;
    return 0;
}

static bool all_below(const ce_runes *r, int32_t bound) {
    for (size_t i = 0; i < r->count; i++)
        if (r->at[i] >= bound)
            return false;
    return true;
}

int ce_runes_nfd(ce_runes *r, ce_error *err) {
    int32_t *wide;
    size_t count;
    if (all_below(r, 0xc0)) /* nothing below has a decomposition */
        return 0;
    int rc = decompose(r, &wide, &count, err);
    if (rc < 0)
        return rc;
    rc = ce_runes_copy(r, wide, count, err);
    free(wide);
    return rc;
}

int ce_runes_nfc(ce_runes *r, ce_error *err) {
    int32_t *wide;
    size_t count;
    if (all_below(r, 0x300)) /* nothing below can change or join */
        return 0;
    int rc = decompose(r, &wide, &count, err);
    if (rc < 0)
        return rc;
    utf8proc_ssize_t composed = utf8proc_normalize_utf32(
        wide, (utf8proc_ssize_t)count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (composed < 0)
        rc = ce_fail(err, CE_EINVAL, "cannot normalise: %s", utf8proc_errmsg(composed));
    else
        rc = ce_runes_copy(r, wide, (size_t)composed, err);
    free(wide);
    return rc;
}

/* Case_Ignorable (Unicode, section 3.13): Mn, Me, Cf, Lm, Sk, and the word-breaking
 * classes MidLetter, MidNumLet and Single_Quote, which are these: */
static bool is_case_ignorable(int32_t rune) {
    static const uint16_t marks[] = {0x27,   0x2e,   0x3a,   0xb7,   0x387,  0x55f,
                                     0x5f4,  0x2018, 0x2019, 0x2024, 0x2027, 0xfe13,
                                     0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (rune == marks[i])
            return true;
    switch (utf8proc_category(rune)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        return false;
    }
}

static bool is_circled_letter(int32_t rune) {
    return (rune >= 0x24b6 && rune <= 0x24e9) || (rune >= 0x1f130 && rune <= 0x1f149) ||
           (rune >= 0x1f150 && rune <= 0x1f169) || (rune >= 0x1f170 && rune <= 0x1f189);
}

/* Cased (same section): Lu, Ll, Lt, Other_Uppercase, Other_Lowercase; of a rune that is
 * not case-ignorable. */
static bool is_cased(int32_t rune) {
    switch (utf8proc_category(rune)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
        return true;
    default:
        return rune == 0xaa || rune == 0xba || (rune >= 0x2160 && rune <= 0x217f) ||
               is_circled_letter(rune);
    }
}

/* Final_Sigma (Unicode, table 3-17): a cased letter before, none behind, case-ignorable
 * runes skipped. `cased_before` is that of the last rune that was not skipped. */
static bool ends_word(const ce_runes *r, size_t sigma, bool cased_before) {
    if (!cased_before)
        return false;
    size_t i = sigma + 1;
    while (i < r->count && is_case_ignorable(r->at[i]))
        i++;
    return i == r->count || !is_cased(r->at[i]);
}

/* Linear: a look ahead ends at the next sigma. */
static void lower_sigmas(ce_runes *r) {
    bool cased_before = false;
    for (size_t i = 0; i < r->count; i++) {
        int32_t rune = r->at[i];
        if (rune == 0x3a3)
            r->at[i] = ends_word(r, i, cased_before) ? 0x3c2 : 0x3c3;
        if (!is_case_ignorable(rune))
            cased_before = is_cased(rune);
    }
}

int ce_runes_lower(ce_runes *r, bool final_sigma, ce_error *err) {
    size_t dotted = 0;
    bool sigma = false;
    for (size_t i = 0; i < r->count; i++) {
        dotted += r->at[i] == 0x130;
        sigma |= r->at[i] == 0x3a3;
    }
    int rc = reserve(r, r->count + dotted, err);
    if (rc < 0)
        return rc;
    if (final_sigma && sigma)
        lower_sigmas(r);
    for (size_t i = r->count, to = r->count + dotted; i-- > 0;) {
        int32_t rune = r->at[i];
        if (rune == 0x130) { /* capital I with dot: i and a combining dot */
            r->at[--to] = 0x307;
            r->at[--to] = 'i';
        } else if (rune < 0x80) {
            r->at[--to] = rune >= 'A' && rune <= 'Z' ? rune + 32 : rune;
        } else {
            r->at[--to] = utf8proc_tolower(rune);
        }
    }
    r->count += dotted;
    return 0;
}

void ce_runes_squeeze(ce_runes *r) {
    size_t to = 0;
    bool in_space = false;
    for (size_t i = 0; i < r->count; i++) {
        bool space = ce_rune_classify(r->at[i]) == CE_RUNE_SPACE;
        if (!space || !in_space)
            r->at[to++] = space ? ' ' : r->at[i];
        in_space = space;
    }
    r->count = to;
}

ce_rune_class ce_rune_classify(int32_t rune) {
    if (rune < 0x80) {
        if ((rune | 32) >= 'a' && (rune | 32) <= 'z')
            return CE_RUNE_LETTER;
        if (rune >= '0' && rune <= '9')
            return CE_RUNE_NUMBER;
        return rune == ' ' || (rune >= 9 && rune <= 13) ? CE_RUNE_SPACE : CE_RUNE_OTHER;
    }
    switch (utf8proc_category(rune)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return CE_RUNE_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CE_RUNE_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return CE_RUNE_SPACE;
    default:
        return rune == 0x85 ? CE_RUNE_SPACE : CE_RUNE_OTHER;
    }
}

bool ce_rune_is_word(int32_t rune) {
    switch (utf8proc_category(rune)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return ce_rune_classify(rune) == CE_RUNE_LETTER || rune == 0x200c ||
               rune == 0x200d || is_circled_letter(rune);
    }
}

size_t ce_rune_encode(unsigned char out[4], int32_t rune) {
    if (rune < 0x80) {
        out[0] = (unsigned char)rune;
        return 1;
    }
    return (size_t)utf8proc_encode_char(rune, out);
}

/* The steps of ftfy 6.3.1's fix_text in its order (fix_and_explain; Apache 2.0, Robyn
 * Speer). Lone surrogates, which it also mends, do not occur in UTF-8. */
#include "repair.h"

#include "repair_internal.h"

#include <string.h>
#include <uchar.h>
#include <utf8proc.h>

/* A line is mended by itself, and so is each such part of a longer one. */
#define SEGMENT_MAX ((size_t)1000000)

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- rune by rune ---- */

/* Latin letters only: other scripts mean their ligatures. */
static const struct {
    char16_t rune, letters[4];
} ligatures[] = {
    {0x132, u"IJ"},  {0x133, u"ij"},  {0x149, u"\u02bcn"}, {0x1c4, u"DŽ"},
    {0x1c5, u"Dž"},  {0x1c6, u"dž"},  {0x1c7, u"LJ"},      {0x1c8, u"Lj"},
    {0x1c9, u"lj"},  {0x1ca, u"NJ"},  {0x1cb, u"Nj"},      {0x1cc, u"nj"},
    {0x1f1, u"DZ"},  {0x1f2, u"Dz"},  {0x1f3, u"dz"},      {0xfb00, u"ff"},
    {0xfb01, u"fi"}, {0xfb02, u"fl"}, {0xfb03, u"ffi"},    {0xfb04, u"ffl"},
    {0xfb05, u"ſt"}, {0xfb06, u"st"},
};

#define MENDED_MAX 4

static bool is_halfwidth_or_fullwidth(int32_t rune) {
    return rune > 0xff00 && rune < 0xfff0;
}

static size_t split_ligature(int32_t out[MENDED_MAX], int32_t rune) {
    bool near = (rune >= 0x132 && rune <= 0x1f3) || (rune >= 0xfb00 && rune <= 0xfb06);
    for (size_t i = 0; near && i < COUNT(ligatures); i++) {
        if (ligatures[i].rune != rune)
            continue;
        size_t size = 0;
        for (const char16_t *c = ligatures[i].letters; *c; c++)
            out[size++] = *c;
        return size;
    }
    out[0] = rune;
    return 1;
}

static int32_t uncurl(int32_t rune) {
    if (rune == 0x2bc || (rune >= 0x2018 && rune <= 0x201b))
        return '\'';
    return rune >= 0x201c && rune <= 0x201f ? '"' : rune;
}

/* C1 controls, ligatures, width (NFKC does that), quotes. */
static size_t mend_rune(int32_t out[MENDED_MAX], int32_t rune) {
    if (ce_rune_is_c1(rune))
        rune = ce_codepage_rune(CE_WINDOWS_1252, rune);
    size_t size = split_ligature(out, rune);
    if (rune == 0x3000) {
        out[0] = ' ';
    } else if (is_halfwidth_or_fullwidth(rune)) {
        int boundary = 0;
        utf8proc_ssize_t got = utf8proc_decompose_char(
            rune, out, MENDED_MAX, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
            &boundary);
        size = got > 0 && got <= MENDED_MAX ? (size_t)got : size;
    }
    for (size_t i = 0; i < size; i++)
        out[i] = uncurl(out[i]);
    return size;
}

static int mend_runes(ce_runes *r, ce_error *err) {
    int32_t mended[MENDED_MAX];
    size_t i = 0;
    while (i < r->count && mend_rune(mended, r->at[i]) == 1 && mended[0] == r->at[i])
        i++;
    if (i == r->count)
        return 0;
    ce_runes out;
    ce_runes_init(&out);
    int rc = ce_runes_append(&out, r->at, i, err);
    for (; i < r->count && rc == 0; i++)
        rc = ce_runes_append(&out, mended, mend_rune(mended, r->at[i]), err);
    if (rc == 0)
        rc = ce_runes_copy(r, out.at, out.count, err);
    ce_runes_free(&out);
    return rc;
}

/* ---- line breaks and controls ---- */

/* Size of a terminal's escape sequence: ESC [ digits and semicolons, a letter; the digits
 * are any that Unicode has. */
static size_t match_escape(const int32_t *r, size_t n) {
    if (n < 3 || r[0] != 0x1b || r[1] != '[')
        return 0;
    size_t i = 2;
    while (i < n && (r[i] == ';' || utf8proc_category(r[i]) == UTF8PROC_CATEGORY_ND))
        i++;
    bool letter = i < n && (r[i] | 32) >= 'a' && (r[i] | 32) <= 'z';
    return letter ? i + 1 : 0;
}

/* Without effect on the text, or not meant for it (Unicode's technical report 20). */
static bool is_dropped(int32_t rune) {
    return rune < 9 || rune == 0xb || (rune >= 0xe && rune < 0x20) || rune == 0x7f ||
           (rune >= 0x206a && rune <= 0x206f) || rune == 0xfeff ||
           (rune >= 0xfff9 && rune <= 0xfffc);
}

static void mend_controls(ce_runes *r) {
    size_t to = 0;
    for (size_t i = 0; i < r->count;) {
        int32_t rune = r->at[i];
        size_t escape = match_escape(r->at + i, r->count - i);
        bool pair = rune == '\r' && i + 1 < r->count && r->at[i + 1] == '\n';
        i += escape ? escape : pair ? 2 : 1;
        if (rune == '\r' || rune == 0x2028 || rune == 0x2029)
            rune = '\n';
        if (!escape && !is_dropped(rune))
            r->at[to++] = rune;
    }
    r->count = to;
}

/* ---- all of it ---- */

int ce_repair_spend(size_t *budget, size_t looks, ce_error *err) {
    if (looks > *budget)
        return ce_fail(err, CE_EINVAL, "the text needs too many rounds of repair");
    *budget -= looks;
    return 0;
}

static int mend_once(ce_runes *r, bool unescape, size_t *budget, ce_error *err) {
    if (unescape)
        ce_runes_unescape_careful(r);
    int rc = ce_runes_undo_mojibake(r, budget, err);
    if (rc == 0)
        rc = mend_runes(r, err);
    if (rc == 0) {
        mend_controls(r);
        rc = ce_runes_nfc(r, err);
    }
    return rc;
}

static int mend_segment(ce_runes *r, bool unescape, size_t *budget, ce_error *err) {
    ce_runes before;
    ce_runes_init(&before);
    int rc;
    do {
        rc = ce_repair_spend(budget, r->count, err);
        if (rc == 0)
            rc = ce_runes_copy(&before, r->at, r->count, err);
        if (rc == 0)
            rc = mend_once(r, unescape, budget, err);
    } while (rc == 0 && (r->count != before.count ||
                         memcmp(r->at, before.at, r->count * sizeof *r->at) != 0));
    ce_runes_free(&before);
    return rc;
}

static size_t segment_size(const int32_t *r, size_t n) {
    size_t size = 0;
    while (size < n && size < SEGMENT_MAX)
        if (r[size++] == '\n')
            break;
    return size;
}

static bool holds(const int32_t *r, size_t n, int32_t rune) {
    for (size_t i = 0; i < n; i++)
        if (r[i] == rune)
            return true;
    return false;
}

static int mend_segments(ce_runes *out, const ce_runes *r, ce_error *err) {
    ce_runes segment;
    ce_runes_init(&segment);
    size_t budget = 128 * r->count + ((size_t)1 << 26), size;
    bool unescape = true; /* until a '<': the text is HTML then, and means its references */
    int rc = 0;
    for (size_t i = 0; i < r->count && rc == 0; i += size) {
        size = segment_size(r->at + i, r->count - i);
        unescape = unescape && !holds(r->at + i, size, '<');
        rc = ce_runes_copy(&segment, r->at + i, size, err);
        if (rc == 0)
            rc = mend_segment(&segment, unescape, &budget, err);
        if (rc == 0)
            rc = ce_runes_append(out, segment.at, segment.count, err);
    }
    ce_runes_free(&segment);
    return rc;
}

/* Most texts are ASCII without references and controls. */
static bool is_sound(const ce_runes *r) {
    for (size_t i = 0; i < r->count; i++) {
        int32_t rune = r->at[i];
        if (rune >= 0x7f || rune == '&' || rune == '\r' || is_dropped(rune))
            return false;
    }
    return true;
}

int ce_runes_fix_text(ce_runes *r, ce_error *err) {
    if (is_sound(r))
        return 0;
    ce_runes out;
    ce_runes_init(&out);
    int rc = mend_segments(&out, r, err);
    if (rc == 0)
        rc = ce_runes_copy(r, out.at, out.count, err);
    ce_runes_free(&out);
    return rc;
}

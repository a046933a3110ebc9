/* Golden: tests/golden/repair/cases.json, what ftfy 6.3.1 and Python's html.unescape make
 * of some texts (make.py beside it wrote them). The code pages are iconv's. */
#include "repair.h"

#include "golden.h"
#include "html_entities.h"
#include "repair_internal.h"

#include <iconv.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void decode(ce_runes *r, const char *text, size_t size) {
    ce_error err;
    ce_runes_init(r);
    if (ce_runes_decode(r, text, size, &err) < 0)
        fail_msg("%s", err.message);
}

static void fix(ce_runes *r) {
    ce_error err;
    if (ce_runes_fix_text(r, &err) < 0)
        fail_msg("%s", err.message);
}

static bool same(const ce_runes *a, const ce_runes *b) {
    return a->count == b->count && memcmp(a->at, b->at, a->count * sizeof *a->at) == 0;
}

static void expect_fixed(const char *text, const char *want) {
    ce_runes got, wanted;
    decode(&got, text, strlen(text));
    decode(&wanted, want, strlen(want));
    fix(&got);
    if (!same(&got, &wanted))
        fail_msg("\"%s\" does not become \"%s\"", text, want);
    ce_runes_free(&got);
    ce_runes_free(&wanted);
}

/* ---- against the libraries ---- */

typedef void change(ce_runes *r);

static json_t *cases(void) {
    char path[GOLDEN_PATH];
    size_t size = 0;
    char *bytes = golden_read(golden_path(path, sizeof path, "repair/cases.json"), &size);
    assert_non_null(bytes);
    json_t *root = json_loadb(bytes, size, JSON_ALLOW_NUL, NULL);
    assert_non_null(root);
    free(bytes);
    return root;
}

static void each_case(const char *section, change *apply, size_t least) {
    size_t i;
    json_t *root = cases(), *row;
    json_array_foreach(json_object_get(root, section), i, row) {
        const json_t *text = json_array_get(row, 0), *want = json_array_get(row, 1);
        ce_runes got, wanted;
        decode(&got, json_string_value(text), json_string_length(text));
        decode(&wanted, json_string_value(want), json_string_length(want));
        apply(&got);
        if (!same(&got, &wanted))
            fail_msg("%s %zu: \"%s\" does not become \"%s\"", section, i,
                     json_string_value(text), json_string_value(want));
        ce_runes_free(&got);
        ce_runes_free(&wanted);
    }
    assert_true(i >= least);
    json_decref(root);
}

static void test_texts_are_mended_as_ftfy_does(void **state) {
    (void)state;
    each_case("fix", fix, 1000);
}

static void test_references_are_read_as_python_does(void **state) {
    (void)state;
    each_case("unescape", ce_runes_unescape_html, 200);
}

static void expect_all(const char *section, bool garbled) {
    size_t i;
    json_t *root = cases(), *text;
    json_array_foreach(json_object_get(root, section), i, text) {
        ce_runes r;
        decode(&r, json_string_value(text), json_string_length(text));
        if (ce_runes_look_garbled(r.at, r.count) != garbled)
            fail_msg("\"%s\" is in the list \"%s\"", json_string_value(text), section);
        ce_runes_free(&r);
    }
    assert_true(i >= 200);
    json_decref(root);
}

static void test_each_sign_of_a_wrong_decoding_is_seen_alone(void **state) {
    (void)state;
    expect_all("garbled", true);
    expect_all("sound", false);
}

/* ---- references ---- */

static void expect_reference(const char *name, bool loosely, const int32_t *want,
                             size_t count) {
    ce_runes r;
    decode(&r, name, strlen(name));
    (loosely ? ce_runes_unescape_html : ce_runes_unescape_careful)(&r);
    if (r.count != count || memcmp(r.at, want, count * sizeof *want) != 0)
        fail_msg("%s is not %zu runes, the first U+%04X", name, count, (unsigned)want[0]);
    ce_runes_free(&r);
}

static void expect_name(const char *line, const char *previous) {
    char copy[64] = "", name[40] = "&";
    int32_t want[2] = {0};
    unsigned first, second;
    memcpy(copy, line, strcspn(line, "\n"));
    int fields = sscanf(copy, "%34s %x %x", name + 1, &first, &second);
    assert_true(fields >= 2);
    want[0] = (int32_t)first;
    want[1] = fields == 3 ? (int32_t)second : 0;
    size_t size = strlen(name), count = (size_t)fields - 1;
    if (name[size - 1] != ';') {
        expect_reference(name, true, want, count);
        name[size++] = ';';
        name[size] = '\0';
    }
    expect_reference(name, true, want, count);
    if (size <= 26) /* ftfy's limit: '&', 24, ';' */
        expect_reference(name, false, want, count);
    if (previous)
        assert_true(strncmp(previous, line, strcspn(previous, "; ")) <= 0);
}

static void test_every_name_stands_for_what_its_line_says(void **state) {
    (void)state;
    const char *previous = NULL;
    size_t lines = 0;
    for (const char *at = ce_html_entities; at < ce_html_entities_end; lines++) {
        expect_name(at, previous);
        previous = at;
        at = strchr(at, '\n') + 1;
    }
    assert_int_equal(lines, 2125);
}

static bool is_plain_number(int32_t n) {
    return (n >= 0x20 && n < 0x7f) || n == '\t' || n == '\n' || n == '\f' || n == '\r' ||
           (n >= 0xa0 && (n < 0xd800 || n > 0xdfff) && (n < 0xfdd0 || n > 0xfdef) &&
            n % 0x10000 < 0xfffe);
}

static void test_every_number_but_the_forbidden_stands_for_itself(void **state) {
    (void)state;
    static const char *const forms[] = {"&#%d;", "&#%d", "&#x%x;", "&#X%X"};
    for (int32_t n = 0; n < 0x110000; n += n < 0x10010 ? 1 : 0xfff) {
        if (!is_plain_number(n))
            continue;
        for (size_t i = 0; i < COUNT(forms); i++) {
            char text[16];
            snprintf(text, sizeof text, forms[i], (unsigned)n);
            expect_reference(text, true, &n, 1);
        }
    }
    const int32_t lost = 0xfffd, euro = 0x20ac;
    expect_reference("&#0;", true, &lost, 1);
    expect_reference("&#xDFFF;", true, &lost, 1);
    expect_reference("&#99999999999999999999999999;", true, &lost, 1);
    expect_reference("&#x80;", true, &euro, 1);
    expect_reference("&#xFFFF;", true, &lost, 0);
}

static void test_html_keeps_its_references_and_so_do_the_lines_behind(void **state) {
    (void)state;
    expect_fixed("a &amp; b\n<i>c &amp; d</i>\ne &amp; f",
                 "a & b\n<i>c &amp; d</i>\ne &amp; f");
    expect_fixed("&lt;i&gt;c &amp; d", "<i>c & d");
    expect_fixed("this&not that &amp", "this&not that &amp");
    expect_fixed("P&EACUTE;REZ, STRA&SZLIG;E", "P\u00c9REZ, STRASSE");
}

/* ---- wrong decodings ---- */

static const char *const iconv_names[CE_CODEPAGES] = {
    "ISO-8859-1", "CP1252", "CP1251",     "CP1250",    "CP1253",
    "CP1254",     "CP1257", "ISO-8859-2", "MACINTOSH", "CP437"};

/* What the page leaves undefined is Latin-1. Apple's table has an increment sign and the
 * apple where the MACINTOSH of glibc has a delta and nothing. */
static int32_t iconv_rune(iconv_t cd, ce_codepage page, int byte) {
    if (page == CE_MAC_ROMAN && (byte == 0xc6 || byte == 0xf0))
        return byte == 0xc6 ? 0x2206 : 0xf8ff;
    char in = (char)byte, *from = &in;
    int32_t out = -1;
    char *to = (char *)&out;
    size_t left = 1, room = sizeof out;
    return iconv(cd, &from, &left, &to, &room) == 0 && room == 0 ? out : byte;
}

static void test_code_pages_are_those_of_iconv(void **state) {
    (void)state;
    for (int p = 0; p < CE_CODEPAGES; p++) {
        ce_codepage page = (ce_codepage)p;
        iconv_t cd = iconv_open("UTF-32LE", iconv_names[p]);
        if (cd == (iconv_t)-1)
            print_message("iconv lacks %s: not compared\n", iconv_names[p]);
        for (int byte = 0x80; byte < 0x100; byte++) {
            int32_t rune = ce_codepage_rune(page, byte);
            int32_t want = cd == (iconv_t)-1 ? rune : iconv_rune(cd, page, byte);
            assert_int_equal(ce_codepage_byte(page, rune), byte);
            assert_int_equal(rune, want);
        }
        if (cd != (iconv_t)-1)
            iconv_close(cd);
    }
}

static void take_for(ce_runes *r, ce_codepage page) {
    ce_runes wrong;
    ce_runes_init(&wrong);
    for (size_t i = 0; i < r->count; i++) {
        unsigned char utf8[4];
        size_t size = ce_rune_encode(utf8, r->at[i]);
        for (size_t k = 0; k < size; k++) {
            int32_t rune = utf8[k] < 0x80 ? utf8[k] : ce_codepage_rune(page, utf8[k]);
            assert_int_equal(ce_runes_append(&wrong, &rune, 1, NULL), 0);
        }
    }
    assert_int_equal(ce_runes_copy(r, wrong.at, wrong.count, NULL), 0);
    ce_runes_free(&wrong);
}

static void test_utf8_taken_for_any_two_pages_comes_back(void **state) {
    (void)state;
    static const char text[] = "voil\u00e0 \u2013 \u201c\u00e7a\u201d";
    ce_runes want, r;
    decode(&want, text, strlen(text));
    fix(&want);
    for (int first = 0; first < CE_CODEPAGES; first++)
        for (int second = 0; second <= CE_CODEPAGES; second++) {
            decode(&r, text, strlen(text));
            take_for(&r, (ce_codepage)first);
            if (second < CE_CODEPAGES)
                take_for(&r, (ce_codepage)second);
            fix(&r);
            if (!same(&r, &want))
                fail_msg("%s, then %s", iconv_names[first],
                         second < CE_CODEPAGES ? iconv_names[second] : "nothing");
            ce_runes_free(&r);
        }
    ce_runes_free(&want);
}

/* ---- what stays ---- */

static void test_sound_text_stays(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "a photo of a \"cat\", 100 % sure; <b>R&D</b>\n\tand\fmore",
        "d\u00e9j\u00e0 vu \u2014 na\u00efve fa\u00e7ade, 25 \u00b0C, \u00a320",
        "\u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4 \u041f\u0440\u0438\u0432\u0435\u0442",
        "\u03ba\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \U0001f600\u200d\U0001f43c",
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        expect_fixed(texts[i], texts[i]);
}

static void test_a_line_is_mended_in_parts_of_a_million(void **state) {
    (void)state;
    ce_runes r;
    decode(&r, "", 0);
    const int32_t a = 'a', wrong[] = {0xc3, 0xa9};
    for (size_t i = 0; i < 999999; i++)
        assert_int_equal(ce_runes_append(&r, &a, 1, NULL), 0);
    assert_int_equal(ce_runes_append(&r, wrong, 2, NULL), 0);
    fix(&r); /* the boundary parts the two */
    assert_int_equal(r.count, 1000001);
    memmove(r.at, r.at + 1, --r.count * sizeof *r.at);
    fix(&r);
    assert_int_equal(r.count, 999999);
    assert_int_equal(r.at[999998], 0xe9);
    ce_runes_free(&r);
}

/* ---- hostile texts ---- */

static void test_references_nested_without_end_are_refused(void **state) {
    (void)state;
    static const int32_t amp[] = {'a', 'm', 'p', ';'}, and = '&';
    ce_runes r;
    ce_error err;
    decode(&r, "", 0);
    assert_int_equal(ce_runes_append(&r, &and, 1, NULL), 0);
    for (int i = 0; i < 50000; i++)
        assert_int_equal(ce_runes_append(&r, amp, 4, NULL), 0);
    assert_int_equal(ce_runes_fix_text(&r, &err), CE_EINVAL);
    assert_string_equal(err.message, "the text needs too many rounds of repair");
    ce_runes_free(&r);
}

/* Runes that begin or go on something: references, UTF-8 in a code page, escapes. */
static int32_t hostile_rune(uint32_t *seed) {
    static const int32_t starts[] = {'&',    '#',    ';',    'x',    ' ',    '\r',
                                     '\n',   0x1b,   '[',    'A',    0,      0x1a,
                                     0x2028, 0xfffd, 0xfb03, 0xff76, 0xff9e, 0x301};
    *seed = *seed * 1664525 + 1013904223;
    uint32_t n = *seed >> 8;
    if (n & 1)
        return starts[(n >> 1) % COUNT(starts)];
    ce_codepage page = (ce_codepage)((n >> 1) % CE_CODEPAGES);
    return ce_codepage_rune(page, 0x80 + (int)(n >> 12) % 0x80);
}

static void test_random_text_ends_mended(void **state) {
    (void)state;
    uint32_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        ce_runes r;
        decode(&r, "", 0);
        for (int k = 0; k < 1 + i % 40; k++) {
            int32_t rune = hostile_rune(&seed);
            assert_int_equal(ce_runes_append(&r, &rune, 1, NULL), 0);
        }
        fix(&r);
        for (size_t k = 0; k < r.count; k++) {
            int32_t rune = r.at[k];
            assert_false(rune < 9 ||
                         (rune >= 0x80 && rune < 0xa0 && rune != 0x81 && rune != 0x8d &&
                          rune != 0x8f && rune != 0x90 && rune != 0x9d));
            assert_false(rune == '\r' || rune == 0x1b || rune == 0x2028 || rune == 0xfb03);
        }
        ce_runes_unescape_html(&r);
        ce_runes_free(&r);
    }
}

#define TEST(name) cmocka_unit_test(name)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_texts_are_mended_as_ftfy_does),
        TEST(test_references_are_read_as_python_does),
        TEST(test_each_sign_of_a_wrong_decoding_is_seen_alone),
        TEST(test_every_name_stands_for_what_its_line_says),
        TEST(test_every_number_but_the_forbidden_stands_for_itself),
        TEST(test_html_keeps_its_references_and_so_do_the_lines_behind),
        TEST(test_code_pages_are_those_of_iconv),
        TEST(test_utf8_taken_for_any_two_pages_comes_back),
        TEST(test_sound_text_stays),
        TEST(test_a_line_is_mended_in_parts_of_a_million),
        TEST(test_references_nested_without_end_are_refused),
        TEST(test_random_text_ends_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

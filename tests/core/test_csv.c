#include "csv.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

static ce_csv *read_bytes(const char *text, size_t size, char delimiter) {
    ce_csv *csv = NULL;
    ce_error err;
    const char *path = scratch_write("t.csv", text, size);
    assert_non_null(path);
    if (ce_csv_read(&csv, path, delimiter, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(csv->first[0], 0);
    return csv;
}

/* `expected`: fields end with '|', rows with '/'. */
static void expect_fields(const char *text, char delimiter, const char *expected) {
    char got[1024];
    size_t used = 0;
    ce_csv *csv = read_bytes(text, strlen(text), delimiter);
    for (size_t r = 0; r < csv->rows; r++) {
        for (size_t i = 0; i < ce_csv_fields(csv, r); i++)
            used += (size_t)snprintf(got + used, sizeof got - used, "%s|",
                                     ce_csv_field(csv, r, i));
        got[used++] = '/';
    }
    got[used] = '\0';
    assert_string_equal(got, expected);
    ce_csv_free(csv);
}

static void expect_lines(const char *text, size_t rows, const size_t *lines) {
    ce_csv *csv = read_bytes(text, strlen(text), ',');
    assert_int_equal(csv->rows, rows);
    for (size_t r = 0; r < rows; r++)
        assert_int_equal(csv->line[r], lines[r]);
    ce_csv_free(csv);
}

static void expect_fault(const char *text, size_t size, const char *fault) {
    ce_csv *csv = (ce_csv *)&csv;
    ce_error err;
    char expected[600];
    const char *path = scratch_write("bad.csv", text, size);
    assert_non_null(path);
    assert_int_equal(ce_csv_read(&csv, path, ',', &err), CE_EFORMAT);
    snprintf(expected, sizeof expected, "%s:%s", path, fault);
    assert_string_equal(err.message, expected);
    assert_ptr_equal(csv, &csv);
    assert_int_equal(ce_csv_read(&csv, path, ',', NULL), CE_EFORMAT);
}

static void test_fields_are_as_rfc_4180_says(void **state) {
    (void)state;
    expect_fields("", ',', "");
    expect_fields("path,label\na.png,3\n", ',', "path|label|/a.png|3|/");
    expect_fields("a,b", ',', "a|b|/");
    expect_fields("a,b,\n", ',', "a|b||/");
    expect_fields(",\n,", ',', "||/||/");
    expect_fields("\"a,b\",\"say \"\"hi\"\"\"\n", ',', "a,b|say \"hi\"|/");
    expect_fields("\"two\r\nlines\",x\n", ',', "two\r\nlines|x|/");
    expect_fields("\"\"\"\"\n", ',', "\"|/");
    expect_fields("a,b\r\nc,d\r\n", ',', "a|b|/c|d|/");
    expect_fields("a,b\rc,d", ',', "a|b|/c|d|/");
    expect_fields("na\xc3\xafve,\xf0\x9f\x90\xb1\n", ',',
                  "na\xc3\xafve|\xf0\x9f\x90\xb1|/");
}

static void test_spaces_and_tabs_belong_to_the_field(void **state) {
    (void)state;
    expect_fields(" a , b\t\n  ,\t\n", ',', " a | b\t|/  |\t|/");
    expect_fields("\" a \"\n", ',', " a |/");
    expect_fields("   \n", ',', "   |/");
}

static void test_blank_lines_are_left_out_but_a_quoted_empty_field_is_a_row(void **state) {
    (void)state;
    expect_fields("\n\r\na\n\n\r\nb\n\n", ',', "a|/b|/");
    expect_fields("\"\"\n\n\"\"", ',', "|/|/");
    expect_fields("\n", ',', "");
}

static void test_other_delimiters_and_a_byte_order_mark(void **state) {
    (void)state;
    expect_fields("a;b,c\n\"d;e\";f\n", ';', "a|b,c|/d;e|f|/");
    expect_fields("a\t b\n\t\n", '\t', "a| b|/||/");
    expect_fields("a b\n", ' ', "a|b|/");
    expect_fields("\xef\xbb\xbfpath,label\n", ',', "path|label|/");
    expect_fields("\xef\xbb\xbf\"a\",b\n", ',', "a|b|/");
    expect_fields("\xef\xbb\xbf", ',', "");
    expect_fields("a,\xef\xbb\xbf\n", ',', "a|\xef\xbb\xbf|/"); /* only at the start */
    ce_csv *csv;
    const char bad[] = {'"', '\n', '\r', '\0', (char)0xa7};
    for (size_t i = 0; i < sizeof bad; i++)
        assert_int_equal(ce_csv_read(&csv, scratch_path("t.csv"), bad[i], NULL), CE_EINVAL);
}

static void test_a_row_knows_the_line_where_it_starts(void **state) {
    (void)state;
    expect_lines("h\n1\n2\n", 3, (const size_t[]){1, 2, 3});
    expect_lines("\n\nh\r\n\r\n1\r\n", 2, (const size_t[]){3, 5});
    expect_lines("a,\"x\n\ny\",b\n2\n", 2, (const size_t[]){1, 4});
    expect_lines("\"\r\n\r\n\"\r\n2", 2, (const size_t[]){1, 4});
    expect_lines("a\rb\rc", 3, (const size_t[]){1, 2, 3});
}

static void test_a_field_beyond_the_row_is_null(void **state) {
    (void)state;
    ce_csv *csv = read_bytes("a,b\nc\n", 6, ',');
    assert_int_equal(ce_csv_fields(csv, 1), 1);
    assert_string_equal(ce_csv_field(csv, 1, 0), "c");
    assert_null(ce_csv_field(csv, 1, 1));
    assert_null(ce_csv_field(csv, 0, SIZE_MAX));
    ce_csv_free(csv);
    ce_csv_free(NULL);
}

#define FAULT(text, fault) expect_fault(text, sizeof(text) - 1, fault)

static void test_a_bad_quote_is_told_with_its_line(void **state) {
    (void)state;
    FAULT("h\na,b\"c\n", "2: a quote inside an unquoted field");
    FAULT("h\n\"a\"b,c\n", "2: text after a closing quote");
    FAULT("h\n\"a\" ,c\n", "2: text after a closing quote");
    FAULT("h\na,b\n\"open,c\nd\n", "3: a quote is not closed");
    FAULT("h\n\"", "2: a quote is not closed");
    FAULT("h\r\n\r\n\"a\r\nb\"c\r\n",
          "4: text after a closing quote (the row starts in line 3)");
    FAULT("h\n\"open,c\nd,\"e\"\n",
          "3: text after a closing quote (the row starts in line 2)");
}

static void test_bytes_that_are_no_text_are_told_with_their_line(void **state) {
    (void)state;
    FAULT("h\na\0b\n", "2: a NUL byte");
    FAULT("\xff\xfeh\0\n\0", "1: not UTF-8 (byte 0xff)");
    FAULT("h\n\nab\xe9\n", "3: not UTF-8 (byte 0xe9)");
    FAULT("\"a\nb\xc3\nc\"\n", "2: not UTF-8 (byte 0xc3)"); /* cut short */
    FAULT("\xc0\xaf", "1: not UTF-8 (byte 0xc0)");          /* overlong */
    FAULT("\xed\xa0\x80", "1: not UTF-8 (byte 0xed)");      /* a surrogate */
    FAULT("\xf4\x90\x80\x80", "1: not UTF-8 (byte 0xf4)");  /* beyond U+10FFFF */
}

static void test_a_missing_file_is_named(void **state) {
    (void)state;
    ce_csv *csv;
    ce_error err;
    assert_int_equal(ce_csv_read(&csv, scratch_path("absent.csv"), ',', &err), CE_EIO);
    assert_non_null(strstr(err.message, "/absent.csv: No such file or directory"));
    assert_int_equal(ce_csv_read(&csv, scratch_directory, ',', &err), CE_EIO);
}

/* ---- writing ---- */

static uint32_t draw(uint32_t *seed, uint32_t n) {
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)*seed * n >> 32);
}

static void expect_put(const char *field, const char *expected) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    ce_csv_put(f, field, strlen(field));
    assert_int_equal(fclose(f), 0);
    assert_string_equal(text, expected);
    free(text);
}

static void test_a_field_is_quoted_only_where_it_must_be(void **state) {
    (void)state;
    expect_put("", "");
    expect_put(" plain; text\t'", " plain; text\t'");
    expect_put("a,b", "\"a,b\"");
    expect_put("\"", "\"\"\"\"");
    expect_put("a\nb", "\"a\nb\"");
    expect_put("a\r", "\"a\r\"");
}

static void test_what_is_written_is_read_back(void **state) {
    (void)state;
    enum { ROWS = 400, FIELDS = 5, LENGTH = 7 };
    static const char *const pieces[] = {
        "a",  ",",        "\"",           "\n", "\r",          " ",
        "\t", "\xc3\xa9", "\xe6\x97\xa5", ";",  "\xef\xbb\xbf"};
    static char fields[ROWS][FIELDS][LENGTH * 3 + 1];
    uint32_t seed = 12;
    FILE *f = fopen(scratch_path("round.csv"), "wb");
    assert_non_null(f);
    fputs("h\n", f); /* a mark that starts the file would be skipped */
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < FIELDS; i++) {
            for (uint32_t n = draw(&seed, LENGTH + 1); n > 0; n--)
                strcat(fields[r][i], pieces[draw(&seed, sizeof pieces / sizeof *pieces)]);
            ce_csv_put(f, fields[r][i], strlen(fields[r][i]));
            putc(i + 1 < FIELDS ? ',' : '\n', f);
        }
    assert_int_equal(fclose(f), 0);
    ce_csv *csv = NULL;
    ce_error err;
    if (ce_csv_read(&csv, scratch_path("round.csv"), ',', &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(csv->rows, ROWS + 1);
    for (size_t r = 0; r < ROWS; r++) {
        assert_int_equal(ce_csv_fields(csv, r + 1), FIELDS);
        for (size_t i = 0; i < FIELDS; i++)
            assert_string_equal(ce_csv_field(csv, r + 1, i), fields[r][i]);
    }
    ce_csv_free(csv);
}

/* ---- hostile bytes ---- */

/* Whatever is read must be whole, and whatever is refused must say so. */
static void try_bytes(const char *text, size_t size) {
    ce_csv *csv = NULL;
    ce_error err = {0};
    const char *path = scratch_write("fuzz.csv", text, size);
    assert_non_null(path);
    if (ce_csv_read(&csv, path, ',', &err) < 0) {
        assert_int_equal(err.code, CE_EFORMAT);
        assert_non_null(strstr(err.message, "fuzz.csv:"));
        return;
    }
    size_t bytes = 0;
    for (size_t r = 0; r < csv->rows; r++) {
        assert_true(csv->line[r] >= 1 && csv->line[r] <= size + 1);
        for (size_t i = 0; i < ce_csv_fields(csv, r); i++)
            bytes += strlen(ce_csv_field(csv, r, i)) + 1;
    }
    assert_true(bytes <= size + 1);
    ce_csv_free(csv);
}

static void test_broken_files_are_refused_or_read_but_never_harm(void **state) {
    (void)state;
    static const char good[] = "\xef\xbb\xbfpath,label\r\n\"a,\"\"b\"\"\n.png\",3\r\n\r\n"
                               "na\xc3\xafve.png, 4 \n\"\",\n";
    static const char alphabet[] = "\",\n\r a\xff\xc3\xa9";
    char text[sizeof good + 8];
    uint32_t seed = 7;
    double start = scratch_seconds();
    for (size_t size = 0; size < sizeof good; size++)
        try_bytes(good, size);
    for (int i = 0; i < 5000 && scratch_seconds() - start < 1; i++) {
        memcpy(text, good, sizeof good);
        for (uint32_t n = 1 + draw(&seed, 4); n > 0; n--) /* the NUL is one of them */
            text[draw(&seed, sizeof good - 1)] = alphabet[draw(&seed, sizeof alphabet)];
        try_bytes(text, sizeof good - 1 - draw(&seed, 3));
        size_t size = draw(&seed, sizeof text);
        for (size_t j = 0; j < size; j++)
            text[j] = alphabet[draw(&seed, sizeof alphabet - 1)];
        try_bytes(text, size);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_are_as_rfc_4180_says),
        cmocka_unit_test(test_spaces_and_tabs_belong_to_the_field),
        cmocka_unit_test(test_blank_lines_are_left_out_but_a_quoted_empty_field_is_a_row),
        cmocka_unit_test(test_other_delimiters_and_a_byte_order_mark),
        cmocka_unit_test(test_a_row_knows_the_line_where_it_starts),
        cmocka_unit_test(test_a_field_beyond_the_row_is_null),
        cmocka_unit_test(test_a_bad_quote_is_told_with_its_line),
        cmocka_unit_test(test_bytes_that_are_no_text_are_told_with_their_line),
        cmocka_unit_test(test_a_missing_file_is_named),
        cmocka_unit_test(test_a_field_is_quoted_only_where_it_must_be),
        cmocka_unit_test(test_what_is_written_is_read_back),
        cmocka_unit_test(test_broken_files_are_refused_or_read_but_never_harm),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

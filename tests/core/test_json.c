#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static json_t *parse(const char *text) {
    json_t *root = NULL;
    ce_error err;
    if (ce_json_parse(&root, text, strlen(text), "x.json", &err) < 0)
        fail_msg("%s", err.message);
    return root;
}

static void expect_refused(const char *text, const char *part) {
    json_t *root = (json_t *)&root;
    ce_error err = {0};
    assert_int_equal(ce_json_parse(&root, text, strlen(text), "x.json", &err), CE_EFORMAT);
    assert_null(root);
    assert_memory_equal(err.message, "x.json: ", 8);
    if (!strstr(err.message, part))
        fail_msg("'%s' is not in '%s'", part, err.message);
}

static void test_broken_text_names_file_and_line(void **state) {
    (void)state;
    expect_refused("", "line 1");
    expect_refused("{\"a\":\n 1,\n", "line 3");
    expect_refused("{} {}", "line 1");
    expect_refused("{\"a\": 1, \"a\": 2}", "duplicate");
    expect_refused("{\"a\": \"\xff\"}", "0xff");
    expect_refused("{\"a\": \"\\ud800\"}", "line 1");
    expect_refused("{\"a\": 1e999}", "line 1");
    expect_refused("[1]", "JSON object");
}

static void test_deep_nesting_is_refused(void **state) {
    (void)state;
    size_t depth = 1000000;
    char *text = malloc(depth + 1);
    assert_non_null(text);
    memset(text, '[', depth);
    text[depth] = 0;
    expect_refused(text, "line 1");
    free(text);
}

static void test_an_absent_or_null_key_keeps_the_default(void **state) {
    (void)state;
    json_t *o = parse("{\"n\": null}");
    int i = 7;
    double d[2] = {1, 2};
    bool b = true;
    const char *s = "s";
    const json_t *sub = o;
    static const char *const keys[] = {"n", "absent"};
    for (size_t k = 0; k < 2; k++) {
        assert_int_equal(ce_json_int(o, keys[k], &i, 0, 9, "x", NULL), 0);
        assert_int_equal(ce_json_double(o, keys[k], d, "x", NULL), 0);
        assert_int_equal(ce_json_doubles(o, keys[k], d, 2, "x", NULL), 0);
        assert_int_equal(ce_json_bool(o, keys[k], &b, "x", NULL), 0);
        assert_int_equal(ce_json_string(o, keys[k], &s, "x", NULL), 0);
        assert_int_equal(ce_json_object(o, keys[k], &sub, "x", NULL), 0);
        assert_null(sub);
        ce_error err;
        assert_int_equal(ce_json_require(o, keys[k], "x", &err), CE_EFORMAT);
        assert_non_null(strstr(err.message, keys[k]));
    }
    assert_int_equal(i, 7);
    assert_true(d[0] == 1 && d[1] == 2 && b);
    assert_string_equal(s, "s");
    assert_int_equal(ce_json_int(NULL, "n", &i, 0, 9, "x", NULL), 0);
    json_decref(o);
}

static void test_values_come_back_typed(void **state) {
    (void)state;
    json_t *o =
        parse("{\"i\": -3, \"r\": 4.0, \"d\": 0.25, \"t\": true, \"s\": \"\\u00e9\","
              " \"v\": [1, 0.5, -2], \"o\": {\"x\": 1}}");
    int i = 0;
    double d = 0, v[3] = {0};
    bool b = false;
    const char *s = NULL;
    const json_t *sub = NULL;
    assert_int_equal(ce_json_int(o, "i", &i, -3, -3, "x", NULL), 0);
    assert_int_equal(i, -3);
    assert_int_equal(ce_json_int(o, "r", &i, 0, 9, "x", NULL), 0);
    assert_int_equal(i, 4);
    assert_int_equal(ce_json_double(o, "i", &d, "x", NULL), 0);
    assert_true(d == -3);
    assert_int_equal(ce_json_double(o, "d", &d, "x", NULL), 0);
    assert_true(d == 0.25);
    assert_int_equal(ce_json_bool(o, "t", &b, "x", NULL), 0);
    assert_true(b);
    assert_int_equal(ce_json_string(o, "s", &s, "x", NULL), 0);
    assert_string_equal(s, "\xc3\xa9");
    assert_int_equal(ce_json_doubles(o, "v", v, 3, "x", NULL), 0);
    assert_true(v[0] == 1 && v[1] == 0.5 && v[2] == -2);
    assert_int_equal(ce_json_object(o, "o", &sub, "x", NULL), 0);
    assert_int_equal(ce_json_require(sub, "x", "x", NULL), 0);
    json_decref(o);
}

static void test_a_wrong_value_is_named_and_changes_nothing(void **state) {
    (void)state;
    json_t *o = parse("{\"i\": 2147483648, \"f\": 1.5, \"s\": \"1\", \"v\": [1, \"2\"],"
                      " \"big\": 9007199254740993}");
    int i = 7;
    double v[2] = {1, 2};
    bool b = true;
    const char *s = "s";
    const json_t *sub = NULL;
    ce_error err;
    static const char *const not_small_integers[] = {"i", "f", "s", "v", "big"};
    for (size_t k = 0; k < 5; k++) {
        const char *key = not_small_integers[k];
        assert_int_equal(ce_json_int(o, key, &i, 0, 9, "m/c.json", &err), CE_EFORMAT);
        assert_memory_equal(err.message, "m/c.json: \"", 11);
        assert_memory_equal(err.message + 11, key, strlen(key));
    }
    assert_int_equal(ce_json_double(o, "s", v, "x", &err), CE_EFORMAT);
    assert_int_equal(ce_json_doubles(o, "v", v, 2, "x", &err), CE_EFORMAT);
    assert_int_equal(ce_json_doubles(o, "v", v, 1, "x", &err), CE_EFORMAT);
    assert_int_equal(ce_json_doubles(o, "f", v, 1, "x", &err), CE_EFORMAT);
    assert_int_equal(ce_json_bool(o, "i", &b, "x", &err), CE_EFORMAT);
    assert_int_equal(ce_json_string(o, "f", &s, "x", &err), CE_EFORMAT);
    assert_int_equal(ce_json_object(o, "v", &sub, "x", &err), CE_EFORMAT);
    assert_string_equal(err.message, "x: \"v\" must be an object, not an array");
    assert_true(i == 7 && v[0] == 1 && v[1] == 2 && b);
    assert_string_equal(s, "s");
    json_decref(o);
}

static void test_an_integer_beyond_64_bits_spoils_only_itself(void **state) {
    (void)state;
    json_t *o = parse("{\"model_max_length\": 1000000000000000019884624838656, \"i\": 5}");
    int i = 0;
    assert_int_equal(ce_json_int(o, "i", &i, 0, 9, "x", NULL), 0);
    assert_int_equal(i, 5);
    assert_int_equal(ce_json_int(o, "model_max_length", &i, 0, 9, "x", NULL), CE_EFORMAT);
    json_decref(o);
}

static void test_load_reads_a_file_and_names_a_missing_one(void **state) {
    (void)state;
    char path[] = "/tmp/ce_json_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"a\": 1}", 8), 8);
    close(fd);
    json_t *o = NULL;
    int a = 0;
    assert_int_equal(ce_json_load(&o, path, NULL), 0);
    assert_int_equal(ce_json_int(o, "a", &a, 0, 9, path, NULL), 0);
    assert_int_equal(a, 1);
    json_decref(o);
    unlink(path);
    ce_error err;
    assert_int_equal(ce_json_load(&o, path, &err), CE_EIO);
    assert_null(o);
    assert_non_null(strstr(err.message, path));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_text_names_file_and_line),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_an_absent_or_null_key_keeps_the_default),
        cmocka_unit_test(test_values_come_back_typed),
        cmocka_unit_test(test_a_wrong_value_is_named_and_changes_nothing),
        cmocka_unit_test(test_an_integer_beyond_64_bits_spoils_only_itself),
        cmocka_unit_test(test_load_reads_a_file_and_names_a_missing_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

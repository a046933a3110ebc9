#include "vocab.h"

#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { COUNT = 60000, SIZE = 12 };

static uint64_t fnv(const char *text) {
    uint64_t h = 14695981039346656037u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h ^ h >> 29;
}

/* Strings that a table under unseeded FNV-1a keeps in a few places: of many the ones whose
 * low bits are small. */
static void no_strings_are_slow_to_put(void **state) {
    (void)state;
    char(*texts)[SIZE] = malloc(COUNT * sizeof *texts);
    ce_vocab v;
    assert_non_null(texts);
    uint64_t n = 0;
    for (size_t i = 0; i < COUNT; n++) {
        snprintf(texts[i], SIZE, "%llx", (unsigned long long)n);
        i += (fnv(texts[i]) & 0x1ffff) < 512;
    }
    double since = scratch_seconds();
    assert_int_equal(ce_vocab_init(&v, COUNT, COUNT * SIZE, NULL), 0);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(
            ce_vocab_put(&v, (int64_t)i, texts[i], strlen(texts[i]), "test", NULL), 0);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(ce_vocab_find(&v, texts[i], strlen(texts[i])), i);
    assert_true(scratch_seconds() - since < 1);
    ce_vocab_free(&v);
    free(texts);
}

static void a_string_is_found_however_it_is_parted(void **state) {
    (void)state;
    ce_vocab v;
    const char *text = "a longer token \xe2\x96\x81";
    assert_int_equal(ce_vocab_init(&v, 2, 64, NULL), 0);
    assert_int_equal(ce_vocab_put(&v, 0, text, strlen(text), "test", NULL), 0);
    assert_int_equal(ce_vocab_put(&v, 1, "", 0, "test", NULL), 0);
    for (size_t i = 0; i <= strlen(text); i++) {
        ce_token_text a = {text, i}, b = {text + i, strlen(text) - i};
        assert_int_equal(ce_vocab_find_joined(&v, a, b), 0);
        assert_int_equal(ce_vocab_find(&v, text, i), i == 0 ? 1 : b.size == 0 ? 0 : -1);
    }
    ce_vocab_free(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_strings_are_slow_to_put),
        cmocka_unit_test(a_string_is_found_however_it_is_parted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Zip archives: where the members lie, and archives that lie. Every archive is read from a
 * block of exactly its size, so that the sanitizers see each byte too far. */
#include "blob.h"
#include "golden.h"
#include "stats.h"
#include "zip.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int opens(const blob *b, ce_error *err) {
    unsigned char *exact = malloc(b->size + !b->size);
    assert_non_null(exact);
    if (b->size)
        memcpy(exact, b->data, b->size);
    ce_zip *zip;
    int result = ce_zip_open(&zip, exact, b->size, "a.zip", err);
    for (size_t i = 0; result == 0 && i < ce_zip_count(zip); i++) {
        const ce_zip_member *m = ce_zip_at(zip, i);
        assert_true(m->data >= exact && m->size <= b->size);
        assert_true(m->data + m->size <= exact + b->size);
        assert_ptr_equal(ce_zip_find(zip, m->name, m->name_size), m);
    }
    ce_zip_free(zip);
    free(exact);
    return result;
}

static void sample(blob *b, zip_places *at) {
    const zip_part parts[] = {{"d/b", "hello", 5}, {"d/a", "", 0}, {"d/c", "xyz", 3}};
    b->size = 0;
    zip_make(b, parts, 3, at);
}

static void a_sound_archive_is_read(void **state) {
    (void)state;
    blob b;
    zip_places at;
    sample(&b, &at);
    ce_zip *zip;
    ce_error err;
    assert_int_equal(ce_zip_open(&zip, b.data, b.size, "a.zip", &err), 0);
    assert_int_equal(ce_zip_count(zip), 3);
    const ce_zip_member *m = ce_zip_find(zip, "d/b", 3);
    assert_non_null(m);
    assert_true(m->stored);
    assert_int_equal(m->size, 5);
    assert_memory_equal(m->data, "hello", 5);
    assert_int_equal(ce_zip_find(zip, "d/a", 3)->size, 0);
    assert_null(ce_zip_find(zip, "d/", 2));
    assert_null(ce_zip_find(zip, "d/bb", 4));
    ce_zip_free(zip);
    add(&b, BYTES("a comment"));
    b.data[at.end + 20] = 9;
    assert_int_equal(opens(&b, &err), 0);
}

/* Each lie is `value` in `width` bytes at `at` + `offset`. */
static void lies_are_refused(void **state) {
    (void)state;
    static const struct {
        char where; /* of the first member: its (l)ocal or (c)entral header; the (e)nd */
        size_t offset;
        uint64_t value;
        int width;
        const char *word;
    } lies[] = {
        {'l', 0, 0, 4, "no header where"},
        {'l', 8, 8, 2, "disagree"},
        {'l', 18, 6, 4, "disagree"},
        {'l', 22, 4, 4, "disagree"},
        {'l', 26, 2, 2, "another name"},
        {'l', 26, 60000, 2, "cut short"},
        {'l', 28, 60000, 2, "cut short"},
        {'l', 30, 'e', 1, "another name"},
        {'l', 6, 1, 2, "disagree"},
        {'c', 0, 0, 4, "fewer members"},
        {'c', 20, 6, 4, "disagree"},
        {'c', 24, 6, 4, "disagree"},
        {'c', 10, 8, 2, "disagree"},
        {'c', 28, 60000, 2, "cut short"},
        {'c', 30, 65535, 2, "cut short"},
        {'c', 32, 65535, 2, "cut short"},
        {'c', 42, 1, 4, "no header where"},
        {'c', 42, 0x7fffffff, 4, "outside"},
        {'c', 42, UINT32_MAX, 4, "outside"},
        {'e', 4, 1, 2, "several parts"},
        {'e', 8, 2, 2, "several parts"},
        {'e', 12, 0, 4, "not where"},
        {'e', 16, 0, 4, "not where"},
        {'e', 16, UINT32_MAX, 4, "not where"},
        {'e', 0, 0, 4, "no end"},
        {'e', 20, 5, 2, "no end"},
        {'e', 12, UINT32_MAX, 4, "not where"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        blob b;
        zip_places at;
        sample(&b, &at);
        size_t p = lies[i].where == 'l'   ? at.local[0]
                   : lies[i].where == 'c' ? at.central[0]
                                          : at.end;
        for (int k = 0; k < lies[i].width; k++)
            b.data[p + lies[i].offset + (size_t)k] =
                (unsigned char)(lies[i].value >> 8 * k);
        ce_error err = {0};
        int result = opens(&b, &err);
        if (result != CE_EFORMAT || !strstr(err.message, lies[i].word) ||
            strncmp(err.message, "a.zip: ", 7) != 0)
            fail_msg("%zu: %d \"%s\" does not say \"%s\"", i, result, err.message,
                     lies[i].word);
    }
}

static void sizes_that_both_headers_lie_about_are_refused(void **state) {
    (void)state;
    for (int big = 0; big < 2; big++) {
        blob b;
        zip_places at;
        sample(&b, &at);
        for (int k = 0; k < 4; k++) { /* both sizes, in both headers */
            size_t p = k < 2 ? at.local[0] + 18 + 4 * (size_t)k
                             : at.central[0] + 12 + 4 * (size_t)k;
            b.data[p + 3] = big ? 0x7f : 0;
            b.data[p] = 40;
        }
        ce_error err = {0};
        assert_int_equal(opens(&b, &err), CE_EFORMAT);
        assert_non_null(strstr(err.message, big ? "outside" : "overlap"));
    }
}

static void counts_and_names_that_lie_are_refused(void **state) {
    (void)state;
    ce_error err = {0};
    blob b;
    zip_places at;
    for (int count = 0; count < 300; count++) {
        sample(&b, &at);
        b.data[at.end + 8] = b.data[at.end + 10] = (unsigned char)count;
        b.data[at.end + 9] = b.data[at.end + 11] = (unsigned char)(count >> 8);
        assert_int_equal(opens(&b, &err), count == 3 ? 0 : CE_EFORMAT);
    }
    const zip_part twice[] = {{"d/a", "1", 1}, {"d/a", "2", 1}};
    b.size = 0;
    zip_make(&b, twice, 2, &at);
    assert_int_equal(opens(&b, &err), CE_EFORMAT);
    assert_non_null(strstr(err.message, "member d/a: there are two"));
    sample(&b, &at); /* two entries, one member */
    memcpy(b.data + at.central[2], b.data + at.central[0], at.central[1] - at.central[0]);
    assert_int_equal(opens(&b, &err), CE_EFORMAT);
}

static void compressed_members_are_told(void **state) {
    (void)state;
    blob b;
    zip_places at;
    sample(&b, &at);
    b.data[at.local[0] + 8] = b.data[at.central[0] + 10] = 8;
    ce_zip *zip;
    ce_error err;
    assert_int_equal(ce_zip_open(&zip, b.data, b.size, "a.zip", &err), 0);
    assert_false(ce_zip_find(zip, "d/b", 3)->stored);
    assert_true(ce_zip_find(zip, "d/c", 3)->stored);
    ce_zip_free(zip);
}

/* PyTorch's own archives have ZIP64 records: changed, cut, they open or are refused. */
static void mutated_archives_never_crash(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    size_t size = 0;
    char *file = golden_read(golden_path(path, sizeof path, "weights/zip.pt"), &size);
    assert_non_null(file);
    static blob whole, b;
    whole.size = 0;
    add(&whole, file, size);
    free(file);
    ce_error err = {0};
    assert_int_equal(opens(&whole, &err), 0);
    ce_random random = {11};
    for (int i = 0; i < 6000; i++) {
        b = whole;
        if (i % 4 == 0)
            b.size = (size_t)ce_random_below(&random, size);
        else /* the directory and the end are the last third */
            for (int k = 0; k < 1 + i % 3; k++)
                b.data[size - 1 - (size_t)ce_random_below(&random, i % 2 ? size : 1700)] =
                    (unsigned char)ce_random_next(&random);
        err.message[0] = '\0';
        if (opens(&b, &err) < 0)
            assert_true(err.message[0] != '\0');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_archive_is_read),
        cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(sizes_that_both_headers_lie_about_are_refused),
        cmocka_unit_test(counts_and_names_that_lie_are_refused),
        cmocka_unit_test(compressed_members_are_told),
        cmocka_unit_test(mutated_archives_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Large JSON by records, XML, and planes: what the scripts of tests/api do not reach. */
#include "json_records.h"
#include "planes.h"
#include "scratch.h"
#include "xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static int count(const char *text, size_t size, const char *member) {
    ce_json_records *r;
    const char *key;
    json_t *value;
    ce_error err;
    int n = 0, more;
    const char *path = scratch_write("r.json", text, size);
    if ((more = ce_json_records_open(&r, path, member, &err)) < 0)
        return more;
    while ((more = ce_json_records_next(r, &key, &value, &err)) > 0) {
        json_decref(value);
        n++;
    }
    assert_int_equal(ce_json_records_next(r, &key, &value, &err), 0);
    ce_json_records_close(r);
    return more < 0 ? more : n;
}

static void every_prefix_of_a_json_file_is_a_fault(void **state) {
    static const char text[] = "{\"a\": {\"x\": [1, \"\\\"]\"]}, \"b\": [{\"c\": 1}, "
                               "[2, {}], \"d\\\\\", null], \"e\": true}";
    (void)state;
    assert_int_equal(count(text, sizeof text - 1, "b"), 4);
    assert_int_equal(count(text, sizeof text - 1, NULL), 3);
    for (size_t n = 0; n < sizeof text - 1; n++) {
        assert_int_equal(count(text, n, "b"), CE_EFORMAT);
        assert_int_equal(count(text, n, NULL), CE_EFORMAT);
    }
}

static void every_prefix_of_an_xml_file_is_a_fault(void **state) {
    static const char text[] = "<a><b>x &amp; y</b><c><d/></c> <e>\n z </e></a>";
    ce_xml *x;
    ce_error err;
    (void)state;
    for (size_t n = 0; n < sizeof text - 1; n++)
        assert_int_equal(ce_xml_read(&x, scratch_write("x.xml", text, n), &err),
                         CE_EFORMAT);
    const char *path = scratch_write("x.xml", text, sizeof text - 1);
    assert_int_equal(ce_xml_read(&x, path, &err), 0);
    assert_string_equal(x->first->text, "x & y");
    assert_string_equal(x->last->text, "z");
    assert_int_equal(x->last->line, 1);
    ce_xml_free(x);
}

static void planes_become_pixels(void **state) {
    static const uint8_t planes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,
                                     10, 11, 12, 13, 14, 15, 16, 17, 18};
    uint8_t out[18];
    (void)state;
    ce_interleave(out, planes, 3, 2, false);
    assert_int_equal(out[0 * 3 + 1], 7);
    assert_int_equal(out[(1 * 3 + 2) * 3], 6);
    ce_interleave(out, planes, 3, 2, true);
    assert_int_equal(out[1 * 3], 3);
    assert_int_equal(out[(1 * 3 + 0) * 3 + 2], 14);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prefix_of_a_json_file_is_a_fault),
        cmocka_unit_test(every_prefix_of_an_xml_file_is_a_fault),
        cmocka_unit_test(planes_become_pixels),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

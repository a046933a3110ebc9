/* Messages are one line, and their ends survive. */
#include "error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void control_characters_become_question_marks(void **state) {
    (void)state;
    ce_error err;
    assert_int_equal(ce_fail(&err, CE_EIO, "a\nb\033[31m%s", "\tc"), CE_EIO);
    assert_string_equal(err.message, "a?b?[31m?c");
    assert_int_equal(ce_fail(NULL, CE_EFORMAT, "x"), CE_EFORMAT);
}

/* Whatever is cut, the reason at the end stays, and no character is cut in two. */
static void a_long_message_loses_its_middle(void **state) {
    (void)state;
    char path[9001];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(path, 'x', sizeof path);
        for (size_t i = shift; i + 3 < sizeof path; i += 3)
            memcpy(path + i, "\xe2\x82\xac", 3);
        path[9000] = '\0';
        ce_error err;
        ce_fail(&err, CE_EIO, "%s: is broken", path);
        size_t length = strlen(err.message);
        assert_true(length < sizeof err.message && length > 4000);
        assert_string_equal(err.message + length - 11, ": is broken");
        const char *dots = strstr(err.message, "...");
        assert_non_null(dots);
        assert_true(((unsigned char)dots[3] & 0xc0) != 0x80);
        assert_true((unsigned char)dots[-1] == 0xac || dots[-1] == 'x');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_become_question_marks),
        cmocka_unit_test(a_long_message_loses_its_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

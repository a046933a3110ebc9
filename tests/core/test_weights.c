/* safetensors: what is read, and what is refused. */
#include "golden.h"
#include "scratch.h"
#include "stats.h"
#include "weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A file of this header and `data` zero bytes. */
static const char *file_of(const char *header, size_t data) {
    static char bytes[4096];
    size_t length = strlen(header);
    memset(bytes, 0, sizeof bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(length >> (8 * i));
    memcpy(bytes + 8, header, length);
    return scratch_write("t.safetensors", bytes, 8 + length + data);
}

#define F32_2 "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

static void refuses(const char *header, size_t data, int code, const char *word) {
    ce_weights *w = NULL;
    ce_error err = {0};
    const char *path = file_of(header, data);
    assert_int_equal(ce_weights_open(&w, path, &err), code);
    assert_null(w);
    assert_non_null(strstr(err.message, path)); /* names the file */
    if (!strstr(err.message, word))
        fail_msg("\"%s\" does not say \"%s\"", err.message, word);
}

static void a_sound_file_is_read(void **state) {
    (void)state;
    ce_weights *w;
    ce_error err;
    assert_int_equal(
        ce_weights_open(
            &w,
            file_of("{\"__metadata__\":{\"format\":\"pt\"}," F32_2
                    ",\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]}}  ",
                    16),
            &err),
        0);
    ce_tensor *t = ce_weights_find(w, "a");
    assert_non_null(t);
    assert_int_equal(t->count, 2);
    assert_int_equal(ce_weights_find(w, "b")->rank, 0);
    assert_null(ce_weights_find(w, "c"));
    ce_weights_free(w);
}

static void broken_headers_are_refused_by_name(void **state) {
    (void)state;
    refuses("{" F32_2 "}", 7, CE_EFORMAT, "tensor a");
    refuses("{" F32_2 "}", 9, CE_EFORMAT, "behind the last tensor");
    refuses("{" F32_2 "," F32_2 "}", 8, CE_EFORMAT, "line 1"); /* a name twice */
    refuses("{" F32_2 ",\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
            12, CE_EFORMAT, "overlap");
    refuses("{" F32_2 ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]}}",
            16, CE_EFORMAT, "gap");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8,
            CE_EFORMAT, "do not fit");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8,
            CE_EFORMAT, "outside");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8,
            CE_EFORMAT, "outside");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],"
            "\"data_offsets\":[0,8]}}",
            8, CE_EFORMAT, "impossible shape");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8,
            CE_EFORMAT, "impossible shape");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8,
            CE_EFORMAT, "impossible shape");
    refuses("{\"a\":{\"dtype\":\"Q9\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
            CE_EUNSUPPORTED, "Q9");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, CE_EFORMAT, "data_offsets");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],"
            "\"data_offsets\":[0,99999999999999999999]}}",
            8, CE_EFORMAT, "integer");
    refuses("{\"a\":3}", 8, CE_EFORMAT, "tensor a");
    refuses("{\"__metadata__\":{\"a\":1}}", 0, CE_EFORMAT, "__metadata__");
    refuses("{\"a\":", 8, CE_EFORMAT, "line");
    refuses("[]", 8, CE_EFORMAT, "not a safetensors");
    refuses("", 8, CE_EFORMAT, "not a safetensors");
}

static void sizes_that_lie_are_refused(void **state) {
    (void)state;
    ce_weights *w;
    ce_error err;
    const char *path = scratch_write("short", "1234567", 7);
    assert_int_equal(ce_weights_open(&w, path, &err), CE_EFORMAT);
    path = scratch_write("huge", "\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10);
    assert_int_equal(ce_weights_open(&w, path, &err), CE_EFORMAT);
    path = scratch_write("long", "\x40\0\0\0\0\0\0\0{}", 10);
    assert_int_equal(ce_weights_open(&w, path, &err), CE_EFORMAT);
    assert_non_null(strstr(err.message, "truncated"));
    assert_int_equal(ce_weights_open(&w, scratch_directory, &err), CE_EIO);
    assert_int_equal(ce_weights_open(&w, scratch_path("absent"), &err), CE_EIO);
    assert_non_null(strstr(err.message, "No such file"));
}

static void taking_checks_presence_shape_and_type(void **state) {
    (void)state;
    ce_weights *w;
    ce_error err;
    assert_int_equal(
        ce_weights_open(
            &w,
            file_of("{" F32_2
                    ",\"b\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[8,16]}}",
                    16),
            &err),
        0);
    ce_tensor *t;
    size_t two = 2, three = 3, one = 1, any = 0;
    assert_int_equal(ce_weights_take(w, &t, "c", 1, &two, &err), CE_EFORMAT);
    assert_non_null(strstr(err.message, "no tensor c"));
    assert_int_equal(ce_weights_take(w, &t, "a", 1, &three, &err), CE_EFORMAT);
    assert_non_null(strstr(err.message, "tensor a is 2, expected 3"));
    assert_int_equal(ce_weights_take(w, &t, "a", 0, NULL, &err), CE_EFORMAT);
    assert_int_equal(ce_weights_take(w, &t, "b", 1, &one, &err), CE_EUNSUPPORTED);
    assert_int_equal(ce_weights_check_all_used(w, &err), CE_EFORMAT);
    assert_non_null(strstr(err.message, "tensor a"));
    assert_int_equal(ce_weights_take(w, &t, "a", 1, &any, &err), 0);
    assert_int_equal(ce_weights_check_all_used(w, &err), CE_EFORMAT);
    assert_non_null(strstr(err.message, "tensor b"));
    ce_weights_free(w);
}

static void not_a_number_is_found_in_every_type(void **state) {
    (void)state;
    static const struct {
        const char *dtype;
        size_t width;
        unsigned char nan[4], infinite[4];
    } types[] = {{"F32", 4, {0, 0, 0xc0, 0x7f}, {0, 0, 0x80, 0xff}},
                 {"F16", 2, {0, 0x7e}, {0, 0xfc}},
                 {"BF16", 2, {0xc0, 0x7f}, {0x80, 0xff}}};
    for (size_t i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) { /* sound, NaN, infinity */
            char bytes[256] = {0};
            size_t n = 19,
                   length = (size_t)snprintf(
                       bytes + 8, 200,
                       "{\"a\":{\"dtype\":\"%s\",\"shape\":[19],\"data_offsets\":[0,%zu]}}",
                       types[i].dtype, n * types[i].width);
            bytes[0] = (char)length;
            if (k)
                memcpy(bytes + 8 + length + 17 * types[i].width,
                       k == 1 ? types[i].nan : types[i].infinite, types[i].width);
            ce_weights *w;
            ce_error err;
            float *values = NULL;
            const char *path = scratch_write("n", bytes, 8 + length + n * types[i].width);
            assert_int_equal(ce_weights_open(&w, path, &err), 0);
            assert_int_equal(ce_weights_take_floats(w, &values, "a", 1, &n, &err),
                             k ? CE_EFORMAT : 0);
            if (k)
                assert_non_null(strstr(err.message, "tensor a holds NaN"));
            free(values);
            ce_weights_free(w);
        }
}

/* Every half there is, against ldexp. */
static void halves_are_widened_exactly(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
        uint16_t half = (uint16_t)h;
        float out;
        bool finite = ce_kernels_get()->widen(&out, &half, CE_F16, 1);
        assert_int_equal(finite, exponent != 31);
        if (!finite)
            continue;
        double truth =
            exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        assert_true(out == (float)(h & 0x8000 ? -truth : truth));
    }
}

/* Bytes of a real checkpoint's header are changed: it opens or says why, nothing else. */
static void mutated_headers_never_crash(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    size_t size = 0;
    char *bytes = golden_read(
        golden_path(path, sizeof path, "models/clip-hf-gelu-legacy/expected.safetensors"),
        &size);
    assert_non_null(bytes);
    ce_random random = {7};
    for (int i = 0; i < 1500; i++) {
        size_t at = (size_t)ce_random_below(&random, 700);
        char was = bytes[at];
        bytes[at] = (char)ce_random_next(&random);
        size_t cut = i % 4 ? size : (size_t)ce_random_below(&random, size);
        ce_weights *w = NULL;
        ce_error err = {0};
        if (ce_weights_open(&w, scratch_write("m", bytes, cut), &err) < 0)
            assert_true(err.message[0] != '\0');
        ce_weights_free(w);
        bytes[at] = was;
    }
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_file_is_read),
        cmocka_unit_test(broken_headers_are_refused_by_name),
        cmocka_unit_test(sizes_that_lie_are_refused),
        cmocka_unit_test(taking_checks_presence_shape_and_type),
        cmocka_unit_test(not_a_number_is_found_in_every_type),
        cmocka_unit_test(halves_are_widened_exactly),
        cmocka_unit_test(mutated_headers_never_crash),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

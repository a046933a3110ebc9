/* safetensors and indices of shards: what is read, and what is refused. (PyTorch's files:
 * test_weights_torch.c.) */
#include "fs.h"
#include "golden.h"
#include "scratch.h"
#include "stats.h"
#include "weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A file of this header and `data` zero bytes. */
static const char *named(const char *name, const char *header, size_t data) {
    static char bytes[4096];
    size_t length = strlen(header);
    memset(bytes, 0, sizeof bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(length >> (8 * i));
    memcpy(bytes + 8, header, length);
    return scratch_write(name, bytes, 8 + length + data);
}

static const char *file_of(const char *header, size_t data) {
    return named("t.safetensors", header, data);
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
    size_t i = 0;
    assert_string_equal(ce_weights_unused(w, &i)->name, "a");
    assert_string_equal(ce_weights_unused(w, &i)->name, "b");
    assert_null(ce_weights_unused(w, &i));
    assert_int_equal(ce_weights_take(w, &t, "a", 1, &any, &err), 0);
    i = 0;
    assert_string_equal(ce_weights_unused(w, &i)->name, "b");
    assert_null(ce_weights_unused(w, &i));
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

#define ONE(name) "{\"" name "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"

static const char *index_of(const char *map) {
    char text[1024];
    int n = snprintf(text, sizeof text, "{\"metadata\":{},\"weight_map\":%s}", map);
    return scratch_write("m.index.json", text, (size_t)n);
}

static void refuses_path(const char *path, int code, const char *word) {
    ce_weights *w = NULL;
    ce_error err = {0};
    int result = ce_weights_open(&w, path, &err);
    if (result != code || w || !strstr(err.message, word))
        fail_msg("%d \"%s\" does not say \"%s\"", result, err.message, word);
}

static void shards_are_one_checkpoint(void **state) {
    (void)state;
    ce_error err = {0};
    ce_weights *w = NULL;
    const char *s1 = named("s1", ONE("module.b"), 8);
    const char *s2 = named("s2", ONE("module.a"), 8);
    const char *index = index_of("{\"module.a\":\"s2\",\"module.b\":\"s1\"}");
    if (ce_weights_open(&w, index, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(ce_weights_format(w), "safetensors (2 shards)");
    assert_string_equal(ce_weights_path(w), index);
    assert_int_equal(ce_weights_count(w), 2);
    assert_string_equal(ce_weights_at(w, 0)->name, "a");
    assert_string_equal(ce_weights_at(w, 0)->file, s2);
    assert_string_equal(ce_weights_find(w, "b")->file, s1);
    char hex[65], lines[512], expected[65];
    assert_int_equal(ce_sha256_file(hex, index, &err), 0);
    int n = snprintf(lines, sizeof lines, "%s  m.index.json\n", hex);
    ce_sha256_file(hex, s1, &err);
    n += snprintf(lines + n, sizeof lines - (size_t)n, "%s  s1\n", hex);
    ce_sha256_file(hex, s2, &err);
    n += snprintf(lines + n, sizeof lines - (size_t)n, "%s  s2\n", hex);
    ce_sha256(expected, lines, (size_t)n);
    assert_int_equal(ce_weights_sha256(w, hex, &err), 0);
    assert_string_equal(hex, expected);
    FILE *f = fopen(s2, "ab"); /* the one that is not first */
    assert_non_null(f);
    fputc('x', f);
    fclose(f);
    assert_int_equal(ce_weights_check_unchanged(w, &err), CE_EIO);
    assert_non_null(strstr(err.message, s2));
    ce_weights_free(w);
}

static void indices_that_lie_are_refused(void **state) {
    (void)state;
    named("s1", ONE("b"), 8);
    named("s2", ONE("a"), 8);
    named("s3", ONE("a"), 8);
    refuses_path(index_of("{\"a\":\"s2\",\"b\":\"s9\"}"), CE_EIO, "s9: No such file");
    refuses_path(index_of("{\"a\":\"s1\",\"b\":\"s2\"}"), CE_EFORMAT,
                 "tensor a should be in s1, and is in ");
    refuses_path(index_of("{\"a\":\"s2\",\"c\":\"s1\"}"), CE_EFORMAT,
                 "tensor c is not in s1");
    refuses_path(index_of("{\"a\":\"s2\",\"b\":\"s1\",\"c\":\"s3\"}"), CE_EFORMAT,
                 "tensor a is there twice");
    static const char *const foreign[] = {"/etc/passwd", "../s1", "x/s1",   "..",
                                          ".",           "",      "x\\\\s1"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        char map[64];
        snprintf(map, sizeof map, "{\"a\":\"%s\"}", foreign[i]);
        refuses_path(index_of(map), CE_EFORMAT, "no plain file name");
    }
    refuses_path(index_of("{\"a\":3}"), CE_EFORMAT, "no plain file name");
    refuses_path(index_of("{\"a\":\"m.index.json\"}"), CE_EFORMAT, "a shard is expected");
    refuses_path(index_of("{}"), CE_EFORMAT, "empty");
    refuses_path(index_of("3"), CE_EFORMAT, "weight_map");
    refuses_path(index_of("{\"a\":\"s1\",\"a\":\"s2\"}"), CE_EFORMAT, "duplicate");
    refuses_path(scratch_write("c.json", " {\"model_type\":\"clip\"}", 22), CE_EFORMAT,
                 "without \"weight_map\"");
    refuses_path(scratch_write("c.json", "{\"model_type\":", 14), CE_EFORMAT, "c.json");
}

/* As transformers does: what lies in a shard is loaded, whether the index knows or not. */
static void a_tensor_that_the_index_forgot_is_there(void **state) {
    (void)state;
    ce_error err;
    ce_weights *w;
    named("s1",
          "{" F32_2 ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],"
          "\"data_offsets\":[8,12]}}",
          12);
    assert_int_equal(ce_weights_open(&w, index_of("{\"a\":\"s1\"}"), &err), 0);
    assert_string_equal(ce_weights_format(w), "safetensors (1 shard)");
    assert_non_null(ce_weights_find(w, "b"));
    ce_weights_free(w);
}

static void common_mistakes_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"", "an empty file"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"},
        {"<!DOCTYPE html><html>", "web page"},
        {"\n <HTML>", "web page"},
        {"<?xml version='1.0'?><Error>AccessDenied", "web page"},
        {"\x1f\x8b\x08zzzzzzzz", "gzip"},
        {"BZh91AY", "bzip2"},
        {"\x28\xb5\x2f\xfdzzzzz", "zstd"},
        {"\x89HDF\r\n\x1a\n", "HDF5"},
        {"GGUF\3zzzzzz", "GGUF"},
        {"\x93NUMPY\1", "NumPy"},
        {"\x89PNG\r\n", "PNG"},
        {"hello, world", "it begins with 68 65 6c 6c 6f"},
        {"PK\3\4", "no end (truncated"},
        {"\x80\2}.", "not one of torch.save"},
        {"1", "(1)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses_path(
            scratch_write("model.safetensors", cases[i].text, strlen(cases[i].text)),
            CE_EFORMAT, cases[i].word);
}

static void known_buffers_are_not_called_unused(void **state) {
    (void)state;
#define SCALAR(name, at)                                                                   \
    "\"" name "\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[" at "]}"
    ce_weights *w;
    ce_error err;
    const char *path = file_of(
        "{" SCALAR("vocab_size", "0,8") "," SCALAR("context_length", "8,16") "," SCALAR(
            "x.vocab_size", "16,24") "," SCALAR("a.num_batches_tracked", "24,32") "}",
        32);
    assert_int_equal(ce_weights_open(&w, path, &err), 0);
    size_t i = 0;
    const ce_tensor *t = ce_weights_unused(w, &i);
    assert_non_null(t);
    assert_string_equal(t->name, "x.vocab_size");
    assert_null(ce_weights_unused(w, &i));
    ce_weights_free(w);
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
        cmocka_unit_test(shards_are_one_checkpoint),
        cmocka_unit_test(indices_that_lie_are_refused),
        cmocka_unit_test(a_tensor_that_the_index_forgot_is_there),
        cmocka_unit_test(common_mistakes_are_named),
        cmocka_unit_test(known_buffers_are_not_called_unused),
        cmocka_unit_test(halves_are_widened_exactly),
        cmocka_unit_test(mutated_headers_never_crash),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

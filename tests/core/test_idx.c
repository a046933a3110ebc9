#include "idx.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>
#include <zlib.h>

static const unsigned char small[] = {0, 0, 8, 3, 0, 0, 0, 2, 0,   0,   0,
                                      1, 0, 0, 0, 3, 1, 2, 3, 250, 251, 252};

/* One gzip member, malloc'd. */
static unsigned char *gzip(const void *data, size_t size, size_t *packed) {
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, (uLong)size);
    unsigned char *out = malloc(room);
    assert_non_null(out);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)size;
    z.next_out = out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    *packed = room - z.avail_out;
    deflateEnd(&z);
    return out;
}

static void expect_small(const void *data, size_t size) {
    ce_idx idx;
    ce_error err;
    if (ce_idx_read(&idx, scratch_write("good", data, size), &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(idx.rank, 3);
    assert_true(idx.shape[0] == 2 && idx.shape[1] == 1 && idx.shape[2] == 3 &&
                idx.shape[3] == 1);
    assert_memory_equal(idx.bytes, small + 16, 6);
    ce_idx_free(&idx);
    assert_null(idx.bytes);
    ce_idx_free(&idx);
    ce_idx_free(NULL);
}

static void expect_fault(const void *data, size_t size, const char *fault) {
    ce_idx idx;
    ce_error err;
    char expected[600];
    const char *path = scratch_write("bad", data, size);
    assert_non_null(path);
    assert_int_equal(ce_idx_read(&idx, path, &err), CE_EFORMAT);
    snprintf(expected, sizeof expected, "%s: %s", path, fault);
    assert_string_equal(err.message, expected);
    assert_null(idx.bytes);
    assert_int_equal(ce_idx_read(&idx, path, NULL), CE_EFORMAT);
}

/* The same fault, plain and compressed. */
static void expect_both(const void *data, size_t size, const char *fault) {
    size_t packed;
    unsigned char *gz = gzip(data, size, &packed);
    expect_fault(data, size, fault);
    expect_fault(gz, packed, fault);
    free(gz);
}

static void test_plain_and_compressed_files_are_read(void **state) {
    (void)state;
    size_t packed, rest;
    unsigned char *gz = gzip(small, sizeof small, &packed);
    expect_small(small, sizeof small);
    expect_small(gz, packed);
    free(gz);
    /* Two members, parted inside the header, are one file (RFC 1952, 2.2). */
    gz = gzip(small, 9, &packed);
    unsigned char *tail = gzip(small + 9, sizeof small - 9, &rest), both[200];
    assert_true(packed + rest <= sizeof both);
    memcpy(both, gz, packed);
    memcpy(both + packed, tail, rest);
    expect_small(both, packed + rest);
    free(gz);
    free(tail);
}

static void test_every_rank_and_a_file_larger_than_a_window(void **state) {
    (void)state;
    ce_idx idx;
    enum { N = 300000 };
    unsigned char *file = calloc(20 + N, 1);
    assert_non_null(file);
    memcpy(file, (const unsigned char[]){0, 0, 8, 1, 0, 4, 0x93, 0xe0}, 8);
    for (size_t i = 0; i < N; i++)
        file[8 + i] = (unsigned char)(i * i >> 7);
    for (int compressed = 0; compressed < 2; compressed++) {
        size_t size = 8 + N;
        unsigned char *gz = compressed ? gzip(file, size, &size) : NULL;
        const char *path = scratch_write("large", gz ? gz : file, size);
        assert_int_equal(ce_idx_read(&idx, path, NULL), 0);
        assert_true(idx.rank == 1 && idx.shape[0] == N && idx.shape[1] == 1);
        assert_memory_equal(idx.bytes, file + 8, N);
        ce_idx_free(&idx);
        free(gz);
    }
    free(file);
    const unsigned char four[] = {0, 0, 8, 4, 0, 0, 0, 1, 0, 0, 0,
                                  2, 0, 0, 0, 1, 0, 0, 0, 1, 7, 9};
    assert_int_equal(ce_idx_read(&idx, scratch_write("four", four, sizeof four), NULL), 0);
    assert_true(idx.rank == 4 && idx.shape[1] == 2 && idx.bytes[1] == 9);
    ce_idx_free(&idx);
    const unsigned char none[] = {0, 0, 8, 1, 0, 0, 0, 0};
    assert_int_equal(ce_idx_read(&idx, scratch_write("none", none, sizeof none), NULL), 0);
    assert_true(idx.rank == 1 && idx.shape[0] == 0 && idx.bytes != NULL);
    ce_idx_free(&idx);
}

static void test_what_is_no_idx_file_is_refused(void **state) {
    (void)state;
    expect_both("", 0, "not an IDX file");
    expect_both("\0\0\x08", 3, "not an IDX file");
    expect_both("\x89PNG\r\n\x1a\n", 8, "not an IDX file");
    expect_both("\0\0\x07\1\0\0\0\0", 8, "not an IDX file");
    expect_both("\0\0\x08\0", 4, "has 0 dimensions; 1 to 4 are read");
    expect_both("\0\0\x08\5", 4, "has 5 dimensions; 1 to 4 are read");
    expect_both("\0\0\x0d\1\0\0\0\0", 8,
                "holds 32-bit floats (type 0x0d); only unsigned bytes (0x08) are read");
    expect_both("\0\0\x09\1\0\0\0\0", 8,
                "holds signed bytes (type 0x09); only unsigned bytes (0x08) are read");
}

static void test_a_file_must_hold_what_its_header_says(void **state) {
    (void)state;
    unsigned char longer[sizeof small + 1];
    memcpy(longer, small, sizeof small);
    longer[sizeof small] = 0;
    for (size_t size = 4; size < 16; size++)
        expect_both(small, size, "truncated in its header");
    for (size_t size = 16; size < sizeof small; size++)
        expect_both(small, size, "truncated: its header promises 6 bytes of data");
    expect_both(longer, sizeof longer, "longer than the 6 bytes of its header");
}

static void test_absurd_sizes_are_refused_before_memory_is_taken(void **state) {
    (void)state;
    const unsigned char overflow[] = {0,    0,    8,    4,    0xff, 0xff, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const unsigned char wraps_to_0[] = {0, 0, 8, 4, 0, 1, 0, 0, 0, 1,
                                        0, 0, 0, 1, 0, 0, 0, 1, 0, 0};
    const unsigned char zero_times[] = {0,    0,    8,    3,    0, 0, 0, 0,
                                        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2};
    const unsigned char billions[] = {0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff, 1};
    expect_both(overflow, sizeof overflow, "too large: more than 4 GiB");
    expect_both(wraps_to_0, sizeof wraps_to_0, "too large: more than 4 GiB");
    expect_both(zero_times, sizeof zero_times, "too large: more than 4 GiB");
    expect_both(billions, sizeof billions,
                "truncated: its header promises 4294967295 bytes of data");
}

static void test_a_bomb_is_not_unpacked_beyond_its_header(void **state) {
    (void)state;
    size_t size = 50 << 20, packed;
    unsigned char *zeros = calloc(size, 1);
    assert_non_null(zeros);
    memcpy(zeros, small, 16);
    unsigned char *gz = gzip(zeros, size, &packed);
    free(zeros);
    expect_fault(gz, packed, "longer than the 6 bytes of its header");
    free(gz);
}

static void test_damaged_compression_is_told(void **state) {
    (void)state;
    size_t packed;
    unsigned char *gz = gzip(small, sizeof small, &packed), room[200] = {0};
    assert_true(packed + 8 <= sizeof room);
    for (size_t size = 2; size < packed; size++) /* the check sum's bytes too */
        expect_fault(gz, size, "the compressed data is truncated");
    memcpy(room, gz, packed);
    expect_fault(room, packed + 3, "3 bytes follow the compressed data");
    room[packed - 5] ^= 1;
    expect_fault(room, packed, "the compressed data is broken (incorrect data check)");
    free(gz);
}

static void test_a_missing_file_is_named(void **state) {
    (void)state;
    ce_idx idx;
    ce_error err;
    assert_int_equal(ce_idx_read(&idx, scratch_path("absent"), &err), CE_EIO);
    assert_non_null(strstr(err.message, "/absent: No such file or directory"));
    assert_null(idx.bytes);
}

static void test_mutated_files_are_refused_or_read_but_never_harm(void **state) {
    (void)state;
    size_t packed;
    unsigned char *gz = gzip(small, sizeof small, &packed), bytes[200];
    assert_true(packed <= sizeof bytes);
    uint32_t seed = 3;
    double start = scratch_seconds();
    for (int i = 0; i < 6000 && scratch_seconds() - start < 1; i++) {
        size_t size = i % 2 ? packed : sizeof small;
        memcpy(bytes, i % 2 ? gz : small, size);
        for (int n = 0; n < 1 + i % 3; n++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[(seed >> 8) % size] = (unsigned char)(seed >> 24);
        }
        ce_idx idx;
        ce_error err = {0};
        const char *path = scratch_write("fuzz", bytes, size);
        assert_non_null(path);
        if (ce_idx_read(&idx, path, &err) == 0) {
            size_t count = idx.shape[0] * idx.shape[1] * idx.shape[2] * idx.shape[3];
            assert_true(count <= 6);
            unsigned sum = 0;
            for (size_t j = 0; j < count; j++)
                sum += idx.bytes[j];
            assert_true(sum <= 255 * count);
        } else {
            assert_true(err.code == CE_EFORMAT && strstr(err.message, "/fuzz: "));
        }
        ce_idx_free(&idx);
    }
    free(gz);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_and_compressed_files_are_read),
        cmocka_unit_test(test_every_rank_and_a_file_larger_than_a_window),
        cmocka_unit_test(test_what_is_no_idx_file_is_refused),
        cmocka_unit_test(test_a_file_must_hold_what_its_header_says),
        cmocka_unit_test(test_absurd_sizes_are_refused_before_memory_is_taken),
        cmocka_unit_test(test_a_bomb_is_not_unpacked_beyond_its_header),
        cmocka_unit_test(test_damaged_compression_is_told),
        cmocka_unit_test(test_a_missing_file_is_named),
        cmocka_unit_test(test_mutated_files_are_refused_or_read_but_never_harm),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

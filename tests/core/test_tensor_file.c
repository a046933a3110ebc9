#include "golden.h"
#include "scratch.h"
#include "tensor_file.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Three float32 numbers, so that an int64 behind them would lie askew. */
static const ce_tensor_spec specs[] = {{"embeds", CE_TENSOR_F32, 2, {3, 1}},
                                       {"ids", CE_TENSOR_I64, 2, {2, 2}},
                                       {"none", CE_TENSOR_F32, 3, {0, 4, 5}}};
static const float embeds[] = {1.5f, -2.0f, 1e-30f};
static const int64_t ids[] = {1, -1, 49407, INT64_MIN};

static void must(int code, const ce_error *err) {
    if (code < 0)
        fail_msg("%s", err->message);
}

/* Entries of the scratch directory. */
static int files(void) {
    int n = 0;
    DIR *dir = opendir(scratch_directory);
    assert_non_null(dir);
    for (const struct dirent *d; (d = readdir(dir));)
        n += d->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void write_all(const char *path) {
    ce_tensor_file *file;
    ce_error err;
    must(ce_tensor_file_create(&file, path, specs, 3, &err), &err);
    must(ce_tensor_file_write(file, 1, 8, ids + 1, 24, &err), &err); /* in any order */
    must(ce_tensor_file_write(file, 0, 0, embeds, sizeof embeds, &err), &err);
    must(ce_tensor_file_write(file, 1, 0, ids, 8, &err), &err);
    must(ce_tensor_file_commit(file, &err), &err);
    ce_tensor_file_free(file);
}

static void another_reader_finds_every_number(void **state) {
    (void)state;
    const char *path = scratch_path("out");
    golden_tensor t;
    write_all(path);
    golden_file *f = golden_open(path);
    assert_non_null(f);
    assert_true(golden_find(f, "embeds", &t));
    assert_string_equal(t.dtype, "F32");
    assert_true(t.rank == 2 && t.shape[0] == 3 && t.shape[1] == 1);
    assert_memory_equal(t.data, embeds, sizeof embeds);
    assert_true(golden_find(f, "ids", &t));
    assert_string_equal(t.dtype, "I64");
    assert_memory_equal(t.data, ids, sizeof ids);
    assert_true(golden_find(f, "none", &t));
    assert_int_equal(t.count, 0);
    golden_close(f);
}

static void the_header_and_every_tensor_are_aligned(void **state) {
    (void)state;
    uint64_t header;
    const char *path = scratch_path("aligned");
    write_all(path);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(&header, 8, 1, f), 1);
    assert_int_equal(header % 8, 0);
    fseek(f, 0, SEEK_END);
    assert_int_equal((uint64_t)ftell(f), 8 + header + sizeof ids + sizeof embeds);
    int64_t first;
    fseek(f, (long)(8 + header), SEEK_SET); /* the wider type first */
    assert_int_equal(fread(&first, 8, 1, f), 1);
    assert_int_equal(first, ids[0]);
    fclose(f);
}

static void nothing_appears_before_commit(void **state) {
    (void)state;
    ce_tensor_file *file;
    ce_error err;
    int before = files();
    must(ce_tensor_file_create(&file, scratch_path("never"), specs, 3, &err), &err);
    must(ce_tensor_file_write(file, 0, 0, embeds, sizeof embeds, &err), &err);
    assert_int_not_equal(access(scratch_path("never"), F_OK), 0);
    ce_tensor_file_free(file);
    assert_int_equal(files(), before);
    ce_tensor_file_free(NULL);
}

static void commit_replaces_and_leaves_nothing_beside(void **state) {
    (void)state;
    const char *path = scratch_write("old", "old", 3);
    int before = files();
    write_all(path);
    assert_int_equal(files(), before);
    golden_file *f = golden_open(path);
    assert_non_null(f);
    golden_close(f);
}

static void a_link_is_followed_and_what_is_no_file_is_refused(void **state) {
    (void)state;
    ce_tensor_file *file;
    ce_error err;
    struct stat st;
    char link[512], fifo[512];
    write_all(scratch_path("linked"));
    snprintf(link, sizeof link, "%s", scratch_path("link"));
    snprintf(fifo, sizeof fifo, "%s", scratch_path("fifo"));
    assert_int_equal(symlink("linked", link), 0);
    write_all(link);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(lstat(scratch_path("linked"), &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(ce_tensor_file_create(&file, fifo, specs, 3, &err), CE_EIO);
    assert_non_null(strstr(err.message, fifo));
    assert_int_equal(lstat(fifo, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(unlink(scratch_path("linked")), 0);
    assert_int_equal(ce_tensor_file_create(&file, link, specs, 3, &err), CE_EIO);
    unlink(link);
    unlink(fifo);
}

static void writes_beyond_a_tensor_are_refused(void **state) {
    (void)state;
    ce_tensor_file *file;
    ce_error err;
    must(ce_tensor_file_create(&file, scratch_path("bounds"), specs, 3, &err), &err);
    assert_int_equal(ce_tensor_file_write(file, 3, 0, ids, 1, &err), CE_EINVAL);
    assert_int_equal(ce_tensor_file_write(file, 0, 0, ids, 13, &err), CE_EINVAL);
    assert_int_equal(ce_tensor_file_write(file, 0, 13, ids, 0, &err), CE_EINVAL);
    assert_int_equal(ce_tensor_file_write(file, 0, SIZE_MAX, ids, 2, &err), CE_EINVAL);
    assert_int_equal(ce_tensor_file_write(file, 2, 0, ids, 1, &err), CE_EINVAL);
    must(ce_tensor_file_write(file, 0, 12, ids, 0, &err), &err);
    ce_tensor_file_free(file);
}

static void impossible_files_are_refused_by_name(void **state) {
    (void)state;
    static const ce_tensor_spec huge = {"huge", CE_TENSOR_F32, 2, {SIZE_MAX / 4, 8}};
    static const ce_tensor_spec quoted = {"a\"b", CE_TENSOR_F32, 1, {1}};
    static const ce_tensor_spec flat = {"flat", CE_TENSOR_F32, 0, {1}};
    ce_tensor_file *file;
    ce_error err;
    int before = files();
    const char *path = scratch_path("bad");
    assert_int_equal(ce_tensor_file_create(&file, path, &huge, 1, &err), CE_EINVAL);
    assert_non_null(strstr(err.message, "huge"));
    assert_int_equal(ce_tensor_file_create(&file, path, &quoted, 1, &err), CE_EINVAL);
    assert_int_equal(ce_tensor_file_create(&file, path, &flat, 1, &err), CE_EINVAL);
    assert_int_equal(ce_tensor_file_create(&file, scratch_path("no/where"), specs, 3, &err),
                     CE_EIO);
    assert_non_null(strstr(err.message, "no/where"));
    assert_null(file);
    assert_int_equal(files(), before);
}

static void a_full_disk_is_known_before_the_work(void **state) {
    (void)state;
    static const ce_tensor_spec spec = {"wide", CE_TENSOR_F32, 1, {(size_t)1 << 58}};
    ce_tensor_file *file;
    ce_error err;
    int before = files();
    assert_int_equal(ce_tensor_file_create(&file, scratch_path("full"), &spec, 1, &err),
                     CE_EIO);
    assert_int_equal(files(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_reader_finds_every_number),
        cmocka_unit_test(the_header_and_every_tensor_are_aligned),
        cmocka_unit_test(nothing_appears_before_commit),
        cmocka_unit_test(commit_replaces_and_leaves_nothing_beside),
        cmocka_unit_test(a_link_is_followed_and_what_is_no_file_is_refused),
        cmocka_unit_test(writes_beyond_a_tensor_are_refused),
        cmocka_unit_test(impossible_files_are_refused_by_name),
        cmocka_unit_test(a_full_disk_is_known_before_the_work),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

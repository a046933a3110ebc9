#include "fs.h"
#include "scratch.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

/* Stands before libc's: the only way to see a disk that fails when it is asked to keep
 * what it took. */
static int fsync_fails_at, fsync_calls;
int fsync(int fd) {
    if (++fsync_calls == fsync_fails_at) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static bool exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

static void expect_message(const ce_error *err, const char *path, const char *fault) {
    size_t length = strlen(path);
    assert_int_equal(strncmp(err->message, path, length), 0);
    assert_int_equal(strncmp(err->message + length, ": ", 2), 0);
    assert_string_equal(err->message + length + 2, fault);
}

static const char *join(const char *directory, const char *name) {
    static char ring[4][600];
    static unsigned next;
    char *path = ring[next++ % 4];
    snprintf(path, sizeof ring[0], "%s/%s", directory ? directory : "", name);
    return path;
}

static void write_in(const char *directory, const char *name) {
    FILE *f = fopen(join(directory, name), "w");
    assert_non_null(f);
    assert_int_equal(fputs(name, f) < 0, 0);
    assert_int_equal(fclose(f), 0);
}

/* ---- reading ---- */

static void test_a_file_is_read_whole_and_ends_with_nul(void **state) {
    (void)state;
    char *data = NULL;
    size_t size = 99;
    ce_error err;
    const char *path = scratch_write("five", "a\0b\nc", 5);
    assert_int_equal(ce_file_read(&data, &size, path, 5, &err), 0);
    assert_int_equal(size, 5);
    assert_memory_equal(data, "a\0b\nc", 6);
    free(data);
    assert_int_equal(ce_file_read(&data, &size, path, SIZE_MAX, &err), 0);
    assert_int_equal(size, 5);
    free(data);
    path = scratch_write("none", "", 0);
    assert_int_equal(ce_file_read(&data, &size, path, 0, &err), 0);
    assert_int_equal(size, 0);
    assert_int_equal(data[0], 0);
    free(data);
}

static void test_a_file_larger_than_allowed_is_refused(void **state) {
    (void)state;
    char *data = (char *)&data;
    size_t size;
    ce_error err;
    const char *path = scratch_write("six", "123456", 6);
    assert_int_equal(ce_file_read(&data, &size, path, 5, &err), CE_EFORMAT);
    expect_message(&err, path, "too large: 6 bytes, where 5 are allowed");
    assert_ptr_equal(data, &data);
}

static void test_a_file_that_hides_its_size_is_read_to_its_end(void **state) {
    (void)state;
    const char *path = "/proc/self/maps"; /* st_size is 0 */
    char *data;
    size_t size = 0;
    ce_error err;
    if (access(path, R_OK) != 0) {
        print_message("skipped: no /proc\n");
        skip();
    }
    assert_int_equal(ce_file_read(&data, &size, path, 1 << 24, &err), 0);
    assert_true(size > 256);
    assert_int_equal(strlen(data), size);
    free(data);
    assert_int_equal(ce_file_read(&data, &size, path, 256, &err), CE_EFORMAT);
    expect_message(&err, path, "too large: more than 256 bytes");
}

static void expect_unreadable(const char *path, const char *fault) {
    char *data = NULL, hex[65];
    size_t size;
    ce_error err;
    assert_int_equal(ce_file_read(&data, &size, path, 100, &err), CE_EIO);
    expect_message(&err, path, fault);
    assert_null(data);
    assert_int_equal(ce_sha256_file(hex, path, &err), CE_EIO);
    expect_message(&err, path, fault);
    assert_int_equal(ce_file_read(&data, &size, path, 100, NULL), CE_EIO);
}

static void test_what_is_no_readable_file_is_named_with_its_fault(void **state) {
    (void)state;
    assert_int_equal(mkfifo(scratch_path("fifo"), 0600), 0);
    expect_unreadable(scratch_path("fifo"), "not a regular file"); /* and does not wait */
    expect_unreadable("/dev/null", "not a regular file");
    expect_unreadable(scratch_directory, "is a directory");
    expect_unreadable(scratch_path("absent"), "No such file or directory");
    expect_unreadable("", "No such file or directory");
    const char *path = scratch_write("locked", "x", 1);
    expect_unreadable(join(path, "below"), "Not a directory");
    assert_int_equal(chmod(path, 0), 0);
    if (geteuid() != 0)
        expect_unreadable(path, "Permission denied");
}

/* ---- listing ---- */

static void test_a_listing_is_sorted_by_bytes_and_follows_links(void **state) {
    (void)state;
    static const char *const names[] = {".hidden",  "B",   "a",    "a b",      "a-",
                                        "dangling", "dir", "link", "\xc3\xa9", "\xff"};
    const char *top = scratch_path("listed");
    ce_error err;
    ce_listing l;
    assert_int_equal(mkdir(top, 0700), 0);
    assert_int_equal(ce_list_directory(&l, top, &err), 0);
    assert_int_equal(l.count, 0);
    ce_listing_free(&l);
    assert_int_equal(mkdir(join(top, "dir"), 0700), 0);
    assert_int_equal(symlink("dir", join(top, "link")), 0);
    assert_int_equal(symlink("nowhere", join(top, "dangling")), 0);
    for (size_t i = sizeof names / sizeof *names; i-- > 0;)
        if (!exists(join(top, names[i])))
            write_in(top, names[i]);
    assert_int_equal(ce_list_directory(&l, top, &err), 0);
    assert_int_equal(l.count, sizeof names / sizeof *names);
    for (size_t i = 0; i < l.count; i++) {
        assert_string_equal(l.names[i], names[i]);
        assert_int_equal(l.is_dir[i], i == 6 || i == 7);
    }
    ce_listing_free(&l);
    assert_int_equal(l.count, 0);
    ce_listing_free(&l);
    ce_listing_free(NULL);
}

static void test_listing_grows_past_its_first_allocation(void **state) {
    (void)state;
    const char *top = scratch_path("many");
    assert_int_equal(mkdir(top, 0700), 0);
    char name[16];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "%03u", i * 7 % 300);
        write_in(top, name);
    }
    ce_listing l;
    assert_int_equal(ce_list_directory(&l, top, NULL), 0);
    assert_int_equal(l.count, 300);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(strtoul(l.names[i], NULL, 10), i);
    ce_listing_free(&l);
}

static void test_listing_what_is_no_directory_fails(void **state) {
    (void)state;
    ce_listing l;
    ce_error err;
    const char *path = scratch_write("plain", "", 0);
    assert_int_equal(ce_list_directory(&l, path, &err), CE_EIO);
    expect_message(&err, path, "Not a directory");
    assert_int_equal(ce_list_directory(&l, scratch_path("absent"), &err), CE_EIO);
    ce_listing_free(&l);
}

/* ---- SHA-256: the examples of FIPS 180-2, appendix B ---- */

static void expect_sha256(const char *text, const char *expected) {
    char hex[65];
    ce_sha256(hex, text, strlen(text));
    assert_string_equal(hex, expected);
}

static void test_sha256_gives_the_published_digests(void **state) {
    (void)state;
    expect_sha256("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect_sha256("abc",
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_sha256_of_a_file_is_that_of_its_bytes(void **state) {
    (void)state;
    size_t size = 1000000; /* more than one buffer */
    char hex[65], *a = malloc(size);
    assert_non_null(a);
    memset(a, 'a', size);
    ce_error err;
    assert_int_equal(ce_sha256_file(hex, scratch_write("million", a, size), &err), 0);
    assert_string_equal(hex,
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_int_equal(ce_sha256_file(hex, scratch_write("empty", "", 0), &err), 0);
    assert_string_equal(hex,
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    free(a);
}

/* ---- directories ---- */

static void test_directories_are_made_with_their_parents(void **state) {
    (void)state;
    ce_error err;
    assert_int_equal(ce_make_directories(scratch_path("p/q//r/"), &err), 0);
    assert_true(exists(scratch_path("p/q/r")));
    assert_int_equal(ce_make_directories(scratch_path("p/q/r"), &err), 0);
    assert_int_equal(ce_make_directories("/", &err), 0);
    assert_int_equal(ce_make_directories("", &err), CE_EINVAL);
    const char *file = scratch_write("p/file", "", 0);
    assert_int_equal(ce_make_directories(file, &err), CE_EIO);
    expect_message(&err, file, "exists and is not a directory");
    assert_int_equal(ce_make_directories(join(file, "x"), &err), CE_EIO);
    expect_message(&err, file, "exists and is not a directory");
}

static char *begin(const char *path) {
    char *temporary = NULL;
    ce_error err;
    if (ce_directory_begin(&temporary, path, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(strlen(temporary), strlen(path) + strlen(".tmp-XXXXXX"));
    assert_memory_equal(temporary, path, strlen(path));
    return temporary;
}

static void test_a_directory_appears_whole_at_commit(void **state) {
    (void)state;
    const char *path = scratch_path("made/on/the/way/run");
    ce_error err;
    mode_t mask = umask(027);
    char *temporary = begin(path);
    umask(mask);
    char *copy = strdup(temporary);
    assert_non_null(copy);
    write_in(temporary, "report.csv");
    assert_int_equal(ce_make_directories(join(temporary, "deep/er"), &err), 0);
    write_in(temporary, "deep/er/file");
    assert_false(exists(path));
    fsync_calls = 0;
    assert_int_equal(ce_directory_commit(temporary, path, &err), 0);
    assert_true(fsync_calls >= 6); /* two files, three directories, the parent */
    assert_false(exists(copy));
    assert_true(exists(join(path, "report.csv")) && exists(join(path, "deep/er/file")));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750); /* the umask's, not mkdtemp's */
    free(copy);
}

static void test_an_empty_directory_may_be_replaced_and_a_slash_may_end_it(void **state) {
    (void)state;
    ce_error err;
    char *temporary;
    assert_int_equal(ce_make_directories(scratch_path("vacant"), &err), 0);
    assert_int_equal(ce_directory_begin(&temporary, scratch_path("vacant//"), &err), 0);
    write_in(temporary, "x");
    assert_int_equal(ce_directory_commit(temporary, scratch_path("vacant//"), &err), 0);
    assert_true(exists(scratch_path("vacant/x")));
}

static void expect_taken(const char *path, int code, const char *fault) {
    char *temporary = (char *)&temporary;
    ce_error err;
    assert_int_equal(ce_directory_begin(&temporary, path, &err), code);
    assert_null(temporary);
    if (!strstr(err.message, fault))
        fail_msg("'%s' is not in '%s'", fault, err.message);
}

static void test_begin_refuses_a_name_that_cannot_be_taken(void **state) {
    (void)state;
    assert_int_equal(ce_make_directories(scratch_path("full/of"), NULL), 0);
    assert_int_equal(ce_make_directories(scratch_path("bare"), NULL), 0);
    assert_int_equal(symlink("bare", scratch_path("to-bare")), 0);
    scratch_write("flat", "", 0);
    expect_taken(scratch_path("full"), CE_EIO, "already exists and is not empty");
    expect_taken(scratch_path("flat"), CE_EIO, "already exists and is not a directory");
    expect_taken(scratch_path("to-bare"), CE_EIO, "already exists and is not a directory");
    expect_taken(scratch_path("flat/x"), CE_EIO, "Not a directory");
    expect_taken(scratch_path("."), CE_EINVAL, "not a name");
    expect_taken(scratch_path("bare/../"), CE_EINVAL, "not a name");
    expect_taken("/", CE_EINVAL, "not a name");
    expect_taken("", CE_EINVAL, "not a name");
}

static void test_commit_spares_what_was_put_there_meanwhile(void **state) {
    (void)state;
    const char *path = scratch_path("race");
    char *temporary = begin(path), *copy = strdup(temporary), fault[600];
    assert_non_null(copy);
    write_in(temporary, "ours");
    assert_int_equal(ce_make_directories(path, NULL), 0);
    write_in(path, "theirs");
    ce_error err;
    assert_int_equal(ce_directory_commit(temporary, path, &err), CE_EIO);
    snprintf(fault, sizeof fault, "already exists and is not empty; all was written to %s",
             copy);
    expect_message(&err, path, fault);
    assert_true(exists(join(path, "theirs")) && !exists(join(path, "ours")));
    assert_true(exists(join(copy, "ours")));
    free(copy);
}

static void test_commit_on_a_failing_disk_leaves_nothing(void **state) {
    (void)state;
    for (int call = 1; call <= 3; call++) { /* the directory, the one below, a file */
        const char *path = scratch_path("lost");
        char *temporary = begin(path), *copy = strdup(temporary);
        assert_non_null(copy);
        assert_int_equal(ce_make_directories(join(temporary, "sub"), NULL), 0);
        write_in(temporary, "sub/a");
        fsync_calls = 0;
        fsync_fails_at = call;
        ce_error err;
        int code = ce_directory_commit(temporary, path, &err);
        fsync_fails_at = 0;
        assert_int_equal(code, CE_EIO);
        expect_message(&err, path, "No space left on device");
        assert_false(exists(path) || exists(copy));
        free(copy);
    }
}

static void test_abort_removes_the_temporary_one_and_no_more(void **state) {
    (void)state;
    assert_int_equal(ce_make_directories(scratch_path("precious"), NULL), 0);
    scratch_write("precious/file", "x", 1);
    char *temporary = begin(scratch_path("given-up")), *copy = strdup(temporary);
    assert_non_null(copy);
    assert_int_equal(ce_make_directories(join(temporary, "a/b/c"), NULL), 0);
    write_in(temporary, "a/b/file");
    assert_int_equal(symlink(scratch_path("precious"), join(temporary, "a/link")), 0);
    assert_int_equal(symlink("nowhere", join(temporary, "dangling")), 0);
    ce_directory_abort(temporary);
    assert_false(exists(copy) || exists(scratch_path("given-up")));
    assert_true(exists(scratch_path("precious/file")));
    ce_directory_abort(NULL);
    free(copy);
}

static bool put(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    bool written = f && fputs(text, f) >= 0;
    return f && fclose(f) == 0 && written;
}

/* A mount of our own, as root or in a user namespace. */
static bool mount_small(const char *where) {
    char user[32], group[32];
    snprintf(user, sizeof user, "0 %u 1", (unsigned)geteuid());
    snprintf(group, sizeof group, "0 %u 1", (unsigned)getegid());
    if (unshare(CLONE_NEWNS) < 0 &&
        (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || !put("/proc/self/uid_map", user) ||
         !put("/proc/self/setgroups", "deny") || !put("/proc/self/gid_map", group)))
        return false;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", where, "tmpfs", 0, "size=64k,nr_inodes=3") == 0;
}

static int on_a_full_disk(const char *where) {
    char *temporary;
    ce_error err;
    if (!mount_small(where))
        return 77;
    if (ce_directory_begin(&temporary, join(where, "a"), &err) < 0)
        return 1;
    FILE *f = fopen(join(temporary, "f"), "w");
    bool full = f && fwrite(scratch_directory, 1, 1, f) == 1; /* the last inode */
    if (f && fclose(f) != 0)
        full = false;
    char *second;
    if (!full || ce_directory_begin(&second, join(where, "b"), &err) != CE_EIO)
        return 2;
    if (!strstr(err.message, "/b.tmp-") || !strstr(err.message, "No space left on device"))
        return 3;
    ce_directory_abort(temporary);
    if (ce_directory_begin(&second, join(where, "b"), &err) < 0)
        return 4;
    return ce_directory_commit(second, join(where, "b"), &err) < 0 ? 5 : 0;
}

static void test_a_full_disk_is_told_and_can_be_freed(void **state) {
    (void)state;
    const char *where = scratch_path("small-disk");
    int status = 0;
    assert_int_equal(ce_make_directories(where, NULL), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(on_a_full_disk(where));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("skipped: a small file system cannot be mounted here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- presence ---- */

static void test_a_link_to_nothing_is_not_absent(void **state) {
    (void)state;
    bool there = true;
    ce_error err;
    const char *file = scratch_write("blob", "x", 1), *link = scratch_path("link");
    assert_int_equal(ce_path_exists(&there, scratch_path("missing"), &err), 0);
    assert_false(there);
    assert_int_equal(ce_path_exists(&there, scratch_path("missing/too"), &err), 0);
    assert_false(there);
    assert_int_equal(ce_path_exists(&there, file, &err), 0);
    assert_true(there);
    assert_int_equal(symlink("blob", link), 0);
    assert_int_equal(ce_path_exists(&there, link, &err), 0);
    assert_true(there);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(ce_path_exists(&there, link, &err), CE_EIO);
    expect_message(&err, link, "a link to nothing (an interrupted download?)");
    assert_int_equal(unlink(link), 0);
}

static void test_where_nothing_can_be_told_it_is_an_error(void **state) {
    (void)state;
    bool there;
    ce_error err;
    const char *loop = scratch_path("loop");
    scratch_write("plain", "x", 1);
    assert_int_equal(ce_path_exists(&there, scratch_path("plain/below"), &err), CE_EIO);
    expect_message(&err, scratch_path("plain/below"), strerror(ENOTDIR));
    assert_int_equal(symlink("loop", loop), 0);
    assert_int_equal(ce_path_exists(&there, loop, &err), CE_EIO);
    expect_message(&err, loop, strerror(ELOOP));
    assert_int_equal(unlink(loop), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_read_whole_and_ends_with_nul),
        cmocka_unit_test(test_a_file_larger_than_allowed_is_refused),
        cmocka_unit_test(test_a_file_that_hides_its_size_is_read_to_its_end),
        cmocka_unit_test(test_what_is_no_readable_file_is_named_with_its_fault),
        cmocka_unit_test(test_a_listing_is_sorted_by_bytes_and_follows_links),
        cmocka_unit_test(test_listing_grows_past_its_first_allocation),
        cmocka_unit_test(test_listing_what_is_no_directory_fails),
        cmocka_unit_test(test_sha256_gives_the_published_digests),
        cmocka_unit_test(test_sha256_of_a_file_is_that_of_its_bytes),
        cmocka_unit_test(test_directories_are_made_with_their_parents),
        cmocka_unit_test(test_a_directory_appears_whole_at_commit),
        cmocka_unit_test(test_an_empty_directory_may_be_replaced_and_a_slash_may_end_it),
        cmocka_unit_test(test_begin_refuses_a_name_that_cannot_be_taken),
        cmocka_unit_test(test_commit_spares_what_was_put_there_meanwhile),
        cmocka_unit_test(test_commit_on_a_failing_disk_leaves_nothing),
        cmocka_unit_test(test_abort_removes_the_temporary_one_and_no_more),
        cmocka_unit_test(test_a_full_disk_is_told_and_can_be_freed),
        cmocka_unit_test(test_a_link_to_nothing_is_not_absent),
        cmocka_unit_test(test_where_nothing_can_be_told_it_is_an_error),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

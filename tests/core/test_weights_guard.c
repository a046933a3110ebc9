/* Files that are cut short while they are mapped, and whose handler of SIGBUS it is. */
#include "golden.h"
#include "scratch.h"
#include "weights.h"
#include "weights_guard.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

enum { COUNT = 1 << 18 }; /* floats: a megabyte */

/* One tensor "a" of ones. */
static const char *write_ones(const char *name) {
    static float values[COUNT];
    static char file[sizeof values + 128];
    for (size_t i = 0; i < COUNT; i++)
        values[i] = 1;
    memset(file, 0, 8);
    size_t length = (size_t)snprintf(
        file + 8, 120,
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[%d],\"data_offsets\":[0,%zu]}}", COUNT,
        sizeof values);
    file[0] = (char)length;
    memcpy(file + 8 + length, values, sizeof values);
    return scratch_write(name, file, 8 + length + sizeof values);
}

static ce_weights *must_open(const char *path) {
    ce_weights *w;
    ce_error err = {0};
    if (ce_weights_open(&w, path, &err) < 0)
        fail_msg("%s", err.message);
    return w;
}

static void must_say_changed(int result, const ce_error *err, const char *path) {
    assert_int_equal(result, CE_EIO);
    assert_non_null(strstr(err->message, path));
    assert_non_null(strstr(err->message, "was changed while it was in use"));
}

static void a_file_that_is_cut_short_is_an_error(void **state) {
    (void)state;
    static const off_t sizes[] = {COUNT * 2, 4096, 0};
    for (size_t i = 0; i < 3; i++) {
        const char *path = write_ones("cut.safetensors");
        ce_weights *w = must_open(path);
        ce_error err = {0};
        size_t count = COUNT;
        float *values = NULL;
        assert_int_equal(ce_weights_take_floats(w, &values, "a", 1, &count, &err), 0);
        assert_true(values[COUNT - 1] == 1);
        free(values);
        assert_int_equal(truncate(path, sizes[i]), 0);
        must_say_changed(ce_weights_take_floats(w, &values, "a", 1, &count, &err), &err,
                         path);
        free(values);
        must_say_changed(ce_weights_check_unchanged(w, &err), &err, path);
        ce_weights_free(w);
    }
}

/* What was not there when it was read is not there for good: made whole again, the file is
 * still not the one that was opened. */
static void a_file_that_is_made_whole_again_stays_an_error(void **state) {
    (void)state;
    const char *path = write_ones("whole.safetensors");
    ce_weights *w = must_open(path);
    ce_error err = {0};
    struct stat st;
    float value;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, 4096), 0);
    const ce_tensor *t = ce_weights_find(w, "a");
    assert_int_equal(ce_tensor_widen(w, t, &value, COUNT - 1, 1, &err), CE_EIO);
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    assert_int_equal(truncate(path, st.st_size), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(ce_weights_check_unchanged(w, &err), CE_EIO);
    assert_non_null(strstr(err.message, "could not be read"));
    assert_int_equal(ce_tensor_widen(w, t, &value, 0, 1, &err), CE_EIO);
    ce_weights_free(w);
}

typedef struct reader {
    const ce_weights *w;
    int result;
} reader;

static void *read_all(void *arg) {
    reader *r = arg;
    static _Thread_local float values[4096];
    const ce_tensor *t = ce_weights_find(r->w, "a");
    r->result = CE_OK;
    for (size_t i = 0; i < COUNT && r->result == CE_OK; i += 4096)
        r->result = ce_tensor_widen(r->w, t, values, i, 4096, NULL);
    return NULL;
}

static void every_thread_is_told(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        const char *path = write_ones("threads.safetensors");
        ce_weights *w = must_open(path);
        reader readers[4];
        pthread_t threads[4];
        assert_int_equal(truncate(path, 8192), 0);
        for (int k = 0; k < 4; k++) {
            readers[k].w = w;
            assert_int_equal(pthread_create(&threads[k], NULL, read_all, &readers[k]), 0);
        }
        for (int k = 0; k < 4; k++) {
            pthread_join(threads[k], NULL);
            assert_int_equal(readers[k].result, CE_EIO);
        }
        ce_weights_free(w);
    }
}

static sigjmp_buf jump;
static volatile sig_atomic_t caught;

static void own_handler(int number) {
    (void)number;
    caught++;
}

static void jumping_handler(int number) {
    (void)number;
    siglongjmp(jump, 1);
}

static void (*now_installed(void))(int) {
    struct sigaction now;
    assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
    return now.sa_handler;
}

static void the_handler_before_is_put_back(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = own_handler}, old;
    assert_int_equal(sigaction(SIGBUS, &action, &old), 0);
    const char *path = write_ones("two.safetensors");
    ce_weights *one = must_open(path), *two = must_open(path);
    assert_true(now_installed() != own_handler);
    ce_weights_free(one);
    assert_true(now_installed() != own_handler);
    ce_weights_unmap(two);
    assert_true(now_installed() == own_handler);
    ce_weights_free(two);
    assert_true(now_installed() == own_handler);
    sigaction(SIGBUS, &old, NULL);
}

/* Signals that were sent, and faults in a mapping that is none of ours. */
static void what_is_not_ours_goes_to_the_handler_before(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = own_handler}, old;
    assert_int_equal(sigaction(SIGBUS, &action, &old), 0);
    ce_weights *w = must_open(write_ones("ours.safetensors"));
    caught = 0;
    raise(SIGBUS);
    assert_int_equal(caught, 1);
    ce_weights_free(w);

    action.sa_handler = jumping_handler;
    assert_int_equal(sigaction(SIGBUS, &action, NULL), 0);
    w = must_open(write_ones("ours.safetensors"));
    const char *path = write_ones("theirs.safetensors");
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    const volatile char *map = mmap(NULL, COUNT, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(truncate(path, 0), 0);
    volatile bool jumped = true;
    if (sigsetjmp(jump, 1) == 0) {
        (void)map[COUNT / 2];
        jumped = false;
    }
    assert_true(jumped);
    munmap((void *)(uintptr_t)map, COUNT);
    close(fd);
    ce_weights_free(w);
    sigaction(SIGBUS, &old, NULL);
}

/* A host that takes the place, and passes on what is not its own, is left there. */
static struct sigaction under;

static void passing_handler(int number, siginfo_t *info, void *context) {
    caught++;
    under.sa_sigaction(number, info, context);
}

static void a_handler_above_ours_stays(void **state) {
    (void)state;
    struct sigaction old,
        action = {.sa_sigaction = passing_handler, .sa_flags = SA_SIGINFO};
    assert_int_equal(sigaction(SIGBUS, NULL, &old), 0);
    ce_weights *w = must_open(write_ones("first.safetensors"));
    assert_int_equal(sigaction(SIGBUS, &action, &under), 0);
    ce_weights_free(w);
    for (int i = 0; i < 2; i++) {
        const char *path = write_ones("again.safetensors");
        float value;
        ce_error err = {0};
        w = must_open(path);
        caught = 0;
        assert_int_equal(truncate(path, 4096), 0);
        must_say_changed(
            ce_tensor_widen(w, ce_weights_find(w, "a"), &value, COUNT - 1, 1, &err), &err,
            path);
        assert_int_equal(caught, 1);
        ce_weights_free(w);
    }
    sigaction(SIGBUS, &under, NULL);
    ce_weights_free(must_open(write_ones("last.safetensors")));
    assert_true(now_installed() == old.sa_handler);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_cut_short_is_an_error),
        cmocka_unit_test(a_file_that_is_made_whole_again_stays_an_error),
        cmocka_unit_test(every_thread_is_told),
        cmocka_unit_test(the_handler_before_is_put_back),
        cmocka_unit_test(what_is_not_ours_goes_to_the_handler_before),
        cmocka_unit_test(a_handler_above_ours_stays),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

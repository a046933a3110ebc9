/* A directory of its own for a test program's files, removed at the end.
 *
 *     cmocka_run_group_tests(tests, scratch_setup, scratch_teardown)
 *     const char *path = scratch_write("a.csv", "x,y\n", 4);
 *
 * Paths live in a ring of 8 buffers.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <ftw.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char scratch_directory[256];

static inline int scratch_setup(void **state) {
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(scratch_directory, sizeof scratch_directory, "%s/clipeval-test-XXXXXX",
             tmp && *tmp ? tmp : "/tmp");
    return mkdtemp(scratch_directory) ? 0 : -1;
}

static inline int scratch_remove(const char *path, const struct stat *st, int type,
                                 struct FTW *where) {
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static inline int scratch_teardown(void **state) {
    (void)state;
    return nftw(scratch_directory, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* Seconds of wall clock, to bound a loop. */
static inline double scratch_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline const char *scratch_path(const char *name) {
    static char ring[8][512];
    static unsigned next;
    char *path = ring[next++ % 8];
    snprintf(path, sizeof ring[0], "%s/%s", scratch_directory, name);
    return path;
}

/* NULL where it could not be written: the test asserts. (A file is made anew, because
 * ext4 waits for the disk when one is cut to nothing and written again.) */
static inline const char *scratch_write(const char *name, const void *data, size_t size) {
    const char *path = scratch_path(name);
    unlink(path);
    FILE *f = fopen(path, "wb");
    if (!f)
        return NULL;
    size_t written = size ? fwrite(data, 1, size, f) : 0;
    return fclose(f) == 0 && written == size ? path : NULL;
}

#endif

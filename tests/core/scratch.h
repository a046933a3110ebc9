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

static inline const char *scratch_path(const char *name) {
    static char ring[8][512];
    static unsigned next;
    char *path = ring[next++ % 8];
    snprintf(path, sizeof ring[0], "%s/%s", scratch_directory, name);
    return path;
}

/* NULL where it could not be written: the test asserts. */
static inline const char *scratch_write(const char *name, const void *data, size_t size) {
    const char *path = scratch_path(name);
    FILE *f = fopen(path, "wb");
    if (!f)
        return NULL;
    size_t written = size ? fwrite(data, 1, size, f) : 0;
    return fclose(f) == 0 && written == size ? path : NULL;
}

#endif

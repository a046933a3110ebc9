#include "fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/base16.h>
#include <nettle/sha2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STREAM_BUFFER = 1 << 16 };

static int fail_errno(ce_error *err, const char *path) {
    int code = errno == ENOMEM ? CE_ENOMEM : CE_EIO;
    return ce_fail(err, code, "%s: %s", path, strerror(errno));
}

/* O_NONBLOCK, because opening a FIFO would otherwise wait for its writer; reads of
 * regular files do not heed it. */
static int open_regular(int *fd, struct stat *st, const char *path, ce_error *err) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (*fd < 0)
        return fail_errno(err, path);
    int code = CE_OK;
    if (fstat(*fd, st) < 0)
        code = fail_errno(err, path);
    else if (S_ISDIR(st->st_mode))
        code = ce_fail(err, CE_EIO, "%s: is a directory", path);
    else if (!S_ISREG(st->st_mode))
        code = ce_fail(err, CE_EIO, "%s: not a regular file", path);
    if (code < 0)
        close(*fd);
    return code;
}

static ssize_t read_some(int fd, void *buffer, size_t size) {
    ssize_t n;
    do
        n = read(fd, buffer, size);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Room for at least one more byte; never for more than `max` + 1 and the NUL. */
static int grow(char **data, size_t *room, size_t max) {
    size_t wanted = *room > max / 2 ? max + 1 : *room * 2;
    char *larger = realloc(*data, wanted + 1);
    if (!larger)
        return -1;
    *data = larger;
    *room = wanted;
    return 0;
}

/* To the end of the file, not to st_size: the file may be growing, and in /proc the size
 * is 0. Stops one byte behind `max`, which tells a full buffer from a file too large.
 * Returns 0, or -1 with errno; `*data` is the caller's in either case. */
static int read_to_end(char **data, size_t *used, int fd, size_t expected, size_t max) {
    size_t room = expected + 1;
    *used = 0;
    if (!(*data = malloc(room + 1)))
        return -1;
    while (*used <= max) {
        if (*used == room && grow(data, &room, max) < 0)
            return -1;
        ssize_t n = read_some(fd, *data + *used, room - *used);
        if (n <= 0) {
            (*data)[*used] = '\0';
            return (int)n;
        }
        *used += (size_t)n;
    }
    return 0;
}

int ce_file_read(char **out, size_t *size, const char *path, size_t max, ce_error *err) {
    if (max > SIZE_MAX - 2)
        max = SIZE_MAX - 2;
    int fd;
    struct stat st;
    int code = open_regular(&fd, &st, path, err);
    if (code < 0)
        return code;
    char *data = NULL;
    size_t used = 0;
    if ((uintmax_t)st.st_size > max)
        code = ce_fail(err, CE_EFORMAT, "%s: too large: %ju bytes, where %zu are allowed",
                       path, (uintmax_t)st.st_size, max);
    else if (read_to_end(&data, &used, fd, (size_t)st.st_size, max) < 0)
        code = fail_errno(err, path);
    else if (used > max)
        code = ce_fail(err, CE_EFORMAT, "%s: too large: more than %zu bytes", path, max);
    close(fd);
    if (code < 0) {
        free(data);
        return code;
    }
    *out = data;
    *size = used;
    return CE_OK;
}

int ce_file_open(int *fd, uint64_t *size, const char *path, ce_error *err) {
    struct stat st;
    int code = open_regular(fd, &st, path, err);
    if (code == CE_OK)
        *size = (uint64_t)st.st_size;
    return code;
}

int ce_file_read_at(void *out, size_t size, int fd, uint64_t offset, const char *path,
                    ce_error *err) {
    size_t got = 0;
    if (offset > INT64_MAX || size > INT64_MAX - offset)
        return ce_fail(err, CE_EINVAL,
                       "%s: %zu bytes from %ju on are beyond any file's end", path, size,
                       (uintmax_t)offset);
    while (got < size) {
        ssize_t n = pread(fd, (char *)out + got, size - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, path);
        if (n == 0)
            return ce_fail(err, CE_EFORMAT, "%s: truncated: ends before byte %ju", path,
                           (uintmax_t)offset + size);
        got += (size_t)n;
    }
    return CE_OK;
}

/* ---- listings ---- */

typedef struct entry {
    char *name;
    bool is_dir;
} entry;

static int by_name(const void *a, const void *b) {
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static bool is_dot(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool entry_is_dir(DIR *dir, const struct dirent *d) {
    struct stat st;
    if (d->d_type != DT_UNKNOWN && d->d_type != DT_LNK)
        return d->d_type == DT_DIR;
    return fstatat(dirfd(dir), d->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

/* errno tells what went wrong; the entries read so far stay with the caller. */
static int read_entries(DIR *dir, entry **entries, size_t *count) {
    size_t room = 0;
    for (;;) {
        errno = 0;
        const struct dirent *d = readdir(dir);
        if (!d)
            return errno ? -1 : 0;
        if (is_dot(d->d_name))
            continue;
        if (*count == room) {
            room = room ? room * 2 : 64;
            entry *larger = reallocarray(*entries, room, sizeof **entries);
            if (!larger)
                return -1;
            *entries = larger;
        }
        char *name = strdup(d->d_name);
        if (!name)
            return -1;
        (*entries)[(*count)++] = (entry){name, entry_is_dir(dir, d)};
    }
}

int ce_list_directory(ce_listing *out, const char *path, ce_error *err) {
    *out = (ce_listing){0};
    DIR *dir = opendir(path);
    if (!dir)
        return fail_errno(err, path);
    entry *entries = NULL;
    size_t count = 0;
    int code = CE_OK;
    if (read_entries(dir, &entries, &count) < 0)
        code = fail_errno(err, path);
    closedir(dir);
    if (code == CE_OK) {
        out->names = calloc(count + 1, sizeof *out->names);
        out->is_dir = calloc(count + 1, sizeof *out->is_dir);
        if (!out->names || !out->is_dir)
            code = ce_fail(err, CE_ENOMEM, "%s: no memory for %zu names", path, count);
    }
    if (code < 0) {
        ce_listing_free(out);
        for (size_t i = 0; i < count; i++)
            free(entries[i].name);
        free(entries);
        return code;
    }
    if (count > 1)
        qsort(entries, count, sizeof *entries, by_name);
    for (size_t i = 0; i < count; i++) {
        out->names[i] = entries[i].name;
        out->is_dir[i] = entries[i].is_dir;
    }
    out->count = count;
    free(entries);
    return CE_OK;
}

void ce_listing_free(ce_listing *l) {
    if (!l)
        return;
    for (size_t i = 0; i < l->count; i++)
        free(l->names[i]);
    free(l->names);
    free(l->is_dir);
    *l = (ce_listing){0};
}

/* ---- SHA-256 ---- */

static void hex_digest(char out[65], struct sha256_ctx *ctx) {
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(ctx, sizeof digest, digest);
    base16_encode_update(out, sizeof digest, digest);
    out[64] = '\0';
}

int ce_sha256_descriptor(char out[65], int fd, const char *name, ce_error *err) {
    int code = CE_OK;
    uint8_t *buffer = malloc(STREAM_BUFFER);
    if (!buffer)
        return ce_fail(err, CE_ENOMEM, "%s: no memory to hash it", name);
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    ssize_t n = lseek(fd, 0, SEEK_SET) < 0 ? -1 : read_some(fd, buffer, STREAM_BUFFER);
    for (; n > 0; n = read_some(fd, buffer, STREAM_BUFFER))
        sha256_update(&ctx, (size_t)n, buffer);
    if (n < 0)
        code = fail_errno(err, name);
    else
        hex_digest(out, &ctx);
    free(buffer);
    return code;
}

int ce_sha256_file(char out[65], const char *path, ce_error *err) {
    int fd;
    struct stat st;
    int code = open_regular(&fd, &st, path, err);
    if (code < 0)
        return code;
    code = ce_sha256_descriptor(out, fd, path, err);
    close(fd);
    return code;
}

void ce_sha256(char out[65], const void *data, size_t size) {
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    sha256_update(&ctx, size, data);
    hex_digest(out, &ctx);
}

/* ---- directories ---- */

/* What mkdir says of a directory that exists differs (EEXIST, EROFS, EACCES on an
 * automount), so any refusal is forgiven where a directory stands. */
static int make_one(const char *path, ce_error *err) {
    struct stat st;
    if (mkdir(path, 0777) == 0)
        return CE_OK;
    int refused = errno;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return CE_OK;
        return ce_fail(err, CE_EIO, "%s: exists and is not a directory", path);
    }
    errno = refused;
    return fail_errno(err, path);
}

int ce_make_directories(const char *path, ce_error *err) {
    if (!*path)
        return ce_fail(err, CE_EINVAL, "a directory's name is empty");
    char *copy = strdup(path);
    if (!copy)
        return ce_fail(err, CE_ENOMEM, "%s: no memory for its name", path);
    int code = CE_OK;
    for (char *p = copy + 1; code == CE_OK && *p; p++) {
        if (*p != '/' || p[-1] == '/')
            continue;
        *p = '\0';
        code = make_one(copy, err);
        *p = '/';
    }
    if (code == CE_OK)
        code = make_one(copy, err);
    free(copy);
    return code;
}

/* ---- presence ---- */

int ce_path_exists(bool *out, const char *path, ce_error *err) {
    struct stat st;
    *out = stat(path, &st) == 0;
    if (*out)
        return CE_OK;
    if (errno != ENOENT)
        return fail_errno(err, path);
    if (lstat(path, &st) == 0)
        return ce_fail(err, CE_EIO, "%s: a link to nothing (an interrupted download?)",
                       path);
    return errno == ENOENT ? CE_OK : fail_errno(err, path);
}

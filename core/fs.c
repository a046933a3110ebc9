#include "fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/base16.h>
#include <nettle/sha2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STREAM_BUFFER = 1 << 16, TEMPORARY_ATTEMPTS = 100 };

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

/* Room for at least one more byte and the NUL; never more than `max` + 1 and the NUL. */
static int grow(char **data, size_t *room, size_t max) {
    size_t wanted = *room > max / 2 ? max + 1 : *room * 2;
    char *larger = realloc(*data, wanted + 1);
    if (!larger)
        return CE_ENOMEM;
    *data = larger;
    *room = wanted;
    return CE_OK;
}

/* To the end of the file, not to st_size: the file may be growing, and in /proc the
 * size is 0. One byte more than `max` is read to tell "full" from "too large". */
int ce_file_read(char **out, size_t *size, const char *path, size_t max, ce_error *err) {
    if (max > SIZE_MAX - 2)
        max = SIZE_MAX - 2;
    int fd;
    struct stat st;
    int code = open_regular(&fd, &st, path, err);
    if (code < 0)
        return code;
    char *data = NULL;
    size_t used = 0, room = (uintmax_t)st.st_size < max ? (size_t)st.st_size + 1 : max + 1;
    if ((uintmax_t)st.st_size > max) {
        code = ce_fail(err, CE_EFORMAT, "%s: too large: %ju bytes, where %zu are allowed",
                       path, (uintmax_t)st.st_size, max);
        goto out;
    }
    if (!(data = malloc(room + 1)))
        goto no_memory;
    for (;;) {
        if (used == room && grow(&data, &room, max) < 0)
            goto no_memory;
        ssize_t n = read_some(fd, data + used, room - used);
        if (n < 0) {
            code = fail_errno(err, path);
            goto out;
        }
        if (n == 0)
            break;
        used += (size_t)n;
        if (used > max) {
            code =
                ce_fail(err, CE_EFORMAT, "%s: too large: more than %zu bytes", path, max);
            goto out;
        }
    }
    data[used] = '\0';
    *out = data;
    *size = used;
    data = NULL;
    goto out;
no_memory:
    code = ce_fail(err, CE_ENOMEM, "%s: no memory for its %ju bytes", path,
                   (uintmax_t)st.st_size);
out:
    free(data);
    close(fd);
    return code;
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

int ce_sha256_file(char out[65], const char *path, ce_error *err) {
    int fd;
    struct stat st;
    int code = open_regular(&fd, &st, path, err);
    if (code < 0)
        return code;
    uint8_t *buffer = malloc(STREAM_BUFFER);
    if (!buffer) {
        code = ce_fail(err, CE_ENOMEM, "%s: no memory to hash it", path);
        goto out;
    }
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    ssize_t n;
    while ((n = read_some(fd, buffer, STREAM_BUFFER)) > 0)
        sha256_update(&ctx, (size_t)n, buffer);
    if (n < 0)
        code = fail_errno(err, path);
    else
        hex_digest(out, &ctx);
out:
    free(buffer);
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

/* `path` without the slashes at its end; NULL where memory is short. */
static char *without_slashes(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    return strndup(path, n);
}

/* malloc'd name of the directory that holds `path`, which has no slash at its end. */
static char *parent_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Said at the start, so that a long run does not learn it at its end. rename(2) would
 * refuse a symbolic link, even one to an empty directory. */
static int check_vacant(const char *path, ce_error *err) {
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    if (!*base || is_dot(base))
        return ce_fail(err, CE_EINVAL, "'%s': not a name for a new directory", path);
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? CE_OK : fail_errno(err, path);
    if (!S_ISDIR(st.st_mode))
        return ce_fail(err, CE_EIO, "%s: already exists and is not a directory", path);
    ce_listing l;
    int code = ce_list_directory(&l, path, err);
    if (code == CE_OK && l.count > 0)
        code = ce_fail(err, CE_EIO, "%s: already exists and is not empty", path);
    ce_listing_free(&l);
    return code;
}

/* mkdir with a name of our own, where mkdtemp would make the mode 0700 rather than what
 * the umask says. */
static int make_temporary(char *name, char *suffix) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345"; /* 32: unbiased */
    for (int attempt = 0; attempt < TEMPORARY_ATTEMPTS; attempt++) {
        unsigned char random[6];
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
            return -1;
        for (size_t i = 0; i < sizeof random; i++)
            suffix[i] = letters[random[i] % 32];
        if (mkdir(name, 0777) == 0)
            return 0;
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

int ce_directory_begin(char **temporary, const char *path, ce_error *err) {
    static const char tail[] = ".tmp-XXXXXX";
    char *name = NULL, *target = without_slashes(path), *parent = NULL;
    int code = CE_OK;
    *temporary = NULL;
    if (!target || !(parent = parent_of(target)) ||
        !(name = malloc(strlen(target) + sizeof tail))) {
        code = ce_fail(err, CE_ENOMEM, "%s: no memory for its name", path);
        goto out;
    }
    if ((code = check_vacant(target, err)) < 0 ||
        (code = ce_make_directories(parent, err)) < 0)
        goto out;
    size_t n = strlen(target);
    memcpy(name, target, n);
    memcpy(name + n, tail, sizeof tail);
    if (make_temporary(name, name + n + sizeof tail - 7) < 0) {
        code = fail_errno(err, name);
        goto out;
    }
    *temporary = name;
    name = NULL;
out:
    free(name);
    free(parent);
    free(target);
    return code;
}

/* ---- trees: always through descriptors, never through a link ---- */

typedef int visitor(int at, const char *name, bool is_dir);

/* Calls `visit` on each entry of the directory `fd`, which it closes. Returns 0, or -1
 * with errno where reading or a visit failed. */
static int walk(int fd, visitor *visit) {
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -1;
    }
    const struct dirent *d;
    int failed = 0;
    while (!failed && (errno = 0, d = readdir(dir))) {
        struct stat st;
        if (is_dot(d->d_name))
            continue;
        if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            visit(dirfd(dir), d->d_name, S_ISDIR(st.st_mode)) < 0)
            failed = errno ? errno : EIO;
    }
    if (!failed)
        failed = errno;
    closedir(dir);
    errno = failed;
    return failed ? -1 : 0;
}

/* Some file systems cannot fsync a directory and say EINVAL: then there is nothing to do.
 * What is neither file nor directory (a link, a FIFO) holds no data to be lost. */
static visitor sync_entry;
static int sync_entry(int at, const char *name, bool is_dir) {
    int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ELOOP || errno == ENXIO ? 0 : -1;
    if (fsync(fd) < 0 && errno != EINVAL) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return is_dir ? walk(fd, sync_entry) : close(fd);
}

/* Goes on after a failure: as much is removed as can be. */
static visitor remove_entry;
static int remove_entry(int at, const char *name, bool is_dir) {
    if (is_dir) {
        int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0)
            walk(fd, remove_entry);
    }
    unlinkat(at, name, is_dir ? AT_REMOVEDIR : 0);
    return 0;
}

/* The rename is durable only once the directory that holds the name is. */
static int rename_durably(const char *temporary, const char *target, const char *parent) {
    if (rename(temporary, target) < 0)
        return -1;
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* its failure takes nothing back: the directory is in place */
        close(fd);
    }
    return 0;
}

int ce_directory_commit(char *temporary, const char *path, ce_error *err) {
    char *target = without_slashes(path), *parent = target ? parent_of(target) : NULL;
    int code = CE_OK;
    if (!parent) {
        code = ce_fail(err, CE_ENOMEM, "%s: no memory for its name", path);
    } else if (sync_entry(AT_FDCWD, temporary, true) < 0) {
        code = fail_errno(err, target);
        remove_entry(AT_FDCWD, temporary, true);
    } else if (rename_durably(temporary, target, parent) < 0) {
        bool occupied = errno == EEXIST || errno == ENOTEMPTY;
        code = ce_fail(err, CE_EIO, "%s: %s; all was written to %s", target,
                       occupied ? "already exists and is not empty" : strerror(errno),
                       temporary);
    }
    free(parent);
    free(target);
    free(temporary);
    return code;
}

void ce_directory_abort(char *temporary) {
    if (!temporary)
        return;
    remove_entry(AT_FDCWD, temporary, true);
    free(temporary);
}

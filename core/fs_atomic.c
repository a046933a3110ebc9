/* The directory that appears all at once; see fs.h. */
#include "fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEMPORARY_ATTEMPTS = 100 };

static int fail_errno(ce_error *err, const char *path) {
    return ce_fail(err, CE_EIO, "%s: %s", path, strerror(errno));
}

static bool is_dot(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
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

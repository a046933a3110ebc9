#include "tensor_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors is little-endian");

typedef struct span {
    size_t start, end; /* in the file */
} span;

struct ce_tensor_file {
    int fd;
    char *path, *temporary; /* temporary NULL: committed, or not made */
    size_t count;
    span *spans; /* [count] */
};

static const char *const TYPE_NAMES[] = {"F32", "I64"};
static const size_t TYPE_SIZES[] = {4, 8};

static int fail_errno(const ce_tensor_file *file, ce_error *err) {
    return ce_fail(err, CE_EIO, "%s: %s", file->path, strerror(errno));
}

static int tensor_bytes(size_t *out, const ce_tensor_spec *spec, ce_error *err) {
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789_.-";
    size_t bytes = TYPE_SIZES[spec->type];
    if (spec->rank < 1 || spec->rank > CE_TENSOR_RANK ||
        spec->name[strspn(spec->name, safe)] != '\0')
        return ce_fail(err, CE_EINVAL, "tensor '%s': bad name or rank", spec->name);
    for (int i = 0; i < spec->rank; i++)
        if (__builtin_mul_overflow(bytes, spec->shape[i], &bytes) || bytes > INT64_MAX / 4)
            return ce_fail(err, CE_EINVAL, "tensor '%s' is too large", spec->name);
    *out = bytes;
    return CE_OK;
}

/* int64 before float32, so that all numbers are aligned whatever the shapes (as the Rust
 * reference writes them). Spans are relative to the first byte behind the header here. */
static int place(ce_tensor_file *file, const ce_tensor_spec *specs, ce_error *err) {
    static const ce_tensor_type order[] = {CE_TENSOR_I64, CE_TENSOR_F32};
    size_t at = 0;
    for (size_t o = 0; o < 2; o++) {
        for (size_t i = 0; i < file->count; i++) {
            size_t bytes = 0;
            int code;
            if (specs[i].type != order[o])
                continue;
            if ((code = tensor_bytes(&bytes, &specs[i], err)) < 0)
                return code;
            file->spans[i].start = at;
            if (__builtin_add_overflow(at, bytes, &at) || at > INT64_MAX / 2)
                return ce_fail(err, CE_EINVAL, "%s: too large", file->path);
            file->spans[i].end = at;
        }
    }
    return CE_OK;
}

static void print_entry(FILE *f, const ce_tensor_spec *spec, const span *s) {
    fprintf(f, "\"%s\":{\"dtype\":\"%s\",\"shape\":[", spec->name, TYPE_NAMES[spec->type]);
    for (int i = 0; i < spec->rank; i++)
        fprintf(f, i ? ",%zu" : "%zu", spec->shape[i]);
    fprintf(f, "],\"data_offsets\":[%zu,%zu]}", s->start, s->end);
}

/* 8 bytes of length, then JSON padded with spaces to a multiple of 8. malloc'd. */
static char *render_header(const ce_tensor_file *file, const ce_tensor_spec *specs,
                           size_t *size) {
    char *text = NULL;
    FILE *f = open_memstream(&text, size);
    if (!f)
        return NULL;
    fwrite("\0\0\0\0\0\0\0", 1, 8, f);
    fputc('{', f);
    bool first = true;
    for (int type = CE_TENSOR_I64; type >= CE_TENSOR_F32; type--) {
        for (size_t i = 0; i < file->count; i++) {
            if ((int)specs[i].type != type)
                continue;
            if (!first)
                fputc(',', f);
            print_entry(f, &specs[i], &file->spans[i]);
            first = false;
        }
    }
    fputc('}', f);
    fflush(f);
    while (*size % 8 != 0) {
        fputc(' ', f);
        fflush(f);
    }
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    uint64_t length = *size - 8;
    memcpy(text, &length, 8);
    return text;
}

static int write_at(ce_tensor_file *file, const char *data, size_t size, size_t at,
                    ce_error *err) {
    while (size > 0) {
        ssize_t n = pwrite(file->fd, data, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_errno(file, err);
        data += n;
        at += (size_t)n;
        size -= (size_t)n;
    }
    return CE_OK;
}

static int begin(ce_tensor_file *file, const ce_tensor_spec *specs, ce_error *err) {
    size_t header_size, total = 0;
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file->fd < 0)
        return fail_errno(file, err);
    char *header = render_header(file, specs, &header_size);
    if (!header)
        return ce_fail(err, CE_ENOMEM, "%s: no memory for its header", file->path);
    for (size_t i = 0; i < file->count; i++) {
        file->spans[i].start += header_size;
        file->spans[i].end += header_size;
        if (file->spans[i].end > total)
            total = file->spans[i].end;
    }
    int code = write_at(file, header, header_size, 0, err);
    free(header);
    if (code < 0 || total <= header_size)
        return code;
    if (fallocate(file->fd, 0, 0, (off_t)total) < 0 &&
        (errno == ENOSPC || ftruncate(file->fd, (off_t)total) < 0))
        return fail_errno(file, err);
    return CE_OK;
}

/* The name that a rename is to replace, malloc'd into file->path: behind symbolic links,
 * and a regular file or nothing. */
static int resolve(ce_tensor_file *file, const char *path, ce_error *err) {
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (exists && !S_ISREG(st.st_mode))
        return ce_fail(err, CE_EIO, "%s: exists and is no regular file", path);
    if (!exists && errno == ENOENT && lstat(path, &st) == 0)
        return ce_fail(err, CE_EIO, "%s: a symbolic link to what does not exist", path);
    file->path = exists ? realpath(path, NULL) : strdup(path);
    if (!file->path)
        return ce_fail(err, errno == ENOMEM ? CE_ENOMEM : CE_EIO, "%s: %s", path,
                       strerror(errno));
    return CE_OK;
}

int ce_tensor_file_create(ce_tensor_file **out, const char *path,
                          const ce_tensor_spec *specs, size_t n, ce_error *err) {
    *out = NULL;
    ce_tensor_file *file = calloc(1, sizeof *file);
    if (!file)
        return ce_fail(err, CE_ENOMEM, "%s: no memory", path);
    file->fd = -1;
    file->count = n;
    file->spans = calloc(n + 1, sizeof *file->spans);
    int code = resolve(file, path, err);
    if (code == CE_OK &&
        asprintf(&file->temporary, "%s.tmp-%ld", file->path, (long)getpid()) < 0)
        file->temporary = NULL;
    if (code == CE_OK && (!file->spans || !file->temporary))
        code = ce_fail(err, CE_ENOMEM, "%s: no memory", path);
    if (code == CE_OK && (code = place(file, specs, err)) == CE_OK &&
        (code = begin(file, specs, err)) == CE_OK) {
        *out = file;
        return CE_OK;
    }
    ce_tensor_file_free(file);
    return code;
}

int ce_tensor_file_write(ce_tensor_file *file, size_t tensor, size_t offset,
                         const void *data, size_t size, ce_error *err) {
    if (tensor >= file->count)
        return ce_fail(err, CE_EINVAL, "%s: no tensor %zu", file->path, tensor);
    const span *s = &file->spans[tensor];
    if (offset > s->end - s->start || size > s->end - s->start - offset)
        return ce_fail(err, CE_EINVAL, "%s: a write beyond tensor %zu", file->path, tensor);
    return write_at(file, data, size, s->start + offset, err);
}

/* So that the rename itself survives a power cut; where a file system cannot, it cannot. */
static void sync_parent(const char *path) {
    char *copy = strdup(path);
    char *slash = copy ? strrchr(copy, '/') : NULL;
    if (slash)
        slash[slash == copy] = '\0';
    int fd = copy ? open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(copy);
}

int ce_tensor_file_commit(ce_tensor_file *file, ce_error *err) {
    if (file->fd < 0)
        return ce_fail(err, CE_EINVAL, "%s: was committed before", file->path);
    if (fsync(file->fd) < 0 && errno != EINVAL)
        return fail_errno(file, err);
    int closed = close(file->fd);
    file->fd = -1;
    if (closed < 0 || rename(file->temporary, file->path) < 0)
        return fail_errno(file, err);
    free(file->temporary);
    file->temporary = NULL;
    sync_parent(file->path);
    return CE_OK;
}

void ce_tensor_file_free(ce_tensor_file *file) {
    if (!file)
        return;
    if (file->fd >= 0)
        close(file->fd);
    if (file->temporary)
        unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    free(file->spans);
    free(file);
}

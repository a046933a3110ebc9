/* Which format a file is: its first bytes say. Common mistakes are named. */
#include "weights_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

typedef enum format { SAFETENSORS, INDEX, TORCH_ZIP, TORCH_PICKLE, UNKNOWN } format;

static int map_file(ce_weights_file *f, ce_error *err) {
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0 || fstat(f->fd, &f->st) < 0)
        return ce_fail(err, CE_EIO, "%s: %s", f->path, strerror(errno));
    if (!S_ISREG(f->st.st_mode))
        return ce_fail(err, CE_EIO, "%s: not a regular file", f->path);
    if (f->st.st_size == 0)
        return ce_fail(err, CE_EFORMAT, "%s: an empty file", f->path);
    f->size = (size_t)f->st.st_size;
    void *map = mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, f->fd, 0);
    if (map == MAP_FAILED)
        return ce_fail(err, CE_EIO, "%s: cannot be mapped: %s", f->path, strerror(errno));
    f->map = map;
    f->guard = ce_guard_new(map, f->size);
    return f->guard ? CE_OK : ce_fail(err, CE_ENOMEM, "%s: out of memory", f->path);
}

static bool begins(const ce_weights_file *f, size_t at, const char *bytes, size_t n) {
    return f->size >= at && f->size - at >= n && memcmp(f->map + at, bytes, n) == 0;
}

/* The first byte that is no white space or byte order mark. */
static size_t text_at(const ce_weights_file *f) {
    size_t at = begins(f, 0, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (at < f->size && at < 4096 && memchr(" \t\r\n", f->map[at], 4))
        at++;
    return at;
}

/* A safetensors file begins with a length whose high bytes are zero, which text, zips and
 * pickles do not with a brace behind it. */
static format tell(const ce_weights_file *f) {
    bool length = f->size >= 8 && begins(f, 4, "\0\0\0\0", 4);
    if (length && begins(f, 8, "{", 1))
        return SAFETENSORS;
    if (begins(f, 0, "PK\3\4", 4) || begins(f, 0, "PK\5\6", 4))
        return TORCH_ZIP;
    if (f->size >= 2 && f->map[0] == 0x80 && f->map[1] >= 2 && f->map[1] <= 5)
        return TORCH_PICKLE;
    if (length)
        return SAFETENSORS;
    return begins(f, text_at(f), "{", 1) ? INDEX : UNKNOWN;
}

static const struct {
    size_t at;
    const char *bytes;
    size_t size;
    const char *what;
} mistakes[] = {
    {0, "version https://git-lfs", 23,
     "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"},
    {0, "\x1f\x8b", 2, "a gzip file: unpack it first"},
    {0, "BZh", 3, "a bzip2 file: unpack it first"},
    {0,
     "\xfd"
     "7zXZ",
     5, "an xz file: unpack it first"},
    {0, "\x28\xb5\x2f\xfd", 4, "a zstd file: unpack it first"},
    {0, "7z\xbc\xaf", 4, "a 7z archive: unpack it first"},
    {0, "\x89HDF", 4, "an HDF5 file (TensorFlow or Keras weights)"},
    {0, "GGUF", 4, "a GGUF file (llama.cpp weights)"},
    {0, "\x93NUMPY", 6, "a NumPy array"},
    {0, "\x89PNG", 4, "a PNG picture"},
    {0, "\xff\xd8\xff", 3, "a JPEG picture"},
    {257, "ustar", 5, "a tar archive"},
};

static bool is_html(const ce_weights_file *f) {
    static const char *const marks[] = {"<!doctype", "<html", "<?xml", "<head"};
    size_t at = text_at(f);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t n = strlen(marks[i]);
        if (f->size - at >= n && strncasecmp((const char *)f->map + at, marks[i], n) == 0)
            return true;
    }
    return false;
}

/* What it is not, and what it looks like. */
static int unknown(const ce_weights_file *f, ce_error *err) {
    static const char none[] = "neither safetensors nor PyTorch";
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++)
        if (begins(f, mistakes[i].at, mistakes[i].bytes, mistakes[i].size))
            return ce_fail(err, CE_EFORMAT, "%s: %s, but %s", f->path, none,
                           mistakes[i].what);
    if (is_html(f))
        return ce_fail(err, CE_EFORMAT, "%s: %s, but a web page (a download that failed?)",
                       f->path, none);
    char text[17] = "", hex[3 * 16 + 1] = "";
    size_t n = f->size < 16 ? f->size : 16;
    for (size_t i = 0; i < n; i++) {
        bool plain = f->map[i] >= 32 && f->map[i] < 127;
        text[i] = plain ? (char)f->map[i] : '.';
        snprintf(hex + 3 * i, 4, " %02x", f->map[i]);
    }
    return ce_fail(err, CE_EFORMAT, "%s: %s: it begins with%s (%s)", f->path, none, hex,
                   text);
}

static int read_file(ce_weights *w, const ce_weights_file *f, format kind, ce_error *err) {
    switch (kind) {
    case SAFETENSORS:
        return ce_weights_read_safetensors(w, f, err);
    case TORCH_ZIP:
        return ce_weights_read_torch_zip(w, f, err);
    case TORCH_PICKLE:
        return ce_weights_read_torch_pickle(w, f, err);
    case INDEX:
        return ce_fail(err, CE_EFORMAT, "%s: a JSON file, where a shard is expected",
                       f->path);
    default:
        return unknown(f, err);
    }
}

int ce_weights_read_shard(ce_weights *w, ce_weights_file *f, ce_error *err) {
    int result = map_file(f, err);
    return result < 0 ? result : read_file(w, f, tell(f), err);
}

int ce_weights_read_all(ce_weights *w, ce_error *err) {
    ce_weights_file *f = &w->files[0];
    int result = map_file(f, err);
    if (result < 0)
        return result;
    format kind = tell(f);
    return kind == INDEX ? ce_weights_read_index(w, err) : read_file(w, f, kind, err);
}

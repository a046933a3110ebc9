#include "idx.h"

#include "fs.h"

#define ZLIB_CONST
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* DEFLATE cannot pack tighter than 1032:1 (https://zlib.net/zlib_tech.html); SLACK is for
 * what inflate has taken in but not yet given out. */
static const uint64_t max_bytes = (uint64_t)4 << 30, max_ratio = 1032;
enum { MAX_RANK = 4, UNSIGNED_BYTE = 0x08, PIECE = 1 << 30, SLACK = 1 << 16 };

/* The file's bytes, unpacked on the way where it is compressed. */
typedef struct source {
    const char *path;
    const unsigned char *bytes; /* what is left of the file */
    size_t size;
    bool packed, ended; /* ended: no further gzip member follows */
    z_stream z;
} source;

static int open_source(source *s, const char *path, const char *file, size_t size,
                       ce_error *err) {
    *s = (source){.path = path, .bytes = (const unsigned char *)file, .size = size};
    s->packed = size >= 2 && s->bytes[0] == 0x1f && s->bytes[1] == 0x8b;
    if (s->packed && inflateInit2(&s->z, 15 + 16) != Z_OK) {
        s->packed = false;
        return ce_fail(err, CE_ENOMEM, "%s: no memory to unpack it", path);
    }
    return CE_OK;
}

/* One member has ended; a gzip file may hold several (RFC 1952, 2.2). */
static int next_member(source *s, ce_error *err) {
    if (s->size == 0) {
        s->ended = true;
        return CE_OK;
    }
    if (s->size < 2 || s->bytes[0] != 0x1f || s->bytes[1] != 0x8b)
        return ce_fail(err, CE_EFORMAT, "%s: %zu bytes follow the compressed data", s->path,
                       s->size);
    inflateReset(&s->z);
    return CE_OK;
}

static int read_packed(source *s, unsigned char *out, size_t size, size_t *got,
                       ce_error *err) {
    z_stream *z = &s->z;
    *got = 0;
    while (*got < size && !s->ended) {
        uInt in = s->size < PIECE ? (uInt)s->size : PIECE;
        uInt room = size - *got < PIECE ? (uInt)(size - *got) : PIECE;
        z->next_in = s->bytes;
        z->avail_in = in;
        z->next_out = out + *got;
        z->avail_out = room;
        int status = inflate(z, Z_NO_FLUSH);
        s->bytes += in - z->avail_in;
        s->size -= in - z->avail_in;
        *got += room - z->avail_out;
        if (status == Z_BUF_ERROR || (status == Z_OK && *got < size && s->size == 0))
            return ce_fail(err, CE_EFORMAT, "%s: the compressed data is truncated",
                           s->path);
        if (status == Z_MEM_ERROR)
            return ce_fail(err, CE_ENOMEM, "%s: no memory to unpack it", s->path);
        if (status != Z_OK && status != Z_STREAM_END)
            return ce_fail(err, CE_EFORMAT, "%s: the compressed data is broken (%s)",
                           s->path, z->msg ? z->msg : zError(status));
        if (status == Z_STREAM_END) {
            int code = next_member(s, err);
            if (code < 0)
                return code;
        }
    }
    return CE_OK;
}

/* Up to `size` bytes; fewer only at the end. */
static int read_source(source *s, unsigned char *out, size_t size, size_t *got,
                       ce_error *err) {
    if (s->packed)
        return read_packed(s, out, size, got, err);
    *got = size < s->size ? size : s->size;
    if (*got)
        memcpy(out, s->bytes, *got);
    s->bytes += *got;
    s->size -= *got;
    return CE_OK;
}

static const char *type_name(unsigned char type) {
    switch (type) {
    case 0x09:
        return "signed bytes";
    case 0x0b:
        return "16-bit integers";
    case 0x0c:
        return "32-bit integers";
    case 0x0d:
        return "32-bit floats";
    case 0x0e:
        return "64-bit floats";
    default:
        return NULL;
    }
}

/* Two zeros, the element's type, the rank; then a big-endian u32 for each dimension. */
static int read_header(ce_idx *idx, source *s, uint64_t *count, ce_error *err) {
    unsigned char head[4] = {0}, sizes[4 * MAX_RANK];
    size_t got;
    int code = read_source(s, head, 4, &got, err);
    if (code < 0)
        return code;
    if (got < 4 || head[0] || head[1] || (head[2] != UNSIGNED_BYTE && !type_name(head[2])))
        return ce_fail(err, CE_EFORMAT, "%s: not an IDX file", s->path);
    if (head[2] != UNSIGNED_BYTE)
        return ce_fail(err, CE_EFORMAT,
                       "%s: holds %s (type 0x%02x); only unsigned bytes (0x08) are read",
                       s->path, type_name(head[2]), head[2]);
    if (head[3] < 1 || head[3] > MAX_RANK)
        return ce_fail(err, CE_EFORMAT, "%s: has %d dimensions; 1 to %d are read", s->path,
                       head[3], MAX_RANK);
    idx->rank = head[3];
    if ((code = read_source(s, sizes, 4 * (size_t)idx->rank, &got, err)) < 0)
        return code;
    if (got < 4 * (size_t)idx->rank)
        return ce_fail(err, CE_EFORMAT, "%s: truncated in its header", s->path);
    uint64_t bound = *count = 1;
    for (int i = 0; i < MAX_RANK; i++) {
        const unsigned char *p = sizes + 4 * i;
        uint32_t n = 1;
        if (i < idx->rank)
            n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        if (n && bound > max_bytes / n)
            return ce_fail(err, CE_EFORMAT, "%s: too large: more than 4 GiB", s->path);
        idx->shape[i] = n;
        bound *= n ? n : 1; /* a zero does not excuse the other sizes */
        *count *= n;
    }
    return CE_OK;
}

static int fail_truncated(const source *s, uint64_t count, ce_error *err) {
    return ce_fail(err, CE_EFORMAT, "%s: truncated: its header promises %ju bytes of data",
                   s->path, (uintmax_t)count);
}

/* What cannot lie in the file is refused before memory is taken for it. */
static int read_body(ce_idx *idx, source *s, uint64_t count, ce_error *err) {
    uint64_t most = s->packed ? (uint64_t)s->size * max_ratio + SLACK : s->size;
    unsigned char extra;
    size_t got;
    if (count > most || count > SIZE_MAX - 1)
        return fail_truncated(s, count, err);
    idx->bytes = malloc((size_t)count + 1);
    if (!idx->bytes)
        return ce_fail(err, CE_ENOMEM, "%s: no memory for %ju bytes", s->path,
                       (uintmax_t)count);
    int code = read_source(s, idx->bytes, (size_t)count, &got, err);
    if (code < 0)
        return code;
    if (got < count)
        return fail_truncated(s, count, err);
    if ((code = read_source(s, &extra, 1, &got, err)) < 0)
        return code;
    return got ? ce_fail(err, CE_EFORMAT, "%s: longer than the %ju bytes of its header",
                         s->path, (uintmax_t)count)
               : CE_OK;
}

int ce_idx_read(ce_idx *out, const char *path, ce_error *err) {
    *out = (ce_idx){0};
    char *file;
    size_t size;
    uint64_t count = 0;
    int code = ce_file_read(&file, &size, path, (size_t)max_bytes + (1 << 20), err);
    if (code < 0)
        return code;
    source s;
    code = open_source(&s, path, file, size, err);
    if (code == CE_OK && (code = read_header(out, &s, &count, err)) == CE_OK)
        code = read_body(out, &s, count, err);
    if (s.packed)
        inflateEnd(&s.z);
    free(file);
    if (code < 0)
        ce_idx_free(out);
    return code;
}

void ce_idx_free(ce_idx *idx) {
    if (!idx)
        return;
    free(idx->bytes);
    *idx = (ce_idx){0};
}

#include "zip.h"

#include "unicode.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* APPNOTE 6.3, sections 4.3.7 (local header), 4.3.12 (central), 4.3.14 to 4.3.16 (end). */
enum {
    LOCAL_SIZE = 30,
    CENTRAL_SIZE = 46,
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR64_SIZE = 20,
    MAX_COMMENT = 65535,
    FLAG_ENCRYPTED = 1,
    FLAG_SIZES_FOLLOW = 8, /* in a descriptor behind the data */
    EXTRA_ZIP64 = 1
};

struct ce_zip {
    const unsigned char *bytes;
    size_t size;
    const char *path;  /* while opening */
    ce_error *err;     /* while opening */
    size_t central_at; /* the directory; every member lies before it */
    size_t central_size;
    size_t count;
    ce_zip_member *members;
};

/* A member as one of its two headers tells of it. */
typedef struct account {
    unsigned flags, method;
    uint64_t packed, unpacked, header_at;
    size_t name_size, extra_size;
} account;

static uint64_t number(const unsigned char *p, int width) {
    uint64_t n = 0;
    while (width--)
        n = n << 8 | p[width];
    return n;
}

static int broken(const ce_zip *z, const char *what) {
    return ce_fail(z->err, CE_EFORMAT, "%s: broken zip archive: %s", z->path, what);
}

static int lies(const ce_zip *z, const ce_zip_member *m, const char *what) {
    int size = (int)ce_utf8_prefix(m->name, m->name_size < 200 ? m->name_size : 200);
    return ce_fail(z->err, CE_EFORMAT, "%s: broken zip archive: member %.*s: %s", z->path,
                   size, m->name, what);
}

/* What of `a` stands as all ones is in the ZIP64 extra field, in this order. */
static bool read_extra(account *a, const unsigned char *extra, bool central) {
    const unsigned char *end = extra + a->extra_size;
    while (end - extra >= 4) {
        unsigned id = (unsigned)number(extra, 2);
        size_t size = (size_t)number(extra + 2, 2);
        extra += 4;
        if (size > (size_t)(end - extra))
            return false;
        if (id == EXTRA_ZIP64) {
            uint64_t *fields[] = {&a->unpacked, &a->packed, &a->header_at};
            for (int i = 0; i < (central ? 3 : 2); i++)
                if (*fields[i] == UINT32_MAX) {
                    if (size < 8)
                        return false;
                    *fields[i] = number(extra, 8);
                    extra += 8;
                    size -= 8;
                }
        }
        extra += size;
    }
    return true;
}

/* Checks that the local header of `m` says what the central one, `c`, does, and sets where
 * its data lies. */
static int read_local(const ce_zip *z, ce_zip_member *m, const account *c) {
    if (c->header_at > z->central_at || z->central_at - c->header_at < LOCAL_SIZE)
        return lies(z, m, "it begins outside the archive");
    m->header_at = (size_t)c->header_at;
    const unsigned char *p = z->bytes + m->header_at;
    size_t room = z->central_at - m->header_at - LOCAL_SIZE;
    if (number(p, 4) != 0x04034b50)
        return lies(z, m, "no header where the directory says");
    account l = {(unsigned)number(p + 6, 2),
                 (unsigned)number(p + 8, 2),
                 number(p + 18, 4),
                 number(p + 22, 4),
                 c->header_at,
                 (size_t)number(p + 26, 2),
                 (size_t)number(p + 28, 2)};
    if (l.name_size + l.extra_size > room)
        return lies(z, m, "its header is cut short");
    if (l.name_size != m->name_size || memcmp(p + LOCAL_SIZE, m->name, l.name_size) != 0)
        return lies(z, m, "its own header bears another name");
    if (!read_extra(&l, p + LOCAL_SIZE + l.name_size, false))
        return lies(z, m, "its extra field is broken");
    bool follow = (l.flags & FLAG_SIZES_FOLLOW) && l.packed == 0 && l.unpacked == 0;
    if (l.method != c->method || ((l.flags ^ c->flags) & FLAG_ENCRYPTED) ||
        (!follow && (l.packed != c->packed || l.unpacked != c->unpacked)))
        return lies(z, m, "its own header and the directory disagree");
    room -= l.name_size + l.extra_size;
    if (c->packed > room)
        return lies(z, m, "its data lies outside the archive");
    m->data = p + LOCAL_SIZE + l.name_size + l.extra_size;
    m->size = (size_t)c->packed;
    m->stored = c->method == 0 && !(c->flags & FLAG_ENCRYPTED);
    return m->stored && c->packed != c->unpacked ? lies(z, m, "stored, but of two sizes")
                                                 : CE_OK;
}

/* One entry of the directory; `*at` moves behind it. */
static int read_central(ce_zip *z, size_t *at) {
    size_t room = z->central_at + z->central_size - *at;
    const unsigned char *p = z->bytes + *at;
    if (room < CENTRAL_SIZE || number(p, 4) != 0x02014b50)
        return broken(z, "its directory holds fewer members than it says");
    account c = {(unsigned)number(p + 8, 2), (unsigned)number(p + 10, 2),
                 number(p + 20, 4),          number(p + 24, 4),
                 number(p + 42, 4),          (size_t)number(p + 28, 2),
                 (size_t)number(p + 30, 2)};
    size_t whole = CENTRAL_SIZE + c.name_size + c.extra_size + (size_t)number(p + 32, 2);
    if (whole > room)
        return broken(z, "its directory is cut short");
    ce_zip_member *m = &z->members[z->count++];
    m->name = (const char *)p + CENTRAL_SIZE;
    m->name_size = c.name_size;
    if (!read_extra(&c, p + CENTRAL_SIZE + c.name_size, true))
        return lies(z, m, "its extra field is broken");
    *at += whole;
    return read_local(z, m, &c);
}

/* The end record: the last one whose comment reaches to the end of the file. */
static const unsigned char *find_end(const ce_zip *z) {
    for (size_t back = END_SIZE; back <= z->size && back <= END_SIZE + MAX_COMMENT;
         back++) {
        const unsigned char *p = z->bytes + z->size - back;
        if (number(p, 4) == 0x06054b50 && number(p + 20, 2) == back - END_SIZE)
            return p;
    }
    return NULL;
}

/* Where the directory lies, and how many members it says it has. */
static int read_end(ce_zip *z, uint64_t *count) {
    const unsigned char *end = find_end(z);
    if (!end)
        return broken(z, "it has no end (truncated, or a download that stopped?)");
    uint64_t disk = number(end + 4, 2), here = number(end + 8, 2);
    uint64_t size = number(end + 12, 4), at = number(end + 16, 4);
    size_t end_at = (size_t)(end - z->bytes);
    *count = number(end + 10, 2);
    if (end_at >= LOCATOR64_SIZE + END64_SIZE &&
        number(end - LOCATOR64_SIZE, 4) == 0x07064b50) {
        uint64_t at64 = number(end - LOCATOR64_SIZE + 8, 8);
        if (at64 > end_at - LOCATOR64_SIZE - END64_SIZE ||
            number(z->bytes + at64, 4) != 0x06064b50)
            return broken(z, "its ZIP64 end is not where it says");
        const unsigned char *e = z->bytes + at64;
        end_at = (size_t)at64;
        disk = number(e + 16, 4);
        here = number(e + 24, 8);
        *count = number(e + 32, 8);
        size = number(e + 40, 8);
        at = number(e + 48, 8);
    }
    if (disk != 0 || here != *count)
        return broken(z, "one of several parts");
    if (at > end_at || size != end_at - at)
        return broken(z, "its directory is not where it says");
    z->central_at = (size_t)at;
    z->central_size = (size_t)size;
    return CE_OK;
}

static int by_place(const void *a, const void *b) {
    const ce_zip_member *x = a, *y = b;
    return (x->header_at > y->header_at) - (x->header_at < y->header_at);
}

static int by_name(const void *a, const void *b) {
    const ce_zip_member *x = a, *y = b;
    size_t shorter = x->name_size < y->name_size ? x->name_size : y->name_size;
    int order = memcmp(x->name, y->name, shorter);
    return order ? order : (x->name_size > y->name_size) - (x->name_size < y->name_size);
}

/* Two members that share bytes, or a name, are two readings of one file. */
static int check_apart(ce_zip *z) {
    qsort(z->members, z->count, sizeof *z->members, by_place);
    for (size_t i = 1; i < z->count; i++) {
        const ce_zip_member *m = &z->members[i - 1];
        if (m->data + m->size > z->bytes + z->members[i].header_at)
            return lies(z, m, "its bytes overlap another member's");
    }
    qsort(z->members, z->count, sizeof *z->members, by_name);
    for (size_t i = 1; i < z->count; i++)
        if (by_name(&z->members[i - 1], &z->members[i]) == 0)
            return lies(z, &z->members[i], "there are two of this name");
    return CE_OK;
}

static int read_directory(ce_zip *z) {
    uint64_t count = 0;
    int result = read_end(z, &count);
    if (result < 0)
        return result;
    if (count > z->central_size / CENTRAL_SIZE)
        return broken(z, "its directory holds fewer members than it says");
    z->members = calloc((size_t)count + 1, sizeof *z->members);
    if (!z->members)
        return ce_fail(z->err, CE_ENOMEM, "%s: out of memory", z->path);
    size_t at = z->central_at;
    while (z->count < count && result == CE_OK)
        result = read_central(z, &at);
    if (result == CE_OK && at != z->central_at + z->central_size)
        return broken(z, "its directory holds more members than it says");
    return result < 0 ? result : check_apart(z);
}

int ce_zip_open(ce_zip **out, const unsigned char *bytes, size_t size, const char *path,
                ce_error *err) {
    *out = NULL;
    ce_zip *z = calloc(1, sizeof *z);
    if (!z)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", path);
    *z = (ce_zip){.bytes = bytes, .size = size, .path = path, .err = err};
    int result = read_directory(z);
    z->path = NULL;
    z->err = NULL;
    if (result < 0)
        ce_zip_free(z);
    else
        *out = z;
    return result;
}

void ce_zip_free(ce_zip *z) {
    if (!z)
        return;
    free(z->members);
    free(z);
}

size_t ce_zip_count(const ce_zip *z) {
    return z->count;
}

const ce_zip_member *ce_zip_at(const ce_zip *z, size_t i) {
    return &z->members[i];
}

const ce_zip_member *ce_zip_find(const ce_zip *z, const char *name, size_t size) {
    ce_zip_member key = {.name = name, .name_size = size};
    return z->count ? bsearch(&key, z->members, z->count, sizeof key, by_name) : NULL;
}

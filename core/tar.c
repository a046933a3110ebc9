#include "tar.h"

#include "arena.h"
#include "fs.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BLOCK = 512,
    MAX_EXTENDED = 1 << 20, /* bytes of a pax header or a long name */
    MAX_NAME = 4096,     /* a global header may give a long one to any number of members */
    BEHIND_END = 1 << 20 /* how far behind the end another archive is looked for */
};

/* Fields of a header block: offset and size. */
enum {
    NAME = 0,
    NAME_SIZE = 100,
    SIZE = 124,
    SIZE_SIZE = 12,
    SUM = 148,
    SUM_SIZE = 8,
    TYPE = 156,
    MAGIC = 257,
    PREFIX = 345,
    PREFIX_SIZE = 155
};

struct ce_tar {
    ce_tar_member *members;
    size_t count, room;
    ce_arena names;
};

/* What extended headers say of the members that follow. */
typedef struct extension {
    char *path; /* NULL: as the member's own header has it; malloc'd */
    bool has_size, is_sparse;
    uint64_t size;
} extension;

typedef struct reader {
    ce_tar *tar;
    const char *path;
    int fd;
    uint64_t at, end; /* the next header; the file's size */
    extension all;    /* of every member to come (pax type 'g') */
    extension next;   /* of the next one */
    bool has_next;    /* an extended header waits for its member */
    unsigned char header[BLOCK];
} reader;

static void clear(extension *e) {
    free(e->path);
    *e = (extension){0};
}

static bool is_zero(const unsigned char *block) {
    return block[0] == 0 && memcmp(block, block + 1, BLOCK - 1) == 0;
}

static int read_at(reader *r, void *out, size_t size, uint64_t at, ce_error *err) {
    return ce_file_read_at(out, size, r->fd, at, r->path, err);
}

/* ---- numbers ---- */

/* Octal digits, with blanks before and a blank or NUL behind; nothing at all is 0. */
static bool parse_octal(uint64_t *out, const unsigned char *p, size_t size) {
    size_t i = 0;
    *out = 0;
    while (i < size && p[i] == ' ')
        i++;
    for (; i < size && p[i] >= '0' && p[i] <= '7'; i++)
        *out = *out << 3 | (uint64_t)(p[i] - '0'); /* 12 digits: 36 bits */
    while (i < size && (p[i] == ' ' || p[i] == '\0'))
        i++;
    return i == size;
}

/* A size: octal, or, where the first bit is set, big-endian in base 256 (GNU). A negative
 * one and one of more than 63 bits have no place here. */
static bool parse_size(uint64_t *out, const unsigned char *p) {
    if (!(p[0] & 0x80))
        return parse_octal(out, p, SIZE_SIZE);
    if (p[0] != 0x80)
        return false;
    *out = 0;
    for (int i = 1; i < SIZE_SIZE; i++) {
        if (*out >> 55)
            return false;
        *out = *out << 8 | p[i];
    }
    return true;
}

static bool parse_decimal(uint64_t *out, const char *p, size_t size) {
    *out = 0;
    for (size_t i = 0; i < size; i++) {
        if (p[i] < '0' || p[i] > '9' || *out > (INT64_MAX - 9) / 10)
            return false;
        *out = *out * 10 + (uint64_t)(p[i] - '0');
    }
    return size > 0;
}

/* The sum of all bytes, its own field taken as blanks. Some old tars added signed ones. */
static bool has_good_sum(const unsigned char *header) {
    uint64_t stored;
    int64_t sum = 0, signed_sum = 0;
    for (int i = 0; i < BLOCK; i++) {
        int byte = i >= SUM && i < SUM + SUM_SIZE ? ' ' : header[i];
        sum += byte;
        signed_sum += byte < 128 ? byte : byte - 256;
    }
    return parse_octal(&stored, header + SUM, SUM_SIZE) &&
           ((int64_t)stored == sum || (int64_t)stored == signed_sum);
}

/* ---- names ---- */

static size_t field_length(const unsigned char *field, size_t size) {
    const unsigned char *end = memchr(field, '\0', size);
    return end ? (size_t)(end - field) : size;
}

/* The name in the header block, into `out`. Only ustar has a prefix: GNU tar keeps other
 * things in its place. */
static void header_name(char out[PREFIX_SIZE + NAME_SIZE + 2],
                        const unsigned char *header) {
    size_t prefix = memcmp(header + MAGIC, "ustar\0", 6) == 0
                        ? field_length(header + PREFIX, PREFIX_SIZE)
                        : 0;
    size_t size = field_length(header + NAME, NAME_SIZE);
    memcpy(out, header + PREFIX, prefix);
    if (prefix > 0)
        out[prefix++] = '/';
    memcpy(out + prefix, header + NAME, size);
    out[prefix + size] = '\0';
}

/* Without "./" in front. */
static const char *plain_name(const char *name) {
    while (name[0] == '.' && name[1] == '/')
        for (name += 2; *name == '/';)
            name++;
    return name;
}

static bool leads_up(const char *name) {
    for (const char *p = name; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0'))
            return true;
    }
    return false;
}

/* Nothing is unpacked, so that such a name could do no harm: but an archive that has one
 * was not made to be read here. */
static int check_name(const reader *r, const char *name, ce_error *err) {
    if (*plain_name(name) == '\0')
        return ce_fail(err, CE_EFORMAT, "%s: the member at byte %ju has no name", r->path,
                       (uintmax_t)r->at);
    if (strlen(name) > MAX_NAME)
        return ce_fail(err, CE_EFORMAT, "%s: member '%s': a name of %zu bytes", r->path,
                       name, strlen(name));
    if (name[0] == '/')
        return ce_fail(err, CE_EFORMAT, "%s: member '%s': an absolute name", r->path, name);
    if (leads_up(name))
        return ce_fail(err, CE_EFORMAT, "%s: member '%s': a name with '..'", r->path, name);
    return CE_OK;
}

/* ---- extended headers ---- */

static int fail_record(const reader *r, ce_error *err) {
    return ce_fail(err, CE_EFORMAT, "%s: the pax header at byte %ju is broken", r->path,
                   (uintmax_t)r->at);
}

static bool is_key(const char *key, size_t size, const char *wanted) {
    return size == strlen(wanted) && memcmp(key, wanted, size) == 0;
}

static int set_path(const reader *r, extension *e, const char *name, size_t size,
                    ce_error *err) {
    if (memchr(name, '\0', size))
        return ce_fail(err, CE_EFORMAT, "%s: the name at byte %ju holds a NUL byte",
                       r->path, (uintmax_t)r->at);
    free(e->path);
    e->path = size ? strndup(name, size) : NULL;
    return size && !e->path ? ce_fail(err, CE_ENOMEM, "%s: no memory for a name", r->path)
                            : CE_OK;
}

/* A record's key and value. An empty value takes back what was said before. */
static int take_record(const reader *r, extension *e, const char *key, size_t key_size,
                       const char *value, size_t size, ce_error *err) {
    static const char sparse[] = "GNU.sparse.";
    if (key_size >= sizeof sparse - 1 && memcmp(key, sparse, sizeof sparse - 1) == 0)
        e->is_sparse = true;
    if (is_key(key, key_size, "path") || is_key(key, key_size, "GNU.sparse.name"))
        return set_path(r, e, value, size, err);
    if (is_key(key, key_size, "size")) {
        e->has_size = size > 0;
        if (size > 0 && !parse_decimal(&e->size, value, size))
            return fail_record(r, err);
    }
    return CE_OK;
}

/* Records "LENGTH KEY=VALUE\n", where LENGTH counts the whole record. */
static int read_records(const reader *r, extension *e, const char *p, size_t left,
                        ce_error *err) {
    while (left > 0) {
        uint64_t length;
        const char *blank = memchr(p, ' ', left);
        if (!blank || !parse_decimal(&length, p, (size_t)(blank - p)) || length == 0 ||
            length > left)
            return fail_record(r, err);
        const char *last = p + length - 1, *key = blank + 1;
        const char *equals = key < last ? memchr(key, '=', (size_t)(last - key)) : NULL;
        if (!equals || equals == key || *last != '\n')
            return fail_record(r, err);
        int code = take_record(r, e, key, (size_t)(equals - key), equals + 1,
                               (size_t)(last - equals - 1), err);
        if (code < 0)
            return code;
        p += length;
        left -= (size_t)length;
    }
    return CE_OK;
}

/* The content of an extended header, malloc'd. */
static int read_extended(reader *r, char **out, size_t size, ce_error *err) {
    *out = malloc(size + 1);
    if (!*out)
        return ce_fail(err, CE_ENOMEM, "%s: no memory for a header", r->path);
    (*out)[size] = '\0';
    return read_at(r, *out, size, r->at + BLOCK, err);
}

static int take_extended(reader *r, char type, uint64_t size, ce_error *err) {
    char *text = NULL;
    if (size > MAX_EXTENDED)
        return ce_fail(err, CE_EFORMAT,
                       "%s: an extended header of %ju bytes at byte %ju (the limit is %d)",
                       r->path, (uintmax_t)size, (uintmax_t)r->at, MAX_EXTENDED);
    int code = read_extended(r, &text, (size_t)size, err);
    if (code == CE_OK && type == 'L')
        code = set_path(r, &r->next, text, strlen(text), err); /* a NUL ends it */
    else if (code == CE_OK && type != 'K') /* where a link leads: nowhere, here */
        code = read_records(r, type == 'g' ? &r->all : &r->next, text, (size_t)size, err);
    free(text);
    r->has_next = r->has_next || type != 'g';
    return code;
}

/* ---- members ---- */

static int add_member(reader *r, const char *name, uint64_t size, ce_error *err) {
    ce_tar *tar = r->tar;
    if (tar->count == tar->room) {
        size_t room = tar->room ? 2 * tar->room : 64;
        ce_tar_member *larger = reallocarray(tar->members, room, sizeof *larger);
        if (!larger)
            return ce_fail(err, CE_ENOMEM, "%s: no memory for its members", r->path);
        tar->members = larger;
        tar->room = room;
    }
    name = plain_name(name);
    name = ce_arena_text(&tar->names, name, strlen(name));
    if (!name)
        return ce_fail(err, CE_ENOMEM, "%s: no memory for its names", r->path);
    tar->members[tar->count++] = (ce_tar_member){name, r->at + BLOCK, size};
    return CE_OK;
}

/* What a member of this type is called, where it is none that is read. */
static const char *refused_kind(char type) {
    switch (type) {
    case '1':
        return "a hard link (tar --hard-dereference stores the file)";
    case '2':
        return "a symbolic link (tar --dereference stores the file)";
    case '3':
    case '4':
    case '6':
        return "a device or a FIFO";
    case 'S':
        return "a sparse file (tar without --sparse stores it whole)";
    case 'M':
        return "a part of an archive in several volumes";
    default:
        return NULL;
    }
}

static int refuse(const reader *r, char type, const char *name, ce_error *err) {
    const char *kind = refused_kind(type);
    if (kind)
        return ce_fail(err, CE_EUNSUPPORTED, "%s: member '%s' is %s", r->path, name, kind);
    return ce_fail(err, CE_EUNSUPPORTED,
                   "%s: member '%s' is of a type not known here (0x%02x)", r->path, name,
                   (unsigned char)type);
}

/* One that an extended header may rename or resize. `*size` becomes what it takes. */
static int take_member(reader *r, char type, const char *name, uint64_t *size,
                       ce_error *err) {
    size_t length = strlen(name);
    bool is_directory = type == '5' || (type == '\0' && length && name[length - 1] == '/');
    if (r->next.is_sparse || r->all.is_sparse)
        type = 'S';
    if (is_directory || type == 'V') /* a volume's label; GNU tar and Python take no size */
        *size = 0;
    else if (type != '0' && type != '\0' && type != '7') /* 7: "contiguous", a plain file */
        return refuse(r, type, name, err);
    if (type == 'V')
        return CE_OK;
    int code = is_directory && *plain_name(name) == '\0' ? CE_OK : check_name(r, name, err);
    return code < 0 || is_directory ? code : add_member(r, name, *size, err);
}

/* Whether `size` bytes behind the header lie in the file. */
static int check_extent(const reader *r, const char *name, uint64_t size, ce_error *err) {
    if (size <= r->end - r->at - BLOCK)
        return CE_OK;
    return ce_fail(
        err, CE_EFORMAT,
        "%s: truncated: member '%s' has %ju bytes from byte %ju on, where the file "
        "ends at %ju",
        r->path, name, (uintmax_t)size, (uintmax_t)r->at + BLOCK, (uintmax_t)r->end);
}

/* The size that the header in r->header gives, unless extended ones (`all`, `next`) do. */
static int read_size(const reader *r, uint64_t *size, const char *name, bool is_member,
                     ce_error *err) {
    const extension *by = r->next.has_size ? &r->next : &r->all;
    if (!parse_size(size, r->header + SIZE))
        return ce_fail(err, CE_EFORMAT, "%s: member '%s': its size is no number", r->path,
                       name);
    if (is_member && by->has_size)
        *size = by->size;
    return CE_OK;
}

/* To the next header; at the end of the file where the last block is torn. */
static void step_over(reader *r, uint64_t size) {
    uint64_t left = r->end - r->at - BLOCK, blocks = size / BLOCK + (size % BLOCK > 0);
    r->at = blocks > left / BLOCK ? r->end : r->at + BLOCK + blocks * BLOCK;
}

/* The header in r->header, and what follows it. */
static int take_header(reader *r, ce_error *err) {
    char own[PREFIX_SIZE + NAME_SIZE + 2];
    char type = (char)r->header[TYPE];
    bool is_member = !type || !strchr("xXgLK", type);
    const extension *by = r->next.path ? &r->next : &r->all;
    uint64_t size = 0;
    header_name(own, r->header);
    const char *name = by->path && is_member ? by->path : own;
    int code = read_size(r, &size, name, is_member, err);
    if (code == CE_OK && is_member)
        code = take_member(r, type, name, &size, err);
    if (code == CE_OK)
        code = check_extent(r, name, size, err);
    if (code == CE_OK && !is_member)
        code = take_extended(r, type, size, err);
    if (is_member) {
        clear(&r->next);
        r->has_next = false;
    }
    step_over(r, size);
    return code;
}

/* ---- the whole ---- */

static int fail_truncated(const reader *r, ce_error *err) {
    const ce_tar *tar = r->tar;
    return ce_fail(err, CE_EFORMAT,
                   "%s: truncated: no end of the archive (blocks of zeros) behind %s%s%s",
                   r->path, tar->count ? "member '" : "its start",
                   tar->count ? tar->members[tar->count - 1].name : "",
                   tar->count ? "'" : "");
}

static int fail_first(const reader *r, ce_error *err) {
    static const struct {
        const char *bytes, *name;
    } packed[] = {{"\x1f\x8b", "gzip"},
                  {"BZh", "bzip2"},
                  {"\xfd"
                   "7zXZ",
                   "xz"},
                  {"\x28\xb5\x2f\xfd", "zstd"}};
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++)
        if (memcmp(r->header, packed[i].bytes, strlen(packed[i].bytes)) == 0)
            return ce_fail(err, CE_EUNSUPPORTED,
                           "%s: compressed (%s); only plain tar files are read", r->path,
                           packed[i].name);
    return ce_fail(err, CE_EFORMAT, "%s: not a tar file", r->path);
}

/* The first block of zeros is at r->at. A second one ends the archive, and so does the end
 * of the file; whatever else follows would be lost in silence. Archives are padded to
 * records (of 10 KiB); one that was glued behind is noticed by its header. */
static int check_end(reader *r, ce_error *err) {
    uint64_t first = r->at;
    if (r->has_next)
        return ce_fail(err, CE_EFORMAT, "%s: an extended header at the end has no member",
                       r->path);
    for (uint64_t at = first + BLOCK; at <= r->end - BLOCK && at - first < BEHIND_END;
         at += BLOCK) {
        int code = read_at(r, r->header, BLOCK, at, err);
        if (code < 0)
            return code;
        if (is_zero(r->header))
            continue;
        if (at == first + BLOCK)
            return ce_fail(err, CE_EFORMAT,
                           "%s: a block of zeros at byte %ju, amid the archive", r->path,
                           (uintmax_t)first);
        if (has_good_sum(r->header))
            return ce_fail(err, CE_EFORMAT,
                           "%s: another archive follows the end, at byte %ju", r->path,
                           (uintmax_t)at);
    }
    return CE_OK;
}

static int read_members(reader *r, ce_error *err) {
    bool is_first = true;
    while (r->end - r->at >= BLOCK) {
        int code = read_at(r, r->header, BLOCK, r->at, err);
        if (code < 0)
            return code;
        if (is_zero(r->header))
            return check_end(r, err);
        if (!has_good_sum(r->header))
            return is_first
                       ? fail_first(r, err)
                       : ce_fail(err, CE_EFORMAT,
                                 "%s: the header at byte %ju is broken (its sum is wrong)",
                                 r->path, (uintmax_t)r->at);
        if ((code = take_header(r, err)) < 0)
            return code;
        is_first = false;
    }
    if (r->end == 0)
        return ce_fail(err, CE_EFORMAT, "%s: empty file", r->path);
    return is_first ? ce_fail(err, CE_EFORMAT, "%s: not a tar file", r->path)
                    : fail_truncated(r, err);
}

int ce_tar_open(ce_tar **out, const char *path, ce_error *err) {
    reader r = {.path = path};
    *out = NULL;
    int code = ce_file_open(&r.fd, &r.end, path, err);
    if (code < 0)
        return code;
    r.tar = calloc(1, sizeof *r.tar);
    code = r.tar ? read_members(&r, err) : ce_fail(err, CE_ENOMEM, "%s: no memory", path);
    close(r.fd);
    clear(&r.all);
    clear(&r.next);
    if (code < 0)
        ce_tar_free(r.tar);
    else
        *out = r.tar;
    return code;
}

void ce_tar_free(ce_tar *tar) {
    if (!tar)
        return;
    ce_arena_free(&tar->names);
    free(tar->members);
    free(tar);
}

size_t ce_tar_count(const ce_tar *tar) {
    return tar->count;
}

const ce_tar_member *ce_tar_at(const ce_tar *tar, size_t i) {
    return &tar->members[i];
}

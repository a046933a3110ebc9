/* Files made by hand, byte by byte: pickles and zip archives, sound or lying.
 *
 *     blob b = {0};
 *     add(&b, BYTES("\x80\x02"));
 *     add_text(&b, "epoch");
 *     add_int(&b, 3);
 *
 *     blob z = {0};
 *     zip_part parts[] = {{"a/data.pkl", b.data, b.size}};
 *     zip_places at;
 *     zip_make(&z, parts, 1, &at);        // then z.data[at.central[0] + 20] = 7; ...
 */
#ifndef BLOB_H
#define BLOB_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A literal with its size. (A hex escape goes on as long as hex digits follow.) */
#define BYTES(literal) (literal), sizeof(literal) - 1

#define BLOB_ROOM 16384
#define ZIP_PARTS 16

typedef struct blob {
    unsigned char data[BLOB_ROOM];
    size_t size;
} blob;

static inline void add(blob *b, const void *data, size_t size) {
    if (size > BLOB_ROOM - b->size)
        abort();
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

/* `width` bytes, the lowest first. */
static inline void add_number(blob *b, uint64_t n, int width) {
    for (int i = 0; i < width; i++, n >>= 8) {
        unsigned char byte = (unsigned char)n;
        add(b, &byte, 1);
    }
}

/* BINUNICODE. */
static inline void add_text(blob *b, const char *text) {
    add(b, "X", 1);
    add_number(b, strlen(text), 4);
    add(b, text, strlen(text));
}

/* LONG1 of 8 bytes. */
static inline void add_int(blob *b, int64_t n) {
    add(b, BYTES("\x8a\x08"));
    add_number(b, (uint64_t)n, 8);
}

/* GLOBAL. */
static inline void add_global(blob *b, const char *module, const char *name) {
    add(b, "c", 1);
    add(b, module, strlen(module));
    add(b, "\n", 1);
    add(b, name, strlen(name));
    add(b, "\n", 1);
}

/* A tuple of integers. */
static inline void add_ints(blob *b, const int64_t *n, int count) {
    add(b, "(", 1);
    for (int i = 0; i < count; i++)
        add_int(b, n[i]);
    add(b, "t", 1);
}

/* What torch.save writes for a tensor; `view` NULL: a zip's id of five items. */
typedef struct tensor_spec {
    const char *type, *key; /* "FloatStorage" */
    int64_t elements, offset;
    int rank;
    int64_t shape[10], stride[10];
    const char *view; /* the rest of the persistent id: "N" */
    size_t view_size;
} tensor_spec;

static inline void add_tensor(blob *b, const tensor_spec *t) {
    add_global(b, "torch._utils", "_rebuild_tensor_v2");
    add(b, BYTES("(("));
    add_text(b, "storage");
    add_global(b, "torch", t->type);
    add_text(b, t->key);
    add_text(b, "cpu");
    add_int(b, t->elements);
    add(b, t->view, t->view_size);
    add(b, BYTES("tQ"));
    add_int(b, t->offset);
    add_ints(b, t->shape, t->rank);
    add_ints(b, t->stride, t->rank);
    add(b, BYTES("\x89NtR"));
}

typedef struct zip_part {
    const char *name;
    const void *data;
    size_t size;
} zip_part;

typedef struct zip_places {
    size_t local[ZIP_PARTS], central[ZIP_PARTS], end;
} zip_places;

/* A header's fields from the flags to the extra field's size, which the two kinds share. */
static inline void zip_fields(blob *z, const zip_part *p) {
    add_number(z, 0, 2);       /* flags */
    add_number(z, 0, 2);       /* stored */
    add_number(z, 0, 4);       /* time and date */
    add_number(z, 0, 4);       /* CRC */
    add_number(z, p->size, 4); /* packed */
    add_number(z, p->size, 4); /* unpacked */
    add_number(z, strlen(p->name), 2);
    add_number(z, 0, 2); /* extra */
}

static inline void zip_make(blob *z, const zip_part *parts, size_t n, zip_places *at) {
    for (size_t i = 0; i < n; i++) {
        at->local[i] = z->size;
        add(z, BYTES("PK\3\4\0\0"));
        zip_fields(z, &parts[i]);
        add(z, parts[i].name, strlen(parts[i].name));
        add(z, parts[i].data, parts[i].size);
    }
    size_t directory = z->size;
    for (size_t i = 0; i < n; i++) {
        at->central[i] = z->size;
        add(z, BYTES("PK\1\2\0\0\0\0"));
        zip_fields(z, &parts[i]);
        add(z, BYTES("\0\0\0\0\0\0\0\0\0\0")); /* comment, disk, attributes */
        add_number(z, at->local[i], 4);
        add(z, parts[i].name, strlen(parts[i].name));
    }
    at->end = z->size;
    add(z, BYTES("PK\5\6\0\0\0\0"));
    add_number(z, n, 2);
    add_number(z, n, 2);
    add_number(z, at->end - directory, 4);
    add_number(z, directory, 4);
    add_number(z, 0, 2);
}

#endif

/* Reference data for the tests: where it lies, and a small reader of safetensors
 * (https://github.com/huggingface/safetensors: u64 header size, JSON, data) that shares
 * nothing with the code under test.
 *
 *     char path[GOLDEN_PATH];
 *     golden_file *f = golden_open(golden_path(path, sizeof path,
 * "preprocess/a.safetensors")); golden_tensor t; if (golden_find(f, "rgb.png", &t))
 *         ... t.dtype, t.rank, t.shape[i], t.count, (const float *)t.data ...
 *     golden_close(f);
 *
 * The helpers return NULL or false where something is missing: the test asserts.
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN_PATH 1024
#define GOLDEN_RANK 8

typedef struct golden_tensor {
    char dtype[8]; /* "F32", "I64", "U8", ... */
    int rank;
    size_t shape[GOLDEN_RANK];
    size_t count; /* elements */
    const void *data;
} golden_tensor;

typedef struct golden_file {
    json_t *header;
    char *data; /* aligned for any element: a block of its own */
    size_t size;
} golden_file;

static inline const char *golden_join(char *buf, size_t size, const char *variable,
                                      const char *otherwise, const char *name) {
    const char *dir = getenv(variable);
    if (!dir || !*dir)
        dir = otherwise;
    int n = snprintf(buf, size, "%s/%s", dir, name);
    return n > 0 && (size_t)n < size ? buf : NULL;
}

/* The path of a file in tests/golden. */
static inline const char *golden_path(char *buf, size_t size, const char *name) {
    return golden_join(buf, size, "CE_GOLDEN", CE_GOLDEN_DIR, name);
}

/* The path of a file in the shared reference data; NULL where there is none: print what
 * is skipped, and skip(). */
static inline const char *shared_path(char *buf, size_t size, const char *name) {
    const char *path = golden_join(buf, size, "CE_SHARED", CE_SHARED_DIR, name);
    return path && access(path, R_OK) == 0 ? path : NULL;
}

/* A whole file, malloc'd, NUL behind it; NULL where it cannot be read. */
static inline char *golden_read(const char *path, size_t *size) {
    FILE *f = path ? fopen(path, "rb") : NULL;
    if (!f)
        return NULL;
    char *bytes = NULL;
    long end = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    if (end >= 0 && fseek(f, 0, SEEK_SET) == 0 && (bytes = malloc((size_t)end + 1))) {
        *size = fread(bytes, 1, (size_t)end, f);
        bytes[*size] = '\0';
    }
    fclose(f);
    return bytes;
}

static inline json_t *golden_json(const char *path) {
    return path ? json_load_file(path, 0, NULL) : NULL;
}

static inline void golden_close(golden_file *f) {
    if (!f)
        return;
    json_decref(f->header);
    free(f->data);
    free(f);
}

static inline golden_file *golden_open(const char *path) {
    size_t size = 0;
    char *bytes = golden_read(path, &size);
    golden_file *f = calloc(1, sizeof *f);
    uint64_t header = 0;
    for (int i = 7; bytes && size >= 8 && i >= 0; i--)
        header = header << 8 | (unsigned char)bytes[i];
    if (f && bytes && size >= 8 && header <= size - 8) {
        f->header = json_loadb(bytes + 8, (size_t)header, 0, NULL);
        f->size = size - 8 - (size_t)header;
        f->data = malloc(f->size + 1);
        if (f->data)
            memcpy(f->data, bytes + 8 + header, f->size);
    }
    free(bytes);
    if (f && f->header && f->data)
        return f;
    golden_close(f);
    return NULL;
}

/* False where there is no such tensor, or it does not lie inside the file. */
static inline bool golden_find(const golden_file *f, const char *name, golden_tensor *t) {
    memset(t, 0, sizeof *t);
    json_t *entry = f ? json_object_get(f->header, name) : NULL;
    json_t *shape = json_object_get(entry, "shape");
    json_t *offsets = json_object_get(entry, "data_offsets");
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!dtype || strlen(dtype) >= sizeof t->dtype || json_array_size(offsets) != 2 ||
        json_array_size(shape) > GOLDEN_RANK)
        return false;
    memcpy(t->dtype, dtype, strlen(dtype) + 1);
    t->rank = (int)json_array_size(shape);
    t->count = 1;
    for (int i = 0; i < t->rank; i++) {
        t->shape[i] = (size_t)json_integer_value(json_array_get(shape, (size_t)i));
        t->count *= t->shape[i];
    }
    size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0));
    size_t end = (size_t)json_integer_value(json_array_get(offsets, 1));
    if (begin > end || end > f->size)
        return false;
    t->data = f->data + begin;
    return true;
}

/* The names of all tensors, in no order: for (void *i = golden_first(f); i;
 * i = golden_next(f, i)) ... golden_name(i) ... The name may be "__metadata__". */
static inline void *golden_first(const golden_file *f) {
    return json_object_iter(f->header);
}
static inline void *golden_next(const golden_file *f, void *i) {
    return json_object_iter_next(f->header, i);
}
static inline const char *golden_name(void *i) {
    return json_object_iter_key(i);
}

#endif

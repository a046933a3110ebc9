/* safetensors: u64 header size, a JSON object of names, the data.
 * https://github.com/huggingface/safetensors, validated as its Rust reference does. */
#include "weights_internal.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER 100000000 /* bytes; the reference implementation's limit */

static int read_shape(ce_tensor *t, const json_t *shape, ce_error *err) {
    size_t rank = json_array_size(shape);
    if (!json_is_array(shape) || rank > CE_MAX_RANK)
        return ce_fail(err, CE_EFORMAT,
                       "%s: tensor %s: shape is not a list of at most %d sizes", t->file,
                       t->name, CE_MAX_RANK);
    t->rank = (int)rank;
    t->count = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *size = json_array_get(shape, i);
        json_int_t n = json_is_integer(size) ? json_integer_value(size) : -1;
        if (n < 0 || __builtin_mul_overflow(t->count, (size_t)n, &t->count))
            return ce_fail(err, CE_EFORMAT, "%s: tensor %s: impossible shape", t->file,
                           t->name);
        t->shape[i] = (size_t)n;
    }
    return CE_OK;
}

static int read_tensor(ce_tensor *t, const json_t *entry, const unsigned char *data,
                       size_t data_size, ce_error *err) {
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_object(entry) || !dtype || json_object_size(entry) != 3 ||
        !json_is_array(offsets) || json_array_size(offsets) != 2)
        return ce_fail(
            err, CE_EFORMAT,
            "%s: tensor %s: needs dtype, shape and data_offsets, and nothing else", t->file,
            t->name);
    size_t width = ce_tensor_set_dtype(t, dtype);
    if (!width)
        return ce_fail(err, CE_EUNSUPPORTED, "%s: tensor %s: unknown dtype %s", t->file,
                       t->name, dtype);
    int result = read_shape(t, json_object_get(entry, "shape"), err);
    if (result < 0)
        return result;
    const json_t *j0 = json_array_get(offsets, 0), *j1 = json_array_get(offsets, 1);
    json_int_t begin = json_is_integer(j0) ? json_integer_value(j0) : -1;
    json_int_t end = json_is_integer(j1) ? json_integer_value(j1) : -1;
    if (begin < 0 || end < begin || (uint64_t)end > data_size)
        return ce_fail(err, CE_EFORMAT,
                       "%s: tensor %s: its bytes lie outside the file (%s)", t->file,
                       t->name, "truncated, or a broken offset");
    t->bytes = (size_t)(end - begin);
    size_t needed;
    if (__builtin_mul_overflow(t->count, width, &needed) || needed != t->bytes)
        return ce_fail(err, CE_EFORMAT,
                       "%s: tensor %s: %zu bytes do not fit its shape and %s", t->file,
                       t->name, t->bytes, dtype);
    t->data = data + begin;
    return CE_OK;
}

static int by_place(const void *a, const void *b) {
    const ce_tensor *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    if (p != q)
        return p < q ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The tensors must tile the data: no overlap, no hole, nothing behind the last. */
static int check_tiling(ce_tensor *tensors, size_t n, const ce_weights_file *f,
                        const unsigned char *data, ce_error *err) {
    const unsigned char *expected = data;
    if (n)
        qsort(tensors, n, sizeof *tensors, by_place);
    for (size_t i = 0; i < n; i++) {
        const ce_tensor *t = &tensors[i];
        if ((const unsigned char *)t->data != expected)
            return ce_fail(err, CE_EFORMAT, "%s: tensor %s: its bytes %s", f->path, t->name,
                           (const unsigned char *)t->data < expected
                               ? "overlap another tensor's"
                               : "leave a gap behind the tensor before");
        expected += t->bytes;
    }
    if (expected != f->map + f->size)
        return ce_fail(err, CE_EFORMAT, "%s: %zu bytes behind the last tensor", f->path,
                       (size_t)(f->map + f->size - expected));
    return CE_OK;
}

static int check_metadata(const ce_weights_file *f, const json_t *metadata, ce_error *err) {
    const char *key;
    json_t *value;
    bool fine = json_is_object(metadata);
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value) {
        fine = fine && json_is_string(value);
    }
    return fine ? CE_OK
                : ce_fail(err, CE_EFORMAT, "%s: __metadata__ must map names to strings",
                          f->path);
}

static int load_header(const ce_weights_file *f, json_t **header, size_t *size,
                       ce_error *err) {
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | f->map[i];
    if (length > MAX_HEADER)
        return ce_fail(err, CE_EFORMAT,
                       "%s: not a safetensors file (a header of %llu bytes)", f->path,
                       (unsigned long long)length);
    if (length > f->size - 8)
        return ce_fail(err, CE_EFORMAT, "%s: truncated: the header alone needs %llu bytes",
                       f->path, (unsigned long long)length);
    if (length == 0 || f->map[8] != '{')
        return ce_fail(err, CE_EFORMAT, "%s: not a safetensors file (no header)", f->path);
    json_error_t e; /* not ce_json_parse, which lets an offset of 2^63 pass as a real */
    *size = (size_t)length;
    *header = json_loadb((const char *)f->map + 8, *size, JSON_REJECT_DUPLICATES, &e);
    return *header ? CE_OK
                   : ce_fail(err, CE_EFORMAT, "%s: line %d of the header: %s", f->path,
                             e.line, e.text);
}

int ce_weights_read_safetensors(ce_weights *w, const ce_weights_file *f, ce_error *err) {
    json_t *header = NULL, *entry;
    size_t header_size = 0, first = w->count;
    int result = load_header(f, &header, &header_size, err);
    const unsigned char *data = f->map + 8 + header_size;
    const char *name;
    json_object_foreach(header, name, entry) {
        ce_tensor *t;
        if (strcmp(name, "__metadata__") == 0)
            result = check_metadata(f, entry, err);
        else
            result = ce_weights_add(&t, w, f, name, strlen(name), err);
        if (result == CE_OK && strcmp(name, "__metadata__") != 0)
            result = read_tensor(t, entry, data, f->size - 8 - header_size, err);
        if (result < 0)
            break;
    }
    json_decref(header);
    if (result == CE_OK)
        result = check_tiling(w->tensors + first, w->count - first, f, data, err);
    if (result == CE_OK)
        snprintf(w->format, sizeof w->format, "safetensors");
    return result;
}

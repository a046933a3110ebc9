/* The containers of PyTorch's files, after torch/serialization.py and
 * torch/csrc/jit/serialization:
 *
 *   zip       NAME/data.pkl: the object; a storage is the member NAME/data/KEY, stored
 *   pickle    five pickles (magic number, protocol 1001, the machine, the object, the
 *             list of storage keys), then for each key u64 elements and the elements
 *
 * A storage is the persistent id ("storage", class, key, device, elements[, view]). */
#include "weights_torch.h"

#include "unicode.h"

#include <stdlib.h>
#include <string.h>

#define MAX_MEMBER 1024 /* bytes of a member's name */

/* Every value of a pickle costs a byte, and none is looked at more than a few times. */
#define MAX_STEPS(bytes) (8 * (bytes))

/* "torch." before, "Storage" behind. */
static const struct {
    const char *name, *dtype_name;
} storage_types[] = {
    {"Float", "F32"},  {"Half", "F16"},  {"BFloat16", "BF16"},    {"Double", "F64"},
    {"Long", "I64"},   {"Int", "I32"},   {"Short", "I16"},        {"Char", "I8"},
    {"Byte", "U8"},    {"Bool", "BOOL"}, {"ComplexFloat", "C64"}, {"ComplexDouble", "C128"},
    {"Untyped", "U8"}, {"QInt8", "QI8"}, {"QUInt8", "QU8"},       {"QInt32", "QI32"},
};

int ce_torch_fault(const ce_torch_reader *r, const char *what) {
    return ce_fail(r->err, CE_EFORMAT, "%s: %s", r->f->path, what);
}

int ce_torch_tensor_fault(const ce_torch_reader *r, const ce_tensor *t, const char *what) {
    return ce_fail(r->err, CE_EFORMAT, "%s: tensor %s: %s", r->f->path, t->name, what);
}

/* "torch.FloatStorage", "torch.storage.UntypedStorage" -> "F32", "U8". */
static const char *storage_dtype(const ce_pickle_value *class) {
    if (class->kind != CE_PICKLE_GLOBAL || strncmp(class->text, "torch.", 6) != 0)
        return NULL;
    const char *name = strrchr(class->text, '.') + 1;
    name += *name == '_';
    for (size_t i = 0; i < sizeof storage_types / sizeof *storage_types; i++) {
        size_t n = strlen(storage_types[i].name);
        if (strncmp(name, storage_types[i].name, n) == 0 &&
            strcmp(name + n, "Storage") == 0)
            return storage_types[i].dtype_name;
    }
    return NULL;
}

bool ce_torch_size(const ce_pickle_value *v, size_t *out) {
    if (v->kind != CE_PICKLE_INT || v->integer < 0)
        return false;
    *out = (size_t)v->integer;
    return true;
}

/* The persistent id of a storage; `data` is still to be found. */
int ce_torch_read_id(const ce_torch_reader *r, const ce_pickle_value *v,
                     ce_torch_storage *s, const ce_pickle_value **view) {
    const ce_pickle_value *id = v->kind == CE_PICKLE_REFERENCE ? v->node->items : NULL;
    if (!id || id->kind != CE_PICKLE_TUPLE || id->node->count < 5 ||
        !ce_pickle_is_text(&id->node->items[0], "storage"))
        return ce_torch_fault(
            r, "its pickle refers to something that is no storage of a tensor");
    const ce_pickle_value *items = id->node->items;
    *s = (ce_torch_storage){.dtype_name = storage_dtype(&items[1])};
    *view = id->node->count > 5 ? &items[5] : NULL;
    ce_tensor probe;
    s->width = s->dtype_name ? ce_tensor_set_dtype(&probe, s->dtype_name) : 0;
    if (items[2].kind != CE_PICKLE_TEXT || !s->width ||
        !ce_torch_size(&items[4], &s->count))
        return ce_torch_fault(r,
                              "its pickle holds a storage of an unknown type, key or size");
    s->key = items[2].text;
    s->key_size = items[2].size;
    size_t bytes;
    if (__builtin_mul_overflow(s->count, s->width, &bytes) || bytes > r->f->size)
        return ce_torch_fault(r, "its pickle holds a storage that is larger than the file");
    return CE_OK;
}

static const ce_zip_member *find_member(const ce_torch_reader *r, const char *folder,
                                        const char *name, size_t size) {
    char path[MAX_MEMBER];
    size_t n = strlen(folder);
    if (r->root_size + n + size > sizeof path)
        return NULL;
    memcpy(path, r->root, r->root_size);
    memcpy(path + r->root_size, folder, n);
    if (size)
        memcpy(path + r->root_size + n, name, size);
    return ce_zip_find(r->zip, path, r->root_size + n + size);
}

static int find_in_zip(const ce_torch_reader *r, const ce_tensor *t, ce_torch_storage *s) {
    const ce_zip_member *m = find_member(r, "/data/", s->key, s->key_size);
    int key_size = (int)ce_utf8_prefix(s->key, s->key_size < 64 ? s->key_size : 64);
    if (!m)
        return ce_fail(r->err, CE_EFORMAT,
                       "%s: tensor %s: its storage data/%.*s is missing", r->f->path,
                       t->name, key_size, s->key);
    if (!m->stored)
        return ce_fail(r->err, CE_EUNSUPPORTED,
                       "%s: tensor %s: its storage data/%.*s is compressed", r->f->path,
                       t->name, key_size, s->key);
    if (m->size != s->count * s->width)
        return ce_fail(r->err, CE_EFORMAT,
                       "%s: tensor %s: its storage data/%.*s holds %zu bytes, its pickle "
                       "says %zu",
                       r->f->path, t->name, key_size, s->key, m->size, s->count * s->width);
    s->data = m->data;
    return CE_OK;
}

static int by_key(const void *a, const void *b) {
    const ce_torch_storage *x = a, *y = b;
    size_t shorter = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = memcmp(x->key, y->key, shorter);
    return order ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

static ce_torch_storage *find_key(const ce_torch_reader *r, const char *key, size_t size) {
    ce_torch_storage wanted = {.key = key, .key_size = size};
    return r->storage_count
               ? bsearch(&wanted, r->storages, r->storage_count, sizeof wanted, by_key)
               : NULL;
}

/* A view is (key, offset, elements) of the storage that the id names. */
static int find_in_stream(const ce_torch_reader *r, const ce_tensor *t, ce_torch_storage *s,
                          const ce_pickle_value *view) {
    const ce_torch_storage *whole = find_key(r, s->key, s->key_size);
    if (!whole || !whole->data)
        return ce_torch_tensor_fault(r, t, "its storage is missing");
    s->data = whole->data;
    s->count = whole->count;
    if (!view || view->kind == CE_PICKLE_NONE)
        return CE_OK;
    size_t offset, count;
    if (view->kind != CE_PICKLE_TUPLE || view->node->count != 3 ||
        !ce_torch_size(&view->node->items[1], &offset) ||
        !ce_torch_size(&view->node->items[2], &count) || offset > s->count ||
        count > s->count - offset)
        return ce_torch_tensor_fault(r, t, "its view lies outside its storage");
    s->data += offset * s->width;
    s->count = count;
    return CE_OK;
}

int ce_torch_find_storage(const ce_torch_reader *r, const ce_tensor *t,
                          const ce_pickle_value *v, ce_torch_storage *s) {
    const ce_pickle_value *view;
    int result = ce_torch_read_id(r, v, s, &view);
    if (result < 0)
        return result;
    return r->zip ? find_in_zip(r, t, s) : find_in_stream(r, t, s, view);
}

/* Finds NAME: the folder of the one NAME/data.pkl. */
static int find_root(ce_torch_reader *r, const ce_zip_member **object) {
    *object = NULL;
    for (size_t i = 0; i < ce_zip_count(r->zip); i++) {
        const ce_zip_member *m = ce_zip_at(r->zip, i);
        const char *slash = memchr(m->name, '/', m->name_size);
        size_t root = slash ? (size_t)(slash - m->name) : m->name_size;
        if (m->name_size - root != 9 || memcmp(slash, "/data.pkl", 9) != 0)
            continue;
        if (*object)
            return ce_torch_fault(r, "a zip archive that holds more than one data.pkl");
        *object = m;
        r->root = m->name;
        r->root_size = root;
    }
    if (!*object)
        return ce_torch_fault(r, "a zip archive, but not PyTorch's: it holds no data.pkl");
    if ((*object)->stored)
        return CE_OK;
    return ce_fail(r->err, CE_EUNSUPPORTED, "%s: its data.pkl is compressed", r->f->path);
}

static int check_byte_order(const ce_torch_reader *r) {
    const ce_zip_member *m = find_member(r, "/byteorder", NULL, 0);
    if (!m || (m->stored && m->size == 6 && memcmp(m->data, "little", 6) == 0))
        return CE_OK;
    return ce_fail(r->err, CE_EUNSUPPORTED, "%s: not saved in little-endian byte order",
                   r->f->path);
}

static int load_pickle(ce_torch_reader *r, const unsigned char *bytes, size_t size,
                       size_t *used) {
    ce_pickle_free(r->pickle);
    return ce_pickle_load(&r->pickle, bytes, size, used, r->f->path, r->err);
}

int ce_weights_read_torch_zip(ce_weights *w, const ce_weights_file *f, ce_error *err) {
    ce_torch_reader r = {.w = w, .f = f, .err = err};
    const ce_zip_member *object;
    size_t used;
    int result = ce_zip_open(&r.zip, f->map, f->size, f->path, err);
    if (result == CE_OK)
        result = find_root(&r, &object);
    if (result == CE_OK)
        result = check_byte_order(&r);
    if (result == CE_OK)
        result = load_pickle(&r, object->data, object->size, &used);
    if (result == CE_OK && used != object->size)
        result = ce_torch_fault(&r, "data.pkl goes on behind its pickle's end");
    if (result == CE_OK) {
        r.steps = MAX_STEPS(used);
        result = ce_torch_add_all(&r);
    }
    ce_pickle_free(r.pickle);
    ce_zip_free(r.zip);
    return result;
}

/* The next pickle of a stream. */
static int next_pickle(ce_torch_reader *r, size_t *at) {
    size_t used;
    int result = load_pickle(r, r->f->map + *at, r->f->size - *at, &used);
    *at += used;
    return result;
}

/* Magic number, protocol, and what the machine was: what stands before the object. */
static int read_preamble(ce_torch_reader *r, size_t *at) {
    static const char magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const ce_pickle_value *v, *little;
    int result = next_pickle(r, at);
    if (result < 0)
        return result;
    v = ce_pickle_top(r->pickle);
    if (v->kind != CE_PICKLE_LONG || v->size != 10 || memcmp(v->text, magic, 10) != 0)
        return ce_torch_fault(r, "a Python pickle, but not one of torch.save");
    if ((result = next_pickle(r, at)) < 0)
        return result;
    v = ce_pickle_top(r->pickle);
    if (v->kind != CE_PICKLE_INT || v->integer != 1001)
        return ce_torch_fault(r, "not version 1001 of torch.save's format");
    if ((result = next_pickle(r, at)) < 0)
        return result;
    little = ce_pickle_get(ce_pickle_top(r->pickle), "little_endian");
    if (little && (little->kind != CE_PICKLE_BOOL || !little->integer))
        return ce_fail(r->err, CE_EUNSUPPORTED, "%s: not saved in little-endian byte order",
                       r->f->path);
    return CE_OK;
}

/* The storages that the object refers to, each once, sorted by key. */
static int list_storages(ce_torch_reader *r) {
    size_t n = ce_pickle_reference_count(r->pickle);
    const ce_pickle_value *view;
    r->storages = calloc(n + 1, sizeof *r->storages);
    if (!r->storages)
        return ce_fail(r->err, CE_ENOMEM, "%s: out of memory", r->f->path);
    for (size_t i = 0; i < n; i++) {
        int result =
            ce_torch_read_id(r, ce_pickle_reference(r->pickle, i), &r->storages[i], &view);
        if (result < 0)
            return result;
    }
    if (n)
        qsort(r->storages, n, sizeof *r->storages, by_key);
    for (size_t i = 0; i < n; i++) {
        const ce_torch_storage *s = &r->storages[i];
        ce_torch_storage *last =
            r->storage_count ? &r->storages[r->storage_count - 1] : NULL;
        if (!last || by_key(last, s) != 0)
            r->storages[r->storage_count++] = *s;
        else if (last->width != s->width || last->count != s->count)
            return ce_torch_fault(r, "its pickle gives one storage two types or sizes");
    }
    return CE_OK;
}

/* Behind the list of keys, in its order: each storage's number of elements, and these. */
static int place_storages(ce_torch_reader *r, const ce_pickle_value *keys, size_t at) {
    const ce_weights_file *f = r->f;
    if (keys->kind != CE_PICKLE_LIST)
        return ce_torch_fault(r, "no list of storages behind the pickle");
    for (size_t i = 0; i < keys->node->count; i++) {
        const ce_pickle_value *key = &keys->node->items[i];
        ce_torch_storage *s =
            key->kind == CE_PICKLE_TEXT ? find_key(r, key->text, key->size) : NULL;
        if (!s || s->data)
            return ce_torch_fault(
                r, "its list of storages names one that is unknown, or twice");
        if (f->size - at < 8)
            return ce_torch_fault(r, "truncated: storages are missing");
        uint64_t count = 0;
        for (int b = 7; b >= 0; b--)
            count = count << 8 | f->map[at + (size_t)b];
        at += 8;
        if (count != s->count)
            return ce_fail(r->err, CE_EFORMAT,
                           "%s: storage %.*s holds %llu elements, its pickle says %zu",
                           f->path,
                           (int)ce_utf8_prefix(key->text, key->size < 64 ? key->size : 64),
                           key->text, (unsigned long long)count, s->count);
        if (s->count * s->width > f->size - at)
            return ce_torch_fault(r, "truncated: storages are missing");
        s->data = f->map + at;
        at += s->count * s->width;
    }
    return at == f->size ? CE_OK : ce_torch_fault(r, "it goes on behind the last storage");
}

int ce_weights_read_torch_pickle(ce_weights *w, const ce_weights_file *f, ce_error *err) {
    ce_torch_reader r = {.w = w, .f = f, .err = err};
    size_t at = 0, used = 0;
    ce_pickle *keys = NULL;
    int result = read_preamble(&r, &at);
    if (result == CE_OK)
        result = next_pickle(&r, &at);
    r.steps = MAX_STEPS(at);
    if (result == CE_OK)
        result = list_storages(&r);
    if (result == CE_OK)
        result = ce_pickle_load(&keys, f->map + at, f->size - at, &used, f->path, err);
    if (result == CE_OK)
        result = place_storages(&r, ce_pickle_top(keys), at + used);
    if (result == CE_OK)
        result = ce_torch_add_all(&r);
    ce_pickle_free(keys);
    ce_pickle_free(r.pickle);
    free(r.storages);
    return result;
}

/* What torch.save and torch.jit.save write, after torch/serialization.py, torch/_utils.py
 * and torch/csrc/jit/serialization:
 *
 *   zip       NAME/data.pkl: the object; a storage is the member NAME/data/KEY, stored
 *   pickle    five pickles (magic number, protocol 1001, the machine, the object, the
 *             list of storage keys), then for each key u64 elements and the elements
 *
 * A tensor is a call of _rebuild_tensor_v2(storage, offset, sizes, strides, ...), a storage
 * the persistent id ("storage", class, key, device, elements[, view]). */
#include "pickle.h"
#include "weights_internal.h"
#include "zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64 /* of modules in modules */
#define MAX_NAME 1024

typedef struct storage {
    const char *key;
    size_t key_size;
    const char *dtype_name; /* NULL: of no type that we know */
    size_t width;           /* bytes of an element */
    size_t count;           /* elements */
    const unsigned char *data;
} storage;

typedef struct reader {
    ce_weights *w;
    const ce_weights_file *f;
    ce_error *err;
    ce_pickle *pickle;
    ce_zip *zip;      /* NULL: a pickle stream */
    const char *root; /* NAME */
    size_t root_size;
    storage *storages; /* of a pickle stream, sorted by key */
    size_t storage_count;
    size_t copied; /* bytes of tensors that had to be */
    size_t steps;  /* that may still be taken through the tree of modules */
} reader;

static const struct {
    const char *name, *dtype_name;
} storage_types[] =
    {
        {"Float", "F32"},   {"Half", "F16"},         {"BFloat16", "BF16"},
        {"Double", "F64"},  {"Long", "I64"},         {"Int", "I32"},
        {"Short", "I16"},   {"Char", "I8"},          {"Byte", "U8"},
        {"Bool", "BOOL"},   {"ComplexFloat", "C64"}, {"ComplexDouble", "C128"},
        {"Untyped", "U8"},  {"QInt8", "QI8"},        {"QUInt8", "QU8"},
        {"QInt32", "QI32"},
},
  scalar_types[] = {
      {"float32", "F32"},
      {"float16", "F16"},
      {"bfloat16", "BF16"},
      {"float64", "F64"},
      {"int64", "I64"},
      {"int32", "I32"},
      {"int16", "I16"},
      {"int8", "I8"},
      {"uint8", "U8"},
      {"uint16", "U16"},
      {"uint32", "U32"},
      {"uint64", "U64"},
      {"bool", "BOOL"},
      {"complex64", "C64"},
      {"complex128", "C128"},
      {"float8_e4m3fn", "F8_E4M3"},
      {"float8_e5m2", "F8_E5M2"},
};

static int fault(const reader *r, const char *what) {
    return ce_fail(r->err, CE_EFORMAT, "%s: %s", r->f->path, what);
}

static int tensor_fault(const reader *r, const ce_tensor *t, const char *what) {
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

static const char *scalar_dtype(const ce_pickle_value *type) {
    for (size_t i = 0; i < sizeof scalar_types / sizeof *scalar_types; i++)
        if (type->kind == CE_PICKLE_GLOBAL && strncmp(type->text, "torch.", 6) == 0 &&
            strcmp(type->text + 6, scalar_types[i].name) == 0)
            return scalar_types[i].dtype_name;
    return NULL;
}

static bool read_size(const ce_pickle_value *v, size_t *out) {
    if (v->kind != CE_PICKLE_INT || v->integer < 0)
        return false;
    *out = (size_t)v->integer;
    return true;
}

/* The persistent id of a storage; `data` is still to be found. */
static int read_id(const reader *r, const ce_pickle_value *v, storage *s,
                   const ce_pickle_value **view) {
    const ce_pickle_value *id = v->kind == CE_PICKLE_REFERENCE ? v->node->items : NULL;
    if (!id || id->kind != CE_PICKLE_TUPLE || id->node->count < 5 ||
        !ce_pickle_is_text(&id->node->items[0], "storage"))
        return fault(r, "its pickle refers to something that is no storage of a tensor");
    const ce_pickle_value *items = id->node->items;
    *s = (storage){.dtype_name = storage_dtype(&items[1])};
    *view = id->node->count > 5 ? &items[5] : NULL;
    ce_tensor probe;
    s->width = s->dtype_name ? ce_tensor_set_dtype(&probe, s->dtype_name) : 0;
    if (items[2].kind != CE_PICKLE_TEXT || !s->width || !read_size(&items[4], &s->count))
        return fault(r, "its pickle holds a storage of an unknown type, key or size");
    s->key = items[2].text;
    s->key_size = items[2].size;
    size_t bytes;
    if (__builtin_mul_overflow(s->count, s->width, &bytes) || bytes > r->f->size)
        return fault(r, "its pickle holds a storage that is larger than the file");
    return CE_OK;
}

static const ce_zip_member *find_member(const reader *r, const char *folder,
                                        const char *name, size_t size) {
    char path[MAX_NAME];
    size_t n = strlen(folder);
    if (r->root_size + n + size > sizeof path)
        return NULL;
    memcpy(path, r->root, r->root_size);
    memcpy(path + r->root_size, folder, n);
    if (size)
        memcpy(path + r->root_size + n, name, size);
    return ce_zip_find(r->zip, path, r->root_size + n + size);
}

static int find_in_zip(const reader *r, const ce_tensor *t, storage *s) {
    const ce_zip_member *m = find_member(r, "/data/", s->key, s->key_size);
    int key_size = s->key_size < 64 ? (int)s->key_size : 64;
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
    const storage *x = a, *y = b;
    size_t shorter = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = memcmp(x->key, y->key, shorter);
    return order ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

static storage *find_key(const reader *r, const char *key, size_t size) {
    storage wanted = {.key = key, .key_size = size};
    return r->storage_count
               ? bsearch(&wanted, r->storages, r->storage_count, sizeof wanted, by_key)
               : NULL;
}

/* A view is (key, offset, elements) of the storage that the id names. */
static int find_in_stream(const reader *r, const ce_tensor *t, storage *s,
                          const ce_pickle_value *view) {
    const storage *whole = find_key(r, s->key, s->key_size);
    if (!whole || !whole->data)
        return tensor_fault(r, t, "its storage is missing");
    s->data = whole->data;
    s->count = whole->count;
    if (!view || view->kind == CE_PICKLE_NONE)
        return CE_OK;
    size_t offset, count;
    if (view->kind != CE_PICKLE_TUPLE || view->node->count != 3 ||
        !read_size(&view->node->items[1], &offset) ||
        !read_size(&view->node->items[2], &count) || offset > s->count ||
        count > s->count - offset)
        return tensor_fault(r, t, "its view lies outside its storage");
    s->data += offset * s->width;
    s->count = count;
    return CE_OK;
}

static int find_storage(const reader *r, const ce_tensor *t, const ce_pickle_value *v,
                        storage *s) {
    const ce_pickle_value *view;
    int result = read_id(r, v, s, &view);
    if (result < 0)
        return result;
    return r->zip ? find_in_zip(r, t, s) : find_in_stream(r, t, s, view);
}

/* Sizes and strides: tuples of as many, perhaps within a torch.Size. */
static bool read_sizes(const ce_pickle_value *v, size_t *out, int *rank) {
    if (v->kind == CE_PICKLE_CALL &&
        ce_pickle_is_global(&v->node->items[0], "torch.Size") &&
        v->node->items[1].node->count == 1)
        v = v->node->items[1].node->items;
    if ((v->kind != CE_PICKLE_TUPLE && v->kind != CE_PICKLE_LIST) ||
        v->node->count > CE_MAX_RANK)
        return false;
    *rank = (int)v->node->count;
    for (int i = 0; i < *rank; i++)
        if (!read_size(&v->node->items[i], &out[i]))
            return false;
    return true;
}

/* The last element's place must be inside the storage. */
static bool inside(const ce_tensor *t, const size_t *stride, size_t offset, size_t room) {
    size_t last = offset, step;
    if (t->count == 0)
        return offset <= room;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(t->shape[i] - 1, stride[i], &step) ||
            __builtin_add_overflow(last, step, &last))
            return false;
    return last < room;
}

/* As torch.Tensor.is_contiguous: the stride of a dimension of one element says nothing. */
static bool row_major(const ce_tensor *t, const size_t *stride) {
    size_t expected = 1;
    for (int i = t->rank; i-- > 0;) {
        if (t->shape[i] != 1 && stride[i] != expected)
            return false;
        expected *= t->shape[i];
    }
    return true;
}

static void copy_in_order(unsigned char *to, const ce_tensor *t, const size_t *stride,
                          const unsigned char *from, size_t width) {
    size_t index[CE_MAX_RANK] = {0}, at = 0;
    for (size_t n = 0; n < t->count; n++) {
        memcpy(to + n * width, from + at * width, width);
        for (int i = t->rank; i-- > 0;) {
            at += stride[i];
            if (++index[i] < t->shape[i])
                break;
            at -= stride[i] * t->shape[i];
            index[i] = 0;
        }
    }
}

/* Copies may be as large as the file, all together: more would be elements used twice. */
static int copy_strided(reader *r, ce_tensor *t, const size_t *stride,
                        const unsigned char *from, size_t width) {
    if (t->bytes > r->f->size - r->copied)
        return ce_fail(r->err, CE_EUNSUPPORTED,
                       "%s: tensor %s: its elements share memory (an expanded tensor): "
                       "refused",
                       r->f->path, t->name);
    r->copied += t->bytes;
    unsigned char *to = ce_arena_alloc(&r->w->arena, t->bytes);
    if (!to)
        return ce_fail(r->err, CE_ENOMEM, "%s: out of memory", r->f->path);
    copy_in_order(to, t, stride, from, width);
    t->data = to;
    t->copied = true;
    return CE_OK;
}

/* The arguments of _rebuild_tensor, _v2 (gradient, hooks, metadata) and _v3 (gradient,
 * hooks, dtype, metadata); `version` is 1 to 3. */
static int fill_tensor(reader *r, ce_tensor *t, const ce_pickle_node *args, int version) {
    static const size_t metadata_at[] = {0, SIZE_MAX, 6, 7};
    const ce_pickle_value *a = args->items;
    size_t offset, stride[CE_MAX_RANK];
    int rank;
    if (args->count < (version == 3 ? 7u : 4u) || !read_size(&a[1], &offset) ||
        !read_sizes(&a[2], t->shape, &t->rank) || !read_sizes(&a[3], stride, &rank) ||
        rank != t->rank)
        return tensor_fault(r, t, "impossible sizes, strides or offset");
    size_t m = metadata_at[version];
    if (m < args->count && a[m].kind != CE_PICKLE_NONE &&
        !(a[m].kind == CE_PICKLE_DICT && a[m].node->count == 0))
        return ce_fail(r->err, CE_EUNSUPPORTED,
                       "%s: tensor %s: conjugated, negated or of other metadata",
                       r->f->path, t->name);
    storage s;
    int result = find_storage(r, t, &a[0], &s);
    if (result < 0)
        return result;
    const char *dtype = version == 3 ? scalar_dtype(&a[6]) : s.dtype_name;
    size_t width = dtype ? ce_tensor_set_dtype(t, dtype) : 0;
    if (!width)
        return tensor_fault(r, t, "of an unknown type");
    t->count = 1;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(t->count, t->shape[i], &t->count))
            return tensor_fault(r, t, "impossible sizes, strides or offset");
    if (__builtin_mul_overflow(t->count, width, &t->bytes) ||
        !inside(t, stride, offset, s.count * s.width / width))
        return tensor_fault(r, t, "it lies outside its storage");
    t->data = s.data + offset * width;
    return row_major(t, stride) ? CE_OK : copy_strided(r, t, stride, t->data, width);
}

/* The version of the _rebuild_tensor that `v` is a call of, through the wrappers of
 * parameters and subclasses; 0: no tensor, -1: one that we do not know how to rebuild.
 * `*args` are its arguments, `*name` what is called. */
static int find_rebuild(const ce_pickle_value *v, const ce_pickle_node **args,
                        const char **name) {
    for (int depth = 0; depth < 8 && v->kind == CE_PICKLE_CALL; depth++) {
        const ce_pickle_value *called = &v->node->items[0];
        *args = v->node->items[1].node;
        *name = called->text;
        if (ce_pickle_is_global(called, "torch._tensor._rebuild_from_type_v2") &&
            (*args)->count >= 3 && (*args)->items[0].kind == CE_PICKLE_GLOBAL &&
            (*args)->items[2].kind == CE_PICKLE_TUPLE) {
            called = &(*args)->items[0];
            *name = called->text;
            *args = (*args)->items[2].node;
        }
        if (ce_pickle_is_global(called, "torch._utils._rebuild_tensor"))
            return 1;
        if (ce_pickle_is_global(called, "torch._utils._rebuild_tensor_v2"))
            return 2;
        if (ce_pickle_is_global(called, "torch._utils._rebuild_tensor_v3"))
            return 3;
        bool wrapper = strncmp(called->text, "torch._utils._rebuild_parameter", 31) == 0 ||
                       strncmp(called->text, "torch.nn.parameter.", 19) == 0;
        if (!wrapper || (*args)->count == 0)
            return strncmp(called->text, "torch._", 7) == 0 ? -1 : 0;
        v = (*args)->items;
    }
    return 0;
}

/* Adds `v` as a tensor of this name where it is one; 1: it was. */
static int add_tensor(reader *r, const char *name, size_t size, const ce_pickle_value *v) {
    const ce_pickle_node *args;
    const char *called;
    int version = find_rebuild(v, &args, &called);
    if (version == 0)
        return 0;
    ce_tensor *t;
    int result = ce_weights_add(&t, r->w, r->f, name, size, r->err);
    if (result < 0)
        return result;
    if (version < 0)
        return ce_fail(r->err, CE_EUNSUPPORTED,
                       "%s: tensor %s: made by %s, which is not "
                       "supported",
                       r->f->path, t->name, called);
    result = fill_tensor(r, t, args, version);
    return result < 0 ? result : 1;
}

static bool is_tensor(const ce_pickle_value *v) {
    const ce_pickle_node *args;
    const char *called;
    return find_rebuild(v, &args, &called) != 0;
}

/* Whether a tensor lies directly in this dict, list or tuple. */
static bool holds_tensors(const ce_pickle_value *v) {
    if (v->kind != CE_PICKLE_DICT && v->kind != CE_PICKLE_LIST &&
        v->kind != CE_PICKLE_TUPLE)
        return false;
    for (size_t i = 0; i < v->node->count; i++)
        if (is_tensor(&v->node->items[i]))
            return true;
    return false;
}

static int add_dict(reader *r, const ce_pickle_value *dict) {
    const ce_pickle_node *d = dict->node;
    for (size_t i = 0; i + 1 < d->count; i += 2) {
        const ce_pickle_value *key = &d->items[i], *value = key + 1;
        if (key->kind != CE_PICKLE_TEXT) {
            if (is_tensor(value))
                return fault(r, "its state dict holds a tensor whose name is no text");
            continue;
        }
        int result = add_tensor(r, key->text, key->size, value);
        if (result < 0)
            return result;
        if (result == 0 && holds_tensors(value))
            return ce_fail(r->err, CE_EUNSUPPORTED,
                           "%s: its state dict holds %.*s, which is no tensor but holds "
                           "some",
                           r->f->path, key->size < 200 ? (int)key->size : 200, key->text);
    }
    return CE_OK;
}

/* The tensors of a TorchScript object and, by attribute, of those in it. The depth is
 * bounded, and the steps: a tree that meets itself has no end. */
static int add_module(reader *r, const ce_pickle_value *module, char *name, size_t used,
                      int depth) {
    const ce_pickle_value *state = &module->node->items[2];
    if (state->kind != CE_PICKLE_DICT)
        return CE_OK; /* one that pickles itself in another way, or has no attributes */
    if (depth == MAX_DEPTH)
        return fault(r, "its modules lie in each other too deeply");
    for (size_t i = 0; i + 1 < state->node->count; i += 2) {
        const ce_pickle_value *key = &state->node->items[i], *value = key + 1;
        if (r->steps-- == 0)
            return fault(r, "its modules hold each other without end");
        if (key->kind != CE_PICKLE_TEXT)
            continue;
        if (key->size > MAX_NAME - 2 - used)
            return fault(r, "a tensor's name is too long");
        memcpy(name + used, key->text, key->size);
        size_t size = used + key->size;
        int result = add_tensor(r, name, size, value);
        if (result == 0 && value->kind == CE_PICKLE_CALL &&
            strncmp(value->node->items[0].text, "__torch__.", 10) == 0) {
            name[size] = '.';
            result = add_module(r, value, name, size + 1, depth + 1);
        }
        if (result < 0)
            return result;
    }
    return CE_OK;
}

/* The state dict in what was saved: itself, or under one of the usual keys. */
static const ce_pickle_value *find_state_dict(const ce_pickle_value *top) {
    static const char *const keys[] = {"state_dict", "model", "model_state_dict"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const ce_pickle_value *v = ce_pickle_get(top, keys[i]);
        if (v && v->kind == CE_PICKLE_DICT && holds_tensors(v))
            return v;
    }
    return top->kind == CE_PICKLE_DICT && holds_tensors(top) ? top : NULL;
}

/* The first keys of what is no state dict, for the message. */
static int no_state_dict(const reader *r, const ce_pickle_value *top) {
    char keys[256] = "";
    size_t used = 0;
    for (size_t i = 0; top->kind == CE_PICKLE_DICT && i + 1 < top->node->count; i += 2) {
        const ce_pickle_value *key = &top->node->items[i];
        if (key->kind == CE_PICKLE_TEXT && key->size < 64 && used + 70 < sizeof keys)
            used += (size_t)snprintf(keys + used, sizeof keys - used, "%s%.*s",
                                     used ? ", " : "", (int)key->size, key->text);
    }
    return ce_fail(r->err, CE_EFORMAT,
                   used ? "%s: no state dict: what was saved holds %s"
                        : "%s: no state dict: what was saved is no dict of tensors",
                   r->f->path, keys);
}

static int add_all(reader *r) {
    const ce_pickle_value *top = ce_pickle_top(r->pickle);
    char name[MAX_NAME];
    if (r->zip && top->kind == CE_PICKLE_CALL &&
        strncmp(top->node->items[0].text, "__torch__.", 10) == 0) {
        r->w->torchscript = true;
        snprintf(r->w->format, sizeof r->w->format, "TorchScript");
        int result = add_module(r, top, name, 0, 0);
        return result == CE_OK && r->w->count == 0 ? fault(r, "its modules hold no tensors")
                                                   : result;
    }
    const ce_pickle_value *dict = find_state_dict(top);
    snprintf(r->w->format, sizeof r->w->format, "%s",
             r->zip ? "PyTorch zip" : "PyTorch pickle (before 1.6)");
    return dict ? add_dict(r, dict) : no_state_dict(r, top);
}

/* Finds NAME: the folder of the one NAME/data.pkl. */
static int find_root(reader *r, const ce_zip_member **object) {
    *object = NULL;
    for (size_t i = 0; i < ce_zip_count(r->zip); i++) {
        const ce_zip_member *m = ce_zip_at(r->zip, i);
        const char *slash = memchr(m->name, '/', m->name_size);
        size_t root = slash ? (size_t)(slash - m->name) : m->name_size;
        if (m->name_size - root != 9 || memcmp(slash, "/data.pkl", 9) != 0)
            continue;
        if (*object)
            return fault(r, "a zip archive that holds more than one data.pkl");
        *object = m;
        r->root = m->name;
        r->root_size = root;
    }
    if (!*object)
        return fault(r, "a zip archive, but not PyTorch's: it holds no data.pkl");
    return (*object)->stored ? CE_OK : fault(r, "its data.pkl is compressed");
}

static int check_byte_order(const reader *r) {
    const ce_zip_member *m = find_member(r, "/byteorder", NULL, 0);
    if (!m || (m->stored && m->size == 6 && memcmp(m->data, "little", 6) == 0))
        return CE_OK;
    return ce_fail(r->err, CE_EUNSUPPORTED, "%s: not saved in little-endian byte order",
                   r->f->path);
}

static int load_pickle(reader *r, const unsigned char *bytes, size_t size, size_t *used) {
    ce_pickle_free(r->pickle);
    return ce_pickle_load(&r->pickle, bytes, size, used, r->f->path, r->err);
}

int ce_weights_read_torch_zip(ce_weights *w, const ce_weights_file *f, ce_error *err) {
    reader r = {.w = w, .f = f, .err = err};
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
        result = fault(&r, "data.pkl goes on behind its pickle's end");
    if (result == CE_OK) {
        r.steps = object->size;
        result = add_all(&r);
    }
    ce_pickle_free(r.pickle);
    ce_zip_free(r.zip);
    return result;
}

/* The next pickle of a stream. */
static int next_pickle(reader *r, size_t *at) {
    size_t used;
    int result = load_pickle(r, r->f->map + *at, r->f->size - *at, &used);
    *at += used;
    return result;
}

/* Magic number, protocol, and what the machine was: what stands before the object. */
static int read_preamble(reader *r, size_t *at) {
    static const char magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const ce_pickle_value *v, *little;
    int result = next_pickle(r, at);
    if (result < 0)
        return result;
    v = ce_pickle_top(r->pickle);
    if (v->kind != CE_PICKLE_LONG || v->size != 10 || memcmp(v->text, magic, 10) != 0)
        return fault(r, "a Python pickle, but not one of torch.save");
    if ((result = next_pickle(r, at)) < 0)
        return result;
    v = ce_pickle_top(r->pickle);
    if (v->kind != CE_PICKLE_INT || v->integer != 1001)
        return fault(r, "not version 1001 of torch.save's format");
    if ((result = next_pickle(r, at)) < 0)
        return result;
    little = ce_pickle_get(ce_pickle_top(r->pickle), "little_endian");
    if (little && (little->kind != CE_PICKLE_BOOL || !little->integer))
        return ce_fail(r->err, CE_EUNSUPPORTED, "%s: not saved in little-endian byte order",
                       r->f->path);
    return CE_OK;
}

/* The storages that the object refers to, each once, sorted by key. */
static int list_storages(reader *r) {
    size_t n = ce_pickle_reference_count(r->pickle);
    const ce_pickle_value *view;
    r->storages = calloc(n + 1, sizeof *r->storages);
    if (!r->storages)
        return ce_fail(r->err, CE_ENOMEM, "%s: out of memory", r->f->path);
    for (size_t i = 0; i < n; i++) {
        int result = read_id(r, ce_pickle_reference(r->pickle, i), &r->storages[i], &view);
        if (result < 0)
            return result;
    }
    if (n)
        qsort(r->storages, n, sizeof *r->storages, by_key);
    for (size_t i = 0; i < n; i++) {
        const storage *s = &r->storages[i];
        storage *last = r->storage_count ? &r->storages[r->storage_count - 1] : NULL;
        if (!last || by_key(last, s) != 0)
            r->storages[r->storage_count++] = *s;
        else if (last->width != s->width || last->count != s->count)
            return fault(r, "its pickle gives one storage two types or sizes");
    }
    return CE_OK;
}

/* Behind the list of keys, in its order: each storage's number of elements, and these. */
static int place_storages(reader *r, const ce_pickle_value *keys, size_t at) {
    const ce_weights_file *f = r->f;
    if (keys->kind != CE_PICKLE_LIST)
        return fault(r, "no list of storages behind the pickle");
    for (size_t i = 0; i < keys->node->count; i++) {
        const ce_pickle_value *key = &keys->node->items[i];
        storage *s = key->kind == CE_PICKLE_TEXT ? find_key(r, key->text, key->size) : NULL;
        if (!s || s->data)
            return fault(r, "its list of storages names one that is unknown, or twice");
        if (f->size - at < 8)
            return fault(r, "truncated: storages are missing");
        uint64_t count = 0;
        for (int b = 7; b >= 0; b--)
            count = count << 8 | f->map[at + (size_t)b];
        at += 8;
        if (count != s->count)
            return ce_fail(r->err, CE_EFORMAT,
                           "%s: storage %.*s holds %llu elements, its pickle says %zu",
                           f->path, key->size < 64 ? (int)key->size : 64, key->text,
                           (unsigned long long)count, s->count);
        if (s->count * s->width > f->size - at)
            return fault(r, "truncated: storages are missing");
        s->data = f->map + at;
        at += s->count * s->width;
    }
    return at == f->size ? CE_OK : fault(r, "it goes on behind the last storage");
}

int ce_weights_read_torch_pickle(ce_weights *w, const ce_weights_file *f, ce_error *err) {
    reader r = {.w = w, .f = f, .err = err};
    size_t at = 0, used = 0;
    ce_pickle *keys = NULL;
    int result = read_preamble(&r, &at);
    if (result == CE_OK)
        result = next_pickle(&r, &at);
    if (result == CE_OK)
        result = list_storages(&r);
    if (result == CE_OK)
        result = ce_pickle_load(&keys, f->map + at, f->size - at, &used, f->path, err);
    if (result == CE_OK)
        result = place_storages(&r, ce_pickle_top(keys), at + used);
    if (result == CE_OK)
        result = add_all(&r);
    ce_pickle_free(keys);
    ce_pickle_free(r.pickle);
    free(r.storages);
    return result;
}

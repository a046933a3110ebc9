/* From what a pickle says to tensors, after torch/_utils.py and torch/_tensor.py: a tensor
 * is a call of _rebuild_tensor_v2(storage, offset, sizes, strides, gradient, hooks), often
 * in that of a wrapper; a state dict maps names to them; a TorchScript module is an object
 * whose state maps attributes to tensors and modules. */
#include "weights_torch.h"

#include "unicode.h"

#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 64 /* of modules in modules */
#define MAX_NAME 1024
#define MAX_ATTRIBUTES 64 /* keys and values, that Python code hung on a tensor */
#define SMALL_COPIES ((size_t)1 << 16) /* bytes that any file may take for tensors */
#define MOST_SHARED 4 /* times the file's bytes that its tensors may have together */

/* The types that torch.save names by themselves. */
static const struct {
    const char *name, *dtype_name;
} scalar_types[] = {
    {"torch.float32", "F32"},
    {"torch.float16", "F16"},
    {"torch.bfloat16", "BF16"},
    {"torch.float64", "F64"},
    {"torch.int64", "I64"},
    {"torch.int32", "I32"},
    {"torch.int16", "I16"},
    {"torch.int8", "I8"},
    {"torch.uint8", "U8"},
    {"torch.uint16", "U16"},
    {"torch.uint32", "U32"},
    {"torch.uint64", "U64"},
    {"torch.bool", "BOOL"},
    {"torch.complex64", "C64"},
    {"torch.complex128", "C128"},
    {"torch.float8_e4m3fn", "F8_E4M3"},
    {"torch.float8_e5m2", "F8_E5M2"},
};

static const char *scalar_dtype(const ce_pickle_value *type) {
    for (size_t i = 0; i < sizeof scalar_types / sizeof *scalar_types; i++)
        if (ce_pickle_is_global(type, scalar_types[i].name))
            return scalar_types[i].dtype_name;
    return NULL;
}

/* Sizes and strides: tuples of as many, perhaps within a torch.Size. (A list could have
 * grown since the call.) */
static bool read_sizes(const ce_pickle_value *v, size_t *out, int *rank) {
    if (v->kind == CE_PICKLE_CALL &&
        ce_pickle_is_global(&v->node->items[0], "torch.Size") &&
        v->node->items[1].node->count == 1)
        v = v->node->items[1].node->items;
    if (v->kind != CE_PICKLE_TUPLE || v->node->count > CE_MAX_RANK)
        return false;
    *rank = (int)v->node->count;
    for (int i = 0; i < *rank; i++)
        if (!ce_torch_size(&v->node->items[i], &out[i]))
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
    for (int i = t->rank; t->count && i-- > 0;) {
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

/* Copies may be twice as large as the file, all together: a transposed weight may be tied.
 * More would be one element used again and again. */
static int copy_strided(ce_torch_reader *r, ce_tensor *t, const size_t *stride,
                        const unsigned char *from, size_t width) {
    const size_t limit = 2 * r->f->size + SMALL_COPIES;
    if (t->bytes > limit - r->copied)
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

/* Tensors may share their bytes: a weight is tied, or a view of another. That all of them
 * together have many times the file's bytes is a trick to make us read without end. */
static int count_bytes(ce_torch_reader *r, const ce_tensor *t) {
    size_t limit;
    if (__builtin_mul_overflow(r->f->size, MOST_SHARED, &limit) ||
        __builtin_add_overflow(limit, SMALL_COPIES, &limit))
        limit = SIZE_MAX;
    if (t->bytes > limit - r->bytes)
        return ce_fail(r->err, CE_EUNSUPPORTED,
                       "%s: tensor %s: the tensors share so many bytes that they come to "
                       "more than %d times the file: refused",
                       r->f->path, t->name, MOST_SHARED);
    r->bytes += t->bytes;
    return CE_OK;
}

/* The arguments of _rebuild_tensor, _v2 (gradient, hooks, metadata) and _v3 (gradient,
 * hooks, dtype, metadata); `version` is 1 to 3. */
static int fill_tensor(ce_torch_reader *r, ce_tensor *t, const ce_pickle_node *args,
                       int version) {
    static const size_t metadata_at[] = {0, SIZE_MAX, 6, 7};
    const ce_pickle_value *a = args->items;
    size_t offset, stride[CE_MAX_RANK];
    int rank;
    if (args->count < (version == 3 ? 7u : 4u) || !ce_torch_size(&a[1], &offset) ||
        !read_sizes(&a[2], t->shape, &t->rank) || !read_sizes(&a[3], stride, &rank) ||
        rank != t->rank)
        return ce_torch_tensor_fault(r, t, "impossible sizes, strides or offset");
    size_t m = metadata_at[version];
    if (m < args->count && a[m].kind != CE_PICKLE_NONE &&
        !(a[m].kind == CE_PICKLE_DICT && a[m].node->count == 0))
        return ce_fail(r->err, CE_EUNSUPPORTED,
                       "%s: tensor %s: conjugated, negated or of other metadata",
                       r->f->path, t->name);
    ce_torch_storage s;
    int result = ce_torch_find_storage(r, t, &a[0], &s);
    if (result < 0)
        return result;
    const char *dtype = version == 3 ? scalar_dtype(&a[6]) : s.dtype_name;
    size_t width = dtype ? ce_tensor_set_dtype(t, dtype) : 0;
    if (!width)
        return ce_torch_tensor_fault(r, t, "of an unknown type");
    t->count = 1;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(t->count, t->shape[i], &t->count))
            return ce_torch_tensor_fault(r, t, "impossible sizes, strides or offset");
    if (__builtin_mul_overflow(t->count, width, &t->bytes) ||
        !inside(t, stride, offset, s.count * s.width / width))
        return ce_torch_tensor_fault(r, t, "it lies outside its storage");
    t->data = s.data + offset * width;
    result = row_major(t, stride) ? CE_OK : copy_strided(r, t, stride, t->data, width);
    return result < 0 ? result : count_bytes(r, t);
}

/* A call that makes a tensor. */
typedef struct rebuild {
    const char *name; /* what is called */
    const ce_pickle_node *args;
    bool changed; /* once it is made: torch then does tensor.set_(...), or .data = ... */
} rebuild;

/* Whether attributes are set to more than numbers and texts: `data` might be. */
static bool sets_objects(const ce_pickle_value *state) {
    const ce_pickle_node *parts = state->kind == CE_PICKLE_TUPLE ? state->node : NULL;
    for (size_t i = 0; i < (parts ? parts->count : 1); i++) {
        const ce_pickle_value *v = parts ? &parts->items[i] : state;
        if (v->kind == CE_PICKLE_NONE)
            continue;
        if (v->kind != CE_PICKLE_DICT || v->node->count > MAX_ATTRIBUTES || i > 1)
            return true;
        for (size_t k = 1; k < v->node->count; k += 2)
            if (v->node->items[k].kind == CE_PICKLE_CALL)
                return true;
    }
    return false;
}

/* The version of the _rebuild_tensor that `v` is a call of, through the wrappers of
 * parameters and subclasses; 0: no tensor, -1: one that we do not know how to rebuild.
 * A wrapper's fourth argument holds attributes (torch/_utils.py, _set_obj_state). */
static int find_rebuild(const ce_pickle_value *v, rebuild *call) {
    *call = (rebuild){0};
    for (int depth = 0; depth < 8 && v->kind == CE_PICKLE_CALL; depth++) {
        const ce_pickle_value *called = &v->node->items[0];
        const ce_pickle_node *args = v->node->items[1].node;
        call->changed |= v->node->items[2].kind != CE_PICKLE_NOTHING;
        if (ce_pickle_is_global(called, "torch._tensor._rebuild_from_type_v2") &&
            args->count >= 3 && args->items[0].kind == CE_PICKLE_GLOBAL &&
            args->items[2].kind == CE_PICKLE_TUPLE) {
            call->changed |= args->count > 3 && sets_objects(&args->items[3]);
            called = &args->items[0];
            args = args->items[2].node;
        }
        call->name = called->text;
        call->args = args;
        if (ce_pickle_is_global(called, "torch._utils._rebuild_tensor"))
            return 1;
        if (ce_pickle_is_global(called, "torch._utils._rebuild_tensor_v2"))
            return 2;
        if (ce_pickle_is_global(called, "torch._utils._rebuild_tensor_v3"))
            return 3;
        bool wrapper = strncmp(called->text, "torch._utils._rebuild_parameter", 31) == 0 ||
                       strncmp(called->text, "torch.nn.parameter.", 19) == 0;
        if (!wrapper || args->count == 0)
            return strncmp(called->text, "torch._", 7) == 0 ? -1 : 0;
        call->changed |= args->count > 3 && sets_objects(&args->items[3]);
        v = args->items;
    }
    return 0;
}

/* Adds `v` as a tensor of this name where it is one; 1: it was. */
static int add_tensor(ce_torch_reader *r, const char *name, size_t size,
                      const ce_pickle_value *v) {
    rebuild call;
    int version = find_rebuild(v, &call);
    if (version == 0)
        return 0;
    ce_tensor *t;
    int result = ce_weights_add(&t, r->w, r->f, name, size, r->err);
    if (result < 0)
        return result;
    if (version < 0)
        return ce_fail(r->err, CE_EUNSUPPORTED,
                       "%s: tensor %s: made by %s, which is not supported", r->f->path,
                       t->name, call.name);
    if (call.changed)
        return ce_fail(r->err, CE_EUNSUPPORTED,
                       "%s: tensor %s: changed after it was made, which is not supported",
                       r->f->path, t->name);
    result = fill_tensor(r, t, call.args, version);
    return result < 0 ? result : 1;
}

static bool is_tensor(const ce_pickle_value *v) {
    rebuild call;
    return find_rebuild(v, &call) != 0;
}

/* Whether a tensor lies directly in this dict, list or tuple. Of one that is met again and
 * again the steps run out: then it is taken to hold some, and is refused. */
static bool holds_tensors(ce_torch_reader *r, const ce_pickle_value *v) {
    if (v->kind != CE_PICKLE_DICT && v->kind != CE_PICKLE_LIST &&
        v->kind != CE_PICKLE_TUPLE)
        return false;
    for (size_t i = 0; i < v->node->count; i++)
        if (r->steps == 0 || is_tensor(&v->node->items[i]))
            return true;
        else
            r->steps--;
    return false;
}

static int add_dict(ce_torch_reader *r, const ce_pickle_value *dict) {
    const ce_pickle_node *d = dict->node;
    for (size_t i = 0; i + 1 < d->count; i += 2) {
        const ce_pickle_value *key = &d->items[i], *value = key + 1;
        if (key->kind != CE_PICKLE_TEXT) {
            if (is_tensor(value))
                return ce_torch_fault(
                    r, "its state dict holds a tensor whose name is no text");
            continue;
        }
        int result = add_tensor(r, key->text, key->size, value);
        if (result < 0)
            return result;
        if (result == 0 && holds_tensors(r, value))
            return ce_fail(
                r->err, CE_EUNSUPPORTED,
                "%s: its state dict holds %.*s, which is no tensor but holds some",
                r->f->path,
                (int)ce_utf8_prefix(key->text, key->size < 200 ? key->size : 200),
                key->text);
    }
    return CE_OK;
}

/* The tensors of a TorchScript object and, by attribute, of those in it. The depth is
 * bounded, and the steps: a tree that meets itself has no end. */
static int add_module(ce_torch_reader *r, const ce_pickle_value *module, char *name,
                      size_t used, int depth) {
    const ce_pickle_value *state = &module->node->items[2];
    if (is_tensor(state) || (state->kind != CE_PICKLE_DICT && holds_tensors(r, state)))
        return ce_torch_fault(r, "a module that saves its tensors in a way of its own");
    if (state->kind != CE_PICKLE_DICT)
        return CE_OK; /* no attributes */
    if (depth == MAX_DEPTH)
        return ce_torch_fault(r, "its modules lie in each other too deeply");
    for (size_t i = 0; i + 1 < state->node->count; i += 2) {
        const ce_pickle_value *key = &state->node->items[i], *value = key + 1;
        if (r->steps == 0)
            return ce_torch_fault(r, "its modules hold each other without end");
        r->steps--;
        if (key->kind != CE_PICKLE_TEXT)
            continue;
        if (key->size > MAX_NAME - 2 - used)
            return ce_torch_fault(r, "a tensor's name is too long");
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
static const ce_pickle_value *find_state_dict(ce_torch_reader *r,
                                              const ce_pickle_value *top) {
    static const char *const keys[] = {"state_dict", "model", "model_state_dict"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const ce_pickle_value *v = ce_pickle_get(top, keys[i]);
        if (v && v->kind == CE_PICKLE_DICT && holds_tensors(r, v))
            return v;
    }
    return top->kind == CE_PICKLE_DICT && holds_tensors(r, top) ? top : NULL;
}

/* The first keys of what is no state dict, for the message. */
static int no_state_dict(const ce_torch_reader *r, const ce_pickle_value *top) {
    char keys[256] = "";
    size_t used = 0;
    for (size_t i = 0; top->kind == CE_PICKLE_DICT && i + 1 < top->node->count; i += 2) {
        const ce_pickle_value *key = &top->node->items[i];
        if (key->kind == CE_PICKLE_TEXT && key->size < 64 && used + 70 < sizeof keys &&
            ce_utf8_prefix(key->text, key->size) == key->size)
            used += (size_t)snprintf(keys + used, sizeof keys - used, "%s%.*s",
                                     used ? ", " : "", (int)key->size, key->text);
    }
    return ce_fail(r->err, CE_EFORMAT,
                   used ? "%s: no state dict: what was saved holds %s"
                        : "%s: no state dict: what was saved is no dict of tensors",
                   r->f->path, keys);
}

int ce_torch_add_all(ce_torch_reader *r) {
    const ce_pickle_value *top = ce_pickle_top(r->pickle);
    char name[MAX_NAME];
    if (r->zip && top->kind == CE_PICKLE_CALL &&
        strncmp(top->node->items[0].text, "__torch__.", 10) == 0) {
        r->w->torchscript = true;
        snprintf(r->w->format, sizeof r->w->format, "TorchScript");
        int result = add_module(r, top, name, 0, 0);
        return result == CE_OK && r->w->count == 0
                   ? ce_torch_fault(r, "its modules hold no tensors")
                   : result;
    }
    const ce_pickle_value *dict = find_state_dict(r, top);
    snprintf(r->w->format, sizeof r->w->format, "%s",
             r->zip ? "PyTorch zip" : "PyTorch pickle (before 1.6)");
    return dict ? add_dict(r, dict) : no_state_dict(r, top);
}

#include "weights.h"

#include "fs.h"
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_HEADER 100000000 /* bytes; the reference implementation's limit */

struct ce_weights {
    char *path;
    int fd;         /* kept: the file that was opened is the one that is hashed */
    struct stat st; /* as it was then */
    unsigned char *map;
    size_t size;
    json_t *header; /* owns the names */
    ce_tensor *tensors;
    size_t count;
    bool shapes_only;
};

static const struct {
    const char *name;
    ce_dtype dtype;
    size_t bytes;
} dtypes[] = {
    {"F32", CE_F32, 4},
    {"F16", CE_F16, 2},
    {"BF16", CE_BF16, 2},
    {"I64", CE_I64, 8},
    {"F64", CE_OTHER_DTYPE, 8},
    {"I32", CE_OTHER_DTYPE, 4},
    {"I16", CE_OTHER_DTYPE, 2},
    {"I8", CE_OTHER_DTYPE, 1},
    {"U64", CE_OTHER_DTYPE, 8},
    {"U32", CE_OTHER_DTYPE, 4},
    {"U16", CE_OTHER_DTYPE, 2},
    {"U8", CE_OTHER_DTYPE, 1},
    {"BOOL", CE_OTHER_DTYPE, 1},
    {"F8_E4M3", CE_OTHER_DTYPE, 1},
    {"F8_E5M2", CE_OTHER_DTYPE, 1},
};

static int map_file(ce_weights *w, ce_error *err) {
    w->fd = open(w->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (w->fd < 0 || fstat(w->fd, &w->st) < 0)
        return ce_fail(err, CE_EIO, "%s: %s", w->path, strerror(errno));
    if (!S_ISREG(w->st.st_mode))
        return ce_fail(err, CE_EIO, "%s: not a regular file", w->path);
    if (w->st.st_size < 8)
        return ce_fail(err, CE_EFORMAT, "%s: %lld bytes are too few for a safetensors file",
                       w->path, (long long)w->st.st_size);
    w->size = (size_t)w->st.st_size;
    void *map = mmap(NULL, w->size, PROT_READ, MAP_PRIVATE, w->fd, 0);
    if (map == MAP_FAILED)
        return ce_fail(err, CE_EIO, "%s: cannot be mapped: %s", w->path, strerror(errno));
    w->map = map;
    return CE_OK;
}

int ce_weights_check_unchanged(const ce_weights *w, ce_error *err) {
    struct stat now;
    if (fstat(w->fd, &now) < 0)
        return ce_fail(err, CE_EIO, "%s: %s", w->path, strerror(errno));
    if (now.st_size != w->st.st_size || now.st_mtim.tv_sec != w->st.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != w->st.st_mtim.tv_nsec)
        return ce_fail(err, CE_EIO, "%s: was changed while it was in use", w->path);
    return CE_OK;
}

int ce_weights_sha256(const ce_weights *w, char out[65], ce_error *err) {
    int result = ce_sha256_descriptor(out, w->fd, w->path, err);
    return result < 0 ? result : ce_weights_check_unchanged(w, err);
}

void ce_weights_unmap(ce_weights *w) {
    if (w->map)
        munmap(w->map, w->size);
    w->map = NULL;
}

static int read_shape(const ce_weights *w, ce_tensor *t, const json_t *shape,
                      ce_error *err) {
    size_t rank = json_array_size(shape);
    if (!json_is_array(shape) || rank > CE_MAX_RANK)
        return ce_fail(err, CE_EFORMAT,
                       "%s: tensor %s: shape is not a list of at most %d sizes", w->path,
                       t->name, CE_MAX_RANK);
    t->rank = (int)rank;
    t->count = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *size = json_array_get(shape, i);
        json_int_t n = json_is_integer(size) ? json_integer_value(size) : -1;
        if (n < 0 || __builtin_mul_overflow(t->count, (size_t)n, &t->count))
            return ce_fail(err, CE_EFORMAT, "%s: tensor %s: impossible shape", w->path,
                           t->name);
        t->shape[i] = (size_t)n;
    }
    return CE_OK;
}

static int read_tensor(const ce_weights *w, ce_tensor *t, const char *name,
                       const json_t *entry, size_t data_size, ce_error *err) {
    t->name = name;
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_object(entry) || !dtype || json_object_size(entry) != 3 ||
        !json_is_array(offsets) || json_array_size(offsets) != 2)
        return ce_fail(
            err, CE_EFORMAT,
            "%s: tensor %s: needs dtype, shape and data_offsets, and nothing else", w->path,
            name);
    size_t width = 0;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, dtype) == 0) {
            t->dtype = dtypes[i].dtype;
            t->dtype_name = dtypes[i].name;
            width = dtypes[i].bytes;
        }
    if (!width)
        return ce_fail(err, CE_EUNSUPPORTED, "%s: tensor %s: unknown dtype %s", w->path,
                       name, dtype);
    int result = read_shape(w, t, json_object_get(entry, "shape"), err);
    if (result < 0)
        return result;
    const json_t *j0 = json_array_get(offsets, 0), *j1 = json_array_get(offsets, 1);
    json_int_t begin = json_is_integer(j0) ? json_integer_value(j0) : -1;
    json_int_t end = json_is_integer(j1) ? json_integer_value(j1) : -1;
    if (begin < 0 || end < begin || (uint64_t)end > data_size)
        return ce_fail(err, CE_EFORMAT,
                       "%s: tensor %s: its bytes lie outside the file (%s)", w->path, name,
                       "truncated, or a broken offset");
    t->bytes = (size_t)(end - begin);
    size_t needed;
    if (__builtin_mul_overflow(t->count, width, &needed) || needed != t->bytes)
        return ce_fail(err, CE_EFORMAT,
                       "%s: tensor %s: %zu bytes do not fit its shape and %s", w->path,
                       name, t->bytes, dtype);
    t->data = w->map + (w->size - data_size) + begin;
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
static int check_tiling(const ce_weights *w, size_t data_size, ce_error *err) {
    qsort(w->tensors, w->count, sizeof *w->tensors, by_place);
    const unsigned char *expected = w->map + (w->size - data_size);
    for (size_t i = 0; i < w->count; i++) {
        const ce_tensor *t = &w->tensors[i];
        if ((const unsigned char *)t->data != expected)
            return ce_fail(err, CE_EFORMAT, "%s: tensor %s: its bytes %s", w->path, t->name,
                           (const unsigned char *)t->data < expected
                               ? "overlap another tensor's"
                               : "leave a gap behind the tensor before");
        expected += t->bytes;
    }
    if (expected != w->map + w->size)
        return ce_fail(err, CE_EFORMAT, "%s: %zu bytes behind the last tensor", w->path,
                       (size_t)(w->map + w->size - expected));
    return CE_OK;
}

static int check_metadata(const ce_weights *w, const json_t *metadata, ce_error *err) {
    const char *key;
    json_t *value;
    bool fine = json_is_object(metadata);
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value) {
        fine = fine && json_is_string(value);
    }
    return fine ? CE_OK
                : ce_fail(err, CE_EFORMAT, "%s: __metadata__ must map names to strings",
                          w->path);
}

static int read_header(ce_weights *w, ce_error *err) {
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | w->map[i];
    if (length > MAX_HEADER)
        return ce_fail(err, CE_EFORMAT,
                       "%s: not a safetensors file (a header of %llu bytes)", w->path,
                       (unsigned long long)length);
    if (length > w->size - 8)
        return ce_fail(err, CE_EFORMAT, "%s: truncated: the header alone needs %llu bytes",
                       w->path, (unsigned long long)length);
    if (length == 0 || w->map[8] != '{')
        return ce_fail(err, CE_EFORMAT, "%s: not a safetensors file (no header)", w->path);
    json_error_t e; /* not ce_json_parse, which lets an offset of 2^63 pass as a real */
    w->header =
        json_loadb((const char *)w->map + 8, (size_t)length, JSON_REJECT_DUPLICATES, &e);
    if (!w->header)
        return ce_fail(err, CE_EFORMAT, "%s: line %d of the header: %s", w->path, e.line,
                       e.text);
    size_t data_size = w->size - 8 - (size_t)length;
    w->tensors = calloc(json_object_size(w->header) + 1, sizeof *w->tensors);
    if (!w->tensors)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", w->path);
    const char *name;
    json_t *entry;
    int result;
    json_object_foreach(w->header, name, entry) {
        if (strcmp(name, "__metadata__") == 0)
            result = check_metadata(w, entry, err);
        else
            result = read_tensor(w, &w->tensors[w->count++], name, entry, data_size, err);
        if (result < 0)
            return result;
    }
    return check_tiling(w, data_size, err);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const ce_tensor *)a)->name, ((const ce_tensor *)b)->name);
}

int ce_weights_open(ce_weights **out, const char *path, ce_error *err) {
    *out = NULL;
    ce_weights *w = calloc(1, sizeof *w);
    int result = CE_ENOMEM;
    if (w)
        w->fd = -1;
    if (w && (w->path = strdup(path))) {
        result = map_file(w, err);
        if (result == CE_OK)
            result = read_header(w, err);
    } else {
        ce_fail(err, CE_ENOMEM, "%s: out of memory", path);
    }
    if (result < 0) {
        ce_weights_free(w);
        return result;
    }
    qsort(w->tensors, w->count, sizeof *w->tensors, by_name);
    *out = w;
    return CE_OK;
}

void ce_weights_free(ce_weights *w) {
    if (!w)
        return;
    ce_weights_unmap(w);
    if (w->fd >= 0)
        close(w->fd);
    json_decref(w->header);
    free(w->tensors);
    free(w->path);
    free(w);
}

void ce_weights_shapes_only(ce_weights *w, bool on) {
    w->shapes_only = on;
}

bool ce_weights_is_shapes_only(const ce_weights *w) {
    return w->shapes_only;
}

const char *ce_weights_path(const ce_weights *w) {
    return w->path;
}

ce_tensor *ce_weights_find(const ce_weights *w, const char *name) {
    ce_tensor key = {.name = name};
    return w->count ? bsearch(&key, w->tensors, w->count, sizeof key, by_name) : NULL;
}

static void print_shape(char *out, size_t size, int rank, const size_t *shape) {
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < rank && used + 24 < size; i++)
        used += (size_t)snprintf(out + used, size - used, shape[i] ? "%s%zu" : "%s?",
                                 i ? " x " : "", shape[i]);
    if (rank == 0)
        snprintf(out, size, "one number");
}

int ce_weights_take(ce_weights *w, ce_tensor **out, const char *name, int rank,
                    const size_t *shape, ce_error *err) {
    ce_tensor *t = ce_weights_find(w, name);
    if (!t)
        return ce_fail(err, CE_EFORMAT, "%s: no tensor %s", w->path, name);
    bool same = t->rank == rank;
    for (int i = 0; same && i < rank; i++)
        same = shape[i] == 0 || shape[i] == t->shape[i];
    if (!same) {
        char is[128], wanted[128];
        print_shape(is, sizeof is, t->rank, t->shape);
        print_shape(wanted, sizeof wanted, rank, shape);
        return ce_fail(err, CE_EFORMAT, "%s: tensor %s is %s, expected %s", w->path, name,
                       is, wanted);
    }
    if (t->dtype > CE_BF16)
        return ce_fail(err, CE_EUNSUPPORTED, "%s: tensor %s: weights of type %s", w->path,
                       name, t->dtype_name);
    t->used = true;
    *out = t;
    return CE_OK;
}

int ce_tensor_widen(const ce_weights *w, const ce_tensor *t, float *out, size_t first,
                    size_t n, ce_error *err) {
    if (w->shapes_only) {
        memset(out, 0, n * sizeof *out);
        return CE_OK;
    }
    size_t width = t->dtype == CE_F32 ? 4 : 2;
    const unsigned char *from = (const unsigned char *)t->data + first * width;
    if (ce_kernels_get()->widen(out, from, t->dtype, n))
        return CE_OK;
    return ce_fail(err, CE_EFORMAT, "%s: tensor %s holds NaN or infinity", w->path,
                   t->name);
}

float *ce_floats_new(size_t n) {
    const size_t huge = 2u << 20;
    size_t bytes;
    void *memory = NULL;
    if (__builtin_add_overflow(n, CE_MAX_LANES, &n) ||
        __builtin_mul_overflow(n, sizeof(float), &bytes) ||
        posix_memalign(&memory, bytes < huge ? 64 : huge, bytes) != 0)
        return NULL;
    if (bytes >= huge)
        madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

int ce_weights_take_floats(ce_weights *w, float **out, const char *name, int rank,
                           const size_t *shape, ce_error *err) {
    ce_tensor *t;
    int result = ce_weights_take(w, &t, name, rank, shape, err);
    if (result < 0)
        return result;
    if (w->shapes_only) { /* pages that stay untouched cost nothing */
        *out = calloc(t->count + CE_MAX_LANES, sizeof **out);
        return *out ? CE_OK : ce_fail(err, CE_ENOMEM, "%s: out of memory", w->path);
    }
    *out = ce_floats_new(t->count);
    if (!*out)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", w->path);
    return ce_tensor_widen(w, t, *out, 0, t->count, err);
}

void ce_tensor_release(const ce_tensor *t) {
    /* Only whole pages that are the tensor's own; a private read-only mapping comes back
     * from the file when it is touched again. */
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)t->data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)t->data + t->bytes) / page * page;
    if (end > begin)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

int ce_weights_check_all_used(const ce_weights *w, ce_error *err) {
    static const char *const buffers[] = {"position_ids", "attn_mask",
                                          "num_batches_tracked"};
    for (size_t i = 0; i < w->count; i++) {
        const ce_tensor *t = &w->tensors[i];
        bool known = t->used;
        for (size_t b = 0; b < sizeof buffers / sizeof *buffers; b++)
            known = known || ends_with(t->name, buffers[b]);
        if (!known)
            return ce_fail(err, CE_EFORMAT,
                           "%s: tensor %s has no place in the architecture that the "
                           "configuration describes",
                           w->path, t->name);
    }
    return CE_OK;
}

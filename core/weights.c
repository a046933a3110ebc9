#include "weights_internal.h"

#include "fs.h"
#include "unicode.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_TENSORS ((size_t)1 << 18)

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
    {"C64", CE_OTHER_DTYPE, 8},
    {"C128", CE_OTHER_DTYPE, 16}, /* this and what follows: torch's only */
    {"QI8", CE_OTHER_DTYPE, 1},
    {"QU8", CE_OTHER_DTYPE, 1},
    {"QI32", CE_OTHER_DTYPE, 4},
};

size_t ce_tensor_set_dtype(ce_tensor *t, const char *dtype_name) {
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, dtype_name) == 0) {
            t->dtype = dtypes[i].dtype;
            t->dtype_name = dtypes[i].name;
            return dtypes[i].bytes;
        }
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const ce_tensor *)a)->name, ((const ce_tensor *)b)->name);
}

int ce_weights_add(ce_tensor **out, ce_weights *w, const ce_weights_file *f,
                   const char *name, size_t size, ce_error *err) {
    if (w->count == w->room) {
        size_t room = w->room ? 2 * w->room : 256;
        ce_tensor *moved = realloc(w->tensors, room * sizeof *moved);
        if (!moved)
            return ce_fail(err, CE_ENOMEM, "%s: out of memory", f->path);
        w->tensors = moved;
        w->room = room;
    }
    if (w->count == MAX_TENSORS)
        return ce_fail(err, CE_EUNSUPPORTED, "%s: more than %zu tensors", f->path,
                       MAX_TENSORS);
    if (ce_utf8_prefix(name, size) != size || memchr(name, '\0', size))
        return ce_fail(err, CE_EFORMAT, "%s: a tensor's name is not UTF-8", f->path);
    ce_tensor *t = &w->tensors[w->count];
    *t = (ce_tensor){.name = ce_arena_text(&w->arena, name, size), .file = f->path};
    if (!t->name)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", f->path);
    w->count++;
    *out = t;
    return CE_OK;
}

int ce_weights_sort(ce_weights *w, ce_error *err) {
    if (w->count)
        qsort(w->tensors, w->count, sizeof *w->tensors, by_name);
    for (size_t i = 1; i < w->count; i++) {
        const ce_tensor *t = &w->tensors[i], *before = t - 1;
        if (by_name(before, t) != 0)
            continue;
        bool shards = before->file != t->file;
        return ce_fail(err, CE_EFORMAT, "%s: tensor %s is there twice%s%s", t->file,
                       t->name, shards ? ", and so in " : "", shards ? before->file : "");
    }
    return CE_OK;
}

/* What wraps a model puts its own name before every tensor's: "module." (training on
 * several devices), "model.", "_orig_mod.". The temperature, which every CLIP has, shows
 * it. */
static void drop_prefix(ce_weights *w) {
    static const char mark[] = "logit_scale";
    const char *prefix = "module.";
    size_t n = strlen(prefix);
    bool found = false;
    for (size_t i = 0; i < w->count && !found; i++) {
        const char *name = w->tensors[i].name, *end = name + strlen(name);
        if ((size_t)(end - name) >= sizeof mark && end[-(ptrdiff_t)sizeof mark] == '.' &&
            strcmp(end - (sizeof mark - 1), mark) == 0) {
            found = true;
            prefix = name;
            n = (size_t)(end - name) - (sizeof mark - 1);
        }
    }
    for (size_t i = 0; i < w->count; i++)
        if (strncmp(w->tensors[i].name, prefix, n) != 0)
            return;
    for (size_t i = 0; i < w->count; i++)
        w->tensors[i].name += n;
}

int ce_weights_open(ce_weights **out, const char *path, ce_error *err) {
    *out = NULL;
    ce_weights *w = calloc(1, sizeof *w);
    if (w && (w->files = calloc(1, sizeof *w->files))) {
        w->file_count = 1;
        w->files[0].fd = -1;
        w->files[0].path = strdup(path);
    }
    int result = w && w->files && w->files[0].path
                     ? ce_weights_read_all(w, err)
                     : ce_fail(err, CE_ENOMEM, "%s: out of memory", path);
    if (result == CE_OK)
        result = ce_weights_sort(w, err);
    if (w && ce_weights_check_unchanged(w, err) < 0) /* whatever seemed wrong with it */
        result = CE_EIO;
    if (result < 0) {
        ce_weights_free(w);
        return result;
    }
    drop_prefix(w);
    *out = w;
    return CE_OK;
}

void ce_weights_unmap(ce_weights *w) {
    for (size_t i = 0; i < w->file_count; i++) {
        ce_weights_file *f = &w->files[i];
        ce_guard_free(f->guard);
        f->guard = NULL;
        if (f->map)
            munmap((void *)(uintptr_t)f->map, f->size);
        f->map = NULL;
    }
}

void ce_weights_free(ce_weights *w) {
    if (!w)
        return;
    ce_weights_unmap(w);
    for (size_t i = 0; i < w->file_count; i++) {
        if (w->files[i].fd >= 0)
            close(w->files[i].fd);
        free(w->files[i].path);
    }
    free(w->files);
    free(w->tensors);
    ce_arena_free(&w->arena);
    free(w);
}

static int check_file(const ce_weights_file *f, ce_error *err) {
    struct stat now;
    if (f->fd < 0)
        return CE_OK;
    if (fstat(f->fd, &now) < 0)
        return ce_fail(err, CE_EIO, "%s: %s", f->path, strerror(errno));
    if (now.st_size != f->st.st_size || now.st_mtim.tv_sec != f->st.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != f->st.st_mtim.tv_nsec)
        return ce_fail(err, CE_EIO, "%s: was changed while it was in use", f->path);
    if (ce_guard_tripped(f->guard)) /* cut and made whole again, or the disk */
        return ce_fail(err, CE_EIO, "%s: could not be read while it was in use", f->path);
    return CE_OK;
}

/* What was not there has been read as zeros: an error, and which. */
static int check_guards(const ce_weights *w, ce_error *err) {
    for (size_t i = 0; i < w->file_count; i++)
        if (ce_guard_tripped(w->files[i].guard))
            return check_file(&w->files[i], err);
    return CE_OK;
}

int ce_weights_check_unchanged(const ce_weights *w, ce_error *err) {
    int result = CE_OK;
    for (size_t i = 0; i < w->file_count && result == CE_OK; i++)
        result = check_file(&w->files[i], err);
    return result;
}

static const char *file_name(const ce_weights_file *f) {
    const char *slash = strrchr(f->path, '/');
    return slash ? slash + 1 : f->path;
}

/* Of all files: "HEX  NAME\n" of each, by name. The shards are in order; the index, which
 * is files[0], goes where its name belongs. */
static int hash_files(const ce_weights *w, char out[65], ce_error *err) {
    char *text = NULL;
    size_t size = 0, i = 1;
    bool index_done = false;
    FILE *list = open_memstream(&text, &size);
    int result =
        list ? CE_OK : ce_fail(err, CE_ENOMEM, "%s: out of memory", w->files->path);
    while (result == CE_OK && (i < w->file_count || !index_done)) {
        const ce_weights_file *f = &w->files[i < w->file_count ? i : 0];
        if (!index_done && strcmp(file_name(&w->files[0]), file_name(f)) <= 0)
            f = &w->files[0];
        index_done = index_done || f == &w->files[0];
        i += f != &w->files[0];
        char hex[65];
        result = ce_sha256_descriptor(hex, f->fd, f->path, err);
        if (result == CE_OK)
            fprintf(list, "%s  %s\n", hex, file_name(f));
    }
    if (list && fclose(list) != 0)
        result = ce_fail(err, CE_ENOMEM, "%s: out of memory", w->files->path);
    if (result == CE_OK)
        ce_sha256(out, text, size);
    free(text);
    return result;
}

int ce_weights_sha256(const ce_weights *w, char out[65], ce_error *err) {
    const ce_weights_file *f = &w->files[0];
    int result = w->file_count == 1 ? ce_sha256_descriptor(out, f->fd, f->path, err)
                                    : hash_files(w, out, err);
    return result < 0 ? result : ce_weights_check_unchanged(w, err);
}

ce_stamp ce_weights_stamp(const ce_weights *w) {
    ce_stamp all = {.is_settled = true};
    for (size_t i = 0; i < w->file_count; i++) {
        const ce_weights_file *f = &w->files[i];
        ce_stamp one = ce_stamp_of(&f->st, 0, 0);
        ce_digest name = ce_digest_of(file_name(f), strlen(file_name(f)));
        one.place = ce_digest_join("weights", &one.place, &name);
        all.place = ce_digest_join("weights", &all.place, &one.place);
        all.state = ce_digest_join("weights", &all.state, &one.state);
        all.is_settled = all.is_settled && one.is_settled;
    }
    return all;
}

void ce_weights_shapes_only(ce_weights *w, bool on) {
    w->shapes_only = on;
}

bool ce_weights_is_shapes_only(const ce_weights *w) {
    return w->shapes_only;
}

const char *ce_weights_path(const ce_weights *w) {
    return w->files[0].path;
}

const char *ce_weights_format(const ce_weights *w) {
    return w->format;
}

bool ce_weights_is_torchscript(const ce_weights *w) {
    return w->torchscript;
}

size_t ce_weights_count(const ce_weights *w) {
    return w->count;
}

ce_tensor *ce_weights_at(ce_weights *w, size_t i) {
    return &w->tensors[i];
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

static bool is_f64(const ce_tensor *t) {
    return t->dtype == CE_OTHER_DTYPE && strcmp(t->dtype_name, "F64") == 0;
}

int ce_weights_take(ce_weights *w, ce_tensor **out, const char *name, int rank,
                    const size_t *shape, ce_error *err) {
    ce_tensor *t = ce_weights_find(w, name);
    if (!t)
        return ce_fail(err, CE_EFORMAT, "%s: no tensor %s", ce_weights_path(w), name);
    bool same = t->rank == rank;
    for (int i = 0; same && i < rank; i++)
        same = shape[i] == 0 || shape[i] == t->shape[i];
    if (!same) {
        char is[128], wanted[128];
        print_shape(is, sizeof is, t->rank, t->shape);
        print_shape(wanted, sizeof wanted, rank, shape);
        return ce_fail(err, CE_EFORMAT, "%s: tensor %s is %s, expected %s", t->file, name,
                       is, wanted);
    }
    if (t->dtype > CE_BF16 && !is_f64(t))
        return ce_fail(err, CE_EUNSUPPORTED, "%s: tensor %s: weights of type %s", t->file,
                       name, t->dtype_name);
    t->used = true;
    *out = t;
    return CE_OK;
}

/* Doubles are rounded to float32, as torch's .float() does. */
static bool narrow(float *out, const unsigned char *from, size_t n) {
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        double x;
        memcpy(&x, from + i * sizeof x, sizeof x);
        out[i] = (float)x;
        finite = finite && isfinite(out[i]);
    }
    return finite;
}

int ce_tensor_widen(const ce_weights *w, const ce_tensor *t, float *out, size_t first,
                    size_t n, ce_error *err) {
    if (w->shapes_only) {
        memset(out, 0, n * sizeof *out);
        return CE_OK;
    }
    const unsigned char *data = t->data;
    size_t width = t->dtype == CE_F32 ? 4 : 2;
    bool finite = is_f64(t)
                      ? narrow(out, data + first * 8, n)
                      : ce_kernels_get()->widen(out, data + first * width, t->dtype, n);
    int result = check_guards(w, err);
    if (result < 0 || finite)
        return result;
    return ce_fail(err, CE_EFORMAT, "%s: tensor %s holds NaN or infinity", t->file,
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
        return *out ? CE_OK
                    : ce_fail(err, CE_ENOMEM, "%s: out of memory", ce_weights_path(w));
    }
    *out = ce_floats_new(t->count);
    if (!*out)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", ce_weights_path(w));
    return ce_tensor_widen(w, t, *out, 0, t->count, err);
}

void ce_tensor_release(const ce_tensor *t) {
    if (t->copied)
        return;
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

/* What checkpoints hold besides weights; the sizes are those of OpenAI's archives. */
static bool is_buffer(const ce_tensor *t) {
    static const char *const buffers[] = {"position_ids", "attn_mask",
                                          "num_batches_tracked"};
    static const char *const sizes[] = {"input_resolution", "context_length", "vocab_size"};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (ends_with(t->name, buffers[i]))
            return true;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (t->rank == 0 && strcmp(t->name, sizes[i]) == 0)
            return true;
    return false;
}

const ce_tensor *ce_weights_unused(const ce_weights *w, size_t *i) {
    while (*i < w->count) {
        const ce_tensor *t = &w->tensors[(*i)++];
        if (!t->used && !is_buffer(t))
            return t;
    }
    return NULL;
}

#include "onednn.h"

#include "cpu.h"

#include <dlfcn.h>
#include <dnnl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is used of the library. */
#define FUNCTIONS(X)                                                                       \
    X(version)                                                                             \
    X(engine_create)                                                                       \
    X(stream_create)                                                                       \
    X(memory_desc_init_by_tag)                                                             \
    X(memory_desc_get_size)                                                                \
    X(memory_create)                                                                       \
    X(memory_destroy)                                                                      \
    X(memory_set_data_handle)                                                              \
    X(primitive_attr_create)                                                               \
    X(primitive_attr_destroy)                                                              \
    X(primitive_attr_set_scratchpad_mode)                                                  \
    X(inner_product_forward_desc_init)                                                     \
    X(primitive_desc_create)                                                               \
    X(primitive_desc_destroy)                                                              \
    X(primitive_desc_query)                                                                \
    X(primitive_desc_query_md)                                                             \
    X(primitive_create)                                                                    \
    X(primitive_destroy)                                                                   \
    X(primitive_execute)                                                                   \
    X(reorder_primitive_desc_create)

static struct {
#define X(name) __typeof__(dnnl_##name) *name;
    FUNCTIONS(X)
#undef X
    void (*set_threads)(int); /* OpenMP's, for the calling thread */
    dnnl_engine_t engine;
    dnnl_stream_t stream; /* holds nothing that a call on the CPU changes */
} dnnl;

static bool loaded;

/* Sums are kept on the stack of the thread that computes, and so is this. */
enum { MAX_SCRATCH = 64 * 1024 };

struct ce_product {
    ce_precision precision;
    size_t n, k;
    ce_product *next;
    bool usable;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t x, w, y, scratch;
    char description[96];
};

static ce_product *products; /* all that were asked for */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* POSIX lets dlsym's pointer be a function; ISO C has no cast for it. */
static bool find(void *handle, const char *name, void *function) {
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

/* Under the lock. */
static bool load(void) {
    static bool tried;
    if (tried)
        return loaded;
    tried = true;
    void *handle = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return false;
    bool found = find(handle, "omp_set_num_threads", &dnnl.set_threads);
#define X(name) found = found && find(handle, "dnnl_" #name, &dnnl.name);
    FUNCTIONS(X)
#undef X
    loaded = found && dnnl.engine_create(&dnnl.engine, dnnl_cpu, 0) == dnnl_success &&
             dnnl.stream_create(&dnnl.stream, dnnl.engine, dnnl_stream_default_flags) ==
                 dnnl_success;
    return loaded;
}

/* The workers of core/pipeline are the threads; OpenMP's wish is kept a thread. */
static void be_single_threaded(void) {
    static _Thread_local bool done;
    if (!done)
        dnnl.set_threads(1);
    done = true;
}

static bool matrix(dnnl_memory_desc_t *out, size_t rows, size_t cols, dnnl_data_type_t type,
                   dnnl_format_tag_t tag) {
    dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)cols};
    return dnnl.memory_desc_init_by_tag(out, 2, dims, type, tag) == dnnl_success;
}

static dnnl_data_type_t weight_type(const ce_product *p) {
    return p->precision == CE_INT8 ? dnnl_s8 : dnnl_bf16;
}

static bool describe_operands(ce_product *p, dnnl_memory_desc_t *any) {
    bool int8 = p->precision == CE_INT8;
    return matrix(&p->x, CE_PRODUCT_ROWS, p->k, int8 ? dnnl_u8 : dnnl_bf16, dnnl_ab) &&
           matrix(any, p->n, p->k, weight_type(p), dnnl_format_tag_any) &&
           matrix(&p->y, CE_PRODUCT_ROWS, p->n, int8 ? dnnl_s32 : dnnl_f32, dnnl_ab);
}

/* A kernel "brgemm:avx512_core_vnni" is what we came for; one of another name is slower
 * than our own float32, or rounds otherwise. */
static bool is_fit(ce_product *p, dnnl_primitive_desc_t pd) {
    const char *name = "";
    dnnl.primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    const char *set = strstr(name, "avx512");
    const dnnl_version_t *v = dnnl.version();
    snprintf(p->description, sizeof p->description, "oneDNN %d.%d.%d %s", v->major,
             v->minor, v->patch, set ? set : name);
    return strncmp(name, "br", 2) == 0 && set &&
           (strstr(set, "amx") || strstr(set, p->precision == CE_INT8 ? "vnni" : "bf16"));
}

static bool create(ce_product *p) {
    dnnl_memory_desc_t any;
    dnnl_inner_product_desc_t wish;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    bool done =
        describe_operands(p, &any) &&
        dnnl.inner_product_forward_desc_init(&wish, dnnl_forward_inference, &p->x, &any,
                                             NULL, &p->y) == dnnl_success &&
        dnnl.primitive_attr_create(&attr) == dnnl_success &&
        dnnl.primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) ==
            dnnl_success &&
        dnnl.primitive_desc_create(&pd, &wish, attr, dnnl.engine, NULL) == dnnl_success &&
        is_fit(p, pd) && dnnl.primitive_create(&p->primitive, pd) == dnnl_success;
    if (done) {
        p->w = *dnnl.primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
        p->scratch = *dnnl.primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        done = dnnl.memory_desc_get_size(&p->scratch) <= MAX_SCRATCH;
    }
    if (pd)
        dnnl.primitive_desc_destroy(pd);
    if (attr)
        dnnl.primitive_attr_destroy(attr);
    return done;
}

typedef struct proof {
    const ce_product *p;
    bool holds;
} proof;

static void check_sums(void *context, size_t block, const void *sums) {
    (void)block;
    proof *f = context;
    for (size_t i = 0; i < CE_PRODUCT_ROWS * f->p->n; i++)
        f->holds =
            f->holds && (f->p->precision == CE_INT8
                             ? ((const int32_t *)sums)[i] == 255 * 127 * (int32_t)f->p->k
                             : ((const float *)sums)[i] == 3 * (float)f->p->k);
}

/* Whether the largest products of int8 add up (a kernel for CPUs without VNNI adds pairs in
 * 16 bits); for bfloat16, whether 1.5 * 2 does. */
static bool prove(const ce_product *p) {
    bool int8 = p->precision == CE_INT8;
    size_t bytes = int8 ? 1 : 2, most = p->n > CE_PRODUCT_ROWS ? p->n : CE_PRODUCT_ROWS;
    unsigned char *values = malloc(most * p->k * bytes);
    void *packed = aligned_alloc(64, ce_product_packed_size(p));
    proof f = {p, true};
    const uint16_t two = 0x4000, one_and_a_half = 0x3fc0;
    for (size_t i = 0; values && i < p->n * p->k; i++)
        memcpy(values + i * bytes, int8 ? (const void *)"\x7f" : &two, bytes);
    bool done = values && packed && ce_product_pack(p, packed, values);
    for (size_t i = 0; done && i < CE_PRODUCT_ROWS * p->k; i++)
        memcpy(values + i * bytes, int8 ? (const void *)"\xff" : &one_and_a_half, bytes);
    done = done && ce_product_run(p, values, packed, 1, check_sums, &f) && f.holds;
    free(values);
    free(packed);
    return done;
}

/* AVX-512 off by CLIPEVAL_SIMD means oneDNN off. */
static bool is_worth_asking(ce_precision precision) {
    return precision == CE_INT8 ? ce_cpu_has_vnni() : ce_cpu_has_bf16();
}

const ce_product *ce_product_get(ce_precision precision, size_t n, size_t k) {
    if (!is_worth_asking(precision) || n > CE_PRODUCT_COLUMNS)
        return NULL;
    pthread_mutex_lock(&lock);
    ce_product *p = products;
    while (p && (p->precision != precision || p->n != n || p->k != k))
        p = p->next;
    if (!p && load() && (p = calloc(1, sizeof *p)) != NULL) {
        be_single_threaded();
        *p = (ce_product){.precision = precision, .n = n, .k = k, .next = products};
        p->usable = create(p) && prove(p);
        products = p;
    }
    pthread_mutex_unlock(&lock);
    return p && p->usable ? p : NULL;
}

size_t ce_product_packed_size(const ce_product *p) {
    return (dnnl.memory_desc_get_size(&p->w) + 63) / 64 * 64;
}

const char *ce_product_description(const ce_product *p) {
    return p->description;
}

static dnnl_memory_t memory(const dnnl_memory_desc_t *md, const void *data) {
    dnnl_memory_t m = NULL;
    void *handle;
    memcpy(&handle, &data, sizeof handle); /* what is only read comes const */
    return dnnl.memory_create(&m, md, dnnl.engine, handle) == dnnl_success ? m : NULL;
}

static void destroy(dnnl_exec_arg_t *args, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (args[i].memory)
            dnnl.memory_destroy(args[i].memory);
}

bool ce_product_pack(const ce_product *p, void *packed, const void *weights) {
    dnnl_memory_desc_t plain;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    be_single_threaded();
    bool done = matrix(&plain, p->n, p->k, weight_type(p), dnnl_ab) &&
                dnnl.reorder_primitive_desc_create(&pd, &plain, dnnl.engine, &p->w,
                                                   dnnl.engine, NULL) == dnnl_success &&
                dnnl.primitive_create(&reorder, pd) == dnnl_success;
    if (done) {
        dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, memory(&plain, weights)},
                                  {DNNL_ARG_TO, memory(&p->w, packed)}};
        done = args[0].memory && args[1].memory &&
               dnnl.primitive_execute(reorder, dnnl.stream, 2, args) == dnnl_success;
        destroy(args, 2);
    }
    if (reorder)
        dnnl.primitive_destroy(reorder);
    if (pd)
        dnnl.primitive_desc_destroy(pd);
    return done;
}

bool ce_product_run(const ce_product *p, const void *x, const void *packed, size_t blocks,
                    void (*take)(void *context, size_t block, const void *sums),
                    void *context) {
    _Alignas(64) int32_t sums[CE_PRODUCT_ROWS * CE_PRODUCT_COLUMNS]; /* or floats */
    _Alignas(64) unsigned char scratch[MAX_SCRATCH];
    size_t bytes = CE_PRODUCT_ROWS * p->k * (p->precision == CE_INT8 ? 1 : 2);
    be_single_threaded();
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, memory(&p->x, x)},
                              {DNNL_ARG_WEIGHTS, memory(&p->w, packed)},
                              {DNNL_ARG_DST, memory(&p->y, sums)},
                              {DNNL_ARG_SCRATCHPAD, memory(&p->scratch, scratch)}};
    bool done = args[0].memory && args[1].memory && args[2].memory && args[3].memory;
    for (size_t i = 0; i < blocks && done; i++) {
        const char *block = (const char *)x + i * bytes;
        void *handle;
        memcpy(&handle, &block, sizeof handle);
        done = dnnl.memory_set_data_handle(args[0].memory, handle) == dnnl_success &&
               dnnl.primitive_execute(p->primitive, dnnl.stream, 4, args) == dnnl_success;
        if (done)
            take(context, i, sums);
    }
    destroy(args, 4);
    return done;
}

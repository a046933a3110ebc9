#include "blas.h"

#include "cpu.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ce_blas_library library;
static const ce_blas_library *loaded; /* NULL: not to be had */

static const char *fitting_kernels(void) {
    switch (ce_cpu_widest_simd()) {
    case CE_SIMD_AVX512:
        return "SKYLAKEX";
    case CE_SIMD_AVX2:
        return "HASWELL";
    default:
        return NULL; /* its own choice stands */
    }
}

/* "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..." and "SkylakeX" */
static void describe(const char *config, const char *kernels) {
    char version[64];
    snprintf(version, sizeof version, "%s", config);
    char *space = strchr(version, ' ');
    space = space ? strchr(space + 1, ' ') : NULL;
    if (space)
        *space = '\0';
    snprintf(library.description, sizeof library.description, "%s, kernel %s", version,
             kernels);
}

/* POSIX lets dlsym's pointer be a function; ISO C has no cast for it. */
static void find(void *handle, const char *name, void *function) {
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof symbol);
}

static void load(void) {
    const char *kernels = fitting_kernels();
    if (kernels)
        setenv("OPENBLAS_CORETYPE", kernels, 0);
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    void *handle = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return;
    char *(*config)(void), *(*core)(void);
    void (*set_threads)(int);
    find(handle, "cblas_sgemm", &library.sgemm);
    find(handle, "cblas_dgemm", &library.dgemm);
    find(handle, "openblas_get_config", &config);
    find(handle, "openblas_get_corename", &core);
    find(handle, "openblas_set_num_threads", &set_threads);
    if (!library.sgemm || !library.dgemm || !config || !core || !set_threads)
        return;
    set_threads(1);
    describe(config(), core());
    loaded = &library;
}

const ce_blas_library *ce_blas(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return loaded;
}

const char *ce_blas_description(void) {
    return ce_blas() ? ce_blas()->description : "OpenBLAS: not installed";
}

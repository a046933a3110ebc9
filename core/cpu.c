#include "cpu.h"

#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ce_simd detect_simd(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return CE_SIMD_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return CE_SIMD_AVX2;
#endif
    return CE_SIMD_BASE;
}

ce_simd ce_cpu_simd(void) {
    ce_simd simd = detect_simd();
    const char *limit = getenv("CLIPEVAL_SIMD");
    if (limit && strcmp(limit, "base") == 0)
        return CE_SIMD_BASE;
    if (limit && strcmp(limit, "avx2") == 0 && simd > CE_SIMD_AVX2)
        return CE_SIMD_AVX2;
    return simd;
}

const char *ce_cpu_openblas_core(void) {
    switch (detect_simd()) {
    case CE_SIMD_AVX512:
        return "SKYLAKEX";
    case CE_SIMD_AVX2:
        return "HASWELL";
    default:
        return NULL;
    }
}

static char blas_text[160];

static void describe_blas(void) {
    /* "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..." and "SkylakeX" */
    char version[64];
    snprintf(version, sizeof version, "%s", openblas_get_config());
    char *space = strchr(version, ' ');
    space = space ? strchr(space + 1, ' ') : NULL;
    if (space)
        *space = '\0';
    snprintf(blas_text, sizeof blas_text, "%s, kernel %s", version,
             openblas_get_corename());
}

const char *ce_blas_description(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, describe_blas);
    return blas_text;
}

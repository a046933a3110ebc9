#include "cpu.h"

#include <stdlib.h>
#include <string.h>

ce_simd ce_cpu_widest_simd(void) {
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
    ce_simd simd = ce_cpu_widest_simd();
    const char *limit = getenv("CLIPEVAL_SIMD");
    if (limit && strcmp(limit, "base") == 0)
        return CE_SIMD_BASE;
    if (limit && strcmp(limit, "avx2") == 0 && simd > CE_SIMD_AVX2)
        return CE_SIMD_AVX2;
    return simd;
}

bool ce_cpu_has_vnni(void) {
#if defined(__x86_64__)
    return ce_cpu_simd() == CE_SIMD_AVX512 && __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

bool ce_cpu_has_bf16(void) {
#if defined(__x86_64__)
    return ce_cpu_simd() == CE_SIMD_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

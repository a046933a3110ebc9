#include "cpu.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

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

static bool is_limited_to(const char *set) {
    const char *limit = getenv("CLIPEVAL_SIMD");
    return limit && strcmp(limit, set) == 0;
}

ce_simd ce_cpu_simd(void) {
    ce_simd simd = ce_cpu_widest_simd();
    if (is_limited_to("base"))
        return CE_SIMD_BASE;
    if ((is_limited_to("avx2") || is_limited_to("avxvnni")) && simd > CE_SIMD_AVX2)
        return CE_SIMD_AVX2;
    return simd;
}

#if defined(__x86_64__)
/* What not every CPU with AVX-512 has. */
static bool is_beyond_avx512(void) {
    return ce_cpu_simd() == CE_SIMD_AVX512 && !is_limited_to("avx512");
}
#endif

bool ce_cpu_has_vnni(void) {
#if defined(__x86_64__)
    return is_beyond_avx512() && __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

bool ce_cpu_has_bf16(void) {
#if defined(__x86_64__)
    return is_beyond_avx512() && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

bool ce_cpu_has_avx_vnni(void) {
#if defined(__x86_64__)
    const unsigned avx_vnni = 1u << 4; /* EAX of leaf 7, 1 */
    unsigned a, b, c, d;
    return ce_cpu_simd() == CE_SIMD_AVX2 && !is_limited_to("avx2") &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & avx_vnni);
#else
    return false;
#endif
}

bool ce_cpu_has_amx(void) {
#if defined(__x86_64__)
    const unsigned amx_int8 = 1u << 25; /* EDX of leaf 7 */
    unsigned a, b, c, d;
    return ce_cpu_has_vnni() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & amx_int8);
#else
    return false;
#endif
}

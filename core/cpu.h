/* What this processor offers. */
#ifndef CE_CPU_H
#define CE_CPU_H

#include <limits.h> /* tells which C library this is */
#include <stdbool.h>

/* Before a function of plain loops: also compiled for AVX2; which one runs is settled when
 * the program is loaded. (Thread sanitizer has no ifuncs.) */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_THREAD__)
#define CE_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CE_CLONES
#endif

typedef enum ce_simd {
    CE_SIMD_BASE,  /* what every CPU of this architecture has */
    CE_SIMD_AVX2,  /* x86-64-v3: AVX2 and FMA */
    CE_SIMD_AVX512 /* x86-64-v4: AVX-512 F, BW, CD, DQ, VL */
} ce_simd;

/* The widest kernels this CPU and its operating system can run. CLIPEVAL_SIMD=base|avx2|
 * avxvnni in the environment lowers it (to test the narrower ones). */
ce_simd ce_cpu_simd(void);

/* The same, whatever the environment says. */
ce_simd ce_cpu_widest_simd(void);

/* Whether beside AVX-512 it multiplies 8-bit integers (VNNI), or bfloat16, in one step;
 * CLIPEVAL_SIMD=base|avx2|avxvnni|avx512 says no to both. */
bool ce_cpu_has_vnni(void);
bool ce_cpu_has_bf16(void);

/* Whether it does so to 8-bit integers beside AVX2, where there is no AVX-512 (AVX-VNNI);
 * CLIPEVAL_SIMD=base|avx2|avx512 says no. */
bool ce_cpu_has_avx_vnni(void);

/* Whether it multiplies tiles of 8-bit integers (AMX). */
bool ce_cpu_has_amx(void);

#endif

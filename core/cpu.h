/* What this processor offers, and what OpenBLAS makes of it.
 *
 * Debian 12's OpenBLAS 0.3.21 does not know every newer CPU and falls back to kernels of
 * 2004 there (an Emerald Rapids becomes a Prescott). It reads OPENBLAS_CORETYPE when it is
 * loaded, so a program asks ce_cpu_openblas_core() first, sets the variable, and executes
 * itself once more; see lua/main.c.
 */
#ifndef CE_CPU_H
#define CE_CPU_H

typedef enum ce_simd {
    CE_SIMD_BASE,  /* what every CPU of this architecture has */
    CE_SIMD_AVX2,  /* x86-64-v3: AVX2 and FMA */
    CE_SIMD_AVX512 /* x86-64-v4: AVX-512 F, BW, CD, DQ, VL */
} ce_simd;

/* The widest kernels this CPU and its operating system can run. CLIPEVAL_SIMD=base|avx2
 * in the environment lowers it (to test the narrower ones). */
ce_simd ce_cpu_simd(void);

/* The OPENBLAS_CORETYPE that fits this CPU, or NULL where OpenBLAS's own choice should
 * stand (not x86-64, or no AVX2). Calls nothing of OpenBLAS. */
const char *ce_cpu_openblas_core(void);

/* One line: "OpenBLAS 0.3.21, kernel SkylakeX". Borrowed, constant. */
const char *ce_blas_description(void);

#endif

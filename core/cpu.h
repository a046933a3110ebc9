/* What this processor offers. */
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

/* The same, whatever the environment says. */
ce_simd ce_cpu_widest_simd(void);

#endif

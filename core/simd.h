/* Vectors of the width that a file is compiled for (CMakeLists.txt: SIMD_FLAGS_...), in
 * GCC's and Clang's vector extensions. For core/simd*.c only.
 */
#ifndef CE_SIMD_H
#define CE_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

/* Before a loop of at most 16 rounds, the same number at every call: it is written out, so
 * that an array of vectors becomes registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef int32_t vi __attribute__((vector_size(LANES * 4)));

static inline vf load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(float *p, vf v) {
    memcpy(p, &v, sizeof v);
}

/* The first n, zeros behind them; n may exceed LANES. */
static inline vf load_part(const float *p, size_t n) {
    float part[LANES] = {0};
    if (n >= LANES)
        return load(p);
    memcpy(part, p, n * sizeof *p);
    return load(part);
}

static inline void store_part(float *p, vf v, size_t n) {
    float part[LANES];
    store(part, v);
    if (n >= LANES)
        store(p, v);
    else
        memcpy(p, part, n * sizeof *p);
}

static inline vf splat(float x) {
    return x - (vf){0};
}

static inline vf select_vf(vi mask, vf yes, vf no) {
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* The smaller and the larger; b where either is NaN. One instruction each, which neither
 * compiler finds behind a comparison. */
static inline vf min_vf(vf a, vf b) {
#if defined(__AVX512F__)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return select_vf(a < b, a, b);
#endif
}

static inline vf max_vf(vf a, vf b) {
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return select_vf(a > b, a, b);
#endif
}

/* Lane i of the result is lane i + by of v, around its end. */
#if defined(__AVX512F__)
#define TURNED(v, by)                                                                      \
    __builtin_shufflevector(v, v, by, by + 1, by + 2, by + 3, by + 4, by + 5, by + 6,      \
                            by + 7, by + 8, by + 9, by + 10, by + 11, by + 12, by + 13,    \
                            by + 14, by + 15)
#elif defined(__AVX2__)
#define TURNED(v, by)                                                                      \
    __builtin_shufflevector(v, v, by, by + 1, by + 2, by + 3, by + 4, by + 5, by + 6,      \
                            by + 7)
#else
#define TURNED(v, by) __builtin_shufflevector(v, v, by, by + 1, by + 2, by + 3)
#endif

/* All lanes of v in a fixed tree: halves, quarters, ... */
static inline float fold(vf v, vf (*f)(vf, vf)) {
#if defined(__AVX512F__)
    v = f(v, TURNED(v, 8));
#endif
#if defined(__AVX2__)
    v = f(v, TURNED(v, 4));
#endif
    v = f(v, TURNED(v, 2));
    v = f(v, TURNED(v, 1));
    return v[0];
}

static inline vf add_vf(vf a, vf b) {
    return a + b;
}

static inline float sum_lanes(vf v) {
    return fold(v, add_vf);
}

#endif

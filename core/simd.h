/* Vectors of the width that a file is compiled for (CMakeLists.txt: SIMD_FLAGS_...), in
 * GCC's and Clang's vector extensions. For core/simd*.c only.
 */
#ifndef CE_SIMD_H
#define CE_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
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

#endif

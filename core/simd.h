/* Vectors of the width that a file is compiled for (CMakeLists.txt: SIMD_FLAGS_...), in
 * GCC's and Clang's vector extensions. For core/simd*.c only.
 */
#ifndef CE_SIMD_H
#define CE_SIMD_H

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

static inline vf splat(float x) {
    return x - (vf){0};
}

static inline vf select_vf(vi mask, vf yes, vf no) {
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

#endif

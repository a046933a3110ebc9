/* Activations, a vector at a time. For core/simd.c only: what a multiplication and an
 * addition become is its compiler flags' to say. */
#ifndef CE_SIMD_MATH_H
#define CE_SIMD_MATH_H

#include "simd.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

static inline vf relu_vf(vf x) {
    /* written so that NaN stays NaN */
    return select_vf(x < splat(0), splat(0), x);
}

/* The smaller and the larger of a bound and x; NaN stays NaN. 1 / x for x in [1, 2^126]:
 * AVX-512 divides slowly, and one step of Newton's makes 24 bits of its estimate's 14. */
#if defined(__AVX512F__)
static inline vf min_vf(vf bound, vf x) {
    return (vf)_mm512_min_ps((__m512)bound, (__m512)x);
}
static inline vf max_vf(vf bound, vf x) {
    return (vf)_mm512_max_ps((__m512)bound, (__m512)x);
}
static inline vf inverse_vf(vf x) {
    vf r = (vf)_mm512_rcp14_ps((__m512)x);
    return r + r * (splat(1) - x * r);
}
#else
#if defined(__AVX2__)
static inline vf min_vf(vf bound, vf x) {
    return (vf)_mm256_min_ps((__m256)bound, (__m256)x);
}
static inline vf max_vf(vf bound, vf x) {
    return (vf)_mm256_max_ps((__m256)bound, (__m256)x);
}
#else
static inline vf min_vf(vf bound, vf x) {
    return select_vf(bound < x, bound, x);
}
static inline vf max_vf(vf bound, vf x) {
    return select_vf(bound > x, bound, x);
}
#endif
static inline vf inverse_vf(vf x) {
    return splat(1) / x;
}
#endif

/* e^x for x <= 88: Cody-Waite reduction to |r| <= ln2/2, the Taylor polynomial of degree 7
 * (remainder below 1e-9), 2^n put into the exponent. Below -87 it is e^-87. */
static inline vf exp_bounded_vf(vf x) {
    const float round_bias = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    x = max_vf(splat(-87.0f), x);
    vf shifted = x * splat(1.44269504088896341f) + splat(round_bias);
    vi n = (vi)shifted - (vi)splat(round_bias);
    vf whole = shifted - splat(round_bias);
    vf r = x - whole * splat(0.693145751953125f); /* ln2, 16 bits of it */
    r = r - whole * splat(1.42860682030941723e-6f);
    vf p = splat(1.0f / 5040);
    p = p * r + splat(1.0f / 720);
    p = p * r + splat(1.0f / 120);
    p = p * r + splat(1.0f / 24);
    p = p * r + splat(1.0f / 6);
    p = p * r + splat(0.5f);
    p = p * r * r + r + splat(1.0f);
    return (vf)((vi)p + (n << 23));
}

/* The same, but 0 below -87. */
static inline vf exp_vf(vf x) {
    return select_vf(x < splat(-87.0f), splat(0), exp_bounded_vf(x));
}

static inline vf sigmoid_times(vf x, vf minus_u) {
    vf e = exp_bounded_vf(min_vf(splat(87.0f), minus_u));
    return x * inverse_vf(splat(1) + e);
}

static inline vf quick_gelu_vf(vf x) {
    return sigmoid_times(x, x * splat(-1.702f));
}

/* (1 + tanh(u)) / 2 = sigmoid(2 u) */
static inline vf gelu_tanh_vf(vf x) {
    vf twice = x * (splat(1.5957691216f) + x * x * splat(0.0713548163f));
    return sigmoid_times(x, -twice);
}

/* Phi(-|x|) = exp(-x^2 / 2) * P(t), t = 1 / (1 + |x| / 3): the form of Abramowitz and
 * Stegun 7.1.26, with a polynomial of our own (tests/make_gelu.py fits it). */
static inline vf gelu_vf(vf x) {
    vi negative = x < splat(0);
    vf size = select_vf(negative, -x, x);
    vf t = inverse_vf(splat(1) + min_vf(splat(1e30f), size) * splat(1.0f / 3));
    static const float coefficients[] = {
        6.03113358e-06f, 0.132817909f, 0.134893581f,  0.105359338f, 0.143100798f,
        -0.101906858f,   0.283865392f, -0.324901402f, 0.154495344f, -0.0277301334f};
    vf p = splat(coefficients[9]);
#pragma GCC unroll 9
    for (int i = 8; i >= 0; i--)
        p = p * t + splat(coefficients[i]);
    vf tail = exp_vf(size * size * splat(-0.5f)) * p;
    return x * select_vf(negative, tail, splat(1) - tail);
}

#endif

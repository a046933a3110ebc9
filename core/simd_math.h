/* Activations, a vector at a time. For core/simd.c only: what a multiplication and an
 * addition become is its compiler flags' to say. */
#ifndef CE_SIMD_MATH_H
#define CE_SIMD_MATH_H

#include "simd.h"

static inline vf relu_vf(vf x) {
    /* written so that NaN stays NaN */
    return select_vf(x < splat(0), splat(0), x);
}

/* The integer nearest to x, |x| < 2^22; x y - z, rounded once where there are FMAs; 2^n x
 * for such an integer n. 1 / x for x in [1, 2^126]: AVX-512 divides slowly, and one step of
 * Newton's makes 24 bits of its estimate's 14. */
#if defined(__AVX512F__)
static inline vf nearest_vf(vf x) {
    return (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT);
}
static inline vf product_less_vf(vf x, vf y, vf z) {
    return (vf)_mm512_fmsub_ps((__m512)x, (__m512)y, (__m512)z);
}
static inline vf scale_vf(vf x, vf n) {
    return (vf)_mm512_scalef_ps((__m512)x, (__m512)n);
}
static inline vf inverse_vf(vf x) {
    vf r = (vf)_mm512_rcp14_ps((__m512)x);
    return r + r * (splat(1) - x * r);
}
#else
static inline vf nearest_vf(vf x) {
    const vf bias = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    return x + bias - bias;
}
static inline vf product_less_vf(vf x, vf y, vf z) {
    return x * y - z;
}
static inline vf scale_vf(vf x, vf n) {
    return (vf)((vi)x + (__builtin_convertvector(n, vi) << 23));
}
static inline vf inverse_vf(vf x) {
    return splat(1) / x;
}
#endif

/* e^x for x <= 88, and e^-87 below -87: 2^(n + f) for n + f = x / ln 2, |f| <= 1/2, where
 * a polynomial (tests/make_polynomials.py fits it) comes within 2e-8 of 2^f, relative. 1 /
 * ln 2 is rounded, which costs 1.4e-8 |x|. */
static inline vf exp_bounded_vf(vf x) {
    const vf per_ln2 = splat(1.44269504088896341f);
    static const float coefficients[] = {0.693147182f,   0.240226477f,  0.0555033237f,
                                         0.00961843692f, 0.0013398875f, 0.00015353362f};
    x = max_vf(splat(-87.0f), x);
    vf n = nearest_vf(x * per_ln2), f = product_less_vf(x, per_ln2, n);
    vf p = splat(coefficients[5]);
    UNROLL
    for (int i = 4; i >= 0; i--)
        p = p * f + splat(coefficients[i]);
    return scale_vf(p * f + splat(1), n);
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
 * Stegun 7.1.26, with a polynomial of our own (tests/make_polynomials.py fits it). */
static inline vf gelu_vf(vf x) {
    vi negative = x < splat(0);
    vf size = select_vf(negative, -x, x);
    vf t = inverse_vf(splat(1) + min_vf(splat(1e30f), size) * splat(1.0f / 3));
    static const float coefficients[] = {
        6.03113358e-06f, 0.132817909f, 0.134893581f,  0.105359338f, 0.143100798f,
        -0.101906858f,   0.283865392f, -0.324901402f, 0.154495344f, -0.0277301334f};
    vf p = splat(coefficients[9]);
    UNROLL
    for (int i = 8; i >= 0; i--)
        p = p * t + splat(coefficients[i]);
    vf tail = exp_vf(size * size * splat(-0.5f)) * p;
    return x * select_vf(negative, tail, splat(1) - tail);
}

#endif

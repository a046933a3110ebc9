/* The kernels of simd_narrow.h; compiled as core/simd.c is, with CE_NARROW_KERNELS naming
 * the table. */
#include "simd_narrow.h"

#include "simd.h"

#include <math.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

extern const ce_narrow_kernels CE_NARROW_KERNELS;

typedef uint8_t bytes __attribute__((vector_size(LANES)));
typedef uint16_t halves __attribute__((vector_size(LANES * 2)));
typedef uint32_t vu __attribute__((vector_size(LANES * 4)));

static inline vi load_vi(const int32_t *p) {
    vi v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline vi splat_vi(int32_t x) {
    return x - (vi){0};
}

/* One instruction each, which neither compiler finds behind a comparison. */
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

typedef struct range {
    vf least, most, poison; /* 0, or NaN where any was NaN or infinite */
} range;

static inline void widen_range(range *r, vf v) {
    r->least = min_vf(v, r->least);
    r->most = max_vf(v, r->most);
    r->poison += v * splat(0);
}

/* Over the lanes. */
static inline void fold_range(const range *r, float *least, float *most, float *spoilt) {
#if defined(__AVX512F__)
    *least = _mm512_reduce_min_ps((__m512)r->least);
    *most = _mm512_reduce_max_ps((__m512)r->most);
    *spoilt = _mm512_reduce_add_ps((__m512)r->poison);
#else
    float lows[LANES], highs[LANES], poisons[LANES];
    store(lows, r->least);
    store(highs, r->most);
    store(poisons, r->poison);
    *least = *most = *spoilt = 0;
    for (size_t i = 0; i < LANES; i++) {
        *least = lows[i] < *least ? lows[i] : *least;
        *most = highs[i] > *most ? highs[i] : *most;
        *spoilt += poisons[i];
    }
#endif
}

/* The least and the largest of x and 0; NaN where any of x is NaN or infinite. */
static void find_range(const float *x, size_t n, float *least, float *most) {
    enum { CHAINS = 4 }; /* each waits for its last step: four run beside each other */
    range r[CHAINS] = {{.least = splat(0)}};
    size_t fours = n - n % (CHAINS * LANES), whole = n - n % LANES;
    for (size_t i = 0; i < fours; i += CHAINS * LANES)
#pragma GCC unroll 4
        for (size_t c = 0; c < CHAINS; c++)
            widen_range(&r[c], load(x + i + c * LANES));
    for (size_t i = fours; i < whole; i += LANES)
        widen_range(&r[0], load(x + i));
    for (size_t c = 1; c < CHAINS; c++) {
        r[0].least = min_vf(r[0].least, r[c].least);
        r[0].most = max_vf(r[0].most, r[c].most);
        r[0].poison += r[c].poison;
    }
    float spoilt;
    fold_range(&r[0], least, most, &spoilt);
    for (size_t i = whole; i < n; i++) {
        *least = x[i] < *least ? x[i] : *least;
        *most = x[i] > *most ? x[i] : *most;
        spoilt += x[i] * 0;
    }
    *least += spoilt;
}

/* 1.5 * 2^23: adding it rounds to an integer, which the low bits then hold. */
static const float round_bias = 12582912.0f;

/* The low bytes of numbers below 256. */
static inline void store_bytes(uint8_t *q, vi v) {
#if defined(__AVX512F__)
    _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8((__m512i)v));
#else
    bytes b = __builtin_convertvector((vu)v, bytes);
    memcpy(q, &b, sizeof b);
#endif
}

static inline int32_t clamp(int32_t x) {
    return x < 0 ? 0 : x > 255 ? 255 : x;
}

static void quantise(uint8_t *q, const float *x, size_t n, float *scale, int32_t *zero) {
    float least, most;
    find_range(x, n, &least, &most);
    float span = most - least, inverse = 255 / span;
    *scale = span / 255;
    *zero = 0;
    if (!(span >= 1e-30f) || !isfinite(span)) { /* zeros, or not to be told */
        *scale = span < 1e-30f ? 0 : NAN;
        memset(q, 0, n);
        return;
    }
    float origin = -least * inverse + round_bias; /* where 0 comes to lie */
    int32_t bits, first;
    memcpy(&bits, &origin, sizeof bits);
    memcpy(&first, &round_bias, sizeof first);
    *zero = clamp(bits - first);
    float shift = round_bias + (float)*zero;
    size_t whole = n - n % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        vf at = load(x + i) * splat(inverse) + splat(shift); /* never below the bias */
        store_bytes(q + i, (vi)min_vf(at, splat(round_bias + 255)) - splat_vi(first));
    }
    for (size_t i = whole; i < n; i++) {
        float v = x[i] * inverse + shift;
        memcpy(&bits, &v, sizeof bits);
        q[i] = (uint8_t)clamp(bits - first);
    }
}

static inline uint16_t round_one(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void round_bf16(uint16_t *out, const float *x, size_t n) {
    size_t whole = n - n % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        vf v = load(x + i);
        vu u = (vu)v, rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
        vu nan = (vu)(v != v);
        rounded = (nan & (u >> 16 | 0x40)) | (~nan & rounded);
        halves h = __builtin_convertvector(rounded, halves);
        memcpy(out + i, &h, sizeof h);
    }
    for (size_t i = whole; i < n; i++)
        out[i] = round_one(x[i]);
}

static void take_int8(float *y, const int32_t *sums, size_t n, float scale, int32_t zero,
                      const float *scales, const int32_t *totals, const float *bias,
                      bool accumulate) {
    size_t whole = n - n % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        vi exact = load_vi(sums + i) - splat_vi(zero) * load_vi(totals + i);
        vf v = __builtin_convertvector(exact, vf) * (splat(scale) * load(scales + i));
        if (bias)
            v += load(bias + i);
        if (accumulate)
            v += load(y + i);
        store(y + i, v);
    }
    for (size_t i = whole; i < n; i++) {
        float v = (float)(sums[i] - zero * totals[i]) * (scale * scales[i]);
        v += bias ? bias[i] : 0;
        y[i] = v + (accumulate ? y[i] : 0);
    }
}

static void take_bf16(float *y, const float *sums, size_t n, const float *bias,
                      bool accumulate) {
    for (size_t i = 0; i < n; i++) {
        float v = sums[i] + (bias ? bias[i] : 0);
        y[i] = v + (accumulate ? y[i] : 0);
    }
}

#if defined(__AVX2__)
static inline __m256i widen(__m128i v, bool is_signed) {
    return is_signed ? _mm256_cvtepi8_epi16(v) : _mm256_cvtepu8_epi16(v);
}

static inline int32_t sum_lanes(__m256i v) {
    int32_t lane[8], sum = 0;
    _mm256_storeu_si256((__m256i *)(void *)lane, v);
    for (int i = 0; i < 8; i++)
        sum += lane[i];
    return sum;
}

/* Four outputs at once of 16-bit pairs, whose products and their sum fit 32 bits. */
static void four(int32_t *sums, const uint8_t *x, const int8_t *w, size_t k) {
    __m256i acc[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(),
                      _mm256_setzero_si256(), _mm256_setzero_si256()};
    size_t whole = k - k % 16;
    for (size_t p = 0; p < whole; p += 16) {
        __m256i a = widen(_mm_loadu_si128((const __m128i *)(const void *)(x + p)), false);
        for (size_t j = 0; j < 4; j++) {
            const void *at = w + j * k + p;
            __m256i b = widen(_mm_loadu_si128((const __m128i *)at), true);
            acc[j] = _mm256_add_epi32(acc[j], _mm256_madd_epi16(a, b));
        }
    }
    for (size_t j = 0; j < 4; j++) {
        sums[j] = sum_lanes(acc[j]);
        for (size_t p = whole; p < k; p++)
            sums[j] += x[p] * w[j * k + p];
    }
}
#endif

static int32_t one(const uint8_t *x, const int8_t *w, size_t k) {
    int32_t sum = 0;
    for (size_t p = 0; p < k; p++)
        sum += x[p] * w[p];
    return sum;
}

static void multiply(int32_t *sums, const uint8_t *x, const int8_t *w, size_t rows,
                     size_t n, size_t k) {
    size_t done = 0;
#if defined(__AVX2__)
    done = n - n % 4;
    for (size_t j = 0; j < done; j += 4)
        for (size_t i = 0; i < rows; i++)
            four(sums + i * n + j, x + i * k, w + j * k, k);
#endif
    for (size_t j = done; j < n; j++)
        for (size_t i = 0; i < rows; i++)
            sums[i * n + j] = one(x + i * k, w + j * k, k);
}

const ce_narrow_kernels CE_NARROW_KERNELS = {
    .quantise = quantise,
    .round_bf16 = round_bf16,
    .take_int8 = take_int8,
    .take_bf16 = take_bf16,
    .multiply = multiply,
};

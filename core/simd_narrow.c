/* The kernels of simd_narrow.h; compiled as core/simd.c is, with CE_NARROW_KERNELS naming
 * the table. */
#include "simd_narrow.h"

#include "simd.h"

#include <math.h>
#include <string.h>

#if defined(__AVX512BF16__)
enum { MR = 12, NV = 2, VNNI = true };
#define KERNELS_NAME "AVX-512 VNNI and BF16"
#elif defined(__AVX512VNNI__)
enum { MR = 12, NV = 2, VNNI = true };
#define KERNELS_NAME "AVX-512 VNNI"
#elif defined(__AVX512F__)
enum { MR = 12, NV = 2, VNNI = false };
#define KERNELS_NAME "AVX-512, without VNNI"
#elif defined(__AVXVNNI__)
enum { MR = 6, NV = 2, VNNI = true };
#define KERNELS_NAME "AVX-VNNI"
#elif defined(__AVX2__)
enum { MR = 3, NV = 2, VNNI = false };
#define KERNELS_NAME "AVX2, without VNNI"
#else
enum { MR = 3, NV = 2, VNNI = false };
#define KERNELS_NAME "baseline, without VNNI"
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

typedef struct range {
    vf least, most, poison; /* 0, or NaN where any was NaN or infinite */
} range;

static inline void widen_range(range *r, vf v) {
    r->least = min_vf(v, r->least);
    r->most = max_vf(v, r->most);
    r->poison += v * splat(0);
}

/* The least and the largest of x and 0; NaN where any of x is NaN or infinite. */
static void find_range(const float *x, size_t n, float *least, float *most) {
    enum { CHAINS = 4 }; /* each waits for its last step: four run beside each other */
    range r[CHAINS] = {{.least = splat(0)}};
    size_t fours = n - n % (CHAINS * LANES), whole = n - n % LANES;
    for (size_t i = 0; i < fours; i += CHAINS * LANES) {
        UNROLL
        for (size_t c = 0; c < CHAINS; c++)
            widen_range(&r[c], load(x + i + c * LANES));
    }
    for (size_t i = fours; i < whole; i += LANES)
        widen_range(&r[0], load(x + i));
    for (size_t c = 1; c < CHAINS; c++) {
        r[0].least = min_vf(r[0].least, r[c].least);
        r[0].most = max_vf(r[0].most, r[c].most);
        r[0].poison += r[c].poison;
    }
    *least = fold(r[0].least, min_vf);
    *most = fold(r[0].most, max_vf);
    float spoilt = sum_lanes(r[0].poison);
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

static inline vu round_vector(vf v) {
    vu u = (vu)v, nan = (vu)(v != v);
    vu rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    return (nan & (u >> 16 | 0x40)) | (~nan & rounded);
}

static void round_bf16(uint16_t *out, const float *x, size_t n) {
    size_t whole = n - n % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        halves h = __builtin_convertvector(round_vector(load(x + i)), halves);
        memcpy(out + i, &h, sizeof h);
    }
    for (size_t i = whole; i < n; i++)
        out[i] = round_one(x[i]);
}

static void pair_bf16(uint16_t *panel, const float *even, const float *odd, size_t n) {
    size_t whole = n - n % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        vu low = round_vector(load(even + i));
        vu high = odd ? round_vector(load(odd + i)) << 16 : (vu){0};
        vu pairs = low | high;
        memcpy(panel + 2 * i, &pairs, sizeof pairs);
    }
    for (size_t i = whole; i < n; i++) {
        panel[2 * i] = round_one(even[i]);
        panel[2 * i + 1] = odd ? round_one(odd[i]) : 0;
    }
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

/* sums += the four products of each lane; `four` holds bytes of x in every lane. */
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
#if defined(__AVX512VNNI__)
#define ENCODING ""
#else
#define ENCODING "%{vex%} " /* else the assembler takes that of AVX-512 */
#endif
typedef vi spread; /* what the multiplication wants of x */

static inline spread spread_four(vi four) {
    return four;
}

/* GCC 12 copies the sums about where it sees the intrinsic: half the speed of the tile. */
static inline void add_products(vi *sums, const spread *x, vi w) {
    __asm__(ENCODING "vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(*x), "v"(w));
}
#elif defined(__AVX2__)
/* A pair of products does not fit the 16 bits of vpmaddubsw, one does: the even bytes and
 * the odd ones are multiplied apart. */
typedef struct spread {
    vi even, odd;
} spread;

static inline spread spread_four(vi four) {
    return (spread){four & splat_vi(0x00ff00ff), four & ~splat_vi(0x00ff00ff)};
}

static inline vi pair_sums(vi x, vi w) {
#if defined(__AVX512BW__)
    __m512i products = _mm512_maddubs_epi16((__m512i)x, (__m512i)w);
    return (vi)_mm512_madd_epi16(products, _mm512_set1_epi16(1));
#else
    __m256i products = _mm256_maddubs_epi16((__m256i)x, (__m256i)w);
    return (vi)_mm256_madd_epi16(products, _mm256_set1_epi16(1));
#endif
}

static inline void add_products(vi *sums, const spread *x, vi w) {
    *sums += pair_sums(x->even, w) + pair_sums(x->odd, w);
}
#else
typedef vi spread;

static inline spread spread_four(vi four) {
    return four;
}

static inline void add_products(vi *sums, const spread *x, vi w) {
    for (int byte = 0; byte < 4; byte++)
        *sums += (*x >> 8 * byte & 255) * (vi)((vi)((vu)w << (24 - 8 * byte)) >> 24);
}
#endif

/* Two products of bfloat16 in place of four of bytes. */
#if defined(__AVX512BF16__)
static inline void add_halves(vi *sums, const spread *x, vi w) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(*sums) : "v"(*x), "v"(w));
}
#else
#define add_halves add_products /* never called */
#endif

/* Vector j of row i of the result. */
static inline void take(const ce_narrow_tile *t, size_t i, size_t j, vi sums, bool bf16) {
    size_t first = j * LANES, left = t->columns > first ? t->columns - first : 0;
    float *y = t->y + i * t->y_stride + first;
    vf v = (vf)sums;
    if (!bf16)
        v = __builtin_convertvector(sums, vf) *
            (splat(t->row_scales[i]) * load_part(t->column_scales + first, left));
    if (t->bias)
        v += load_part(t->bias + first, left);
    if (t->accumulate)
        v += load_part(y, left);
    store_part(y, v, left);
}

/* A tile of `m` rows, of which the first t->rows exist; m and bf16 are constants of each
 * caller. */
static inline __attribute__((always_inline)) void tile_of(size_t m, const ce_narrow_tile *t,
                                                          bool bf16) {
    vi sums[MR][NV], totals[NV];
    for (size_t j = 0; j < NV && !bf16; j++) {
        size_t left = t->columns > j * LANES ? t->columns - j * LANES : 0;
        totals[j] = (vi)load_part((const float *)t->totals + j * LANES, left);
    }
    UNROLL
    for (size_t i = 0; i < m; i++) {
        size_t row = i < t->rows ? i : 0;
        __builtin_prefetch(t->y + row * t->y_stride, 1); /* while the sums are made */
        __builtin_prefetch(t->y + row * t->y_stride + LANES, 1);
        UNROLL
        for (size_t j = 0; j < NV; j++)
            sums[i][j] = bf16 ? splat_vi(0) : splat_vi(-t->zeros[row]) * totals[j];
    }
    const char *x[MR / 3]; /* of every third row: an address reaches two more */
    const char *w = t->w, *end = w + t->k * NV * LANES;
    const size_t stride = t->x_stride;
    for (size_t i = 0; i < MR / 3; i++)
        x[i] = (const char *)t->x + 3 * i * stride;
    while (w < end) {
        vi columns[NV];
        UNROLL
        for (size_t j = 0; j < NV; j++, w += LANES * CE_NARROW_STEP)
            memcpy(&columns[j], w, sizeof columns[j]);
        UNROLL
        for (size_t i = 0; i < m; i++) {
            int32_t four;
            memcpy(&four, x[i / 3] + i % 3 * stride, sizeof four);
            spread bytes_of_x = spread_four(splat_vi(four));
            UNROLL
            for (size_t j = 0; j < NV; j++)
                (bf16 ? add_halves : add_products)(&sums[i][j], &bytes_of_x, columns[j]);
        }
        UNROLL
        for (size_t i = 0; i < (m + 2) / 3; i++)
            x[i] += CE_NARROW_STEP;
    }
    UNROLL
    for (size_t i = 0; i < m; i++) {
        if (i >= t->rows)
            break;
        UNROLL
        for (size_t j = 0; j < NV; j++)
            take(t, i, j, sums[i][j], bf16);
    }
}

static inline __attribute__((always_inline)) void tile_any(const ce_narrow_tile *t,
                                                           bool bf16) {
    if (t->rows > 2 * MR / 3)
        tile_of(MR, t, bf16);
    else if (t->rows > MR / 3)
        tile_of(2 * MR / 3, t, bf16);
    else
        tile_of(MR / 3, t, bf16);
}

static void tile(const ce_narrow_tile *t) {
    tile_any(t, false);
}

#if defined(__AVX512BF16__)
static void tile_halves(const ce_narrow_tile *t) {
    tile_any(t, true);
}
#else
#define tile_halves NULL
#endif

const ce_narrow_kernels CE_NARROW_KERNELS = {
    .name = KERNELS_NAME,
    .vnni = VNNI,
    .mr = MR,
    .nr = NV * LANES,
    .quantise = quantise,
    .round_bf16 = round_bf16,
    .take_int8 = take_int8,
    .take_bf16 = take_bf16,
    .pair_bf16 = pair_bf16,
    .tile = tile,
    .tile_bf16 = tile_halves,
};

/* The kernels of kernels.h, in GCC/Clang vector extensions. CMake compiles this file once
 * for each instruction set, with CE_KERNELS naming the table it defines and
 * -ffp-contract=fast (a multiplication and the addition that follows it become one FMA). */
#include "kernels.h"
#include "simd_math.h"

#include <math.h>
#include <string.h>

#if defined(__AVX512F__)
enum { MR = 12, NV = 2 };
#define KERNELS_NAME "AVX-512"
#elif defined(__AVX2__)
enum { MR = 6, NV = 2 };
#define KERNELS_NAME "AVX2"
#else
enum { MR = 4, NV = 2 };
#define KERNELS_NAME "baseline"
#endif
enum { NR = NV * LANES };

extern const ce_kernels CE_KERNELS;

/* sum += a * b. Left to itself GCC 12 now and then adds to the product instead, and copies
 * sums to and fro where registers are few. */
static inline __attribute__((always_inline)) void multiply_add(vf *sum, vf a, vf b) {
#if defined(__AVX2__)
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
#else
    *sum += a * b;
#endif
}

/* acc += the products of column p of a with row p of b, m rows. */
static inline __attribute__((always_inline)) void
add_product(vf acc[MR][NV], int m, const float *restrict a, const float *restrict b) {
    vf bv[NV];
    UNROLL
    for (int j = 0; j < NV; j++)
        bv[j] = load(b + j * LANES);
    UNROLL
    for (int i = 0; i < m; i++) {
        vf av = splat(a[i]);
        UNROLL
        for (int j = 0; j < NV; j++)
            multiply_add(&acc[i][j], av, bv[j]);
    }
}

/* A wide tile fetches its rows one a step, the last of them SOON steps before the end: its
 * operands would push them out if they came at once. A narrow one is over too soon to wait,
 * nor has it time for more than one line of what is next. */
enum { WIDE = NR > 16, SOON = 7 };

/* Fetches row i of a tile, where there is one, to write it. */
static inline void fetch_row(const float *c, size_t ldc, size_t i, int rows) {
    if (i >= (size_t)rows)
        return;
    __builtin_prefetch(c + i * ldc, 1);
    if (WIDE)
        __builtin_prefetch(c + i * ldc + NR - 1, 1);
}

static inline __attribute__((always_inline)) void put_row(float *c, const vf sums[NV],
                                                          const ce_tile *t) {
    UNROLL
    for (int j = 0; j < NV; j++) {
        vf v = sums[j];
        if (t->bias)
            v += load(t->bias + j * LANES);
        if (t->accumulate)
            v += load(c + j * LANES);
        if (t->relu)
            v = relu_vf(v);
        store(c + j * LANES, v);
    }
}

/* A tile of `m` rows, of which the first `rows` exist; both constants where all do. */
static inline __attribute__((always_inline)) void tile_of(int m, int rows, ce_tile t) {
    vf acc[MR][NV];
    UNROLL
    for (int i = 0; i < m; i++) {
        if (!WIDE)
            fetch_row(t.c, t.ldc, (size_t)i, rows);
        UNROLL
        for (int j = 0; j < NV; j++)
            acc[i][j] = splat(0);
    }
    size_t p = 0;
    for (; p + CE_TILE_STEP <= t.k; p += CE_TILE_STEP, t.next += t.lines * CE_CACHE_LINE) {
        for (size_t line = 0; line < (WIDE ? t.lines : 1); line++)
            __builtin_prefetch(t.next + line * CE_CACHE_LINE);
        if (WIDE)
            fetch_row(t.c, t.ldc, (t.k - p) / CE_TILE_STEP - 1 - SOON, rows);
        UNROLL
        for (int step = 0; step < CE_TILE_STEP; step++, t.a += MR, t.b += NR)
            add_product(acc, m, t.a, t.b);
    }
    for (; p < t.k; p++, t.a += MR, t.b += NR)
        add_product(acc, m, t.a, t.b);
    UNROLL
    for (int i = 0; i < m; i++)
        if (i < rows)
            put_row(t.c + (size_t)i * t.ldc, acc[i], &t);
}

static void tile(const ce_tile *t) {
    int rows = (int)t->rows;
    if (rows == MR)
        tile_of(MR, MR, *t);
    else if (rows > 2 * MR / 3)
        tile_of(MR, rows, *t);
    else if (rows > MR / 3)
        tile_of(2 * MR / 3, rows, *t);
    else
        tile_of(MR / 3, rows, *t);
}

/* Of each four lanes of a and b: the first two interleaved, the last two interleaved; the
 * first two of both, the last two of both. */
#if defined(__AVX512F__)
#define LOW(a, b)                                                                          \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH(a, b)                                                                         \
    __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15,  \
                            31)
#define LOW_PAIRS(a, b)                                                                    \
    __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH_PAIRS(a, b)                                                                   \
    __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30,  \
                            31)
#elif defined(__AVX2__)
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)
#endif

typedef float v4 __attribute__((vector_size(16)));

/* The four columns that begin at lane `lane` of r, each to its place. */
#define STORE_COLUMNS(lane)                                                                \
    for (size_t column = 0; column < 4; column++) {                                        \
        v4 part = __builtin_shufflevector(r[column], r[column], lane, lane + 1, lane + 2,  \
                                          lane + 3);                                       \
        memcpy(dst + (lane + column) * group, &part, sizeof part);                         \
    }

/* Columns [p, p + LANES) of four rows. */
static inline void transpose_four(float *dst, size_t group, const float *const *rows,
                                  size_t p) {
    vf r[4], s[4];
    for (size_t i = 0; i < 4; i++)
        r[i] = load(rows[i] + p);
    s[0] = LOW(r[0], r[1]);
    s[1] = LOW(r[2], r[3]);
    s[2] = HIGH(r[0], r[1]);
    s[3] = HIGH(r[2], r[3]);
    r[0] = LOW_PAIRS(s[0], s[1]);
    r[1] = HIGH_PAIRS(s[0], s[1]);
    r[2] = LOW_PAIRS(s[2], s[3]);
    r[3] = HIGH_PAIRS(s[2], s[3]);
    STORE_COLUMNS(0)
#if defined(__AVX2__)
    STORE_COLUMNS(4)
#endif
#if defined(__AVX512F__)
    STORE_COLUMNS(8)
    STORE_COLUMNS(12)
#endif
}

static void pack_rows(float *restrict dst, const float *const *rows, size_t count, size_t k,
                      size_t group) {
    if (count < group)
        memset(dst, 0, group * k * sizeof *dst);
    size_t whole = count < 4 ? 0 : k / LANES * LANES;
    for (size_t p = 0; p < whole; p += LANES)
        for (size_t i = 0; i < count; i += 4) {
            size_t first = i + 4 < count ? i : count - 4; /* the last may come twice */
            transpose_four(dst + p * group + first, group, rows + first, p);
        }
    for (size_t i = 0; i < count; i++)
        for (size_t p = whole; p < k; p++)
            memcpy(dst + p * group + i, rows[i] + p, sizeof *dst); /* whatever its type */
}

static void pack(float *restrict dst, const float *restrict src, size_t ld, size_t rows,
                 size_t k, size_t group) {
    const float *at[32];
    for (size_t first = 0; first < rows; first += group, dst += group * k) {
        size_t count = rows - first < group ? rows - first : group;
        for (size_t i = 0; i < count; i++)
            at[i] = src + (first + i) * ld;
        pack_rows(dst, at, count, k, group);
    }
}

static void pack_columns(float *restrict dst, const float *src, size_t ld, size_t k,
                         size_t columns) {
    for (size_t first = 0; first < columns; first += NR)
        for (size_t p = 0; p < k; p++, dst += NR) {
            UNROLL
            for (size_t j = 0; j < NV; j++) {
                size_t at = first + j * LANES, left = columns > at ? columns - at : 0;
                store(dst + j * LANES, load_part(src + p * ld + at, left));
            }
        }
}

static inline __attribute__((always_inline)) void map(float *x, size_t ld, size_t rows,
                                                      size_t n, vf (*f)(vf)) {
    size_t whole = n - n % LANES;
    for (size_t row = 0; row < rows; row++, x += ld) {
        for (size_t i = 0; i < whole; i += LANES)
            store(x + i, f(load(x + i)));
        if (whole < n)
            store_part(x + whole, f(load_part(x + whole, n - whole)), n - whole);
    }
}

static void activate(float *x, size_t ld, size_t rows, size_t n, ce_activation activation) {
    if (activation == CE_RELU)
        map(x, ld, rows, n, relu_vf);
    else if (activation == CE_QUICK_GELU)
        map(x, ld, rows, n, quick_gelu_vf);
    else if (activation == CE_GELU_TANH)
        map(x, ld, rows, n, gelu_tanh_vf);
    else if (activation == CE_GELU)
        map(x, ld, rows, n, gelu_vf);
}

static float sum(const float *x, size_t n, float centre, bool squared) {
    vf total[4] = {splat(0), splat(0), splat(0), splat(0)}; /* none waits for another */
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        UNROLL
        for (size_t j = 0; j < 4; j++) {
            vf d = load(x + i + j * LANES) - splat(centre);
            total[j] += squared ? d * d : d;
        }
    }
    for (; i + LANES <= n; i += LANES) {
        vf d = load(x + i) - splat(centre);
        total[0] += squared ? d * d : d;
    }
    float rest = 0;
    for (; i < n; i++) {
        float d = x[i] - centre;
        rest += squared ? d * d : d;
    }
    return sum_lanes((total[0] + total[1]) + (total[2] + total[3])) + rest;
}

static void layer_norm(float *y, const float *x, const float *gain, const float *bias,
                       size_t n, float eps) {
    float mean = sum(x, n, 0, false) / (float)n;
    float variance = sum(x, n, mean, true) / (float)n;
    float scale = 1 / sqrtf(variance + eps);
    for (size_t i = 0; i < n; i += LANES) {
        vf v = (load_part(x + i, n - i) - splat(mean)) * splat(scale);
        store_part(y + i, v * load_part(gain + i, n - i) + load_part(bias + i, n - i),
                   n - i);
    }
}

static void softmax(float *x, size_t n, float scale) {
    size_t padded = ce_round_up(n, CE_MAX_LANES);
    for (size_t i = n; i < padded; i++)
        x[i] = -INFINITY;
    vf most = splat(-INFINITY);
    for (size_t i = 0; i < padded; i += LANES)
        most = max_vf(most, load(x + i));
    float top = fold(most, max_vf);
    vf total = splat(0);
    for (size_t i = 0; i < padded; i += LANES) {
        vf e = exp_vf((load(x + i) - splat(top)) * splat(scale));
        store(x + i, e);
        total += e;
    }
    vf inverse = splat(1 / sum_lanes(total));
    for (size_t i = 0; i < padded; i += LANES)
        store(x + i, load(x + i) * inverse);
}

/* x . y; `size` is a constant where the caller's is. */
static inline float dot(const float *x, const float *y, size_t size) {
    vf total = splat(0);
    size_t whole = size - size % LANES;
    for (size_t i = 0; i < whole; i += LANES)
        total += load(x + i) * load(y + i);
    float rest = 0;
    for (size_t i = whole; i < size; i++)
        rest += x[i] * y[i];
    return sum_lanes(total) + rest;
}

static inline void attend_head(float *out, const float *query, const float *keys,
                               const float *values, size_t ld, const uint32_t *path,
                               size_t n, size_t size, float *scores) {
    for (size_t j = 0; j < n; j++)
        scores[j] = dot(query, keys + path[j] * ld, size);
    softmax(scores, n, 1 / sqrtf((float)size));
    size_t whole = size - size % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        vf total = splat(0);
        for (size_t j = 0; j < n; j++)
            total += splat(scores[j]) * load(values + path[j] * ld + i);
        store(out + i, total);
    }
    for (size_t i = whole; i < size; i++) {
        float total = 0;
        for (size_t j = 0; j < n; j++)
            total += scores[j] * values[path[j] * ld + i];
        out[i] = total;
    }
}

static void attend(float *out, const float *query, const float *keys, const float *values,
                   size_t ld, const uint32_t *path, size_t n, size_t heads, size_t size,
                   float *scores) {
    for (size_t h = 0, at = 0; h < heads; h++, at += size)
        if (size == 64) /* all of OpenAI's towers; the compiler unrolls it */
            attend_head(out + at, query + at, keys + at, values + at, ld, path, n, 64,
                        scores);
        else
            attend_head(out + at, query + at, keys + at, values + at, ld, path, n, size,
                        scores);
}

/* B^T d of one column: B^T = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]. */
static inline void winograd_column(vf to[4], vf a, vf b, vf c, vf d) {
    to[0] = a - c;
    to[1] = b + c;
    to[2] = c - b;
    to[3] = b - d;
}

static void winograd_in(float *out, size_t stride, const float *const *in, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        vf d[16], half[4][4], whole[4];
        UNROLL
        for (int k = 0; k < 16; k++)
            d[k] = load_part(in[k] + i, n - i);
        UNROLL
        for (int x = 0; x < 4; x++)
            winograd_column(half[x], d[x], d[4 + x], d[8 + x], d[12 + x]);
        UNROLL
        for (int y = 0; y < 4; y++) {
            winograd_column(whole, half[0][y], half[1][y], half[2][y], half[3][y]);
            UNROLL
            for (int x = 0; x < 4; x++)
                store_part(out + (size_t)(4 * y + x) * stride + i, whole[x], n - i);
        }
    }
}

static void winograd_out(float *const *out, const float *in, size_t stride,
                         const float *bias, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        vf half[2][4], added = load_part(bias + i, n - i);
        UNROLL
        for (int x = 0; x < 4; x++) { /* A^T = [1 1 1 0; 0 1 -1 -1] */
            vf m[4];
            UNROLL
            for (int y = 0; y < 4; y++)
                m[y] = load_part(in + (size_t)(4 * y + x) * stride + i, n - i);
            half[0][x] = m[0] + m[1] + m[2];
            half[1][x] = m[1] - m[2] - m[3];
        }
        UNROLL
        for (int y = 0; y < 2; y++) {
            vf left = half[y][0] + half[y][1] + half[y][2];
            vf right = half[y][1] - half[y][2] - half[y][3];
            store_part(out[2 * y] + i, relu_vf(left + added), n - i);
            store_part(out[2 * y + 1] + i, relu_vf(right + added), n - i);
        }
    }
}

static inline float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* IEEE binary16 -> binary32: the bits are shifted into place and the exponent is rebiased
 * by a multiplication, which also makes subnormals right. Infinity and NaN become 2^16 and
 * more; `widen` tells them by their exponent. */
static inline float widen_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    float magnitude = from_bits((uint32_t)(half & 0x7fffu) << 13) * 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    return from_bits(bits | sign);
}

static bool widen(float *out, const void *in, ce_dtype dtype, size_t n) {
    const unsigned char *bytes = in; /* a tensor need not be aligned in its file */
    uint32_t bad = 0;
    if (dtype == CE_F32) {
        memcpy(out, in, n * 4);
        for (size_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, bytes + 4 * i, 4);
            bad |= (bits & 0x7f800000u) == 0x7f800000u;
        }
    } else if (dtype == CE_BF16) {
        for (size_t i = 0; i < n; i++) {
            uint16_t half;
            memcpy(&half, bytes + 2 * i, 2);
            bad |= (half & 0x7f80u) == 0x7f80u;
            out[i] = from_bits((uint32_t)half << 16);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            uint16_t half;
            memcpy(&half, bytes + 2 * i, 2);
            bad |= (half & 0x7c00u) == 0x7c00u;
            out[i] = widen_half(half);
        }
    }
    return !bad;
}

const ce_kernels CE_KERNELS = {
    .name = KERNELS_NAME,
    .mr = MR,
    .nr = NR,
    .tile = tile,
    .pack = pack,
    .pack_rows = pack_rows,
    .pack_columns = pack_columns,
    .layer_norm = layer_norm,
    .softmax = softmax,
    .attend = attend,
    .activate = activate,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
    .widen = widen,
};

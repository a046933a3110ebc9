#include "narrow.h"

#include "cpu.h"
#include "onednn.h"
#include "simd_narrow.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So much of the weights stays in the second-level cache while the rows pass by; sums of
 * 16384 products of 8 bits fit 32 with room for the zero point's. Whole blocks of rows:
 * CE_PRODUCT_ROWS of oneDNN, mr of the kernels. */
enum { CACHED_BYTES = 512 * 1024, PANEL_STEP = 64, MAX_BLOCK = 16 };
_Static_assert((int)MAX_BLOCK >= (int)CE_PRODUCT_ROWS, "rows are found a block at a time");

struct ce_narrow {
    ce_precision precision;
    size_t n, in, stride;           /* bytes from a row of rounded values to the next */
    size_t block;                   /* rows that are computed together */
    size_t columns, panel;          /* outputs of a panel, and its bytes */
    const ce_product *whole, *last; /* of a panel; of what is left. NULL: our tiles */
    unsigned char *weights;         /* panels, packed by oneDNN or for the tiles */
    float *scales;                  /* [n] */
    int32_t *totals;                /* [n] sums of the rounded weights */
};

extern const ce_narrow_kernels ce_narrow_kernels_base;
#if defined(__x86_64__)
extern const ce_narrow_kernels ce_narrow_kernels_avx2, ce_narrow_kernels_avxvnni,
    ce_narrow_kernels_avx512, ce_narrow_kernels_vnni, ce_narrow_kernels_bf16;
#endif

static const ce_narrow_kernels *chosen = &ce_narrow_kernels_base;

static void choose(void) {
#if defined(__x86_64__)
    ce_simd simd = ce_cpu_simd();
    if (ce_cpu_has_vnni())
        chosen = ce_cpu_has_bf16() ? &ce_narrow_kernels_bf16 : &ce_narrow_kernels_vnni;
    else if (simd == CE_SIMD_AVX512)
        chosen = &ce_narrow_kernels_avx512;
    else if (ce_cpu_has_avx_vnni())
        chosen = &ce_narrow_kernels_avxvnni;
    else if (simd == CE_SIMD_AVX2)
        chosen = &ce_narrow_kernels_avx2;
#endif
}

const ce_narrow_kernels *ce_narrow_kernels_get(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    return chosen;
}

/* Whether oneDNN multiplies, not our tiles: where there is AMX, which they do not use (else
 * they are as fast as it is, and what is around the sums costs less), or where
 * CLIPEVAL_ENGINE=onednn insists. */
static bool is_for_onednn(void) {
    const char *wish = getenv("CLIPEVAL_ENGINE");
    return ce_cpu_has_amx() || (wish && strcmp(wish, "onednn") == 0);
}

static bool has_tiles(ce_precision precision) {
    return precision == CE_INT8 || ce_narrow_kernels_get()->tile_bf16;
}

static size_t bytes_of(ce_precision precision) {
    return precision == CE_INT8 ? 1 : 2;
}

/* Outputs of a panel of oneDNN's: whole steps, as many as stay in the cache. */
static size_t columns_of(size_t n, size_t row_bytes) {
    size_t columns = CE_PRODUCT_COLUMNS;
    while (columns > PANEL_STEP && columns * row_bytes > CACHED_BYTES)
        columns -= PANEL_STEP;
    return columns < n ? columns : n;
}

static void choose_products(ce_narrow *w) {
    w->stride = w->in * bytes_of(w->precision);
    w->columns = columns_of(w->n, w->stride);
    size_t left = w->n % w->columns;
    w->whole = ce_product_get(w->precision, w->columns, w->in);
    w->last = left ? ce_product_get(w->precision, left, w->in) : w->whole;
    if (!w->whole || !w->last)
        w->whole = w->last = NULL;
    w->block = CE_PRODUCT_ROWS;
    w->panel = w->whole ? ce_product_packed_size(w->whole) : 0;
}

static void choose_tiles(ce_narrow *w) {
    w->stride = ce_round_up(w->in * bytes_of(w->precision), CE_NARROW_STEP);
    w->block = ce_narrow_kernels_get()->mr;
    w->columns = ce_narrow_kernels_get()->nr;
    w->panel = w->columns * w->stride;
}

static size_t panels_of(const ce_narrow *w) {
    return (w->n + w->columns - 1) / w->columns;
}

/* The last panel may be packed with more padding than its share. */
static size_t weights_size(const ce_narrow *w) {
    size_t last = w->last ? ce_product_packed_size(w->last) : w->panel;
    return (panels_of(w) - 1) * w->panel + (last > w->panel ? last : w->panel);
}

/* row [k] = q [k] * the scale that is returned; NaN where the row is not all finite. */
static float round_weights(int8_t *q, int32_t *total, const float *row, size_t k) {
    const float round_bias = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float most = 0, poison = 0;
    for (size_t p = 0; p < k; p++) {
        most = fabsf(row[p]) > most ? fabsf(row[p]) : most;
        poison += row[p] * 0;
    }
    *total = 0;
    if (isnan(poison)) {
        memset(q, 0, k);
        return NAN;
    }
    float inverse = most > 1e-30f ? 127 / most : 0;
    int32_t sum = 0;
    for (size_t p = 0; p < k; p++) {
        float rounded = row[p] * inverse + round_bias - round_bias;
        q[p] = (int8_t)rounded;
        sum += q[p];
    }
    *total = sum;
    return inverse > 0 ? most / 127 : 0;
}

/* Outputs [first, first + count) rounded, in `values`, then packed to their panel. */
static bool fill_panel(ce_narrow *w, size_t first, size_t count, unsigned char *values,
                       float *row, ce_narrow_row *get, const void *context) {
    for (size_t i = 0; i < count; i++) {
        unsigned char *to = values + i * w->stride;
        get(context, row, first + i);
        if (w->precision == CE_INT8)
            w->scales[first + i] =
                round_weights((int8_t *)to, &w->totals[first + i], row, w->in);
        else
            ce_narrow_kernels_get()->round_bf16((uint16_t *)(void *)to, row, w->in);
    }
    unsigned char *panel = w->weights + first / w->columns * w->panel;
    if (w->whole)
        return ce_product_pack(count == w->columns ? w->whole : w->last, panel, values);
    memset(panel, 0, w->panel);
    for (size_t i = 0; i < count; i++)
        for (size_t p = 0; p < w->in * bytes_of(w->precision); p++)
            panel[(p / CE_NARROW_STEP * w->columns + i) * CE_NARROW_STEP +
                  p % CE_NARROW_STEP] = values[i * w->stride + p];
    return true;
}

static bool fill(ce_narrow *w, ce_narrow_row *row, const void *context) {
    unsigned char *values = aligned_alloc(64, w->columns * w->stride / 64 * 64 + 64);
    float *one = malloc(w->in * sizeof *one);
    bool done = values && one;
    for (size_t i = 0; i < w->n && done; i += w->columns) {
        size_t count = w->n - i < w->columns ? w->n - i : w->columns;
        done = fill_panel(w, i, count, values, one, row, context);
    }
    free(values);
    free(one);
    return done;
}

int ce_narrow_new(ce_narrow **out, ce_precision precision, size_t n, size_t in,
                  ce_narrow_row *row, const void *context, ce_error *err) {
    *out = NULL;
    if (in > CE_NARROW_DEPTH || in == 0 || n == 0)
        return CE_OK;
    ce_narrow *w = calloc(1, sizeof *w);
    if (!w)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    *w = (ce_narrow){.precision = precision, .n = n, .in = in};
    if (is_for_onednn())
        choose_products(w);
    if (!w->whole && !has_tiles(precision)) {
        free(w);
        return CE_OK;
    }
    if (!w->whole)
        choose_tiles(w);
    w->weights = aligned_alloc(64, weights_size(w) / 64 * 64 + 64);
    w->scales = calloc(n, sizeof *w->scales);
    w->totals = calloc(n, sizeof *w->totals);
    if (!w->weights || !w->scales || !w->totals || !fill(w, row, context)) {
        ce_narrow_free(w);
        return ce_fail(err, CE_ENOMEM, "out of memory for a layer of %zu x %zu", n, in);
    }
    *out = w;
    return CE_OK;
}

void ce_narrow_free(ce_narrow *w) {
    if (!w)
        return;
    free(w->weights);
    free(w->scales);
    free(w->totals);
    free(w);
}

/* One forward; what is in `workspace` is of `rows` rows at a time. */
typedef struct pass {
    const ce_narrow *w;
    const float *bias;
    ce_activation activation;
    bool accumulate;
    float *y;              /* of these rows */
    size_t rows;           /* that exist */
    float *scales;         /* [rows] */
    int32_t *zeros;        /* [rows] */
    unsigned char *values; /* [rows rounded up to a block] of w->stride bytes */
} pass;

/* oneDNN's sums of one panel of a block of rows come here. */
typedef struct panel {
    const pass *p;
    size_t first, count; /* columns */
} panel;

static void take(void *context, size_t block, const void *sums) {
    const panel *at = context;
    const pass *p = at->p;
    const ce_narrow_kernels *kernels = ce_narrow_kernels_get();
    const float *bias = p->bias ? p->bias + at->first : NULL;
    for (size_t i = 0, row = block * CE_PRODUCT_ROWS; i < CE_PRODUCT_ROWS; i++, row++) {
        if (row >= p->rows)
            return;
        float *y = p->y + row * p->w->n + at->first;
        if (p->w->precision == CE_INT8)
            kernels->take_int8(y, (const int32_t *)sums + i * at->count, at->count,
                               p->scales[row], p->zeros[row], p->w->scales + at->first,
                               p->w->totals + at->first, bias, p->accumulate);
        else
            kernels->take_bf16(y, (const float *)sums + i * at->count, at->count, bias,
                               p->accumulate);
        ce_kernels_get()->activate(y, at->count, 1, at->count, p->activation);
    }
}

/* An allocation of a few bytes failed: no number may pass for an answer. */
static void spoil(const pass *p) {
    for (size_t i = 0; i < p->rows * p->w->n; i++)
        p->y[i] = NAN;
}

/* Panels [first, end), by oneDNN. */
static void multiply_products(const pass *p, size_t first, size_t end) {
    const ce_narrow *w = p->w;
    size_t blocks = ce_round_up(p->rows, CE_PRODUCT_ROWS) / CE_PRODUCT_ROWS;
    for (size_t j = first; j < end; j++) {
        panel at = {.p = p, .first = j * w->columns, .count = w->columns};
        if (w->n - at.first < at.count)
            at.count = w->n - at.first;
        const unsigned char *weights = w->weights + j * w->panel;
        if (!ce_product_run(at.count == w->columns ? w->whole : w->last, p->values, weights,
                            blocks, take, &at))
            spoil(p);
    }
}

/* Panels [first, end) of a block of rows from `row` on, by our tiles. */
static void multiply_block(const pass *p, size_t row, size_t first, size_t end) {
    const ce_narrow *w = p->w;
    const ce_narrow_kernels *kernels = ce_narrow_kernels_get();
    size_t from = first * w->columns,
           to = end * w->columns < w->n ? end * w->columns : w->n;
    ce_narrow_tile t = {.x = p->values + row * w->stride,
                        .y_stride = w->n,
                        .x_stride = w->stride,
                        .k = w->stride,
                        .rows = p->rows - row < w->block ? p->rows - row : w->block,
                        .row_scales = p->scales + row,
                        .zeros = p->zeros + row,
                        .accumulate = p->accumulate};
    for (size_t j = from; j < to; j += w->columns) {
        t.columns = to - j < w->columns ? to - j : w->columns;
        t.y = p->y + row * w->n + j;
        t.w = w->weights + j * w->stride;
        t.column_scales = w->scales + j;
        t.totals = w->totals + j;
        t.bias = p->bias ? p->bias + j : NULL;
        (w->precision == CE_INT8 ? kernels->tile : kernels->tile_bf16)(&t);
    }
    ce_kernels_get()->activate(p->y + row * w->n + from, w->n, t.rows, to - from,
                               p->activation);
}

/* Panels [first, end), so many at a time as stay in the cache. */
static void multiply_tiles(const pass *p, size_t first, size_t end) {
    size_t step = CACHED_BYTES / p->w->panel + 1;
    for (size_t j = first; j < end; j += step)
        for (size_t row = 0; row < p->rows; row += p->w->block)
            multiply_block(p, row, j, end - j < step ? end : j + step);
}

/* One member's panels. */
static void multiply_panels(void *context, size_t member, size_t members) {
    const pass *p = context;
    size_t panels = panels_of(p->w);
    size_t first = panels * member / members, end = panels * (member + 1) / members;
    if (p->w->whole)
        multiply_products(p, first, end);
    else
        multiply_tiles(p, first, end);
}

/* Rounds `count` rows that lie whole at `rows` to `first` on. */
static void round_rows(const pass *p, size_t first, const float *const *rows,
                       size_t count) {
    const ce_narrow_kernels *kernels = ce_narrow_kernels_get();
    size_t in = p->w->in, bytes = in * bytes_of(p->w->precision);
    for (size_t i = 0; i < count; i++) {
        unsigned char *to = p->values + (first + i) * p->w->stride;
        if (p->w->precision == CE_INT8)
            kernels->quantise(to, rows[i], in, p->scales + first + i, p->zeros + first + i);
        else
            kernels->round_bf16((uint16_t *)(void *)to, rows[i], in);
        memset(to + bytes, 0, p->w->stride - bytes);
    }
}

/* Rows [from, from + p->rows) of x; those that lie in pieces are put together first. */
static void read_rows(const pass *p, const ce_rows *x, size_t from, float *together) {
    const float *at[MAX_BLOCK];
    size_t in = p->w->in, block = p->w->block, count;
    for (size_t i = 0; i < p->rows; i += count) {
        count = p->rows - i < block ? p->rows - i : block;
        for (size_t c = 0, k; c < in; c += k) {
            k = x->find(x->context, at, from + i, count, c);
            if (c == 0 && k >= in)
                break;
            k = in - c < k ? in - c : k;
            for (size_t r = 0; r < count; r++)
                memcpy(together + r * in + c, at[r], k * sizeof *together);
            for (size_t r = 0; c + k == in && r < count; r++)
                at[r] = together + r * in;
        }
        round_rows(p, i, at, count);
    }
    size_t padding = ce_round_up(p->rows, block) - p->rows;
    memset(p->values + p->rows * p->w->stride, 0, padding * p->w->stride);
}

void ce_narrow_forward(const ce_narrow *w, float *y, const ce_rows *x, size_t rows,
                       const float *bias, ce_activation activation, bool accumulate,
                       ce_team *team, float *workspace) {
    float *together = workspace, *end = workspace + CE_NARROW_WORKSPACE;
    workspace += ce_round_up(w->block * w->in, CE_MAX_LANES);
    size_t room = (size_t)(end - workspace) * sizeof *workspace;
    size_t block = room / (w->stride + 8) / w->block * w->block;
    unsigned char *values = (unsigned char *)workspace;
    for (size_t i = 0; i < rows; i += block) {
        pass p = {.w = w,
                  .bias = bias,
                  .activation = activation,
                  .accumulate = accumulate,
                  .y = y + i * w->n,
                  .rows = rows - i < block ? rows - i : block,
                  .values = values,
                  .scales = (float *)(void *)(values + block * w->stride),
                  .zeros = (int32_t *)(void *)(values + block * (w->stride + 4))};
        read_rows(&p, x, i, together);
        if (team && panels_of(w) > 1)
            ce_team_run(team, multiply_panels, &p);
        else
            multiply_panels(&p, 0, 1);
    }
}

bool ce_narrow_is_fast(ce_precision precision) {
    const ce_narrow_kernels *kernels = ce_narrow_kernels_get();
    return precision == CE_INT8 ? kernels->vnni : kernels->tile_bf16 != NULL;
}

static char descriptions[CE_PRECISIONS][160];

/* What oneDNN leaves to us is attention. */
static void describe(void) {
    const char *own = ce_narrow_kernels_get()->name;
    for (int p = CE_INT8; p < CE_PRECISIONS; p++) {
        const ce_product *any =
            is_for_onednn() ? ce_product_get((ce_precision)p, PANEL_STEP, PANEL_STEP)
                            : NULL;
        snprintf(descriptions[p], sizeof descriptions[p], "%s%sclipeval %s",
                 any ? ce_product_description(any) : "", any ? " and " : "", own);
    }
}

const char *ce_narrow_description(ce_precision precision) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, describe);
    if (!has_tiles(precision))
        return "float32 of rounded numbers, without AVX-512 BF16";
    return descriptions[precision];
}

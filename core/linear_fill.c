/* Layers filled from a checkpoint: the weights are laid out as the engine wants them. */
#include "linear_internal.h"
#include "narrow.h"
#include "simd_narrow.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t padded_out(const ce_linear *l) {
    return ce_round_up(l->out, ce_kernels_get()->nr);
}

void ce_linear_init(ce_linear *l, size_t out, size_t in) {
    *l = (ce_linear){.out = out, .in = in};
}

/* Room for the weights, at the first call: by then a tensor has shown that the sizes are
 * real. `name` is the checkpoint's file. */
static int allocate(ce_linear *l, const char *name, ce_error *err) {
    if (l->weight)
        return CE_OK;
    size_t floats, nr = ce_kernels_get()->nr;
    if (!__builtin_mul_overflow(padded_out(l), l->in, &floats))
        l->weight = ce_floats_new(floats);
    if (!l->weight)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory for a layer of %zu x %zu", name,
                       l->out, l->in);
    if (l->out % nr && !ce_linear_on_openblas())
        memset(l->weight + l->out / nr * nr * l->in, 0, nr * l->in * sizeof *l->weight);
    return CE_OK;
}

void ce_linear_free(ce_linear *l) {
    free(l->weight);
    free(l->bias);
    ce_narrow_free(l->narrow);
    *l = (ce_linear){0};
}

/* Where weight (row, column) is kept, and how far apart a row's columns lie. */
static float *place(const ce_linear *l, size_t row, size_t *stride) {
    if (ce_linear_on_openblas()) {
        *stride = 1;
        return l->weight + row * l->in;
    }
    size_t nr = ce_kernels_get()->nr;
    *stride = nr;
    return l->weight + row / nr * nr * l->in + row % nr;
}

int ce_linear_set_rows(ce_linear *l, size_t first, const float *rows, size_t n,
                       const char *name, ce_error *err) {
    int result = allocate(l, name, err);
    if (result < 0)
        return result;
    const ce_kernels *kernels = ce_kernels_get();
    for (size_t i = 0, count; i < n; i += count) {
        size_t stride;
        float *to = place(l, first + i, &stride);
        bool panel = (first + i) % kernels->nr == 0 && n - i >= kernels->nr;
        count = panel && !ce_linear_on_openblas() ? kernels->nr : 1;
        if (count > 1)
            kernels->pack(to, rows + i * l->in, l->in, count, l->in, count);
        for (size_t p = 0; count == 1 && p < l->in; p++)
            to[p * stride] = rows[i * l->in + p];
    }
    return CE_OK;
}

/* A stored [out, in] matrix: strips of 64 columns over the rows of one panel pass through
 * the first-level cache, so that both the reads and the writes are in order. */
static int set_rows_out(ce_linear *l, size_t first, const ce_weights *w, const ce_tensor *t,
                        size_t n, ce_error *err) {
    enum { STRIP = 64, MAX_NR = 32 };
    float strip[MAX_NR][STRIP];
    const ce_kernels *kernels = ce_kernels_get();
    for (size_t i = 0, rows; i < n; i += rows) {
        rows = kernels->nr - (first + i) % kernels->nr; /* to the end of the panel */
        rows = n - i < rows ? n - i : rows;
        for (size_t p = 0; p < l->in; p += STRIP) {
            size_t cols = l->in - p < STRIP ? l->in - p : STRIP, stride;
            for (size_t r = 0; r < rows; r++) {
                int result =
                    ce_tensor_widen(w, t, strip[r], (i + r) * l->in + p, cols, err);
                if (result < 0)
                    return result;
            }
            if (rows == kernels->nr && !ce_linear_on_openblas()) {
                float *to = place(l, first + i, &stride) + p * kernels->nr;
                kernels->pack(to, strip[0], STRIP, rows, cols, kernels->nr);
                continue;
            }
            for (size_t r = 0; r < rows; r++) {
                float *to = place(l, first + i + r, &stride);
                for (size_t c = 0; c < cols; c++)
                    to[(p + c) * stride] = strip[r][c];
            }
        }
    }
    return CE_OK;
}

/* A stored [in, n] matrix. */
static int set_rows_in(ce_linear *l, size_t first, const ce_weights *w, const ce_tensor *t,
                       size_t n, ce_error *err) {
    float *row = malloc(n * sizeof *row);
    if (!row)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    int result = CE_OK;
    for (size_t p = 0; p < l->in && result == CE_OK; p++) {
        result = ce_tensor_widen(w, t, row, p * n, n, err);
        for (size_t i = 0; i < n; i++) {
            size_t stride;
            float *to = place(l, first + i, &stride);
            to[p * stride] = row[i];
        }
    }
    free(row);
    return result;
}

static int set_tensor(ce_linear *l, size_t first, ce_weights *w, const char *name, int rank,
                      const size_t *shape, size_t n, ce_orientation orientation,
                      ce_error *err) {
    ce_tensor *t;
    int result = ce_weights_take(w, &t, name, rank, shape, err);
    if (result < 0 || ce_weights_is_shapes_only(w))
        return result;
    result = allocate(l, ce_weights_path(w), err);
    if (result == CE_OK)
        result = orientation == CE_ROWS_OUT ? set_rows_out(l, first, w, t, n, err)
                                            : set_rows_in(l, first, w, t, n, err);
    ce_tensor_release(t);
    return result;
}

int ce_linear_set_shaped(ce_linear *l, size_t first, ce_weights *w, const char *name,
                         int rank, const size_t *shape, ce_error *err) {
    return set_tensor(l, first, w, name, rank, shape, shape[0], CE_ROWS_OUT, err);
}

int ce_linear_set(ce_linear *l, size_t first, ce_weights *w, const char *name, size_t n,
                  ce_orientation orientation, ce_error *err) {
    size_t shape[] = {n, l->in}, turned[] = {l->in, n};
    return set_tensor(l, first, w, name, 2, orientation == CE_ROWS_OUT ? shape : turned, n,
                      orientation, err);
}

int ce_linear_set_bias_values(ce_linear *l, size_t first, const float *bias, size_t n,
                              ce_error *err) {
    if (!l->bias)
        l->bias = calloc(padded_out(l), sizeof *l->bias);
    if (!l->bias)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    memcpy(l->bias + first, bias, n * sizeof *bias);
    return CE_OK;
}

int ce_linear_set_bias(ce_linear *l, size_t first, ce_weights *w, const char *name,
                       size_t n, ce_error *err) {
    float *bias = NULL;
    int result = ce_weights_take_floats(w, &bias, name, 1, &n, err);
    if (result == CE_OK)
        result = ce_linear_set_bias_values(l, first, bias, n, err);
    free(bias);
    return result;
}

int ce_linear_set_layer(ce_linear *l, size_t first, ce_weights *w, const char *name,
                        size_t n, ce_error *err) {
    char full[256];
    snprintf(full, sizeof full, "%s.weight", name);
    int result = ce_linear_set(l, first, w, full, n, CE_ROWS_OUT, err);
    snprintf(full, sizeof full, "%s.bias", name);
    return result < 0 ? result : ce_linear_set_bias(l, first, w, full, n, err);
}

void ce_linear_scale_outputs(ce_linear *l, const float *factors) {
    for (size_t i = 0; l->weight && i < l->out; i++) {
        size_t stride;
        float *row = place(l, i, &stride);
        for (size_t p = 0; p < l->in; p++)
            row[p * stride] *= factors[i];
        if (l->bias)
            l->bias[i] *= factors[i];
    }
}

/* Row `i` of the weights. */
static void read_row(const void *context, float *to, size_t i) {
    const ce_linear *l = context;
    size_t stride;
    const float *from = place(l, i, &stride);
    for (size_t p = 0; p < l->in; p++)
        to[p] = from[p * stride];
}

void ce_linear_round(float *x, size_t n) {
    enum { PART = 64 };
    uint16_t part[PART];
    for (size_t i = 0, count; i < n; i += count) {
        count = n - i < PART ? n - i : PART;
        ce_narrow_kernels_get()->round_bf16(part, x + i, count);
        for (size_t k = 0; k < count; k++) {
            uint32_t bits = (uint32_t)part[k] << 16;
            memcpy(x + i + k, &bits, sizeof bits);
        }
    }
}

int ce_linear_set_precision(ce_linear *l, ce_precision precision, ce_error *err) {
    if (precision == CE_FP32 || !l->weight || l->in > CE_NARROW_DEPTH)
        return CE_OK;
    int result = ce_narrow_new(&l->narrow, precision, l->out, l->in, read_row, l, err);
    if (l->narrow) {
        free(l->weight);
        l->weight = NULL;
    } else if (result == CE_OK && precision == CE_BFLOAT16) {
        ce_linear_round(l->weight,
                        (ce_linear_on_openblas() ? l->out : padded_out(l)) * l->in);
        l->rounds = true;
    }
    return result;
}

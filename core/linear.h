/* Fully connected layers: y = x W^T + bias, with W prepared once. The engines live behind
 * this interface: our own float32 kernels (core/simd.c) wherever the CPU has AVX2 or more,
 * OpenBLAS on the others. CLIPEVAL_ENGINE=openblas|clipeval in the environment insists.
 * int8 and bfloat16 are core/narrow's.
 *
 *     ce_linear l;
 *     ce_linear_init(&l, out, in);
 *     ce_linear_set(&l, 0, weights, "fc.weight", out, CE_ROWS_OUT, &err);
 *     ce_linear_set_bias(&l, 0, weights, "fc.bias", out, &err);
 *     ce_linear_set_precision(&l, CE_INT8, &err);
 *     ce_linear_forward(&l, y, x, rows, CE_GELU, false, workspace);
 *     ce_linear_free(&l);
 */
#ifndef CE_LINEAR_H
#define CE_LINEAR_H

#include "error.h"
#include "kernels.h"
#include "precision.h"
#include "team.h"
#include "weights.h"

typedef struct ce_linear {
    size_t out, in;
    float *weight; /* panels [out / nr][in][nr] (zeros behind out); OpenBLAS: [out, in] */
    float *bias;   /* [out rounded up to a panel], or NULL */
    struct ce_narrow *narrow; /* int8, bf16: the weights, in place of `weight` */
    bool rounds;              /* bf16 of a CPU that has none: float32, with x rounded */
} ce_linear;

/* How a stored matrix lies: [out, in] as torch's nn.Linear, or [in, out] as CLIP's
 * projection parameters. */
typedef enum ce_orientation { CE_ROWS_OUT, CE_ROWS_IN } ce_orientation;

void ce_linear_init(ce_linear *l, size_t out, size_t in);
void ce_linear_free(ce_linear *l);

/* Fills the `n` outputs from `first` on with tensor `name`: [n, in], or [in, n]. The second
 * form names the stored shape, for a convolution's [n, channels, height, width]. */
int ce_linear_set_shaped(ce_linear *l, size_t first, ce_weights *w, const char *name,
                         int rank, const size_t *shape, ce_error *err);
int ce_linear_set(ce_linear *l, size_t first, ce_weights *w, const char *name, size_t n,
                  ce_orientation orientation, ce_error *err);
int ce_linear_set_bias(ce_linear *l, size_t first, ce_weights *w, const char *name,
                       size_t n, ce_error *err);
/* NAME.weight [n, in] and NAME.bias [n], as of torch's nn.Linear. */
int ce_linear_set_layer(ce_linear *l, size_t first, ce_weights *w, const char *name,
                        size_t n, ce_error *err);
/* The same from memory: rows [n, in], bias [n]; `name` is the file they came from. */
int ce_linear_set_rows(ce_linear *l, size_t first, const float *rows, size_t n,
                       const char *name, ce_error *err);
int ce_linear_set_bias_values(ce_linear *l, size_t first, const float *bias, size_t n,
                              ce_error *err);

/* Multiplies output i, weights and bias, by factors[i]: a learned scale behind the layer,
 * folded into it. */
void ce_linear_scale_outputs(ce_linear *l, const float *factors);

/* From now on the layer computes in another precision (see precision.h): the last step of
 * filling it. The float32 weights are gone then; without weights (shapes only) it does
 * nothing. CE_ENOMEM. */
int ce_linear_set_precision(ce_linear *l, ce_precision precision, ce_error *err);

/* Room that ce_linear_forward needs, in floats, whatever the layer. */
size_t ce_linear_workspace(void);

/* y[rows, out] = activation(x[rows, in] W^T + bias), or with `accumulate`
 * activation(y + x W^T + bias). x and y must not overlap. */
void ce_linear_forward(const ce_linear *l, float *y, const float *x, size_t rows,
                       ce_activation activation, bool accumulate, float *workspace);

/* An x whose rows are scattered, as a convolution's neighbourhoods are: `find` points at
 * column `column` of `count` <= 32 rows from `first` on, and returns how many columns
 * (1 or more) follow each other in memory from there. Called by every member of a team. */
typedef struct ce_rows {
    size_t (*find)(const void *context, const float **rows, size_t first, size_t count,
                   size_t column);
    const void *context;
} ce_rows;

/* The same with such an x. */
void ce_linear_forward_rows(const ce_linear *l, float *y, const ce_rows *x, size_t rows,
                            ce_activation activation, bool accumulate, float *workspace);

/* From now on the forward passes of this thread share their work with the team; NULL ends
 * that. The bits of the result stay what they were. */
void ce_linear_use_team(ce_team *team);

/* "clipeval AVX-512" or "OpenBLAS": what computes in float32. */
const char *ce_engine_description(void);

/* What computes in a given precision: "clipeval AVX-512 VNNI". Loads it. */
const char *ce_engine_describe(ce_precision precision);

/* Whether this CPU multiplies such numbers faster than float32; if not, the precision runs
 * all the same, slower. */
bool ce_engine_is_fast(ce_precision precision);

#endif

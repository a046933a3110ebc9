/* Attention of one head over one sequence:
 *
 *     mixed = softmax(query key^T / sqrt(size)) value
 *
 * (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762). In float32; of a tower in int8
 * or bf16 with the operands of both products rounded to bfloat16, where the CPU has AVX-512
 * BF16: the softmax and the sums stay float32.
 *
 *     float *scratch = ...;  // ce_attention_scratch(64, 50) floats
 *     ce_attended x = {qkv, qkv + width, qkv + 2 * width, 3 * width, 3 * width};
 *     ce_attention_head(mixed, width, &x, 50, 64, CE_FP32, scratch);
 */
#ifndef CE_ATTENTION_H
#define CE_ATTENTION_H

#include "precision.h"

#include <stddef.h>

/* What attention reads: `size` columns of each row, and the row strides. */
typedef struct ce_attended {
    const float *query, *key, *value;
    size_t query_stride, stride;
} ce_attended;

/* Floats of scratch, whatever the precision. */
size_t ce_attention_scratch(size_t size, size_t longest);

/* mixed [length, size] (row stride ld); `length` <= longest. */
void ce_attention_head(float *mixed, size_t ld, const ce_attended *x, size_t length,
                       size_t size, ce_precision precision, float *scratch);

#endif

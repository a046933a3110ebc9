/* In what numbers the layers of a tower compute.
 *
 *     ce_precision p;
 *     if (!ce_precision_parse(&p, "int8"))
 *         ...;
 *     puts(ce_precision_name(p));
 *
 * CE_FP32: as the checkpoint states it, in float32.
 * CE_INT8: weights of 8 bits, rounded once with a scale for each output channel;
 * activations of 8 bits, rounded as they come with a scale and a zero point for each row;
 * exact integer sums; what is behind them in float32. CE_BFLOAT16: weights and activations
 * rounded to bfloat16 (8 bits of significand), summed in float32.
 *
 * Attention's own products over whole sequences (core/attention) are bfloat16 in CE_INT8
 * and CE_BFLOAT16, where the CPU has AVX-512 BF16. Those of causal texts, of a last block
 * that is only asked for some rows, and of a pool stay float32 in every precision, as do a
 * ResNet's stem, a tower's last projection, norms and softmax.
 */
#ifndef CE_PRECISION_H
#define CE_PRECISION_H

#include <stdbool.h>

typedef enum ce_precision { CE_FP32, CE_INT8, CE_BFLOAT16 } ce_precision;
enum { CE_PRECISIONS = 3 };

/* "fp32", "int8", "bf16" */
const char *ce_precision_name(ce_precision p);

/* False, and *out as it was, where there is no such precision. */
bool ce_precision_parse(ce_precision *out, const char *name);

#endif

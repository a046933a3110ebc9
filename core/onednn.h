/* oneDNN, loaded when a layer of int8 or bfloat16 first needs it: a program that computes
 * in float32 pays neither for its 40 MB nor for the OpenMP it brings.
 *
 * Its products take CE_PRODUCT_ROWS rows, always: what a row gives then cannot depend on
 * how many there are beside it, and one compiled kernel serves every batch. Each is proved
 * when it is made, on values that overflow where a kernel adds in 16 bits.
 *
 *     const ce_product *p = ce_product_get(CE_INT8, n, k);
 *     if (p && ce_product_pack(p, packed, weights))
 *         ce_product_run(p, x, packed, blocks, take_sums, context);
 */
#ifndef CE_ONEDNN_H
#define CE_ONEDNN_H

#include "precision.h"

#include <stddef.h>

enum { CE_PRODUCT_ROWS = 16, CE_PRODUCT_COLUMNS = 256 };

/* x W^T for x [CE_PRODUCT_ROWS, k] and W [n, k]. CE_INT8: x uint8_t, W int8_t, the sums
 * int32_t and exact. CE_BFLOAT16: x and W bfloat16 as uint16_t, the sums float. */
typedef struct ce_product ce_product;

/* The same at every call, never freed; n <= CE_PRODUCT_COLUMNS. NULL: oneDNN is not
 * installed, has no kernel for it that uses what this CPU offers for such numbers (AVX-512
 * VNNI; AVX-512 BF16), or the kernel failed its proof. */
const ce_product *ce_product_get(ce_precision precision, size_t n, size_t k);

/* Bytes of W in oneDNN's own layout. */
size_t ce_product_packed_size(const ce_product *p);

/* packed (aligned to 64 bytes) = W; weights [n, k]. False: out of memory. */
bool ce_product_pack(const ce_product *p, void *packed, const void *weights);

/* For each of the blocks of x [blocks, CE_PRODUCT_ROWS, k]: its sums [CE_PRODUCT_ROWS, n]
 * to `take`, in order. Any thread may call it, also several at once. False: out of memory.
 */
bool ce_product_run(const ce_product *p, const void *x, const void *packed, size_t blocks,
                    void (*take)(void *context, size_t block, const void *sums),
                    void *context);

/* "oneDNN 2.6.3 avx512_core_vnni"; of any product there is. */
const char *ce_product_description(const ce_product *p);

#endif

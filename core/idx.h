/* IDX files (MNIST's format, http://yann.lecun.com/exdb/mnist: big-endian sizes), plain or
 * gzip-compressed, unsigned bytes.
 *
 *     ce_idx images;
 *     ce_idx_read(&images, "t10k-images-idx3-ubyte.gz", &err);
 *     images.bytes[(i * images.shape[1] + y) * images.shape[2] + x]
 *     ce_idx_free(&images);
 */
#ifndef CE_IDX_H
#define CE_IDX_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_idx {
    int rank;        /* 1..4 */
    size_t shape[4]; /* row-major; unused entries are 1 */
    uint8_t *bytes;
} ce_idx;

/* CE_EFORMAT: not IDX, another element type, truncated, longer than its header says. */
int ce_idx_read(ce_idx *out, const char *path, ce_error *err);
void ce_idx_free(ce_idx *idx);

#endif

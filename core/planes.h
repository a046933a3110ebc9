/* Raw pictures whose channels lie one behind the other, as CIFAR and STL-10 store them.
 *
 *     ce_interleave(out, planes, 32, 32, false);   // out: [32, 32, 3]
 */
#ifndef CE_PLANES_H
#define CE_PLANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* planes [3, height, width], or [3, width, height] where `columns` (STL-10 stores column by
 * column) -> out [height, width, 3]. */
void ce_interleave(uint8_t *out, const uint8_t *planes, size_t width, size_t height,
                   bool columns);

#endif

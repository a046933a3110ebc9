/* Pillow's resampling (src/libImaging/Resample.c), for a window of the result. */
#ifndef CE_RESAMPLE_H
#define CE_RESAMPLE_H

#include "preprocess.h"

/* A rectangle of the resized picture. */
typedef struct ce_window {
    int x, y, width, height;
} ce_window;

/* Resizes `in` to width x height and writes the part inside `w` to `out`, whose rows are
 * `stride` bytes apart. The part is what the whole would hold there, byte for byte. */
int ce_resample(uint8_t *out, size_t stride, const ce_image *in, int width, int height,
                ce_interpolation interpolation, ce_window w, ce_error *err);

#endif

#include "planes.h"

void ce_interleave(uint8_t *out, const uint8_t *planes, size_t width, size_t height,
                   bool columns) {
    size_t across = columns ? height : 1, down = columns ? 1 : width;
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            for (size_t c = 0; c < 3; c++)
                *out++ = planes[c * width * height + x * across + y * down];
}

/* The most float operations a second that a core does with one set of instructions: chains
 * of multiply-adds that never leave the registers. Compiled as core/simd.c is, with CE_PEAK
 * naming the loop. */
#include "bench.h"
#include "simd.h"

/* A multiply-add takes 4 or 5 cycles and a core begins up to two in each: 12 chains keep it
 * busy and fit in 16 registers, beside the two operands. */
enum { CHAINS = 12 };

extern const ce_peak_loop CE_PEAK;

static float run(size_t rounds, const float *operands) {
    vf acc[CHAINS], factor = splat(operands[0]), term = splat(operands[1]);
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = splat(operands[2 + i]);
    for (size_t r = 0; r < rounds; r++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++)
            acc[i] = acc[i] * factor + term;
    }
    vf sum = acc[0];
    for (int i = 1; i < CHAINS; i++)
        sum += acc[i];
    return sum[0];
}

const ce_peak_loop CE_PEAK = {.operations = 2 * CHAINS * LANES, .run = run};

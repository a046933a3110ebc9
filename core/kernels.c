#include "kernels.h"

#include "cpu.h"

#include <pthread.h>
#include <string.h>

extern const ce_kernels ce_kernels_base;
#if defined(__x86_64__)
extern const ce_kernels ce_kernels_avx2, ce_kernels_avx512;
#endif

static const ce_kernels *chosen = &ce_kernels_base;

static void choose(void) {
#if defined(__x86_64__)
    ce_simd simd = ce_cpu_simd();
    if (simd == CE_SIMD_AVX512)
        chosen = &ce_kernels_avx512;
    else if (simd == CE_SIMD_AVX2)
        chosen = &ce_kernels_avx2;
#endif
}

const ce_kernels *ce_kernels_get(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    return chosen;
}

/* One tile at c, of which only `cols` columns exist. */
static void edge_tile(const ce_kernels *kernels, const ce_gemm *g, float *c, const float *a,
                      const float *b, const void *next, size_t lines, const float *bias,
                      size_t rows, size_t cols) {
    float whole[12 * 32]; /* at least mr * nr of every kernel */
    for (size_t i = 0; g->accumulate && i < rows; i++)
        memcpy(whole + i * kernels->nr, c + i * g->ldc, cols * sizeof *c);
    kernels->tile(whole, kernels->nr, a, b, g->k, next, lines, bias, g->accumulate,
                  g->activation == CE_RELU, rows);
    for (size_t i = 0; i < rows; i++)
        memcpy(c + i * g->ldc, whole + i * kernels->nr, cols * sizeof *c);
}

void ce_gemm_run(const ce_gemm *g) {
    const ce_kernels *kernels = ce_kernels_get();
    size_t mr = kernels->mr, nr = kernels->nr, tiles = (g->m + mr - 1) / mr;
    /* what each step of each tile fetches of the next panel, so that it is all there */
    size_t step = CE_TILE_STEP * nr * sizeof *g->b / CE_CACHE_LINE;
    size_t lines = tiles ? (step + tiles - 1) / tiles : 0;
    for (size_t j = 0; j < g->n; j += nr) {
        const float *b = g->b + j / nr * g->panel;
        const char *next = (const char *)(b + g->panel); /* the next panel */
        const float *bias = g->bias ? g->bias + j : NULL;
        size_t cols = g->n - j < nr ? g->n - j : nr;
        for (size_t i = 0; i < g->m; i += mr) {
            const float *a = g->a + i * g->k;
            float *c = g->c + i * g->ldc + j;
            size_t rows = g->m - i < mr ? g->m - i : mr;
            if (cols == nr)
                kernels->tile(c, g->ldc, a, b, g->k, next, lines, bias, g->accumulate,
                              g->activation == CE_RELU, rows);
            else
                edge_tile(kernels, g, c, a, b, next, lines, bias, rows, cols);
            next += g->k / CE_TILE_STEP * lines * CE_CACHE_LINE;
            if (g->activation != CE_NO_ACTIVATION && g->activation != CE_RELU)
                kernels->activate(c, g->ldc, rows, cols, g->activation);
        }
    }
}

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

/* A tile of which only `cols` columns exist. */
static void edge_tile(const ce_kernels *kernels, ce_tile t, size_t cols) {
    float whole[12 * 32]; /* at least mr * nr of every kernel */
    float *c = t.c;
    size_t ldc = t.ldc;
    for (size_t i = 0; t.accumulate && i < t.rows; i++)
        memcpy(whole + i * kernels->nr, c + i * ldc, cols * sizeof *c);
    t.c = whole;
    t.ldc = kernels->nr;
    kernels->tile(&t);
    for (size_t i = 0; i < t.rows; i++)
        memcpy(c + i * ldc, whole + i * kernels->nr, cols * sizeof *c);
}

void ce_gemm_run(const ce_gemm *g) {
    const ce_kernels *kernels = ce_kernels_get();
    size_t mr = kernels->mr, nr = kernels->nr, tiles = (g->m + mr - 1) / mr;
    /* what each step of each tile fetches of the next panel, so that it is all there */
    size_t step = CE_TILE_STEP * nr * sizeof *g->b / CE_CACHE_LINE;
    ce_tile t = {.ldc = g->ldc,
                 .k = g->k,
                 .accumulate = g->accumulate,
                 .relu = g->activation == CE_RELU,
                 .lines = tiles ? (step + tiles - 1) / tiles : 0};
    for (size_t j = 0; j < g->n; j += nr) {
        size_t cols = g->n - j < nr ? g->n - j : nr;
        t.b = g->b + j / nr * g->panel;
        t.next = (const char *)(t.b + g->panel);
        t.bias = g->bias ? g->bias + j : NULL;
        for (size_t i = 0; i < g->m; i += mr) {
            t.a = g->a + i * g->k;
            t.c = g->c + i * g->ldc + j;
            t.rows = g->m - i < mr ? g->m - i : mr;
            if (cols == nr)
                kernels->tile(&t);
            else
                edge_tile(kernels, t, cols);
            t.next += g->k / CE_TILE_STEP * t.lines * CE_CACHE_LINE;
            if (g->activation != CE_NO_ACTIVATION && !t.relu)
                kernels->activate(t.c, g->ldc, t.rows, cols, g->activation);
        }
    }
}

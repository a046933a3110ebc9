/* What this machine gives, for `clipeval bench`: its own limit, and how near the kernels in
 * use come to it. Every call is one short round (a few hundredths of a second), so that the
 * caller can let rounds of different kinds alternate and take medians.
 *
 *     double limit, kernel;
 *     ce_bench_peak(&limit, ce_cpu_widest_simd(), 2, &err);
 *     ce_bench_kernel(&kernel, CE_FP32, 2, &err);
 *     printf("%.0f %% of the peak\n", 100 * kernel / limit);
 *
 * Rates are the sum over `threads` threads (1 .. CE_BENCH_THREADS) that work side by side.
 * Errors: CE_ENOMEM, where there is no memory or no thread.
 */
#ifndef CE_BENCH_H
#define CE_BENCH_H

#include "cpu.h"
#include "error.h"
#include "precision.h"
#include "preprocess.h"

#include <stddef.h>

enum { CE_BENCH_THREADS = 1024 };

/* operands: a factor, a term, and where 12 chains begin; the result only keeps a compiler
 * from dropping the work. */
typedef struct ce_peak_loop {
    size_t operations; /* of float, in one round */
    float (*run)(size_t rounds, const float *operands);
} ce_peak_loop;

/* Seconds that pass, from some moment on. */
double ce_bench_now(void);

/* 1e9 float operations a second in registers. The CPU must have `set`; CE_EINVAL. */
int ce_bench_peak(double *out, ce_simd set, int threads, ce_error *err);

/* 1e9 operations a second (of float, or of what `precision` computes in) in the widest
 * layer of a ViT-B/32: 8 pictures of 50 tokens, 768 -> 3072, as core/linear does it. */
int ce_bench_kernel(double *out, ce_precision precision, int threads, ce_error *err);

/* A JPEG of CE_BENCH_WIDTH x CE_BENCH_HEIGHT, quality 90: smooth colours, edges and grain.
 * The caller frees *out. */
enum { CE_BENCH_WIDTH = 500, CE_BENCH_HEIGHT = 375 };
int ce_bench_jpeg(unsigned char **out, size_t *size, ce_error *err);

/* Pictures a second, from such a file in memory to what a tower takes. Other errors are
 * those of ce_image_decode and ce_preprocess_image. */
int ce_bench_pictures(double *out, const ce_preprocess *recipe, const unsigned char *jpeg,
                      size_t size, int threads, ce_error *err);

#endif

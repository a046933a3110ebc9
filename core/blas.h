/* OpenBLAS, loaded when it is first needed, so that its kernels can be settled before.
 *
 * OpenBLAS chooses its kernels when it is loaded, and takes newer CPUs for old ones: Debian
 * 12's 0.3.21 runs the kernels of a Prescott (2004) on an Emerald Rapids. It reads
 * OPENBLAS_CORETYPE at that moment; so ce_blas() sets the variable where the user has not,
 * and only then opens the library. OPENBLAS_NUM_THREADS becomes 1 unless the user says
 * otherwise: the workers of core/pipeline are the threads.
 *
 *     const ce_blas_library *blas = ce_blas();
 *     if (blas)
 *         blas->sgemm(CblasRowMajor, ...);
 */
#ifndef CE_BLAS_H
#define CE_BLAS_H

#include <cblas.h>

typedef struct ce_blas_library {
    void (*sgemm)(enum CBLAS_ORDER, enum CBLAS_TRANSPOSE, enum CBLAS_TRANSPOSE, blasint m,
                  blasint n, blasint k, float alpha, const float *a, blasint lda,
                  const float *b, blasint ldb, float beta, float *c, blasint ldc);
    void (*dgemm)(enum CBLAS_ORDER, enum CBLAS_TRANSPOSE, enum CBLAS_TRANSPOSE, blasint m,
                  blasint n, blasint k, double alpha, const double *a, blasint lda,
                  const double *b, blasint ldb, double beta, double *c, blasint ldc);
    char description[160]; /* "OpenBLAS 0.3.21, kernel SkylakeX" */
} ce_blas_library;

/* The library, the same at every call; NULL where it is not installed. The first call sets
 * environment variables, so it should come before other threads read them. */
const ce_blas_library *ce_blas(void);

/* One line for --version and run.json; says so where there is no OpenBLAS. */
const char *ce_blas_description(void);

#endif

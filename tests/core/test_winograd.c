/* Convolutions through core/winograd beside the plain sum in float64, at sizes where tiles
 * end outside the picture, and each picture alone beside all of them. */
#include "random_floats.h"
#include "winograd.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct layer {
    size_t out, in;
    float *rows, *bias; /* [out, 3, 3, in], [out] */
} layer;

static double expected(const layer *l, const float *x, size_t height, size_t width,
                       size_t y, size_t column, size_t o) {
    double sum = (double)l->bias[o];
    for (size_t ky = 0; ky < 3; ky++)
        for (size_t kx = 0; kx < 3; kx++) {
            size_t row = y + ky - 1, col = column + kx - 1;
            for (size_t i = 0; row < height && col < width && i < l->in; i++)
                sum += (double)l->rows[((o * 3 + ky) * 3 + kx) * l->in + i] *
                       (double)x[(row * width + col) * l->in + i];
        }
    return fmax(sum, 0);
}

/* The error of one product, as large as that of what it multiplies: sums of up to 4. */
static double error_of(ce_precision precision) {
    return precision == CE_FP32 ? 3e-6 : 4 * 0x1p-8;
}

static void check(size_t out, size_t in, size_t n, size_t height, size_t width,
                  ce_precision precision) {
    layer l = {out, in, random_floats(out * 9 * in), random_floats(out)};
    size_t area = height * width;
    float *x = random_floats(n * area * in), *zeros = calloc(in, sizeof *zeros);
    float *y = random_floats(n * area * out), *alone = random_floats(area * out);
    ce_winograd w;
    ce_error err;
    ce_winograd_init(&w, out, in);
    assert_int_equal(ce_winograd_set_rows(&w, 0, l.rows, out, "test", &err), CE_OK);
    assert_int_equal(ce_winograd_set_bias(&w, l.bias, &err), CE_OK);
    assert_int_equal(ce_winograd_set_precision(&w, precision, &err), CE_OK);
    float *scratch = malloc(ce_winograd_scratch(&w) * sizeof *scratch);
    ce_winograd_forward(&w, y, x, n, height, width, zeros, scratch);
    for (size_t k = 0; k < n * area * out; k++) {
        size_t picture = k / (area * out), place = k / out % area;
        double truth = expected(&l, x + picture * area * in, height, width, place / width,
                                place % width, k % out);
        assert_true(fabs((double)y[k] - truth) <=
                    error_of(precision) * sqrt(9 * (double)in));
    }
    for (size_t i = 0; i < n; i++) {
        ce_winograd_forward(&w, alone, x + i * area * in, 1, height, width, zeros, scratch);
        if (strcmp(ce_engine_description(), "OpenBLAS") != 0) /* which promises less */
            assert_memory_equal(alone, y + i * area * out, area * out * sizeof *alone);
    }
    ce_winograd_free(&w);
    free(l.rows);
    free(l.bias);
    free(x);
    free(zeros);
    free(y);
    free(alone);
    free(scratch);
}

static void it_is_the_plain_convolution(void **state) {
    (void)state;
    const ce_precision precisions[] = {CE_FP32, CE_BFLOAT16};
    for (size_t p = 0; p < 2; p++) {
        check(1, 1, 1, 1, 1, precisions[p]);
        check(5, 3, 2, 4, 7, precisions[p]);
        check(40, 17, 3, 5, 2, precisions[p]);
        check(64, 64, 2, 14, 14, precisions[p]);
        check(33, 96, 5, 7, 7, precisions[p]);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_plain_convolution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Attention of a head beside the textbook's in float64; in bfloat16 on operands that are
 * rounded as the kernels round them, so that what is left is float32's own error and, of
 * the probabilities, the rounding of those that lie between two. */
#include "attention.h"

#include "kernels.h"
#include "random_floats.h"
#include "simd_narrow.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool rounds(ce_precision precision) {
    return precision != CE_FP32 && ce_narrow_kernels_get()->tile_bf16;
}

static double rounded(float x, ce_precision precision) {
    uint16_t half;
    uint32_t bits;
    if (!rounds(precision))
        return (double)x;
    ce_narrow_kernels_get()->round_bf16(&half, &x, 1);
    bits = (uint32_t)half << 16;
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

/* out [size] = what query `i` gathers */
static void attend_naively(double *out, const ce_attended *x, size_t i, size_t length,
                           size_t size, ce_precision precision) {
    double *weights = malloc(length * sizeof *weights), total = 0;
    for (size_t j = 0; j < length; j++) {
        double score = 0;
        for (size_t k = 0; k < size; k++)
            score += rounded(x->query[i * x->query_stride + k], precision) *
                     rounded(x->key[j * x->stride + k], precision);
        total += weights[j] = exp(score / sqrt((double)size));
    }
    memset(out, 0, size * sizeof *out);
    for (size_t j = 0; j < length; j++)
        for (size_t k = 0; k < size; k++)
            out[k] += weights[j] / total * rounded(x->value[j * x->stride + k], precision);
    free(weights);
}

static void check(size_t length, size_t size, ce_precision precision) {
    size_t query_stride = size + 7, stride = 2 * size + 3, ld = size + 5;
    float *query = random_floats(length * query_stride);
    float *rows = random_floats(length * stride), *mixed = random_floats(length * ld);
    float *before = malloc(length * ld * sizeof *before);
    float *scratch =
        aligned_alloc(64, ce_round_up(ce_attention_scratch(size, length), 16) * 4);
    double *truth = malloc(size * sizeof *truth);
    ce_attended x = {query, rows, rows + size, query_stride, stride};
    memcpy(before, mixed, length * ld * sizeof *mixed);
    ce_attention_head(mixed, ld, &x, length, size, precision, scratch);
    double allowed = rounds(precision) ? 0x1p-9 + 4e-6 : 4e-6;
    for (size_t i = 0; i < length; i++) {
        attend_naively(truth, &x, i, length, size, precision);
        for (size_t k = 0; k < size; k++)
            assert_true(fabs((double)mixed[i * ld + k] - truth[k]) < allowed);
        assert_memory_equal(mixed + i * ld + size, before + i * ld + size,
                            (ld - size) * sizeof *mixed);
    }
    free(query);
    free(rows);
    free(mixed);
    free(before);
    free(scratch);
    free(truth);
}

static void a_head_mixes_as_the_textbook_says(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 8, 21, 64, 80};
    for (int p = 0; p < CE_PRECISIONS; p++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t length = 1; length < 140; length += 1 + length / 3)
                check(length, sizes[s], (ce_precision)p);
}

static void what_is_no_number_shows(void **state) {
    (void)state;
    enum { LENGTH = 30, SIZE = 16 };
    float *rows = random_floats(LENGTH * 3 * SIZE), mixed[LENGTH * SIZE];
    float *scratch =
        aligned_alloc(64, ce_round_up(ce_attention_scratch(SIZE, LENGTH), 16) * 4);
    ce_attended x = {rows, rows + SIZE, rows + 2 * SIZE, 3 * SIZE, 3 * SIZE};
    rows[7 * 3 * SIZE + 2 * SIZE + 3] = NAN; /* column 3 of a value that all attend to */
    for (int p = 0; p < CE_PRECISIONS; p++) {
        ce_attention_head(mixed, SIZE, &x, LENGTH, SIZE, (ce_precision)p, scratch);
        for (size_t i = 0; i < LENGTH * SIZE; i++)
            assert_int_equal(isnan(mixed[i]) != 0, i % SIZE == 3);
    }
    free(rows);
    free(scratch);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_mixes_as_the_textbook_says),
        cmocka_unit_test(what_is_no_number_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

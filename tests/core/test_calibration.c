#include "calibration.h"
#include "golden.h"
#include "score.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tasks.h"

enum { MAX_N = 1000 };

static void expect_bins(const ce_calibration_bin *bins, const json_t *expected) {
    for (size_t b = 0; b < CE_CALIBRATION_BINS; b++) {
        const json_t *want = json_array_get(expected, b);
        assert_int_equal(bins[b].count, (size_t)tasks_number(want, "count"));
        if (bins[b].count == 0) {
            assert_true(isnan(bins[b].accuracy) && isnan(bins[b].confidence));
            continue;
        }
        assert_true(fabs(bins[b].accuracy - tasks_number(want, "accuracy")) < 1e-14);
        assert_true(fabs(bins[b].confidence - tasks_number(want, "confidence")) < 1e-14);
    }
}

static void test_calibration_equals_the_reference(void **state) {
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        tasks t;
        if (!tasks_open(&t, whole))
            continue;
        static double confidences[MAX_N];
        static bool correct[MAX_N];
        ce_calibration_bin bins[CE_CALIBRATION_BINS];
        ce_matrix logits = tasks_matrix(&t, "calibration.logits");
        golden_tensor labels = tasks_tensor(&t, "calibration.labels");
        const json_t *expected = json_object_get(t.cases, "calibration");
        assert_in_range(logits.rows, 1, MAX_N);
        for (size_t i = 0; i < logits.rows; i++) {
            const float *row = ce_matrix_row(&logits, i);
            size_t target = tasks_integer(&labels, i);
            confidences[i] = ce_softmax_belief(row, logits.cols, 1, target).confidence;
            correct[i] = ce_rank(row, logits.cols, target) == 0;
        }
        double ece = ce_calibration_error(confidences, correct, logits.rows, bins);
        assert_true(fabs(ece - tasks_number(expected, "ece")) < 1e-14);
        expect_bins(bins, json_object_get(expected, "per_bin"));
        tasks_close(&t);
    }
}

static void test_an_edge_belongs_to_the_bin_below_it(void **state) {
    (void)state;
    const bool correct[] = {true};
    for (size_t b = 1; b <= CE_CALIBRATION_BINS; b++) {
        ce_calibration_bin bins[CE_CALIBRATION_BINS];
        double edge = (double)b / CE_CALIBRATION_BINS, above = nextafter(edge, 2);
        ce_calibration_error(&edge, correct, 1, bins);
        assert_int_equal(bins[b - 1].count, 1);
        ce_calibration_error(&above, correct, 1, bins);
        assert_int_equal(bins[b < CE_CALIBRATION_BINS ? b : b - 1].count, 1);
    }
}

static void test_an_item_without_a_confidence_is_left_out(void **state) {
    (void)state;
    const double confidences[] = {0, (double)NAN, 0.5}, none[] = {(double)NAN};
    const bool correct[] = {false, false, true};
    ce_calibration_bin bins[CE_CALIBRATION_BINS];
    assert_true(ce_calibration_error(confidences, correct, 3, bins) == 0.25);
    assert_int_equal(bins[0].count, 1);
    assert_true(isnan(ce_calibration_error(none, correct, 1, bins)));
    assert_true(isnan(ce_calibration_error(NULL, NULL, 0, bins)));
}

static void test_softmax_beliefs_are_those_of_the_closed_form(void **state) {
    (void)state;
    const float two[] = {0.25f, 0.75f}, same[] = {3, 3, 3, 3};
    double p = 1 / (1 + exp(-10 * 0.5));
    ce_belief b = ce_softmax_belief(two, 2, 10, 0);
    assert_true(fabs(b.confidence - p) < 1e-15 && fabs(b.target - (1 - p)) < 1e-15);
    assert_true(fabs(b.brier - 2 * p * p) < 1e-15);
    b = ce_softmax_belief(same, 4, 100, 2);
    assert_true(b.confidence == 0.25 && b.target == 0.25);
    assert_true(fabs(b.brier - (0.5625 + 3 * 0.0625)) < 1e-15);
}

static void test_sigmoid_beliefs_are_those_of_the_closed_form(void **state) {
    (void)state;
    const float scores[] = {0.1f, 0.2f};
    double p = 1 / (1 + exp(-(117 * (double)0.1f - 13))),
           q = 1 / (1 + exp(-(117 * (double)0.2f - 13)));
    ce_belief b = ce_sigmoid_belief(scores, 2, 117, -13, 0);
    assert_true(fabs(b.confidence - q) < 1e-15 && fabs(b.target - p) < 1e-15);
    assert_true(fabs(b.brier - ((1 - p) * (1 - p) + q * q)) < 1e-15);
}

/* Beside the C library's exponential, class by class: of two classes, and of so many that
 * the last do not fill a vector. */
static void test_beliefs_are_near_the_plain_sums(void **state) {
    (void)state;
    float scores[37];
    for (size_t n = 1; n <= 37; n++)
        for (unsigned seed = 0; seed < 200; seed++) {
            double scale = seed % 3 == 0   ? 1
                           : seed % 3 == 1 ? 100
                                           : 1400,
                   sum = 0, brier = 0;
            size_t target = seed % n, best = 0;
            for (size_t i = 0; i < n; i++) {
                scores[i] = (float)((seed + 1) * (i * i + 7) * 2654435761u % 1000) / 1000;
                best = scores[i] > scores[best] ? i : best;
            }
            double most = scale * (double)scores[best];
            for (size_t i = 0; i < n; i++)
                sum += exp(scale * (double)scores[i] - most);
            for (size_t i = 0; i < n; i++) {
                double p = exp(scale * (double)scores[i] - most) / sum;
                brier += pow(p - (i == target), 2);
            }
            ce_belief b = ce_softmax_belief(scores, n, scale, target);
            double own = exp(scale * (double)scores[target] - most) / sum;
            assert_true(fabs(b.confidence * sum - 1) < 4e-15);
            assert_true(fabs(b.target - own) <= 4e-15 * own + 1e-300);
            assert_true(fabs(b.brier - brier) < 1e-14);
            b = ce_sigmoid_belief(scores, n, scale, -5, target);
            own = 1 / (1 + exp(5 - scale * (double)scores[target]));
            assert_true(fabs(b.target - own) <= 4e-15 * own + 1e-300);
        }
}

static void test_large_scales_overflow_nothing_and_nan_believes_nothing(void **state) {
    (void)state;
    const float scores[] = {-1, 1, 0.5f}, absent[] = {1, -INFINITY}, unread[] = {NAN, 1};
    ce_belief b = ce_softmax_belief(scores, 3, 1e6, 0);
    assert_true(b.confidence == 1 && b.target == 0 && b.brier == 2);
    b = ce_softmax_belief(absent, 2, 1, 0);
    assert_true(b.confidence == 1 && b.brier == 0);
    b = ce_sigmoid_belief(scores, 3, 1e6, -5, 1);
    assert_true(b.confidence == 1 && b.brier == 1);
    b = ce_softmax_belief(unread, 2, 1, 0);
    assert_true(isnan(b.confidence) && isnan(b.target) && isnan(b.brier));
    b = ce_sigmoid_belief(unread, 2, 1, 0, 0);
    assert_true(isnan(b.confidence) && isnan(b.target) && isnan(b.brier));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calibration_equals_the_reference),
        cmocka_unit_test(test_an_edge_belongs_to_the_bin_below_it),
        cmocka_unit_test(test_an_item_without_a_confidence_is_left_out),
        cmocka_unit_test(test_softmax_beliefs_are_those_of_the_closed_form),
        cmocka_unit_test(test_sigmoid_beliefs_are_those_of_the_closed_form),
        cmocka_unit_test(test_beliefs_are_near_the_plain_sums),
        cmocka_unit_test(test_large_scales_overflow_nothing_and_nan_believes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

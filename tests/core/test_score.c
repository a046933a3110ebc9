#include "score.h"
#include "golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MAX_N = 40 };

/* The tie rule written out, for a stable sort to use. */
static bool strictly_better(float a, float b) {
    if (isnan(a) || isnan(b))
        return !isnan(a) && isnan(b);
    return a > b;
}

static void stable_sort(const float *scores, size_t n, size_t *order) {
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        while (at > 0 && strictly_better(scores[i], scores[order[at - 1]])) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
}

/* Few distinct values, so that ties abound. */
static void fill(float *scores, size_t n, unsigned *seed) {
    static const float values[] = {0.0f, -0.0f, 1.0f,     -1.0f,
                                   0.5f, NAN,   INFINITY, -INFINITY};
    for (size_t i = 0; i < n; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        scores[i] = values[*seed >> 29];
    }
}

static void test_top_k_is_the_head_of_a_stable_sort(void **state) {
    (void)state;
    unsigned seed = 1;
    for (int round = 0; round < 300; round++) {
        float scores[MAX_N];
        size_t order[MAX_N], best[MAX_N + 3], n = (size_t)round % (MAX_N + 1);
        fill(scores, n, &seed);
        stable_sort(scores, n, order);
        for (size_t k = 0; k <= n + 2; k++) {
            best[k] = 12345;
            size_t count = ce_top_k(scores, n, best, k);
            assert_int_equal(count, k < n ? k : n);
            if (count)
                assert_memory_equal(best, order, count * sizeof *best);
            assert_true(k > n || best[k] == 12345);
        }
    }
}

static void test_a_rank_is_the_place_in_a_stable_sort(void **state) {
    (void)state;
    unsigned seed = 2;
    for (int round = 0; round < 300; round++) {
        float scores[MAX_N];
        size_t order[MAX_N], n = (size_t)round % (MAX_N + 1);
        fill(scores, n, &seed);
        stable_sort(scores, n, order);
        for (size_t place = 0; place < n; place++)
            assert_int_equal(ce_rank(scores, n, order[place]), place);
    }
}

static void test_top_is_tied_where_two_share_the_best_score(void **state) {
    (void)state;
    const float zeros[] = {-1, -0.0f, 0.0f}, distinct[] = {1, 3, 2}, lower[] = {1, 3, 1};
    const float nans[] = {NAN, NAN}, after_nan[] = {NAN, 2, NAN, 2}, one[] = {1};
    const float infinite[] = {INFINITY, 0, INFINITY};
    assert_true(ce_top_is_tied(zeros, 3));
    assert_false(ce_top_is_tied(distinct, 3));
    assert_false(ce_top_is_tied(lower, 3));
    assert_false(ce_top_is_tied(nans, 2));
    assert_true(ce_top_is_tied(after_nan, 4));
    assert_true(ce_top_is_tied(infinite, 3));
    assert_false(ce_top_is_tied(one, 1));
    assert_false(ce_top_is_tied(one, 0));
}

static void test_predictions_equal_the_reference(void **state) {
    (void)state;
    static const char *const sections[] = {"plain", "ties", "few_classes"};
    char path[GOLDEN_PATH], name[80];
    golden_file *f =
        golden_open(golden_path(path, sizeof path, "metrics/inputs.safetensors"));
    assert_non_null(f);
    for (size_t s = 0; s < 3; s++) {
        golden_tensor logits, predicted;
        snprintf(name, sizeof name, "classification.%s.logits", sections[s]);
        assert_true(golden_find(f, name, &logits));
        snprintf(name, sizeof name, "classification.%s.predicted", sections[s]);
        assert_true(golden_find(f, name, &predicted));
        for (size_t i = 0; i < logits.shape[0]; i++) {
            const float *row = (const float *)logits.data + i * logits.shape[1];
            size_t best = 0;
            assert_int_equal(ce_top_k(row, logits.shape[1], &best, 1), 1);
            assert_int_equal(best, ((const int64_t *)predicted.data)[i]);
            assert_int_equal(ce_rank(row, logits.shape[1], best), 0);
        }
    }
    golden_close(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top_k_is_the_head_of_a_stable_sort),
        cmocka_unit_test(test_a_rank_is_the_place_in_a_stable_sort),
        cmocka_unit_test(test_top_is_tied_where_two_share_the_best_score),
        cmocka_unit_test(test_predictions_equal_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

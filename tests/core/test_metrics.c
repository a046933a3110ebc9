#include "metrics.h"
#include "golden.h"
#include "score.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MAX_ITEMS = 300, MAX_CLASSES = 32 };

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void expect_reference(const golden_file *f, const json_t *cases, const char *name) {
    golden_tensor logits, labels;
    char key[80];
    uint32_t ranks[MAX_ITEMS], targets[MAX_ITEMS];
    size_t hits[MAX_CLASSES], counts[MAX_CLASSES], tied = 0;
    snprintf(key, sizeof key, "classification.%s.logits", name);
    assert_true(golden_find(f, key, &logits));
    snprintf(key, sizeof key, "classification.%s.labels", name);
    assert_true(golden_find(f, key, &labels));
    size_t n = logits.shape[0], classes = logits.shape[1];
    assert_true(n <= MAX_ITEMS && classes <= MAX_CLASSES);
    for (size_t i = 0; i < n; i++) {
        const float *row = (const float *)logits.data + i * classes;
        targets[i] = (uint32_t)((const int64_t *)labels.data)[i];
        ranks[i] = (uint32_t)ce_rank(row, classes, targets[i]);
        tied += ce_top_is_tied(row, classes);
    }
    const json_t *expected =
        json_object_get(json_object_get(cases, "classification"), name);
    assert_true(ce_accuracy_at(ranks, n, 1) == number(expected, "acc1"));
    if (json_is_number(json_object_get(expected, "acc5"))) /* null below five classes */
        assert_true(ce_accuracy_at(ranks, n, 5) == number(expected, "acc5"));
    else
        assert_true(classes < 5 && ce_accuracy_at(ranks, n, 5) == 1);
    ce_class_hits(ranks, targets, n, hits, counts, classes);
    double recall = ce_mean_per_class_recall(hits, counts, classes);
    assert_true(fabs(recall - number(expected, "mean_per_class_recall")) < 1e-15);
    assert_int_equal(tied, (size_t)number(expected, "rows_tied_for_first"));
}

static void test_classification_equals_the_reference(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    golden_file *f =
        golden_open(golden_path(path, sizeof path, "metrics/inputs.safetensors"));
    json_t *cases = golden_json(golden_path(path, sizeof path, "metrics/cases.json"));
    assert_true(f && cases);
    expect_reference(f, cases, "plain");
    expect_reference(f, cases, "ties");
    expect_reference(f, cases, "few_classes");
    json_decref(cases);
    golden_close(f);
}

static void test_an_unread_item_counts_and_is_a_miss(void **state) {
    (void)state;
    const uint32_t ranks[] = {0, CE_RANK_NONE, 4, CE_RANK_NONE}, targets[] = {0, 0, 1, 1};
    size_t hits[2], counts[2];
    assert_true(ce_accuracy_at(ranks, 4, 1) == 0.25);
    assert_true(ce_accuracy_at(ranks, 4, 5) == 0.5);
    assert_true(ce_accuracy_at(ranks, 4, UINT32_MAX) == 0.5);
    assert_true(ce_accuracy_at(ranks, 4, 0) == 0);
    ce_class_hits(ranks, targets, 4, hits, counts, 2);
    assert_true(hits[0] == 1 && hits[1] == 0 && counts[0] == 2 && counts[1] == 2);
}

static void test_recall_is_the_mean_over_the_classes_that_occur(void **state) {
    (void)state;
    const uint32_t ranks[] = {0, 1, 0, 0, 0}, targets[] = {3, 3, 3, 3, 1};
    size_t hits[5] = {9, 9, 9, 9, 9}, counts[5] = {9, 9, 9, 9, 9};
    ce_class_hits(ranks, targets, 5, hits, counts, 5);
    assert_true(ce_mean_per_class_recall(hits, counts, 5) == (0.75 + 1) / 2);
}

static void test_of_nothing_no_figure_is_made(void **state) {
    (void)state;
    size_t hits[2], counts[2];
    assert_true(isnan(ce_accuracy_at(NULL, 0, 1)));
    ce_class_hits(NULL, NULL, 0, hits, counts, 2);
    assert_true(isnan(ce_mean_per_class_recall(hits, counts, 2)));
    assert_true(isnan(ce_mean_per_class_recall(hits, counts, 0)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classification_equals_the_reference),
        cmocka_unit_test(test_an_unread_item_counts_and_is_a_miss),
        cmocka_unit_test(test_recall_is_the_mean_over_the_classes_that_occur),
        cmocka_unit_test(test_of_nothing_no_figure_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

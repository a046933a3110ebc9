#include "metrics.h"
#include "golden.h"
#include "score.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tasks.h"

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

/* ---- ranks ---- */

static void test_the_median_rank_counts_from_one_and_unread_items_last(void **state) {
    (void)state;
    const uint32_t odd[] = {4, 0, 9}, even[] = {3, 0, 1, 9}, unread[] = {CE_RANK_NONE, 0};
    const uint32_t most[] = {CE_RANK_NONE, 0, CE_RANK_NONE};
    uint32_t scratch[4];
    assert_true(ce_median_rank(odd, 3, scratch) == 5);
    assert_true(ce_median_rank(even, 4, scratch) == 3);
    assert_true(isinf(ce_median_rank(unread, 2, scratch)));
    assert_true(isinf(ce_median_rank(most, 3, scratch)));
    assert_true(isnan(ce_median_rank(odd, 0, scratch)));
}

static void test_the_mean_reciprocal_rank_takes_an_unread_item_for_zero(void **state) {
    (void)state;
    const uint32_t ranks[] = {0, 1, 3, CE_RANK_NONE};
    assert_true(ce_mean_reciprocal_rank(ranks, 4) == (1 + 0.5 + 0.25) / 4);
    assert_true(isnan(ce_mean_reciprocal_rank(ranks, 0)));
}

/* ---- several labels ---- */

static void expect_multilabel(const tasks *t, const char *name) {
    char key[80];
    double ap[MAX_CLASSES], sum = 0;
    snprintf(key, sizeof key, "multilabel.%s.scores", name);
    ce_matrix scores = tasks_matrix(t, key);
    snprintf(key, sizeof key, "multilabel.%s.targets", name);
    golden_tensor targets = tasks_tensor(t, key);
    const json_t *expected = json_object_get(json_object_get(t->cases, "multilabel"), name);
    uint8_t *labels = malloc(targets.count);
    assert_true(labels && scores.cols <= MAX_CLASSES);
    for (size_t i = 0; i < targets.count; i++)
        labels[i] = tasks_integer(&targets, i) ? CE_LABEL_YES : CE_LABEL_NO;
    assert_int_equal(ce_average_precision(ap, &scores, labels, NULL), CE_OK);
    for (size_t c = 0; c < scores.cols; c++) {
        const json_t *want = json_array_get(json_object_get(expected, "ap"), c);
        assert_true(fabs(ap[c] - json_number_value(want)) < 1e-14);
        sum += ap[c];
    }
    assert_true(fabs(sum / (double)scores.cols - tasks_number(expected, "map")) < 1e-14);
    free(labels);
}

static void test_average_precision_equals_the_reference(void **state) {
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        tasks t;
        if (!tasks_open(&t, whole))
            continue;
        expect_multilabel(&t, "plain");
        expect_multilabel(&t, "ties");
        tasks_close(&t);
    }
}

/* The definition, in quadratic time, of column `class`. */
static double naive_ap(const ce_matrix *m, const uint8_t *labels, size_t class) {
    double sum = 0;
    size_t positives = 0;
    for (size_t i = 0; i < m->rows; i++) {
        float score = ce_matrix_row(m, i)[class];
        size_t found = 1, seen = 1;
        if (labels[i * m->cols + class] != CE_LABEL_YES)
            continue;
        positives++;
        if (isnan(score))
            continue;
        for (size_t j = 0; j < m->rows; j++) {
            float other = ce_matrix_row(m, j)[class];
            uint8_t label = labels[j * m->cols + class];
            if (label == CE_LABEL_IGNORED || !(other > score || (other == score && j < i)))
                continue;
            seen++;
            found += label == CE_LABEL_YES;
        }
        sum += (double)found / (double)seen;
    }
    return positives ? sum / (double)positives : 0;
}

static void test_average_precision_equals_its_naive_twin(void **state) {
    (void)state;
    enum { ROWS = 37, COLS = 5 };
    static const float values[] = {0, 1, 2, 3, -1, NAN, INFINITY, -INFINITY};
    unsigned seed = 3;
    for (int round = 0; round < 200; round++) {
        float data[ROWS * COLS];
        uint8_t labels[ROWS * COLS];
        double ap[COLS];
        ce_matrix m = {(size_t)round % (ROWS + 1), COLS, data};
        for (size_t i = 0; i < ROWS * COLS; i++) {
            seed = seed * 1664525u + 1013904223u;
            data[i] = values[seed >> 29];
            labels[i] = (uint8_t)((seed >> 16) % 3);
        }
        assert_int_equal(ce_average_precision(ap, &m, labels, NULL), CE_OK);
        for (size_t c = 0; c < COLS; c++)
            assert_true(fabs(ap[c] - naive_ap(&m, labels, c)) < 1e-14);
    }
}

static void test_an_ignored_item_is_in_neither_count(void **state) {
    (void)state;
    float data[] = {3, 2, 1};
    ce_matrix m = {3, 1, data};
    const uint8_t ignored[] = {CE_LABEL_IGNORED, CE_LABEL_YES, CE_LABEL_NO};
    const uint8_t counted[] = {CE_LABEL_NO, CE_LABEL_YES, CE_LABEL_NO};
    double ap;
    assert_int_equal(ce_average_precision(&ap, &m, ignored, NULL), CE_OK);
    assert_true(ap == 1);
    assert_int_equal(ce_average_precision(&ap, &m, counted, NULL), CE_OK);
    assert_true(ap == 0.5);
}

/* ---- Winoground ---- */

static void test_winoground_equals_the_reference(void **state) {
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        tasks t;
        if (!tasks_open(&t, whole))
            continue;
        size_t text = 0, image = 0, group = 0;
        ce_matrix scores = tasks_matrix(&t, "winoground.scores");
        const json_t *expected = json_object_get(t.cases, "winoground");
        for (size_t i = 0; i < scores.rows; i++) {
            ce_winoground w = ce_winoground_of(ce_matrix_row(&scores, i));
            text += w.text;
            image += w.image;
            group += w.group;
        }
        assert_true((double)text / (double)scores.rows == tasks_number(expected, "text"));
        assert_true((double)image / (double)scores.rows == tasks_number(expected, "image"));
        assert_true((double)group / (double)scores.rows == tasks_number(expected, "group"));
        tasks_close(&t);
    }
}

static void test_winoground_ties_and_nan_are_wrong(void **state) {
    (void)state;
    const float right[] = {2, 1, 1, 2}, equal[] = {1, 1, 1, 1}, unread[] = {NAN, 1, NAN, 2};
    const float text_only[] = {2, 3, 1, 4};
    ce_winoground w = ce_winoground_of(right), t = ce_winoground_of(text_only);
    assert_true(w.text && w.image && w.group);
    w = ce_winoground_of(equal);
    assert_false(w.text || w.image || w.group);
    w = ce_winoground_of(unread);
    assert_false(w.text || w.image || w.group);
    assert_true(t.text && !t.image && !t.group);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classification_equals_the_reference),
        cmocka_unit_test(test_an_unread_item_counts_and_is_a_miss),
        cmocka_unit_test(test_recall_is_the_mean_over_the_classes_that_occur),
        cmocka_unit_test(test_of_nothing_no_figure_is_made),
        cmocka_unit_test(test_the_median_rank_counts_from_one_and_unread_items_last),
        cmocka_unit_test(test_the_mean_reciprocal_rank_takes_an_unread_item_for_zero),
        cmocka_unit_test(test_average_precision_equals_the_reference),
        cmocka_unit_test(test_average_precision_equals_its_naive_twin),
        cmocka_unit_test(test_an_ignored_item_is_in_neither_count),
        cmocka_unit_test(test_winoground_equals_the_reference),
        cmocka_unit_test(test_winoground_ties_and_nan_are_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

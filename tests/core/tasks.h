/* The reference data on tasks, tests/golden/metrics/tasks.*, and the whole of it where the
 * shared reference data lies there:
 *
 *     for (int whole = 0; whole < 2; whole++) {
 *         tasks t;
 *         if (tasks_open(&t, whole)) {
 *             ... tasks_matrix(&t, "winoground.scores"), tasks_integer(&labels, i) ...
 *             tasks_close(&t);
 *         }
 *     }
 */
#ifndef TASKS_H
#define TASKS_H

#include "golden.h"
#include "matrix.h"

typedef struct tasks {
    golden_file *inputs;
    json_t *cases;
} tasks;

static inline bool tasks_open(tasks *t, int whole) {
    char path[GOLDEN_PATH], cases[GOLDEN_PATH];
    if (whole && !(shared_path(path, sizeof path, "metrics/inputs.safetensors") &&
                   shared_path(cases, sizeof cases, "metrics/cases.json"))) {
        printf("skipped: the shared reference data\n");
        return false;
    }
    if (!whole) {
        golden_path(path, sizeof path, "metrics/tasks.safetensors");
        golden_path(cases, sizeof cases, "metrics/tasks.json");
    }
    *t = (tasks){golden_open(path), golden_json(cases)};
    assert_true(t->inputs && t->cases);
    return true;
}

static inline void tasks_close(tasks *t) {
    golden_close(t->inputs);
    json_decref(t->cases);
}

static inline golden_tensor tasks_tensor(const tasks *t, const char *name) {
    golden_tensor found;
    assert_true(golden_find(t->inputs, name, &found));
    return found;
}

/* Borrowed; the columns are all dimensions but the first. */
static inline ce_matrix tasks_matrix(const tasks *t, const char *name) {
    golden_tensor found = tasks_tensor(t, name);
    assert_string_equal(found.dtype, "F32");
    return (ce_matrix){found.shape[0], found.count / found.shape[0],
                       (float *)(uintptr_t)found.data};
}

static inline uint32_t tasks_integer(const golden_tensor *t, size_t i) {
    return t->dtype[0] == 'U' ? ((const uint8_t *)t->data)[i]
                              : (uint32_t)((const int64_t *)t->data)[i];
}

static inline double tasks_number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

#endif

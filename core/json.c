#include "json.h"

#include "fs.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

/* The tokenizer.json of a large multilingual vocabulary takes about 20 MB. */
#define MAX_BYTES ((size_t)64 << 20)

int ce_json_parse(json_t **out, const char *text, size_t size, const char *name,
                  ce_error *err) {
    json_error_t e;
    *out = NULL;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &e);
    /* transformers writes "no limit" as the integer int(1e30), which fits no C type:
     * such a file is read again with every number as a double. */
    if (!root && json_error_code(&e) == json_error_numeric_overflow)
        root = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &e);
    if (!root)
        return ce_fail(err, CE_EFORMAT, "%s: line %d: %s", name, e.line, e.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return ce_fail(err, CE_EFORMAT, "%s: must hold a JSON object", name);
    }
    *out = root;
    return 0;
}

int ce_json_load(json_t **out, const char *path, ce_error *err) {
    char *text;
    size_t size;
    *out = NULL;
    int rc = ce_file_read(&text, &size, path, MAX_BYTES, err);
    if (rc < 0)
        return rc;
    rc = ce_json_parse(out, text, size, path, err);
    free(text);
    return rc;
}

static const char *kind_of(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    default:
        return "null";
    }
}

static int wrong_kind(const json_t *value, const char *key, const char *wanted,
                      const char *name, ce_error *err) {
    return ce_fail(err, CE_EFORMAT, "%s: \"%s\" must be %s, not %s", name, key, wanted,
                   kind_of(value));
}

/* The value of `key`; NULL where it is absent or null. */
static const json_t *look_up(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

int ce_json_int(const json_t *object, const char *key, int *out, int min, int max,
                const char *name, ce_error *err) {
    const json_t *value = look_up(object, key);
    if (!value)
        return 0;
    if (!json_is_number(value))
        return wrong_kind(value, key, "an integer", name, err);
    double d = json_number_value(value);
    if (d != floor(d))
        return ce_fail(err, CE_EFORMAT, "%s: \"%s\" must be an integer, not %g", name, key,
                       d);
    if (!(d >= min && d <= max))
        return ce_fail(err, CE_EFORMAT, "%s: \"%s\" is %.17g, must be %d to %d", name, key,
                       d, min, max);
    *out = (int)d;
    return 0;
}

int ce_json_double(const json_t *object, const char *key, double *out, const char *name,
                   ce_error *err) {
    const json_t *value = look_up(object, key);
    if (!value)
        return 0;
    if (!json_is_number(value))
        return wrong_kind(value, key, "a number", name, err);
    *out = json_number_value(value);
    return 0;
}

int ce_json_bool(const json_t *object, const char *key, bool *out, const char *name,
                 ce_error *err) {
    const json_t *value = look_up(object, key);
    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return wrong_kind(value, key, "true or false", name, err);
    *out = json_is_true(value);
    return 0;
}

int ce_json_string(const json_t *object, const char *key, const char **out,
                   const char *name, ce_error *err) {
    const json_t *value = look_up(object, key);
    if (!value)
        return 0;
    if (!json_is_string(value))
        return wrong_kind(value, key, "a string", name, err);
    *out = json_string_value(value);
    return 0;
}

int ce_json_doubles(const json_t *object, const char *key, double *out, size_t n,
                    const char *name, ce_error *err) {
    const json_t *value = look_up(object, key);
    if (!value)
        return 0;
    if (!json_is_array(value))
        return wrong_kind(value, key, "an array of numbers", name, err);
    if (json_array_size(value) != n)
        return ce_fail(err, CE_EFORMAT, "%s: \"%s\" must hold %zu numbers, not %zu", name,
                       key, n, json_array_size(value));
    for (size_t i = 0; i < n; i++)
        if (!json_is_number(json_array_get(value, i)))
            return ce_fail(err, CE_EFORMAT, "%s: \"%s\" must hold numbers only", name, key);
    for (size_t i = 0; i < n; i++)
        out[i] = json_number_value(json_array_get(value, i));
    return 0;
}

int ce_json_object(const json_t *object, const char *key, const json_t **out,
                   const char *name, ce_error *err) {
    *out = NULL;
    const json_t *value = look_up(object, key);
    if (!value)
        return 0;
    if (!json_is_object(value))
        return wrong_kind(value, key, "an object", name, err);
    *out = value;
    return 0;
}

int ce_json_require(const json_t *object, const char *key, const char *name,
                    ce_error *err) {
    if (!look_up(object, key))
        return ce_fail(err, CE_EFORMAT, "%s: \"%s\" is missing", name, key);
    return 0;
}

#include "config_open_clip.h"

#include <string.h>

/* Whether `word` is one of a list in which each ends in ','. */
static bool is_among(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *at = list; *at; at = strchr(at, ',') + 1)
        if (strncmp(at, word, n) == 0 && at[n] == ',')
            return true;
    return false;
}

static bool is_allowed(const ce_option *o, const json_t *value) {
    if (json_is_null(value))
        return true;
    if (!o->key) /* one that we do not know must be off */
        return json_is_false(value) || (json_is_object(value) && !json_object_size(value));
    return !o->among ||
           (json_is_string(value) && is_among(o->among, json_string_value(value)));
}

int ce_open_clip_check_options(const json_t *object, const ce_option *options,
                               const char *part, const char *name, ce_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        const ce_option *o = options;
        while (o->key && strcmp(o->key, key) != 0)
            o++;
        if (!is_allowed(o, value)) {
            char text[80] = "";
            json_dumpb(value, text, sizeof text - 1, JSON_ENCODE_ANY | JSON_COMPACT);
            return ce_fail(err, CE_EUNSUPPORTED, "%s: %s.%s = %s is not implemented", name,
                           part, key, text);
        }
    }
    return CE_OK;
}

int ce_open_clip_read_hidden(const json_t *object, int width, int *hidden, const char *name,
                             ce_error *err) {
    double ratio = 4;
    int result = ce_json_double(object, "mlp_ratio", &ratio, name, err);
    if (result == CE_OK &&
        !(ratio > 0 && width * ratio >= 1 && width * ratio <= CE_MAX_HIDDEN))
        result = ce_fail(err, CE_EFORMAT, "%s: mlp_ratio %g is absurd", name, ratio);
    if (result == CE_OK)
        *hidden = (int)(width * ratio);
    return result;
}

int ce_open_clip_read_size(const json_t *object, const char *key, int *height, int *width,
                           const char *name, ce_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_array(value)) {
        int result = ce_json_int(object, key, height, 1, CE_PREPROCESS_MAX_SIDE, name, err);
        if (result == CE_OK && value && !json_is_null(value))
            *width = *height;
        return result;
    }
    double sides[2];
    int result = ce_json_doubles(object, key, sides, 2, name, err);
    for (int i = 0; i < 2 && result == CE_OK; i++)
        if (!(sides[i] >= 1 && sides[i] <= CE_PREPROCESS_MAX_SIDE &&
              sides[i] == (int)sides[i]))
            result = ce_fail(err, CE_EFORMAT, "%s: %s is absurd", name, key);
    if (result == CE_OK) {
        *height = (int)sides[0];
        *width = (int)sides[1];
    }
    return result;
}

int ce_open_clip_read_kwargs(const json_t *object, ce_activation *activation, double *eps,
                             const char *part, const char *name, ce_error *err) {
    static const ce_option act_options[] = {{"approximate", "none,tanh,"}, {NULL, NULL}};
    static const ce_option norm_options[] = {{"eps", NULL}, {NULL, NULL}};
    const json_t *act = NULL, *norm = NULL;
    const char *approximate = NULL;
    int result = ce_json_object(object, "act_kwargs", &act, name, err);
    if (result == CE_OK)
        result = ce_json_object(object, "norm_kwargs", &norm, name, err);
    if (result == CE_OK)
        result = ce_open_clip_check_options(act, act_options, "act_kwargs", name, err);
    if (result == CE_OK)
        result = ce_open_clip_check_options(norm, norm_options, "norm_kwargs", name, err);
    if (result == CE_OK)
        result = ce_json_string(act, "approximate", &approximate, name, err);
    if (result == CE_OK)
        result = ce_json_double(norm, "eps", eps, name, err);
    if (result < 0)
        return result;
    if (json_is_false(json_object_get(norm, "elementwise_affine")) ||
        json_is_false(json_object_get(norm, "bias")))
        return ce_fail(err, CE_EUNSUPPORTED,
                       "%s: %s.norm_kwargs without elementwise_affine or bias is not "
                       "implemented",
                       name, part);
    if (!(*eps > 0 && *eps < 1))
        return ce_fail(err, CE_EFORMAT, "%s: %s.norm_kwargs.eps is not between 0 and 1",
                       name, part);
    if (approximate && *activation == CE_QUICK_GELU)
        return ce_fail(err, CE_EFORMAT,
                       "%s: %s.act_kwargs.approximate contradicts quick_gelu", name, part);
    if (approximate && strcmp(approximate, "tanh") == 0)
        *activation = CE_GELU_TANH;
    return CE_OK;
}

bool ce_open_clip_is_set(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return value && !json_is_null(value);
}

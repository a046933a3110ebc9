#include "tokenizer_special.h"

#include "vocab.h"

#include <string.h>

/* ---- special tokens ---- */

/* What a file's author has named; the further ones have "..._token" for their keys. */
typedef struct extra {
    json_t *named; /* key -> token */
    json_t *list;
} extra;

static bool is_further(const char *key) {
    static const char *const usual[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    size_t n = strlen(key);
    if (n < 6 || strcmp(key + n - 6, "_token") != 0)
        return false;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (strcmp(key, usual[i]) == 0)
            return false;
    return true;
}

static int check(const json_t *value, const char *key, const char *path, ce_error *err) {
    const char *text = json_string_value(
        json_is_object(value) ? json_object_get(value, "content") : value);
    if (text && *text)
        return 0;
    return ce_fail(err, CE_EFORMAT, "%s: \"%.*s\" is no token", path,
                   ce_vocab_quote(key, strlen(key)), key);
}

/* The further keys of a file. In tokenizer_config.json an object counts only where it is
 * marked as a token. */
static int put_further(extra *x, const json_t *file, bool marked, const char *path,
                       ce_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)file, key, value) {
        bool object =
            json_is_object(value) && (!marked || json_object_get(value, "__type"));
        if (!is_further(key) || (!json_is_string(value) && !object))
            continue;
        int rc = check(value, key, path, err);
        if (rc == 0 && json_object_set(x->named, key, value) < 0)
            rc = ce_fail(err, CE_ENOMEM, "%s: out of memory for special tokens", path);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* "extra_special_tokens" as names with tokens, or as a list. */
static int put_group(extra *x, const json_t *group, const char *name, const char *path,
                     ce_error *err) {
    const char *key;
    json_t *value;
    int rc = 0, full = 0;
    if (group && !json_is_null(group) && !json_is_object(group) && !json_is_array(group))
        return ce_fail(err, CE_EFORMAT, "%s: \"%s\" is neither a list nor an object", path,
                       name);
    json_object_foreach((json_t *)(uintptr_t)group, key, value) {
        rc = check(value, key, path, err);
        full = rc < 0 ? 0 : json_object_set(x->named, key, value);
        if (rc < 0 || full < 0)
            break;
    }
    for (size_t i = 0; rc == 0 && full == 0 && i < json_array_size(group); i++) {
        value = json_array_get(group, i);
        rc = check(value, name, path, err);
        full = rc < 0 ? 0 : json_array_append(x->list, value);
    }
    if (full < 0)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory for special tokens", path);
    return rc;
}

static bool is_empty(const json_t *value) {
    return !value || json_is_null(value) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

/* Which of the two keys counts: in tokenizer_config.json the newer one unless it is empty;
 * in special_tokens_map.json the older one only where nothing states the newer. A map's
 * newer list is put behind the config's, any other value replaces that. */
static int put_groups(extra *x, const json_t *config, const char *config_path,
                      const json_t *map, const char *map_path, ce_error *err) {
    static const char newer[] = "extra_special_tokens",
                      older[] = "additional_special_tokens";
    const json_t *own = json_object_get(config, newer),
                 *there = json_object_get(map, newer);
    const json_t *old = json_object_get(map, older), *left = json_object_get(config, older);
    const char *name = newer;
    if (is_empty(own) && left) {
        own = left;
        left = NULL;
        name = older;
    }
    bool named = json_is_object(own), taken = own && !named;
    int rc = 0;
    if (named || !there || json_is_array(there))
        rc = put_group(x, own, name, config_path, err);
    if (rc == 0)
        rc = put_group(x, there, newer, map_path, err);
    if (rc < 0 || (there ? !json_is_object(there) : taken))
        return rc;
    return old ? put_group(x, old, older, map_path, err)
               : put_group(x, left, older, config_path, err);
}

int ce_tokenizer_extra_specials(json_t **out, const json_t *config, const char *config_path,
                                const json_t *map, const char *map_path, ce_error *err) {
    extra x = {json_object(), json_array()};
    const char *key;
    json_t *value;
    *out = json_array();
    int rc = *out && x.named && x.list
                 ? 0
                 : ce_fail(err, CE_ENOMEM, "out of memory for special tokens");
    if (rc == 0) /* the map's first, yet with the config's tokens where both have a key */
        rc = put_further(&x, map, false, map_path, err);
    if (rc == 0)
        rc = put_further(&x, config, true, config_path, err);
    if (rc == 0)
        rc = put_groups(&x, config, config_path, map, map_path, err);
    json_object_foreach(x.named, key, value) {
        if (rc == 0 && json_array_append(*out, value) < 0)
            rc = ce_fail(err, CE_ENOMEM, "out of memory for special tokens");
    }
    if (rc == 0 && json_array_extend(*out, x.list) < 0)
        rc = ce_fail(err, CE_ENOMEM, "out of memory for special tokens");
    json_decref(x.named);
    json_decref(x.list);
    if (rc < 0) {
        json_decref(*out);
        *out = NULL;
    }
    return rc;
}

/* ---- settings ---- */

/* {"padding": {"direction": "Right"}} */
static int check_direction(const json_t *root, const char *part, const char *path,
                           ce_error *err) {
    const json_t *object = NULL;
    const char *side = "Right";
    int rc = ce_json_object(root, part, &object, path, err);
    if (rc == 0)
        rc = ce_json_string(object, "direction", &side, path, err);
    if (rc == 0 && strcmp(side, "Right") != 0)
        rc = ce_fail(err, CE_EUNSUPPORTED,
                     "%s: \"%s\" has the direction \"%.*s\", must be \"Right\"", path, part,
                     ce_vocab_quote(side, strlen(side)), side);
    return rc;
}

static int check_side(const json_t *config, const char *key, bool *stated, const char *path,
                      ce_error *err) {
    const char *side = NULL;
    int rc = ce_json_string(config, key, &side, path, err);
    *stated = side != NULL;
    if (side && strcmp(side, "right") != 0)
        rc = ce_fail(err, CE_EUNSUPPORTED, "%s: \"%s\" is \"%.*s\", must be \"right\"",
                     path, key, ce_vocab_quote(side, strlen(side)), side);
    return rc;
}

int ce_tokenizer_check_settings(const json_t *config, const char *config_path,
                                const json_t *root, const char *path, ce_error *err) {
    static const char *const sides[] = {"padding_side", "truncation_side"};
    static const char *const parts[] = {"padding", "truncation"};
    bool stated, split = false;
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++) {
        rc = check_side(config, sides[i], &stated, config_path, err);
        if (rc == 0 && !stated)
            rc = check_direction(root, parts[i], path, err);
    }
    if (rc == 0)
        rc = ce_json_bool(config, "split_special_tokens", &split, config_path, err);
    if (rc == 0 && split)
        rc = ce_fail(err, CE_EUNSUPPORTED, "%s: \"split_special_tokens\" is not supported",
                     config_path);
    return rc;
}

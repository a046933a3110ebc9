#include "tokenizer_files.h"

#include "fs.h"
#include "tokenizer_special.h"
#include "unicode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ADDED_MAX 16384 /* they are searched one by one */
#define FILE_MAX ((size_t)64 << 20)

/* ---- files ---- */

static int join(char path[CE_TOKENIZER_PATH], const char *dir, const char *name,
                ce_error *err) {
    size_t n = strlen(dir);
    const char *slash = n > 0 && dir[n - 1] != '/' ? "/" : "";
    if (snprintf(path, CE_TOKENIZER_PATH, "%s%s%s", dir, slash, name) < CE_TOKENIZER_PATH)
        return 0;
    return ce_fail(err, CE_EINVAL, "%.*s...: the path is too long", ce_vocab_quote(dir, n),
                   dir);
}

static int load_small(json_t **out, char path[CE_TOKENIZER_PATH], const char *dir,
                      const char *name, ce_error *err) {
    bool there = false;
    int rc = join(path, dir, name, err);
    if (rc == 0)
        rc = ce_path_exists(&there, path, err);
    return there ? ce_json_load(out, path, err) : rc;
}

int ce_tokenizer_files_begin(ce_tokenizer_files *f, const char *dir, ce_error *err) {
    struct stat info;
    *f = (ce_tokenizer_files){.dir = dir};
    if (stat(dir, &info) < 0)
        return ce_fail(err, CE_EIO, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return ce_fail(err, CE_EIO, "%s: not a directory", dir);
    int rc = load_small(&f->config, f->config_path, dir, "tokenizer_config.json", err);
    if (rc < 0 || json_is_object(json_object_get(f->config, "added_tokens_decoder")))
        return rc; /* the newer form supersedes the two older files */
    rc = load_small(&f->map, f->map_path, dir, "special_tokens_map.json", err);
    return rc < 0 ? rc
                  : load_small(&f->named, f->named_path, dir, "added_tokens.json", err);
}

void ce_tokenizer_files_end(ce_tokenizer_files *f) {
    json_decref(f->root);
    json_decref(f->config);
    json_decref(f->map);
    json_decref(f->named);
    json_decref(f->stated);
    ce_json_table_free(&f->table);
    free(f->added);
    free(f->text);
    *f = (ce_tokenizer_files){0};
}

int ce_tokenizer_files_choose(ce_tokenizer_files *f, const char *name, ce_error *err) {
    int rc = join(f->path, f->dir, name, err);
    bool there = false;
    if (rc == 0)
        rc = ce_path_exists(&there, f->path, err);
    return rc < 0 ? rc : there;
}

int ce_tokenizer_files_read(ce_tokenizer_files *f, ce_error *err) {
    return ce_file_read(&f->text, &f->size, f->path, FILE_MAX, err);
}

/* Files of before 2021 may leave the type out. */
static int check_model(ce_tokenizer_files *f, const char *wanted, ce_error *err) {
    const char *type = wanted;
    int rc = ce_json_require(f->root, "model", f->path, err);
    if (rc == 0)
        rc = ce_json_object(f->root, "model", &f->model, f->path, err);
    if (rc == 0)
        rc = ce_json_string(f->model, "type", &type, f->path, err);
    if (rc == 0 && strcmp(type, wanted) != 0)
        rc = ce_fail(err, CE_EUNSUPPORTED,
                     "%s: model \"%.*s\", but this family of models has %s tokens", f->path,
                     ce_vocab_quote(type, strlen(type)), type, wanted);
    return rc;
}

int ce_tokenizer_files_load_json(ce_tokenizer_files *f, const char *type, ce_error *err) {
    char *rest = NULL;
    size_t size = 0;
    int rc = ce_tokenizer_files_read(f, err);
    if (rc == 0)
        rc = ce_json_table_cut(&f->table, &rest, &size, f->text, f->size, f->path, err);
    if (rc == 0)
        rc = ce_json_parse(&f->root, rest, size, f->path, err);
    free(rest);
    return rc < 0 ? rc : check_model(f, type, err);
}

/* ---- small questions ---- */

bool ce_json_is_text(const json_t *value, const char *wanted) {
    const char *text = json_string_value(value);
    return text && strcmp(text, wanted) == 0;
}

bool ce_json_is_type(const json_t *part, const char *type) {
    return ce_json_is_text(json_object_get(part, "type"), type);
}

int ce_tokenizer_files_refuse(const ce_tokenizer_files *f, const char *part,
                              const json_t *what, ce_error *err) {
    char *text = what ? json_dumps(what, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    const char *shown = text ? text : "null";
    ce_fail(err, CE_EUNSUPPORTED, "%s: %s is not supported: %.*s", f->path, part,
            ce_vocab_quote(shown, strlen(shown)), shown);
    free(text);
    return CE_EUNSUPPORTED;
}

bool ce_tokenizer_files_is_class(const ce_tokenizer_files *f, const char *name) {
    const char *class = json_string_value(json_object_get(f->config, "tokenizer_class"));
    size_t size = class ? strlen(class) : 0;
    if (size > 4 && strcmp(class + size - 4, "Fast") == 0)
        size -= 4;
    return size == strlen(name) && (size == 0 || memcmp(class, name, size) == 0);
}

int ce_tokenizer_files_check_config(const ce_tokenizer_files *f, ce_error *err) {
    return ce_tokenizer_check_settings(f->config, f->config_path, f->root, f->path, err);
}

/* ---- special and added tokens ---- */

/* The value of a special token's key, and the file that has it. */
static const json_t *special_value(const ce_tokenizer_files *f, const char *key,
                                   const char **path) {
    const json_t *value = json_object_get(f->map, key);
    *path = f->map_path;
    if (!value || json_is_null(value)) {
        value = json_object_get(f->config, key);
        *path = f->config_path;
    }
    return json_is_null(value) ? NULL : value;
}

int ce_tokenizer_files_special(const ce_tokenizer_files *f, const char *key,
                               const char **name, ce_error *err) {
    const char *path;
    const json_t *value = special_value(f, key, &path);
    if (!value)
        return 0;
    const char *text = json_string_value(
        json_is_object(value) ? json_object_get(value, "content") : value);
    if (!text || !*text)
        return ce_fail(err, CE_EFORMAT, "%s: \"%s\" is no token", path, key);
    *name = text;
    return 0;
}

static bool is_stated(const ce_tokenizer_files *f, const char *text) {
    return json_object_get(f->stated, text) != NULL;
}

static int mark(ce_tokenizer_files *f, const char *text, bool special, ce_error *err) {
    if (!f->stated)
        f->stated = json_object();
    if (f->stated && json_object_set_new(f->stated, text, json_boolean(special)) == 0)
        return 0;
    return ce_fail(err, CE_ENOMEM, "%s: out of memory for added tokens", f->path);
}

/* Room doubles whenever the count is a power of two. */
static int state(ce_tokenizer_files *f, ce_stated_token token, ce_error *err) {
    size_t n = f->added_count;
    if (n == ADDED_MAX)
        return ce_fail(err, CE_EUNSUPPORTED,
                       "%s: more than %d added tokens are not supported", f->path,
                       ADDED_MAX);
    if ((n & (n - 1)) == 0) {
        ce_stated_token *grown = realloc(f->added, (n ? 2 * n : 1) * sizeof *grown);
        if (!grown)
            return ce_fail(err, CE_ENOMEM, "%s: out of memory for added tokens", f->path);
        f->added = grown;
    }
    f->added[f->added_count++] = token;
    return mark(f, token.text, token.special, err);
}

int ce_tokenizer_files_state(ce_tokenizer_files *f, const char *text, ce_error *err) {
    const json_t *special = json_object_get(f->stated, text);
    if (!special)
        return state(f, (ce_stated_token){.text = text, .id = -1, .special = true}, err);
    if (json_is_true(special))
        return 0;
    for (size_t i = 0; i < f->added_count; i++)
        if (strcmp(f->added[i].text, text) == 0)
            f->added[i].special = true;
    return mark(f, text, true, err);
}

static int state_object(ce_tokenizer_files *f, const json_t *object, int64_t id,
                        const char *path, ce_error *err) {
    ce_stated_token t = {.id = id};
    if (!json_is_object(object))
        return ce_fail(err, CE_EFORMAT, "%s: an added token must be an object", path);
    int rc = ce_json_require(object, "content", path, err);
    if (rc == 0)
        rc = ce_json_string(object, "content", &t.text, path, err);
    if (rc == 0)
        rc = ce_json_bool(object, "normalized", &t.normalized, path, err);
    if (rc == 0)
        rc = ce_json_bool(object, "single_word", &t.single_word, path, err);
    if (rc == 0)
        rc = ce_json_bool(object, "lstrip", &t.lstrip, path, err);
    if (rc == 0)
        rc = ce_json_bool(object, "rstrip", &t.rstrip, path, err);
    return rc < 0 || is_stated(f, t.text) ? rc : state(f, t, err);
}

/* tokenizer.json: "added_tokens": [{"id": 0, "content": ...}] */
static int state_list(ce_tokenizer_files *f, ce_error *err) {
    const json_t *list = json_object_get(f->root, "added_tokens");
    int rc = 0;
    for (size_t i = 0; i < json_array_size(list) && rc == 0; i++) {
        const json_t *entry = json_array_get(list, i);
        int id = -1;
        rc = ce_json_int(entry, "id", &id, 0, INT32_MAX - 1, f->path, err);
        if (rc == 0)
            rc = ce_json_require(entry, "id", f->path, err);
        if (rc == 0)
            rc = state_object(f, entry, id, f->path, err);
    }
    return rc;
}

static int by_id(const void *a, const void *b) {
    const ce_stated_token *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* tokenizer_config.json: "added_tokens_decoder": {"49406": {"content": ...}} */
static int state_decoder(ce_tokenizer_files *f, ce_error *err) {
    const char *key;
    json_t *value;
    size_t first = f->added_count;
    json_object_foreach(json_object_get(f->config, "added_tokens_decoder"), key, value) {
        char *rest;
        long id = strtol(key, &rest, 10);
        if (rest == key || *rest || id < 0 || id >= INT32_MAX)
            return ce_fail(err, CE_EFORMAT,
                           "%s: \"added_tokens_decoder\" has an id \"%.*s\"",
                           f->config_path, ce_vocab_quote(key, strlen(key)), key);
        int rc = state_object(f, value, id, f->config_path, err);
        if (rc < 0)
            return rc;
    }
    if (f->added_count > first)
        qsort(f->added + first, f->added_count - first, sizeof *f->added, by_id);
    return 0;
}

/* added_tokens.json: {"token": 49408} */
static int state_named(ce_tokenizer_files *f, ce_error *err) {
    const char *key;
    json_t *value;
    size_t first = f->added_count;
    json_object_foreach(f->named, key, value) {
        int id = 0;
        int rc = ce_json_int(f->named, key, &id, 0, INT32_MAX - 1, f->named_path, err);
        if (rc == 0 && !is_stated(f, key))
            rc =
                state(f, (ce_stated_token){.text = key, .id = id, .normalized = true}, err);
        if (rc < 0)
            return rc;
    }
    if (f->added_count > first)
        qsort(f->added + first, f->added_count - first, sizeof *f->added, by_id);
    return 0;
}

static int state_special(ce_tokenizer_files *f, const json_t *value, const char *path,
                         ce_error *err) {
    const char *text = json_string_value(value);
    if (!value || json_is_null(value) || (text && !*text))
        return 0;
    int rc = text ? 0 : state_object(f, value, -1, path, err);
    if (!text && rc == 0)
        text = json_string_value(json_object_get(value, "content"));
    return rc < 0 ? rc : ce_tokenizer_files_state(f, text, err);
}

/* The named special tokens, then further ones. */
static int state_specials(ce_tokenizer_files *f, ce_error *err) {
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};
    const char *path;
    json_t *extra = NULL;
    int rc = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && rc == 0; i++) {
        const json_t *value = special_value(f, keys[i], &path);
        rc = state_special(f, value, path, err);
    }
    if (rc == 0)
        rc = ce_tokenizer_extra_specials(&extra, f->config, f->config_path, f->map,
                                         f->map_path, err);
    path = f->map ? f->map_path : f->config_path;
    for (size_t i = 0; i < json_array_size(extra) && rc == 0; i++)
        rc = state_special(f, json_array_get(extra, i), path, err);
    json_decref(extra);
    return rc;
}

int ce_tokenizer_files_added(ce_tokenizer_files *f, bool own_list, ce_error *err) {
    int rc = own_list ? state_list(f, err) : 0;
    if (rc == 0)
        rc = state_decoder(f, err);
    if (rc == 0)
        rc = state_named(f, err);
    return rc < 0 ? rc : state_specials(f, err);
}

size_t ce_tokenizer_files_added_bytes(const ce_tokenizer_files *f) {
    size_t bytes = 0;
    for (size_t i = 0; i < f->added_count; i++)
        bytes += strlen(f->added[i].text);
    return bytes;
}

int ce_tokenizer_files_number(ce_tokenizer_files *f, ce_vocab *v, size_t *count,
                              ce_error *err) {
    for (size_t i = 0; i < f->added_count; i++) {
        ce_stated_token *a = &f->added[i];
        size_t size = strlen(a->text);
        int64_t id = ce_vocab_find(v, a->text, size);
        if (id < 0) {
            id = (int64_t)*count;
            int rc = ce_vocab_put(v, id, a->text, size, f->path, err);
            if (rc < 0)
                return rc;
            ++*count;
        }
        if (a->id >= 0 && a->id != id)
            return ce_fail(err, CE_EFORMAT,
                           "%s: the added token \"%.*s\" states id %lld, but has id %lld",
                           f->path, ce_vocab_quote(a->text, size), a->text,
                           (long long)a->id, (long long)id);
        a->id = id;
    }
    return 0;
}

int ce_tokenizer_files_id(const ce_tokenizer_files *f, const ce_vocab *v, int32_t *id,
                          const char *name, const char *what, ce_error *err) {
    *id = ce_vocab_find(v, name, strlen(name));
    if (*id >= 0)
        return 0;
    return ce_fail(err, CE_EFORMAT, "%s: the %s token \"%.*s\" is not in the vocabulary",
                   f->path, what, ce_vocab_quote(name, strlen(name)), name);
}

/* ---- post_processor ---- */

static bool read_id(const json_t *value, int64_t *id) {
    *id = json_is_integer(value) ? json_integer_value(value) : -1;
    return *id >= 0;
}

/* {"cls": ["[CLS]", 101], "sep": ["[SEP]", 102]} */
static int read_pair(const ce_tokenizer_files *f, const json_t *part, const char *key,
                     const char **name, int64_t *id, ce_error *err) {
    const json_t *pair = json_object_get(part, key);
    *name = json_string_value(json_array_get(pair, 0));
    if (!*name || !read_id(json_array_get(pair, 1), id))
        return ce_tokenizer_files_refuse(f, "post_processor", part, err);
    return 0;
}

/* "special_tokens": {"[CLS]": {"ids": [101]}} */
static bool template_id(const json_t *part, const char *name, int64_t *id) {
    const json_t *special = json_object_get(json_object_get(part, "special_tokens"), name);
    const json_t *ids = json_object_get(special, "ids");
    return json_array_size(ids) == 1 && read_id(json_array_get(ids, 0), id);
}

/* "single": [{"SpecialToken": {"id": "[CLS]"}}, {"Sequence": {"id": "A"}}, ...] */
static int read_template(const ce_tokenizer_files *f, const json_t *part,
                         ce_tokenizer_frame *frame, ce_error *err) {
    const json_t *single = json_object_get(part, "single");
    bool has_text = false, good = true;
    for (size_t i = 0; i < json_array_size(single) && good; i++) {
        const json_t *piece = json_array_get(single, i);
        const char *name = json_string_value(
            json_object_get(json_object_get(piece, "SpecialToken"), "id"));
        const char **to = has_text ? &frame->end : &frame->start;
        int64_t *id = has_text ? &frame->end_id : &frame->start_id;
        if (json_object_get(piece, "Sequence")) {
            good = !has_text;
            has_text = true;
        } else {
            good = name && !*to && template_id(part, name, id);
            *to = name;
        }
    }
    return good && has_text ? 0
                            : ce_tokenizer_files_refuse(f, "post_processor", single, err);
}

int ce_tokenizer_files_frame(const ce_tokenizer_files *f, ce_tokenizer_frame *frame,
                             ce_error *err) {
    const json_t *part = json_object_get(f->root, "post_processor");
    *frame = (ce_tokenizer_frame){.start_id = -1, .end_id = -1};
    if (!part || json_is_null(part))
        return 0;
    if (ce_json_is_type(part, "TemplateProcessing"))
        return read_template(f, part, frame, err);
    if (!ce_json_is_type(part, "BertProcessing") &&
        !ce_json_is_type(part, "RobertaProcessing"))
        return ce_tokenizer_files_refuse(f, "post_processor", part, err);
    int rc = read_pair(f, part, "cls", &frame->start, &frame->start_id, err);
    return rc < 0 ? rc : read_pair(f, part, "sep", &frame->end, &frame->end_id, err);
}

int ce_tokenizer_files_check_frame(const ce_tokenizer_files *f,
                                   const ce_tokenizer_frame *frame, int32_t start,
                                   int32_t end, ce_error *err) {
    bool wrong = frame->start_id != start;
    const char *name = wrong ? frame->start : frame->end;
    if (!wrong && frame->end_id == end)
        return 0;
    return ce_fail(err, CE_EFORMAT,
                   "%s: post_processor has id %lld for \"%.*s\", the vocabulary %d",
                   f->path, (long long)(wrong ? frame->start_id : frame->end_id),
                   ce_vocab_quote(name, strlen(name)), name, (int)(wrong ? start : end));
}

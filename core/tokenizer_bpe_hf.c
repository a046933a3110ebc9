/* What a Hugging Face directory says of CLIP's tokenizer: the parts of tokenizer.json, and
 * the names of the special tokens in the small files beside it. A part that we do not
 * follow exactly is refused by its name. Precedence as in transformers 5,
 * tokenization_utils_base.py, _from_pretrained. */
#include "fs.h"
#include "tokenizer_bpe.h"
#include "tokenizer_special.h"

#include <stdlib.h>
#include <string.h>

#define CLIP_START "<|startoftext|>"
#define CLIP_END "<|endoftext|>"
#define CLIP_WORDS "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
#define CLIP_NAMES "<\\|startoftext\\|>|<\\|endoftext\\|>|"

static int refuse(const ce_bpe_files *f, const char *part, const json_t *what,
                  ce_error *err) {
    char *text = what ? json_dumps(what, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    const char *shown = text ? text : "null";
    ce_fail(err, CE_EUNSUPPORTED, "%s: %s is not CLIP's: %.*s", f->path, part,
            ce_vocab_quote(shown, strlen(shown)), shown);
    free(text);
    return CE_EUNSUPPORTED;
}

static bool is_type(const json_t *part, const char *type) {
    const char *text = json_string_value(json_object_get(part, "type"));
    return text && strcmp(text, type) == 0;
}

static bool is_text(const json_t *value, const char *wanted) {
    const char *text = json_string_value(value);
    return text && strcmp(text, wanted) == 0;
}

/* Absent, null, false and "" are all the same: the option is off. */
static bool is_off(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return !value || json_is_null(value) || json_is_false(value) || is_text(value, "");
}

static int read_model(ce_bpe_files *f, ce_error *err) {
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "fuse_unk",
                                      "byte_fallback", "ignore_merges"};
    const json_t *model = f->model;
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (!is_off(model, off[i])) {
            char part[64];
            snprintf(part, sizeof part, "model's \"%s\"", off[i]);
            return refuse(f, part, json_object_get(model, off[i]), err);
        }
    if (!is_text(json_object_get(model, "end_of_word_suffix"), "</w>"))
        return refuse(f, "model's \"end_of_word_suffix\"",
                      json_object_get(model, "end_of_word_suffix"), err);
    return ce_json_string(model, "unk_token", &f->unknown, f->path, err);
}

static int read_step(ce_tokenizer_bpe *t, const ce_bpe_files *f, const json_t *step,
                     ce_error *err) {
    ce_bpe_step kind;
    const json_t *pattern = json_object_get(json_object_get(step, "pattern"), "Regex");
    if (is_type(step, "NFC"))
        kind = CE_BPE_NFC;
    else if (is_type(step, "Lowercase"))
        kind = CE_BPE_LOWER;
    else if (is_type(step, "Replace") && is_text(pattern, "\\s+") &&
             is_text(json_object_get(step, "content"), " "))
        kind = CE_BPE_SQUEEZE;
    else
        return refuse(f, "normalizer", step, err);
    if (t->step_count == CE_BPE_STEPS)
        return refuse(f, "normalizer (too many steps)", step, err);
    t->steps[t->step_count++] = kind;
    return 0;
}

static int read_normalizer(ce_tokenizer_bpe *t, const ce_bpe_files *f, ce_error *err) {
    const json_t *part = json_object_get(f->root, "normalizer");
    if (!part || json_is_null(part))
        return 0;
    if (!is_type(part, "Sequence"))
        return read_step(t, f, part, err);
    const json_t *steps = json_object_get(part, "normalizers");
    if (!json_is_array(steps))
        return refuse(f, "normalizer", part, err);
    int rc = 0;
    for (size_t i = 0; i < json_array_size(steps) && rc == 0; i++)
        rc = read_step(t, f, json_array_get(steps, i), err);
    return rc;
}

static int read_pre_tokenizer(ce_tokenizer_bpe *t, const ce_bpe_files *f, ce_error *err) {
    const json_t *part = json_object_get(f->root, "pre_tokenizer");
    const json_t *both = json_object_get(part, "pretokenizers");
    const json_t *split = json_array_get(both, 0), *bytes = json_array_get(both, 1);
    const json_t *pattern = json_object_get(json_object_get(split, "pattern"), "Regex");
    if (!is_type(part, "Sequence") || json_array_size(both) != 2 ||
        !is_type(split, "Split") || !is_type(bytes, "ByteLevel"))
        return refuse(f, "pre_tokenizer", part, err);
    t->split_specials = is_text(pattern, CLIP_NAMES CLIP_WORDS);
    if ((!t->split_specials && !is_text(pattern, CLIP_WORDS)) ||
        !is_text(json_object_get(split, "behavior"), "Removed") ||
        !json_is_true(json_object_get(split, "invert")))
        return refuse(f, "pre_tokenizer", split, err);
    if (!is_off(bytes, "add_prefix_space"))
        return refuse(f, "pre_tokenizer", bytes, err);
    t->split_twice = true;
    return ce_json_bool(bytes, "use_regex", &t->split_twice, f->path, err);
}

/* A special token of a template: {"SpecialToken": {"id": "<s>"}} */
static const char *template_token(const json_t *piece) {
    return json_string_value(json_object_get(json_object_get(piece, "SpecialToken"), "id"));
}

/* Start and end; where the file leaves them out, the small files name them. */
static int read_post_processor(ce_bpe_files *f, ce_error *err) {
    const json_t *part = json_object_get(f->root, "post_processor");
    if (!part || json_is_null(part) || is_type(part, "ByteLevel"))
        return 0;
    const json_t *start = json_object_get(part, "cls"), *end = json_object_get(part, "sep");
    const json_t *pieces = json_object_get(part, "single");
    if (is_type(part, "RobertaProcessing") || is_type(part, "BertProcessing")) {
        f->start = json_string_value(json_array_get(start, 0));
        f->end = json_string_value(json_array_get(end, 0));
    } else if (is_type(part, "TemplateProcessing") && json_array_size(pieces) == 3) {
        f->start = template_token(json_array_get(pieces, 0));
        f->end = template_token(json_array_get(pieces, 2));
    }
    return f->start && f->end ? 0 : refuse(f, "post_processor", part, err);
}

/* The pipeline that transformers' CLIPTokenizer builds around vocab.json and merges.txt. */
static void usual_pipeline(ce_tokenizer_bpe *t) {
    t->steps[0] = CE_BPE_NFC;
    t->steps[1] = CE_BPE_SQUEEZE;
    t->steps[2] = CE_BPE_LOWER;
    t->step_count = 3;
    t->split_specials = t->split_twice = true;
}

static bool is_stated(const ce_bpe_files *f, const char *text) {
    return json_object_get(f->stated, text) != NULL;
}

/* Room doubles whenever the count is a power of two. */
static int state(ce_bpe_files *f, ce_bpe_stated token, ce_error *err) {
    size_t n = f->added_count;
    ce_bpe_stated *grown = f->added;
    if ((n & (n - 1)) == 0)
        grown = realloc(f->added, (n ? 2 * n : 1) * sizeof *grown);
    if (grown)
        f->added = grown;
    if (!f->stated)
        f->stated = json_object();
    if (!grown || !f->stated || json_object_set_new(f->stated, token.text, json_true()) < 0)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory for added tokens", f->path);
    f->added[f->added_count++] = token;
    return 0;
}

static int state_object(ce_bpe_files *f, const json_t *object, int64_t id, const char *path,
                        ce_error *err) {
    ce_bpe_stated token = {.id = id};
    if (!json_is_object(object))
        return ce_fail(err, CE_EFORMAT, "%s: an added token must be an object", path);
    int rc = ce_json_require(object, "content", path, err);
    if (rc == 0)
        rc = ce_json_string(object, "content", &token.text, path, err);
    if (rc == 0)
        rc = ce_json_bool(object, "normalized", &token.normalized, path, err);
    if (rc == 0)
        rc = ce_json_bool(object, "single_word", &token.single_word, path, err);
    return rc < 0 ? rc : state(f, token, err);
}

int ce_bpe_read_added(ce_bpe_files *f, ce_error *err) {
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

/* tokenizer_config.json: "added_tokens_decoder": {"49406": {"content": ...}} */
static int read_decoder(ce_bpe_files *f, ce_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(f->config, "added_tokens_decoder"), key, value) {
        char *rest;
        long id = strtol(key, &rest, 10);
        if (rest == key || *rest || id < 0)
            return ce_fail(err, CE_EFORMAT,
                           "%s: \"added_tokens_decoder\" has an id \"%.*s\"",
                           f->config_path, ce_vocab_quote(key, strlen(key)), key);
        int rc = state_object(f, value, id, f->config_path, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* added_tokens.json: {"token": 49408} */
static int read_named(ce_bpe_files *f, ce_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach(f->named, key, value) {
        int id = 0;
        int rc = ce_json_int(f->named, key, &id, 0, INT32_MAX - 1, f->named_path, err);
        if (rc == 0)
            rc = state(f, (ce_bpe_stated){.text = key, .id = id, .normalized = true}, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A special token by its key: a name, or an object with "content" and flags. It is found
 * in a text too, unless a list of added tokens has it already. */
static int read_special(ce_bpe_files *f, const char *key, const char **name,
                        ce_error *err) {
    const json_t *value = json_object_get(f->map, key);
    const char *path = f->map_path;
    if (!value || json_is_null(value)) {
        value = json_object_get(f->config, key);
        path = f->config_path;
    }
    if (!value || json_is_null(value))
        return 0;
    *name = json_string_value(json_is_object(value) ? json_object_get(value, "content")
                                                    : value);
    if (!*name)
        return ce_fail(err, CE_EFORMAT, "%s: \"%s\" is no token", path, key);
    if (is_stated(f, *name))
        return 0;
    return json_is_object(value) ? state_object(f, value, -1, path, err)
                                 : state(f, (ce_bpe_stated){.text = *name, .id = -1}, err);
}

/* Further special tokens; one that the vocabulary lacks is refused when it is put, for
 * transformers would give it an id that no model has a row for. */
static int read_extra(ce_bpe_files *f, ce_error *err) {
    json_t *extra;
    const char *path = f->map ? f->map_path : f->config_path;
    int rc = ce_tokenizer_extra_specials(&extra, f->config, f->config_path, f->map,
                                         f->map_path, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(extra); i++) {
        const json_t *value = json_array_get(extra, i);
        const char *text = json_string_value(
            json_is_object(value) ? json_object_get(value, "content") : value);
        if (is_stated(f, text))
            continue;
        rc = json_is_object(value) ? state_object(f, value, -1, path, err)
                                   : state(f, (ce_bpe_stated){.text = text, .id = -1}, err);
    }
    json_decref(extra);
    return rc;
}

static int load_small(json_t **out, char path[CE_BPE_PATH], const char *dir,
                      const char *name, ce_error *err) {
    bool there = false;
    int rc = ce_bpe_path(path, dir, name, err);
    if (rc == 0)
        rc = ce_path_exists(&there, path, err);
    return there ? ce_json_load(out, path, err) : rc;
}

static int read_specials(ce_bpe_files *f, ce_error *err) {
    const char *start = NULL, *end = NULL, *unknown = NULL;
    int rc = read_special(f, "bos_token", &start, err);
    if (rc == 0)
        rc = read_special(f, "eos_token", &end, err);
    if (rc == 0)
        rc = read_special(f, "unk_token", &unknown, err);
    if (rc == 0)
        rc = read_special(f, "pad_token", &f->pad, err);
    if (rc < 0)
        return rc;
    if (!f->start)
        f->start = start ? start : CLIP_START;
    if (!f->end)
        f->end = end ? end : CLIP_END;
    if (!f->unknown && !f->model)
        f->unknown = unknown ? unknown : CLIP_END;
    const char *both[] = {f->start, f->end};
    for (int i = 0; i < 2 && rc == 0; i++)
        if (!is_stated(f, both[i]))
            rc = state(f, (ce_bpe_stated){.text = both[i], .id = -1}, err);
    return rc < 0 ? rc : read_extra(f, err);
}

/* Lists of added tokens: tokenizer.json's own; else the newer form in tokenizer_config.json
 * supersedes the two older files. */
static int read_small_files(ce_bpe_files *f, bool has_list, ce_error *err) {
    int rc = load_small(&f->config, f->config_path, f->dir, "tokenizer_config.json", err);
    if (rc == 0)
        rc = ce_tokenizer_check_settings(f->config, f->config_path, f->root, f->path, err);
    if (rc < 0)
        return rc;
    bool modern = json_is_object(json_object_get(f->config, "added_tokens_decoder"));
    if (!modern)
        rc = load_small(&f->map, f->map_path, f->dir, "special_tokens_map.json", err);
    if (rc == 0 && !modern && !has_list)
        rc = load_small(&f->named, f->named_path, f->dir, "added_tokens.json", err);
    if (rc == 0 && has_list)
        rc = ce_bpe_read_added(f, err);
    else if (rc == 0)
        rc = modern ? read_decoder(f, err) : read_named(f, err);
    return rc < 0 ? rc : read_specials(f, err);
}

int ce_bpe_read_hugging_face(ce_tokenizer_bpe *t, ce_bpe_files *f, ce_error *err) {
    if (!f->model) {
        usual_pipeline(t);
        return f->text ? read_small_files(f, false, err) : read_specials(f, err);
    }
    int rc = read_model(f, err);
    if (rc == 0)
        rc = read_normalizer(t, f, err);
    if (rc == 0)
        rc = read_pre_tokenizer(t, f, err);
    if (rc == 0)
        rc = read_post_processor(f, err);
    return rc < 0 ? rc : read_small_files(f, true, err);
}

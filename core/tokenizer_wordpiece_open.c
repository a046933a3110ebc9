/* The files of a WordPiece tokenizer -> its tables. transformers' BertTokenizer takes from
 * a tokenizer.json the vocabulary and the added tokens only, and builds the rest by
 * tokenizer_config.json; just where that names no class of its own ("PreTrainedTokenizer",
 * "TokenizersBackend") it follows the whole file. */
#include "tokenizer_files.h"
#include "tokenizer_wordpiece.h"

#include <stdlib.h>
#include <string.h>

typedef struct bert_names {
    const char *unknown, *start, *end, *pad, *mask;
} bert_names;

/* ---- vocabulary ---- */

static int init_vocab(ce_vocab *v, const ce_tokenizer_files *f, size_t count, size_t bytes,
                      ce_error *err) {
    bytes += ce_tokenizer_files_added_bytes(f);
    return ce_vocab_init(v, count + f->added_count, bytes, err);
}

static int fill_from_table(ce_vocab *v, const ce_tokenizer_files *f, ce_error *err) {
    const ce_json_table *table = &f->table;
    size_t bytes = 0, count = table->id_count;
    for (size_t i = 0; i < count; i++)
        bytes += table->ids[i].token.size;
    int rc = init_vocab(v, f, count, bytes, err);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = ce_vocab_put(v, table->ids[i].id, table->ids[i].token.at,
                          table->ids[i].token.size, f->path, err);
    for (size_t id = 0; id < count && rc == 0; id++)
        if (!v->texts[id].at)
            rc = ce_fail(err, CE_EFORMAT, "%s: no token has id %zu", f->path, id);
    return rc;
}

/* As Rust's trim_end, but only ASCII's white space: no token of BERT's has another. */
static size_t trimmed(const char *line, size_t size) {
    while (size > 0 && (line[size - 1] == ' ' || (unsigned char)(line[size - 1] - 9) < 5))
        size--;
    return size;
}

static size_t count_lines(const char *text, size_t size) {
    size_t n = 0;
    for (const char *at = text, *end = text + size; at < end; n++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        at = stop ? stop + 1 : end;
    }
    return n;
}

/* One token a line, the line's number its id. */
static int fill_from_lines(ce_vocab *v, const ce_tokenizer_files *f, size_t *count,
                           ce_error *err) {
    size_t size = trimmed(f->text, f->size), valid = ce_utf8_prefix(f->text, size);
    if (valid < size)
        return ce_fail(err, CE_EFORMAT, "%s: not UTF-8 at byte %zu", f->path, valid);
    int rc = init_vocab(v, f, count_lines(f->text, size), size, err);
    const char *at = f->text, *end = f->text + size;
    for (*count = 0; at < end && rc == 0; ++*count) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t line = trimmed(at, (size_t)((stop ? stop : end) - at));
        if (line == 0)
            return ce_fail(err, CE_EFORMAT, "%s: line %zu is empty", f->path, *count + 1);
        int32_t twice = ce_vocab_find(v, at, line);
        if (twice >= 0)
            return ce_fail(err, CE_EFORMAT, "%s: line %zu repeats line %d: \"%.*s\"",
                           f->path, *count + 1, twice + 1, ce_vocab_quote(at, line), at);
        rc = ce_vocab_put(v, (int64_t)*count, at, line, f->path, err);
        at = stop ? stop + 1 : end;
    }
    return rc;
}

/* ---- what the files say ---- */

static int read_names(bert_names *n, const ce_tokenizer_files *f, ce_error *err) {
    int rc = ce_tokenizer_files_special(f, "unk_token", &n->unknown, err);
    if (rc == 0)
        rc = ce_tokenizer_files_special(f, "cls_token", &n->start, err);
    if (rc == 0)
        rc = ce_tokenizer_files_special(f, "sep_token", &n->end, err);
    if (rc == 0)
        rc = ce_tokenizer_files_special(f, "pad_token", &n->pad, err);
    if (rc == 0)
        rc = ce_tokenizer_files_special(f, "mask_token", &n->mask, err);
    return rc;
}

/* BertTokenizer's own arguments. */
static int read_config(ce_tokenizer_wordpiece *t, const ce_tokenizer_files *f,
                       ce_error *err) {
    const char *path = f->config_path;
    t->clean = t->lower_case = t->split_chinese = true;
    int rc = ce_json_bool(f->config, "do_lower_case", &t->lower_case, path, err);
    if (rc == 0)
        rc =
            ce_json_bool(f->config, "tokenize_chinese_chars", &t->split_chinese, path, err);
    t->strip_accents = t->lower_case;
    return rc < 0 ? rc
                  : ce_json_bool(f->config, "strip_accents", &t->strip_accents, path, err);
}

static int read_normalizer(ce_tokenizer_wordpiece *t, const ce_tokenizer_files *f,
                           ce_error *err) {
    const json_t *part = json_object_get(f->root, "normalizer");
    if (!part || json_is_null(part))
        return 0;
    if (!ce_json_is_type(part, "BertNormalizer"))
        return ce_tokenizer_files_refuse(f, "normalizer", part, err);
    t->clean = t->lower_case = t->split_chinese = true;
    int rc = ce_json_bool(part, "clean_text", &t->clean, f->path, err);
    if (rc == 0)
        rc = ce_json_bool(part, "handle_chinese_chars", &t->split_chinese, f->path, err);
    if (rc == 0)
        rc = ce_json_bool(part, "lowercase", &t->lower_case, f->path, err);
    t->strip_accents = t->lower_case;
    return rc < 0 ? rc
                  : ce_json_bool(part, "strip_accents", &t->strip_accents, f->path, err);
}

static int set_prefix(ce_tokenizer_wordpiece *t, const char *prefix, ce_error *err) {
    t->prefix = strdup(prefix);
    return t->prefix ? 0 : ce_fail(err, CE_ENOMEM, "out of memory for a tokenizer");
}

/* The whole pipeline of a tokenizer.json. */
static int read_pipeline(ce_tokenizer_wordpiece *t, const ce_tokenizer_files *f,
                         bert_names *names, ce_error *err) {
    const char *prefix = "##", *pad = NULL;
    const json_t *words = json_object_get(f->root, "pre_tokenizer");
    int max_chars = 100;
    int rc = read_normalizer(t, f, err);
    if (rc == 0 && !ce_json_is_type(words, "BertPreTokenizer"))
        rc = ce_tokenizer_files_refuse(f, "pre_tokenizer", words, err);
    if (rc == 0)
        rc = ce_json_string(f->model, "continuing_subword_prefix", &prefix, f->path, err);
    if (rc == 0)
        rc = ce_json_int(f->model, "max_input_chars_per_word", &max_chars, 0,
                         CE_WORDPIECE_CHARS_MAX, f->path, err);
    if (rc == 0)
        rc = ce_json_string(f->model, "unk_token", &names->unknown, f->path, err);
    if (rc == 0)
        rc = ce_json_string(json_object_get(f->root, "padding"), "pad_token", &pad, f->path,
                            err);
    if (pad)
        names->pad = pad;
    t->max_chars = (size_t)max_chars;
    return rc < 0 ? rc : set_prefix(t, prefix, err);
}

/* ---- together ---- */

static int set_added(ce_tokenizer_wordpiece *t, const ce_tokenizer_files *f,
                     ce_error *err) {
    ce_runes r;
    ce_runes_init(&r);
    int rc = 0;
    for (size_t i = 0; i < f->added_count && rc == 0; i++) {
        const ce_stated_token *a = &f->added[i];
        ce_added_token flags = {.id = (int32_t)a->id,
                                .normalized = a->normalized,
                                .single_word = a->single_word};
        rc = ce_runes_decode(&r, a->text, strlen(a->text), err);
        if (rc == 0 && a->normalized)
            rc = ce_tokenizer_wordpiece_normalize(t, &r, err);
        if (rc == 0)
            rc = ce_added_tokens_add(&t->added, r.at, r.count, flags, err);
    }
    ce_runes_free(&r);
    return rc;
}

/* The names that BertTokenizer has without being told are tokens in a text too. A mask that
 * the vocabulary lacks is no fault: only training needs it. */
static int state_names(ce_tokenizer_files *f, const ce_vocab *v, const bert_names *n,
                       ce_error *err) {
    const char *const all[] = {n->unknown, n->end, n->pad, n->start, n->mask};
    int rc = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all && rc == 0; i++)
        if (ce_vocab_find(v, all[i], strlen(all[i])) >= 0)
            rc = ce_tokenizer_files_state(f, all[i], err);
    return rc;
}

/* The library would add a special token that is in no list as a new one, with an id that no
 * model has a row for. */
static int check_names(const ce_tokenizer_files *f, const ce_vocab *v, const bert_names *n,
                       ce_error *err) {
    const char *const names[] = {n->unknown, n->start, n->end, n->pad};
    static const char *const what[] = {"unknown", "start", "end", "padding"};
    int rc = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && rc == 0; i++) {
        bool stated = false;
        int32_t id;
        for (size_t k = 0; k < f->added_count; k++)
            stated |= f->added[k].id >= 0 && strcmp(f->added[k].text, names[i]) == 0;
        if (!stated)
            rc = ce_tokenizer_files_id(f, v, &id, names[i], what[i], err);
    }
    return rc;
}

static int set_specials(ce_tokenizer_wordpiece *t, const ce_tokenizer_files *f,
                        const bert_names *n, ce_error *err) {
    const ce_vocab *v = &t->vocab;
    t->base.start = t->base.end = -1;
    int rc = ce_tokenizer_files_id(f, v, &t->unknown, n->unknown, "unknown", err);
    if (rc == 0 && n->start)
        rc = ce_tokenizer_files_id(f, v, &t->base.start, n->start, "start", err);
    if (rc == 0 && n->end)
        rc = ce_tokenizer_files_id(f, v, &t->base.end, n->end, "end", err);
    if (rc == 0)
        rc = ce_tokenizer_files_id(f, v, &t->base.pad, n->pad, "padding", err);
    return rc;
}

static void describe(ce_tokenizer_wordpiece *t, const char *pad, const char *remark) {
    snprintf(t->base.description, sizeof t->base.description,
             "WordPiece, %d tokens, %s, accents %s, CJK %s, padded with %.*s%s",
             t->base.vocab_size, t->lower_case ? "lower case" : "case kept",
             t->strip_accents ? "stripped" : "kept", t->split_chinese ? "split" : "kept",
             ce_vocab_quote(pad, strlen(pad)), pad, remark);
}

/* What BertTokenizer leaves aside of a tokenizer.json, a reader of the file would not
 * guess. */
static const char *remark_on(const ce_tokenizer_wordpiece *t, const ce_tokenizer_files *f) {
    const json_t *part = json_object_get(f->root, "normalizer");
    const json_t *lower = json_object_get(part, "lowercase");
    bool differs = json_is_boolean(lower) && json_is_true(lower) != t->lower_case;
    return differs ? " (tokenizer.json states the other case: BertTokenizer goes by "
                     "tokenizer_config.json)"
                   : "";
}

static int finish(ce_tokenizer_wordpiece *t, ce_tokenizer_files *f, size_t count,
                  bert_names *n, bool whole, ce_error *err) {
    ce_tokenizer_frame frame;
    t->pieces = (int32_t)count;
    int rc = whole ? 0 : check_names(f, &t->vocab, n, err);
    if (rc == 0 && !whole)
        rc = state_names(f, &t->vocab, n, err);
    if (rc == 0)
        rc = ce_tokenizer_files_number(f, &t->vocab, &count, err);
    if (rc == 0 && whole)
        rc = ce_tokenizer_files_frame(f, &frame, err);
    if (rc == 0 && whole) {
        n->start = frame.start;
        n->end = frame.end;
    }
    if (rc == 0)
        rc = set_specials(t, f, n, err);
    if (rc == 0 && whole)
        rc = ce_tokenizer_files_check_frame(f, &frame, t->base.start, t->base.end, err);
    if (rc == 0)
        rc = set_added(t, f, err);
    if (rc < 0)
        return rc;
    for (int32_t id = 0; id < t->pieces; id++)
        if (t->vocab.texts[id].size > t->longest)
            t->longest = t->vocab.texts[id].size;
    t->vocab.count = count;
    t->base.vocab_size = (int)count;
    describe(t, n->pad, whole ? "" : remark_on(t, f));
    return 0;
}

static int open_json(ce_tokenizer_wordpiece *t, ce_tokenizer_files *f, ce_error *err) {
    bert_names names = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
    bool whole = ce_tokenizer_files_is_class(f, "PreTrainedTokenizer") ||
                 ce_tokenizer_files_is_class(f, "TokenizersBackend");
    bool decoder = json_is_object(json_object_get(f->config, "added_tokens_decoder"));
    t->base.source = "tokenizer.json";
    int rc = ce_tokenizer_files_load_json(f, "WordPiece", err);
    if (rc == 0)
        rc = ce_tokenizer_files_check_config(f, err);
    if (rc == 0 && !json_is_object(json_object_get(f->model, "vocab")))
        rc = ce_fail(err, CE_EFORMAT, "%s: \"vocab\" is missing or no object", f->path);
    if (rc == 0)
        rc = read_names(&names, f, err);
    if (rc == 0)
        rc = ce_tokenizer_files_added(f, whole || !decoder, err);
    if (rc == 0)
        rc = fill_from_table(&t->vocab, f, err);
    if (rc == 0 && whole)
        rc = read_pipeline(t, f, &names, err);
    else if (rc == 0 && (rc = read_config(t, f, err)) == 0)
        rc = set_prefix(t, "##", err);
    return rc < 0 ? rc : finish(t, f, f->table.id_count, &names, whole, err);
}

static int open_lines(ce_tokenizer_wordpiece *t, ce_tokenizer_files *f, ce_error *err) {
    bert_names names = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
    size_t count = 0;
    t->base.source = "vocab.txt";
    int rc = ce_tokenizer_files_read(f, err);
    if (rc == 0)
        rc = ce_tokenizer_files_check_config(f, err);
    if (rc == 0)
        rc = read_names(&names, f, err);
    if (rc == 0)
        rc = ce_tokenizer_files_added(f, false, err);
    if (rc == 0)
        rc = fill_from_lines(&t->vocab, f, &count, err);
    if (rc == 0)
        rc = read_config(t, f, err);
    if (rc == 0)
        rc = set_prefix(t, "##", err);
    return rc < 0 ? rc : finish(t, f, count, &names, false, err);
}

static int open_directory(ce_tokenizer_wordpiece *t, ce_tokenizer_files *f, ce_error *err) {
    int there = ce_tokenizer_files_choose(f, "tokenizer.json", err);
    if (there != 0)
        return there < 0 ? there : open_json(t, f, err);
    there = ce_tokenizer_files_choose(f, "vocab.txt", err);
    if (there != 0)
        return there < 0 ? there : open_lines(t, f, err);
    return ce_fail(err, CE_EIO, "%s: neither tokenizer.json nor vocab.txt is there",
                   f->dir);
}

static void free_wordpiece(ce_tokenizer *tok) {
    ce_tokenizer_wordpiece *t = (ce_tokenizer_wordpiece *)tok;
    ce_vocab_free(&t->vocab);
    ce_added_tokens_free(&t->added);
    free(t->prefix);
    free(t);
}

int ce_tokenizer_open_wordpiece(ce_tokenizer **out, const char *dir, ce_error *err) {
    *out = NULL;
    ce_tokenizer_wordpiece *t = calloc(1, sizeof *t);
    ce_tokenizer_files *f = calloc(1, sizeof *f);
    int rc = CE_ENOMEM;
    if (!t || !f) {
        ce_fail(err, CE_ENOMEM, "out of memory for a tokenizer");
        free(t);
        goto out;
    }
    t->base = (ce_tokenizer){.encode = ce_tokenizer_wordpiece_encode,
                             .free = free_wordpiece,
                             .kind = CE_TOKENIZER_WORDPIECE};
    t->max_chars = 100;
    rc = ce_tokenizer_files_begin(f, dir, err);
    if (rc == 0)
        rc = open_directory(t, f, err);
    if (rc < 0)
        free_wordpiece(&t->base);
    else
        *out = &t->base;
out:
    if (f)
        ce_tokenizer_files_end(f);
    free(f);
    return rc;
}

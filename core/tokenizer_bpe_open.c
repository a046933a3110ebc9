/* The files of a BPE tokenizer -> its tables. For Hugging Face's style everything that the
 * files say counts; open_clip and OpenAI have one fixed pipeline, so for them only the
 * vocabulary and the merges do. */
#include "clip_merges.h"
#include "fs.h"
#include "tokenizer_bpe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)64 << 20)
#define BYTE_SYMBOLS 512

int ce_bpe_path(char path[CE_BPE_PATH], const char *dir, const char *name, ce_error *err) {
    size_t n = strlen(dir);
    const char *slash = n > 0 && dir[n - 1] != '/' ? "/" : "";
    if (snprintf(path, CE_BPE_PATH, "%s%s%s", dir, slash, name) < CE_BPE_PATH)
        return 0;
    return ce_fail(err, CE_EINVAL, "%.*s...: the path is too long", ce_vocab_quote(dir, n),
                   dir);
}

/* ---- vocabulary ---- */

/* The file's tokens, and the added ones that it lacks; ids must be 0 .. count - 1. */
static int fill_vocab(ce_vocab *v, const ce_bpe_files *f, ce_error *err) {
    const ce_json_table *table = &f->table;
    size_t bytes = 0, count = table->id_count;
    for (size_t i = 0; i < table->id_count; i++)
        bytes += table->ids[i].token.size;
    for (size_t i = 0; i < f->added_count; i++)
        bytes += strlen(f->added[i].text);
    int rc = ce_vocab_init(v, count + f->added_count, bytes, err);
    for (size_t i = 0; i < table->id_count && rc == 0; i++)
        rc = ce_vocab_put(v, table->ids[i].id, table->ids[i].token.at,
                          table->ids[i].token.size, f->path, err);
    for (size_t i = 0; i < f->added_count && rc == 0; i++) {
        const ce_bpe_stated *a = &f->added[i];
        size_t size = strlen(a->text);
        if (a->id < 0 || ce_vocab_find(v, a->text, size) == a->id)
            continue;
        rc = ce_vocab_put(v, a->id, a->text, size, f->path, err);
        count++;
    }
    for (size_t id = 0; id < count && rc == 0; id++)
        if (!v->texts[id].at)
            rc = ce_fail(err, CE_EFORMAT, "%s: no token has id %zu", f->path, id);
    if (rc == 0)
        v->count = count;
    return rc;
}

/* Ids as in OpenAI's simple_tokenizer.py: bytes, bytes that end a word, one for each merge,
 * start, end. */
static int put_builtin(ce_vocab *v, int64_t id, ce_token_text a, ce_token_text b,
                       ce_error *err) {
    char joined[128];
    if (a.size + b.size > sizeof joined)
        return ce_fail(err, CE_EFORMAT, "built-in CLIP: a token is too long");
    memcpy(joined, a.at, a.size);
    memcpy(joined + a.size, b.at, b.size);
    return ce_vocab_put(v, id, joined, a.size + b.size, "built-in CLIP", err);
}

static int put_byte_symbols(ce_vocab *v, ce_error *err) {
    int rc = 0;
    for (unsigned i = 0; i < BYTE_SYMBOLS && rc == 0; i++) {
        char letter[4];
        ce_token_text text = {letter, ce_bpe_letter(letter, ce_bpe_byte(i % 256))};
        ce_token_text end = {"</w>", i < 256 ? 0 : 4};
        rc = put_builtin(v, i, text, end, err);
    }
    return rc;
}

/* ---- merges ---- */

typedef struct merge_line {
    ce_token_text left, right;
    size_t number; /* of the line, from 1 */
} merge_line;

/* The next line "LEFT RIGHT" from `*at` on: 1, or 0 at the end, or an error. A first line
 * "#version..." and empty lines are skipped. */
static int next_merge(merge_line *m, const char **at, const char *end, const char *path,
                      ce_error *err) {
    while (*at < end) {
        const char *line = *at, *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop)
            stop = end;
        *at = stop < end ? stop + 1 : end;
        m->number++;
        if (stop > line && stop[-1] == '\r')
            stop--;
        size_t size = (size_t)(stop - line);
        if (size == 0 || (m->number == 1 && size >= 8 && memcmp(line, "#version", 8) == 0))
            continue;
        const char *space = memchr(line, ' ', size);
        if (!space || space == line || space + 1 == stop ||
            memchr(space + 1, ' ', (size_t)(stop - space - 1)))
            return ce_fail(err, CE_EFORMAT, "%s: line %zu is not two tokens", path,
                           m->number);
        m->left = (ce_token_text){line, (size_t)(space - line)};
        m->right = (ce_token_text){space + 1, (size_t)(stop - space - 1)};
        return 1;
    }
    return 0;
}

static size_t count_lines(const char *text, size_t size) {
    size_t n = 1;
    for (size_t i = 0; i < size; i++)
        n += text[i] == '\n';
    return n;
}

static int add_merge_lines(ce_bpe *b, const ce_vocab *v, const char *text, size_t size,
                           const char *path, ce_error *err) {
    int rc = ce_bpe_init(b, count_lines(text, size), err);
    if (rc < 0)
        return rc;
    merge_line m = {.number = 0};
    const char *at = text;
    while ((rc = next_merge(&m, &at, text + size, path, err)) > 0) {
        rc = ce_bpe_add(b, v, m.left, m.right, path, "line", m.number, err);
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int add_merge_table(ce_bpe *b, const ce_vocab *v, const ce_bpe_files *f,
                           ce_error *err) {
    const ce_json_table *table = &f->table;
    int rc = ce_bpe_init(b, table->merge_count, err);
    for (size_t i = 0; i < table->merge_count && rc == 0; i++)
        rc = ce_bpe_add(b, v, table->merges[i].left, table->merges[i].right, f->path,
                        "merge", i, err);
    return rc;
}

static int add_merge_file(ce_bpe *b, const ce_vocab *v, const char *path, ce_error *err) {
    char *text;
    size_t size;
    int rc = ce_file_read(&text, &size, path, FILE_MAX, err);
    if (rc < 0)
        return rc;
    size_t valid = ce_utf8_prefix(text, size);
    if (valid < size)
        rc = ce_fail(err, CE_EFORMAT, "%s: not UTF-8 at byte %zu", path, valid);
    else
        rc = add_merge_lines(b, v, text, size, path, err);
    free(text);
    return rc;
}

/* ---- special and added tokens ---- */

static int named_id(const ce_vocab *v, int32_t *id, const char *name, const char *what,
                    const char *path, ce_error *err) {
    *id = ce_vocab_find(v, name, strlen(name));
    if (*id >= 0)
        return 0;
    return ce_fail(err, CE_EFORMAT, "%s: the %s token \"%.*s\" is not in the vocabulary",
                   path, what, ce_vocab_quote(name, strlen(name)), name);
}

/* open_clip names its tokens otherwise than OpenAI, but writes OpenAI's into vocab.json. */
static int name_python_specials(ce_text_style style, const ce_vocab *v, ce_bpe_files *f,
                                ce_error *err) {
    static const char *const names[2][2] = {{"<|startoftext|>", "<|endoftext|>"},
                                            {"<start_of_text>", "<end_of_text>"}};
    for (int i = 0; i < 2; i++) {
        const char *const *own = names[(style == CE_TEXT_OPEN_CLIP) != (i == 1)];
        f->start = own[0];
        f->end = own[1];
        if (ce_vocab_find(v, f->start, strlen(f->start)) >= 0 &&
            ce_vocab_find(v, f->end, strlen(f->end)) >= 0)
            return 0;
    }
    return ce_fail(err, CE_EFORMAT,
                   "%s: neither <|startoftext|> and <|endoftext|> nor "
                   "<start_of_text> and <end_of_text> are in the vocabulary",
                   f->path);
}

static int set_specials(ce_tokenizer_bpe *t, const ce_vocab *v, const ce_bpe_files *f,
                        ce_error *err) {
    int rc = named_id(v, &t->base.start, f->start, "start", f->path, err);
    if (rc == 0)
        rc = named_id(v, &t->base.end, f->end, "end", f->path, err);
    if (rc < 0)
        return rc;
    bool hf = t->style == CE_TEXT_HUGGING_FACE;
    t->base.pad = hf ? t->base.end : 0;
    if (hf && f->pad)
        rc = named_id(v, &t->base.pad, f->pad, "padding", f->path, err);
    return rc;
}

static int by_length(const void *a, const void *b) {
    const ce_bpe_added *x = a, *y = b;
    return (x->count < y->count) - (x->count > y->count);
}

/* An added token is sought in the form that the text has by then. */
static int add_token(ce_tokenizer_bpe *t, const ce_bpe_stated *a, int32_t id,
                     ce_error *err) {
    ce_runes r;
    ce_runes_init(&r);
    int rc = ce_runes_decode(&r, a->text, strlen(a->text), err);
    if (rc == 0 && a->normalized)
        rc = ce_tokenizer_bpe_normalize(t, &r, err);
    if (rc == 0 && r.count > 0) {
        ce_bpe_added *to = &t->added[t->added_count];
        *to = (ce_bpe_added){.runes = malloc(r.count * sizeof *to->runes),
                             .count = r.count,
                             .id = id,
                             .normalized = a->normalized,
                             .single_word = a->single_word};
        if (to->runes) {
            memcpy(to->runes, r.at, r.count * sizeof *to->runes);
            t->added_count++;
        } else {
            rc = ce_fail(err, CE_ENOMEM, "out of memory for added tokens");
        }
    }
    ce_runes_free(&r);
    return rc;
}

static int set_added(ce_tokenizer_bpe *t, const ce_vocab *v, const ce_bpe_files *f,
                     ce_error *err) {
    t->added = malloc((f->added_count + 1) * sizeof *t->added);
    if (!t->added)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory for added tokens", f->path);
    int rc = 0;
    for (size_t i = 0; i < f->added_count && rc == 0; i++) {
        int32_t id;
        rc = named_id(v, &id, f->added[i].text, "added", f->path, err);
        if (rc == 0)
            rc = add_token(t, &f->added[i], id, err);
    }
    qsort(t->added, t->added_count, sizeof *t->added, by_length);
    return rc;
}

/* ---- the three sources ---- */

static void describe(ce_tokenizer_bpe *t) {
    static const char *const cleaned[] = {
        [CE_TEXT_HUGGING_FACE] = "normalised as transformers does",
        [CE_TEXT_OPEN_CLIP] = "cleaned as open_clip does (ftfy, HTML, lower case)",
        [CE_TEXT_OPENAI] = "cleaned as OpenAI does (ftfy, HTML, lower case)"};
    snprintf(t->base.description, sizeof t->base.description,
             "byte-level BPE, %d tokens, %s, padded with id %d", t->base.vocab_size,
             cleaned[t->style], (int)t->base.pad);
}

static int finish(ce_tokenizer_bpe *t, const ce_vocab *v, ce_bpe_files *f, ce_error *err) {
    bool hf = t->style == CE_TEXT_HUGGING_FACE;
    int32_t unknown = -1;
    int rc = hf ? 0 : name_python_specials(t->style, v, f, err);
    if (rc == 0)
        rc = set_specials(t, v, f, err);
    if (rc == 0 && hf)
        rc = set_added(t, v, f, err);
    if (rc < 0)
        return rc;
    if (hf && f->unknown)
        unknown = ce_vocab_find(v, f->unknown, strlen(f->unknown));
    t->base.vocab_size = (int)v->count;
    describe(t);
    return ce_bpe_set_symbols(&t->bpe, v, unknown, f->path, err);
}

static int load_json(ce_bpe_files *f, ce_error *err) {
    size_t size, rest_size = 0;
    char *rest = NULL;
    int rc = ce_file_read(&f->text, &size, f->path, FILE_MAX, err);
    if (rc == 0)
        rc = ce_json_table_cut(&f->table, &rest, &rest_size, f->text, size, f->path, err);
    if (rc == 0)
        rc = ce_json_parse(&f->root, rest, rest_size, f->path, err);
    free(rest);
    return rc;
}

/* "vocab" and "merges" are there, as an empty object and array, and the model is BPE. */
static int check_model(ce_bpe_files *f, ce_error *err) {
    int rc = ce_json_require(f->root, "model", f->path, err);
    if (rc == 0)
        rc = ce_json_object(f->root, "model", &f->model, f->path, err);
    if (rc < 0)
        return rc;
    const char *type = "BPE"; /* files of before 2021 leave it out */
    rc = ce_json_string(f->model, "type", &type, f->path, err);
    if (rc == 0 && strcmp(type, "BPE") != 0)
        return ce_fail(err, CE_EUNSUPPORTED, "%s: model \"%.*s\" is not BPE", f->path,
                       ce_vocab_quote(type, strlen(type)), type);
    if (rc == 0 && !json_is_object(json_object_get(f->model, "vocab")))
        return ce_fail(err, CE_EFORMAT, "%s: \"vocab\" is missing or no object", f->path);
    if (rc == 0 && !json_is_array(json_object_get(f->model, "merges")))
        return ce_fail(err, CE_EFORMAT, "%s: \"merges\" is missing or no array", f->path);
    return rc;
}

static int open_json(ce_tokenizer_bpe *t, ce_bpe_files *f, ce_vocab *v, ce_error *err) {
    t->base.source = "tokenizer.json";
    int rc = load_json(f, err);
    if (rc == 0)
        rc = check_model(f, err);
    if (rc == 0)
        rc = t->style == CE_TEXT_HUGGING_FACE ? ce_bpe_read_hugging_face(t, f, err)
                                              : ce_bpe_read_added(f, err);
    if (rc == 0)
        rc = fill_vocab(v, f, err);
    if (rc == 0)
        rc = add_merge_table(&t->bpe, v, f, err);
    return rc < 0 ? rc : finish(t, v, f, err);
}

static int open_pair(ce_tokenizer_bpe *t, ce_bpe_files *f, ce_vocab *v,
                     const char *merges_path, ce_error *err) {
    t->base.source = "vocab.json + merges.txt";
    size_t size;
    int rc = ce_file_read(&f->text, &size, f->path, FILE_MAX, err);
    if (rc == 0)
        rc = ce_json_table_ids(&f->table, f->text, size, f->path, err);
    if (rc == 0 && t->style == CE_TEXT_HUGGING_FACE)
        rc = ce_bpe_read_hugging_face(t, f, err);
    if (rc == 0)
        rc = fill_vocab(v, f, err);
    if (rc == 0)
        rc = add_merge_file(&t->bpe, v, merges_path, err);
    return rc < 0 ? rc : finish(t, v, f, err);
}

static int open_builtin(ce_tokenizer_bpe *t, ce_bpe_files *f, ce_vocab *v, ce_error *err) {
    static const char name[] = "built-in CLIP";
    t->base.source = name;
    memcpy(f->path, name, sizeof name);
    const char *text = ce_clip_merges, *at = text;
    size_t size = (size_t)(ce_clip_merges_end - ce_clip_merges);
    size_t merges = count_lines(text, size) - 2; /* "#version" and the last end of line */
    int64_t id = BYTE_SYMBOLS;
    int rc = ce_vocab_init(v, BYTE_SYMBOLS + merges + 2, size + BYTE_SYMBOLS * 6 + 64, err);
    if (rc == 0)
        rc = put_byte_symbols(v, err);
    merge_line m = {.number = 0};
    while (rc == 0 && (rc = next_merge(&m, &at, text + size, name, err)) > 0)
        rc = put_builtin(v, id++, m.left, m.right, err);
    static const ce_token_text start = {"<|startoftext|>", 15}, end = {"<|endoftext|>", 13};
    static const ce_token_text nothing = {"", 0};
    if (rc == 0)
        rc = put_builtin(v, id++, start, nothing, err);
    if (rc == 0)
        rc = put_builtin(v, id, end, nothing, err);
    if (rc == 0 && t->style == CE_TEXT_HUGGING_FACE)
        rc = ce_bpe_read_hugging_face(t, f, err);
    if (rc == 0)
        rc = add_merge_lines(&t->bpe, v, text, size, name, err);
    return rc < 0 ? rc : finish(t, v, f, err);
}

static int open_directory(ce_tokenizer_bpe *t, ce_bpe_files *f, ce_vocab *v,
                          ce_error *err) {
    char merges[CE_BPE_PATH];
    struct stat info;
    if (stat(f->dir, &info) < 0)
        return ce_fail(err, CE_EIO, "%s: %s", f->dir, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return ce_fail(err, CE_EIO, "%s: not a directory", f->dir);
    int rc = ce_bpe_path(f->path, f->dir, "tokenizer.json", err);
    bool has_json = false, has_vocab = false, has_merges = false;
    if (rc == 0)
        rc = ce_path_exists(&has_json, f->path, err);
    if (rc < 0 || has_json)
        return rc < 0 ? rc : open_json(t, f, v, err);
    rc = ce_bpe_path(f->path, f->dir, "vocab.json", err);
    if (rc == 0)
        rc = ce_bpe_path(merges, f->dir, "merges.txt", err);
    if (rc == 0)
        rc = ce_path_exists(&has_vocab, f->path, err);
    if (rc == 0)
        rc = ce_path_exists(&has_merges, merges, err);
    if (rc < 0)
        return rc;
    if (has_vocab != has_merges)
        return ce_fail(err, CE_EFORMAT, "%s: missing, but %s is there",
                       has_vocab ? merges : f->path, has_vocab ? f->path : merges);
    return has_vocab ? open_pair(t, f, v, merges, err) : open_builtin(t, f, v, err);
}

static void free_bpe(ce_tokenizer *tok) {
    ce_tokenizer_bpe *t = (ce_tokenizer_bpe *)tok;
    for (size_t i = 0; i < t->added_count; i++)
        free(t->added[i].runes);
    free(t->added);
    ce_bpe_free(&t->bpe);
    free(t);
}

int ce_tokenizer_open_bpe(ce_tokenizer **out, const char *dir, ce_text_style style,
                          ce_error *err) {
    *out = NULL;
    ce_tokenizer_bpe *t = calloc(1, sizeof *t);
    ce_bpe_files *f = calloc(1, sizeof *f);
    ce_vocab v = {0};
    int rc = CE_ENOMEM;
    if (!t || !f) {
        ce_fail(err, CE_ENOMEM, "out of memory for a tokenizer");
        free(t);
        goto out;
    }
    t->base = (ce_tokenizer){.encode = ce_tokenizer_bpe_encode, .free = free_bpe};
    t->style = style;
    f->dir = dir;
    rc = dir ? open_directory(t, f, &v, err) : open_builtin(t, f, &v, err);
    if (rc < 0)
        free_bpe(&t->base);
    else
        *out = &t->base;
out:
    ce_vocab_free(&v);
    if (f) {
        json_decref(f->root);
        json_decref(f->config);
        json_decref(f->map);
        json_decref(f->named);
        json_decref(f->stated);
        ce_json_table_free(&f->table);
        free(f->added);
        free(f->text);
    }
    free(f);
    return rc;
}

/* A unigram tokenizer.json as it stands (tokenizers 0.23): added tokens are taken out, the
 * normalizer's steps follow, then white space and Metaspace cut words for the model. What
 * is not followed exactly is refused by its name. */
#include "tokenizer_unigram.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- normalizer: at work ---- */

/* A space is put in front of the first word only where the text's head is still there: what
 * a step drops (but not what the character map does) is "beheaded". */

static bool is_space(int32_t rune) {
    return ce_rune_classify(rune) == CE_RUNE_SPACE;
}

/* The runes that the buffer holds take the place of `r`. */
static int take_buffer(ce_runes *r, ce_text_buffer *b, int rc, ce_error *err) {
    if (rc == 0)
        rc = ce_runes_decode(r, b->at, b->count, err);
    ce_text_buffer_free(b);
    return rc;
}

static size_t encode(char *to, const int32_t *r, size_t n) {
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += ce_rune_encode((unsigned char *)to + size, r[i]);
    return size;
}

/* One character, or a short grapheme as a whole: where its head is mapped, the result
 * stands for all of it (normalizers/precompiled.rs). */
static bool put_mapped(const ce_charsmap *m, ce_text_buffer *b, const int32_t *r, size_t n,
                       int *rc, ce_error *err) {
    char bytes[24] = "";
    size_t used, size = encode(bytes, r, n);
    const char *to =
        n == 1 || size < 6 ? ce_charsmap_shortest(m, bytes, size, &used) : NULL;
    if (to)
        *rc = ce_text_buffer_put(b, to, strlen(to), err);
    else if (n == 1)
        *rc = ce_text_buffer_put(b, bytes, size, err);
    return to || n == 1;
}

static int map_characters(const ce_charsmap *m, ce_runes *r, ce_error *err) {
    ce_text_buffer b;
    ce_text_buffer_init(&b);
    int rc = 0;
    int32_t state = 0;
    for (size_t i = 0, end; i < r->count && rc == 0; i = end) {
        for (end = i + 1; end < r->count; end++)
            if (utf8proc_grapheme_break_stateful(r->at[end - 1], r->at[end], &state))
                break;
        bool whole = end - i < 6 && put_mapped(m, &b, r->at + i, end - i, &rc, err);
        for (size_t k = i; k < end && rc == 0 && !whole; k++)
            put_mapped(m, &b, r->at + k, 1, &rc, err);
    }
    return take_buffer(r, &b, rc, err);
}

/* normalizers/unicode.rs, do_nmt */
static void nmt(ce_runes *r, bool *beheaded) {
    size_t to = 0;
    for (size_t i = 0; i < r->count; i++) {
        int32_t c = r->at[i];
        bool gone = (c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) ||
                    c == 0x7f || c == 0x8f || c == 0x9f;
        bool space = c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 ||
                     (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 ||
                     c == 0x2581 || c == 0xfeff || c == 0xfffd;
        *beheaded |= gone && i == 0;
        if (!gone)
            r->at[to++] = space ? ' ' : c;
    }
    r->count = to;
}

static void strip(const ce_unigram_step *s, ce_runes *r, bool *beheaded) {
    size_t begin = 0, end = r->count;
    while (s->left && begin < end && is_space(r->at[begin]))
        begin++;
    while (s->right && end > begin && is_space(r->at[end - 1]))
        end--;
    *beheaded |= begin > 0;
    memmove(r->at, r->at + begin, (end - begin) * sizeof *r->at);
    r->count = end - begin;
}

static bool is_ascii_punctuation(int32_t rune) {
    return (rune > ' ' && rune < '0') || (rune > '9' && rune < 'A') ||
           (rune > 'Z' && rune < 'a') || (rune > 'z' && rune < 0x7f);
}

/* Length of what the step replaces at the head, 0: nothing. */
static size_t match(const ce_unigram_step *s, const int32_t *r, size_t n) {
    size_t size = 0;
    switch (s->kind) {
    case CE_STEP_DROP_PUNCTUATION:
        return is_ascii_punctuation(r[0]);
    case CE_STEP_REPLACE_SPACES:
        while (size < n && is_space(r[size]))
            size++;
        return size >= s->least ? size : 0;
    case CE_STEP_REPLACE_BLANKS:
        while (size < n && r[size] == ' ')
            size++;
        return size >= s->least ? size : 0;
    default:
        if (s->text_count > n || memcmp(r, s->text, s->text_count * sizeof *r) != 0)
            return 0;
        return s->text_count;
    }
}

static int replace(const ce_unigram_step *s, ce_runes *r, bool *beheaded, ce_error *err) {
    ce_text_buffer b;
    ce_text_buffer_init(&b);
    int rc = 0;
    for (size_t i = 0; i < r->count && rc == 0;) {
        size_t size = match(s, r->at + i, r->count - i);
        rc = size ? ce_text_buffer_put_runes(&b, s->into, s->into_count, err)
                  : ce_text_buffer_put_runes(&b, r->at + i, 1, err);
        *beheaded |= i == 0 && b.count == 0;
        i += size ? size : 1;
    }
    return take_buffer(r, &b, rc, err);
}

int ce_tokenizer_unigram_normalize(const ce_tokenizer_unigram *t, ce_runes *r,
                                   bool *beheaded, ce_error *err) {
    int rc = 0;
    for (size_t i = 0; i < t->step_count && rc == 0; i++) {
        const ce_unigram_step *s = &t->steps[i];
        if (s->kind == CE_STEP_CHARSMAP)
            rc = map_characters(&t->charsmap, r, err);
        else if (s->kind == CE_STEP_LOWER)
            rc = ce_runes_lower(r, false, err);
        else if (s->kind == CE_STEP_NFC)
            rc = ce_runes_nfc(r, err);
        else if (s->kind == CE_STEP_NMT)
            nmt(r, beheaded);
        else if (s->kind == CE_STEP_STRIP)
            strip(s, r, beheaded);
        else
            rc = replace(s, r, beheaded, err);
    }
    return rc;
}

/* ---- words ---- */

static int put_word(const ce_tokenizer_unigram *t, ce_ids *out, const int32_t *r, size_t n,
                    ce_error *err) {
    ce_text_buffer b;
    ce_text_buffer_init(&b);
    int rc = ce_text_buffer_put_runes(&b, r, n, err);
    if (rc == 0)
        rc = ce_tokenizer_unigram_put(t, out, b.at, b.count, 0, err);
    ce_text_buffer_free(&b);
    return rc;
}

/* Metaspace: spaces become its mark, which may be put in front, and begins a word. */
static int put_marked(const ce_tokenizer_unigram *t, ce_ids *out, const int32_t *r,
                      size_t n, bool first, ce_error *err) {
    int32_t *marked = malloc((n + 1) * sizeof *marked);
    size_t count = 0;
    int rc = 0;
    if (!marked)
        return ce_fail(err, CE_ENOMEM, "out of memory for a text of %zu characters", n);
    bool wanted =
        t->prepend == CE_PREPEND_ALWAYS || (t->prepend == CE_PREPEND_FIRST && first);
    if (wanted && r[0] != ' ' && r[0] != t->replacement)
        marked[count++] = t->replacement;
    for (size_t i = 0; i < n; i++)
        marked[count++] = r[i] == ' ' ? t->replacement : r[i];
    for (size_t i = 0, end; i < count && rc == 0 && !out->overflow; i = end) {
        end = i + 1;
        while (end < count && !(t->split_metaspace && marked[end] == t->replacement))
            end++;
        rc = put_word(t, out, marked + i, end - i, err);
    }
    free(marked);
    return rc;
}

static int put_words(const ce_tokenizer_unigram *t, ce_ids *out, const int32_t *r, size_t n,
                     bool first, ce_error *err) {
    int rc = 0;
    for (size_t i = 0, end; i < n && rc == 0 && !out->overflow; i = end) {
        end = i + 1;
        if (t->split_spaces && is_space(r[i]))
            continue;
        while (end < n && !(t->split_spaces && is_space(r[end])))
            end++;
        rc = t->metaspace ? put_marked(t, out, r + i, end - i, first && i == 0, err)
                          : put_word(t, out, r + i, end - i, err);
    }
    return rc;
}

static int put_raw(const ce_tokenizer_unigram *t, ce_ids *out, const int32_t *r, size_t n,
                   bool first, ce_error *err) {
    ce_runes piece;
    ce_added_match m;
    size_t from = 0;
    bool beheaded = false;
    ce_runes_init(&piece);
    int rc = ce_runes_copy(&piece, r, n, err);
    if (rc == 0)
        rc = ce_tokenizer_unigram_normalize(t, &piece, &beheaded, err);
    first &= !beheaded;
    while (rc == 0 && !out->overflow &&
           ce_added_tokens_find(&t->added, &m, piece.at, piece.count, from, true)) {
        rc = put_words(t, out, piece.at + from, m.begin - from, first && from == 0, err);
        ce_ids_put(out, m.token->id);
        from = m.end;
    }
    if (rc == 0)
        rc =
            put_words(t, out, piece.at + from, piece.count - from, first && from == 0, err);
    ce_runes_free(&piece);
    return rc;
}

int ce_tokenizer_unigram_encode(const ce_tokenizer *tok, ce_ids *out, const char *text,
                                size_t size, ce_error *err) {
    const ce_tokenizer_unigram *t = (const ce_tokenizer_unigram *)tok;
    ce_runes r;
    ce_added_match m;
    size_t from = 0;
    ce_runes_init(&r);
    int rc = ce_runes_decode(&r, text, size, err);
    while (rc == 0 && !out->overflow &&
           ce_added_tokens_find(&t->added, &m, r.at, r.count, from, false)) {
        rc = put_raw(t, out, r.at + from, m.begin - from, from == 0, err);
        ce_ids_put(out, m.token->id);
        from = m.end;
    }
    if (rc == 0 && !out->overflow)
        rc = put_raw(t, out, r.at + from, r.count - from, from == 0, err);
    ce_runes_free(&r);
    return rc;
}

/* ---- normalizer: as the file states it ---- */

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Size of what `text` holds, decoded in `to`; -1: it is no base64 (RFC 4648). */
static long base64(char *to, const char *text) {
    uint32_t bits = 0;
    int have = 0;
    long size = 0;
    for (; *text && *text != '='; text++) {
        int digit = base64_digit(*text);
        if (digit < 0)
            return -1;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            to[size++] = (char)(bits >> have & 0xff);
        }
    }
    return text[strspn(text, "=")] ? -1 : size;
}

static int read_charsmap(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                         const json_t *step, ce_error *err) {
    const char *text = json_string_value(json_object_get(step, "precompiled_charsmap"));
    if (!text || t->charsmap.count)
        return ce_tokenizer_files_refuse(f, "normalizer", step, err);
    char *bytes = malloc(strlen(text) + 1);
    if (!bytes)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", f->path);
    long size = base64(bytes, text);
    int rc = size < 0 ? ce_fail(err, CE_EFORMAT,
                                "%s: \"precompiled_charsmap\" is no base64", f->path)
                      : ce_charsmap_init(&t->charsmap, bytes, (size_t)size, f->path, err);
    free(bytes);
    return rc;
}

/* A character class like [!"#$...] of just ASCII's punctuation; ranges and escapes are
 * resolved. */
static bool is_punctuation_class(const char *pattern) {
    size_t n = strlen(pattern), members = 0;
    bool in[128] = {false};
    if (n < 3 || pattern[0] != '[' || pattern[1] == '^' || pattern[n - 1] != ']')
        return false;
    int last = -1;
    for (size_t i = 1; i < n - 1; i++) {
        bool range = pattern[i] == '-' && last >= 0 && i + 1 < n - 1;
        i += range;
        if (pattern[i] == '\\' && ++i >= n - 1)
            return false;
        int c = (unsigned char)pattern[i];
        if (!is_ascii_punctuation(c))
            return false;
        for (int k = range ? last : c; k <= c; k++)
            in[k] = true;
        last = range ? -1 : c;
    }
    for (int c = 0; c < 128; c++) {
        if (in[c] && !is_ascii_punctuation(c))
            return false;
        members += in[c];
    }
    return members == 32;
}

/* The few patterns that published files use. */
static bool read_pattern(ce_unigram_step *s, const char *pattern, const char *content) {
    static const struct {
        const char *pattern;
        ce_unigram_step_kind kind;
        size_t least;
    } known[] = {
        {"\\s+", CE_STEP_REPLACE_SPACES, 1},    {"\\s{2,}", CE_STEP_REPLACE_SPACES, 2},
        {" +", CE_STEP_REPLACE_BLANKS, 1},      {" {2,}", CE_STEP_REPLACE_BLANKS, 2},
        {"[ ]{2,}", CE_STEP_REPLACE_BLANKS, 2}, {"[ ]+", CE_STEP_REPLACE_BLANKS, 1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(pattern, known[i].pattern) == 0) {
            s->kind = known[i].kind;
            s->least = known[i].least;
            return true;
        }
    s->kind = CE_STEP_DROP_PUNCTUATION;
    return *content == '\0' && is_punctuation_class(pattern);
}

static int copy_runes(int32_t **to, size_t *count, const char *text, ce_error *err) {
    ce_runes r;
    ce_runes_init(&r);
    int rc = ce_runes_decode(&r, text, strlen(text), err);
    if (rc == 0 && !(*to = malloc((r.count + 1) * sizeof **to)))
        rc = ce_fail(err, CE_ENOMEM, "out of memory for a tokenizer");
    if (rc == 0)
        memcpy(*to, r.at, (*count = r.count) * sizeof **to);
    ce_runes_free(&r);
    return rc;
}

static int read_replace(ce_unigram_step *s, const ce_tokenizer_files *f, const json_t *step,
                        ce_error *err) {
    const json_t *pattern = json_object_get(step, "pattern");
    const char *content = json_string_value(json_object_get(step, "content"));
    const char *text = json_string_value(json_object_get(pattern, "String"));
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    s->kind = CE_STEP_REPLACE;
    if (!content || (text ? !*text : !regex || !read_pattern(s, regex, content)))
        return ce_tokenizer_files_refuse(f, "normalizer", step, err);
    int rc = copy_runes(&s->into, &s->into_count, content, err);
    return rc < 0 || !text ? rc : copy_runes(&s->text, &s->text_count, text, err);
}

static int read_step(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                     const json_t *step, ce_error *err) {
    static const struct {
        const char *type;
        ce_unigram_step_kind kind;
    } plain[] = {{"Lowercase", CE_STEP_LOWER}, {"NFC", CE_STEP_NFC}, {"Nmt", CE_STEP_NMT}};
    if (t->step_count == CE_UNIGRAM_STEPS)
        return ce_tokenizer_files_refuse(f, "normalizer (too many steps)", step, err);
    ce_unigram_step *s = &t->steps[t->step_count++];
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (ce_json_is_type(step, plain[i].type)) {
            s->kind = plain[i].kind;
            return 0;
        }
    if (ce_json_is_type(step, "Precompiled")) {
        s->kind = CE_STEP_CHARSMAP;
        return read_charsmap(t, f, step, err);
    }
    if (ce_json_is_type(step, "Replace"))
        return read_replace(s, f, step, err);
    if (!ce_json_is_type(step, "Strip"))
        return ce_tokenizer_files_refuse(f, "normalizer", step, err);
    *s = (ce_unigram_step){.kind = CE_STEP_STRIP, .left = true, .right = true};
    int rc = ce_json_bool(step, "strip_left", &s->left, f->path, err);
    return rc < 0 ? rc : ce_json_bool(step, "strip_right", &s->right, f->path, err);
}

static int read_normalizer(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                           ce_error *err) {
    const json_t *part = json_object_get(f->root, "normalizer");
    const json_t *steps = json_object_get(part, "normalizers");
    int rc = 0;
    if (!part || json_is_null(part))
        return 0;
    if (!ce_json_is_type(part, "Sequence"))
        return read_step(t, f, part, err);
    if (!json_is_array(steps))
        return ce_tokenizer_files_refuse(f, "normalizer", part, err);
    for (size_t i = 0; i < json_array_size(steps) && rc == 0; i++)
        rc = read_step(t, f, json_array_get(steps, i), err);
    return rc;
}

/* ---- pre_tokenizer ---- */

/* Files of before 2024 say "add_prefix_space" for "prepend_scheme". */
static int read_metaspace(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                          const json_t *part, ce_error *err) {
    static const char *const schemes[] = {"never", "first", "always"};
    const char *mark = "\xe2\x96\x81", *scheme = NULL;
    bool prefix = true;
    int32_t *runes = NULL;
    size_t count = 0;
    t->metaspace = t->split_metaspace = true;
    int rc = ce_json_string(part, "replacement", &mark, f->path, err);
    if (rc == 0)
        rc = ce_json_bool(part, "split", &t->split_metaspace, f->path, err);
    if (rc == 0)
        rc = ce_json_bool(part, "add_prefix_space", &prefix, f->path, err);
    if (rc == 0)
        rc = ce_json_string(part, "prepend_scheme", &scheme, f->path, err);
    if (rc == 0)
        rc = copy_runes(&runes, &count, mark, err);
    t->replacement = count == 1 ? runes[0] : -1;
    free(runes);
    int found = prefix ? CE_PREPEND_ALWAYS : CE_PREPEND_NEVER;
    for (int i = 0; scheme && i < 3; i++)
        if (strcmp(scheme, schemes[i]) == 0)
            found = i;
    t->prepend = (ce_prepend)found;
    bool known = !scheme || strcmp(scheme, schemes[found]) == 0;
    if (rc == 0 && (count != 1 || !known))
        rc = ce_tokenizer_files_refuse(f, "pre_tokenizer", part, err);
    return rc;
}

static int read_splitter(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                         const json_t *part, ce_error *err) {
    if (ce_json_is_type(part, "Metaspace") && !t->metaspace)
        return read_metaspace(t, f, part, err);
    if (!ce_json_is_type(part, "WhitespaceSplit") || t->metaspace)
        return ce_tokenizer_files_refuse(f, "pre_tokenizer", part, err);
    t->split_spaces = true;
    return 0;
}

int ce_tokenizer_unigram_read_pipeline(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                                       ce_error *err) {
    const json_t *part = json_object_get(f->root, "pre_tokenizer");
    const json_t *both = json_object_get(part, "pretokenizers");
    int rc = read_normalizer(t, f, err);
    if (rc < 0 || !part || json_is_null(part))
        return rc;
    if (!ce_json_is_type(part, "Sequence"))
        return read_splitter(t, f, part, err);
    if (!json_is_array(both))
        return ce_tokenizer_files_refuse(f, "pre_tokenizer", part, err);
    for (size_t i = 0; i < json_array_size(both) && rc == 0; i++)
        rc = read_splitter(t, f, json_array_get(both, i), err);
    return rc;
}

/* text -> [added tokens taken out] -> normalised -> words -> byte pairs
 *
 * Hugging Face: the CLIPTokenizer of transformers 5 on tokenizers 0.23 (added tokens in the
 * raw text, NFC, white space, lower case, more added tokens, Split, ByteLevel, BPE).
 * OpenAI and open_clip: simple_tokenizer.py and tokenizer.py (clean, lower case, a pattern
 * that ignores case and holds the special names, BPE). The pattern of both, after the
 * special names: 's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
 */
#include "tokenizer_bpe.h"

#include "repair.h"
#include "unicode.h"

#include <string.h>

/* Size of the marks at both ends of <|startoftext|>. */
#define BRACKET 2

/* Length of `name` at the head of the runes, 0 if it is not there. `long_s`: U+017F is an
 * s, as it is to a pattern that ignores case (no other lower-case rune is a variant of a
 * letter in the pattern). */
static size_t match(const int32_t *r, size_t n, const char *name, bool long_s) {
    size_t size = strlen(name);
    if (size > n)
        return 0;
    for (size_t i = 0; i < size; i++)
        if (r[i] != name[i] && !(long_s && name[i] == 's' && r[i] == 0x17f))
            return 0;
    return size;
}

static size_t match_contraction(const int32_t *r, size_t n, bool long_s) {
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    if (r[0] != '\'')
        return 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t size = match(r, n, endings[i], long_s);
        if (size)
            return size;
    }
    return 0;
}

/* Length of the next word; the head is not white space. */
static size_t next_word(const int32_t *r, size_t n, bool long_s) {
    size_t size = match_contraction(r, n, long_s);
    if (size)
        return size;
    ce_rune_class class = ce_rune_classify(r[0]);
    if (class == CE_RUNE_NUMBER)
        return 1;
    for (size = 1; size < n && ce_rune_classify(r[size]) == class;)
        size++;
    return size;
}

typedef struct special_names {
    const char *start, *end;
} special_names;

static special_names names_of(ce_text_style style) {
    if (style == CE_TEXT_OPEN_CLIP)
        return (special_names){"<start_of_text>", "<end_of_text>"};
    return (special_names){"<|startoftext|>", "<|endoftext|>"};
}

static size_t match_special(const ce_tokenizer_bpe *t, const int32_t *r, size_t n,
                            bool long_s) {
    if (r[0] != '<')
        return 0;
    special_names names = names_of(t->style);
    size_t size = match(r, n, names.start, long_s);
    return size ? size : match(r, n, names.end, long_s);
}

/* A special name that the Python pattern found is an id of its own, but with a long s it
 * is only a word. */
static int put_python_special(const ce_tokenizer_bpe *t, ce_ids *out, const int32_t *r,
                              size_t size, ce_error *err) {
    special_names names = names_of(t->style);
    if (match(r, size, names.start, false))
        ce_ids_put(out, t->base.start);
    else if (match(r, size, names.end, false))
        ce_ids_put(out, t->base.end);
    else
        return ce_bpe_encode_word(&t->bpe, out, r, size, err);
    return 0;
}

/* A special name that appeared by lower-casing only is a word to Split; GPT-2's pattern
 * takes it apart again: "<|", "startoftext", "|>". No other word has parts. */
static int put_split_special(const ce_tokenizer_bpe *t, ce_ids *out, const int32_t *r,
                             size_t size, ce_error *err) {
    if (!t->split_twice)
        return ce_bpe_encode_word(&t->bpe, out, r, size, err);
    int rc = ce_bpe_encode_word(&t->bpe, out, r, BRACKET, err);
    if (rc == 0)
        rc = ce_bpe_encode_word(&t->bpe, out, r + BRACKET, size - 2 * BRACKET, err);
    if (rc == 0)
        rc = ce_bpe_encode_word(&t->bpe, out, r + size - BRACKET, BRACKET, err);
    return rc;
}

static int put_words(const ce_tokenizer_bpe *t, ce_ids *out, const int32_t *r, size_t n,
                     ce_error *err) {
    bool python = t->style != CE_TEXT_HUGGING_FACE;
    bool specials = python || t->split_specials;
    int rc = 0;
    for (size_t i = 0, size; i < n && rc == 0 && !out->overflow; i += size) {
        size = 1;
        if (ce_rune_classify(r[i]) == CE_RUNE_SPACE)
            continue;
        size_t special = specials ? match_special(t, r + i, n - i, python) : 0;
        if (special) {
            size = special;
            rc = python ? put_python_special(t, out, r + i, size, err)
                        : put_split_special(t, out, r + i, size, err);
        } else {
            size = next_word(r + i, n - i, python);
            rc = ce_bpe_encode_word(&t->bpe, out, r + i, size, err);
        }
    }
    return rc;
}

/* basic_clean, whitespace_clean and lower. White space needs no cleaning: it only
 * separates words, and what Python's str.strip() takes besides (U+001C to U+001F) is gone
 * by then. */
static int clean_like_openai(ce_runes *r, ce_error *err) {
    int rc = ce_runes_fix_text(r, err);
    if (rc < 0)
        return rc;
    ce_runes_unescape_html(r);
    ce_runes_unescape_html(r);
    rc = ce_runes_lower(r, true, err);
    /* To a pattern that ignores case, U+0345 is a variant of iota, so that it is neither in
     * \p{L} nor in what is not \p{L}: Python's `regex` matches it nowhere. */
    for (size_t i = 0; i < r->count; i++)
        if (r->at[i] == 0x345)
            r->at[i] = ' ';
    return rc;
}

int ce_tokenizer_bpe_normalize(const ce_tokenizer_bpe *t, ce_runes *r, ce_error *err) {
    int rc = 0;
    for (size_t i = 0; i < t->step_count && rc == 0; i++) {
        if (t->steps[i] == CE_BPE_NFC)
            rc = ce_runes_nfc(r, err);
        else if (t->steps[i] == CE_BPE_LOWER)
            rc = ce_runes_lower(r, false, err);
        else
            ce_runes_squeeze(r);
    }
    return rc;
}

/* The longest added token at `at`. */
static const ce_bpe_added *added_at(const ce_tokenizer_bpe *t, const int32_t *r, size_t n,
                                    size_t at, bool normalized) {
    for (size_t i = 0; i < t->added_count; i++) {
        const ce_bpe_added *a = &t->added[i];
        if (a->normalized == normalized && a->runes[0] == r[at] && a->count <= n - at &&
            memcmp(a->runes, r + at, a->count * sizeof *r) == 0)
            return a;
    }
    return NULL;
}

static bool stands_alone(const ce_bpe_added *a, const int32_t *r, size_t n, size_t at) {
    size_t end = at + a->count;
    return (at == 0 || !ce_rune_is_word(r[at - 1])) &&
           (end == n || !ce_rune_is_word(r[end]));
}

/* The next added token from `*at` on, leftmost and longest; `*at` moves to it, or to n.
 * lstrip and rstrip need no code: the white space that they take only separates words. */
static const ce_bpe_added *find_added(const ce_tokenizer_bpe *t, const int32_t *r, size_t n,
                                      size_t *at, bool normalized) {
    while (*at < n) {
        const ce_bpe_added *a = added_at(t, r, n, *at, normalized);
        if (a && (!a->single_word || stands_alone(a, r, n, *at)))
            return a;
        *at += a ? a->count : 1;
    }
    return NULL;
}

typedef int put_text(const ce_tokenizer_bpe *t, ce_ids *out, const int32_t *r, size_t n,
                     ce_error *err);

/* Added tokens become their ids, and `put` gets the text between them. */
static int put_around_added(const ce_tokenizer_bpe *t, ce_ids *out, const int32_t *r,
                            size_t n, bool normalized, put_text *put, ce_error *err) {
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0 && !out->overflow;) {
        size_t at = i;
        const ce_bpe_added *a = find_added(t, r, n, &at, normalized);
        if (at > i)
            rc = put(t, out, r + i, at - i, err);
        if (a && rc == 0)
            ce_ids_put(out, a->id);
        i = at + (a ? a->count : 0);
    }
    return rc;
}

static int put_raw(const ce_tokenizer_bpe *t, ce_ids *out, const int32_t *r, size_t n,
                   ce_error *err) {
    ce_runes piece;
    ce_runes_init(&piece);
    int rc = ce_runes_copy(&piece, r, n, err);
    if (rc == 0)
        rc = ce_tokenizer_bpe_normalize(t, &piece, err);
    if (rc == 0)
        rc = put_around_added(t, out, piece.at, piece.count, true, put_words, err);
    ce_runes_free(&piece);
    return rc;
}

int ce_tokenizer_bpe_encode(const ce_tokenizer *tok, ce_ids *out, const char *text,
                            size_t size, ce_error *err) {
    const ce_tokenizer_bpe *t = (const ce_tokenizer_bpe *)tok;
    ce_runes r;
    ce_runes_init(&r);
    int rc = ce_runes_decode(&r, text, size, err);
    if (rc == 0 && t->style == CE_TEXT_HUGGING_FACE) {
        rc = put_around_added(t, out, r.at, r.count, false, put_raw, err);
    } else if (rc == 0) {
        rc = clean_like_openai(&r, err);
        if (rc == 0)
            rc = put_words(t, out, r.at, r.count, err);
    }
    ce_runes_free(&r);
    return rc;
}

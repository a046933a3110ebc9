/* text -> [added tokens taken out] -> normalised -> words -> longest known pieces
 *
 * The BertTokenizer of transformers 5 on tokenizers 0.23: BertNormalizer (clean, strip
 * accents, lower case), BertPreTokenizer (white space, punctuation), WordPiece (Wu et al.,
 * https://arxiv.org/abs/1609.08144; greedy, longest first).
 */
#include "tokenizer_wordpiece.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

typedef enum bert_class {
    BERT_OTHER,
    BERT_SPACE,
    BERT_CONTROL,
    BERT_MARK, /* Mn */
    BERT_PUNCTUATION
} bert_class;

typedef struct range {
    int32_t first, last;
} range;

static bool is_in(const range *ranges, size_t count, int32_t rune) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (rune > ranges[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < count && rune >= ranges[low].first;
}

#define IS_IN(ranges, rune) is_in(ranges, sizeof ranges / sizeof *ranges, rune)

/* The library's categories are those of Unicode 8 (crate unicode_categories): it takes no
 * younger rune for a control, a mark or punctuation. These ranges hold every such rune that
 * Unicode 15 calls one, and none that Unicode 8 does. */
static bool is_younger(int32_t rune) {
    static const range ranges[] = {
        {0x61d, 0x61d},     {0x7fd, 0x7fd},     {0x890, 0x8e2},     {0x9fd, 0x9fe},
        {0xa76, 0xa76},     {0xafa, 0xaff},     {0xb55, 0xb55},     {0xc04, 0xc3c},
        {0xc77, 0xc77},     {0xc84, 0xc84},     {0xd00, 0xd00},     {0xd3b, 0xd3c},
        {0xd81, 0xd81},     {0xeba, 0xeba},     {0xece, 0xece},     {0x180f, 0x1886},
        {0x1abf, 0x1ace},   {0x1b7d, 0x1b7e},   {0x1df6, 0x1dfb},   {0x2e43, 0x2e5d},
        {0xa82c, 0xa82c},   {0xa8c5, 0xa8c5},   {0xa8ff, 0xa8ff},   {0xa9bd, 0xa9bd},
        {0x10d24, 0x10f89}, {0x11070, 0x11074}, {0x110c2, 0x110cd}, {0x111cf, 0x111cf},
        {0x1123e, 0x11241}, {0x1133b, 0x1133b}, {0x11438, 0x1145e}, {0x11660, 0x1166c},
        {0x116b9, 0x116b9}, {0x1182f, 0x11fff}, {0x12ff1, 0x13455}, {0x16e97, 0x16f4f},
        {0x16fe2, 0x16fe4}, {0x1cf00, 0x1cf46}, {0x1e000, 0x1e4ef}, {0x1e944, 0x1e95f}};
    return IS_IN(ranges, rune);
}

/* Google's BERT, tokenization.py, _is_chinese_char; the library's 2B920 is a slip for
 * 2B820, and counts. */
static bool is_chinese(int32_t rune) {
    static const range ranges[] = {
        {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},  {0x20000, 0x2a6df},
        {0x2a700, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};
    return IS_IN(ranges, rune);
}

static bert_class classify_ascii(int32_t rune) {
    if (rune == ' ' || (rune >= 9 && rune <= 13))
        return BERT_SPACE;
    if (rune < ' ' || rune == 0x7f)
        return BERT_CONTROL;
    bool digit = rune >= '0' && rune <= '9';
    bool letter = (rune | 32) >= 'a' && (rune | 32) <= 'z';
    return digit || letter ? BERT_OTHER : BERT_PUNCTUATION;
}

static bert_class classify_category(int32_t rune) {
    switch (utf8proc_category(rune)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
        return BERT_CONTROL;
    case UTF8PROC_CATEGORY_MN:
        return BERT_MARK;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return BERT_PUNCTUATION;
    default:
        return BERT_OTHER;
    }
}

static bert_class classify(int32_t rune) {
    if (rune < 0x80)
        return classify_ascii(rune);
    if (ce_rune_classify(rune) == CE_RUNE_SPACE)
        return BERT_SPACE;
    switch (rune) { /* of another category in Unicode 8 than now */
    case 0x166d:
    case 0x111c9:
        return BERT_PUNCTUATION;
    case 0x1734:
        return BERT_MARK;
    default:
        return is_younger(rune) ? BERT_OTHER : classify_category(rune);
    }
}

/* ---- normalizer ---- */

/* Of the controls, three are white space; the rest goes, even where it separates lines. */
static void clean(ce_runes *r) {
    size_t to = 0;
    for (size_t i = 0; i < r->count; i++) {
        int32_t rune = r->at[i];
        bool control =
            rune < ' ' ? rune != '\t' && rune != '\n' && rune != '\r'
                       : rune == 0xfffd || rune == 0x85 || classify(rune) == BERT_CONTROL;
        if (!control)
            r->at[to++] = rune < ' ' ? ' ' : rune;
    }
    r->count = to;
}

/* A space on both sides of every Chinese character. */
static int space_chinese(ce_runes *r, ce_error *err) {
    size_t chinese = 0, n = 0;
    for (size_t i = 0; i < r->count; i++)
        chinese += is_chinese(r->at[i]);
    if (chinese == 0)
        return 0;
    int32_t *to = malloc((r->count + 2 * chinese) * sizeof *to);
    if (!to)
        return ce_fail(err, CE_ENOMEM, "out of memory for a text of %zu characters",
                       r->count);
    for (size_t i = 0; i < r->count; i++) {
        bool spaced = is_chinese(r->at[i]);
        if (spaced)
            to[n++] = ' ';
        to[n++] = r->at[i];
        if (spaced)
            to[n++] = ' ';
    }
    int rc = ce_runes_copy(r, to, n, err);
    free(to);
    return rc;
}

static void drop_marks(ce_runes *r) {
    size_t to = 0;
    for (size_t i = 0; i < r->count; i++)
        if (classify(r->at[i]) != BERT_MARK)
            r->at[to++] = r->at[i];
    r->count = to;
}

int ce_tokenizer_wordpiece_normalize(const ce_tokenizer_wordpiece *t, ce_runes *r,
                                     ce_error *err) {
    int rc = 0;
    if (t->clean)
        clean(r);
    if (t->split_chinese)
        rc = space_chinese(r, err);
    if (t->strip_accents && rc == 0) {
        rc = ce_runes_nfd(r, err);
        drop_marks(r);
    }
    if (t->lower_case && rc == 0)
        rc = ce_runes_lower(r, false, err);
    return rc;
}

/* ---- words ---- */

/* The end of the longest token that begins at `start`; start itself: there is none. */
static size_t longest_piece(const ce_tokenizer_wordpiece *t, const char *word,
                            const uint16_t *ends, size_t start, size_t n, int32_t *id) {
    const char *prefix = start ? t->prefix : "";
    ce_token_text head = {prefix, strlen(prefix)};
    size_t begin = start ? ends[start - 1] : 0;
    for (size_t end = n; end > start; end--) {
        size_t size = ends[end - 1] - begin;
        if (head.size + size > t->longest)
            continue;
        *id = ce_vocab_find_joined(&t->vocab, head, (ce_token_text){word + begin, size});
        if (*id >= 0 && *id < t->pieces)
            return end;
    }
    return start;
}

static void put_word(const ce_tokenizer_wordpiece *t, ce_ids *out, const int32_t *r,
                     size_t n) {
    char word[4 * CE_WORDPIECE_CHARS_MAX];
    uint16_t ends[CE_WORDPIECE_CHARS_MAX]; /* of every character, bytes */
    int32_t ids[CE_WORDPIECE_CHARS_MAX];
    size_t count = 0, size = 0;
    if (n > t->max_chars) {
        ce_ids_put(out, t->unknown);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        size += ce_rune_encode((unsigned char *)word + size, r[i]);
        ends[i] = (uint16_t)size;
    }
    for (size_t start = 0, end; start < n; start = end) {
        end = longest_piece(t, word, ends, start, n, &ids[count++]);
        if (end == start) { /* one unknown part makes the whole word unknown */
            ids[0] = t->unknown;
            count = 1;
            break;
        }
    }
    for (size_t i = 0; i < count; i++)
        ce_ids_put(out, ids[i]);
}

static void put_words(const ce_tokenizer_wordpiece *t, ce_ids *out, const int32_t *r,
                      size_t n) {
    for (size_t i = 0, end; i < n && !out->overflow; i = end) {
        bert_class class = classify(r[i]);
        end = i + 1;
        if (class == BERT_SPACE)
            continue;
        while (class != BERT_PUNCTUATION && end < n) {
            bert_class next = classify(r[end]);
            if (next == BERT_SPACE || next == BERT_PUNCTUATION)
                break;
            end++;
        }
        put_word(t, out, r + i, end - i);
    }
}

/* Normalised text: added tokens that are sought there, and words. */
static void put_normalized(const ce_tokenizer_wordpiece *t, ce_ids *out, const int32_t *r,
                           size_t n) {
    ce_added_match m;
    size_t from = 0;
    while (!out->overflow && ce_added_tokens_find(&t->added, &m, r, n, from, true)) {
        put_words(t, out, r + from, m.begin - from);
        ce_ids_put(out, m.token->id);
        from = m.end;
    }
    put_words(t, out, r + from, n - from);
}

static int put_raw(const ce_tokenizer_wordpiece *t, ce_ids *out, const int32_t *r, size_t n,
                   ce_error *err) {
    ce_runes piece;
    ce_runes_init(&piece);
    int rc = ce_runes_copy(&piece, r, n, err);
    if (rc == 0)
        rc = ce_tokenizer_wordpiece_normalize(t, &piece, err);
    if (rc == 0)
        put_normalized(t, out, piece.at, piece.count);
    ce_runes_free(&piece);
    return rc;
}

int ce_tokenizer_wordpiece_encode(const ce_tokenizer *tok, ce_ids *out, const char *text,
                                  size_t size, ce_error *err) {
    const ce_tokenizer_wordpiece *t = (const ce_tokenizer_wordpiece *)tok;
    ce_runes r;
    ce_added_match m;
    size_t from = 0;
    ce_runes_init(&r);
    int rc = ce_runes_decode(&r, text, size, err);
    while (rc == 0 && !out->overflow &&
           ce_added_tokens_find(&t->added, &m, r.at, r.count, from, false)) {
        rc = put_raw(t, out, r.at + from, m.begin - from, err);
        ce_ids_put(out, m.token->id);
        from = m.end;
    }
    if (rc == 0 && !out->overflow)
        rc = put_raw(t, out, r.at + from, r.count - from, err);
    ce_runes_free(&r);
    return rc;
}

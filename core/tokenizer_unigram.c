/* text -> canonical -> SentencePiece's normal form -> pieces
 *
 * SigLIP's tokenizer, the SiglipTokenizer of transformers 5 on SentencePiece 0.2: added
 * tokens are taken out of the raw text; what is between them loses case, ASCII punctuation
 * and spare white space, and is encoded with the unknown token's name before it, whose
 * tokens are dropped again. A tokenizer.json's own pipeline is in tokenizer_unigram_json.c.
 */
#include "tokenizer_unigram.h"

#include <stdlib.h>
#include <string.h>

/* A few characters become 18; what is longer than any such text is refused. */
#define NORMAL_MAX (2 * CE_TEXT_MAX)

/* ---- bytes ---- */

void ce_text_buffer_init(ce_text_buffer *b) {
    b->at = b->small;
    b->count = 0;
    b->capacity = sizeof b->small;
}

void ce_text_buffer_free(ce_text_buffer *b) {
    if (b->at != b->small)
        free(b->at);
    ce_text_buffer_init(b);
}

int ce_text_buffer_put(ce_text_buffer *b, const char *text, size_t size, ce_error *err) {
    if (size > b->capacity - b->count) {
        size_t capacity = 2 * (b->count + size);
        if (b->count + size > NORMAL_MAX)
            return ce_fail(err, CE_EINVAL, "a text is too long once it is normalised");
        char *grown = malloc(capacity);
        if (!grown)
            return ce_fail(err, CE_ENOMEM, "out of memory for a text of %zu bytes",
                           capacity);
        size_t count = b->count;
        memcpy(grown, b->at, count);
        ce_text_buffer_free(b);
        *b = (ce_text_buffer){.at = grown, .count = count, .capacity = capacity};
    }
    memcpy(b->at + b->count, text, size);
    b->count += size;
    return 0;
}

int ce_text_buffer_put_runes(ce_text_buffer *b, const int32_t *r, size_t n, ce_error *err) {
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        unsigned char bytes[4];
        rc = ce_text_buffer_put(b, (char *)bytes, ce_rune_encode(bytes, r[i]), err);
    }
    return rc;
}

static bool ends_with(const ce_text_buffer *b, const char *tail) {
    size_t size = strlen(tail);
    return b->count >= size && memcmp(b->at + b->count - size, tail, size) == 0;
}

/* ---- ids of normalised text ---- */

static int32_t id_of_name(const ce_tokenizer_unigram *t, const char *text, size_t size) {
    for (size_t i = 0; i < t->name_count; i++)
        if (t->names[i].size == size && memcmp(t->names[i].text, text, size) == 0)
            return t->names[i].id;
    return -1;
}

typedef struct sink {
    ce_ids *out;
    size_t skip;
} sink;

static void sink_put(sink *s, int32_t id) {
    if (s->skip)
        s->skip--;
    else
        ce_ids_put(s->out, id);
}

static size_t tokens_of(const ce_tokenizer_unigram *t, const ce_unigram_pieces *p) {
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++) {
        bool bytes = t->byte_fallback && p->at[i].id == t->model.unknown;
        count += bytes ? p->at[i].end - p->at[i].begin : 1;
    }
    return count;
}

static void put_unknown(const ce_tokenizer_unigram *t, sink *s, const char *text,
                        size_t size) {
    if (t->byte_fallback) {
        for (size_t i = 0; i < size; i++)
            sink_put(s, t->bytes[(unsigned char)text[i]]);
        return;
    }
    int32_t id = id_of_name(t, text, size);
    sink_put(s, id < 0 ? t->model.unknown : id);
}

int ce_tokenizer_unigram_put(const ce_tokenizer_unigram *t, ce_ids *out, const char *text,
                             size_t size, size_t skip, ce_error *err) {
    ce_unigram_pieces p;
    int rc = ce_unigram_cut(&t->model, &p, text, size, err);
    if (rc < 0)
        return rc;
    sink s = {out, tokens_of(t, &p) >= skip ? skip : 0};
    for (size_t i = 0; i < p.count && !out->overflow; i++) {
        ce_unigram_piece *a = &p.at[i];
        if (a->id == t->model.unknown)
            put_unknown(t, &s, text + a->begin, a->end - a->begin);
        else
            sink_put(&s, a->id);
    }
    ce_unigram_pieces_free(&p);
    return 0;
}

/* ---- SentencePiece's normalizer (normalizer.cc) ---- */

/* Length of the longest user-defined piece at the head, 0: none. */
static size_t user_defined_at(const ce_tokenizer_unigram *t, const char *text, size_t n) {
    size_t length = 0;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        node = ce_trie_step(&t->user_defined, node, text[i]);
        if (!node)
            break;
        if (t->user_defined.values[node] >= 0)
            length = i + 1;
    }
    return length;
}

/* What the head of the text becomes, and how many of its bytes that is. */
static ce_token_text normal_head(const ce_tokenizer_unigram *t, const char *text, size_t n,
                                 size_t *used) {
    if ((*used = user_defined_at(t, text, n)))
        return (ce_token_text){text, *used};
    const char *to = ce_charsmap_longest(&t->charsmap, text, n, used);
    if (to)
        return (ce_token_text){to, strlen(to)};
    *used = 1;
    while (*used < n && ((unsigned char)text[*used] & 0xc0) == 0x80)
        ++*used;
    return (ce_token_text){text, *used};
}

static int put_space(const ce_tokenizer_unigram *t, ce_text_buffer *b, ce_error *err) {
    const char *space = t->escape_whitespaces ? "\xe2\x96\x81" : " ";
    return ce_text_buffer_put(b, space, strlen(space), err);
}

/* Spaces at the head of `part` go where one stands before it. */
static int put_part(const ce_tokenizer_unigram *t, ce_text_buffer *b, ce_token_text part,
                    bool *in_space, ce_error *err) {
    while (*in_space && part.size > 0 && *part.at == ' ') {
        part.at++;
        part.size--;
    }
    if (part.size == 0)
        return 0;
    *in_space = t->remove_extra_whitespaces && part.at[part.size - 1] == ' ';
    if (!memchr(part.at, ' ', part.size))
        return ce_text_buffer_put(b, part.at, part.size, err);
    int rc = 0;
    for (size_t i = 0; i < part.size && rc == 0; i++)
        rc = part.at[i] == ' ' ? put_space(t, b, err)
                               : ce_text_buffer_put(b, part.at + i, 1, err);
    return rc;
}

static int normalize(const ce_tokenizer_unigram *t, ce_text_buffer *b, const char *text,
                     size_t n, ce_error *err) {
    size_t at = 0, used;
    int rc = 0;
    bool in_space = t->remove_extra_whitespaces;
    for (; in_space && at < n; at += used) {
        ce_token_text head = normal_head(t, text + at, n - at, &used);
        if (head.size != 1 || *head.at != ' ')
            break;
    }
    if (at == n)
        return 0;
    if (t->add_dummy_prefix && !t->whitespace_as_suffix)
        rc = put_space(t, b, err);
    for (; at < n && rc == 0; at += used) {
        ce_token_text head = normal_head(t, text + at, n - at, &used);
        rc = put_part(t, b, head, &in_space, err);
    }
    const char *space = t->escape_whitespaces ? "\xe2\x96\x81" : " ";
    while (t->remove_extra_whitespaces && ends_with(b, space))
        b->count -= strlen(space);
    if (t->add_dummy_prefix && t->whitespace_as_suffix && rc == 0)
        rc = put_space(t, b, err);
    return rc;
}

/* ---- SiglipTokenizer ---- */

/* Python's \s, which has U+001C to U+001F beyond White_Space. */
static bool is_python_space(int32_t rune) {
    return (rune >= 0x1c && rune <= 0x1f) || ce_rune_classify(rune) == CE_RUNE_SPACE;
}

/* string.punctuation */
static bool is_ascii_punctuation(int32_t rune) {
    return (rune > ' ' && rune < '0') || (rune > '9' && rune < 'A') ||
           (rune > 'Z' && rune < 'a') || (rune > 'z' && rune < 0x7f);
}

/* canonicalize_text: lower case, no ASCII punctuation, single spaces, none at the ends. */
static int canonicalize(const ce_tokenizer_unigram *t, ce_runes *r, ce_error *err) {
    int rc = t->lower_case ? ce_runes_lower(r, true, err) : 0;
    size_t to = 0;
    for (size_t i = 0; i < r->count && rc == 0; i++) {
        int32_t rune = is_python_space(r->at[i]) ? ' ' : r->at[i];
        if (!is_ascii_punctuation(rune) && (rune != ' ' || (to && r->at[to - 1] != ' ')))
            r->at[to++] = rune;
    }
    r->count = to && r->at[to - 1] == ' ' ? to - 1 : to;
    return rc;
}

/* One text behind the lead. */
static int put_canonical(const ce_tokenizer_unigram *t, ce_ids *out, const ce_runes *r,
                         size_t skip, ce_error *err) {
    ce_text_buffer raw, normal;
    ce_text_buffer_init(&raw);
    ce_text_buffer_init(&normal);
    int rc = ce_text_buffer_put(&raw, t->lead, strlen(t->lead), err);
    if (rc == 0)
        rc = ce_text_buffer_put_runes(&raw, r->at, r->count, err);
    if (rc == 0)
        rc = normalize(t, &normal, raw.at, raw.count, err);
    if (rc == 0)
        rc = ce_tokenizer_unigram_put(t, out, normal.at, normal.count, skip, err);
    ce_text_buffer_free(&raw);
    ce_text_buffer_free(&normal);
    return rc;
}

static int put_part_of_text(const ce_tokenizer_unigram *t, ce_ids *out, const int32_t *at,
                            size_t n, ce_error *err) {
    ce_runes r;
    ce_runes_init(&r);
    int rc = n ? ce_runes_copy(&r, at, n, err) : 0;
    if (rc == 0 && n)
        rc = canonicalize(t, &r, err);
    if (rc == 0 && n)
        rc = put_canonical(t, out, &r, t->lead_count, err);
    ce_runes_free(&r);
    return rc;
}

/* U+2581 before the text, and none inside. */
static int underline(ce_runes *r, const char *text, size_t size, ce_error *err) {
    ce_runes raw;
    ce_runes_init(&raw);
    int rc = ce_runes_decode(&raw, text, size, err);
    int32_t *to = rc == 0 ? malloc((raw.count + 1) * sizeof *to) : NULL;
    if (rc == 0 && !to)
        rc = ce_fail(err, CE_ENOMEM, "out of memory for a text of %zu bytes", size);
    if (rc == 0) {
        to[0] = CE_UNDERLINE;
        for (size_t i = 0; i < raw.count; i++)
            to[i + 1] = raw.at[i] == CE_UNDERLINE ? ' ' : raw.at[i];
        rc = ce_runes_copy(r, to, raw.count + 1, err);
    }
    free(to);
    ce_runes_free(&raw);
    return rc;
}

int ce_tokenizer_siglip_encode(const ce_tokenizer *tok, ce_ids *out, const char *text,
                               size_t size, ce_error *err) {
    const ce_tokenizer_unigram *t = (const ce_tokenizer_unigram *)tok;
    ce_runes r;
    ce_added_match m;
    size_t from = 0;
    ce_runes_init(&r);
    int rc = underline(&r, text, size, err);
    while (rc == 0 && !out->overflow &&
           ce_added_tokens_find(&t->added, &m, r.at, r.count, from, false)) {
        rc = put_part_of_text(t, out, r.at + from, m.begin - from, err);
        /* The one token in front of a special token is not the text's own. */
        if (from == 0 && m.token->special && out->count == 1 && out->at[0] == t->underline)
            out->count = 0;
        ce_ids_put(out, m.token->id);
        from = m.end;
    }
    if (rc == 0 && !out->overflow)
        rc = put_part_of_text(t, out, r.at + from, r.count - from, err);
    ce_runes_free(&r);
    return rc;
}

int ce_tokenizer_siglip_count_lead(ce_tokenizer_unigram *t, ce_error *err) {
    ce_runes empty;
    ce_runes_init(&empty);
    size_t room = 64 * (strlen(t->lead) + 1);
    int32_t *ids = malloc(room * sizeof *ids);
    if (!ids)
        return ce_fail(err, CE_ENOMEM, "out of memory for a tokenizer");
    ce_ids counted = {.at = ids, .limit = room};
    int rc = put_canonical(t, &counted, &empty, 0, err);
    t->lead_count = counted.count;
    free(ids);
    return rc;
}

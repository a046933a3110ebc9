#include "tokenizer_internal.h"

#include "unicode.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ce_tokenizer_open(ce_tokenizer **out, const char *dir, ce_tokenizer_kind kind,
                      ce_text_style style, ce_error *err) {
    switch (kind) {
    case CE_TOKENIZER_WORDPIECE:
        return ce_tokenizer_open_wordpiece(out, dir, err);
    case CE_TOKENIZER_UNIGRAM:
        return ce_tokenizer_open_unigram(out, dir, err);
    default:
        return ce_tokenizer_open_bpe(out, dir, style, err);
    }
}

void ce_tokenizer_free(ce_tokenizer *tok) {
    if (tok)
        tok->free(tok);
}

void ce_tokenizer_wrap(ce_tokenizer *tok, ce_clean clean, bool blank_end) {
    size_t used = strlen(tok->description);
    tok->clean = clean;
    tok->blank_end = blank_end;
    if (clean != CE_CLEAN_NONE)
        snprintf(tok->description + used, sizeof tok->description - used,
                 "; texts cleaned by open_clip before (%s)", ce_clean_describe(clean));
}

/* Hands the cleaned text to the family. */
static int encode_cleaned(const ce_tokenizer *tok, ce_ids *out, const char *text,
                          size_t size, ce_error *err) {
    ce_runes r;
    ce_runes_init(&r);
    unsigned char *cleaned = NULL;
    int rc = ce_runes_decode(&r, text, size, err);
    if (rc == 0)
        rc = ce_clean_runes(&r, tok->clean, err);
    if (rc == 0 && !(cleaned = malloc(4 * r.count + 1)))
        rc = ce_fail(err, CE_ENOMEM, "out of memory");
    size = 0;
    for (size_t i = 0; rc == 0 && i < r.count; i++)
        size += ce_rune_encode(cleaned + size, r.at[i]);
    if (rc == 0)
        rc = tok->encode(tok, out, (const char *)cleaned, size, err);
    free(cleaned);
    ce_runes_free(&r);
    return rc;
}

int ce_tokenizer_encode(const ce_tokenizer *tok, int32_t *ids, int context, ce_tokens *out,
                        const char *text, size_t size, ce_error *err) {
    if (context < 2)
        return ce_fail(err, CE_EINVAL, "a context of %d tokens has no room for a text",
                       context);
    size_t before = tok->start >= 0, after = tok->end >= 0;
    ce_ids body = {.at = ids + before, .limit = (size_t)context - before - after};
    int rc = tok->clean == CE_CLEAN_NONE ? tok->encode(tok, &body, text, size, err)
                                         : encode_cleaned(tok, &body, text, size, err);
    if (rc < 0)
        return rc;
    size_t count = before + body.count;
    if (tok->end_once && body.count && body.at[body.count - 1] == tok->end)
        after = 0;
    if (before)
        ids[0] = tok->start;
    if (after)
        ids[count++] = tok->end;
    for (size_t i = count; i < (size_t)context; i++)
        ids[i] = tok->pad;
    for (size_t i = 0; tok->blank_end && i < (size_t)context; i++)
        ids[i] = ids[i] == tok->end ? 0 : ids[i];
    *out = (ce_tokens){.count = (int)count, .truncated = body.overflow};
    return 0;
}

int ce_tokenizer_vocab_size(const ce_tokenizer *tok) {
    return tok->vocab_size;
}

int ce_tokenizer_end_of_text(const ce_tokenizer *tok) {
    return tok->end;
}

int ce_tokenizer_pad(const ce_tokenizer *tok) {
    return tok->pad;
}

ce_tokenizer_kind ce_tokenizer_kind_of(const ce_tokenizer *tok) {
    return tok->kind;
}

const char *ce_tokenizer_kind_name(ce_tokenizer_kind kind) {
    switch (kind) {
    case CE_TOKENIZER_WORDPIECE:
        return "WordPiece";
    case CE_TOKENIZER_UNIGRAM:
        return "SentencePiece unigram";
    default:
        return "byte-level BPE";
    }
}

const char *ce_tokenizer_describe(const ce_tokenizer *tok) {
    return tok->description;
}

const char *ce_tokenizer_source(const ce_tokenizer *tok) {
    return tok->source;
}

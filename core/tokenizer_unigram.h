/* SentencePiece tokens between their files (tokenizer_unigram_open.c, _json.c) and a text
 * (tokenizer_unigram.c). */
#ifndef CE_TOKENIZER_UNIGRAM_H
#define CE_TOKENIZER_UNIGRAM_H

#include "added_tokens.h"
#include "charsmap.h"
#include "tokenizer_files.h"
#include "tokenizer_internal.h"
#include "unicode.h"
#include "unigram.h"

/* Steps of a tokenizer.json's normalizer. */
typedef enum ce_unigram_step_kind {
    CE_STEP_CHARSMAP,
    CE_STEP_LOWER,
    CE_STEP_NFC,
    CE_STEP_NMT,
    CE_STEP_STRIP,           /* left, right */
    CE_STEP_REPLACE,         /* text -> into */
    CE_STEP_REPLACE_SPACES,  /* runs of at least `least` white space -> into */
    CE_STEP_REPLACE_BLANKS,  /* the same of U+0020 alone */
    CE_STEP_DROP_PUNCTUATION /* ASCII's */
} ce_unigram_step_kind;

typedef struct ce_unigram_step {
    ce_unigram_step_kind kind;
    bool left, right;
    size_t least;
    int32_t *text, *into; /* owned */
    size_t text_count, into_count;
} ce_unigram_step;

#define CE_UNIGRAM_STEPS 16

typedef enum ce_prepend {
    CE_PREPEND_NEVER,
    CE_PREPEND_FIRST,
    CE_PREPEND_ALWAYS
} ce_prepend;

/* A name that stands for an id though it is no piece of a text: a control piece, an added
 * token. Only a run of unknown characters can spell one. */
typedef struct ce_unigram_name {
    char *text;
    size_t size;
    int32_t id;
} ce_unigram_name;

typedef struct ce_tokenizer_unigram {
    ce_tokenizer base;
    ce_unigram model;
    ce_charsmap charsmap;
    ce_added_tokens added;
    ce_unigram_name *names; /* [name_count] */
    size_t name_count;
    int32_t bytes[256]; /* of byte_fallback */
    bool byte_fallback;
    /* Of a spiece.model, as SiglipTokenizer uses it: */
    ce_trie user_defined; /* found before anything is normalised */
    bool lower_case;
    bool whitespace_as_suffix, add_dummy_prefix, remove_extra_whitespaces;
    bool escape_whitespaces;
    char *lead;        /* the unknown token's name, which leads every text ... */
    size_t lead_count; /* ... and so many tokens of it are dropped again */
    int32_t underline; /* id of a lone U+2581; -1: none */
    /* Of a tokenizer.json: */
    ce_unigram_step steps[CE_UNIGRAM_STEPS];
    size_t step_count;
    bool split_spaces, metaspace, split_metaspace;
    ce_prepend prepend;
    int32_t replacement; /* metaspace's rune for a space */
} ce_tokenizer_unigram;

#define CE_UNDERLINE 0x2581

/* ce_tokenizer.encode for a spiece.model, and for a tokenizer.json. */
int ce_tokenizer_siglip_encode(const ce_tokenizer *tok, ce_ids *out, const char *text,
                               size_t size, ce_error *err);
int ce_tokenizer_unigram_encode(const ce_tokenizer *tok, ce_ids *out, const char *text,
                                size_t size, ce_error *err);

/* Cuts `lead` as every text will be, to know how many tokens it makes. */
int ce_tokenizer_siglip_count_lead(ce_tokenizer_unigram *t, ce_error *err);

/* The ids of a normalised text. `skip` of them are left out, unless there are fewer. */
int ce_tokenizer_unigram_put(const ce_tokenizer_unigram *t, ce_ids *out, const char *text,
                             size_t size, size_t skip, ce_error *err);

/* The normalizer of a tokenizer.json, in place; `*beheaded` becomes true where the first
 * character went without trace. */
int ce_tokenizer_unigram_normalize(const ce_tokenizer_unigram *t, ce_runes *r,
                                   bool *beheaded, ce_error *err);
/* What a tokenizer.json says beyond the vocabulary. */
int ce_tokenizer_unigram_read_pipeline(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                                       ce_error *err);

/* A text in bytes that grows. */
typedef struct ce_text_buffer {
    char *at;
    size_t count, capacity;
    char small[1024];
} ce_text_buffer;

void ce_text_buffer_init(ce_text_buffer *b);
void ce_text_buffer_free(ce_text_buffer *b);
int ce_text_buffer_put(ce_text_buffer *b, const char *text, size_t size, ce_error *err);
int ce_text_buffer_put_runes(ce_text_buffer *b, const int32_t *r, size_t n, ce_error *err);

#endif

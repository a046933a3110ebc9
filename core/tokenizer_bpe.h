/* CLIP's tokenizer between its files (tokenizer_bpe_open.c, tokenizer_bpe_hf.c) and a text
 * (tokenizer_bpe.c). */
#ifndef CE_TOKENIZER_BPE_H
#define CE_TOKENIZER_BPE_H

#include "bpe.h"
#include "json.h"
#include "json_table.h"
#include "tokenizer_internal.h"
#include "unicode.h"

/* Steps of a Hugging Face normalizer. */
typedef enum ce_bpe_step { CE_BPE_NFC, CE_BPE_SQUEEZE, CE_BPE_LOWER } ce_bpe_step;
#define CE_BPE_STEPS 8

/* A token that is found in the text before it is split into words. */
typedef struct ce_bpe_added {
    int32_t *runes;
    size_t count;
    int32_t id;
    bool normalized;  /* sought in the normalised text, not in the raw one */
    bool single_word; /* not inside a longer word */
} ce_bpe_added;

typedef struct ce_tokenizer_bpe {
    ce_tokenizer base;
    ce_bpe bpe;
    ce_text_style style;
    /* What follows is Hugging Face's. */
    ce_bpe_step steps[CE_BPE_STEPS];
    size_t step_count;
    bool split_specials; /* the pattern for words has the two special names */
    bool split_twice;    /* ByteLevel splits the words again, by GPT-2's pattern */
    ce_bpe_added *added; /* [added_count], longest first */
    size_t added_count;
} ce_tokenizer_bpe;

/* Encodes one text; ce_tokenizer.encode of this family. */
int ce_tokenizer_bpe_encode(const ce_tokenizer *tok, ce_ids *out, const char *text,
                            size_t size, ce_error *err);
/* The normalizer's steps, in place. */
int ce_tokenizer_bpe_normalize(const ce_tokenizer_bpe *t, ce_runes *r, ce_error *err);

/* An added token as a file states it. */
typedef struct ce_bpe_stated {
    const char *text; /* borrowed from the JSON */
    int64_t id;       /* -1: the vocabulary says */
    bool normalized, single_word;
} ce_bpe_stated;

#define CE_BPE_PATH 4096

/* Everything that lives only while a tokenizer is opened. */
typedef struct ce_bpe_files {
    const char *dir;
    char path[CE_BPE_PATH]; /* tokenizer.json or vocab.json, or what stands for them */
    char *text;             /* what `path` holds; NULL: built in */
    ce_json_table table;    /* its tokens, and for a tokenizer.json its merges */
    json_t *root;           /* all else in a tokenizer.json; NULL: there is none */
    const json_t *model;    /* tokenizer.json's "model"; NULL: there is none */
    json_t *config, *map, *named; /* tokenizer_config.json, special_tokens_map.json,
                                     added_tokens.json; NULL: not there */
    char config_path[CE_BPE_PATH], map_path[CE_BPE_PATH], named_path[CE_BPE_PATH];
    ce_bpe_stated *added; /* [added_count] */
    size_t added_count;
    json_t *stated;                          /* their texts, to find them by */
    const char *start, *end, *pad, *unknown; /* tokens; NULL: not said */
} ce_bpe_files;

/* "dir/name" into path; CE_EINVAL where it is too long. */
int ce_bpe_path(char path[CE_BPE_PATH], const char *dir, const char *name, ce_error *err);
/* What Hugging Face's files say beyond vocabulary and merges: the pipeline goes to `t`,
 * the rest to `f`. */
int ce_bpe_read_hugging_face(ce_tokenizer_bpe *t, ce_bpe_files *f, ce_error *err);
/* The list of added tokens of a tokenizer.json. */
int ce_bpe_read_added(ce_bpe_files *f, ce_error *err);

#endif

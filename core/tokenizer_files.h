/* What a Hugging Face directory says of a tokenizer, as WordPiece and unigram read it; the
 * precedence is that of transformers 5 (tokenization_utils_base.py, _from_pretrained).
 *
 *     ce_tokenizer_files f;
 *     ce_tokenizer_files_begin(&f, "model/", &err);     // reads the small files
 *     if (ce_tokenizer_files_choose(&f, "tokenizer.json", &err) > 0)
 *         ce_tokenizer_files_load_json(&f, "WordPiece", &err);
 *     ce_tokenizer_files_special(&f, "cls_token", &name, &err);
 *     ce_tokenizer_files_added(&f, true, &err);
 *     ce_tokenizer_files_end(&f);                       // also after an error
 */
#ifndef CE_TOKENIZER_FILES_H
#define CE_TOKENIZER_FILES_H

#include "added_tokens.h"
#include "json.h"
#include "json_table.h"
#include "vocab.h"

#define CE_TOKENIZER_PATH 4096

/* An added token as a file states it. */
typedef struct ce_stated_token {
    const char *text; /* borrowed from the JSON */
    int64_t id;       /* -1: the vocabulary says */
    bool normalized, single_word, lstrip, rstrip;
    bool special; /* a key for special tokens names it */
} ce_stated_token;

typedef struct ce_tokenizer_files {
    const char *dir;
    char path[CE_TOKENIZER_PATH]; /* the file that was chosen */
    char *text;                   /* what it holds */
    size_t size;
    ce_json_table table; /* the vocabulary of a tokenizer.json */
    json_t *root;        /* all else in it; NULL: there is none */
    const json_t *model;
    json_t *config, *map, *named; /* tokenizer_config.json, special_tokens_map.json,
                                     added_tokens.json; NULL: not there */
    char config_path[CE_TOKENIZER_PATH], map_path[CE_TOKENIZER_PATH];
    char named_path[CE_TOKENIZER_PATH];
    ce_stated_token *added; /* [added_count] */
    size_t added_count;
    json_t *stated; /* their texts -> whether special: a repeat costs no search */
} ce_tokenizer_files;

int ce_tokenizer_files_begin(ce_tokenizer_files *f, const char *dir, ce_error *err);
void ce_tokenizer_files_end(ce_tokenizer_files *f);

/* Makes dir/name the file that `path` names; 1: it is there, 0: it is not. */
int ce_tokenizer_files_choose(ce_tokenizer_files *f, const char *name, ce_error *err);
/* Reads all of it into `text`. */
int ce_tokenizer_files_read(ce_tokenizer_files *f, ce_error *err);
/* Reads it as a tokenizer.json whose model is of `type` (another is CE_EUNSUPPORTED). */
int ce_tokenizer_files_load_json(ce_tokenizer_files *f, const char *type, ce_error *err);

/* The class that tokenizer_config.json names, without "Fast"; "" where it names none. */
bool ce_tokenizer_files_is_class(const ce_tokenizer_files *f, const char *name);

/* A special token by its key; `*name` stays where no file says. */
int ce_tokenizer_files_special(const ce_tokenizer_files *f, const char *key,
                               const char **name, ce_error *err);

/* Fills `added`: the lists of tokenizer.json (where `own_list`), tokenizer_config.json and
 * added_tokens.json, and the special tokens that are in none of these. */
int ce_tokenizer_files_added(ce_tokenizer_files *f, bool own_list, ce_error *err);
/* One more special token, unless it is there. */
int ce_tokenizer_files_state(ce_tokenizer_files *f, const char *text, ce_error *err);

/* ce_tokenizer_check_settings, of what has been read by now. */
int ce_tokenizer_files_check_config(const ce_tokenizer_files *f, ce_error *err);

/* The bytes of all added tokens, to make a vocabulary large enough. */
size_t ce_tokenizer_files_added_bytes(const ce_tokenizer_files *f);
/* Settles the ids of the added tokens: the vocabulary's, or the next ones from `*count` on
 * (they are put into it). CE_EFORMAT: a file states another id. */
int ce_tokenizer_files_number(ce_tokenizer_files *f, ce_vocab *v, size_t *count,
                              ce_error *err);

/* What tokenizer.json's post_processor puts around one text. */
typedef struct ce_tokenizer_frame {
    const char *start, *end;  /* NULL: nothing */
    int64_t start_id, end_id; /* what it takes for their ids; -1: nothing */
} ce_tokenizer_frame;

int ce_tokenizer_files_frame(const ce_tokenizer_files *f, ce_tokenizer_frame *frame,
                             ce_error *err);
/* CE_EFORMAT: the frame's ids are not the vocabulary's. */
int ce_tokenizer_files_check_frame(const ce_tokenizer_files *f,
                                   const ce_tokenizer_frame *frame, int32_t start,
                                   int32_t end, ce_error *err);
/* The id of a token that must be there. */
int ce_tokenizer_files_id(const ce_tokenizer_files *f, const ce_vocab *v, int32_t *id,
                          const char *name, const char *what, ce_error *err);

int ce_tokenizer_files_refuse(const ce_tokenizer_files *f, const char *part,
                              const json_t *what, ce_error *err);
bool ce_json_is_type(const json_t *part, const char *type);    /* {"type": TYPE} */
bool ce_json_is_text(const json_t *value, const char *wanted); /* the string `wanted` */

#endif

/* UTF-8 text -> token ids, as the library that owns the checkpoint's format does it.
 * One file a family: tokenizer_bpe.c (CLIP's byte-level BPE), tokenizer_wordpiece.c (BERT,
 * Chinese-CLIP), tokenizer_unigram.c (SentencePiece, SigLIP).
 *
 *     ce_tokenizer *tok;
 *     ce_tokenizer_open(&tok, "model/", CE_TOKENIZER_BPE, CE_TEXT_HUGGING_FACE, &err);
 *     int32_t ids[77];
 *     ce_tokens t;
 *     ce_tokenizer_encode(tok, ids, 77, &t, text, strlen(text), &err);
 *     ce_tokenizer_free(tok);
 */
#ifndef CE_TOKENIZER_H
#define CE_TOKENIZER_H

#include "clean.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ce_tokenizer ce_tokenizer;

typedef enum ce_tokenizer_kind {
    CE_TOKENIZER_BPE,
    CE_TOKENIZER_WORDPIECE,
    CE_TOKENIZER_UNIGRAM
} ce_tokenizer_kind;

/* Whose text cleaning and special-token names apply. */
typedef enum ce_text_style {
    CE_TEXT_HUGGING_FACE, /* transformers' CLIPTokenizer(Fast): NFC, white space, lower */
    CE_TEXT_OPEN_CLIP,    /* open_clip's SimpleTokenizer: <start_of_text>, <end_of_text> */
    CE_TEXT_OPENAI        /* OpenAI's: <|startoftext|>, <|endoftext|> */
} ce_text_style;

typedef struct ce_tokens {
    int count;      /* real tokens: start, text, end; at most the context length */
    bool truncated; /* the text was longer: its first context-1 ids, then end of text */
} ce_tokens;

/* Opens the tokenizer of a family; `style` matters to BPE only. A tokenizer.json in `dir`
 * whose model is another family's is CE_EUNSUPPORTED, one line that says so. */
int ce_tokenizer_open(ce_tokenizer **out, const char *dir, ce_tokenizer_kind kind,
                      ce_text_style style, ce_error *err);

/* What open_clip puts around a tokenizer of transformers: texts are cleaned before
 * (clean.h); with `blank_end` the end token's id becomes 0 (its strip_sep_token). Before
 * the first text. */
void ce_tokenizer_wrap(ce_tokenizer *tok, ce_clean clean, bool blank_end);

/* Opens the BPE tokenizer of the checkpoint directory `dir`: tokenizer.json, or
 * vocab.json + merges.txt, else (or with `dir` NULL) CLIP's own merges, which are built
 * in. CE_EFORMAT: a file is broken or contradicts itself (an id twice, a gap, a merge of
 * unknown tokens, a merge whose result has no id). CE_EUNSUPPORTED: a tokenizer.json of
 * another kind (says which part). */
int ce_tokenizer_open_bpe(ce_tokenizer **out, const char *dir, ce_text_style style,
                          ce_error *err);
/* Opens BERT's WordPiece tokenizer: tokenizer.json, else vocab.txt, both with
 * tokenizer_config.json and special_tokens_map.json, as transformers' BertTokenizer does.
 * Errors as above; neither file: CE_EIO. */
int ce_tokenizer_open_wordpiece(ce_tokenizer **out, const char *dir, ce_error *err);
/* Opens SigLIP's SentencePiece unigram tokenizer: spiece.model (as transformers'
 * SiglipTokenizer does) or tokenizer.json, with tokenizer_config.json. Errors as above;
 * neither file: CE_EIO. */
int ce_tokenizer_open_unigram(ce_tokenizer **out, const char *dir, ce_error *err);
void ce_tokenizer_free(ce_tokenizer *tok);

/* Writes `context` ids: start (the unigram family has none), text, end, then padding
 * (Hugging Face: the pad token, for BPE end of text unless the files say otherwise; OpenAI
 * and open_clip: 0). Invalid UTF-8 is
 * CE_EINVAL with the byte offset. Thread-safe: the tokenizer is only read.
 * context must be at least 2. */
int ce_tokenizer_encode(const ce_tokenizer *tok, int32_t *ids, int context, ce_tokens *out,
                        const char *text, size_t size, ce_error *err);

int ce_tokenizer_vocab_size(const ce_tokenizer *tok); /* ids are 0 .. vocab_size - 1 */
int ce_tokenizer_end_of_text(const ce_tokenizer *tok);
int ce_tokenizer_pad(const ce_tokenizer *tok);
ce_tokenizer_kind ce_tokenizer_kind_of(const ce_tokenizer *tok);
const char *ce_tokenizer_kind_name(ce_tokenizer_kind kind); /* "WordPiece" */
/* Where it came from: "tokenizer.json", "vocab.json + merges.txt", "built-in CLIP",
 * "vocab.txt" or "spiece.model". */
const char *ce_tokenizer_source(const ce_tokenizer *tok);
/* One line for a person: "WordPiece, 21128 tokens, lower case, accents stripped, CJK split,
 * padded with [PAD]". */
const char *ce_tokenizer_describe(const ce_tokenizer *tok);

#endif

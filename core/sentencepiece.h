/* A SentencePiece model file (spiece.model): a protocol buffer, of which only what encoding
 * needs is read. Fields and their meaning: sentencepiece_model.proto (Google, Apache 2.0);
 * wire format: https://protobuf.dev/programming-guides/encoding
 *
 *     ce_sentencepiece m;
 *     ce_sentencepiece_read(&m, bytes, size, "spiece.model", &err);
 *     ... m.pieces[id].text, m.pieces[id].score ...   // texts lie in `bytes`
 *     ce_sentencepiece_free(&m);
 */
#ifndef CE_SENTENCEPIECE_H
#define CE_SENTENCEPIECE_H

#include "vocab.h"

#include <stdbool.h>

typedef enum ce_piece_type {
    CE_PIECE_NORMAL = 1,
    CE_PIECE_UNKNOWN,
    CE_PIECE_CONTROL,
    CE_PIECE_USER_DEFINED,
    CE_PIECE_UNUSED,
    CE_PIECE_BYTE
} ce_piece_type;

typedef struct ce_piece {
    ce_token_text text; /* UTF-8, not empty */
    float score;        /* finite */
    ce_piece_type type;
} ce_piece;

typedef struct ce_sentencepiece {
    ce_piece *pieces; /* [count] */
    size_t count;
    int32_t unknown; /* the one piece of that type */
    bool byte_fallback;
    bool whitespace_as_suffix, add_dummy_prefix, remove_extra_whitespaces;
    bool escape_whitespaces;
    ce_token_text charsmap; /* see charsmap.h; may be empty */
} ce_sentencepiece;

/* CE_EFORMAT: truncated, sizes that lie, a piece that is empty or not UTF-8, a score that
 * is no number, not just one unknown piece. CE_EUNSUPPORTED: a model other than unigram. */
int ce_sentencepiece_read(ce_sentencepiece *m, const char *bytes, size_t size,
                          const char *name, ce_error *err);
void ce_sentencepiece_free(ce_sentencepiece *m);

#endif

#include "sentencepiece.h"

#include "unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const char *begin; /* of the file */
    const char *at, *end;
    const char *name;
    ce_error *err;
} reader;

typedef struct field {
    uint64_t number, value; /* of a varint or a fixed one */
    ce_token_text bytes;    /* of a string, bytes or message */
    int wire;
} field;

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static int fault(const reader *r, const char *what) {
    return ce_fail(r->err, CE_EFORMAT, "%s: byte %zu: %s", r->name,
                   (size_t)(r->at - r->begin), what);
}

static int read_varint(reader *r, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (r->at == r->end)
            return fault(r, "the model ends in the middle of a number");
        unsigned char byte = (unsigned char)*r->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return 0;
    }
    return fault(r, "a number does not end");
}

static int read_fixed(reader *r, uint64_t *value, size_t size) {
    if ((size_t)(r->end - r->at) < size)
        return fault(r, "the model ends in the middle of a number");
    *value = 0;
    for (size_t i = size; i-- > 0;)
        *value = *value << 8 | (unsigned char)r->at[i];
    r->at += size;
    return 0;
}

static int read_field(reader *r, field *f) {
    uint64_t tag;
    int rc = read_varint(r, &tag);
    if (rc < 0)
        return rc;
    f->number = tag >> 3;
    f->wire = (int)(tag & 7);
    if (f->wire == WIRE_VARINT)
        return read_varint(r, &f->value);
    if (f->wire == WIRE_64 || f->wire == WIRE_32)
        return read_fixed(r, &f->value, f->wire == WIRE_64 ? 8 : 4);
    if (f->wire != WIRE_BYTES)
        return fault(r, "no SentencePiece model (a field of unknown kind)");
    rc = read_varint(r, &f->value);
    if (rc == 0 && f->value > (uint64_t)(r->end - r->at))
        return fault(r, "the model ends in the middle of a field");
    f->bytes = (ce_token_text){r->at, rc == 0 ? (size_t)f->value : 0};
    r->at += f->bytes.size;
    return rc;
}

static reader inside(const reader *r, const field *f) {
    reader message = *r;
    message.at = f->bytes.at;
    message.end = f->bytes.at + f->bytes.size;
    return message;
}

static bool is_field(const field *f, uint64_t number, int wire) {
    return f->number == number && f->wire == wire;
}

static int check_piece(const reader *r, const ce_piece *p, size_t id) {
    size_t size = p->text.size;
    if (size == 0)
        return ce_fail(r->err, CE_EFORMAT, "%s: piece %zu is empty", r->name, id);
    if (ce_utf8_prefix(p->text.at, size) < size || memchr(p->text.at, '\0', size))
        return ce_fail(r->err, CE_EFORMAT, "%s: piece %zu is not UTF-8", r->name, id);
    if (!isfinite(p->score))
        return ce_fail(r->err, CE_EFORMAT, "%s: piece %zu \"%.*s\" has the score %g",
                       r->name, id, ce_vocab_quote(p->text.at, size), p->text.at,
                       (double)p->score);
    if (p->type < CE_PIECE_NORMAL || p->type > CE_PIECE_BYTE)
        return ce_fail(r->err, CE_EUNSUPPORTED, "%s: piece %zu has the type %d", r->name,
                       id, (int)p->type);
    return 0;
}

/* SentencePiece: piece 1, score 2, type 3 */
static int read_piece(reader message, ce_piece *p, size_t id) {
    *p = (ce_piece){.text = {"", 0}, .type = CE_PIECE_NORMAL};
    while (message.at < message.end) {
        field f;
        int rc = read_field(&message, &f);
        if (rc < 0)
            return rc;
        if (is_field(&f, 1, WIRE_BYTES))
            p->text = f.bytes;
        else if (is_field(&f, 2, WIRE_32))
            memcpy(&p->score, &(uint32_t){(uint32_t)f.value}, sizeof p->score);
        else if (is_field(&f, 3, WIRE_VARINT))
            p->type = f.value < 16 ? (ce_piece_type)f.value : (ce_piece_type)16;
    }
    return check_piece(&message, p, id);
}

/* Room doubles whenever the count is a power of two. */
static int add_piece(ce_sentencepiece *m, const reader *r, const field *f) {
    size_t n = m->count;
    if ((n & (n - 1)) == 0) {
        ce_piece *grown = realloc(m->pieces, (n ? 2 * n : 1) * sizeof *grown);
        if (!grown)
            return ce_fail(r->err, CE_ENOMEM, "%s: out of memory for %zu pieces", r->name,
                           n);
        m->pieces = grown;
    }
    int rc = read_piece(inside(r, f), &m->pieces[n], n);
    if (rc < 0)
        return rc;
    if (m->pieces[n].type == CE_PIECE_UNKNOWN && m->unknown >= 0)
        return ce_fail(r->err, CE_EFORMAT, "%s: pieces %d and %zu are both the unknown one",
                       r->name, (int)m->unknown, n);
    if (m->pieces[n].type == CE_PIECE_UNKNOWN)
        m->unknown = (int32_t)n;
    m->count++;
    return 0;
}

/* TrainerSpec: model_type 3, treat_whitespace_as_suffix 24, byte_fallback 35 */
static int read_trainer(ce_sentencepiece *m, reader message) {
    static const char *const types[] = {"BPE", "WORD", "CHAR"};
    while (message.at < message.end) {
        field f;
        int rc = read_field(&message, &f);
        if (rc < 0)
            return rc;
        if (is_field(&f, 3, WIRE_VARINT) && f.value != 1)
            return ce_fail(message.err, CE_EUNSUPPORTED,
                           "%s: the model's type is %s, must be UNIGRAM", message.name,
                           f.value >= 2 && f.value <= 4 ? types[f.value - 2] : "unknown");
        if (is_field(&f, 24, WIRE_VARINT))
            m->whitespace_as_suffix = f.value != 0;
        if (is_field(&f, 35, WIRE_VARINT))
            m->byte_fallback = f.value != 0;
    }
    return 0;
}

/* NormalizerSpec: precompiled_charsmap 2, add_dummy_prefix 3, remove_extra_whitespaces 4,
 * escape_whitespaces 5 */
static int read_normalizer(ce_sentencepiece *m, reader message) {
    while (message.at < message.end) {
        field f;
        int rc = read_field(&message, &f);
        if (rc < 0)
            return rc;
        if (is_field(&f, 2, WIRE_BYTES))
            m->charsmap = f.bytes;
        else if (is_field(&f, 3, WIRE_VARINT))
            m->add_dummy_prefix = f.value != 0;
        else if (is_field(&f, 4, WIRE_VARINT))
            m->remove_extra_whitespaces = f.value != 0;
        else if (is_field(&f, 5, WIRE_VARINT))
            m->escape_whitespaces = f.value != 0;
    }
    return 0;
}

/* ModelProto: pieces 1, trainer_spec 2, normalizer_spec 3 */
static int read_model(ce_sentencepiece *m, reader *r) {
    int rc = 0;
    while (r->at < r->end && rc == 0) {
        field f;
        rc = read_field(r, &f);
        if (rc == 0 && is_field(&f, 1, WIRE_BYTES))
            rc = add_piece(m, r, &f);
        else if (rc == 0 && is_field(&f, 2, WIRE_BYTES))
            rc = read_trainer(m, inside(r, &f));
        else if (rc == 0 && is_field(&f, 3, WIRE_BYTES))
            rc = read_normalizer(m, inside(r, &f));
    }
    if (rc == 0 && m->count == 0)
        rc = ce_fail(r->err, CE_EFORMAT, "%s: no SentencePiece model (it has no pieces)",
                     r->name);
    if (rc == 0 && m->unknown < 0)
        rc = ce_fail(r->err, CE_EFORMAT, "%s: no piece is the unknown one", r->name);
    return rc;
}

int ce_sentencepiece_read(ce_sentencepiece *m, const char *bytes, size_t size,
                          const char *name, ce_error *err) {
    *m = (ce_sentencepiece){.unknown = -1,
                            .add_dummy_prefix = true,
                            .remove_extra_whitespaces = true,
                            .escape_whitespaces = true,
                            .charsmap = {"", 0}};
    reader r = {bytes, bytes, bytes + size, name, err};
    int rc = read_model(m, &r);
    if (rc < 0)
        ce_sentencepiece_free(m);
    return rc;
}

void ce_sentencepiece_free(ce_sentencepiece *m) {
    free(m->pieces);
    m->pieces = NULL;
    m->count = 0;
}

/* The files of a unigram tokenizer -> its tables. SiglipTokenizer reads spiece.model and
 * knows no tokenizer.json; where that is all there is, or tokenizer_config.json names
 * another class, the tokenizer.json is followed as it stands. */
#include "fs.h"
#include "sentencepiece.h"
#include "tokenizer_unigram.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 65536    /* they are searched one by one */
#define PIECE_MAX 1024     /* bytes; from every place of a text a search may go as far */
#define UNKNOWN_PENALTY 10 /* kUnkPenalty, K_UNK_PENALTY */

typedef struct unigram_names {
    const char *unknown, *end, *pad;
} unigram_names;

/* ---- pieces ---- */

/* Doubles whenever the count is a power of two. */
static int add_name(ce_tokenizer_unigram *t, const char *text, size_t size, int32_t id,
                    ce_error *err) {
    size_t n = t->name_count;
    if (n == NAMES_MAX)
        return ce_fail(err, CE_EUNSUPPORTED,
                       "%d and more control pieces and added tokens are not supported",
                       NAMES_MAX);
    if ((n & (n - 1)) == 0) {
        ce_unigram_name *grown = realloc(t->names, (n ? 2 * n : 1) * sizeof *grown);
        if (!grown)
            return ce_fail(err, CE_ENOMEM, "out of memory for a vocabulary");
        t->names = grown;
    }
    char *copy = malloc(size + 1);
    if (!copy)
        return ce_fail(err, CE_ENOMEM, "out of memory for a vocabulary");
    memcpy(copy, text, size);
    t->names[t->name_count++] = (ce_unigram_name){copy, size, id};
    return 0;
}

static int32_t find(const ce_tokenizer_unigram *t, const char *text, size_t size) {
    for (size_t i = 0; i < t->name_count; i++)
        if (t->names[i].size == size && memcmp(t->names[i].text, text, size) == 0)
            return t->names[i].id;
    return ce_trie_find(&t->model.trie, text, size);
}

static int twice(const ce_tokenizer_files *f, ce_token_text piece, size_t id,
                 ce_error *err) {
    return ce_fail(err, CE_EFORMAT, "%s: piece %zu \"%.*s\" is there twice", f->path, id,
                   ce_vocab_quote(piece.at, piece.size), piece.at);
}

static int check_size(const ce_tokenizer_files *f, ce_token_text piece, size_t id,
                      ce_error *err) {
    if (piece.size == 0)
        return ce_fail(err, CE_EFORMAT, "%s: piece %zu is empty", f->path, id);
    if (piece.size <= PIECE_MAX)
        return 0;
    return ce_fail(
        err, CE_EUNSUPPORTED,
        "%s: piece %zu \"%.*s...\" has %zu bytes; more than %d are not supported", f->path,
        id, ce_vocab_quote(piece.at, piece.size), piece.at, piece.size, PIECE_MAX);
}

/* "<0x41>" -> 0x41; -1: no such name. */
static int byte_of(ce_token_text piece) {
    static const char digits[] = "0123456789ABCDEF";
    int byte = 0;
    if (piece.size != 6 || memcmp(piece.at, "<0x", 3) != 0 || piece.at[5] != '>')
        return -1;
    for (int i = 3; i < 5; i++) {
        const char *digit = piece.at[i] ? strchr(digits, piece.at[i]) : NULL;
        if (!digit)
            return -1;
        byte = byte << 4 | (int)(digit - digits);
    }
    return byte;
}

static int add_byte(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                    ce_token_text piece, int32_t id, ce_error *err) {
    int byte = byte_of(piece);
    if (byte < 0 || !t->byte_fallback)
        return ce_fail(err, CE_EFORMAT, "%s: piece %d \"%.*s\" %s", f->path, (int)id,
                       ce_vocab_quote(piece.at, piece.size), piece.at,
                       byte < 0 ? "is no byte" : "is a byte, but \"byte_fallback\" is off");
    t->bytes[byte] = id;
    return add_name(t, piece.at, piece.size, id, err);
}

static int check_bytes(const ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                       ce_error *err) {
    for (int byte = 0; byte < 256 && t->byte_fallback; byte++)
        if (t->bytes[byte] < 0)
            return ce_fail(err, CE_EFORMAT,
                           "%s: \"byte_fallback\" is on, but there is no piece <0x%02X>",
                           f->path, (unsigned)byte);
    return 0;
}

/* A user-defined piece always wins: its score is about 0, whatever its length (GetScore in
 * unigram_model.cc). */
static double score_of(const ce_piece *p, float highest) {
    if (p->type != CE_PIECE_USER_DEFINED)
        return (double)p->score;
    return (double)(float)((double)((float)p->text.size * highest) - 0.1);
}

static int add_piece(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                     const ce_piece *p, int32_t id, float highest, ce_error *err) {
    const char *text = p->text.at;
    size_t size = p->text.size;
    if (p->type == CE_PIECE_BYTE)
        return add_byte(t, f, p->text, id, err);
    if (p->type != CE_PIECE_NORMAL && p->type != CE_PIECE_USER_DEFINED)
        return add_name(t, text, size, id, err);
    int rc = check_size(f, p->text, (size_t)id, err);
    if (rc == 0)
        rc = ce_unigram_add(&t->model, id, text, size, score_of(p, highest), err);
    if (rc > 0)
        return twice(f, p->text, (size_t)id, err);
    if (rc == 0 && p->type == CE_PIECE_USER_DEFINED)
        rc = ce_trie_put(&t->user_defined, text, size, id, err);
    return rc;
}

static int fill_from_model(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                           const ce_sentencepiece *m, ce_error *err) {
    float lowest = FLT_MAX, highest = FLT_MIN;
    for (size_t i = 0; i < m->count; i++) {
        if (m->pieces[i].type != CE_PIECE_NORMAL)
            continue;
        lowest = m->pieces[i].score < lowest ? m->pieces[i].score : lowest;
        highest = m->pieces[i].score > highest ? m->pieces[i].score : highest;
    }
    int rc = ce_unigram_init(&t->model, m->count, err);
    for (size_t i = 0; i < m->count && rc == 0; i++)
        rc = add_piece(t, f, &m->pieces[i], (int32_t)i, highest, err);
    t->model.unknown = m->unknown;
    t->model.unknown_score = (double)(lowest - UNKNOWN_PENALTY);
    t->model.float_sums = true;
    return rc < 0 ? rc : check_bytes(t, f, err);
}

static int fill_from_table(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                           ce_error *err) {
    const ce_json_table *table = &f->table;
    double lowest = DBL_MAX;
    int unknown = -1;
    int rc = ce_json_int(f->model, "unk_id", &unknown, 0, INT32_MAX - 1, f->path, err);
    if (rc == 0 && (unknown < 0 || (size_t)unknown >= table->score_count))
        rc = ce_fail(err, CE_EFORMAT, "%s: \"unk_id\" is %d of %zu pieces", f->path,
                     unknown, table->score_count);
    if (rc == 0)
        rc = ce_json_bool(f->model, "byte_fallback", &t->byte_fallback, f->path, err);
    if (rc == 0)
        rc = ce_unigram_init(&t->model, table->score_count, err);
    for (size_t i = 0; i < table->score_count && rc == 0; i++) {
        const ce_json_score *s = &table->scores[i];
        lowest = s->score < lowest ? s->score : lowest;
        rc = check_size(f, s->token, i, err);
        if (rc == 0)
            rc = ce_unigram_add(&t->model, (int32_t)i, s->token.at, s->token.size, s->score,
                                err);
        if (rc < 0)
            return rc;
        if (rc > 0)
            return twice(f, s->token, i, err);
        int byte = s->token.at[0] == '<' ? byte_of(s->token) : -1;
        if (byte >= 0)
            t->bytes[byte] = (int32_t)i;
    }
    t->model.unknown = unknown;
    t->model.unknown_score = lowest - UNKNOWN_PENALTY;
    return rc < 0 ? rc : check_bytes(t, f, err);
}

/* ---- added tokens ---- */

/* The ids of the added tokens are those of their pieces, or the next ones from `*count`. */
static int number(ce_tokenizer_unigram *t, ce_tokenizer_files *f, size_t *count,
                  ce_error *err) {
    int rc = 0;
    for (size_t i = 0; i < f->added_count && rc == 0; i++) {
        ce_stated_token *a = &f->added[i];
        size_t size = strlen(a->text);
        int32_t id = find(t, a->text, size);
        if (id < 0) {
            id = (int32_t)(*count)++;
            rc = add_name(t, a->text, size, id, err);
        }
        if (rc == 0 && a->id >= 0 && a->id != id)
            rc = ce_fail(err, CE_EFORMAT,
                         "%s: the added token \"%.*s\" states id %lld, but has id %d",
                         f->path, ce_vocab_quote(a->text, size), a->text, (long long)a->id,
                         (int)id);
        a->id = id;
    }
    return rc;
}

/* `raw`: every token is sought in the raw text. */
static int set_added(ce_tokenizer_unigram *t, const ce_tokenizer_files *f, bool raw,
                     ce_error *err) {
    ce_runes r;
    ce_runes_init(&r);
    int rc = 0;
    for (size_t i = 0; i < f->added_count && rc == 0; i++) {
        const ce_stated_token *a = &f->added[i];
        ce_added_token flags = {.id = (int32_t)a->id,
                                .normalized = a->normalized && !raw,
                                .single_word = a->single_word,
                                .lstrip = a->lstrip && !raw, /* stripped anyway */
                                .rstrip = a->rstrip && !raw,
                                .special = a->special};
        if (raw && a->single_word)
            rc = ce_fail(err, CE_EUNSUPPORTED,
                         "%s: the added token \"%.*s\" is a \"single_word\"", f->path,
                         ce_vocab_quote(a->text, strlen(a->text)), a->text);
        if (rc == 0)
            rc = ce_runes_decode(&r, a->text, strlen(a->text), err);
        if (rc == 0 && flags.normalized)
            rc = ce_tokenizer_unigram_normalize(t, &r, &(bool){false}, err);
        if (rc == 0)
            rc = ce_added_tokens_add(&t->added, r.at, r.count, flags, err);
    }
    ce_runes_free(&r);
    return rc;
}

static int set_id(const ce_tokenizer_unigram *t, const ce_tokenizer_files *f, int32_t *id,
                  const char *name, const char *what, ce_error *err) {
    *id = find(t, name, strlen(name));
    if (*id >= 0)
        return 0;
    return ce_fail(err, CE_EFORMAT, "%s: the %s token \"%.*s\" is not in the vocabulary",
                   f->path, what, ce_vocab_quote(name, strlen(name)), name);
}

static int read_names(unigram_names *n, const ce_tokenizer_files *f, ce_error *err) {
    int rc = ce_tokenizer_files_special(f, "unk_token", &n->unknown, err);
    if (rc == 0)
        rc = ce_tokenizer_files_special(f, "eos_token", &n->end, err);
    if (rc == 0)
        rc = ce_tokenizer_files_special(f, "pad_token", &n->pad, err);
    return rc;
}

static void describe(ce_tokenizer_unigram *t, const char *text, const char *pad) {
    snprintf(t->base.description, sizeof t->base.description,
             "SentencePiece unigram, %d tokens%s, %s, padded with %.*s", t->base.vocab_size,
             t->byte_fallback ? " (unknown characters as bytes)" : "", text,
             ce_vocab_quote(pad, strlen(pad)), pad);
}

/* ---- spiece.model ---- */

/* SiglipTokenizer's own arguments, and SentencePieceBackend's "legacy". */
static int read_config(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                       ce_error *err) {
    const json_t *kwargs = json_object_get(f->config, "sp_model_kwargs");
    bool legacy = true;
    t->lower_case = true;
    if (json_object_size(kwargs) > 0)
        return ce_fail(err, CE_EUNSUPPORTED, "%s: \"sp_model_kwargs\" is not supported",
                       f->config_path);
    int rc = ce_json_bool(f->config, "do_lower_case", &t->lower_case, f->config_path, err);
    if (rc == 0)
        rc = ce_json_bool(f->config, "legacy", &legacy, f->config_path, err);
    if (!legacy)
        t->add_dummy_prefix = false;
    return rc;
}

static int take_settings(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                         const ce_sentencepiece *m, ce_error *err) {
    t->byte_fallback = m->byte_fallback;
    t->whitespace_as_suffix = m->whitespace_as_suffix;
    t->add_dummy_prefix = m->add_dummy_prefix;
    t->remove_extra_whitespaces = m->remove_extra_whitespaces;
    t->escape_whitespaces = m->escape_whitespaces;
    return ce_charsmap_init(&t->charsmap, m->charsmap.at, m->charsmap.size, f->path, err);
}

/* Every tokenizer of this class has these three. */
static int state_names(ce_tokenizer_files *f, const unigram_names *n, ce_error *err) {
    int rc = ce_tokenizer_files_state(f, n->end, err);
    if (rc == 0)
        rc = ce_tokenizer_files_state(f, n->unknown, err);
    return rc < 0 ? rc : ce_tokenizer_files_state(f, n->pad, err);
}

static int set_siglip(ce_tokenizer_unigram *t, ce_tokenizer_files *f, size_t pieces,
                      ce_error *err) {
    unigram_names n = {"<unk>", "</s>", "</s>"};
    size_t count = pieces;
    t->base.start = -1;
    t->base.end_once = true;
    t->underline = ce_trie_find(&t->model.trie, "\xe2\x96\x81", 3);
    int rc = read_names(&n, f, err);
    if (rc == 0) /* before they are stated: a missing one would be added */
        rc = set_id(t, f, &t->base.end, n.end, "end", err);
    if (rc == 0)
        rc = set_id(t, f, &t->base.pad, n.pad, "padding", err);
    if (rc == 0)
        rc = ce_tokenizer_files_added(f, true, err);
    if (rc == 0)
        rc = state_names(f, &n, err);
    if (rc == 0)
        rc = number(t, f, &count, err);
    if (rc == 0)
        rc = set_added(t, f, true, err);
    if (rc == 0 && !(t->lead = strdup(n.unknown)))
        rc = ce_fail(err, CE_ENOMEM, "out of memory for a tokenizer");
    if (rc < 0)
        return rc;
    t->base.vocab_size = (int)count;
    describe(t,
             t->lower_case ? "lower case, punctuation removed"
                           : "case kept, punctuation removed",
             n.pad);
    return ce_tokenizer_siglip_count_lead(t, err);
}

/* The added tokens of a tokenizer.json count for SiglipTokenizer too, unless
 * tokenizer_config.json lists them. */
static int read_beside(ce_tokenizer_files *f, ce_error *err) {
    if (json_is_object(json_object_get(f->config, "added_tokens_decoder")))
        return 0;
    int there = ce_tokenizer_files_choose(f, "tokenizer.json", err);
    return there <= 0 ? there : ce_tokenizer_files_load_json(f, "Unigram", err);
}

static int open_model(ce_tokenizer_unigram *t, ce_tokenizer_files *f, ce_error *err) {
    char *bytes = NULL;
    size_t size = 0;
    ce_sentencepiece m = {0};
    t->base.source = "spiece.model";
    t->base.encode = ce_tokenizer_siglip_encode;
    int rc = ce_tokenizer_files_check_config(f, err); /* not tokenizer.json's sides */
    if (rc == 0)
        rc = read_beside(f, err);
    if (rc == 0)
        rc = ce_tokenizer_files_choose(f, "spiece.model", err);
    if (rc >= 0)
        rc = ce_file_read(&bytes, &size, f->path, (size_t)64 << 20, err);
    if (rc == 0)
        rc = ce_sentencepiece_read(&m, bytes, size, f->path, err);
    if (rc == 0)
        rc = take_settings(t, f, &m, err);
    if (rc == 0)
        rc = read_config(t, f, err);
    if (rc == 0)
        rc = fill_from_model(t, f, &m, err);
    if (rc == 0)
        rc = set_siglip(t, f, m.count, err);
    ce_sentencepiece_free(&m);
    free(bytes);
    return rc;
}

/* ---- tokenizer.json ---- */

static int set_framing_id(const ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                          int32_t *id, const char *name, const char *what, ce_error *err) {
    *id = -1;
    return name ? set_id(t, f, id, name, what, err) : 0;
}

static int set_json(ce_tokenizer_unigram *t, ce_tokenizer_files *f, ce_error *err) {
    unigram_names n = {"<unk>", "</s>", NULL};
    ce_tokenizer_frame frame = {.start = NULL};
    const json_t *padding = json_object_get(f->root, "padding");
    size_t count = f->table.score_count;
    int rc = read_names(&n, f, err);
    if (rc == 0 && !n.pad)
        rc = ce_json_string(padding, "pad_token", &n.pad, f->path, err);
    if (rc == 0)
        rc = ce_tokenizer_files_added(f, true, err);
    if (rc == 0)
        rc = number(t, f, &count, err);
    if (rc == 0)
        rc = ce_tokenizer_files_frame(f, &frame, err);
    if (rc == 0)
        rc = set_framing_id(t, f, &t->base.start, frame.start, "start", err);
    if (rc == 0)
        rc = set_framing_id(t, f, &t->base.end, frame.end, "end", err);
    if (rc == 0)
        rc = ce_tokenizer_files_check_frame(f, &frame, t->base.start, t->base.end, err);
    if (!n.pad)
        n.pad = frame.end ? frame.end : n.end;
    if (rc == 0)
        rc = set_id(t, f, &t->base.pad, n.pad, "padding", err);
    if (rc == 0)
        rc = set_added(t, f, false, err);
    t->base.vocab_size = (int)count;
    describe(t, "cleaned as tokenizer.json says", n.pad);
    return rc;
}

static int open_json(ce_tokenizer_unigram *t, ce_tokenizer_files *f, ce_error *err) {
    t->base.source = "tokenizer.json";
    t->base.encode = ce_tokenizer_unigram_encode;
    int rc = ce_tokenizer_files_load_json(f, "Unigram", err);
    if (rc == 0)
        rc = ce_tokenizer_files_check_config(f, err);
    if (rc == 0 && f->table.score_count == 0)
        rc = ce_fail(err, CE_EFORMAT, "%s: \"vocab\" is missing, empty or no array",
                     f->path);
    if (rc == 0)
        rc = ce_tokenizer_unigram_read_pipeline(t, f, err);
    if (rc == 0)
        rc = fill_from_table(t, f, err);
    return rc < 0 ? rc : set_json(t, f, err);
}

static int open_directory(ce_tokenizer_unigram *t, ce_tokenizer_files *f, ce_error *err) {
    bool siglip = ce_tokenizer_files_is_class(f, "") ||
                  ce_tokenizer_files_is_class(f, "SiglipTokenizer");
    int model = ce_tokenizer_files_choose(f, "spiece.model", err);
    int json = model < 0 ? model : ce_tokenizer_files_choose(f, "tokenizer.json", err);
    if (json < 0)
        return json;
    if (model && (siglip || !json))
        return open_model(t, f, err);
    if (json)
        return open_json(t, f, err);
    return ce_fail(err, CE_EIO, "%s: neither spiece.model nor tokenizer.json is there",
                   f->dir);
}

static void free_unigram(ce_tokenizer *tok) {
    ce_tokenizer_unigram *t = (ce_tokenizer_unigram *)tok;
    ce_unigram_free(&t->model);
    ce_charsmap_free(&t->charsmap);
    ce_added_tokens_free(&t->added);
    ce_trie_free(&t->user_defined);
    for (size_t i = 0; i < t->name_count; i++)
        free(t->names[i].text);
    for (size_t i = 0; i < t->step_count; i++) {
        free(t->steps[i].text);
        free(t->steps[i].into);
    }
    free(t->names);
    free(t->lead);
    free(t);
}

int ce_tokenizer_open_unigram(ce_tokenizer **out, const char *dir, ce_error *err) {
    *out = NULL;
    ce_tokenizer_unigram *t = calloc(1, sizeof *t);
    ce_tokenizer_files *f = calloc(1, sizeof *f);
    int rc = CE_ENOMEM;
    if (!t || !f) {
        ce_fail(err, CE_ENOMEM, "out of memory for a tokenizer");
        free(t);
        goto out;
    }
    t->base = (ce_tokenizer){.free = free_unigram, .kind = CE_TOKENIZER_UNIGRAM};
    memset(t->bytes, 0xff, sizeof t->bytes);
    rc = ce_tokenizer_files_begin(f, dir, err);
    if (rc == 0)
        rc = open_directory(t, f, err);
    if (rc < 0)
        free_unigram(&t->base);
    else
        *out = &t->base;
out:
    if (f)
        ce_tokenizer_files_end(f);
    free(f);
    return rc;
}

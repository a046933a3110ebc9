#include "tokenizer_unigram.h"
int ce_tokenizer_unigram_encode(const ce_tokenizer *tok, ce_ids *out, const char *text,
                                size_t size, ce_error *err) {
    (void)tok;
    (void)out;
    (void)text;
    (void)size;
    return ce_fail(err, CE_EUNSUPPORTED, "not yet");
}
int ce_tokenizer_unigram_normalize(const ce_tokenizer_unigram *t, ce_runes *r,
                                   ce_error *err) {
    (void)t;
    (void)r;
    return ce_fail(err, CE_EUNSUPPORTED, "not yet");
}
int ce_tokenizer_unigram_read_pipeline(ce_tokenizer_unigram *t, const ce_tokenizer_files *f,
                                       ce_error *err) {
    (void)t;
    return ce_fail(err, CE_EUNSUPPORTED, "%s: not yet", f->path);
}

#include "tokenizer_internal.h"

#include <stddef.h>

void ce_tokenizer_free(ce_tokenizer *tok) {
    if (tok)
        tok->free(tok);
}

int ce_tokenizer_encode(const ce_tokenizer *tok, int32_t *ids, int context, ce_tokens *out,
                        const char *text, size_t size, ce_error *err) {
    if (context < 2)
        return ce_fail(err, CE_EINVAL, "a context of %d tokens has no room for a text",
                       context);
    ce_ids body = {.at = ids + 1, .limit = (size_t)context - 2};
    int rc = tok->encode(tok, &body, text, size, err);
    if (rc < 0)
        return rc;
    ids[0] = tok->start;
    ids[body.count + 1] = tok->end;
    for (size_t i = body.count + 2; i < (size_t)context; i++)
        ids[i] = tok->pad;
    *out = (ce_tokens){.count = (int)body.count + 2, .truncated = body.overflow};
    return 0;
}

int ce_tokenizer_vocab_size(const ce_tokenizer *tok) {
    return tok->vocab_size;
}

int ce_tokenizer_end_of_text(const ce_tokenizer *tok) {
    return tok->end;
}

const char *ce_tokenizer_source(const ce_tokenizer *tok) {
    return tok->source;
}

#include "tokenizer_internal.h"

#include <stddef.h>

int ce_tokenizer_open_wordpiece(ce_tokenizer **out, const char *dir, ce_error *err) {
    *out = NULL;
    return ce_fail(err, CE_EUNSUPPORTED, "%s: not yet", dir);
}

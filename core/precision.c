#include "precision.h"

#include <string.h>

static const char *const names[CE_PRECISIONS] = {"fp32", "int8", "bf16"};

const char *ce_precision_name(ce_precision p) {
    return names[p];
}

bool ce_precision_parse(ce_precision *out, const char *name) {
    for (int i = 0; i < CE_PRECISIONS; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (ce_precision)i;
            return true;
        }
    return false;
}

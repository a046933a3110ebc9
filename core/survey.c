#include "survey.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 16 };

/* Tensors with the same fault. */
typedef struct finding {
    const ce_tensor *first;
    size_t count;
} finding;

static bool is_float(const ce_tensor *t) {
    return t->dtype <= CE_BF16 || strcmp(t->dtype_name, "F64") == 0;
}

static void add(finding *f, const ce_tensor *t) {
    f->first = f->first ? f->first : t;
    f->count++;
}

static void report(const finding *f, ce_notes *notes, ce_severity severity,
                   const char *code, const char *one, const char *many) {
    if (f->count == 1)
        ce_notes_add(notes, severity, code, "%s: tensor %s %s", f->first->file,
                     f->first->name, one);
    else if (f->count > 1)
        ce_notes_add(notes, severity, code, "%s: tensor %s and %zu more %s", f->first->file,
                     f->first->name, f->count - 1, many);
}

/* Whether any value is not zero; *finite: whether all can be used. */
static bool look(const ce_weights *w, const ce_tensor *t, float *block, bool *finite) {
    bool other = false;
    *finite = true;
    for (size_t first = 0; first < t->count; first += BLOCK) {
        size_t n = t->count - first < BLOCK ? t->count - first : BLOCK;
        if (ce_tensor_widen(w, t, block, first, n, NULL) < 0)
            *finite = false;
        for (size_t i = 0; i < n && !other; i++)
            other = block[i] != 0;
    }
    return other;
}

int ce_survey(ce_weights *w, ce_notes *notes, ce_error *err) {
    float *block = malloc(BLOCK * sizeof *block);
    finding broken = {0}, zero = {0};
    if (!block)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", ce_weights_path(w));
    for (size_t i = 0; i < ce_weights_count(w); i++) {
        const ce_tensor *t = ce_weights_at(w, i);
        bool finite;
        if (!is_float(t) || t->count == 0)
            continue;
        bool other = look(w, t, block, &finite);
        ce_tensor_release(t);
        if (!finite)
            add(&broken, t);
        else if (!other)
            add(&zero, t);
    }
    free(block);
    report(&broken, notes, CE_FAULT, "not-finite", "holds NaN or infinity",
           "hold NaN or infinity");
    report(&zero, notes, CE_WARNING, "all-zero", "is all zero", "are all zero");
    return CE_OK;
}

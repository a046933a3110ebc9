#include "survey.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 16 };

typedef enum verdict { SOUND, BROKEN, ZERO } verdict;

static bool is_float(const ce_tensor *t) {
    return t->dtype <= CE_BF16 || strcmp(t->dtype_name, "F64") == 0;
}

void ce_finding_add(ce_finding *f, const ce_tensor *t) {
    f->first = f->first ? f->first : t;
    f->count++;
}

void ce_finding_note(const ce_finding *f, ce_notes *notes, ce_severity severity,
                     const char *code, const char *one, const char *many) {
    if (f->count == 1)
        ce_notes_add(notes, severity, code, "%s: tensor %s %s", f->first->file,
                     f->first->name, one);
    else if (f->count > 1)
        ce_notes_add(notes, severity, code, "%s: tensor %s and %zu more %s", f->first->file,
                     f->first->name, f->count - 1, many);
}

static verdict look(const ce_weights *w, const ce_tensor *t, float *block) {
    bool other = false, finite = true;
    for (size_t first = 0; first < t->count; first += BLOCK) {
        size_t n = t->count - first < BLOCK ? t->count - first : BLOCK;
        if (ce_tensor_widen(w, t, block, first, n, NULL) < 0)
            finite = false;
        for (size_t i = 0; i < n && !other; i++)
            other = block[i] != 0;
    }
    return !finite ? BROKEN : other ? SOUND : ZERO;
}

/* Tensors of the same values come together: a tied weight has several names. */
static int by_place(const void *a, const void *b) {
    const ce_tensor *x = *(const ce_tensor *const *)a, *y = *(const ce_tensor *const *)b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    if (p != q)
        return p < q ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->dtype_name, y->dtype_name);
}

/* Looks at each place once; `verdicts` are in the order of the tensors. */
static void look_at_all(ce_weights *w, const ce_tensor **order, verdict *verdicts,
                        float *block) {
    const ce_tensor *first = ce_weights_at(w, 0);
    size_t n = 0;
    for (size_t i = 0; i < ce_weights_count(w); i++) {
        const ce_tensor *t = ce_weights_at(w, i);
        if (is_float(t) && t->count)
            order[n++] = t;
    }
    if (n)
        qsort(order, n, sizeof *order, by_place);
    for (size_t i = 0; i < n; i++) {
        verdict *v = &verdicts[order[i] - first];
        if (i && by_place(&order[i - 1], &order[i]) == 0) {
            *v = verdicts[order[i - 1] - first];
            continue;
        }
        *v = look(w, order[i], block);
        ce_tensor_release(order[i]);
    }
}

int ce_survey(ce_weights *w, ce_notes *notes, ce_error *err) {
    size_t n = ce_weights_count(w);
    ce_finding broken = {0}, zero = {0};
    float *block = malloc(BLOCK * sizeof *block);
    const ce_tensor **order = malloc((n + 1) * sizeof *order);
    verdict *verdicts = calloc(n + 1, sizeof *verdicts);
    int result = block && order && verdicts
                     ? CE_OK
                     : ce_fail(err, CE_ENOMEM, "%s: out of memory", ce_weights_path(w));
    if (result == CE_OK) {
        look_at_all(w, order, verdicts, block);
        result = ce_weights_check_unchanged(w, err);
    }
    for (size_t i = 0; i < n && result == CE_OK; i++)
        if (verdicts[i] != SOUND)
            ce_finding_add(verdicts[i] == BROKEN ? &broken : &zero, ce_weights_at(w, i));
    free(block);
    free(order);
    free(verdicts);
    if (result < 0)
        return result;
    ce_finding_note(&broken, notes, CE_FAULT, "not-finite", "holds NaN or infinity",
                    "hold NaN or infinity");
    ce_finding_note(&zero, notes, CE_WARNING, "all-zero", "is all zero", "are all zero");
    return CE_OK;
}

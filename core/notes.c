#include "notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ce_notes_add(ce_notes *notes, ce_severity severity, const char *code,
                  const char *format, ...) {
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    ce_note *grown = realloc(notes->at, (notes->count + 1) * sizeof *grown);
    if (grown)
        notes->at = grown;
    if (!grown || size < 0) {
        free(size < 0 ? NULL : text);
        notes->lost = true;
        return;
    }
    notes->at[notes->count++] = (ce_note){severity, code, text};
}

size_t ce_notes_drop(ce_notes *notes, const char *code) {
    size_t kept = 0, count = notes->count;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(notes->at[i].code, code) == 0)
            free(notes->at[i].text);
        else
            notes->at[kept++] = notes->at[i];
    }
    notes->count = kept;
    return count - kept;
}

void ce_notes_free(ce_notes *notes) {
    for (size_t i = 0; i < notes->count; i++)
        free(notes->at[i].text);
    free(notes->at);
    *notes = (ce_notes){0};
}

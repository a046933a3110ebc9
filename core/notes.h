/* What is worth telling a user about a checkpoint that opens all the same: collected while
 * it is resolved, printed by whoever opened it. core itself prints nothing.
 *
 *     ce_notes notes = {0};
 *     ce_notes_add(&notes, CE_WARNING, "unused-tensors", "%s: ...", path);
 *     for (size_t i = 0; i < notes.count; i++)
 *         ... notes.at[i].text ...
 *     ce_notes_free(&notes);
 */
#ifndef CE_NOTES_H
#define CE_NOTES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum ce_severity {
    CE_REMARK,  /* sound models earn it too */
    CE_WARNING, /* the model runs; a figure may not be what is expected */
    CE_FAULT    /* the model does not run so; only a diagnosis goes on */
} ce_severity;

typedef struct ce_note {
    ce_severity severity;
    const char *code; /* a short constant name: "activation-not-stated" */
    char *text;       /* one line, names the file */
} ce_note;

typedef struct ce_notes {
    ce_note *at;
    size_t count;
    bool lost; /* there was no memory for one of them */
} ce_notes;

void ce_notes_add(ce_notes *notes, ce_severity severity, const char *code,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Takes the notes with this code away; how many there were. */
size_t ce_notes_drop(ce_notes *notes, const char *code);
void ce_notes_free(ce_notes *notes);

#endif

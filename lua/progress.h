/* How far long work is, on stderr: rewritten in place on a terminal, one line every ten
 * seconds elsewhere.
 *
 *     ce_progress_begin(&progress, "pictures", 0, n, quiet);
 *     ce_pipeline_options o = {.progress = ce_progress_show, .progress_context =
 * &progress};
 *     ...
 *     ce_progress_end(&progress);
 */
#ifndef CE_PROGRESS_H
#define CE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ce_progress {
    char label[32];
    size_t base, total; /* this call starts at `base` of `total` */
    double start, last; /* seconds: when item 0 was begun, when a line was last written */
    bool quiet, terminal, shown;
} ce_progress;

/* base 0 starts the clock; work in several calls goes on with base > 0. */
void ce_progress_begin(ce_progress *p, const char *label, size_t base, size_t total,
                       bool quiet);
void ce_progress_show(void *progress, size_t done, size_t total_of_call);
void ce_progress_end(ce_progress *p); /* clears the line on a terminal */

#endif

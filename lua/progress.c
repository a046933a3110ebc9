#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const double LINE_EVERY = 10.0; /* seconds, where stderr is not a terminal */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void ce_progress_begin(ce_progress *p, const char *label, size_t base, size_t total,
                       bool quiet) {
    snprintf(p->label, sizeof p->label, "%s", label);
    p->base = base;
    p->total = total;
    p->quiet = quiet;
    p->terminal = isatty(STDERR_FILENO) == 1;
    p->shown = false;
    if (base == 0)
        p->start = p->last = now();
}

void ce_progress_show(void *progress, size_t done, size_t total_of_call) {
    ce_progress *p = progress;
    double t = now();
    size_t at = p->base + done;
    (void)total_of_call;
    if (p->quiet || at == 0 || (!p->terminal && t - p->last < LINE_EVERY))
        return;
    double rate = (double)at / (t - p->start + 1e-9);
    unsigned left = (unsigned)((double)(p->total - at) / rate);
    fprintf(stderr, "%s%s %zu of %zu, %.*f/s, %u:%02u left%s", p->terminal ? "\r" : "",
            p->label, at, p->total, rate < 10 ? 1 : 0, rate, left / 60, left % 60,
            p->terminal ? "\033[K" : "\n");
    p->last = t;
    p->shown = true;
}

void ce_progress_end(ce_progress *p) {
    if (p->terminal && p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}

#include "cache_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORTHWHILE = 1024 /* rows that are written at once */, MOST_PENDING = 1 << 16 };
static const double PAUSE = 0.5; /* seconds that a row may wait to be written */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int ce_cache_open(ce_cache **out, const char *directory, uint64_t bound, ce_error *err) {
    *out = NULL;
    ce_cache *c = calloc(1, sizeof *c);
    if (!c || !(c->directory = strdup(directory))) {
        free(c);
        return ce_fail(err, CE_ENOMEM, "cache: out of memory");
    }
    pthread_mutex_init(&c->lock, NULL);
    c->bound = bound;
    c->began = (int64_t)time(NULL);
    c->flushed = now();
    int code = ce_cache_connect(c, err);
    if (code < 0)
        ce_cache_close(c);
    else
        *out = c;
    return code;
}

void ce_cache_close(ce_cache *c) {
    if (!c)
        return;
    if (c->db)
        ce_cache_flush(c);
    ce_cache_disconnect(c);
    for (ce_space *s = c->spaces, *next; s; s = next) {
        next = s->next;
        free(s->keys);
        free(s->rows);
        free(s);
    }
    for (size_t i = 0; i < CE_RECENT_BLOCKS; i++)
        free(c->recent[i].bytes);
    pthread_mutex_destroy(&c->lock);
    free(c->files);
    free(c->directory);
    free(c->path);
    free(c);
}

const char *ce_cache_trouble(ce_cache *c) {
    return *c->trouble ? c->trouble : NULL;
}

size_t ce_cache_damaged(ce_cache *c) {
    return c->damaged;
}

ce_space *ce_cache_space(ce_cache *c, const char *identity, const char *about,
                         size_t width) {
    ce_digest key = ce_digest_of(identity, strlen(identity));
    pthread_mutex_lock(&c->lock);
    ce_space *s = c->spaces;
    while (s && !(ce_digest_equal(&s->key, &key) && s->width == width))
        s = s->next;
    if (!s && (s = calloc(1, sizeof *s)) != NULL) {
        s->key = key;
        s->width = width;
        memcpy(s->about, about, strnlen(about, sizeof s->about - 1));
        s->next = c->spaces;
        c->spaces = s;
    }
    pthread_mutex_unlock(&c->lock);
    return s;
}

/* ---- keeping ---- */

static bool grow_space(ce_space *s) {
    size_t room = s->room ? s->room * 2 : 64;
    ce_digest *keys = reallocarray(s->keys, room, sizeof *keys);
    s->keys = keys ? keys : s->keys;
    float *rows = reallocarray(s->rows, room, s->width * sizeof *rows);
    s->rows = rows ? rows : s->rows;
    s->room = keys && rows ? room : s->room;
    return keys && rows;
}

void ce_cache_put(ce_cache *c, ce_space *s, const ce_digest *key, const float *row) {
    pthread_mutex_lock(&c->lock);
    if (!c->is_full && s->count < MOST_PENDING && (s->count < s->room || grow_space(s))) {
        s->keys[s->count] = *key;
        memcpy(s->rows + s->count++ * s->width, row, s->width * sizeof *row);
    }
    pthread_mutex_unlock(&c->lock);
}

static int write_rows(ce_cache *c, ce_space *s) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < s->count && rc == SQLITE_OK; i += CE_BLOCK_ROWS) {
        size_t n = s->count - i < CE_BLOCK_ROWS ? s->count - i : CE_BLOCK_ROWS;
        rc = ce_cache_add_block(c, s, s->keys + i, s->rows + i * s->width, n);
    }
    return rc;
}

static int write_all(ce_cache *c) {
    int rc = ce_cache_run(c, CE_SQL_BEGIN_WRITE);
    for (ce_space *s = c->spaces; s && rc == SQLITE_OK; s = s->next)
        rc = write_rows(c, s);
    if (rc == SQLITE_OK)
        rc = ce_cache_write_files(c);
    return rc == SQLITE_OK ? ce_cache_run(c, CE_SQL_COMMIT) : rc;
}

static size_t pending_rows(const ce_cache *c) {
    size_t n = 0;
    for (const ce_space *s = c->spaces; s; s = s->next)
        n += s->count;
    return n;
}

static void forget_pending(ce_cache *c) {
    for (ce_space *s = c->spaces; s; s = s->next)
        s->count = 0;
    c->file_count = 0;
}

/* What this process has used since it began is never dropped for what it adds. */
static void make_room(ce_cache *c) {
    size_t dropped = 0;
    int64_t bytes = ce_cache_bytes(c);
    if (bytes < 0 || (uint64_t)bytes <= c->bound)
        return;
    int rc = ce_cache_evict(c, c->bound / 10 * 9, c->began, &dropped);
    ce_cache_note(c, rc, true);
    if (rc == SQLITE_OK && ce_cache_bytes(c) > (int64_t)c->bound && !c->is_full) {
        c->is_full = true;
        snprintf(c->trouble, sizeof c->trouble,
                 "cache %s: what this run uses fills its %.3g GB (--cache-size); what is "
                 "computed from here on is not kept",
                 c->directory, (double)c->bound / 1e9);
    }
}

/* A busy file keeps what is pending for the next time. */
static void write_pending(ce_cache *c) {
    c->flushed = now();
    if (c->is_full) {
        forget_pending(c);
        return;
    }
    size_t rows = pending_rows(c);
    if (rows == 0 && c->file_count == 0)
        return;
    int rc = write_all(c);
    ce_cache_note(c, rc, true);
    if (rc == SQLITE_OK)
        c->busy = 0;
    if (rc == SQLITE_OK || c->is_full)
        forget_pending(c);
    if (rc == SQLITE_OK && rows > 0)
        make_room(c);
}

void ce_cache_tick(ce_cache *c) {
    pthread_mutex_lock(&c->lock);
    double since = now() - c->flushed;
    if (since > PAUSE || (pending_rows(c) >= WORTHWHILE && c->busy == 0))
        write_pending(c);
    pthread_mutex_unlock(&c->lock);
}

void ce_cache_flush(ce_cache *c) {
    pthread_mutex_lock(&c->lock);
    write_pending(c);
    for (ce_space *s = c->spaces; s; s = s->next)
        if (s->written && !c->is_full)
            ce_cache_join(c, s);
    pthread_mutex_unlock(&c->lock);
}

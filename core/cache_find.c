/* Looking for rows: their places, then each block once. */
#include "cache_internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct wanted {
    ce_digest key; /* of its place */
    size_t item;
    int64_t block, at;
} wanted;

static int by_key(const void *a, const void *b) {
    return memcmp(&((const wanted *)a)->key, &((const wanted *)b)->key, sizeof(ce_digest));
}

static int by_block(const void *a, const void *b) {
    const wanted *x = a, *y = b;
    int order = (x->block > y->block) - (x->block < y->block);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* Fills in where each lies, moves those that are somewhere to the front. */
static int find_places(ce_cache *c, wanted *w, size_t n, size_t *placed) {
    *placed = 0;
    for (size_t i = 0; i < n; i++) {
        sqlite3_stmt *s = ce_cache_statement(c, CE_SQL_FIND_PLACE);
        if (!s)
            return sqlite3_errcode(c->db);
        sqlite3_bind_blob(s, 1, w[i].key.bytes, sizeof w[i].key.bytes, SQLITE_STATIC);
        int rc = sqlite3_step(s);
        if (rc == SQLITE_ROW) {
            w[i].block = sqlite3_column_int64(s, 0);
            w[i].at = sqlite3_column_int64(s, 1);
            w[(*placed)++] = w[i];
        }
        sqlite3_reset(s);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return rc;
    }
    return SQLITE_OK;
}

/* A block that is at hand, or NULL. */
static ce_block *recent_block(ce_cache *c, int64_t id) {
    for (size_t i = 0; i < CE_RECENT_BLOCKS; i++)
        if (c->recent[i].bytes && c->recent[i].id == id)
            return &c->recent[i];
    return NULL;
}

/* Reads it, in place of the one that was read longest ago. */
static int read_recent(ce_cache *c, int64_t id, const ce_block **out) {
    ce_block *b = recent_block(c, id);
    b = b ? b : &c->recent[c->next_recent++ % CE_RECENT_BLOCKS];
    free(b->bytes);
    int rc = ce_cache_read_block(c, id, b);
    *out = b;
    return rc;
}

/* Whether row `at` of the block is what the key stands for; then it is copied. */
static bool take_row(const ce_block *b, const ce_space *s, const ce_digest *key, int64_t at,
                     float *row) {
    size_t size = s->width * sizeof *row;
    if (at < 0 || (size_t)at >= b->rows || b->width != s->width ||
        !ce_digest_equal(&b->space, &s->key) ||
        memcmp(b->bytes + (size_t)at * sizeof *key, key, sizeof *key) != 0)
        return false;
    memcpy(row, b->bytes + b->rows * sizeof *key + (size_t)at * size, size);
    return true;
}

/* What did not fit its digest goes; and what was used is marked so. Another process may
 * hold the file locked: then both wait for another time. */
static void tend(ce_cache *c, const int64_t *bad, size_t bad_count, const int64_t *used,
                 size_t used_count) {
    if (c->is_full || (bad_count == 0 && used_count == 0))
        return;
    int rc = ce_cache_run(c, CE_SQL_BEGIN_WRITE);
    for (size_t i = 0; i < bad_count && rc == SQLITE_OK; i++)
        rc = ce_cache_drop_block(c, bad[i], NULL);
    for (size_t i = 0; i < used_count && rc == SQLITE_OK; i++) {
        sqlite3_stmt *s = ce_cache_statement(c, CE_SQL_TOUCH);
        if (!s)
            break;
        sqlite3_bind_int64(s, 1, used[i]);
        sqlite3_bind_int64(s, 2, c->began);
        rc = ce_cache_run(c, CE_SQL_TOUCH);
    }
    if (rc == SQLITE_OK)
        rc = ce_cache_run(c, CE_SQL_COMMIT);
    ce_cache_note(c, rc, true);
}

typedef struct finding {
    ce_space *space;
    const ce_digest *keys;
    float *rows;
    size_t stride;
    bool *found;
    size_t count;
    int64_t *bad, *used;
    size_t bad_count, used_count;
} finding;

/* The `n` rows of one block that fit. */
static size_t take_rows(const finding *f, const ce_block *b, const wanted *w, size_t n) {
    size_t fitting = 0;
    for (size_t i = 0; i < n; i++) {
        size_t item = w[i].item;
        f->found[item] =
            take_row(b, f->space, &f->keys[item], w[i].at, f->rows + item * f->stride);
        fitting += f->found[item];
    }
    return fitting;
}

/* The number of a block that is at hand may by now be another one's. */
static int take_block(ce_cache *c, finding *f, const wanted *w, size_t n) {
    const ce_block *b = recent_block(c, w->block);
    size_t fitting = b ? take_rows(f, b, w, n) : 0;
    int rc = SQLITE_OK;
    if (fitting < n) {
        rc = read_recent(c, w->block, &b);
        fitting = rc == SQLITE_OK ? take_rows(f, b, w, n) : fitting;
    }
    f->count += fitting;
    if (rc == SQLITE_OK && fitting > 0)
        f->used[f->used_count++] = w->block;
    bool is_bad = rc == SQLITE_MISMATCH || rc == SQLITE_NOTFOUND;
    if (is_bad)
        f->bad[f->bad_count++] = w->block;
    /* a place that does not fit is replaced once its row is computed */
    c->damaged += is_bad || (rc == SQLITE_OK && fitting < n);
    return is_bad ? SQLITE_OK : rc;
}

static int find(ce_cache *c, finding *f, wanted *w, size_t n) {
    size_t placed;
    int rc = ce_cache_run(c, CE_SQL_BEGIN);
    if (rc == SQLITE_OK)
        rc = find_places(c, w, n, &placed);
    if (rc != SQLITE_OK)
        return rc;
    qsort(w, placed, sizeof *w, by_block);
    for (size_t i = 0, end; i < placed && rc == SQLITE_OK; i = end) {
        for (end = i; end < placed && w[end].block == w[i].block;)
            end++;
        rc = take_block(c, f, w + i, end - i);
    }
    return rc == SQLITE_OK ? ce_cache_run(c, CE_SQL_COMMIT) : rc;
}

size_t ce_cache_find(ce_cache *c, ce_space *s, const ce_digest *keys, size_t n, float *rows,
                     size_t stride, bool *found) {
    memset(found, 0, n * sizeof *found);
    wanted *w = n ? calloc(n, sizeof *w) : NULL;
    int64_t *ids = n ? calloc(n, 2 * sizeof *ids) : NULL;
    finding f = {.space = s, .keys = keys, .rows = rows, .stride = stride, .found = found};
    f.bad = ids;
    f.used = ids ? ids + n : NULL;
    if (w && ids) {
        for (size_t i = 0; i < n; i++)
            w[i] = (wanted){ce_digest_join("place", &s->key, &keys[i]), i, 0, 0};
        if (n > 1)
            qsort(w, n, sizeof *w, by_key);
        pthread_mutex_lock(&c->lock);
        if (!c->is_closed) {
            ce_cache_note(c, find(c, &f, w, n), false);
            tend(c, f.bad, f.bad_count, f.used, c->is_closed ? 0 : f.used_count);
        }
        pthread_mutex_unlock(&c->lock);
    }
    free(ids);
    free(w);
    return f.count;
}

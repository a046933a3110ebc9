#include "cache_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORTHWHILE = 1024 /* rows that are written at once */, MOST_PENDING = 1 << 16 };
static const double PAUSE = 0.5; /* seconds that a row may wait to be written */
static const int64_t GRAIN = 2;  /* seconds within which a file may change unseen */

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

static void lock(ce_cache *c) {
    pthread_mutex_lock(&c->lock);
}

static void unlock(ce_cache *c) {
    pthread_mutex_unlock(&c->lock);
}

ce_space *ce_cache_space(ce_cache *c, const char *identity, const char *about,
                         size_t width) {
    ce_digest key = ce_digest_of(identity, strlen(identity));
    lock(c);
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
    unlock(c);
    return s;
}

/* ---- finding ---- */

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
        lock(c);
        if (!c->is_closed) {
            ce_cache_note(c, find(c, &f, w, n), false);
            tend(c, f.bad, f.bad_count, f.used, c->is_closed ? 0 : f.used_count);
        }
        unlock(c);
    }
    free(ids);
    free(w);
    return f.count;
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
    lock(c);
    if (!c->is_full && s->count < MOST_PENDING && (s->count < s->room || grow_space(s))) {
        s->keys[s->count] = *key;
        memcpy(s->rows + s->count++ * s->width, row, s->width * sizeof *row);
    }
    unlock(c);
}

void ce_cache_put_file(ce_cache *c, const ce_stamp *stamp, const ce_digest *content) {
    if (!stamp->is_settled)
        return;
    lock(c);
    if (c->file_count == c->file_room && !c->is_full) {
        size_t room = c->file_room ? c->file_room * 2 : 256;
        ce_pending_file *files = reallocarray(c->files, room, sizeof *files);
        c->files = files ? files : c->files;
        c->file_room = files ? room : c->file_room;
    }
    if (c->file_count < c->file_room && !c->is_full)
        c->files[c->file_count++] = (ce_pending_file){*stamp, *content};
    unlock(c);
}

static int write_rows(ce_cache *c, ce_space *s) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < s->count && rc == SQLITE_OK; i += CE_BLOCK_ROWS) {
        size_t n = s->count - i < CE_BLOCK_ROWS ? s->count - i : CE_BLOCK_ROWS;
        rc = ce_cache_add_block(c, s, s->keys + i, s->rows + i * s->width, n);
    }
    return rc;
}

static int write_file(ce_cache *c, const ce_pending_file *f) {
    ce_digest sum = ce_cache_seal(&f->stamp.place, &f->stamp.state);
    sum = ce_cache_seal(&sum, &f->content);
    const ce_digest *parts[] = {&f->stamp.place, &f->stamp.state, &f->content, &sum};
    sqlite3_stmt *s = ce_cache_statement(c, CE_SQL_ADD_FILE);
    if (!s)
        return sqlite3_errcode(c->db);
    for (int i = 0; i < 4; i++)
        sqlite3_bind_blob(s, i + 1, parts[i]->bytes, sizeof parts[i]->bytes,
                          SQLITE_TRANSIENT);
    sqlite3_bind_int64(s, 5, c->began / 86400);
    return ce_cache_run(c, CE_SQL_ADD_FILE);
}

static int write_all(ce_cache *c) {
    int rc = ce_cache_run(c, CE_SQL_BEGIN_WRITE);
    for (ce_space *s = c->spaces; s && rc == SQLITE_OK; s = s->next)
        rc = write_rows(c, s);
    for (size_t i = 0; i < c->file_count && rc == SQLITE_OK; i++)
        rc = write_file(c, &c->files[i]);
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

/* A transaction that was rolled back took the numbers of new spaces with it. */
static void forget_numbers(ce_cache *c) {
    for (ce_space *s = c->spaces; s; s = s->next)
        s->id = 0;
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
    else
        forget_numbers(c);
    if (rc == SQLITE_OK || c->is_full)
        forget_pending(c);
    if (rc == SQLITE_OK && rows > 0)
        make_room(c);
}

void ce_cache_tick(ce_cache *c) {
    lock(c);
    double since = now() - c->flushed;
    if (since > PAUSE || (pending_rows(c) >= WORTHWHILE && c->busy == 0))
        write_pending(c);
    unlock(c);
}

/* ---- joining ---- */

typedef struct joint {
    int64_t ids[CE_BLOCK_ROWS];
    size_t count, rows;
    ce_digest *keys; /* [CE_BLOCK_ROWS] */
    float *values;   /* [CE_BLOCK_ROWS, width] */
} joint;

/* The small blocks of the space, as many as make one. */
static int list_small(ce_cache *c, const ce_space *s, joint *j) {
    j->count = j->rows = 0;
    sqlite3_stmt *q = ce_cache_statement(c, CE_SQL_SMALL);
    if (!q)
        return sqlite3_errcode(c->db);
    sqlite3_bind_int64(q, 1, s->id);
    sqlite3_bind_int64(q, 2, CE_SMALL_BLOCK);
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        int64_t rows = sqlite3_column_int64(q, 1);
        if (rows < 1 || j->rows + (size_t)rows > CE_BLOCK_ROWS)
            break;
        j->ids[j->count++] = sqlite3_column_int64(q, 0);
        j->rows += (size_t)rows;
    }
    sqlite3_reset(q);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int join_blocks(ce_cache *c, ce_space *s, joint *j) {
    size_t rows = 0;
    int rc = SQLITE_OK;
    for (size_t i = 0; i < j->count && rc == SQLITE_OK; i++) {
        ce_block b;
        rc = ce_cache_read_block(c, j->ids[i], &b);
        bool is_whole = rc == SQLITE_OK;
        if (is_whole && b.width == s->width && rows + b.rows <= CE_BLOCK_ROWS) {
            memcpy(j->keys + rows, b.bytes, b.rows * sizeof *j->keys);
            memcpy(j->values + rows * s->width, b.bytes + b.rows * sizeof *j->keys,
                   b.rows * s->width * sizeof *j->values);
            rows += b.rows;
        }
        c->damaged += rc == SQLITE_MISMATCH;
        if (is_whole || rc == SQLITE_MISMATCH || rc == SQLITE_NOTFOUND)
            rc = ce_cache_drop_block(c, j->ids[i], is_whole ? &b : NULL);
        free(b.bytes);
    }
    return rc == SQLITE_OK && rows > 0 ? ce_cache_add_block(c, s, j->keys, j->values, rows)
                                       : rc;
}

/* A slow run leaves thousands of blocks of a few rows each. */
static void join_small(ce_cache *c, ce_space *s) {
    enum { FEW = 4 };
    joint *j = calloc(1, sizeof *j);
    if (j) {
        j->keys = calloc(CE_BLOCK_ROWS, sizeof *j->keys);
        j->values = calloc(CE_BLOCK_ROWS, s->width * sizeof *j->values);
    }
    int rc = j && j->keys && j->values ? SQLITE_OK : SQLITE_NOMEM;
    while (rc == SQLITE_OK && s->id) {
        rc = ce_cache_run(c, CE_SQL_BEGIN_WRITE);
        if (rc == SQLITE_OK)
            rc = list_small(c, s, j);
        bool worth = rc == SQLITE_OK && j->count >= FEW;
        if (worth)
            rc = join_blocks(c, s, j);
        if (rc == SQLITE_OK)
            rc = ce_cache_run(c, CE_SQL_COMMIT);
        if (!worth)
            break;
    }
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(c->db))
        ce_cache_run(c, CE_SQL_ROLLBACK);
    if (rc != SQLITE_NOMEM)
        ce_cache_note(c, rc, true);
    s->written = false;
    if (j) {
        free(j->keys);
        free(j->values);
    }
    free(j);
}

void ce_cache_flush(ce_cache *c) {
    lock(c);
    write_pending(c);
    for (ce_space *s = c->spaces; s; s = s->next)
        if (s->written && !c->is_full)
            join_small(c, s);
    unlock(c);
}

/* ---- files ---- */

/* Git's index does the same (Documentation/technical/racy-git.txt). A time in the future is
 * not to be trusted either. */
ce_stamp ce_stamp_of(const struct stat *st, uint64_t offset, uint64_t size) {
    uint64_t place[] = {(uint64_t)st->st_dev, (uint64_t)st->st_ino, offset, size};
    uint64_t state[] = {(uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
                        (uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec,
                        (uint64_t)st->st_ctim.tv_nsec};
    int64_t settled = (int64_t)time(NULL) - GRAIN;
    return (ce_stamp){ce_digest_of(place, sizeof place), ce_digest_of(state, sizeof state),
                      st->st_mtim.tv_sec < settled && st->st_ctim.tv_sec < settled};
}

static bool blob_is(sqlite3_stmt *s, int column, const ce_digest *d) {
    const void *blob = sqlite3_column_blob(s, column);
    return blob && sqlite3_column_bytes(s, column) == (int)sizeof d->bytes &&
           memcmp(blob, d->bytes, sizeof d->bytes) == 0;
}

static int find_file(ce_cache *c, const ce_stamp *stamp, ce_digest *content, bool *found) {
    sqlite3_stmt *s = ce_cache_statement(c, CE_SQL_FIND_FILE);
    if (!s)
        return sqlite3_errcode(c->db);
    sqlite3_bind_blob(s, 1, stamp->place.bytes, sizeof stamp->place.bytes, SQLITE_STATIC);
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW && blob_is(s, 0, &stamp->state) &&
        sqlite3_column_bytes(s, 1) == (int)sizeof content->bytes) {
        memcpy(content->bytes, sqlite3_column_blob(s, 1), sizeof content->bytes);
        ce_digest sum = ce_cache_seal(&stamp->place, &stamp->state);
        sum = ce_cache_seal(&sum, content);
        *found = blob_is(s, 2, &sum);
        c->damaged += !*found; /* the content is read again, and the entry replaced */
    }
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

typedef struct place_order {
    ce_digest place;
    size_t item;
} place_order;

static int by_place(const void *a, const void *b) {
    return memcmp(a, b, sizeof(ce_digest));
}

void ce_cache_find_files(ce_cache *c, const ce_stamp *stamps, size_t n, ce_digest *contents,
                         bool *found) {
    memset(found, 0, n * sizeof *found);
    place_order *order = n ? calloc(n, sizeof *order) : NULL;
    if (!order)
        return;
    for (size_t i = 0; i < n; i++)
        order[i] = (place_order){stamps[i].place, i};
    qsort(order, n, sizeof *order, by_place);
    lock(c);
    if (!c->is_closed) {
        int rc = ce_cache_run(c, CE_SQL_BEGIN);
        for (size_t k = 0; k < n && rc == SQLITE_OK; k++) {
            size_t i = order[k].item;
            if (stamps[i].is_settled)
                rc = find_file(c, &stamps[i], &contents[i], &found[i]);
        }
        if (rc == SQLITE_OK)
            rc = ce_cache_run(c, CE_SQL_COMMIT);
        ce_cache_note(c, rc, false);
    }
    unlock(c);
    free(order);
}

/* ---- weights ---- */

static ce_digest seal_weights(const ce_stamp *stamp, const char *sha256) {
    ce_digest sum = ce_cache_seal(&stamp->place, &stamp->state);
    ce_digest text = ce_digest_of(sha256, 64);
    return ce_cache_seal(&sum, &text);
}

bool ce_cache_find_weights(ce_cache *c, const ce_stamp *stamp, char sha256[65]) {
    bool found = false;
    ce_digest place = ce_cache_seal(&stamp->place, &stamp->state);
    lock(c);
    sqlite3_stmt *s = c->is_closed ? NULL : ce_cache_statement(c, CE_SQL_FIND_WEIGHTS);
    if (s) {
        sqlite3_bind_blob(s, 1, place.bytes, sizeof place.bytes, SQLITE_STATIC);
        int rc = sqlite3_step(s);
        const char *text =
            rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
        if (text && strlen(text) == 64) {
            ce_digest sum = seal_weights(stamp, text);
            found = stamp->is_settled && blob_is(s, 1, &sum);
            memcpy(sha256, text, 65);
        }
        c->damaged += rc == SQLITE_ROW && stamp->is_settled && !found;
        sqlite3_reset(s);
        ce_cache_note(c, rc, false);
    } else if (!c->is_closed) {
        ce_cache_note(c, sqlite3_errcode(c->db), false);
    }
    unlock(c);
    return found;
}

void ce_cache_put_weights(ce_cache *c, const ce_stamp *stamp, const char *sha256) {
    ce_digest place = ce_cache_seal(&stamp->place, &stamp->state);
    ce_digest sum = seal_weights(stamp, sha256);
    if (!stamp->is_settled)
        return;
    lock(c);
    sqlite3_stmt *s = c->is_full ? NULL : ce_cache_statement(c, CE_SQL_ADD_WEIGHTS);
    if (s) {
        sqlite3_bind_blob(s, 1, place.bytes, sizeof place.bytes, SQLITE_TRANSIENT);
        sqlite3_bind_text(s, 2, sha256, 64, SQLITE_TRANSIENT);
        sqlite3_bind_blob(s, 3, sum.bytes, sizeof sum.bytes, SQLITE_TRANSIENT);
        ce_cache_note(c, ce_cache_run(c, CE_SQL_ADD_WEIGHTS), true);
    }
    unlock(c);
}

/* What files held, and weights' hashes: by what stat(2) said of them. */
#include "cache_internal.h"

#include <stdlib.h>
#include <string.h>

static const int64_t GRAIN = 2; /* seconds within which a file may change unseen */

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

static ce_digest seal_file(const ce_stamp *stamp, const ce_digest *content) {
    ce_digest sum = ce_cache_seal(&stamp->place, &stamp->state);
    return ce_cache_seal(&sum, content);
}

void ce_cache_put_file(ce_cache *c, const ce_stamp *stamp, const ce_digest *content) {
    if (!stamp->is_settled)
        return;
    pthread_mutex_lock(&c->lock);
    if (c->file_count == c->file_room && !c->is_full) {
        size_t room = c->file_room ? c->file_room * 2 : 256;
        ce_pending_file *files = reallocarray(c->files, room, sizeof *files);
        c->files = files ? files : c->files;
        c->file_room = files ? room : c->file_room;
    }
    if (c->file_count < c->file_room && !c->is_full)
        c->files[c->file_count++] = (ce_pending_file){*stamp, *content};
    pthread_mutex_unlock(&c->lock);
}

static int write_file(ce_cache *c, const ce_pending_file *f) {
    ce_digest sum = seal_file(&f->stamp, &f->content);
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

int ce_cache_write_files(ce_cache *c) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < c->file_count && rc == SQLITE_OK; i++)
        rc = write_file(c, &c->files[i]);
    return rc;
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
        ce_digest sum = seal_file(stamp, content);
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
    pthread_mutex_lock(&c->lock);
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
    pthread_mutex_unlock(&c->lock);
    free(order);
}

/* ---- weights ---- */

/* `place`: as the table has it, of the stamp's place and state. */
static ce_digest seal_weights(const ce_digest *place, const char *sha256) {
    ce_digest text = ce_digest_of(sha256, 64);
    return ce_cache_seal(place, &text);
}

bool ce_cache_find_weights(ce_cache *c, const ce_stamp *stamp, char sha256[65]) {
    bool found = false;
    ce_digest place = ce_cache_seal(&stamp->place, &stamp->state);
    pthread_mutex_lock(&c->lock);
    sqlite3_stmt *s = c->is_closed ? NULL : ce_cache_statement(c, CE_SQL_FIND_WEIGHTS);
    if (s) {
        sqlite3_bind_blob(s, 1, place.bytes, sizeof place.bytes, SQLITE_STATIC);
        int rc = sqlite3_step(s);
        const char *text =
            rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
        if (text && strlen(text) == 64) {
            ce_digest sum = seal_weights(&place, text);
            found = stamp->is_settled && blob_is(s, 1, &sum);
            memcpy(sha256, text, 65);
        }
        c->damaged += rc == SQLITE_ROW && stamp->is_settled && !found;
        sqlite3_reset(s);
        ce_cache_note(c, rc, false);
    } else if (!c->is_closed) {
        ce_cache_note(c, sqlite3_errcode(c->db), false);
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

void ce_cache_put_weights(ce_cache *c, const ce_stamp *stamp, const char *sha256) {
    ce_digest place = ce_cache_seal(&stamp->place, &stamp->state);
    ce_digest sum = seal_weights(&place, sha256);
    if (!stamp->is_settled)
        return;
    pthread_mutex_lock(&c->lock);
    sqlite3_stmt *s = c->is_full ? NULL : ce_cache_statement(c, CE_SQL_ADD_WEIGHTS);
    if (s) {
        sqlite3_bind_blob(s, 1, place.bytes, sizeof place.bytes, SQLITE_TRANSIENT);
        sqlite3_bind_text(s, 2, sha256, 64, SQLITE_TRANSIENT);
        sqlite3_bind_blob(s, 3, sum.bytes, sizeof sum.bytes, SQLITE_TRANSIENT);
        ce_cache_note(c, ce_cache_run(c, CE_SQL_ADD_WEIGHTS), true);
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- verify ---- */

static bool take(sqlite3_stmt *s, int column, ce_digest *out) {
    const void *blob = sqlite3_column_blob(s, column);
    bool fits = blob && sqlite3_column_bytes(s, column) == (int)sizeof out->bytes;
    if (fits)
        memcpy(out->bytes, blob, sizeof out->bytes);
    return fits;
}

/* place, state, content, sum */
static bool file_fits(sqlite3_stmt *s) {
    ce_stamp stamp = {0};
    ce_digest content;
    if (!take(s, 0, &stamp.place) || !take(s, 1, &stamp.state) || !take(s, 2, &content))
        return false;
    ce_digest sum = seal_file(&stamp, &content);
    return blob_is(s, 3, &sum);
}

/* place, sha256, sum */
static bool weights_fit(sqlite3_stmt *s) {
    ce_digest place;
    const char *sha256 = (const char *)sqlite3_column_text(s, 1);
    if (!take(s, 0, &place) || !sha256 || strlen(sha256) != 64)
        return false;
    ce_digest sum = seal_weights(&place, sha256);
    return blob_is(s, 2, &sum);
}

/* Drops the entries of a table that do not fit. */
static int verify_table(ce_cache *c, const char *all, const char *drop,
                        bool (*fits)(sqlite3_stmt *), size_t *bad) {
    sqlite3_stmt *s = NULL, *d = NULL;
    int rc = sqlite3_prepare_v2(c->db, all, -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(c->db, drop, -1, &d, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        rc = SQLITE_OK;
        if (fits(s))
            continue;
        ++*bad;
        sqlite3_bind_value(d, 1, sqlite3_column_value(s, 0));
        rc = sqlite3_step(d) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(c->db);
        sqlite3_reset(d);
    }
    sqlite3_finalize(s);
    sqlite3_finalize(d);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int ce_cache_verify_files(ce_cache *c, size_t *bad) {
    int rc = ce_cache_run(c, CE_SQL_BEGIN_WRITE);
    if (rc == SQLITE_OK)
        rc = verify_table(c, "SELECT place, state, content, sum FROM file",
                          "DELETE FROM file WHERE place = ?1", file_fits, bad);
    if (rc == SQLITE_OK)
        rc = verify_table(c, "SELECT place, sha256, sum FROM weights",
                          "DELETE FROM weights WHERE place = ?1", weights_fit, bad);
    return rc == SQLITE_OK ? ce_cache_run(c, CE_SQL_COMMIT) : rc;
}

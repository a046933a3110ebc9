/* clipeval cache stats | gc | verify. */
#include "cache_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_DAYS = 90 /* that a file's digest is kept */, PAGES_AT_ONCE = 4096 };

static int fail_sqlite(ce_cache *c, ce_error *err) {
    return ce_fail(err, CE_EIO, "cache %s: %s", c->directory, sqlite3_errmsg(c->db));
}

/* One row of numbers; those that are NULL are 0. */
static int numbers(ce_cache *c, const char *sql, int64_t *out, int n) {
    sqlite3_stmt *s;
    int rc = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(s);
    for (int i = 0; i < n && rc == SQLITE_ROW; i++)
        out[i] = sqlite3_column_int64(s, i);
    sqlite3_finalize(s);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int list_models(ce_cache *c, ce_cache_model **models, size_t *count) {
    sqlite3_stmt *s;
    int rc = sqlite3_prepare_v2(
        c->db,
        "SELECT s.about, sum(b.rows), sum(b.bytes), max(b.used) FROM block b "
        "JOIN space s ON s.id = b.space GROUP BY s.about ORDER BY 4 DESC, 1",
        -1, &s, NULL);
    if (rc != SQLITE_OK)
        return rc;
    size_t room = 0;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        if (*count == room) {
            room = room ? 2 * room : 16;
            ce_cache_model *larger = reallocarray(*models, room, sizeof *larger);
            if (!larger)
                break;
            *models = larger;
        }
        ce_cache_model *m = &(*models)[(*count)++];
        *m = (ce_cache_model){.rows = (uint64_t)sqlite3_column_int64(s, 1),
                              .bytes = (uint64_t)sqlite3_column_int64(s, 2),
                              .used = sqlite3_column_int64(s, 3)};
        const char *about = (const char *)sqlite3_column_text(s, 0);
        memcpy(m->sha256, about ? about : "", strnlen(about ? about : "", 64));
    }
    sqlite3_finalize(s);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int ce_cache_stats(ce_cache *c, ce_cache_figures *out, ce_cache_model **models,
                   size_t *count, ce_error *err) {
    int64_t n[6] = {0};
    *models = NULL;
    *count = 0;
    pthread_mutex_lock(&c->lock);
    int rc = numbers(c,
                     "SELECT count(*), sum(rows), min(used), max(used), "
                     "(SELECT count(*) FROM space), (SELECT count(*) FROM file) "
                     "FROM block",
                     n, 6);
    if (rc == SQLITE_OK)
        rc = list_models(c, models, count);
    *out = (ce_cache_figures){(uint64_t)ce_cache_bytes(c),
                              c->bound,
                              (uint64_t)n[4],
                              (uint64_t)n[0],
                              (uint64_t)n[1],
                              (uint64_t)n[5],
                              n[2],
                              n[3]};
    int code = rc == SQLITE_OK ? CE_OK : fail_sqlite(c, err);
    pthread_mutex_unlock(&c->lock);
    return code;
}

/* ---- gc ---- */

/* Places without a block, blocks without a body and the other way round, spaces without a
 * block, digests of files that nobody asked about for long. */
static int drop_unused(ce_cache *c) {
    char sql[1024];
    snprintf(sql, sizeof sql,
             "BEGIN IMMEDIATE;"
             "DELETE FROM block WHERE id NOT IN (SELECT id FROM body);"
             "DELETE FROM body WHERE id NOT IN (SELECT id FROM block);"
             "DELETE FROM place WHERE block NOT IN (SELECT id FROM block);"
             "DELETE FROM space WHERE id NOT IN (SELECT space FROM block);"
             "DELETE FROM file WHERE day < %lld OR day > %lld;"
             "COMMIT",
             (long long)(c->began / 86400 - FILE_DAYS), (long long)(c->began / 86400 + 1));
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL);
}

static int give_back(ce_cache *c) {
    char sql[64];
    int rc = SQLITE_OK;
    int64_t left = ce_cache_number(c, CE_SQL_FREE);
    snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", PAGES_AT_ONCE);
    while (left > 0 && rc == SQLITE_OK) {
        rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
        int64_t now_left = ce_cache_number(c, CE_SQL_FREE);
        if (now_left >= left)
            break;
        left = now_left;
    }
    if (rc == SQLITE_OK)
        sqlite3_exec(c->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    return rc;
}

int ce_cache_collect(ce_cache *c, size_t *dropped, ce_error *err) {
    *dropped = 0;
    pthread_mutex_lock(&c->lock);
    int rc = drop_unused(c);
    if (rc == SQLITE_OK)
        rc = ce_cache_evict(c, c->bound, INT64_MAX, dropped);
    if (rc == SQLITE_OK && *dropped > 0)
        rc = drop_unused(c);
    if (rc == SQLITE_OK)
        rc = give_back(c);
    int code = rc == SQLITE_OK ? CE_OK : fail_sqlite(c, err);
    if (rc != SQLITE_OK)
        ce_cache_note(c, rc, true);
    pthread_mutex_unlock(&c->lock);
    return code;
}

/* ---- verify ---- */

/* Whether SQLite's own structure holds. */
static int check_structure(ce_cache *c, bool *holds) {
    sqlite3_stmt *s;
    int rc = sqlite3_prepare_v2(c->db, "PRAGMA integrity_check(1)", -1, &s, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(s);
    const char *word = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
    *holds = word && strcmp(word, "ok") == 0;
    sqlite3_finalize(s);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* Whether every row of the block is found under its key. */
static int check_places(ce_cache *c, const ce_block *b, bool *fits) {
    *fits = true;
    for (size_t i = 0; i < b->rows && *fits; i++) {
        const unsigned char *own = b->bytes + i * sizeof(ce_digest);
        ce_digest key;
        memcpy(key.bytes, own, sizeof key);
        key = ce_digest_join("place", &b->space, &key);
        sqlite3_stmt *s = ce_cache_statement(c, CE_SQL_FIND_PLACE);
        if (!s)
            return sqlite3_errcode(c->db);
        sqlite3_bind_blob(s, 1, key.bytes, sizeof key.bytes, SQLITE_TRANSIENT);
        int rc = sqlite3_step(s);
        int64_t block = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
        int64_t at = rc == SQLITE_ROW ? sqlite3_column_int64(s, 1) : -1;
        /* two runs at once, or two equal pictures, leave a row twice: one place is enough
         */
        *fits = rc == SQLITE_ROW &&
                (block != b->id ||
                 (at >= 0 && (size_t)at < b->rows &&
                  !memcmp(b->bytes + (size_t)at * sizeof key, own, sizeof key)));
        sqlite3_reset(s);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return rc;
    }
    return SQLITE_OK;
}

static int verify_block(ce_cache *c, int64_t id, size_t *bad) {
    ce_block b;
    bool fits = true;
    int rc = ce_cache_run(c, CE_SQL_BEGIN_WRITE);
    if (rc != SQLITE_OK)
        return rc;
    rc = ce_cache_read_block(c, id, &b);
    if (rc == SQLITE_OK)
        rc = check_places(c, &b, &fits);
    if (rc == SQLITE_MISMATCH || (rc == SQLITE_OK && !fits)) {
        ++*bad;
        rc = ce_cache_drop_block(c, id, NULL);
    }
    free(b.bytes);
    rc = rc == SQLITE_NOTFOUND ? SQLITE_OK : rc; /* another process dropped it */
    return rc == SQLITE_OK ? ce_cache_run(c, CE_SQL_COMMIT) : rc;
}

static int verify_blocks(ce_cache *c, size_t *checked, size_t *bad) {
    int rc = SQLITE_OK;
    for (int64_t last[2] = {0, 0}; rc == SQLITE_OK; ++*checked) {
        char sql[96];
        snprintf(sql, sizeof sql,
                 "SELECT id, 1 FROM block WHERE id > %lld ORDER BY id LIMIT 1",
                 (long long)last[0]);
        rc = numbers(c, sql, last, 2);
        if (rc == SQLITE_DONE)
            return SQLITE_OK;
        if (rc == SQLITE_OK)
            rc = verify_block(c, last[0], bad);
    }
    return rc;
}

int ce_cache_verify(ce_cache *c, size_t *checked, size_t *bad, ce_error *err) {
    bool holds = false;
    *checked = 0;
    pthread_mutex_lock(&c->lock);
    *bad = c->damaged; /* found, and repaired, as it was opened */
    int rc = check_structure(c, &holds);
    if (rc == SQLITE_OK && !holds)
        rc = SQLITE_CORRUPT;
    if (rc == SQLITE_OK)
        rc = verify_blocks(c, checked, bad);
    if (rc == SQLITE_OK)
        rc = ce_cache_verify_files(c, bad);
    int code = CE_OK;
    if ((rc & 0xff) == SQLITE_CORRUPT) {
        ++*bad;
        ce_cache_note(c, rc, true); /* starts anew */
        code = c->is_closed ? ce_fail(err, CE_EIO, "%s", c->trouble) : CE_OK;
    } else if (rc != SQLITE_OK) {
        code = fail_sqlite(c, err);
        ce_cache_note(c, rc, true);
    }
    pthread_mutex_unlock(&c->lock);
    return code;
}

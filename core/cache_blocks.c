/* Blocks of rows in the database: reading, adding, joining, dropping. */
#include "cache_internal.h"

#include <stdlib.h>
#include <string.h>

ce_digest ce_cache_seal(const ce_digest *a, const ce_digest *b) {
    return ce_digest_join("seal", a, b);
}

/* Of the content and of all that says how to read it. */
static ce_digest seal_block(const ce_digest *space, size_t rows, size_t width,
                            const void *bytes, size_t size) {
    uint64_t shape[2] = {rows, width};
    ce_digest content = ce_digest_of(bytes, size);
    ce_digest form = ce_digest_of(shape, sizeof shape);
    form = ce_digest_join("block", space, &form);
    return ce_cache_seal(&form, &content);
}

static size_t row_bytes(size_t width) {
    return sizeof(ce_digest) + width * sizeof(float);
}

static bool take_digest(sqlite3_stmt *s, int column, ce_digest *out) {
    const void *blob = sqlite3_column_blob(s, column);
    if (!blob || sqlite3_column_bytes(s, column) != (int)sizeof out->bytes)
        return false;
    memcpy(out->bytes, blob, sizeof out->bytes);
    return true;
}

/* The row that FIND_BODY stands on. */
static int check_block(sqlite3_stmt *s, int64_t id, ce_block *out) {
    ce_digest sum;
    int64_t rows = sqlite3_column_int64(s, 0), width = sqlite3_column_int64(s, 1);
    const void *bytes = sqlite3_column_blob(s, 4);
    int size = sqlite3_column_bytes(s, 4);
    if (rows < 1 || rows > CE_BLOCK_ROWS || width < 1 || width > (1 << 20) || !bytes ||
        (uint64_t)size != (uint64_t)rows * row_bytes((size_t)width) ||
        !take_digest(s, 2, &out->space) || !take_digest(s, 3, &sum))
        return SQLITE_MISMATCH;
    ce_digest own =
        seal_block(&out->space, (size_t)rows, (size_t)width, bytes, (size_t)size);
    if (!ce_digest_equal(&sum, &own))
        return SQLITE_MISMATCH;
    *out = (ce_block){id, (size_t)rows, (size_t)width, out->space, malloc((size_t)size)};
    if (!out->bytes)
        return SQLITE_NOMEM;
    memcpy(out->bytes, bytes, (size_t)size);
    return SQLITE_OK;
}

int ce_cache_read_block(ce_cache *c, int64_t id, ce_block *out) {
    *out = (ce_block){0};
    sqlite3_stmt *s = ce_cache_statement(c, CE_SQL_FIND_BODY);
    if (!s)
        return sqlite3_errcode(c->db);
    sqlite3_bind_int64(s, 1, id);
    int rc = sqlite3_step(s);
    rc = rc == SQLITE_ROW    ? check_block(s, id, out)
         : rc == SQLITE_DONE ? SQLITE_NOTFOUND
                             : rc;
    sqlite3_reset(s);
    return rc;
}

/* ---- adding ---- */

/* Asked anew in each transaction: another process may have dropped the space since, and its
 * number be another one's. */
int ce_cache_need_space(ce_cache *c, ce_space *s) {
    static const ce_statement ways[] = {CE_SQL_FIND_SPACE, CE_SQL_ADD_SPACE,
                                        CE_SQL_FIND_SPACE};
    s->id = 0;
    for (size_t i = 0; i < 3 && s->id == 0; i++) {
        sqlite3_stmt *q = ce_cache_statement(c, ways[i]);
        if (!q)
            return sqlite3_errcode(c->db);
        sqlite3_bind_blob(q, 1, s->key.bytes, sizeof s->key.bytes, SQLITE_STATIC);
        sqlite3_bind_int64(q, 2, (int64_t)s->width);
        if (ways[i] == CE_SQL_ADD_SPACE)
            sqlite3_bind_text(q, 3, s->about, -1, SQLITE_STATIC);
        int rc = sqlite3_step(q);
        if (rc == SQLITE_ROW)
            s->id = sqlite3_column_int64(q, 0);
        sqlite3_reset(q);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return rc;
    }
    return s->id ? SQLITE_OK : SQLITE_CORRUPT;
}

static int add_places(ce_cache *c, int64_t block, const ce_space *s, const ce_digest *keys,
                      size_t n) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        ce_digest key = ce_digest_join("place", &s->key, &keys[i]);
        sqlite3_stmt *q = ce_cache_statement(c, CE_SQL_ADD_PLACE);
        if (!q)
            return sqlite3_errcode(c->db);
        sqlite3_bind_blob(q, 1, key.bytes, sizeof key.bytes, SQLITE_TRANSIENT);
        sqlite3_bind_int64(q, 2, block);
        sqlite3_bind_int64(q, 3, (int64_t)i);
        rc = ce_cache_run(c, CE_SQL_ADD_PLACE);
    }
    return rc;
}

static int add_body(ce_cache *c, const ce_space *s, const unsigned char *bytes, size_t n,
                    int64_t *id) {
    size_t size = n * row_bytes(s->width);
    ce_digest sum = seal_block(&s->key, n, s->width, bytes, size);
    sqlite3_stmt *q = ce_cache_statement(c, CE_SQL_ADD_BODY);
    if (!q)
        return sqlite3_errcode(c->db);
    sqlite3_bind_blob(q, 1, sum.bytes, sizeof sum.bytes, SQLITE_TRANSIENT);
    sqlite3_bind_blob64(q, 2, bytes, size, SQLITE_STATIC);
    int rc = ce_cache_run(c, CE_SQL_ADD_BODY);
    sqlite3_clear_bindings(q);
    *id = sqlite3_last_insert_rowid(c->db);
    return rc;
}

int ce_cache_add_block(ce_cache *c, ce_space *s, const ce_digest *keys, const float *rows,
                       size_t n) {
    int64_t id = 0;
    int rc = ce_cache_need_space(c, s);
    size_t size = n * row_bytes(s->width), at = n * sizeof *keys;
    unsigned char *bytes = rc == SQLITE_OK ? malloc(size) : NULL;
    if (!bytes)
        return rc == SQLITE_OK ? SQLITE_NOMEM : rc;
    memcpy(bytes, keys, at);
    memcpy(bytes + at, rows, size - at);
    rc = add_body(c, s, bytes, n, &id);
    free(bytes);
    sqlite3_stmt *q = rc == SQLITE_OK ? ce_cache_statement(c, CE_SQL_ADD_BLOCK) : NULL;
    if (!q)
        return rc == SQLITE_OK ? sqlite3_errcode(c->db) : rc;
    sqlite3_bind_int64(q, 1, id);
    sqlite3_bind_int64(q, 2, s->id);
    sqlite3_bind_int64(q, 3, (int64_t)n);
    sqlite3_bind_int64(q, 4, (int64_t)size);
    sqlite3_bind_int64(q, 5, (int64_t)time(NULL));
    rc = ce_cache_run(c, CE_SQL_ADD_BLOCK);
    s->written = true;
    return rc == SQLITE_OK ? add_places(c, id, s, keys, n) : rc;
}

/* ---- dropping ---- */

static int run_with(ce_cache *c, ce_statement which, int64_t id) {
    sqlite3_stmt *q = ce_cache_statement(c, which);
    if (!q)
        return sqlite3_errcode(c->db);
    sqlite3_bind_int64(q, 1, id);
    return ce_cache_run(c, which);
}

static int drop_places(ce_cache *c, const ce_block *b) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < b->rows && rc == SQLITE_OK; i++) {
        ce_digest key;
        memcpy(key.bytes, b->bytes + i * sizeof key, sizeof key);
        key = ce_digest_join("place", &b->space, &key);
        sqlite3_stmt *q = ce_cache_statement(c, CE_SQL_DROP_PLACE);
        if (!q)
            return sqlite3_errcode(c->db);
        sqlite3_bind_blob(q, 1, key.bytes, sizeof key.bytes, SQLITE_TRANSIENT);
        sqlite3_bind_int64(q, 2, b->id);
        rc = ce_cache_run(c, CE_SQL_DROP_PLACE);
    }
    return rc;
}

/* Without its content nothing tells a block's keys but a look at every place. */
int ce_cache_drop_block(ce_cache *c, int64_t id, const ce_block *b) {
    int rc = b ? drop_places(c, b) : run_with(c, CE_SQL_DROP_PLACES, id);
    if (rc == SQLITE_OK)
        rc = run_with(c, CE_SQL_DROP_BODY, id);
    return rc == SQLITE_OK ? run_with(c, CE_SQL_DROP_BLOCK, id) : rc;
}

/* ---- room ---- */

int64_t ce_cache_bytes(ce_cache *c) {
    int64_t pages = ce_cache_number(c, CE_SQL_PAGES),
            unused = ce_cache_number(c, CE_SQL_FREE);
    return pages < 0 || unused < 0 ? -1 : (pages - unused) * (int64_t)c->page;
}

/* The block that was used longest ago, if that was before `before`; `*count` is 1 or 0. */
static int evict_one(ce_cache *c, int64_t before, size_t *count) {
    ce_block b = {0};
    *count = 0;
    sqlite3_stmt *s = ce_cache_statement(c, CE_SQL_OLDEST);
    if (!s)
        return sqlite3_errcode(c->db);
    sqlite3_bind_int64(s, 1, before);
    int rc = sqlite3_step(s);
    int64_t id = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_reset(s);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
    rc = ce_cache_read_block(c, id, &b);
    bool is_whole = rc == SQLITE_OK;
    if (is_whole || rc == SQLITE_MISMATCH || rc == SQLITE_NOTFOUND)
        rc = ce_cache_drop_block(c, id, is_whole ? &b : NULL);
    free(b.bytes);
    *count = rc == SQLITE_OK;
    return rc;
}

int ce_cache_evict(ce_cache *c, uint64_t target, int64_t before, size_t *dropped) {
    int rc = SQLITE_OK;
    for (size_t count = 1; count > 0 && rc == SQLITE_OK;) {
        if (ce_cache_bytes(c) <= (int64_t)target)
            break;
        rc = ce_cache_run(c, CE_SQL_BEGIN_WRITE);
        if (rc == SQLITE_OK)
            rc = evict_one(c, before, &count);
        if (rc == SQLITE_OK)
            rc = ce_cache_run(c, CE_SQL_COMMIT);
        *dropped += rc == SQLITE_OK ? count : 0;
    }
    return rc;
}

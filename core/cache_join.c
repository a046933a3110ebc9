/* Small blocks become large ones. */
#include "cache_internal.h"

#include <stdlib.h>
#include <string.h>

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
        if (is_whole && b.width == s->width && ce_digest_equal(&b.space, &s->key) &&
            rows + b.rows <= CE_BLOCK_ROWS) {
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
void ce_cache_join(ce_cache *c, ce_space *s) {
    enum { FEW = 4 };
    joint *j = calloc(1, sizeof *j);
    if (j) {
        j->keys = calloc(CE_BLOCK_ROWS, sizeof *j->keys);
        j->values = calloc(CE_BLOCK_ROWS, s->width * sizeof *j->values);
    }
    int rc = j && j->keys && j->values ? SQLITE_OK : SQLITE_NOMEM;
    while (rc == SQLITE_OK) {
        rc = ce_cache_run(c, CE_SQL_BEGIN_WRITE);
        if (rc == SQLITE_OK)
            rc = ce_cache_need_space(c, s);
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

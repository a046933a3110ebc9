/* The database behind the cache: opening, its schema, and what its errors mean. */
#include "cache_internal.h"

#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char NAME[] = "embeddings-1.sqlite";
static const uint32_t APPLICATION = 0x43456368; /* "CEch" */
enum { PATIENCE = 1000 /* ms that a lock may cost */, MOST_BUSY = 5, TRIES = 20 };

/* In the order of their names. */
static const char *const SCHEMA[] = {
    "CREATE TABLE block(id INTEGER PRIMARY KEY, space INTEGER NOT NULL, "
    "rows INTEGER NOT NULL, bytes INTEGER NOT NULL, used INTEGER NOT NULL)",
    "CREATE TABLE body(id INTEGER PRIMARY KEY, sum BLOB NOT NULL, bytes BLOB NOT NULL)",
    "CREATE TABLE file(place BLOB PRIMARY KEY, state BLOB NOT NULL, content BLOB NOT NULL, "
    "sum BLOB NOT NULL, day INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE place(key BLOB PRIMARY KEY, block INTEGER NOT NULL, at INTEGER NOT NULL) "
    "WITHOUT ROWID",
    "CREATE TABLE space(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, "
    "about TEXT NOT NULL, width INTEGER NOT NULL)",
    "CREATE TABLE weights(place BLOB PRIMARY KEY, sha256 TEXT NOT NULL, "
    "sum BLOB NOT NULL) WITHOUT ROWID",
};
enum { TABLES = sizeof SCHEMA / sizeof *SCHEMA };

#define FIND_BODY                                                                          \
    "SELECT b.rows, s.width, s.key, d.sum, d.bytes, b.used FROM body d JOIN block b "      \
    "ON b.id = d.id JOIN space s ON s.id = b.space WHERE d.id = ?1"

static const char *const SQL[CE_SQL_COUNT] = {
    [CE_SQL_BEGIN] = "BEGIN",
    [CE_SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [CE_SQL_COMMIT] = "COMMIT",
    [CE_SQL_ROLLBACK] = "ROLLBACK",
    [CE_SQL_FIND_PLACE] = "SELECT block, at FROM place WHERE key = ?1",
    [CE_SQL_FIND_BODY] = FIND_BODY,
    [CE_SQL_FIND_FILE] = "SELECT state, content, sum FROM file WHERE place = ?1",
    [CE_SQL_FIND_WEIGHTS] = "SELECT sha256, sum FROM weights WHERE place = ?1",
    [CE_SQL_FIND_SPACE] = "SELECT id FROM space WHERE key = ?1 AND width = ?2",
    [CE_SQL_ADD_SPACE] = "INSERT INTO space(key, width, about) VALUES(?1, ?2, ?3)",
    [CE_SQL_ADD_BODY] = "INSERT INTO body(sum, bytes) VALUES(?1, ?2)",
    [CE_SQL_ADD_BLOCK] = "INSERT INTO block VALUES(?1, ?2, ?3, ?4, ?5)",
    [CE_SQL_ADD_PLACE] = "INSERT OR REPLACE INTO place VALUES(?1, ?2, ?3)",
    [CE_SQL_ADD_FILE] = "INSERT OR REPLACE INTO file VALUES(?1, ?2, ?3, ?4, ?5)",
    [CE_SQL_ADD_WEIGHTS] = "INSERT OR REPLACE INTO weights VALUES(?1, ?2, ?3)",
    [CE_SQL_TOUCH] = "UPDATE block SET used = ?2 WHERE id = ?1 AND used < ?2",
    [CE_SQL_DROP_BODY] = "DELETE FROM body WHERE id = ?1",
    [CE_SQL_DROP_BLOCK] = "DELETE FROM block WHERE id = ?1",
    [CE_SQL_DROP_PLACE] = "DELETE FROM place WHERE key = ?1 AND block = ?2",
    [CE_SQL_DROP_PLACES] = "DELETE FROM place WHERE block = ?1",
    [CE_SQL_SMALL] =
        "SELECT id, rows FROM block WHERE space = ?1 AND rows < ?2 ORDER BY id",
    [CE_SQL_OLDEST] = "SELECT id FROM block WHERE used < ?1 ORDER BY used, id LIMIT 1",
    [CE_SQL_PAGES] = "PRAGMA page_count",
    [CE_SQL_FREE] = "PRAGMA freelist_count",
};

static int execute(ce_cache *c, const char *sql) {
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL);
}

/* ---- statements ---- */

sqlite3_stmt *ce_cache_statement(ce_cache *c, ce_statement which) {
    sqlite3_stmt **s = &c->statements[which];
    if (!*s && sqlite3_prepare_v3(c->db, SQL[which], -1, SQLITE_PREPARE_PERSISTENT, s,
                                  NULL) != SQLITE_OK)
        return NULL;
    sqlite3_reset(*s);
    return *s;
}

int ce_cache_run(ce_cache *c, ce_statement which) {
    bool is_bound = c->statements[which] != NULL;
    sqlite3_stmt *s = is_bound ? c->statements[which] : ce_cache_statement(c, which);
    if (!s)
        return sqlite3_errcode(c->db);
    int rc = sqlite3_step(s);
    sqlite3_reset(s);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int64_t ce_cache_number(ce_cache *c, ce_statement which) {
    sqlite3_stmt *s = ce_cache_statement(c, which);
    int64_t number = s && sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    sqlite3_reset(s);
    return number;
}

static void drop_statements(ce_cache *c) {
    for (size_t i = 0; i < CE_SQL_COUNT; i++) {
        sqlite3_finalize(c->statements[i]);
        c->statements[i] = NULL;
    }
}

/* ---- errors ---- */

static void tell(ce_cache *c, const char *what, const char *then) {
    if (!*c->trouble)
        snprintf(c->trouble, sizeof c->trouble, "cache %s: %s; %s", c->directory, what,
                 then);
}

/* What a lock, a disk or a flipped bit did to a call. */
void ce_cache_note(ce_cache *c, int rc, bool was_writing) {
    static const char stopped[] = "the run goes on without it";
    static const char kept[] = "what is computed from here on is not kept";
    int code = rc & 0xff;
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
        return;
    if (!sqlite3_get_autocommit(c->db))
        execute(c, "ROLLBACK");
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
        c->damaged++;
        if (ce_cache_reset(c) == SQLITE_OK)
            return;
        c->is_closed = c->is_full = true;
        tell(c, "its index is damaged", stopped);
    } else if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
        if (was_writing && ++c->busy < MOST_BUSY)
            return;
        c->is_full = true;
        c->is_closed = c->is_closed || !was_writing;
        tell(c, "another process has locked it", was_writing ? kept : stopped);
    } else if (was_writing) {
        bool no_room = code == SQLITE_FULL || sqlite3_system_errno(c->db) == ENOSPC;
        c->is_full = true;
        tell(c, no_room ? "no space left on its disk" : sqlite3_errmsg(c->db), kept);
    } else {
        c->is_closed = c->is_full = true;
        tell(c, sqlite3_errmsg(c->db), stopped);
    }
}

/* ---- opening ---- */

/* Also for people: names what is in the way, and that it stays. */
static int refuse(const ce_cache *c, const char *why, ce_error *err) {
    return ce_fail(err, CE_EIO, "cache %s: %s; the run goes on without it", c->directory,
                   why);
}

static int refuse_sqlite(const ce_cache *c, int rc, ce_error *err) {
    int code = rc & 0xff;
    const char *why =
        code == SQLITE_CORRUPT && !c->is_signed
            ? "the database in it is none of clipeval's files"
        : code == SQLITE_BUSY || code == SQLITE_LOCKED ? "another process has locked it"
        : code == SQLITE_FULL || (c->db && sqlite3_system_errno(c->db) == ENOSPC)
            ? "no space left on its disk"
        : code == SQLITE_READONLY ? "it cannot be written (read-only)"
        : c->db                   ? sqlite3_errmsg(c->db)
                                  : sqlite3_errstr(rc);
    return refuse(c, why, err);
}

/* A file is ours where its header says so (SQLite file format, 1.3: the application's
 * number is at 68). An empty one is nobody's. One that says nothing may be what a kill left
 * of a beginning: its tables tell, see configure(). */
static int check_file(ce_cache *c, ce_error *err) {
    unsigned char header[100];
    struct stat st;
    char why[128];
    if (lstat(c->path, &st) < 0)
        return errno == ENOENT ? CE_OK : refuse(c, strerror(errno), err);
    snprintf(why, sizeof why, "%s in it is none of clipeval's files", NAME);
    if (!S_ISREG(st.st_mode))
        return refuse(c, why, err);
    if (st.st_size == 0)
        return CE_OK;
    int fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return refuse(c, strerror(errno), err);
    ssize_t n = read(fd, header, sizeof header);
    close(fd);
    const unsigned char *a = header + 68;
    uint32_t application =
        (uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 | (uint32_t)a[2] << 8 | (uint32_t)a[3];
    bool is_sqlite = n == (ssize_t)sizeof header && !memcmp(header, "SQLite format 3", 16);
    c->is_signed = is_sqlite && application == APPLICATION;
    return c->is_signed || (is_sqlite && application == 0) ? CE_OK : refuse(c, why, err);
}

static int create(ce_cache *c) {
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA application_id = %u", APPLICATION);
    int rc = execute(c, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < TABLES && rc == SQLITE_OK; i++)
        rc = execute(c, SCHEMA[i]);
    if (rc == SQLITE_OK)
        rc = execute(c, sql);
    if (rc == SQLITE_OK)
        rc = execute(c, "COMMIT");
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(c->db))
        execute(c, "ROLLBACK");
    return rc;
}

/* SQLITE_OK: the tables are ours to the letter; SQLITE_EMPTY: there are none. No trigger
 * and no view of somebody else's runs here. */
static int check_schema(ce_cache *c) {
    sqlite3_stmt *s;
    size_t i = 0;
    int rc = sqlite3_prepare_v2(c->db,
                                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL "
                                "ORDER BY name",
                                -1, &s, NULL);
    if (rc != SQLITE_OK)
        return rc;
    bool same = true;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        const char *sql = (const char *)sqlite3_column_text(s, 0);
        same = same && i < TABLES && sql && strcmp(sql, SCHEMA[i]) == 0;
        i++;
    }
    sqlite3_finalize(s);
    if (rc != SQLITE_DONE)
        return rc;
    return i == 0 ? SQLITE_EMPTY : same && i == TABLES ? SQLITE_OK : SQLITE_CORRUPT;
}

int ce_cache_reset(ce_cache *c) {
    drop_statements(c);
    for (size_t i = 0; i < CE_RECENT_BLOCKS; i++) {
        free(c->recent[i].bytes);
        c->recent[i] = (ce_block){0};
    }
    int rc = sqlite3_db_config(c->db, SQLITE_DBCONFIG_RESET_DATABASE, 1, (int *)NULL);
    if (rc == SQLITE_OK)
        rc = execute(c, "VACUUM");
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_RESET_DATABASE, 0, (int *)NULL);
    return rc == SQLITE_OK ? create(c) : rc;
}

/* Nothing is written to a file that is not known to be ours. Where the file system has no
 * shared memory, WAL is refused, and the rollback journal stays: slower, as safe. Nothing
 * is synced but at checkpoints: a loss of power costs what was written last, never the
 * rest. */
static int configure(ce_cache *c) {
    sqlite3_busy_timeout(c->db, PATIENCE);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
    int rc = c->is_signed ? SQLITE_OK : check_schema(c);
    if (rc != SQLITE_OK && rc != SQLITE_EMPTY)
        return rc;
    return execute(c, "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; "
                      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; "
                      "PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384; "
                      "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY");
}

/* Two processes that create one file at once find it locked for a moment, at places where
 * SQLite does not wait. */
static int set_up(ce_cache *c) {
    int rc = SQLITE_BUSY;
    for (int i = 0; i < TRIES && (rc & 0xff) == SQLITE_BUSY; i++) {
        if (i > 0)
            usleep(20000);
        rc = configure(c);
        if (rc == SQLITE_OK && (rc = check_schema(c)) == SQLITE_EMPTY)
            rc = create(c);
        if (rc == SQLITE_ERROR) /* the other one's tables came in between */
            rc = check_schema(c);
        if (rc == SQLITE_BUSY && i > 0)
            break; /* that was a second of waiting */
    }
    bool is_broken = (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
    if (is_broken && c->is_signed) {
        c->damaged++;
        rc = ce_cache_reset(c);
    }
    return rc;
}

static int connect_file(ce_cache *c, ce_error *err) {
    int code = check_file(c, err);
    if (code < 0)
        return code;
    int rc =
        sqlite3_open_v2(c->path, &c->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                            SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE,
                        NULL);
    if (rc == SQLITE_OK && sqlite3_db_readonly(c->db, "main") == 1)
        rc = SQLITE_READONLY;
    if (rc == SQLITE_OK)
        rc = set_up(c);
    if (rc != SQLITE_OK)
        return refuse_sqlite(c, rc, err);
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(c->db, "PRAGMA page_size", -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW)
        c->page = (uint64_t)sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return CE_OK;
}

/* Links on the way to the directory are the user's own; the file itself may be none. */
int ce_cache_connect(ce_cache *c, ce_error *err) {
    char real[PATH_MAX];
    ce_error cause;
    if (ce_make_directories(c->directory, &cause) < 0)
        return ce_fail(err, cause.code, "cache: %s; the run goes on without it",
                       cause.message);
    if (!realpath(c->directory, real))
        return refuse(c, strerror(errno), err);
    if (access(real, W_OK | X_OK) < 0)
        return refuse(c, strerror(errno), err);
    if (asprintf(&c->path, "%s/%s", real, NAME) < 0)
        return ce_fail(err, CE_ENOMEM, "cache: out of memory");
    return connect_file(c, err);
}

void ce_cache_disconnect(ce_cache *c) {
    drop_statements(c);
    sqlite3_close_v2(c->db);
    c->db = NULL;
}

bool ce_cache_exists(const char *directory) {
    struct stat st;
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", directory, NAME);
    return n > 0 && (size_t)n < sizeof path && lstat(path, &st) == 0;
}

/* What the files of the cache share; see cache.h. Everything here is called with the lock
 * held. */
#ifndef CE_CACHE_INTERNAL_H
#define CE_CACHE_INTERNAL_H

#include "cache.h"

#include <pthread.h>
#include <sqlite3.h>
#include <time.h>

typedef enum ce_statement {
    CE_SQL_BEGIN,
    CE_SQL_BEGIN_WRITE,
    CE_SQL_COMMIT,
    CE_SQL_ROLLBACK,
    CE_SQL_FIND_PLACE,
    CE_SQL_FIND_BODY,
    CE_SQL_FIND_FILE,
    CE_SQL_FIND_WEIGHTS,
    CE_SQL_FIND_SPACE,
    CE_SQL_ADD_SPACE,
    CE_SQL_ADD_BODY,
    CE_SQL_ADD_BLOCK,
    CE_SQL_ADD_PLACE,
    CE_SQL_ADD_FILE,
    CE_SQL_ADD_WEIGHTS,
    CE_SQL_TOUCH,
    CE_SQL_DROP_BODY,
    CE_SQL_DROP_BLOCK,
    CE_SQL_DROP_PLACE,
    CE_SQL_DROP_PLACES,
    CE_SQL_SMALL,
    CE_SQL_OLDEST,
    CE_SQL_PAGES,
    CE_SQL_FREE,
    CE_SQL_COUNT
} ce_statement;

/* A block as it was read: checked, or empty. */
typedef struct ce_block {
    int64_t id;
    size_t rows, width;
    ce_digest space;
    unsigned char *bytes; /* keys [rows, 16], floats [rows, width] */
} ce_block;

enum {
    CE_BLOCK_ROWS = 4096,  /* at most */
    CE_SMALL_BLOCK = 1024, /* rows: fewer, and the block is joined with others */
    CE_RECENT_BLOCKS = 4   /* that were read stay at hand */
};

struct ce_space {
    ce_space *next;
    int64_t id; /* in this transaction: see ce_cache_need_space */
    ce_digest key;
    char about[65];
    size_t width, count, room; /* rows that are pending */
    ce_digest *keys;
    float *rows;
    bool written; /* a block since the last join */
};

typedef struct ce_pending_file {
    ce_stamp stamp;
    ce_digest content;
} ce_pending_file;

struct ce_cache {
    pthread_mutex_t lock;
    char *directory, *path;
    sqlite3 *db;
    sqlite3_stmt *statements[CE_SQL_COUNT];
    uint64_t bound, page;
    bool is_signed; /* the file's header says whose it is */
    bool is_closed; /* nothing is read any more */
    bool is_full;   /* nothing is written any more */
    int busy;       /* writes in a row that found the file locked */
    char trouble[4608];
    size_t damaged;
    int64_t began;  /* seconds since 1970 */
    double flushed; /* monotonic */
    ce_space *spaces;
    ce_pending_file *files;
    size_t file_count, file_room;
    ce_block recent[CE_RECENT_BLOCKS];
    size_t next_recent;
};

int ce_cache_connect(ce_cache *c, ce_error *err); /* cache_open.c */
void ce_cache_disconnect(ce_cache *c);

/* Starts an empty database in place of a malformed one of ours. */
int ce_cache_reset(ce_cache *c);

/* What a result code other than SQLITE_OK, _ROW and _DONE means for what is to come. */
void ce_cache_note(ce_cache *c, int rc, bool was_writing);

/* The statement, ready to be bound; NULL: it cannot be prepared (noted). */
sqlite3_stmt *ce_cache_statement(ce_cache *c, ce_statement which);

/* Steps a statement that gives no row, with its resetting; a result code. */
int ce_cache_run(ce_cache *c, ce_statement which);
/* A statement with a number for an answer; -1 where it fails. */
int64_t ce_cache_number(ce_cache *c, ce_statement which);

/* Reads and checks a block. SQLITE_OK, SQLITE_NOTFOUND, SQLITE_MISMATCH (its digest does
 * not fit) or another result code. The caller frees out->bytes. */
int ce_cache_read_block(ce_cache *c, int64_t id, ce_block *out);

/* Inside a write transaction: finds the space's number, makes one where it has none. */
int ce_cache_need_space(ce_cache *c, ce_space *s);
int ce_cache_add_block(ce_cache *c, ce_space *s, const ce_digest *keys, const float *rows,
                       size_t n);
int ce_cache_drop_block(ce_cache *c, int64_t id,
                        const ce_block *b); /* b NULL: unreadable */

/* Bytes in use. */
int64_t ce_cache_bytes(ce_cache *c);

/* Drops blocks that were last used before `before` until at most `target` bytes are in use,
 * each in a transaction of its own. */
int ce_cache_evict(ce_cache *c, uint64_t target, int64_t before, size_t *dropped);

/* Joins the small blocks of a space, in transactions of their own. */
void ce_cache_join(ce_cache *c, ce_space *s);

/* The pending digests of files, inside a write transaction. */
int ce_cache_write_files(ce_cache *c);

/* Drops what does not fit its digest among the files and the weights, and counts it. */
int ce_cache_verify_files(ce_cache *c, size_t *bad);

/* What protects a small entry from flipped bits: of its two parts. */
ce_digest ce_cache_seal(const ce_digest *a, const ce_digest *b);

#endif

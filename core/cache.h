/* Embeddings that were computed before, found again by what they were computed from.
 *
 *     ce_cache *cache;
 *     ce_cache_open(&cache, "/home/me/.cache/clipeval", 20000000000, &err);
 *     ce_space *space = ce_cache_space(cache, identity, sha256, d);
 *     ce_cache_find(cache, space, keys, n, rows, d, found); // what is there
 *     ce_cache_put(cache, space, &key, row);                // what was computed instead
 *     ce_cache_flush(cache);                                // in one transaction
 *     ce_cache_close(cache);
 *
 * A key is a digest of content, a space of all else that the numbers depend on (see
 * identity.h): no path, no clock and no batch is part of either, so what is found is bit
 * for bit what would be computed.
 *
 * Nothing here fails a run. Past ce_cache_open nothing returns an error: what cannot be
 * read is not found, what cannot be written is not kept, and ce_cache_trouble says why. A
 * handle may be used by several threads, a directory by several processes.
 *
 * On disk: one SQLite database, DIRECTORY/embeddings-1.sqlite (the number is that of this
 * layout; another one is another file), in WAL mode. Tables:
 *
 *     space   what a space is: its digest, the weights' SHA-256, the width of a row
 *     block   a batch of rows of one space: how many, their bytes, when they were last used
 *     body    its content: keys [rows, 16], then embeddings [rows, width] as float32 in the
 *             machine's order; and a digest of these, the space and the numbers of `block`
 *     place   key and space, as one digest -> block, and the row in it
 *     file    device, inode, offset and size -> change times, and the digest of the content
 *     weights the same of a checkpoint's files -> their SHA-256
 *
 * Whatever is read is checked against its digest before it is believed, a row also against
 * its key, so a flipped bit costs a computation and never a figure. Why SQLite holds the
 * blocks too, and not files beside it: a block and its places appear in one transaction, so
 * no moment of a kill leaves one without the other, and nothing needs to be collected.
 */
#ifndef CE_CACHE_H
#define CE_CACHE_H

#include "digest.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

typedef struct ce_cache ce_cache;
typedef struct ce_space ce_space;

/* Makes the directory where there is none. Errors say why there can be no cache: the place
 * cannot be written, is locked by another process, or holds a file that is none of ours
 * (which is not touched). `bound`: bytes that the file may hold. */
int ce_cache_open(ce_cache **out, const char *directory, uint64_t bound, ce_error *err);

/* Writes what is pending. NULL is fine. */
void ce_cache_close(ce_cache *c);

/* NULL, or one line: why nothing more is read or kept. */
const char *ce_cache_trouble(ce_cache *c);

/* Blocks and entries that did not fit their digest so far. They are dropped. */
size_t ce_cache_damaged(ce_cache *c);

/* The space of `identity`, which rows of `width` floats belong to; `about` (a weights'
 * SHA-256) is for ce_cache_stats. Borrowed from the cache. NULL: out of memory. */
ce_space *ce_cache_space(ce_cache *c, const char *identity, const char *about,
                         size_t width);

/* found[i]: keys[i] is there, and rows[i * stride ..] holds its row. Others are left
 * alone. Returns how many were found. */
size_t ce_cache_find(ce_cache *c, ce_space *s, const ce_digest *keys, size_t n, float *rows,
                     size_t stride, bool *found);

/* Keeps a row [width]: the next flush writes it. */
void ce_cache_put(ce_cache *c, ce_space *s, const ce_digest *key, const float *row);

/* Writes what is pending where it is worth a transaction: enough rows, or half a second
 * since the last one. */
void ce_cache_tick(ce_cache *c);

/* Writes what is pending, and joins small blocks of the spaces that were written to. */
void ce_cache_flush(ce_cache *c);

/* ---- what a file held ---- */

/* A file, or a part of one, as it was found. */
typedef struct ce_stamp {
    ce_digest place; /* device, inode, and the part */
    ce_digest state; /* its size, and when it was last changed, to the nanosecond */
    /* changed longer ago than a clock's grain: git's "racily clean" rule */
    bool is_settled;
} ce_stamp;

/* Of what stat(2) says now; offset and size are 0 for a whole file. */
ce_stamp ce_stamp_of(const struct stat *st, uint64_t offset, uint64_t size);

/* found[i]: the content of stamps[i] is known, contents[i] is its digest. */
void ce_cache_find_files(ce_cache *c, const ce_stamp *stamps, size_t n, ce_digest *contents,
                         bool *found);

/* Keeps the content's digest, where the stamp is settled. */
void ce_cache_put_file(ce_cache *c, const ce_stamp *stamp, const ce_digest *content);

/* The same of weights: 64 hex digits. */
bool ce_cache_find_weights(ce_cache *c, const ce_stamp *stamp, char sha256[65]);
void ce_cache_put_weights(ce_cache *c, const ce_stamp *stamp, const char *sha256);

/* ---- the whole ---- */

typedef struct ce_cache_figures {
    uint64_t bytes, bound; /* of the file, less what is free in it */
    uint64_t spaces, blocks, rows, files;
    int64_t oldest, newest; /* seconds since 1970 when a block was last used; 0: none */
} ce_cache_figures;

typedef struct ce_cache_model {
    char sha256[65];
    uint64_t rows, bytes;
    int64_t used;
} ce_cache_model;

/* `models` [*count] is malloc'd: what there is of each weights' hash, most used last
 * first. */
int ce_cache_stats(ce_cache *c, ce_cache_figures *out, ce_cache_model **models,
                   size_t *count, ce_error *err);

/* Drops blocks, the least recently used first, until the rest fits the bound; and what
 * nothing refers to. Gives the room back to the file system. `dropped`: blocks. */
int ce_cache_collect(ce_cache *c, size_t *dropped, ce_error *err);

/* Checks every digest, drops what does not fit. `bad`: blocks and entries that did not. */
int ce_cache_verify(ce_cache *c, size_t *checked, size_t *bad, ce_error *err);

/* Whether there is a cache in the directory. */
bool ce_cache_exists(const char *directory);

#endif

/* Files as a run needs them: whole reads, sorted listings, hashes, atomic directories. */
#ifndef CE_FS_H
#define CE_FS_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads a whole regular file (a directory, or larger than `max`, is an error); `**out` is
 * malloc'd, NUL-terminated behind `*size` bytes. */
int ce_file_read(char **out, size_t *size, const char *path, size_t max, ce_error *err);

/* Opens a regular file for ce_file_read_at; `*size` is its length. The caller closes `*fd`.
 */
int ce_file_open(int *fd, uint64_t *size, const char *path, ce_error *err);

/* Exactly `size` bytes from byte `offset` on; CE_EFORMAT where the file ends before. */
int ce_file_read_at(void *out, size_t size, int fd, uint64_t offset, const char *path,
                    ce_error *err);

/* Names in a directory, sorted by byte value, without "." and ".."; `is_dir` follows
 * links. Names that are not UTF-8 are kept as they are. */
typedef struct ce_listing {
    size_t count;
    char **names;
    bool *is_dir;
} ce_listing;
int ce_list_directory(ce_listing *out, const char *path, ce_error *err);
void ce_listing_free(ce_listing *l);

/* SHA-256 as 64 hex digits + NUL. The file is streamed. */
int ce_sha256_file(char out[65], const char *path, ce_error *err);
int ce_sha256_descriptor(char out[65], int fd, const char *name,
                         ce_error *err); /* from 0 */
void ce_sha256(char out[65], const void *data, size_t size);

/* Makes `path` (and its parents); an existing directory is fine. */
int ce_make_directories(const char *path, ce_error *err);

/* A directory that appears at `path` all at once or not at all: begin makes a sibling
 * "PATH.tmp-XXXXXX" and gives its name; files are written there; commit fsyncs every
 * file and the directory and renames it to `path`, which must not exist or be an empty
 * directory (begin makes its parents, and says early where it is taken); abort removes the
 * temporary one. `temporary` is malloc'd by begin and freed by commit and abort. Where
 * commit fails to write, the temporary directory goes; where only the name was taken
 * meanwhile, it stays, complete, and the message names it. */
int ce_directory_begin(char **temporary, const char *path, ce_error *err);
int ce_directory_commit(char *temporary, const char *path, ce_error *err);
void ce_directory_abort(char *temporary);

/* Whether there is anything at `path`, links followed. CE_EIO: nothing can be told (a
 * directory that cannot be searched), or a link leads nowhere, as an interrupted download
 * leaves it: taken for absent, the next best file would stand in for it unnoticed. */
int ce_path_exists(bool *out, const char *path, ce_error *err);

#endif

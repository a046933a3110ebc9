/* The members of a tar file: where each one's bytes lie. Nothing is unpacked or copied, so
 * that a picture is read from the archive as from a file of its own (core/image.h).
 *
 *     ce_tar *tar;
 *     ce_tar_open(&tar, "test/0.tar", &err);
 *     for (size_t i = 0; i < ce_tar_count(tar); i++) {
 *         const ce_tar_member *m = ce_tar_at(tar, i);
 *         ... m->name, m->offset, m->size: checked to lie inside the file ...
 *     }
 *     ce_tar_free(tar);
 *
 * Formats: v7, ustar (POSIX.1-1988), pax (POSIX.1-2001, pax utility, "pax Interchange
 * Format") and GNU's (long names, sizes in base 256; GNU tar manual, "Basic Tar Format").
 */
#ifndef CE_TAR_H
#define CE_TAR_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_tar_member {
    const char
        *name; /* relative, without "./" in front, never with ".."; bytes as stored */
    uint64_t offset, size; /* of its content, in the file */
} ce_tar_member;

typedef struct ce_tar ce_tar;

/* Reads every header of `path`, and checks its sum. Directories are no members.
 * CE_EFORMAT: no tar file, broken, truncated (also between two members: the end of an
 * archive is marked), or with names that lead out of it. CE_EUNSUPPORTED: compressed, or
 * with a member that is no plain file: a link, sparse, a device, of several volumes.
 * Messages name `path` and the member. */
int ce_tar_open(ce_tar **out, const char *path, ce_error *err);
void ce_tar_free(ce_tar *tar);

/* i < count, in the archive's order. A name that occurs twice is here twice. */
size_t ce_tar_count(const ce_tar *tar);
const ce_tar_member *ce_tar_at(const ce_tar *tar, size_t i);

#endif

/* The members of a ZIP archive that lies in memory: where each one's bytes are. Nothing is
 * unpacked or copied; format: PKWARE's APPNOTE 6.3, with ZIP64. An archive whose
 * two accounts of a member differ, whose members overlap or bear one name, is refused.
 * Checksums are not computed: that would read every byte.
 *
 *     ce_zip *zip;
 *     ce_zip_open(&zip, bytes, size, "model.pt", &err);
 *     const ce_zip_member *m = ce_zip_find(zip, "model/data.pkl", 14);
 *     if (m && m->stored)
 *         ... m->data, m->size: checked to lie inside `bytes` ...
 *     ce_zip_free(zip);
 */
#ifndef CE_ZIP_H
#define CE_ZIP_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct ce_zip_member {
    const char *name; /* in the archive: no NUL behind it */
    size_t name_size;
    const unsigned char *data;
    size_t size;      /* of `data` */
    bool stored;      /* false: compressed or encrypted, `data` is not its content */
    size_t header_at; /* of its local header, in the archive */
} ce_zip_member;

typedef struct ce_zip ce_zip;

/* Borrows `bytes`. CE_EFORMAT: broken or contradictory; names `path` and the member. */
int ce_zip_open(ce_zip **out, const unsigned char *bytes, size_t size, const char *path,
                ce_error *err);
void ce_zip_free(ce_zip *zip);

/* i < count, sorted by name. */
size_t ce_zip_count(const ce_zip *zip);
const ce_zip_member *ce_zip_at(const ce_zip *zip, size_t i);

/* NULL where there is none. */
const ce_zip_member *ce_zip_find(const ce_zip *zip, const char *name, size_t size);

#endif

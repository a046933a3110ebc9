/* RFC 4180: reading through libcsv, writing by hand (quotes only where needed, "\n" ends).
 *
 *     ce_csv *csv;
 *     ce_csv_read(&csv, "manifest.csv", ',', &err);
 *     for (size_t r = 0; r < csv->rows; r++)
 *         puts(ce_csv_field(csv, r, 0));
 *     ce_csv_free(csv);
 */
#ifndef CE_CSV_H
#define CE_CSV_H

#include "error.h"

#include <stddef.h>
#include <stdio.h>

typedef struct ce_csv {
    size_t rows;          /* the header is row 0 */
    size_t *first;        /* [rows + 1]: index of a row's first field */
    size_t *line;         /* [rows]: 1-based line in the file where the row starts */
    size_t *field_offset; /* [first[rows]]: where each field starts in `text` */
    char *text;           /* all fields, NUL-terminated */
} ce_csv;

/* Reads a whole file (strict: a stray or missing quote is CE_EFORMAT with its line; so is
 * a NUL byte, or invalid UTF-8). A byte-order mark is skipped, blank lines are left out: a
 * line that holds nothing at all, so `""` alone is a row. Spaces belong to their field. */
int ce_csv_read(ce_csv **out, const char *path, char delimiter, ce_error *err);
void ce_csv_free(ce_csv *csv);
size_t ce_csv_fields(const ce_csv *csv, size_t row); /* fields in a row */
/* Borrowed; NULL past the row's last field. */
const char *ce_csv_field(const ce_csv *csv, size_t row, size_t field);

/* Writes one field, quoted where it holds a comma, quote, CR or LF. (The only field of a
 * row must not be empty: that would be a blank line.) */
void ce_csv_put(FILE *f, const char *field, size_t size);

#endif

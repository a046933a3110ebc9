#include "csv.h"

#include "fs.h"

/* libcsv's own header: plain <csv.h> would be ours again, for core/ is searched first. */
#include <../include/csv.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_BYTES = 1 << 30, BLOCK = 1 << 16 };

typedef struct reader {
    const char *path;
    ce_csv *csv;
    size_t fields, text_used; /* so far, of all rows */
    size_t field_room, first_room, line_room;
    size_t row_line;          /* where the row being read starts */
    bool row_done, no_memory; /* set by the callbacks, which return nothing */
} reader;

/* Appends to an array of which `used` entries are taken. */
static bool append(size_t **array, size_t *room, size_t used, size_t value) {
    if (used == *room) {
        size_t wanted = *room ? *room * 2 : 256;
        size_t *larger = reallocarray(*array, wanted, sizeof **array);
        if (!larger)
            return false;
        *array = larger;
        *room = wanted;
    }
    (*array)[used] = value;
    return true;
}

/* `text` has room for the NULs too: each field but the file's last gave up a delimiter or
 * a line's end. */
static void on_field(void *field, size_t size, void *context) {
    reader *r = context;
    ce_csv *csv = r->csv;
    if (r->no_memory ||
        !append(&csv->field_offset, &r->field_room, r->fields, r->text_used)) {
        r->no_memory = true;
        return;
    }
    r->fields++;
    if (size)
        memcpy(csv->text + r->text_used, field, size);
    r->text_used += size;
    csv->text[r->text_used++] = '\0';
}

static void on_row(int terminator, void *context) {
    (void)terminator;
    reader *r = context;
    ce_csv *csv = r->csv;
    if (r->no_memory || !append(&csv->line, &r->line_room, csv->rows, r->row_line) ||
        !append(&csv->first, &r->first_room, csv->rows + 1, r->fields)) {
        r->no_memory = true;
        return;
    }
    csv->rows++;
    r->row_done = true;
}

/* RFC 4180, 2.4: spaces are part of a field. libcsv would trim them. */
static int no_space(unsigned char c) {
    (void)c;
    return 0;
}

/* Bytes up to and with the next LF, CR LF or CR. */
static size_t line_length(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n')
            return i + 1;
        if (text[i] == '\r')
            return i + 1 < size && text[i + 1] == '\n' ? i + 2 : i + 1;
    }
    return size;
}

static int check_text(const reader *r, size_t number, const char *line, size_t length,
                      ce_error *err) {
    for (size_t i = 0; i < length;) {
        utf8proc_int32_t c = (unsigned char)line[i];
        utf8proc_ssize_t n = 1;
        if (c == 0)
            return ce_fail(err, CE_EFORMAT, "%s:%zu: a NUL byte", r->path, number);
        if (c >= 128)
            n = utf8proc_iterate((const utf8proc_uint8_t *)line + i,
                                 (utf8proc_ssize_t)(length - i), &c);
        if (n <= 0)
            return ce_fail(err, CE_EFORMAT, "%s:%zu: not UTF-8 (byte 0x%02x)", r->path,
                           number, (unsigned)(unsigned char)line[i]);
        i += (size_t)n;
    }
    return CE_OK;
}

static int fail_memory(const reader *r, ce_error *err) {
    return ce_fail(err, CE_ENOMEM, "%s: no memory for its fields", r->path);
}

/* A quote that was opened by mistake shows only where the next one comes, so a fault
 * inside a row of several lines also tells where that row starts. */
static int fail_quote(const reader *r, size_t number, char at, ce_error *err) {
    const char *fault =
        at == '"' ? "a quote inside an unquoted field" : "text after a closing quote";
    if (number == r->row_line)
        return ce_fail(err, CE_EFORMAT, "%s:%zu: %s", r->path, number, fault);
    return ce_fail(err, CE_EFORMAT, "%s:%zu: %s (the row starts in line %zu)", r->path,
                   number, fault, r->row_line);
}

/* A line at a time, because libcsv does not say where it is when it calls back. */
static int parse(reader *r, struct csv_parser *parser, const char *text, size_t size,
                 ce_error *err) {
    bool in_row = false;
    size_t number = 0;
    for (size_t at = 0, length; at < size; at += length) {
        length = line_length(text + at, size - at);
        number++;
        if (!in_row)
            r->row_line = number;
        int code = check_text(r, number, text + at, length, err);
        if (code < 0)
            return code;
        r->row_done = false;
        size_t parsed = csv_parse(parser, text + at, length, on_field, on_row, r);
        if (r->no_memory || (parsed < length && csv_error(parser) != CSV_EPARSE))
            return fail_memory(r, err);
        if (parsed < length)
            return fail_quote(r, number, text[at + parsed], err);
        bool blank = text[at] == '\n' || text[at] == '\r';
        in_row = !r->row_done && (in_row || !blank);
    }
    if (csv_fini(parser, on_field, on_row, r) < 0 && csv_error(parser) == CSV_EPARSE)
        return ce_fail(err, CE_EFORMAT, "%s:%zu: a quote is not closed", r->path,
                       r->row_line);
    return r->no_memory || csv_error(parser) ? fail_memory(r, err) : CE_OK;
}

int ce_csv_read(ce_csv **out, const char *path, char delimiter, ce_error *err) {
    if (strchr("\"\r\n", delimiter) || (unsigned char)delimiter >= 128)
        return ce_fail(err, CE_EINVAL, "%s: this delimiter cannot be used", path);
    char *bytes = NULL;
    size_t size = 0;
    int code = ce_file_read(&bytes, &size, path, MAX_BYTES, err);
    if (code < 0)
        return code;
    size_t mark = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    struct csv_parser parser;
    csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI);
    csv_set_delim(&parser, (unsigned char)delimiter);
    csv_set_space_func(&parser, no_space);
    csv_set_blk_size(&parser, BLOCK);
    reader r = {.path = path, .csv = calloc(1, sizeof *r.csv)};
    if (!r.csv || !append(&r.csv->first, &r.first_room, 0, 0) ||
        !(r.csv->text = malloc(size + 1)))
        code = fail_memory(&r, err);
    else
        code = parse(&r, &parser, bytes + mark, size - mark, err);
    csv_free(&parser);
    free(bytes);
    if (code < 0)
        ce_csv_free(r.csv);
    else
        *out = r.csv;
    return code;
}

void ce_csv_free(ce_csv *csv) {
    if (!csv)
        return;
    free(csv->first);
    free(csv->line);
    free(csv->field_offset);
    free(csv->text);
    free(csv);
}

size_t ce_csv_fields(const ce_csv *csv, size_t row) {
    return csv->first[row + 1] - csv->first[row];
}

const char *ce_csv_field(const ce_csv *csv, size_t row, size_t field) {
    if (field >= ce_csv_fields(csv, row))
        return NULL;
    return csv->text + csv->field_offset[csv->first[row] + field];
}

void ce_csv_put(FILE *f, const char *field, size_t size) {
    bool quote = false;
    for (size_t i = 0; i < size && !quote; i++)
        quote = field[i] == ',' || field[i] == '"' || field[i] == '\n' || field[i] == '\r';
    if (!quote) {
        fwrite(field, 1, size, f);
        return;
    }
    putc('"', f);
    for (size_t i = 0; i < size; i++) {
        if (field[i] == '"')
            putc('"', f);
        putc(field[i], f);
    }
    putc('"', f);
}

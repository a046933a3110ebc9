/* Finds where an element ends by counting brackets, and leaves its syntax to jansson. */
#include "json_records.h"

#include "fs.h"
#include "unicode.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const size_t max_bytes = (size_t)4 << 30; /* GQA's largest file is 1.4 GB */

typedef enum form { ARRAY, OBJECT, LINES } form;

struct ce_json_records {
    char *path, *text;
    const char *at, *end, *begin; /* begin: of the last element */
    const char *counted;          /* `line` is the line of this place */
    size_t line;
    json_t *key; /* of the last element */
    form form;
    bool in_member, begun, ended;
};

/* Counts on from the place that was asked for last, so that all calls together read a file
 * once: many have no line ends at all. */
static size_t line_of(ce_json_records *r, const char *place) {
    for (; r->counted < place; r->counted++) {
        const char *next = memchr(r->counted, '\n', (size_t)(place - r->counted));
        r->counted = next ? next : place - 1;
        r->line += next != NULL;
    }
    return r->line;
}

size_t ce_json_records_line(const ce_json_records *r) {
    return r->line;
}

static int fault(ce_json_records *r, const char *what, ce_error *err) {
    return ce_fail(err, CE_EFORMAT, "%s:%zu: %s", r->path, line_of(r, r->at), what);
}

static void skip_space(ce_json_records *r) {
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

static bool take(ce_json_records *r, char c) {
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* From behind its opening quote to behind its closing one. */
static void skip_string(ce_json_records *r) {
    while (r->at < r->end && *r->at != '"')
        r->at += *r->at == '\\' && r->end - r->at > 1 ? 2 : 1;
    r->at += r->at < r->end;
}

/* To behind one value: its brackets match in number, which is all that is looked at. */
static void skip_value(ce_json_records *r) {
    size_t depth = 0;
    while (r->at < r->end) {
        char c = *r->at;
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return;
        r->at++;
        if (c == '"')
            skip_string(r);
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
    }
}

/* Reads what lies between `from` and r->at with jansson. */
static int decode(ce_json_records *r, const char *from, json_t **out, ce_error *err) {
    json_error_t why;
    *out = json_loadb(from, (size_t)(r->at - from),
                      JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
    if (*out)
        return 0;
    size_t line = line_of(r, from) + (why.line > 1 ? (size_t)why.line - 1 : 0);
    return ce_fail(err, CE_EFORMAT, "%s:%zu: %s", r->path, line, why.text);
}

/* Reads "key": into r->key. */
static int read_key(ce_json_records *r, ce_error *err) {
    skip_space(r);
    const char *from = r->at;
    json_decref(r->key);
    r->key = NULL;
    if (!take(r, '"'))
        return fault(r, "a key is expected", err);
    skip_string(r);
    int rc = decode(r, from, &r->key, err);
    return rc < 0 || take(r, ':') ? rc : fault(r, "a ':' is expected", err);
}

/* Moves to the value of `member`. */
static int find_member(ce_json_records *r, const char *member, ce_error *err) {
    bool more = take(r, '{') && !take(r, '}');
    while (more) {
        int rc = read_key(r, err);
        if (rc < 0)
            return rc;
        if (strcmp(json_string_value(r->key), member) == 0)
            return 0;
        skip_value(r);
        more = take(r, ',');
    }
    return ce_fail(err, CE_EFORMAT, "%s: no \"%s\" in it", r->path, member);
}

static int open_file(ce_json_records **out, const char *path, ce_error *err) {
    size_t size;
    ce_json_records *r = calloc(1, sizeof *r);
    *out = r;
    if (!r || !(r->path = strdup(path)))
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", path);
    int rc = ce_file_read(&r->text, &size, path, max_bytes, err);
    if (rc < 0)
        return rc;
    r->at = r->counted = r->text;
    r->end = r->text + size;
    r->line = 1;
    size_t valid = ce_utf8_prefix(r->text, size);
    if (valid < size)
        return ce_fail(err, CE_EFORMAT, "%s: not UTF-8 at byte %zu", path, valid);
    if (size >= 3 && memcmp(r->text, "\xef\xbb\xbf", 3) == 0)
        r->at += 3; /* a byte-order mark */
    return 0;
}

static int close_on_fault(ce_json_records **r, int rc) {
    if (rc < 0) {
        ce_json_records_close(*r);
        *r = NULL;
    }
    return rc;
}

int ce_json_records_open(ce_json_records **out, const char *path, const char *member,
                         ce_error *err) {
    int rc = open_file(out, path, err);
    ce_json_records *r = *out;
    if (rc == 0 && member) {
        r->in_member = true;
        rc = find_member(r, member, err);
    }
    if (rc == 0) {
        r->form = take(r, '{') ? OBJECT : ARRAY;
        if (r->form == ARRAY && !take(r, '['))
            rc = fault(r, "a list or an object is expected", err);
    }
    return close_on_fault(out, rc);
}

int ce_json_lines_open(ce_json_records **out, const char *path, ce_error *err) {
    int rc = open_file(out, path, err);
    if (rc == 0)
        (*out)->form = LINES;
    return close_on_fault(out, rc);
}

/* What follows the list: the rest of the object that it is in, and then nothing. */
static int finish(ce_json_records *r, ce_error *err) {
    r->ended = true;
    while (r->in_member && take(r, ',')) {
        int rc = read_key(r, err);
        if (rc < 0)
            return rc;
        skip_value(r);
    }
    if (r->in_member && !take(r, '}'))
        return fault(r, "truncated: a '}' is expected", err);
    skip_space(r);
    return r->at == r->end ? 0 : fault(r, "something follows the end", err);
}

/* Moves behind the next element, which begins at r->begin: 1; 0 where there is none. */
static int next_line(ce_json_records *r) {
    skip_space(r);
    r->begin = r->at;
    const char *end = memchr(r->at, '\n', (size_t)(r->end - r->at));
    r->at = end ? end : r->end;
    return r->begin < r->end;
}

static int next_element(ce_json_records *r, ce_error *err) {
    char closing = r->form == OBJECT ? '}' : ']';
    bool first = !r->begun;
    r->begun = true;
    if (take(r, closing))
        return finish(r, err);
    if (!first && !take(r, ','))
        return fault(
            r, r->at == r->end ? "truncated: the list does not end" : "a ',' is expected",
            err);
    int rc = r->form == OBJECT ? read_key(r, err) : 0;
    if (rc < 0)
        return rc;
    skip_space(r);
    r->begin = r->at;
    skip_value(r);
    return r->at < r->end ? 1 : fault(r, "truncated: the list does not end", err);
}

int ce_json_records_next(ce_json_records *r, const char **key, json_t **value,
                         ce_error *err) {
    *key = NULL;
    *value = NULL;
    if (r->ended)
        return 0;
    int rc = r->form == LINES ? next_line(r) : next_element(r, err);
    if (rc <= 0) {
        r->ended = true;
        return rc;
    }
    line_of(r, r->begin);
    if ((rc = decode(r, r->begin, value, err)) < 0) {
        r->ended = true;
        return rc;
    }
    if (r->form == OBJECT)
        *key = json_string_value(r->key);
    return 1;
}

void ce_json_records_close(ce_json_records *r) {
    if (!r)
        return;
    json_decref(r->key);
    free(r->text);
    free(r->path);
    free(r);
}

/* A reader for a subset of RFC 8259: objects of integers, arrays of strings, of pairs of
 * strings, and of strings with numbers. Everything else is skipped by counting brackets,
 * and left to jansson. */
#include "json_table.h"

#include "unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    char *begin, *at, *end;
    const char *name;
    ce_error *err;
} reader;

static int fault(const reader *r, const char *what) {
    size_t line = 1;
    for (const char *p = r->begin; p < r->at; p++)
        line += *p == '\n';
    return ce_fail(r->err, CE_EFORMAT, "%s: line %zu: %s", r->name, line, what);
}

static void skip_space(reader *r) {
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

/* Takes `c` behind white space, if it is there. */
static bool take(reader *r, char c) {
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static int32_t hex4(const char *p, const char *end) {
    int32_t value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i], low = (char)(c | 32);
        int digit = c >= '0' && c <= '9'       ? c - '0'
                    : low >= 'a' && low <= 'f' ? low - 87
                                               : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* \uXXXX, or two of them for a rune above U+FFFF; r->at is behind the first 'u'. -1: bad.
 */
static int32_t unicode_escape(reader *r) {
    int32_t rune = hex4(r->at, r->end);
    r->at += rune < 0 ? 0 : 4;
    if (rune >= 0xd800 && rune < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' &&
        r->at[1] == 'u') {
        int32_t low = hex4(r->at + 2, r->end);
        if (low < 0xdc00 || low > 0xdfff)
            return -1;
        r->at += 6;
        return 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
    }
    return rune >= 0xd800 && rune < 0xe000 ? -1 : rune;
}

/* Resolves an escape into `to`; gives its size, 0 where it is none. NUL is none here. */
static size_t escape(reader *r, char *to) {
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end)
        return 0;
    char c = *r->at++;
    if (c == 'u') {
        int32_t rune = unicode_escape(r);
        return rune > 0 ? ce_rune_encode((unsigned char *)to, rune) : 0;
    }
    const char *found = c ? strchr(from, c) : NULL;
    if (!found)
        return 0;
    *to = into[found - from];
    return 1;
}

static int read_string(reader *r, ce_token_text *out) {
    if (!take(r, '"'))
        return fault(r, "a string is expected");
    char *to = r->at;
    out->at = to;
    while (r->at < r->end && *r->at != '"') {
        char c = *r->at++;
        if ((unsigned char)c < 0x20)
            return fault(r, "a control character in a string");
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        char resolved[4];
        size_t size = escape(r, resolved);
        if (size == 0)
            return fault(r, "a bad escape in a string");
        memcpy(to, resolved, size); /* never longer than the escape */
        to += size;
    }
    if (r->at == r->end)
        return fault(r, "a string does not end");
    r->at++;
    out->size = (size_t)(to - out->at);
    return 0;
}

static int read_id(reader *r, int64_t *id) {
    skip_space(r);
    bool negative = r->at < r->end && *r->at == '-';
    r->at += negative;
    const char *first = r->at;
    *id = 0;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9' && r->at - first < 12)
        *id = *id * 10 + (*r->at++ - '0');
    bool bad = r->at == first || (*first == '0' && r->at - first > 1);
    skip_space(r);
    if (bad || r->at == r->end || (*r->at != ',' && *r->at != '}'))
        return fault(r, "an id must be a small integer");
    if (negative)
        *id = -*id;
    return 0;
}

/* Room for one more item; doubles whenever the count is a power of two. */
static int grow(reader *r, void **items, size_t count, size_t size) {
    if (count != 0 && (count & (count - 1)) != 0)
        return 0;
    size_t room = count ? 2 * count : 1;
    void *grown = room <= SIZE_MAX / size ? realloc(*items, room * size) : NULL;
    if (!grown)
        return ce_fail(r->err, CE_ENOMEM, "%s: out of memory", r->name);
    *items = grown;
    return 0;
}

static int read_ids(reader *r, ce_json_table *t) {
    if (!take(r, '{'))
        return fault(r, "an object of tokens and ids is expected");
    if (take(r, '}'))
        return 0;
    do {
        void *items = t->ids;
        int rc = grow(r, &items, t->id_count, sizeof *t->ids);
        t->ids = items;
        ce_json_id *to = rc == 0 ? &t->ids[t->id_count] : NULL;
        if (rc == 0)
            rc = read_string(r, &to->token);
        if (rc == 0 && !take(r, ':'))
            rc = fault(r, "a ':' is expected");
        if (rc == 0)
            rc = read_id(r, &to->id);
        if (rc < 0)
            return rc;
        t->id_count++;
    } while (take(r, ','));
    return take(r, '}') ? 0 : fault(r, "a '}' is expected");
}

static int read_merge(reader *r, ce_json_merge *m) {
    ce_token_text line;
    int rc;
    if (take(r, '[')) {
        rc = read_string(r, &m->left);
        if (rc == 0 && !take(r, ','))
            rc = fault(r, "a merge is not two tokens");
        if (rc == 0)
            rc = read_string(r, &m->right);
        return rc < 0 || take(r, ']') ? rc : fault(r, "a merge is not two tokens");
    }
    if ((rc = read_string(r, &line)) < 0)
        return rc;
    const char *space = memchr(line.at, ' ', line.size), *end = line.at + line.size;
    if (!space || memchr(space + 1, ' ', (size_t)(end - space - 1)))
        return fault(r, "a merge is not two tokens");
    m->left = (ce_token_text){line.at, (size_t)(space - line.at)};
    m->right = (ce_token_text){space + 1, (size_t)(end - space - 1)};
    return 0;
}

static int read_merges(reader *r, ce_json_table *t) {
    if (!take(r, '['))
        return fault(r, "an array of merges is expected");
    if (take(r, ']'))
        return 0;
    do {
        void *items = t->merges;
        int rc = grow(r, &items, t->merge_count, sizeof *t->merges);
        t->merges = items;
        if (rc == 0)
            rc = read_merge(r, &t->merges[t->merge_count]);
        if (rc < 0)
            return rc;
        t->merge_count++;
    } while (take(r, ','));
    return take(r, ']') ? 0 : fault(r, "a ']' is expected");
}

/* Digits into the significand while they fit; gives how many there were. */
static int read_digits(reader *r, uint64_t *significand, int *left_out) {
    int count = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9' && count < 1000; count++) {
        unsigned digit = (unsigned)(*r->at++ - '0');
        if (*left_out == 0 && *significand <= (UINT64_MAX - digit) / 10)
            *significand = *significand * 10 + digit;
        else
            ++*left_out;
    }
    return count;
}

/* As serde_json reads it for tokenizers (de.rs, f64_from_parts): the digits as one integer,
 * rounded to a double, then scaled. That may be off by a bit from the nearest double, and
 * decides which of two equal sums is larger. */
static int read_score(reader *r, double *score) {
    uint64_t significand = 0, power = 0;
    int left_out = 0, none = 0, exponent = 0;
    skip_space(r);
    bool negative = r->at < r->end && *r->at == '-', down = false;
    r->at += negative;
    bool good = read_digits(r, &significand, &left_out) > 0;
    exponent = left_out;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        int before = left_out, digits = read_digits(r, &significand, &left_out);
        exponent -= digits - (left_out - before);
        good &= digits > 0;
    }
    if (r->at < r->end && (*r->at | 32) == 'e') {
        down = ++r->at < r->end && *r->at == '-';
        r->at += r->at < r->end && (*r->at == '-' || *r->at == '+');
        good &= read_digits(r, &power, &none) > 0 && power < 400;
        exponent += down ? -(int)(power % 400) : (int)(power % 400);
    }
    double scale = pow(10, abs(exponent)), value = (double)significand;
    value = exponent < 0 ? value / scale : value * scale;
    *score = negative ? -value : value;
    return good && isfinite(*score) ? 0 : fault(r, "a score must be a number");
}

static int read_scored(reader *r, ce_json_score *to) {
    if (!take(r, '['))
        return fault(r, "a token and its score are expected");
    int rc = read_string(r, &to->token);
    if (rc == 0 && !take(r, ','))
        rc = fault(r, "a token and its score are expected");
    if (rc == 0)
        rc = read_score(r, &to->score);
    return rc < 0 || take(r, ']') ? rc : fault(r, "a token and its score are expected");
}

static int read_scores(reader *r, ce_json_table *t) {
    int rc = 0;
    r->at++; /* the '[' */
    bool more = !take(r, ']');
    while (more && rc == 0) {
        void *items = t->scores;
        rc = grow(r, &items, t->score_count, sizeof *t->scores);
        t->scores = items;
        if (rc == 0)
            rc = read_scored(r, &t->scores[t->score_count]);
        if (rc == 0)
            t->score_count++;
        if (rc == 0 && !(more = take(r, ',')) && !take(r, ']'))
            rc = fault(r, "a ']' is expected");
    }
    return rc;
}

static void skip_string(reader *r) {
    for (r->at++; r->at < r->end && *r->at != '"'; r->at++)
        if (*r->at == '\\' && r->at + 1 < r->end)
            r->at++;
    r->at += r->at < r->end;
}

static void skip_value(reader *r) {
    size_t depth = 0;
    while (r->at < r->end) {
        char c = *r->at;
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return;
        if (c == '"') {
            skip_string(r);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        r->at++;
    }
}

/* Moves to the value of `key` in the object that begins here; false where there is none. */
static bool find_member(reader *r, const char *key) {
    if (!take(r, '{'))
        return false;
    do {
        skip_space(r);
        if (r->at == r->end || *r->at != '"')
            return false;
        const char *name = r->at + 1;
        skip_string(r);
        bool found = (size_t)(r->at - name) == strlen(key) + 1 &&
                     memcmp(name, key, strlen(key)) == 0;
        if (!take(r, ':'))
            return false;
        skip_space(r);
        if (found)
            return true;
        skip_value(r);
    } while (take(r, ','));
    return false;
}

typedef int read_part(reader *r, ce_json_table *t);

/* Where a part lies: its brackets are at first and last. */
typedef struct part {
    size_t first, last;
} part;

static int read_at(ce_json_table *t, part *p, reader at, read_part *read) {
    p->first = (size_t)(at.at - at.begin);
    int rc = read(&at, t);
    p->last = (size_t)(at.at - at.begin) - 1;
    return rc;
}

/* Both parts are found before either is read: reading resolves escapes in place. */
static int read_model(ce_json_table *t, part parts[2], reader model) {
    reader ids = model, merges = model;
    bool has_vocab = find_member(&ids, "vocab") && ids.at < ids.end;
    bool has_ids = has_vocab && *ids.at == '{', has_scores = has_vocab && *ids.at == '[';
    bool has_merges =
        find_member(&merges, "merges") && merges.at < merges.end && *merges.at == '[';
    int rc = has_ids || has_scores
                 ? read_at(t, &parts[0], ids, has_ids ? read_ids : read_scores)
                 : 0;
    return rc == 0 && has_merges ? read_at(t, &parts[1], merges, read_merges) : rc;
}

/* The text without what lies inside the parts, except line ends: white space costs jansson
 * as much as anything else. */
static size_t copy_rest(char *to, const char *text, size_t size, const part parts[2]) {
    bool swapped = parts[1].first < parts[0].first;
    size_t from = 0, n = 0;
    for (int k = 0; k < 2; k++) {
        const part *p = &parts[k ^ (int)swapped];
        if (p->last == 0)
            continue;
        memcpy(to + n, text + from, p->first + 1 - from);
        n += p->first + 1 - from;
        const char *end = text + p->last;
        for (const char *line = text + p->first;
             (line = memchr(line, '\n', (size_t)(end - line))); line++)
            to[n++] = '\n';
        from = p->last;
    }
    memcpy(to + n, text + from, size - from);
    return n + size - from;
}

static int check_utf8(const reader *r) {
    size_t size = (size_t)(r->end - r->begin), valid = ce_utf8_prefix(r->begin, size);
    if (valid == size)
        return 0;
    return ce_fail(r->err, CE_EFORMAT, "%s: not UTF-8 at byte %zu", r->name, valid);
}

int ce_json_table_ids(ce_json_table *t, char *text, size_t size, const char *name,
                      ce_error *err) {
    *t = (ce_json_table){0};
    reader r = {text, text, text + size, name, err};
    int rc = check_utf8(&r);
    if (rc == 0)
        rc = read_ids(&r, t);
    skip_space(&r);
    if (rc == 0 && r.at < r.end)
        rc = fault(&r, "something follows the object");
    if (rc < 0)
        ce_json_table_free(t);
    return rc;
}

int ce_json_table_cut(ce_json_table *t, char **rest, size_t *rest_size, char *text,
                      size_t size, const char *name, ce_error *err) {
    *t = (ce_json_table){0};
    *rest = NULL;
    part parts[2] = {{0, 0}, {0, 0}};
    reader model = {text, text, text + size, name, err};
    int rc = check_utf8(&model);
    if (rc == 0 && find_member(&model, "model"))
        rc = read_model(t, parts, model);
    if (rc == 0 && !(*rest = malloc(size + 1)))
        rc = ce_fail(err, CE_ENOMEM, "%s: out of memory", name);
    if (rc == 0)
        *rest_size = copy_rest(*rest, text, size, parts);
    else
        ce_json_table_free(t);
    return rc;
}

void ce_json_table_free(ce_json_table *t) {
    free(t->ids);
    free(t->scores);
    free(t->merges);
    *t = (ce_json_table){0};
}

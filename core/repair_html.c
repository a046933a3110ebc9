/* Character references of HTML, as html.unescape of Python 3.11 reads them (the rules for
 * wrong numbers are those of html.spec.whatwg.org, numeric-character-reference-end-state),
 * and as ftfy 6.3.1 does. */
#include "html_entities.h"
#include "repair_internal.h"

#include <string.h>
#include <utf8proc.h>

#define NAME_MAX_RUNES 32 /* html.unescape looks at no more of a name */
#define CAREFUL_MAX 24    /* and ftfy at no more than this */
#define RUNES_MAX 3

/* What stands for a reference; `used` runes of the text, 0: there is none. */
typedef struct reference {
    size_t used, count;
    int32_t runes[RUNES_MAX];
} reference;

static bool is_digit(int32_t rune) {
    return rune >= '0' && rune <= '9';
}

static bool is_upper(int32_t rune) {
    return rune >= 'A' && rune <= 'Z';
}

static bool is_alnum(int32_t rune) {
    return is_digit(rune) || is_upper(rune) || (rune >= 'a' && rune <= 'z');
}

/* ---- numbers ---- */

static int digit_value(int32_t rune, int base) {
    if (is_digit(rune))
        return rune - '0';
    int32_t lower = rune | 32;
    return base == 16 && lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool is_noncharacter(int32_t rune) {
    return (rune & 0xfffe) == 0xfffe || (rune >= 0xfdd0 && rune <= 0xfdef);
}

static bool is_forbidden_control(int32_t rune) {
    return (rune >= 1 && rune <= 8) || rune == 0xb || (rune >= 0xe && rune <= 0x1f) ||
           rune == 0x7f;
}

static void set_number(reference *out, int32_t value) {
    out->count = 1;
    if (value == 0 || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        out->runes[0] = 0xfffd;
    else if (ce_rune_is_c1(value))
        out->runes[0] = ce_codepage_rune(CE_WINDOWS_1252, value);
    else if (is_forbidden_control(value) || is_noncharacter(value))
        out->count = 0;
    else
        out->runes[0] = value;
}

/* r[0 .. 1] is "&#". */
static reference read_number(const int32_t *r, size_t n) {
    reference out = {0};
    int base = n > 2 && (r[2] | 32) == 'x' ? 16 : 10;
    size_t begin = base == 16 ? 3 : 2, end = begin;
    int32_t value = 0;
    for (int digit; end < n && (digit = digit_value(r[end], base)) >= 0; end++)
        value = value > 0x10ffff ? value : value * base + digit;
    if (end == begin)
        return out;
    out.used = end + (end < n && r[end] == ';');
    set_number(&out, value);
    return out;
}

/* ---- names ---- */

/* Compares with the name at `line`, which ends at a semicolon or a space. */
static int compare_name(const int32_t *name, size_t n, const char *line) {
    for (size_t i = 0; i < n; i++) {
        int32_t c = line[i] == ';' || line[i] == ' ' ? 0 : line[i];
        if (name[i] != c)
            return name[i] < c ? -1 : 1;
    }
    return line[n] == ';' || line[n] == ' ' ? 0 : -1;
}

static const char *find_line(const int32_t *name, size_t n) {
    const char *low = ce_html_entities, *high = ce_html_entities_end;
    while (low < high) {
        const char *line = low + (high - low) / 2;
        while (line > low && line[-1] != '\n')
            line--;
        int order = compare_name(name, n, line);
        if (order == 0)
            return line;
        if (order < 0)
            high = line;
        else
            low = (const char *)memchr(line, '\n', (size_t)(high - line)) + 1;
    }
    return NULL;
}

/* `closed`: a semicolon follows, so that any name will do. */
static bool read_name(reference *out, const int32_t *name, size_t n, bool closed) {
    const char *at = find_line(name, n);
    if (!at)
        return false;
    at += n;
    if (*at == ';' && !closed)
        return false;
    at += *at == ';';
    for (out->count = 0; *at == ' ';) {
        int32_t rune = 0;
        for (at++; *at != ' ' && *at != '\n'; at++)
            rune = rune * 16 + digit_value(*at, 16);
        out->runes[out->count++] = rune;
    }
    return true;
}

/* The longest head of a name that is a reference without a semicolon; its length. */
static size_t read_head(reference *out, const int32_t *name, size_t n) {
    while (n > 1 && !read_name(out, name, n, false))
        n--;
    return n > 1 ? n : 0;
}

static bool is_in_name(int32_t rune) {
    return rune != '\t' && rune != '\n' && rune != '\f' && rune != ' ' && rune != '<' &&
           rune != '&' && rune != '#' && rune != ';';
}

/* r[0] is '&'. */
static reference read_loosely(const int32_t *r, size_t n) {
    reference out = {0};
    if (n > 1 && r[1] == '#')
        return read_number(r, n);
    size_t size = 0;
    while (size < NAME_MAX_RUNES && 1 + size < n && is_in_name(r[1 + size]))
        size++;
    bool closed = 1 + size < n && r[1 + size] == ';';
    if (closed && read_name(&out, r + 1, size, true)) {
        out.used = size + 2;
    } else {
        size = read_head(&out, r + 1, size);
        out.used = size ? size + 1 : 0;
    }
    return out;
}

/* Python's str.upper() of what a name stands for; these are all that grow. */
static size_t put_upper(int32_t out[RUNES_MAX], int32_t rune) {
    static const struct {
        int32_t rune;
        char upper[4];
    } grow[] = {{0xdf, "SS"},   {0xfb00, "FF"},  {0xfb01, "FI"},
                {0xfb02, "FL"}, {0xfb03, "FFI"}, {0xfb04, "FFL"}};
    if (rune == 0x149) {
        out[0] = 0x2bc;
        out[1] = 'N';
        return 2;
    }
    for (size_t i = 0; i < sizeof grow / sizeof *grow; i++)
        if (grow[i].rune == rune) {
            size_t size = strlen(grow[i].upper);
            for (size_t k = 0; k < size; k++)
                out[k] = grow[i].upper[k];
            return size;
        }
    out[0] = utf8proc_toupper(rune);
    return 1;
}

/* A name in capitals means the capital of what the small name means, where html.unescape
 * would leave it alone. */
static bool read_capitals(reference *out, const int32_t *name, size_t n) {
    int32_t small[CAREFUL_MAX];
    for (size_t i = 0; i < n; i++) {
        if (!is_upper(name[i]) && !is_digit(name[i]))
            return false;
        small[i] = is_upper(name[i]) ? name[i] + 32 : name[i];
    }
    reference plain = {0};
    if (read_head(&plain, name, n) || !read_name(&plain, small, n, true))
        return false;
    out->count = 0;
    for (size_t i = 0; i < plain.count && out->count < RUNES_MAX; i++)
        out->count += put_upper(out->runes + out->count, plain.runes[i]);
    return true;
}

/* r[0] is '&'. A reference to a semicolon stays: ftfy takes it for half a reference. */
static reference read_carefully(const int32_t *r, size_t n) {
    reference none = {0}, out = {0};
    size_t begin = n > 1 && r[1] == '#' ? 2 : 1, size = 0;
    while (size <= CAREFUL_MAX && begin + size < n && is_alnum(r[begin + size]))
        size++;
    size_t end = begin + size;
    if (size == 0 || size > CAREFUL_MAX || end == n || r[end] != ';')
        return none;
    if (begin == 2) {
        out = read_number(r, n);
        bool semicolon = out.count && out.runes[0] == ';';
        return out.used == end + 1 && !semicolon ? out : none;
    }
    out.used = end + 1;
    if (read_name(&out, r + 1, size, true) || read_capitals(&out, r + 1, size))
        return out;
    return none;
}

typedef reference read_reference(const int32_t *r, size_t n);

/* In place: nothing is longer than its reference. */
static void replace_references(ce_runes *r, read_reference *read) {
    size_t to = 0;
    for (size_t i = 0; i < r->count;) {
        reference ref = {0};
        if (r->at[i] == '&')
            ref = read(r->at + i, r->count - i);
        if (ref.used == 0) {
            r->at[to++] = r->at[i++];
            continue;
        }
        memcpy(r->at + to, ref.runes, ref.count * sizeof *r->at);
        to += ref.count;
        i += ref.used;
    }
    r->count = to;
}

void ce_runes_unescape_html(ce_runes *r) {
    replace_references(r, read_loosely);
}

void ce_runes_unescape_careful(ce_runes *r) {
    replace_references(r, read_carefully);
}

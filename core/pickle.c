#include "pickle.h"

#include "arena.h"
#include "unicode.h"

#include <stdlib.h>
#include <string.h>

#define MAX_GLOBAL 1024 /* bytes of a global's name */

struct ce_pickle {
    const unsigned char *bytes;
    size_t size, at; /* the next instruction */
    size_t began;    /* the present one, for messages */
    const char *path;
    ce_error *err;
    ce_arena arena;   /* nodes, their items, names */
    size_t allocated; /* bytes of the arrays below */
    ce_pickle_value *stack;
    size_t depth, stack_room;
    size_t *marks; /* the depth at each mark that is open */
    size_t mark_count, mark_room;
    ce_pickle_value *memo; /* by index; NOTHING where none was put */
    size_t memo_room;
    size_t memo_count; /* indices at which something was put: MEMOIZE's next */
    ce_pickle_value *references;
    size_t reference_count, reference_room;
    ce_pickle_value top;
};

static int broken(const ce_pickle *p, const char *what) {
    return ce_fail(p->err, CE_EFORMAT, "%s: its pickle is broken at byte %zu: %s", p->path,
                   p->began, what);
}

static int no_room(const ce_pickle *p) {
    return ce_fail(p->err, CE_ENOMEM,
                   "%s: its pickle asks for more than %zu MiB of values: refused", p->path,
                   CE_PICKLE_MAX_MEMORY >> 20);
}

/* `array` with room for `needed` elements of `width` bytes, new ones zero; NULL, and the
 * error, where that is refused. */
static void *grow(ce_pickle *p, void *array, size_t *room, size_t needed, size_t width) {
    if (needed <= *room)
        return array;
    size_t larger = *room ? 2 * *room : 64;
    larger = larger < needed ? needed : larger;
    size_t more = (larger - *room) * width;
    void *moved =
        more > CE_PICKLE_MAX_MEMORY - p->allocated ? NULL : realloc(array, larger * width);
    if (!moved) {
        no_room(p);
        return NULL;
    }
    memset((char *)moved + *room * width, 0, more);
    *room = larger;
    p->allocated += more;
    return moved;
}

static int push(ce_pickle *p, ce_pickle_value v) {
    ce_pickle_value *stack = grow(p, p->stack, &p->stack_room, p->depth + 1, sizeof v);
    if (!stack)
        return CE_ENOMEM;
    p->stack = stack;
    stack[p->depth++] = v;
    return CE_OK;
}

static int push_integer(ce_pickle *p, ce_pickle_kind kind, int64_t n) {
    return push(p, (ce_pickle_value){.kind = kind, .integer = n});
}

/* The `n` values on top, none of them below the last mark; NULL: there are fewer. */
static ce_pickle_value *top_values(const ce_pickle *p, size_t n) {
    size_t floor = p->mark_count ? p->marks[p->mark_count - 1] : 0;
    return p->depth - floor < n ? NULL : p->stack + p->depth - n;
}

static int underflow(const ce_pickle *p) {
    return broken(p, "the stack holds too few values");
}

static int push_mark(ce_pickle *p) {
    size_t *marks = grow(p, p->marks, &p->mark_room, p->mark_count + 1, sizeof *p->marks);
    if (!marks)
        return CE_ENOMEM;
    p->marks = marks;
    marks[p->mark_count++] = p->depth;
    return CE_OK;
}

/* Takes the last mark; `*n` values lie above it. */
static int pop_mark(ce_pickle *p, size_t *n) {
    if (p->mark_count == 0)
        return broken(p, "no mark on the stack");
    *n = p->depth - p->marks[--p->mark_count];
    return CE_OK;
}

static int take_bytes(ce_pickle *p, size_t n, const unsigned char **out) {
    if (p->size - p->at < n)
        return broken(p, "it ends in the middle of an instruction");
    *out = p->bytes + p->at;
    p->at += n;
    return CE_OK;
}

/* An unsigned little-endian operand. */
static int take_number(ce_pickle *p, size_t width, uint64_t *out) {
    const unsigned char *from = NULL;
    int result = take_bytes(p, width, &from);
    *out = 0;
    for (size_t i = width; result == CE_OK && i-- > 0;)
        *out = *out << 8 | from[i];
    return result;
}

static int push_unsigned(ce_pickle *p, size_t width) {
    uint64_t n;
    int result = take_number(p, width, &n);
    return result < 0 ? result : push_integer(p, CE_PICKLE_INT, (int64_t)n);
}

static int push_int32(ce_pickle *p) {
    uint64_t n;
    int result = take_number(p, 4, &n);
    return result < 0 ? result : push_integer(p, CE_PICKLE_INT, (int32_t)(uint32_t)n);
}

/* BINFLOAT is the one big-endian operand. */
static int push_real(ce_pickle *p) {
    const unsigned char *from = NULL;
    int result = take_bytes(p, 8, &from);
    if (result < 0)
        return result;
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | from[i];
    ce_pickle_value v = {.kind = CE_PICKLE_REAL};
    memcpy(&v.real, &bits, sizeof v.real);
    return push(p, v);
}

/* A length of `width` bytes, and as many bytes of text. */
static int push_text(ce_pickle *p, ce_pickle_kind kind, size_t width) {
    uint64_t n;
    const unsigned char *from = NULL;
    int result = take_number(p, width, &n);
    if (result < 0)
        return result;
    if (n > p->size - p->at || n > UINT32_MAX)
        return broken(p, "a text that is longer than the file");
    result = take_bytes(p, (size_t)n, &from);
    return result < 0 ? result
                      : push(p, (ce_pickle_value){.kind = kind,
                                                  .size = (uint32_t)n,
                                                  .text = (const char *)from});
}

/* LONG1: an INT where it fits. */
static int push_long(ce_pickle *p) {
    int result = push_text(p, CE_PICKLE_LONG, 1);
    ce_pickle_value *v = result < 0 ? NULL : top_values(p, 1);
    if (!v || v->size > 8)
        return result;
    uint64_t n = v->size && (v->text[v->size - 1] & 0x80) ? UINT64_MAX : 0;
    for (size_t i = v->size; i-- > 0;)
        n = n << 8 | (unsigned char)v->text[i];
    *v = (ce_pickle_value){.kind = CE_PICKLE_INT, .integer = (int64_t)n};
    return CE_OK;
}

static int new_node(ce_pickle *p, ce_pickle_node **out, const ce_pickle_value *items,
                    size_t n) {
    ce_pickle_node *node = ce_arena_alloc(&p->arena, sizeof *node);
    if (node && n)
        node->items = ce_arena_alloc(&p->arena, n * sizeof *items);
    if (!node || (n && !node->items))
        return no_room(p);
    if (n)
        memcpy(node->items, items, n * sizeof *items);
    node->count = node->room = n;
    *out = node;
    return CE_OK;
}

static int append(ce_pickle *p, ce_pickle_node *node, const ce_pickle_value *items,
                  size_t n) {
    if (n > node->room - node->count) {
        size_t room = 2 * node->room > node->count + n ? 2 * node->room : node->count + n;
        ce_pickle_value *moved = ce_arena_alloc(&p->arena, room * sizeof *moved);
        if (!moved)
            return no_room(p);
        if (node->count)
            memcpy(moved, node->items, node->count * sizeof *moved);
        node->items = moved;
        node->room = room;
    }
    if (n)
        memcpy(node->items + node->count, items, n * sizeof *items);
    node->count += n;
    return CE_OK;
}

/* The `n` values on top become one of `kind` that holds them. */
static int collect(ce_pickle *p, ce_pickle_kind kind, size_t n) {
    ce_pickle_value *items = top_values(p, n);
    if (!items)
        return underflow(p);
    ce_pickle_value v = {.kind = kind};
    int result = new_node(p, &v.node, items, n);
    p->depth -= n;
    return result < 0 ? result : push(p, v);
}

static int collect_marked(ce_pickle *p, ce_pickle_kind kind) {
    size_t n = 0;
    int result = pop_mark(p, &n);
    return result < 0 ? result : collect(p, kind, n);
}

/* The `n` values on top go into the list, dict or object below them. What is put into an
 * object of a class is not kept (no such object is a state dict), but that it has a state
 * is: a tensor whose elements are set is not the one that was stored. */
static int put_into(ce_pickle *p, ce_pickle_kind kind, size_t n) {
    ce_pickle_value *target = top_values(p, n + 1);
    if (!target)
        return underflow(p);
    p->depth -= n;
    if (kind == CE_PICKLE_DICT && n % 2)
        return broken(p, "a key without a value");
    if (target->kind == CE_PICKLE_CALL) {
        ce_pickle_value *state = &target->node->items[2];
        if (state->kind == CE_PICKLE_NOTHING)
            state->kind = CE_PICKLE_NONE;
        return CE_OK;
    }
    if (target->kind != kind)
        return broken(p, "items for what is no container of them");
    return append(p, target->node, target + 1, n);
}

static int put_marked(ce_pickle *p, ce_pickle_kind kind) {
    size_t n = 0;
    int result = pop_mark(p, &n);
    return result < 0 ? result : put_into(p, kind, n);
}

static int push_global(ce_pickle *p, const char *module, size_t m, const char *name,
                       size_t n) {
    if (m > MAX_GLOBAL || n > MAX_GLOBAL || m == 0 || n == 0)
        return broken(p, "the name of a global is too long, or empty");
    char *text = ce_arena_alloc(&p->arena, m + n + 2);
    if (!text)
        return no_room(p);
    memcpy(text, module, m);
    text[m] = '.';
    memcpy(text + m + 1, name, n);
    if (strlen(text) != m + n + 1 || !ce_pickle_allows(text))
        return ce_fail(
            p->err, CE_EUNSUPPORTED,
            "%s: its pickle asks for %.*s, which a state dict never needs: refused",
            p->path, (int)ce_utf8_prefix(text, strlen(text)), text);
    return push(p, (ce_pickle_value){.kind = CE_PICKLE_GLOBAL,
                                     .size = (uint32_t)(m + n + 1),
                                     .text = text});
}

static int take_line(ce_pickle *p, const char **line, size_t *size) {
    const unsigned char *from = p->bytes + p->at;
    const unsigned char *end = memchr(from, '\n', p->size - p->at);
    if (!end)
        return broken(p, "it ends in the middle of an instruction");
    *line = (const char *)from;
    *size = (size_t)(end - from);
    p->at += *size + 1;
    return CE_OK;
}

/* GLOBAL: "module\nname\n". */
static int push_named_global(ce_pickle *p) {
    const char *module = NULL, *name = NULL;
    size_t m = 0, n = 0;
    int result = take_line(p, &module, &m);
    if (result == CE_OK)
        result = take_line(p, &name, &n);
    return result < 0 ? result : push_global(p, module, m, name, n);
}

/* STACK_GLOBAL: both are on the stack. */
static int push_stack_global(ce_pickle *p) {
    ce_pickle_value *v = top_values(p, 2);
    if (!v)
        return underflow(p);
    if (v[0].kind != CE_PICKLE_TEXT || v[1].kind != CE_PICKLE_TEXT)
        return broken(p, "the name of a global is no text");
    p->depth -= 2;
    return push_global(p, v[0].text, v[0].size, v[1].text, v[1].size);
}

/* OrderedDict([[key, value], ...]), as Python 2 pickled it. */
static int fill_ordered(ce_pickle *p, ce_pickle_node *dict, const ce_pickle_node *args) {
    int result = CE_OK;
    const ce_pickle_value *pairs = args->count ? &args->items[0] : NULL;
    if (pairs && pairs->kind != CE_PICKLE_LIST)
        return broken(p, "an OrderedDict of what is no list of pairs");
    for (size_t i = 0; pairs && i < pairs->node->count && result == CE_OK; i++) {
        const ce_pickle_value *pair = &pairs->node->items[i];
        if ((pair->kind != CE_PICKLE_LIST && pair->kind != CE_PICKLE_TUPLE) ||
            pair->node->count != 2)
            return broken(p, "an OrderedDict of what is no list of pairs");
        result = append(p, dict, pair->node->items, 2);
    }
    return result;
}

/* REDUCE and NEWOBJ: a global and its arguments become what the call would have made (for
 * dicts) or a note of the call. */
static int note_call(ce_pickle *p) {
    ce_pickle_value *v = top_values(p, 2);
    if (!v)
        return underflow(p);
    if (v[0].kind != CE_PICKLE_GLOBAL || v[1].kind != CE_PICKLE_TUPLE)
        return broken(p, "a call of what is no name, or without a tuple of arguments");
    ce_pickle_value made = {.kind = CE_PICKLE_CALL};
    bool ordered = ce_pickle_is_global(&v[0], "collections.OrderedDict");
    int result;
    if (ordered || ce_pickle_is_global(&v[0], "collections.defaultdict")) {
        made.kind = CE_PICKLE_DICT;
        result = new_node(p, &made.node, NULL, 0);
        if (result == CE_OK && ordered)
            result = fill_ordered(p, made.node, v[1].node);
    } else {
        const ce_pickle_value items[3] = {v[0], v[1]};
        result = new_node(p, &made.node, items, 3);
    }
    p->depth -= 2;
    return result < 0 ? result : push(p, made);
}

/* BUILD: the state of an object; that of a dict (a state dict's _metadata) is not kept. */
static int set_state(ce_pickle *p) {
    ce_pickle_value *v = top_values(p, 2);
    if (!v)
        return underflow(p);
    if (v[0].kind == CE_PICKLE_CALL)
        v[0].node->items[2] = v[1];
    else if (v[0].kind != CE_PICKLE_DICT)
        return broken(p, "state for what is no object");
    p->depth--;
    return CE_OK;
}

/* A memo's index costs at least two bytes of file, so a larger one than the file's bytes is
 * a trick to make the memo large. */
static int memo_put(ce_pickle *p, uint64_t index) {
    const ce_pickle_value *v = top_values(p, 1);
    if (!v)
        return underflow(p);
    if (index > p->at)
        return broken(p, "a memo index far beyond what was put there");
    ce_pickle_value *memo =
        grow(p, p->memo, &p->memo_room, (size_t)index + 1, sizeof *memo);
    if (!memo)
        return CE_ENOMEM;
    p->memo = memo;
    p->memo_count += memo[index].kind == CE_PICKLE_NOTHING;
    memo[index] = *v;
    return CE_OK;
}

static int memo_put_numbered(ce_pickle *p, size_t width) {
    uint64_t index;
    int result = take_number(p, width, &index);
    return result < 0 ? result : memo_put(p, index);
}

static int memo_get(ce_pickle *p, size_t width) {
    uint64_t index;
    int result = take_number(p, width, &index);
    if (result < 0)
        return result;
    if (index >= p->memo_room || p->memo[index].kind == CE_PICKLE_NOTHING)
        return broken(p, "a memo index where nothing was put");
    return push(p, p->memo[index]);
}

static int refer(ce_pickle *p) {
    int result = collect(p, CE_PICKLE_REFERENCE, 1);
    if (result < 0)
        return result;
    ce_pickle_value *references = grow(p, p->references, &p->reference_room,
                                       p->reference_count + 1, sizeof *references);
    if (!references)
        return CE_ENOMEM;
    p->references = references;
    references[p->reference_count++] = p->stack[p->depth - 1];
    return CE_OK;
}

static int protocol(ce_pickle *p) {
    uint64_t version;
    int result = take_number(p, 1, &version);
    return result < 0 || version <= 5 ? result : broken(p, "protocol 6 or later");
}

static int frame(ce_pickle *p) {
    uint64_t size;
    int result = take_number(p, 8, &size);
    return result < 0 || size <= p->size - p->at ? result
                                                 : broken(p, "a frame beyond its end");
}

static int stop(ce_pickle *p) {
    if (p->depth != 1 || p->mark_count)
        return broken(p, "it ends with other than one value on the stack");
    p->top = p->stack[0];
    return CE_OK;
}

/* The instructions, by the names that Python's pickletools gives them. */
static int step(ce_pickle *p, int instruction) {
    switch (instruction) {
    case 0x80: /* PROTO */
        return protocol(p);
    case 0x95: /* FRAME */
        return frame(p);
    case '.': /* STOP */
        return stop(p);
    case '(': /* MARK */
        return push_mark(p);
    case 'N': /* NONE */
        return push_integer(p, CE_PICKLE_NONE, 0);
    case 0x88: /* NEWTRUE */
        return push_integer(p, CE_PICKLE_BOOL, 1);
    case 0x89: /* NEWFALSE */
        return push_integer(p, CE_PICKLE_BOOL, 0);
    case 'K': /* BININT1 */
        return push_unsigned(p, 1);
    case 'M': /* BININT2 */
        return push_unsigned(p, 2);
    case 'J': /* BININT */
        return push_int32(p);
    case 0x8a: /* LONG1 */
        return push_long(p);
    case 'G': /* BINFLOAT */
        return push_real(p);
    case 'U':  /* SHORT_BINSTRING */
    case 0x8c: /* SHORT_BINUNICODE */
        return push_text(p, CE_PICKLE_TEXT, 1);
    case 'T': /* BINSTRING */
    case 'X': /* BINUNICODE */
        return push_text(p, CE_PICKLE_TEXT, 4);
    case 0x8d: /* BINUNICODE8 */
        return push_text(p, CE_PICKLE_TEXT, 8);
    case 'C': /* SHORT_BINBYTES */
        return push_text(p, CE_PICKLE_BYTES, 1);
    case 'B': /* BINBYTES */
        return push_text(p, CE_PICKLE_BYTES, 4);
    case 0x8e: /* BINBYTES8 */
    case 0x96: /* BYTEARRAY8 */
        return push_text(p, CE_PICKLE_BYTES, 8);
    case ')': /* EMPTY_TUPLE */
        return collect(p, CE_PICKLE_TUPLE, 0);
    case 0x85: /* TUPLE1 */
        return collect(p, CE_PICKLE_TUPLE, 1);
    case 0x86: /* TUPLE2 */
        return collect(p, CE_PICKLE_TUPLE, 2);
    case 0x87: /* TUPLE3 */
        return collect(p, CE_PICKLE_TUPLE, 3);
    case 't':  /* TUPLE */
    case 0x91: /* FROZENSET */
        return collect_marked(p, CE_PICKLE_TUPLE);
    case ']':  /* EMPTY_LIST */
    case 0x8f: /* EMPTY_SET */
        return collect(p, CE_PICKLE_LIST, 0);
    case '}': /* EMPTY_DICT */
        return collect(p, CE_PICKLE_DICT, 0);
    case 'a': /* APPEND */
        return put_into(p, CE_PICKLE_LIST, 1);
    case 'e':  /* APPENDS */
    case 0x90: /* ADDITEMS */
        return put_marked(p, CE_PICKLE_LIST);
    case 's': /* SETITEM */
        return put_into(p, CE_PICKLE_DICT, 2);
    case 'u': /* SETITEMS */
        return put_marked(p, CE_PICKLE_DICT);
    case 'q': /* BINPUT */
        return memo_put_numbered(p, 1);
    case 'r': /* LONG_BINPUT */
        return memo_put_numbered(p, 4);
    case 0x94: /* MEMOIZE */
        return memo_put(p, p->memo_count);
    case 'h': /* BINGET */
        return memo_get(p, 1);
    case 'j': /* LONG_BINGET */
        return memo_get(p, 4);
    case 'c': /* GLOBAL */
        return push_named_global(p);
    case 0x93: /* STACK_GLOBAL */
        return push_stack_global(p);
    case 'R':  /* REDUCE */
    case 0x81: /* NEWOBJ */
        return note_call(p);
    case 'b': /* BUILD */
        return set_state(p);
    case 'Q': /* BINPERSID */
        return refer(p);
    default:
        return ce_fail(p->err, CE_EUNSUPPORTED,
                       "%s: its pickle holds instruction 0x%02x at byte %zu, which torch "
                       "does not write: refused",
                       p->path, (unsigned)instruction, p->began);
    }
}

static int run(ce_pickle *p) {
    int instruction, result = CE_OK;
    do {
        p->began = p->at;
        if (p->at >= CE_PICKLE_MAX_BYTES)
            return broken(p, "it is longer than any state dict's");
        if (p->at >= p->size)
            return broken(p, "it ends without a STOP (truncated?)");
        instruction = p->bytes[p->at++];
        result = step(p, instruction);
    } while (result == CE_OK && instruction != '.');
    return result;
}

int ce_pickle_load(ce_pickle **out, const unsigned char *bytes, size_t size, size_t *used,
                   const char *path, ce_error *err) {
    *out = NULL;
    *used = 0;
    ce_pickle *p = calloc(1, sizeof *p);
    if (!p)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", path);
    p->bytes = bytes;
    p->size = size;
    p->path = path;
    p->err = err;
    p->arena.limit = CE_PICKLE_MAX_MEMORY;
    p->stack = grow(p, NULL, &p->stack_room, 1, sizeof *p->stack);
    int result = p->stack ? run(p) : CE_ENOMEM;
    p->path = NULL;
    p->err = NULL;
    if (result < 0) {
        ce_pickle_free(p);
        return result;
    }
    *used = p->at;
    *out = p;
    return CE_OK;
}

void ce_pickle_free(ce_pickle *p) {
    if (!p)
        return;
    ce_arena_free(&p->arena);
    free(p->stack);
    free(p->marks);
    free(p->memo);
    free(p->references);
    free(p);
}

const ce_pickle_value *ce_pickle_top(const ce_pickle *p) {
    return &p->top;
}

size_t ce_pickle_reference_count(const ce_pickle *p) {
    return p->reference_count;
}

const ce_pickle_value *ce_pickle_reference(const ce_pickle *p, size_t i) {
    return &p->references[i];
}

static bool same_text(const ce_pickle_value *v, const char *text) {
    return v->size == strlen(text) && memcmp(v->text, text, v->size) == 0;
}

bool ce_pickle_is_text(const ce_pickle_value *v, const char *text) {
    return v->kind == CE_PICKLE_TEXT && same_text(v, text);
}

bool ce_pickle_is_global(const ce_pickle_value *v, const char *name) {
    return v->kind == CE_PICKLE_GLOBAL && same_text(v, name);
}

const ce_pickle_value *ce_pickle_get(const ce_pickle_value *v, const char *key) {
    if (v->kind != CE_PICKLE_DICT)
        return NULL;
    for (size_t i = v->node->count; i >= 2; i -= 2)
        if (ce_pickle_is_text(&v->node->items[i - 2], key))
            return &v->node->items[i - 1];
    return NULL;
}

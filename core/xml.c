#include "xml.h"

#include "fs.h"

#include <expat.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const size_t max_bytes = (size_t)4 << 20;
enum { MAX_DEPTH = 32 };

typedef struct reader {
    XML_Parser parser;
    const char *path;
    ce_xml *root, *open; /* open: the element that has not ended */
    int depth, code;
    ce_error *err;
} reader;

static void stop(reader *r, int code, const char *what) {
    if (r->code < 0)
        return;
    r->code = ce_fail(r->err, code, "%s:%lu: %s", r->path,
                      (unsigned long)XML_GetCurrentLineNumber(r->parser), what);
    XML_StopParser(r->parser, XML_FALSE);
}

static void on_start(void *user, const char *name, const char **attributes) {
    reader *r = user;
    (void)attributes;
    ce_xml *x = NULL;
    if (r->depth == MAX_DEPTH) {
        stop(r, CE_EFORMAT, "elements are nested too deeply");
    } else if (!(x = calloc(1, sizeof *x)) || !(x->name = strdup(name))) {
        ce_xml_free(x);
        x = NULL;
        stop(r, CE_ENOMEM, "out of memory");
    }
    if (!x)
        return;
    x->line = XML_GetCurrentLineNumber(r->parser);
    x->parent = r->open;
    if (!r->open)
        r->root = x;
    else if (r->open->last)
        r->open->last->next = x;
    else
        r->open->first = x;
    if (r->open)
        r->open->last = x;
    r->open = x;
    r->depth++;
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void trim(char *text) {
    size_t size = strlen(text), first = 0;
    while (size > 0 && is_space(text[size - 1]))
        size--;
    while (first < size && is_space(text[first]))
        first++;
    memmove(text, text + first, size - first);
    text[size - first] = '\0';
}

static void on_end(void *user, const char *name) {
    reader *r = user;
    (void)name;
    if (r->code < 0)
        return;
    if (r->open->text)
        trim(r->open->text);
    r->open = r->open->parent;
    r->depth--;
}

/* To the open element's text, whose room doubles: expat gives a line at a time. */
static bool append(reader *r, const char *text, size_t size) {
    ce_xml *x = r->open;
    size_t needed = x->text_size + size + 1;
    if (needed > x->text_room) {
        size_t room = needed < 16 ? 16 : 2 * needed;
        char *grown = realloc(x->text, room);
        if (!grown)
            return false;
        x->text = grown;
        x->text_room = room;
    }
    memcpy(x->text + x->text_size, text, size);
    x->text_size += size;
    x->text[x->text_size] = '\0';
    return true;
}

static void on_text(void *user, const char *text, int size) {
    reader *r = user;
    bool blank = true;
    for (int i = 0; i < size && blank; i++)
        blank = is_space(text[i]);
    if (r->code < 0 || !r->open || (blank && !r->open->text))
        return; /* what lies between elements */
    if (!append(r, text, (size_t)size))
        stop(r, CE_ENOMEM, "out of memory");
}

static void on_entity(void *user, const char *name, int is_parameter, const char *value,
                      int size, const char *base, const char *system, const char *public,
                      const char *notation) {
    (void)name, (void)is_parameter, (void)value, (void)size, (void)base, (void)system;
    (void)public, (void)notation;
    stop(user, CE_EUNSUPPORTED, "declares entities, which are not read");
}

int ce_xml_read(ce_xml **out, const char *path, ce_error *err) {
    char *text = NULL;
    size_t size;
    reader r = {.path = path, .err = err};
    *out = NULL;
    int rc = ce_file_read(&text, &size, path, max_bytes, err);
    if (rc < 0)
        return rc;
    if (!(r.parser = XML_ParserCreate(NULL))) {
        free(text);
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", path);
    }
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetEntityDeclHandler(r.parser, on_entity);
    if (XML_Parse(r.parser, text, (int)size, XML_TRUE) != XML_STATUS_OK)
        stop(&r, CE_EFORMAT, XML_ErrorString(XML_GetErrorCode(r.parser)));
    XML_ParserFree(r.parser);
    free(text);
    if (r.code < 0)
        ce_xml_free(r.root);
    else
        *out = r.root;
    return r.code;
}

void ce_xml_free(ce_xml *x) {
    while (x) { /* never deeper than MAX_DEPTH */
        ce_xml *next = x->next;
        ce_xml_free(x->first);
        free(x->name);
        free(x->text);
        free(x);
        x = next;
    }
}

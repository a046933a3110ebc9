/* A small XML file as a tree, through expat: names, text and children; attributes, comments
 * and processing instructions are left out. For annotations, of which each picture has one.
 *
 *     ce_xml *x;
 *     ce_xml_read(&x, "Annotations/000001.xml", &err);
 *     for (const ce_xml *child = x->first; child; child = child->next)
 *         puts(child->name);
 *     ce_xml_free(x);
 */
#ifndef CE_XML_H
#define CE_XML_H

#include "error.h"

#include <stddef.h>

typedef struct ce_xml {
    char *name;
    char *text; /* all of its own, without the white space around it; NULL: none */
    size_t text_size, text_room; /* while it is read */
    size_t line;
    struct ce_xml *first, *last, *next, *parent;
} ce_xml;

/* At most 4 MiB, and 32 elements deep. A file that declares entities is refused
 * (CE_EUNSUPPORTED): a few lines of them expand to gigabytes. */
int ce_xml_read(ce_xml **out, const char *path, ce_error *err);
void ce_xml_free(ce_xml *x);

#endif

/* The named character references of HTML 5: core/data/html5_entities.txt, one a line,
 * sorted by name: the name, the one or two code points in hexadecimal. The name ends in a
 * semicolon where the reference has to. Source: the WHATWG's list
 * (html.spec.whatwg.org/entities.json; BSD 3-clause in source code), as in Python's
 * html.entities.html5. */
#ifndef CE_HTML_ENTITIES_H
#define CE_HTML_ENTITIES_H

extern const char ce_html_entities[];     /* not NUL-terminated */
extern const char ce_html_entities_end[]; /* one past the last byte */

#endif

/* Text cleaned as openai/CLIP and open_clip clean it: fix_text of ftfy 6.3.1 with its
 * defaults, then html.unescape of Python's standard library twice.
 *
 *     int rc = ce_runes_fix_text(&r, &err);        schÃ¶n &amp; ﬁne  ->  schön & fine
 *     for (int i = 0; i < 2 && rc == 0; i++)
 *         rc = ce_runes_unescape_html(&r);
 *
 * Tables and rules are facts of ftfy (Apache 2.0, Robyn Speer), of the Unicode Consortium's
 * code page mappings and of the WHATWG's list of named character references. The character
 * properties are utf8proc's (unicode.h).
 */
#ifndef CE_REPAIR_H
#define CE_REPAIR_H

#include "unicode.h"

/* Mends, line by line and until nothing changes: HTML references (up to the first line
 * that holds a '<'), text decoded with the wrong code page, C1 controls, Latin ligatures,
 * full and half width, curly quotes, line breaks, terminal escapes, control characters,
 * NFC. Text in which nothing is suspicious costs one look at it. CE_EINVAL: the text is
 * made so that it needs more rounds than any real one (references nested by the thousand
 * in a text of megabytes). */
int ce_runes_fix_text(ce_runes *r, ce_error *err);

/* One round of html.unescape: named references of HTML 5, also the old ones that need no
 * semicolon and as the head of a longer word, and numbers. Never longer than before. */
void ce_runes_unescape_html(ce_runes *r);

#endif

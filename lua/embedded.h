/* The Lua half of the API, the files of lua/clipeval, as the build put it into the program
 * (see lua/embed.cmake). */
#ifndef CE_EMBEDDED_H
#define CE_EMBEDDED_H

#include <stddef.h>

typedef struct ce_embedded {
    const char *name; /* "clipeval", "clipeval.dataset", ...; NULL ends the list */
    const char *text;
    size_t size;
} ce_embedded;

extern const ce_embedded ce_embedded_modules[];

#endif

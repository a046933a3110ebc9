/* Texts as people write them (core/unicode.h): what Lua's own string functions, which see
 * bytes, cannot do. */
#include "bind.h"
#include "unicode.h"

#include <stdlib.h>

static void release_runes(void *what) {
    ce_runes_free(what);
    free(what);
}

/* core.lower(text) -> lower case, as Python's str.lower(); a text that is no UTF-8 comes
 * back as it is */
static int lower(lua_State *L) {
    ce_error err;
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    void **h = ce_lua_holder(L, release_runes);
    ce_runes *r = malloc(sizeof *r);
    if (!r)
        return luaL_error(L, "no memory");
    ce_runes_init(r);
    *h = r;
    int rc = ce_runes_decode(r, text, size, &err);
    if (rc == CE_EINVAL) {
        lua_settop(L, 1);
        return 1;
    }
    if (rc < 0 || ce_runes_lower(r, true, &err) < 0)
        return ce_lua_raise(L, &err);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (size_t i = 0; i < r->count; i++) {
        unsigned char bytes[4];
        luaL_addlstring(&b, (const char *)bytes, ce_rune_encode(bytes, r->at[i]));
    }
    luaL_pushresult(&b);
    return 1;
}

static const luaL_Reg FUNCTIONS[] = {{"lower", lower}, {NULL, NULL}};

int luaopen_clipeval_text(lua_State *L) {
    luaL_setfuncs(L, FUNCTIONS, 0);
    return 0;
}

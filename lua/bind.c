#include "bind.h"

#include <stdint.h>
#include <string.h>

ce_session *ce_lua_session(lua_State *L) {
    return *(ce_session **)lua_getextraspace(L);
}

int ce_lua_fault(lua_State *L, const ce_error *err) {
    luaL_pushfail(L);
    lua_pushstring(L, err->message);
    return 2;
}

int ce_lua_raise(lua_State *L, const ce_error *err) {
    return luaL_error(L, "%s", err->message);
}

int ce_lua_interrupted(lua_State *L) {
    return luaL_error(L, "interrupted");
}

/* (object): `close`, the upvalue. While a finalizer runs lua_gc answers -1 to everything
 * (lapi.c). */
static int close_object(lua_State *L) {
    if (lua_gc(L, LUA_GCCOUNT) < 0)
        return 0;
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static void push_close(lua_State *L, lua_CFunction close) {
    lua_pushcfunction(L, close);
    lua_pushcclosure(L, close_object, 1);
}

void ce_lua_type(lua_State *L, const char *type, const luaL_Reg *methods,
                 const luaL_Reg *meta, lua_CFunction close) {
    luaL_newmetatable(L, type);
    luaL_setfuncs(L, meta, 0);
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__gc");
    push_close(L, close);
    lua_setfield(L, -2, "__close");
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    push_close(L, close);
    lua_setfield(L, -2, "close");
    lua_setfield(L, -2, "methods");
    lua_pushliteral(L, "locked"); /* scripts cannot reach __gc to call it on other things */
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

int ce_lua_index_methods(lua_State *L) {
    luaL_getmetafield(L, 1, "methods");
    lua_pushvalue(L, 2);
    lua_gettable(L, -2);
    return 1;
}

int ce_lua_field(lua_State *L, int index, const char *key) {
    index = lua_absindex(L, index);
    lua_pushstring(L, key);
    return lua_rawget(L, index);
}

const char *ce_lua_check_path(lua_State *L, int arg) {
    size_t size;
    const char *path = luaL_checklstring(L, arg, &size);
    luaL_argcheck(L, strlen(path) == size, arg, "a path holds a NUL byte");
    return path;
}

ce_alpha ce_lua_alpha(lua_State *L, int index) {
    static const char *const names[] = {"drop", "white"};
    if (lua_isnoneornil(L, index))
        return CE_ALPHA_DROP;
    luaL_checktype(L, index, LUA_TTABLE);
    int type = ce_lua_field(L, index, "alpha");
    const char *name = type == LUA_TNIL ? names[0] : lua_tostring(L, -1);
    int alpha = name && !strcmp(name, names[0])   ? CE_ALPHA_DROP
                : name && !strcmp(name, names[1]) ? CE_ALPHA_WHITE
                                                  : -1;
    if (alpha < 0)
        luaL_argerror(L, index, "alpha must be \"drop\" or \"white\"");
    lua_pop(L, 1);
    return (ce_alpha)alpha;
}

void *ce_lua_array(lua_State *L, size_t n, size_t size) {
    if (n > SIZE_MAX / size)
        luaL_error(L, "too many items");
    void *array = lua_newuserdatauv(L, n * size, 0);
    memset(array, 0, n * size);
    return array;
}

void ce_lua_allocated(lua_State *L, size_t bytes) {
    size_t kilobytes = bytes / 1024;
    if (kilobytes > 0)
        lua_gc(L, LUA_GCSTEP, kilobytes < (1 << 20) ? (int)kilobytes : 1 << 20);
}

/* ---- holders ---- */

typedef struct holder {
    void *what;
    void (*release)(void *what);
} holder;

static const char *const HOLDER = "clipeval.holder";

static int holder_close(lua_State *L) {
    holder *h = luaL_checkudata(L, 1, HOLDER);
    if (h->what)
        h->release(h->what);
    h->what = NULL;
    return 0;
}

void **ce_lua_holder(lua_State *L, void (*release)(void *what)) {
    holder *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->what = NULL;
    h->release = release;
    luaL_setmetatable(L, HOLDER);
    return &h->what;
}

void ce_lua_holder_type(lua_State *L) {
    static const luaL_Reg none[] = {{NULL, NULL}};
    ce_lua_type(L, HOLDER, none, none, holder_close);
}

/* ---- fields of the table on top of the stack ---- */

void ce_lua_set_string(lua_State *L, const char *key, const char *value) {
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

void ce_lua_set_integer(lua_State *L, const char *key, lua_Integer value) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, key);
}

void ce_lua_set_number(lua_State *L, const char *key, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

void ce_lua_set_boolean(lua_State *L, const char *key, bool value) {
    lua_pushboolean(L, value);
    lua_setfield(L, -2, key);
}

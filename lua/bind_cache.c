/* clipeval.cache: what runs have computed (core/cache.h). */
#include "bind.h"

#include <stdlib.h>

static const char *const TYPE = "clipeval.cache";

typedef struct box {
    ce_cache *cache; /* NULL: closed */
} box;

ce_cache *ce_lua_test_cache(lua_State *L, int index) {
    box *b = luaL_testudata(L, index, TYPE);
    return b ? b->cache : NULL;
}

static ce_cache *check_cache(lua_State *L) {
    box *b = luaL_checkudata(L, 1, TYPE);
    luaL_argcheck(L, b->cache, 1, "the cache is closed");
    return b->cache;
}

/* core.cache(directory, bytes) -> cache | nil, message */
static int cache_open(lua_State *L) {
    ce_error err;
    const char *directory = ce_lua_check_path(L, 1);
    lua_Integer bound = luaL_checkinteger(L, 2);
    luaL_argcheck(L, bound >= 0, 2, "must not be negative");
    box *b = lua_newuserdatauv(L, sizeof *b, 0);
    b->cache = NULL;
    luaL_setmetatable(L, TYPE);
    if (ce_cache_open(&b->cache, directory, (uint64_t)bound, &err) < 0)
        return ce_lua_fault(L, &err);
    return 1;
}

/* core.cache_exists(directory) */
static int cache_exists(lua_State *L) {
    lua_pushboolean(L, ce_cache_exists(ce_lua_check_path(L, 1)));
    return 1;
}

/* cache:trouble() -> nil or one line, blocks and entries that were damaged */
static int cache_trouble(lua_State *L) {
    ce_cache *c = check_cache(L);
    lua_pushstring(L, ce_cache_trouble(c));
    lua_pushinteger(L, (lua_Integer)ce_cache_damaged(c));
    return 2;
}

static void push_models(lua_State *L, const ce_cache_model *models, size_t n) {
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_newtable(L);
        ce_lua_set_string(L, "sha256", models[i].sha256);
        ce_lua_set_integer(L, "rows", (lua_Integer)models[i].rows);
        ce_lua_set_integer(L, "bytes", (lua_Integer)models[i].bytes);
        ce_lua_set_integer(L, "used", models[i].used);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* cache:stats() -> {bytes =, bound =, ..., models = {...}} | nil, message */
static int cache_stats(lua_State *L) {
    ce_error err;
    ce_cache_figures f;
    ce_cache_model *models;
    size_t count;
    void **h = ce_lua_holder(L, free);
    int code = ce_cache_stats(check_cache(L), &f, &models, &count, &err);
    *h = models;
    if (code < 0)
        return ce_lua_fault(L, &err);
    lua_newtable(L);
    ce_lua_set_integer(L, "bytes", (lua_Integer)f.bytes);
    ce_lua_set_integer(L, "bound", (lua_Integer)f.bound);
    ce_lua_set_integer(L, "blocks", (lua_Integer)f.blocks);
    ce_lua_set_integer(L, "rows", (lua_Integer)f.rows);
    ce_lua_set_integer(L, "files", (lua_Integer)f.files);
    ce_lua_set_integer(L, "oldest", f.oldest);
    ce_lua_set_integer(L, "newest", f.newest);
    push_models(L, models, count);
    lua_setfield(L, -2, "models");
    return 1;
}

/* cache:gc() -> blocks that were dropped | nil, message */
static int cache_gc(lua_State *L) {
    ce_error err;
    size_t dropped;
    if (ce_cache_collect(check_cache(L), &dropped, &err) < 0)
        return ce_lua_fault(L, &err);
    lua_pushinteger(L, (lua_Integer)dropped);
    return 1;
}

/* cache:verify() -> blocks that were checked, what did not fit | nil, message */
static int cache_verify(lua_State *L) {
    ce_error err;
    size_t checked, bad;
    if (ce_cache_verify(check_cache(L), &checked, &bad, &err) < 0)
        return ce_lua_fault(L, &err);
    lua_pushinteger(L, (lua_Integer)checked);
    lua_pushinteger(L, (lua_Integer)bad);
    return 2;
}

static int cache_tostring(lua_State *L) {
    lua_pushliteral(L, "cache");
    return 1;
}

static int cache_close(lua_State *L) {
    box *b = luaL_checkudata(L, 1, TYPE);
    ce_cache_close(b->cache);
    b->cache = NULL;
    return 0;
}

static const luaL_Reg METHODS[] = {{"trouble", cache_trouble},
                                   {"stats", cache_stats},
                                   {"gc", cache_gc},
                                   {"verify", cache_verify},
                                   {NULL, NULL}};

static const luaL_Reg META[] = {
    {"__index", ce_lua_index_methods}, {"__tostring", cache_tostring}, {NULL, NULL}};

int luaopen_clipeval_cache(lua_State *L) {
    ce_lua_type(L, TYPE, METHODS, META, cache_close);
    lua_pushcfunction(L, cache_open);
    lua_setfield(L, -2, "cache");
    lua_pushcfunction(L, cache_exists);
    lua_setfield(L, -2, "cache_exists");
    return 0;
}

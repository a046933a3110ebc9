/* Annotation files of datasets: large JSON (core/json_records.h), XML (core/xml.h), and raw
 * pictures in planes (core/planes.h). */
#include "bind.h"
#include "json_records.h"
#include "planes.h"
#include "xml.h"

/* ---- JSON ---- */

static void release_records(void *what) {
    ce_json_records_close(what);
}

static void release_json(void *what) {
    json_decref(what);
}

/* () -> index or key, value (nil: null), line; or nil at the end; or nil, message */
static int next_record(lua_State *L) {
    ce_error err;
    const char *key;
    json_t *value;
    ce_json_records *r = *(void **)lua_touserdata(L, lua_upvalueindex(1));
    void **h = lua_touserdata(L, lua_upvalueindex(2));
    int more = ce_json_records_next(r, &key, &value, &err);
    if (more < 0)
        return ce_lua_fault(L, &err);
    if (more == 0) {
        lua_pushnil(L);
        return 1;
    }
    *h = value;
    lua_Integer index = lua_tointeger(L, lua_upvalueindex(3)) + 1;
    lua_pushinteger(L, index);
    lua_replace(L, lua_upvalueindex(3));
    if (key)
        lua_pushstring(L, key);
    else
        lua_pushinteger(L, index);
    ce_lua_push_json(L, value);
    lua_pushinteger(L, (lua_Integer)ce_json_records_line(r));
    *h = NULL;
    json_decref(value);
    return 3;
}

static int records(lua_State *L, bool lines) {
    ce_error err;
    ce_json_records *r;
    const char *path = ce_lua_check_path(L, 1), *member = luaL_optstring(L, 2, NULL);
    void **h = ce_lua_holder(L, release_records);
    int rc = lines ? ce_json_lines_open(&r, path, &err)
                   : ce_json_records_open(&r, path, member, &err);
    if (rc < 0)
        return ce_lua_fault(L, &err);
    *h = r;
    ce_lua_holder(L, release_json);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_record, 3);
    return 1;
}

/* core.json_records(path[, member]) -> an iterator over the elements of a list, or of an
 * object, that the file is or that is its member | nil, message */
static int json_records(lua_State *L) {
    return records(L, false);
}

/* core.json_lines(path) -> the same over a file with one JSON value a line */
static int json_lines(lua_State *L) {
    return records(L, true);
}

/* ---- XML ---- */

static void release_xml(void *what) {
    ce_xml_free(what);
}

static void push_xml(lua_State *L, const ce_xml *x) {
    luaL_checkstack(L, 4, "XML is nested too deeply");
    lua_newtable(L);
    ce_lua_set_string(L, "name", x->name);
    if (x->text)
        ce_lua_set_string(L, "text", x->text);
    ce_lua_set_integer(L, "line", (lua_Integer)x->line);
    lua_Integer n = 0;
    for (const ce_xml *child = x->first; child; child = child->next) {
        push_xml(L, child);
        lua_rawseti(L, -2, ++n);
    }
}

/* core.xml(path) -> {name =, text =, line =, children...} | nil, message */
static int xml(lua_State *L) {
    ce_error err;
    ce_xml *x;
    const char *path = ce_lua_check_path(L, 1);
    void **h = ce_lua_holder(L, release_xml);
    if (ce_xml_read(&x, path, &err) < 0)
        return ce_lua_fault(L, &err);
    *h = x;
    push_xml(L, x);
    return 1;
}

/* ---- raw pictures ---- */

/* core.interleave(planes, width, height[, columns]) -> pixels: see core/planes.h */
static int interleave(lua_State *L) {
    size_t size;
    const char *planes = luaL_checklstring(L, 1, &size);
    lua_Integer width = luaL_checkinteger(L, 2), height = luaL_checkinteger(L, 3);
    luaL_argcheck(L, width > 0 && width <= 65535, 2, "out of range");
    luaL_argcheck(L, height > 0 && height <= 65535, 3, "out of range");
    luaL_argcheck(L, size == (size_t)width * (size_t)height * 3, 1,
                  "3 * width * height bytes are needed");
    luaL_Buffer b;
    uint8_t *out = (uint8_t *)luaL_buffinitsize(L, &b, size);
    ce_interleave(out, (const uint8_t *)planes, (size_t)width, (size_t)height,
                  lua_toboolean(L, 4));
    luaL_pushresultsize(&b, size);
    return 1;
}

static const luaL_Reg FUNCTIONS[] = {{"json_records", json_records},
                                     {"json_lines", json_lines},
                                     {"xml", xml},
                                     {"interleave", interleave},
                                     {NULL, NULL}};

int luaopen_clipeval_annotations(lua_State *L) {
    luaL_setfuncs(L, FUNCTIONS, 0);
    return 0;
}

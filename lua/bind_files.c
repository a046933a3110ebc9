/* Files as datasets need them (core/fs.h, csv.h, idx.h, tar.h), hashes, JSON. */
#include "bind.h"
#include "csv.h"
#include "fs.h"
#include "idx.h"
#include "tar.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* core.kind(path) -> "directory" or "file" (whatever else there is), what tells it from
 * every other, whichever way a path leads there, and its size in bytes (0: no regular
 * file) | nil */
static int kind(lua_State *L) {
    struct stat st;
    if (stat(ce_lua_check_path(L, 1), &st) != 0) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushstring(L, S_ISDIR(st.st_mode) ? "directory" : "file");
    lua_pushfstring(L, "%I:%I", (LUAI_UACINT)st.st_dev, (LUAI_UACINT)st.st_ino);
    lua_pushinteger(L, S_ISREG(st.st_mode) ? (lua_Integer)st.st_size : 0);
    return 3;
}

/* ---- listings ---- */

static void release_listing(void *what) {
    ce_listing_free(what);
    free(what);
}

/* core.list(directory) -> names sorted by byte value, is_directory | nil, message */
static int list(lua_State *L) {
    ce_error err;
    const char *path = ce_lua_check_path(L, 1);
    void **h = ce_lua_holder(L, release_listing);
    ce_listing *l = calloc(1, sizeof *l);
    if (!l)
        return luaL_error(L, "no memory");
    *h = l;
    if (ce_list_directory(l, path, &err) < 0)
        return ce_lua_fault(L, &err);
    lua_createtable(L, (int)l->count, 0);
    lua_createtable(L, (int)l->count, 0);
    for (size_t i = 0; i < l->count; i++) {
        lua_pushstring(L, l->names[i]);
        lua_rawseti(L, -3, (lua_Integer)i + 1);
        lua_pushboolean(L, l->is_dir[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 2;
}

/* ---- CSV ---- */

static void release_csv(void *what) {
    ce_csv_free(what);
}

/* core.csv(path[, delimiter]) -> rows (lists of strings; row.line is its line) | nil,
 * message */
static int csv(lua_State *L) {
    ce_error err;
    size_t size;
    ce_csv *table;
    const char *path = ce_lua_check_path(L, 1);
    const char *delimiter = luaL_optlstring(L, 2, ",", &size);
    luaL_argcheck(L, size == 1 && !strchr("\"\r\n", *delimiter), 2,
                  "a delimiter is one character");
    void **h = ce_lua_holder(L, release_csv);
    if (ce_csv_read(&table, path, *delimiter, &err) < 0)
        return ce_lua_fault(L, &err);
    *h = table;
    lua_createtable(L, (int)table->rows, 0);
    for (size_t r = 0; r < table->rows; r++) {
        size_t fields = ce_csv_fields(table, r);
        lua_createtable(L, (int)fields, 1);
        for (size_t f = 0; f < fields; f++) {
            lua_pushstring(L, ce_csv_field(table, r, f));
            lua_rawseti(L, -2, (lua_Integer)f + 1);
        }
        lua_pushinteger(L, (lua_Integer)table->line[r]);
        lua_setfield(L, -2, "line");
        lua_rawseti(L, -2, (lua_Integer)r + 1);
    }
    return 1;
}

/* A field that the row lacks, or one too many: nil, message. */
static int fail_width(lua_State *L, const char *path, const ce_csv *table, size_t row) {
    size_t fields = ce_csv_fields(table, row), wanted = ce_csv_fields(table, 0);
    luaL_pushfail(L);
    lua_pushfstring(L, "%s:%I: %I field%s, and the header has %I", path,
                    (LUAI_UACINT)table->line[row], (LUAI_UACINT)fields,
                    fields == 1 ? "" : "s", (LUAI_UACINT)wanted);
    return 2;
}

/* core.csv_columns(path) -> names in the first row, a list of strings for each, the line of
 * each row | nil, message: also where a row has more or fewer fields than the first */
static int csv_columns(lua_State *L) {
    ce_error err;
    ce_csv *table;
    const char *path = ce_lua_check_path(L, 1);
    void **h = ce_lua_holder(L, release_csv);
    if (ce_csv_read(&table, path, ',', &err) < 0)
        return ce_lua_fault(L, &err);
    *h = table;
    size_t columns = table->rows ? ce_csv_fields(table, 0) : 0;
    int room = table->rows < INT_MAX ? (int)table->rows : 0;
    for (size_t r = 1; r < table->rows; r++)
        if (ce_csv_fields(table, r) != columns)
            return fail_width(L, path, table, r);
    lua_createtable(L, (int)columns, 0);
    lua_createtable(L, (int)columns, 0);
    for (size_t c = 0; c < columns; c++) {
        lua_pushstring(L, ce_csv_field(table, 0, c));
        lua_rawseti(L, -3, (lua_Integer)c + 1);
        lua_createtable(L, room, 0);
        for (size_t r = 1; r < table->rows; r++) {
            lua_pushstring(L, ce_csv_field(table, r, c));
            lua_rawseti(L, -2, (lua_Integer)r);
        }
        lua_rawseti(L, -2, (lua_Integer)c + 1);
    }
    lua_createtable(L, room, 0);
    for (size_t r = 1; r < table->rows; r++) {
        lua_pushinteger(L, (lua_Integer)table->line[r]);
        lua_rawseti(L, -2, (lua_Integer)r);
    }
    return 3;
}

/* ---- IDX ---- */

static void release_idx(void *what) {
    ce_idx_free(what);
    free(what);
}

/* core.idx(path) -> {n, ...}, bytes | nil, message */
static int idx(lua_State *L) {
    ce_error err;
    const char *path = ce_lua_check_path(L, 1);
    void **h = ce_lua_holder(L, release_idx);
    ce_idx *data = calloc(1, sizeof *data);
    if (!data)
        return luaL_error(L, "no memory");
    *h = data;
    if (ce_idx_read(data, path, &err) < 0)
        return ce_lua_fault(L, &err);
    size_t size = 1;
    lua_createtable(L, data->rank, 0);
    for (int i = 0; i < data->rank; i++) {
        size *= data->shape[i];
        lua_pushinteger(L, (lua_Integer)data->shape[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushlstring(L, (const char *)data->bytes, size);
    return 2;
}

/* ---- tar ---- */

static void release_tar(void *what) {
    ce_tar_free(what);
}

/* core.tar(path) -> list of {name =, offset =, size =} in the archive's order | nil,
 * message */
static int tar(lua_State *L) {
    ce_error err;
    ce_tar *archive;
    const char *path = ce_lua_check_path(L, 1);
    void **h = ce_lua_holder(L, release_tar);
    if (ce_tar_open(&archive, path, &err) < 0)
        return ce_lua_fault(L, &err);
    *h = archive;
    size_t n = ce_tar_count(archive);
    lua_createtable(L, n < INT_MAX ? (int)n : 0, 0);
    for (size_t i = 0; i < n; i++) {
        const ce_tar_member *m = ce_tar_at(archive, i);
        lua_createtable(L, 0, 3);
        ce_lua_set_string(L, "name", m->name);
        ce_lua_set_integer(L, "offset", (lua_Integer)m->offset);
        ce_lua_set_integer(L, "size", (lua_Integer)m->size);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* ---- hashes ---- */

static int sha256(lua_State *L) {
    char hex[65];
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    ce_sha256(hex, text, size);
    lua_pushstring(L, hex);
    return 1;
}

static int sha256_file(lua_State *L) {
    ce_error err;
    char hex[65];
    if (ce_sha256_file(hex, ce_lua_check_path(L, 1), &err) < 0)
        return ce_lua_fault(L, &err);
    lua_pushstring(L, hex);
    return 1;
}

/* ---- JSON ---- */

void ce_lua_push_json(lua_State *L, const json_t *value) {
    luaL_checkstack(L, 4, "JSON is nested too deeply");
    switch (json_typeof(value)) {
    case JSON_OBJECT: {
        const char *key;
        json_t *field;
        lua_newtable(L);
        json_object_foreach((json_t *)value, key, field) {
            ce_lua_push_json(L, field);
            lua_setfield(L, -2, key);
        }
        break;
    }
    case JSON_ARRAY:
        lua_createtable(L, (int)json_array_size(value), 0);
        for (size_t i = 0; i < json_array_size(value); i++) {
            ce_lua_push_json(L, json_array_get(value, i));
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(value));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(value));
        break;
    default:
        lua_pushnil(L);
    }
}

static void release_json(void *what) {
    json_decref(what);
}

/* core.json_decode(text) -> value | nil, message; null becomes nil */
static int json_decode(lua_State *L) {
    json_error_t fault;
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    void **h = ce_lua_holder(L, release_json);
    *h = json_loadb(text, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &fault);
    if (!*h) {
        luaL_pushfail(L);
        lua_pushfstring(L, "line %d: %s", fault.line, fault.text);
        return 2;
    }
    ce_lua_push_json(L, *h);
    return 1;
}

static const luaL_Reg FUNCTIONS[] = {{"kind", kind},
                                     {"list", list},
                                     {"csv", csv},
                                     {"csv_columns", csv_columns},
                                     {"idx", idx},
                                     {"tar", tar},
                                     {"sha256", sha256},
                                     {"sha256_file", sha256_file},
                                     {"json_decode", json_decode},
                                     {NULL, NULL}};

int luaopen_clipeval_files(lua_State *L) {
    luaL_setfuncs(L, FUNCTIONS, 0);
    return 0;
}

/* What a report is made of: CSV rows, a directory that appears at once, a safetensors file
 * (core/csv.h, fs.h, tensor_file.h). */
#include "bind.h"
#include "csv.h"
#include "fs.h"
#include "tensor_file.h"

#include <errno.h>
#include <string.h>

/* ---- CSV ---- */

/* core.csv_row(file, ...): one row; numbers with 9 digits, nil empty, booleans 1 and 0 */
static int csv_row(lua_State *L) {
    luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    luaL_argcheck(L, stream->closef, 1, "the file is closed");
    int last = lua_gettop(L);
    for (int arg = 2; arg <= last; arg++) {
        if (arg > 2)
            fputc(',', stream->f);
        if (lua_isinteger(L, arg))
            fprintf(stream->f, LUA_INTEGER_FMT, lua_tointeger(L, arg));
        else if (lua_type(L, arg) == LUA_TNUMBER)
            fprintf(stream->f, "%.9g", lua_tonumber(L, arg));
        else if (lua_isboolean(L, arg))
            fputc(lua_toboolean(L, arg) ? '1' : '0', stream->f);
        else if (!lua_isnil(L, arg)) {
            size_t size;
            const char *text = luaL_checklstring(L, arg, &size);
            ce_csv_put(stream->f, text, size);
        }
    }
    fputc('\n', stream->f);
    return 0; /* a failed write shows when the file is closed */
}

/* core.close(file) -> true | nil, message: also where an earlier write failed */
static int close_file(lua_State *L) {
    luaL_Stream *stream = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    luaL_argcheck(L, stream->closef, 1, "the file is closed");
    errno = 0;
    bool failed = fflush(stream->f) != 0 || ferror(stream->f);
    int saved = errno;
    lua_getfield(L, 1, "close");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    if (failed || !lua_toboolean(L, -1)) {
        luaL_pushfail(L);
        lua_pushstring(L, saved ? strerror(saved) : "cannot be written");
        return 2;
    }
    return 1;
}

/* ---- a directory that appears at once ---- */

static const char *const DIRECTORY = "clipeval.directory";

typedef struct directory {
    char *temporary; /* NULL: committed or closed */
} directory;

/* core.directory(path) -> directory | nil, message */
static int directory_begin(lua_State *L) {
    ce_error err;
    const char *path = ce_lua_check_path(L, 1);
    directory *d = lua_newuserdatauv(L, sizeof *d, 1);
    d->temporary = NULL;
    luaL_setmetatable(L, DIRECTORY);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return ce_directory_begin(&d->temporary, path, &err) < 0 ? ce_lua_fault(L, &err) : 1;
}

static directory *check_directory(lua_State *L) {
    directory *d = luaL_checkudata(L, 1, DIRECTORY);
    luaL_argcheck(L, d->temporary, 1, "the directory is closed");
    return d;
}

/* directory:path() -> where its files are to be written */
static int directory_path(lua_State *L) {
    lua_pushstring(L, check_directory(L)->temporary);
    return 1;
}

/* directory:commit() -> true | nil, message */
static int directory_commit(lua_State *L) {
    ce_error err;
    directory *d = check_directory(L);
    lua_getiuservalue(L, 1, 1);
    char *temporary = d->temporary;
    d->temporary = NULL;
    if (ce_directory_commit(temporary, lua_tostring(L, -1), &err) < 0)
        return ce_lua_fault(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

static int directory_close(lua_State *L) {
    directory *d = luaL_checkudata(L, 1, DIRECTORY);
    if (d->temporary)
        ce_directory_abort(d->temporary);
    d->temporary = NULL;
    return 0;
}

static int directory_tostring(lua_State *L) {
    luaL_checkudata(L, 1, DIRECTORY);
    lua_getiuservalue(L, 1, 1);
    lua_pushfstring(L, "directory %s", lua_tostring(L, -1));
    return 1;
}

/* ---- a safetensors file ---- */

static const char *const TENSORS = "clipeval.tensors";

typedef struct tensors {
    ce_tensor_file *file; /* NULL: committed or closed */
} tensors;

/* The table on top of the stack; its name takes its place there, and keeps the string. */
static ce_tensor_spec read_spec(lua_State *L) {
    static const char *const types[] = {"F32", "I64"};
    ce_tensor_spec spec = {0};
    luaL_checktype(L, -1, LUA_TTABLE);
    ce_lua_field(L, -1, "name");
    spec.name = luaL_checkstring(L, -1);
    ce_lua_field(L, -2, "dtype");
    spec.type = strcmp(luaL_checkstring(L, -1), types[1]) ? CE_TENSOR_F32 : CE_TENSOR_I64;
    ce_lua_field(L, -3, "shape");
    luaL_checktype(L, -1, LUA_TTABLE);
    spec.rank = (int)lua_rawlen(L, -1);
    luaL_argcheck(L, spec.rank >= 1 && spec.rank <= CE_TENSOR_RANK, 2, "bad rank");
    for (int i = 0; i < spec.rank; i++) {
        lua_rawgeti(L, -1, i + 1);
        lua_Integer size = luaL_checkinteger(L, -1);
        luaL_argcheck(L, size >= 0, 2, "bad shape");
        spec.shape[i] = (size_t)size;
        lua_pop(L, 1);
    }
    lua_pop(L, 2);
    lua_remove(L, -2);
    return spec;
}

/* core.tensor_file(path, {{name =, dtype = "F32" | "I64", shape = {...}}, ...}) */
static int tensors_create(lua_State *L) {
    ce_error err;
    const char *path = ce_lua_check_path(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t n = lua_rawlen(L, 2);
    ce_tensor_spec *specs = ce_lua_array(L, n + 1, sizeof *specs);
    for (size_t i = 0; i < n; i++) {
        luaL_checkstack(L, 8, "too many tensors");
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        specs[i] = read_spec(L);
    }
    tensors *t = lua_newuserdatauv(L, sizeof *t, 0);
    t->file = NULL;
    luaL_setmetatable(L, TENSORS);
    return ce_tensor_file_create(&t->file, path, specs, n, &err) < 0 ? ce_lua_fault(L, &err)
                                                                     : 1;
}

static ce_tensor_file *check_tensors(lua_State *L) {
    tensors *t = luaL_checkudata(L, 1, TENSORS);
    luaL_argcheck(L, t->file, 1, "the file is closed");
    return t->file;
}

/* file:write(tensor number, first byte, matrix | bytes) -> true | nil, message */
static int tensors_write(lua_State *L) {
    ce_error err;
    size_t size;
    const void *data;
    ce_tensor_file *file = check_tensors(L);
    lua_Integer tensor = luaL_checkinteger(L, 2), offset = luaL_checkinteger(L, 3);
    luaL_argcheck(L, tensor >= 1, 2, "no such tensor");
    luaL_argcheck(L, offset >= 0, 3, "must not be negative");
    if (lua_type(L, 4) == LUA_TSTRING) {
        data = lua_tolstring(L, 4, &size);
    } else {
        const ce_matrix *m = ce_lua_check_matrix(L, 4);
        data = m->data;
        size = m->rows * m->cols * sizeof *m->data;
    }
    if (ce_tensor_file_write(file, (size_t)tensor - 1, (size_t)offset, data, size, &err) <
        0)
        return ce_lua_fault(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

static int tensors_commit(lua_State *L) {
    ce_error err;
    if (ce_tensor_file_commit(check_tensors(L), &err) < 0)
        return ce_lua_fault(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

static int tensors_close(lua_State *L) {
    tensors *t = luaL_checkudata(L, 1, TENSORS);
    ce_tensor_file_free(t->file);
    t->file = NULL;
    return 0;
}

static int tensors_tostring(lua_State *L) {
    luaL_checkudata(L, 1, TENSORS);
    lua_pushliteral(L, "tensor file");
    return 1;
}

static const luaL_Reg FUNCTIONS[] = {{"csv_row", csv_row},
                                     {"close", close_file},
                                     {"directory", directory_begin},
                                     {"tensor_file", tensors_create},
                                     {NULL, NULL}};

static const luaL_Reg DIRECTORY_METHODS[] = {
    {"path", directory_path}, {"commit", directory_commit}, {NULL, NULL}};

static const luaL_Reg DIRECTORY_META[] = {
    {"__index", ce_lua_index_methods}, {"__tostring", directory_tostring}, {NULL, NULL}};

static const luaL_Reg TENSORS_METHODS[] = {
    {"write", tensors_write}, {"commit", tensors_commit}, {NULL, NULL}};

static const luaL_Reg TENSORS_META[] = {
    {"__index", ce_lua_index_methods}, {"__tostring", tensors_tostring}, {NULL, NULL}};

int luaopen_clipeval_output(lua_State *L) {
    ce_lua_type(L, DIRECTORY, DIRECTORY_METHODS, DIRECTORY_META, directory_close);
    ce_lua_type(L, TENSORS, TENSORS_METHODS, TENSORS_META, tensors_close);
    luaL_setfuncs(L, FUNCTIONS, 0);
    return 0;
}

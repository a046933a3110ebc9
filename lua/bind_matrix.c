/* clip.matrix: rows of numbers (core/matrix.h), and what is asked of scores (core/score.h).
 */
#include "bind.h"
#include "pipeline.h"
#include "score.h"
#include "team.h"

#include <math.h>
#include <string.h>

static const char *const TYPE = "clip.matrix";

static ce_matrix *new_matrix(lua_State *L) {
    ce_matrix *m = lua_newuserdatauv(L, sizeof *m, 0);
    memset(m, 0, sizeof *m);
    luaL_setmetatable(L, TYPE);
    return m;
}

/* A matrix has at least one column; only a closed one has none. */
ce_matrix *ce_lua_check_matrix(lua_State *L, int arg) {
    ce_matrix *m = luaL_checkudata(L, arg, TYPE);
    luaL_argcheck(L, m->cols > 0, arg, "the matrix is closed");
    return m;
}

ce_matrix *ce_lua_new_shape(lua_State *L, size_t rows, size_t cols) {
    ce_error err;
    ce_matrix *m = new_matrix(L);
    if (ce_matrix_init(m, rows, cols, &err) < 0)
        ce_lua_raise(L, &err);
    ce_lua_allocated(L, rows * cols * sizeof *m->data);
    return m;
}

static void push_row(lua_State *L, const ce_matrix *m, size_t row) {
    const float *x = ce_matrix_row(m, row);
    lua_createtable(L, (int)m->cols, 0);
    for (size_t j = 0; j < m->cols; j++) {
        lua_pushnumber(L, (lua_Number)x[j]);
        lua_rawseti(L, -2, (lua_Integer)j + 1);
    }
}

/* The table on top of the stack becomes row `row`; cols is m->cols. */
static void read_row(lua_State *L, ce_matrix *m, size_t row) {
    if (lua_type(L, -1) != LUA_TTABLE || lua_rawlen(L, -1) != m->cols)
        luaL_error(L, "row %d is not a list of %d numbers", (int)row + 1, (int)m->cols);
    float *x = ce_matrix_row(m, row);
    for (size_t j = 0; j < m->cols; j++) {
        int is_number;
        lua_rawgeti(L, -1, (lua_Integer)j + 1);
        x[j] = (float)lua_tonumberx(L, -1, &is_number);
        if (!is_number)
            luaL_error(L, "row %d, column %d is not a number", (int)row + 1, (int)j + 1);
        lua_pop(L, 1);
    }
}

/* clip.matrix(list of rows), clip.matrix(rows, cols) */
static int matrix_new(lua_State *L) {
    if (lua_type(L, 1) != LUA_TTABLE) {
        lua_Integer rows = luaL_checkinteger(L, 1), cols = luaL_checkinteger(L, 2);
        luaL_argcheck(L, rows >= 0, 1, "must not be negative");
        luaL_argcheck(L, cols >= 1, 2, "must be at least 1");
        ce_lua_new_shape(L, (size_t)rows, (size_t)cols);
        return 1;
    }
    size_t rows = lua_rawlen(L, 1);
    luaL_argcheck(L, rows > 0, 1, "needs at least one row");
    lua_rawgeti(L, 1, 1);
    size_t cols = lua_type(L, -1) == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
    luaL_argcheck(L, cols > 0, 1, "must be a list of rows, each a list of numbers");
    ce_matrix *m = ce_lua_new_shape(L, rows, cols);
    for (size_t i = 0; i < rows; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        read_row(L, m, i);
        lua_pop(L, 1);
    }
    return 1;
}

static int matrix_normalize(lua_State *L) {
    const ce_matrix *m = ce_lua_check_matrix(L, 1);
    ce_matrix *out = ce_lua_new_shape(L, m->rows, m->cols);
    if (m->rows > 0)
        memcpy(out->data, m->data, m->rows * m->cols * sizeof *m->data);
    ce_matrix_normalize(out);
    return 1;
}

static void normalize_part(void *job, size_t member, size_t members) {
    const ce_matrix *m = job;
    size_t first = m->rows * member / members, end = m->rows * (member + 1) / members;
    ce_matrix part = {end - first, m->cols, ce_matrix_row(m, first)};
    ce_matrix_normalize(&part);
}

/* core.normalize(m): the same in place, on every core where that is worth it */
static int normalize_in_place(lua_State *L) {
    enum { MANY = 1 << 12 };
    ce_error err;
    ce_team *team;
    ce_matrix *m = ce_lua_check_matrix(L, 1);
    int threads = ce_lua_session(L)->threads;
    threads = threads ? threads : ce_default_threads();
    if (m->rows < MANY || threads < 2 ||
        ce_team_new(&team, threads < 64 ? (size_t)threads : 64, &err) < 0) {
        ce_matrix_normalize(m);
        return 0;
    }
    ce_team_run(team, normalize_part, m);
    ce_team_free(team);
    return 0;
}

/* The weights at argument 2, one a row, in a buffer of Lua's. */
static const double *check_weights(lua_State *L, size_t rows) {
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_argcheck(L, lua_rawlen(L, 2) == rows, 2, "needs as many weights as rows");
    double *weights = lua_newuserdatauv(L, rows * sizeof *weights, 0);
    for (size_t i = 0; i < rows; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        weights[i] = lua_tonumber(L, -1);
        luaL_argcheck(L, weights[i] > 0 && weights[i] < HUGE_VAL, 2,
                      "a weight must be above 0 and finite");
        lua_pop(L, 1);
    }
    return weights;
}

/* m:mean([weights]) */
static int matrix_mean(lua_State *L) {
    const ce_matrix *m = ce_lua_check_matrix(L, 1);
    luaL_argcheck(L, m->rows > 0, 1, "a matrix without rows has no mean");
    const double *weights = lua_isnoneornil(L, 2) ? NULL : check_weights(L, m->rows);
    ce_matrix_mean_weighted(m, weights, ce_lua_new_shape(L, 1, m->cols)->data);
    return 1;
}

static int matrix_similarity(lua_State *L) {
    ce_error err;
    const ce_matrix *a = ce_lua_check_matrix(L, 1), *b = ce_lua_check_matrix(L, 2);
    ce_matrix *out = new_matrix(L);
    luaL_argcheck(L, b->rows > 0, 2, "a matrix without rows");
    if (a->cols != b->cols)
        return luaL_error(L, "rows of %d numbers cannot be compared with rows of %d",
                          (int)a->cols, (int)b->cols);
    if (ce_matrix_similarity(out, a, b, &err) < 0)
        return ce_lua_raise(L, &err);
    ce_lua_allocated(L, out->rows * out->cols * sizeof *out->data);
    return 1;
}

/* m:topk(k) -> indices, scores: for each row a list, best first */
static int matrix_topk(lua_State *L) {
    const ce_matrix *m = ce_lua_check_matrix(L, 1);
    lua_Integer k = luaL_checkinteger(L, 2);
    luaL_argcheck(L, k >= 1, 2, "must be at least 1");
    size_t *best = ce_lua_array(L, m->cols, sizeof *best);
    lua_createtable(L, (int)m->rows, 0);
    lua_createtable(L, (int)m->rows, 0);
    for (size_t i = 0; i < m->rows; i++) {
        const float *x = ce_matrix_row(m, i);
        size_t n = ce_top_k(x, m->cols, best, (size_t)k);
        lua_createtable(L, (int)n, 0);
        lua_createtable(L, (int)n, 0);
        for (size_t j = 0; j < n; j++) {
            lua_pushinteger(L, (lua_Integer)best[j] + 1);
            lua_rawseti(L, -3, (lua_Integer)j + 1);
            lua_pushnumber(L, (lua_Number)x[best[j]]);
            lua_rawseti(L, -2, (lua_Integer)j + 1);
        }
        lua_rawseti(L, -3, (lua_Integer)i + 1);
        lua_rawseti(L, -3, (lua_Integer)i + 1);
    }
    return 2;
}

/* m:ranks(targets) -> ranks, best, scores, tied: one entry a row. targets: column numbers.
 * ranks: 1 where the target is the best; scores: the best one's; tied: it is shared. */
static int matrix_ranks(lua_State *L) {
    const ce_matrix *m = ce_lua_check_matrix(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_argcheck(L, lua_rawlen(L, 2) == m->rows, 2, "needs one target for each row");
    for (int list = 0; list < 4; list++)
        lua_createtable(L, (int)m->rows, 0); /* at 3 .. 6 */
    for (size_t i = 0; i < m->rows; i++) {
        const float *x = ce_matrix_row(m, i);
        size_t best;
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        lua_Integer target = lua_tointeger(L, -1);
        lua_pop(L, 1);
        luaL_argcheck(L, target >= 1 && (size_t)target <= m->cols, 2,
                      "a target is not the number of a column");
        ce_top_k(x, m->cols, &best, 1);
        lua_pushinteger(L, (lua_Integer)ce_rank(x, m->cols, (size_t)target - 1) + 1);
        lua_rawseti(L, 3, (lua_Integer)i + 1);
        lua_pushinteger(L, (lua_Integer)best + 1);
        lua_rawseti(L, 4, (lua_Integer)i + 1);
        lua_pushnumber(L, (lua_Number)x[best]);
        lua_rawseti(L, 5, (lua_Integer)i + 1);
        lua_pushboolean(L, ce_top_is_tied(x, m->cols));
        lua_rawseti(L, 6, (lua_Integer)i + 1);
    }
    return 4;
}

/* m:plus(other): the sums of the numbers, of two matrices of one shape */
static int matrix_plus(lua_State *L) {
    const ce_matrix *a = ce_lua_check_matrix(L, 1), *b = ce_lua_check_matrix(L, 2);
    luaL_argcheck(L, a->rows == b->rows && a->cols == b->cols, 2, "another shape");
    ce_matrix *out = ce_lua_new_shape(L, a->rows, a->cols);
    for (size_t i = 0; i < a->rows * a->cols; i++)
        out->data[i] = a->data[i] + b->data[i];
    return 1;
}

/* m:select{3, 1, ...}: these rows, in this order */
static int matrix_select(lua_State *L) {
    const ce_matrix *m = ce_lua_check_matrix(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t n = lua_rawlen(L, 2);
    ce_matrix *out = ce_lua_new_shape(L, n, m->cols);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        lua_Integer row = lua_tointeger(L, -1);
        lua_pop(L, 1);
        luaL_argcheck(L, row >= 1 && (size_t)row <= m->rows, 2, "no such row");
        memcpy(ce_matrix_row(out, i), ce_matrix_row(m, (size_t)row - 1),
               m->cols * sizeof *m->data);
    }
    return 1;
}

/* m:slice(first, last): rows first..last */
static int matrix_slice(lua_State *L) {
    const ce_matrix *m = ce_lua_check_matrix(L, 1);
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3);
    luaL_argcheck(L, first >= 1 && (size_t)first <= m->rows + 1, 2, "no such row");
    luaL_argcheck(L, last >= first - 1 && (size_t)last <= m->rows, 3, "no such row");
    size_t n = (size_t)(last - first + 1);
    ce_matrix *out = ce_lua_new_shape(L, n, m->cols);
    if (n > 0)
        memcpy(out->data, ce_matrix_row(m, (size_t)first - 1),
               n * m->cols * sizeof *m->data);
    return 1;
}

/* core.stack{a, b, ...}: the rows of all, one below the other; as many columns in each */
static int matrix_stack(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    int parts = (int)lua_rawlen(L, 1);
    size_t rows = 0, cols = 0;
    for (int i = 1; i <= parts; i++) {
        lua_rawgeti(L, 1, i);
        const ce_matrix *m = ce_lua_check_matrix(L, -1);
        cols = i == 1 ? m->cols : cols;
        luaL_argcheck(L, m->cols == cols && !__builtin_add_overflow(rows, m->rows, &rows),
                      1, "matrices of different widths");
        lua_pop(L, 1);
    }
    luaL_argcheck(L, cols > 0, 1, "no matrices");
    ce_matrix *out = ce_lua_new_shape(L, rows, cols);
    rows = 0;
    for (int i = 1; i <= parts; i++) {
        lua_rawgeti(L, 1, i);
        const ce_matrix *m = ce_lua_check_matrix(L, -1);
        if (m->rows)
            memcpy(ce_matrix_row(out, rows), m->data, m->rows * cols * sizeof *m->data);
        rows += m->rows;
        lua_pop(L, 1);
    }
    return 1;
}

static int matrix_totable(lua_State *L) {
    const ce_matrix *m = ce_lua_check_matrix(L, 1);
    lua_createtable(L, (int)m->rows, 0);
    for (size_t i = 0; i < m->rows; i++) {
        push_row(L, m, i);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int matrix_index(lua_State *L) {
    const ce_matrix *m = luaL_checkudata(L, 1, TYPE);
    if (lua_type(L, 2) == LUA_TNUMBER) {
        lua_Integer row = lua_tointeger(L, 2);
        if (row >= 1 && (size_t)row <= m->rows)
            push_row(L, m, (size_t)row - 1);
        else
            lua_pushnil(L);
        return 1;
    }
    const char *key = luaL_checkstring(L, 2);
    if (!strcmp(key, "rows"))
        lua_pushinteger(L, (lua_Integer)m->rows);
    else if (!strcmp(key, "cols"))
        lua_pushinteger(L, (lua_Integer)m->cols);
    else
        return ce_lua_index_methods(L);
    return 1;
}

static int matrix_len(lua_State *L) {
    const ce_matrix *m = luaL_checkudata(L, 1, TYPE);
    lua_pushinteger(L, (lua_Integer)m->rows);
    return 1;
}

/* Same shape and same numbers; as everywhere in Lua, NaN equals nothing. */
static int matrix_eq(lua_State *L) {
    const ce_matrix *a = luaL_testudata(L, 1, TYPE), *b = luaL_testudata(L, 2, TYPE);
    bool equal = a && b && a->rows == b->rows && a->cols == b->cols;
    for (size_t i = 0; equal && i < a->rows * a->cols; i++)
        equal = a->data[i] == b->data[i];
    lua_pushboolean(L, equal);
    return 1;
}

static int matrix_tostring(lua_State *L) {
    const ce_matrix *m = luaL_checkudata(L, 1, TYPE);
    if (m->cols == 0)
        lua_pushliteral(L, "matrix (closed)");
    else
        lua_pushfstring(L, "matrix %I x %I", (LUAI_UACINT)m->rows, (LUAI_UACINT)m->cols);
    return 1;
}

static int matrix_close(lua_State *L) {
    ce_matrix_free(luaL_checkudata(L, 1, TYPE));
    return 0;
}

static const luaL_Reg METHODS[] = {
    {"normalize", matrix_normalize},   {"mean", matrix_mean},
    {"similarity", matrix_similarity}, {"topk", matrix_topk},
    {"ranks", matrix_ranks},           {"plus", matrix_plus},
    {"select", matrix_select},         {"slice", matrix_slice},
    {"totable", matrix_totable},       {NULL, NULL}};

static const luaL_Reg META[] = {{"__index", matrix_index},
                                {"__len", matrix_len},
                                {"__eq", matrix_eq},
                                {"__tostring", matrix_tostring},
                                {NULL, NULL}};

int luaopen_clipeval_matrix(lua_State *L) {
    ce_lua_type(L, TYPE, METHODS, META, matrix_close);
    lua_pushcfunction(L, matrix_new);
    lua_setfield(L, -2, "matrix");
    lua_pushcfunction(L, matrix_stack);
    lua_setfield(L, -2, "stack");
    lua_pushcfunction(L, normalize_in_place);
    lua_setfield(L, -2, "normalize");
    return 0;
}

/* Ranks -> figures (core/metrics.h), and their intervals (core/stats.h). In Lua a rank
 * counts from 1, and is false where the item could not be read. */
#include "bind.h"
#include "metrics.h"
#include "stats.h"

/* Integers 1.. of the list at `arg`, less 1; false becomes CE_RANK_NONE where allowed. */
static uint32_t *read_list(lua_State *L, int arg, size_t *n, bool none_allowed) {
    luaL_checktype(L, arg, LUA_TTABLE);
    *n = lua_rawlen(L, arg);
    uint32_t *list = ce_lua_array(L, *n + 1, sizeof *list);
    for (size_t i = 0; i < *n; i++) {
        int type = lua_rawgeti(L, arg, (lua_Integer)i + 1);
        lua_Integer value = lua_tointeger(L, -1);
        lua_pop(L, 1);
        if (none_allowed && type == LUA_TBOOLEAN)
            list[i] = CE_RANK_NONE;
        else if (value >= 1 && value < CE_RANK_NONE)
            list[i] = (uint32_t)(value - 1);
        else
            luaL_argerror(L, arg, "must be a list of integers from 1");
    }
    return list;
}

static size_t check_count(lua_State *L, int arg, lua_Integer min) {
    lua_Integer value = luaL_checkinteger(L, arg);
    luaL_argcheck(L, value >= min && value < CE_RANK_NONE, arg, "out of range");
    return (size_t)value;
}

/* core.accuracy_at(ranks, k) */
static int accuracy_at(lua_State *L) {
    size_t n, k = check_count(L, 2, 1);
    const uint32_t *ranks = read_list(L, 1, &n, true);
    lua_pushnumber(L, ce_accuracy_at(ranks, n, (uint32_t)k));
    return 1;
}

/* Ranks at 1 and targets at 2, each in 1..classes. */
static void read_items(lua_State *L, const uint32_t **ranks, const uint32_t **targets,
                       size_t *n, size_t classes) {
    size_t target_count;
    *ranks = read_list(L, 1, n, true);
    *targets = read_list(L, 2, &target_count, false);
    luaL_argcheck(L, target_count == *n, 2, "needs one target for each rank");
    for (size_t i = 0; i < *n; i++)
        luaL_argcheck(L, (*targets)[i] < classes, 2, "a target is no class");
}

static void push_counts(lua_State *L, const size_t *counts, size_t n) {
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushinteger(L, (lua_Integer)counts[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* core.class_recall(ranks, targets, classes) -> hits, counts, mean */
static int class_recall(lua_State *L) {
    const uint32_t *ranks, *targets;
    size_t n, classes = check_count(L, 3, 1);
    read_items(L, &ranks, &targets, &n, classes);
    size_t *hits = ce_lua_array(L, classes, sizeof *hits);
    size_t *counts = ce_lua_array(L, classes, sizeof *counts);
    ce_class_hits(ranks, targets, n, hits, counts, classes);
    push_counts(L, hits, classes);
    push_counts(L, counts, classes);
    lua_pushnumber(L, ce_mean_per_class_recall(hits, counts, classes));
    return 3;
}

/* core.bootstrap_mean_recall(ranks, targets, classes, resamples, seed) -> low, high */
static int bootstrap_mean_recall(lua_State *L) {
    double low, high;
    const uint32_t *ranks, *targets;
    size_t n, classes = check_count(L, 3, 1), resamples = check_count(L, 4, 1);
    uint64_t seed = (uint64_t)luaL_checkinteger(L, 5);
    read_items(L, &ranks, &targets, &n, classes);
    luaL_argcheck(L, n > 0, 1, "must not be empty");
    if (ce_bootstrap_mean_recall(ranks, targets, n, classes, resamples, seed, &low, &high) <
        0)
        return luaL_error(L, "no memory for the bootstrap");
    lua_pushnumber(L, low);
    lua_pushnumber(L, high);
    return 2;
}

/* core.wilson(hits, n) -> low, high */
static int wilson(lua_State *L) {
    double low, high;
    size_t hits = check_count(L, 1, 0), n = check_count(L, 2, 1);
    luaL_argcheck(L, hits <= n, 1, "more hits than items");
    ce_wilson(hits, n, &low, &high);
    lua_pushnumber(L, low);
    lua_pushnumber(L, high);
    return 2;
}

/* core.sample(k, n, seed) -> k ascending numbers of 1..n */
static int sample(lua_State *L) {
    size_t k = check_count(L, 1, 0), n = check_count(L, 2, 0);
    luaL_argcheck(L, k <= n, 1, "more than there are");
    size_t *chosen = ce_lua_array(L, k + 1, sizeof *chosen);
    if (ce_sample(chosen, k, n, (uint64_t)luaL_checkinteger(L, 3)) < 0)
        return luaL_error(L, "no memory for a sample");
    for (size_t i = 0; i < k; i++)
        chosen[i]++;
    push_counts(L, chosen, k);
    return 1;
}

static const luaL_Reg FUNCTIONS[] = {{"accuracy_at", accuracy_at},
                                     {"class_recall", class_recall},
                                     {"bootstrap_mean_recall", bootstrap_mean_recall},
                                     {"wilson", wilson},
                                     {"sample", sample},
                                     {NULL, NULL}};

int luaopen_clipeval_metrics(lua_State *L) {
    luaL_setfuncs(L, FUNCTIONS, 0);
    return 0;
}

/* Comparing two runs: paired tests, Holm's adjustment, power (core/paired.h, stats.h,
 * power.h). */
#include "bind.h"
#include "metrics.h"
#include "paired.h"
#include "paired_order.h"
#include "power.h"
#include "stats.h"

#include <math.h>
#include <string.h>

/* ---- lists ---- */

/* The list of numbers, or booleans as 1 and 0, on top of the stack, pushed. */
static double *check_values(lua_State *L, const char *what, size_t *n) {
    int list = lua_gettop(L);
    if (!lua_istable(L, list))
        luaL_error(L, "%s must be a list of numbers or booleans", what);
    *n = lua_rawlen(L, list);
    double *values = ce_lua_array(L, *n + 1, sizeof *values);
    for (size_t i = 0; i < *n; i++) {
        int type = lua_rawgeti(L, list, (lua_Integer)i + 1);
        if (type != LUA_TNUMBER && type != LUA_TBOOLEAN)
            luaL_error(L, "%s must be a list of numbers or booleans", what);
        values[i] = type == LUA_TNUMBER ? lua_tonumber(L, -1) : lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    return values;
}

/* The list at `key` of the options at 4, of n integers from 1; NULL where there is none. */
static const uint32_t *check_groups(lua_State *L, const char *key, size_t n) {
    if (ce_lua_field(L, 4, key) == LUA_TNIL)
        return NULL;
    int list = lua_gettop(L);
    if (!lua_istable(L, list) || lua_rawlen(L, list) != n)
        luaL_error(L, "%s must be a list with one number for each item", key);
    uint32_t *groups = ce_lua_array(L, n + 1, sizeof *groups);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        lua_Integer group = lua_tointeger(L, -1);
        lua_pop(L, 1);
        if (group < 1 || group > UINT32_MAX)
            luaL_error(L, "%s must be a list of integers from 1", key);
        groups[i] = (uint32_t)group;
    }
    return groups;
}

/* The number at `key` of the table at `index`, inside low .. high; `otherwise` where there
 * is none. */
static double number_field(lua_State *L, int index, const char *key, double otherwise,
                           double low, double high) {
    int is_number = 1;
    double value = otherwise;
    if (ce_lua_field(L, index, key) != LUA_TNIL)
        value = lua_tonumberx(L, -1, &is_number);
    lua_pop(L, 1);
    if (!is_number || !(value >= low && value <= high))
        luaL_error(L, "%s must be a number from %f to %f", key, low, high);
    return value;
}

static lua_Integer integer_field(lua_State *L, int index, const char *key,
                                 lua_Integer otherwise, lua_Integer low, lua_Integer high) {
    int is_integer = 1;
    lua_Integer value = otherwise;
    if (ce_lua_field(L, index, key) != LUA_TNIL)
        value = lua_tointegerx(L, -1, &is_integer);
    lua_pop(L, 1);
    if (!is_integer || value < low || value > high)
        luaL_error(L, "%s must be an integer from %I to %I", key, (LUAI_UACINT)low,
                   (LUAI_UACINT)high);
    return value;
}

/* ---- paired_test ---- */

/* What one run says of its items, at `arg`. */
static void check_run(lua_State *L, int arg, bool calibration, const double **values,
                      const bool **correct, size_t *n) {
    size_t flags;
    lua_pushvalue(L, arg);
    if (!calibration) {
        *values = check_values(L, arg == 2 ? "a" : "b", n);
        return;
    }
    luaL_checktype(L, arg, LUA_TTABLE);
    ce_lua_field(L, arg, "confidence");
    *values = check_values(L, "confidence", n);
    ce_lua_field(L, arg, "correct");
    const double *truths = check_values(L, "correct", &flags);
    luaL_argcheck(L, flags == *n, arg, "confidence and correct differ in length");
    bool *list = ce_lua_array(L, *n + 1, sizeof *list);
    for (size_t i = 0; i < *n; i++)
        list[i] = truths[i] != 0;
    *correct = list;
}

static void check_chance(lua_State *L, size_t *resamples, ce_chance *chance) {
    *resamples = (size_t)integer_field(L, 4, "resamples", 10000, 1, INT32_MAX);
    chance->seed = (uint64_t)integer_field(L, 4, "seed", 0, LUA_MININTEGER, LUA_MAXINTEGER);
}

static void push_result(lua_State *L, const ce_paired_result *r, size_t n) {
    lua_createtable(L, 0, 11);
    ce_lua_set_integer(L, "n", (lua_Integer)n);
    ce_lua_set_number(L, "base", r->base);
    ce_lua_set_number(L, "new", r->changed);
    ce_lua_set_number(L, "difference", r->difference);
    ce_lua_set_number(L, "low", r->low);
    ce_lua_set_number(L, "high", r->high);
    ce_lua_set_number(L, "p", r->p);
    ce_lua_set_string(L, "test", r->test);
    ce_lua_set_integer(L, "better", (lua_Integer)r->rose);
    ce_lua_set_integer(L, "worse", (lua_Integer)r->fell);
    ce_lua_set_number(L, "spread", r->spread);
}

/* core.paired_test(statistic, a, b, options) -> {n, base, new, difference, low, high, p,
 * test, better, worse, spread} (core/paired.h): better and worse count the items that rose
 * and fell. statistic: "hits", "mean", "class_mean" or "ece". a, b: lists of the items'
 * values; for ece {confidence = list, correct = list}. options: clusters, and classes for
 * class_mean (lists of integers from 1), resamples (10000), seed (0). */
static int paired_test(lua_State *L) {
    static const char *const names[] = {"hits", "mean", "class_mean", "ece", NULL};
    size_t changed;
    ce_error err;
    ce_paired_result result;
    ce_session *session = ce_lua_session(L);
    ce_paired in = {
        .chance = {.threads = session->threads, .cancel = &session->interrupted}};
    in.statistic = (ce_paired_statistic)luaL_checkoption(L, 1, NULL, names);
    bool calibration = in.statistic == CE_PAIRED_ECE;
    lua_settop(L, 4);
    if (lua_isnil(L, 4)) {
        lua_newtable(L);
        lua_replace(L, 4);
    }
    luaL_checktype(L, 4, LUA_TTABLE);
    luaL_checkstack(L, 16, NULL);
    check_run(L, 2, calibration, &in.base, &in.base_correct, &in.n);
    check_run(L, 3, calibration, &in.changed, &in.changed_correct, &changed);
    luaL_argcheck(L, in.n == changed, 3, "the runs differ in length");
    in.clusters = check_groups(L, "clusters", in.n);
    if (in.statistic == CE_PAIRED_CLASS_MEAN) {
        in.classes = check_groups(L, "classes", in.n);
        luaL_argcheck(L, in.classes != NULL, 4, "class_mean needs classes");
    }
    check_chance(L, &in.resamples, &in.chance);
    int code = ce_paired_test(&result, &in, &err);
    if (code == CE_ECANCELLED)
        return ce_lua_interrupted(L);
    if (code < 0)
        return ce_lua_raise(L, &err);
    push_result(L, &result, in.n);
    return 1;
}

/* ---- paired_order ---- */

/* The lists of n places at `arg`, one a class; false is what could not be read. */
static double *check_places(lua_State *L, int arg, size_t *n, size_t *classes) {
    luaL_checktype(L, arg, LUA_TTABLE);
    *classes = lua_rawlen(L, arg);
    *n = *classes > 0 && lua_rawgeti(L, arg, 1) == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
    luaL_argcheck(L, *n > 0, arg, "must be a list of lists, one for each class");
    lua_pop(L, 1);
    double *places = ce_lua_array(L, *n * *classes, sizeof *places);
    for (size_t c = 0; c < *classes; c++) {
        bool fits = lua_rawgeti(L, arg, (lua_Integer)c + 1) == LUA_TTABLE;
        luaL_argcheck(L, fits && lua_rawlen(L, -1) == *n, arg, "lists differ in length");
        for (size_t i = 0; i < *n; i++) {
            int is_number;
            bool read = lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TBOOLEAN;
            double place = lua_tonumberx(L, -1, &is_number);
            luaL_argcheck(L, is_number || !read, arg, "a place must be a number or false");
            places[c * *n + i] = read ? place : (double)INFINITY;
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    return places;
}

/* The labels of the options at 4. */
static const uint8_t *check_labels(lua_State *L, size_t n, size_t classes) {
    size_t rows, columns;
    ce_lua_field(L, 4, "labels");
    const double *numbers = check_places(L, lua_gettop(L), &rows, &columns);
    luaL_argcheck(L, rows == n && columns == classes, 4,
                  "labels and places differ in number");
    uint8_t *labels = ce_lua_array(L, n * classes, 1);
    for (size_t i = 0; i < n * classes; i++) {
        luaL_argcheck(L, numbers[i] >= CE_LABEL_NO && numbers[i] <= CE_LABEL_IGNORED, 4,
                      "a label must be 0, 1 or 2");
        labels[i] = (uint8_t)numbers[i];
    }
    return labels;
}

/* core.paired_order(statistic, a, b, options) -> as core.paired_test; nothing where the
 * figure of a run does not exist or is infinite (core/paired_order.h). statistic:
 * "precision", "auc" or "median". a, b: for each class a list of the items' places, the
 * lower the better, false for what could not be read. options: labels (for each class a
 * list of 0: no, 1: yes, 2: ignored; not for the median), clusters, resamples (10000), seed
 * (0). */
static int paired_order(lua_State *L) {
    static const char *const names[] = {"precision", "auc", "median", NULL};
    size_t n, classes;
    ce_error err;
    ce_paired_result result;
    ce_session *session = ce_lua_session(L);
    ce_paired_order in = {
        .chance = {.threads = session->threads, .cancel = &session->interrupted}};
    in.statistic = (ce_order_statistic)luaL_checkoption(L, 1, NULL, names);
    lua_settop(L, 4);
    luaL_checktype(L, 4, LUA_TTABLE);
    luaL_checkstack(L, 16, NULL);
    in.base = check_places(L, 2, &in.n, &in.classes);
    in.changed = check_places(L, 3, &n, &classes);
    luaL_argcheck(L, n == in.n && classes == in.classes, 3, "the runs differ in length");
    luaL_argcheck(L, classes == 1 || in.statistic == CE_ORDER_PRECISION, 2,
                  "must be of one class");
    if (in.statistic != CE_ORDER_MEDIAN)
        in.labels = check_labels(L, n, classes);
    in.clusters = check_groups(L, "clusters", n);
    check_chance(L, &in.resamples, &in.chance);
    int code = ce_paired_order_test(&result, &in, &err);
    if (code == CE_ECANCELLED)
        return ce_lua_interrupted(L);
    if (code < 0)
        return ce_lua_raise(L, &err);
    if (isnan(result.p))
        return 0;
    push_result(L, &result, n);
    return 1;
}

/* ---- several tests, and power ---- */

/* core.holm(ps) -> the adjusted p values, in their order */
static int holm(lua_State *L) {
    size_t n;
    lua_settop(L, 1);
    double *p = check_values(L, "p", &n);
    double *adjusted = ce_lua_array(L, n + 1, sizeof *adjusted);
    for (size_t i = 0; i < n; i++)
        luaL_argcheck(L, p[i] >= 0 && p[i] <= 1, 1, "a p value must be from 0 to 1");
    if (ce_holm(adjusted, p, n) < 0)
        return luaL_error(L, "out of memory");
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushnumber(L, adjusted[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static bool has_field(lua_State *L, int index, const char *key) {
    bool has = ce_lua_field(L, index, key) != LUA_TNIL;
    lua_pop(L, 1);
    return has;
}

static double check_alpha(lua_State *L) {
    return number_field(L, 1, "alpha", 0.05, 1e-12, 0.999999);
}

/* core.power{n =, worse =, better =, alpha = 0.05}: of McNemar's test, where items go wrong
 * and become right with these chances. core.power{n =, difference =, spread =, alpha =}: of
 * a mean difference between values. */
static int power(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    double alpha = check_alpha(L);
    size_t n = (size_t)integer_field(L, 1, "n", 0, 1, INT32_MAX);
    if (has_field(L, 1, "spread")) {
        double difference = number_field(L, 1, "difference", NAN, -1e300, 1e300);
        double spread = number_field(L, 1, "spread", NAN, 1e-300, 1e300);
        lua_pushnumber(L, ce_power_values(n, difference, spread, alpha));
        return 1;
    }
    double worse = number_field(L, 1, "worse", NAN, 0, 1);
    double better = number_field(L, 1, "better", NAN, 0, 1);
    luaL_argcheck(L, worse + better <= 1 + 1e-12, 1, "worse + better is above 1");
    lua_pushnumber(L, ce_power_hits(n, worse, better, alpha));
    return 1;
}

/* core.items_needed{drop =, discordant = or spread =, alpha = 0.05, power = 0.8} -> n. For
 * hits `discordant` is the share of items that differ between the runs, at least `drop`;
 * for values `spread` is the standard deviation of their differences. */
static int items_needed(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    double alpha = check_alpha(L);
    double wanted = number_field(L, 1, "power", 0.8, 1e-6, 0.999999);
    bool values = has_field(L, 1, "spread");
    double drop = number_field(L, 1, "drop", NAN, 1e-12, values ? 1e300 : 1);
    size_t n = values
                   ? ce_items_for_values(drop, number_field(L, 1, "spread", NAN, 0, 1e300),
                                         alpha, wanted)
                   : ce_items_for_hits(drop, number_field(L, 1, "discordant", NAN, drop, 1),
                                       alpha, wanted);
    lua_pushinteger(L, (lua_Integer)n);
    return 1;
}

static const luaL_Reg FUNCTIONS[] = {{"paired_test", paired_test},
                                     {"paired_order", paired_order},
                                     {"holm", holm},
                                     {"power", power},
                                     {"items_needed", items_needed},
                                     {NULL, NULL}};

int luaopen_clipeval_stats(lua_State *L) {
    luaL_setfuncs(L, FUNCTIONS, 0);
    return 0;
}

/* The linear probe (core/probe.h). */
#include "bind.h"
#include "probe.h"

/* The number at `key` of the table at 4; 0 where there is none. */
static double number_option(lua_State *L, const char *key) {
    int is_number = 1;
    double value = 0;
    if (ce_lua_field(L, 4, key) != LUA_TNIL)
        value = lua_tonumberx(L, -1, &is_number);
    lua_pop(L, 1);
    if (!is_number || !(value >= 0))
        luaL_error(L, "%s must be a number from 0 on", key);
    return value;
}

/* A matrix, and the list of its rows' labels. */
static ce_split check_split(lua_State *L, int rows, int labels) {
    size_t n;
    ce_split split = {.rows = ce_lua_check_matrix(L, rows)};
    split.labels = ce_lua_check_numbers(L, labels, &n, false);
    luaL_argcheck(L, n == split.rows->rows, labels, "needs one label for each row");
    return split;
}

static void set_trials(lua_State *L, const ce_probe *probe) {
    lua_createtable(L, (int)probe->tried, 0);
    for (size_t i = 0; i < probe->tried; i++) {
        lua_createtable(L, 0, 4);
        ce_lua_set_number(L, "strength", probe->trials[i].strength);
        ce_lua_set_number(L, "accuracy", probe->trials[i].accuracy);
        ce_lua_set_integer(L, "iterations", probe->trials[i].iterations);
        ce_lua_set_boolean(L, "converged", probe->trials[i].converged);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "trials");
}

static ce_probe_options read_options(lua_State *L) {
    ce_session *session = ce_lua_session(L);
    luaL_checktype(L, 4, LUA_TTABLE);
    double classes = number_option(L, "classes"),
           iterations = number_option(L, "max_iterations");
    luaL_argcheck(L, classes >= 1 && classes < UINT32_MAX, 4, "classes is out of range");
    luaL_argcheck(L, iterations <= 1e6, 4, "max_iterations is above 1000000");
    ce_probe_options o = {.classes = (size_t)classes,
                          .strength = number_option(L, "strength")};
    o.solver.max_iterations = (int)iterations;
    o.solver.threads = session->threads;
    o.solver.cancel = &session->interrupted;
    if (ce_lua_field(L, 4, "progress") == LUA_TSTRING) {
        ce_progress_begin(&session->progress, lua_tostring(L, -1), 0, CE_PROBE_TRIALS + 1,
                          session->quiet);
        o.progress = ce_progress_show;
        o.progress_context = &session->progress;
    }
    lua_pop(L, 1);
    return o;
}

/* core.probe(train, labels, test, options) -> scores, about. train, test: embeddings;
 * labels: a class for each row of train. Options: classes (how many), and strength or
 * validation with validation_labels, on which the strength is chosen; max_iterations
 * (1000), progress (label of a line on stderr). scores [test rows, classes]: logits. about:
 * {strength, iterations, converged, objective, trials = {{strength, accuracy, iterations,
 * converged}, ...}}. */
static int probe(lua_State *L) {
    ce_error err;
    ce_probe result;
    lua_settop(L, 4);
    ce_split train = check_split(L, 1, 2), validation = {0};
    const ce_matrix *test = ce_lua_check_matrix(L, 3);
    luaL_checktype(L, 4, LUA_TTABLE);
    if (ce_lua_field(L, 4, "validation") != LUA_TNIL) {
        ce_lua_field(L, 4, "validation_labels");
        validation = check_split(L, lua_gettop(L) - 1, lua_gettop(L));
    }
    ce_matrix *scores = ce_lua_new_shape(L, 0, 1);
    ce_probe_options options = read_options(L);
    int code = ce_probe_run(&result, &train, validation.rows ? &validation : NULL, test,
                            &options, &err);
    ce_progress_end(&ce_lua_session(L)->progress);
    ce_matrix_free(scores);
    *scores = result.scores;
    if (code == CE_ECANCELLED)
        return ce_lua_interrupted(L);
    if (code < 0)
        return ce_lua_raise(L, &err);
    ce_lua_allocated(L, scores->rows * scores->cols * sizeof *scores->data);
    lua_createtable(L, 0, 5);
    ce_lua_set_number(L, "strength", result.strength);
    ce_lua_set_number(L, "objective", result.fit.objective);
    ce_lua_set_integer(L, "iterations", result.fit.iterations);
    ce_lua_set_boolean(L, "converged", result.fit.converged);
    set_trials(L, &result);
    return 2;
}

static const luaL_Reg FUNCTIONS[] = {{"probe", probe}, {NULL, NULL}};

int luaopen_clipeval_probe(lua_State *L) {
    luaL_setfuncs(L, FUNCTIONS, 0);
    return 0;
}

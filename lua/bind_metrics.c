/* Scores and ranks -> figures (core/metrics.h, roc.h, calibration.h), and their intervals
 * (core/stats.h). In Lua a rank counts from 1; a rank or score is false where the item
 * could not be read. */
#include "bind.h"
#include "calibration.h"
#include "judge.h"
#include "metrics.h"
#include "roc.h"
#include "stats.h"
#include "trials.h"

#include <math.h>

/* ---- lists ---- */

uint32_t *ce_lua_check_numbers(lua_State *L, int arg, size_t *n, bool none_allowed) {
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

/* The list of numbers at `arg`; false becomes NaN. */
static double *check_values(lua_State *L, int arg, size_t *n) {
    luaL_checktype(L, arg, LUA_TTABLE);
    *n = lua_rawlen(L, arg);
    double *list = ce_lua_array(L, *n + 1, sizeof *list);
    for (size_t i = 0; i < *n; i++) {
        int type = lua_rawgeti(L, arg, (lua_Integer)i + 1);
        bool none = type == LUA_TBOOLEAN && !lua_toboolean(L, -1);
        if (type != LUA_TNUMBER && !none)
            luaL_argerror(L, arg, "must be a list of numbers");
        list[i] = none ? (double)NAN : lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    return list;
}

/* The list of `n` booleans at `arg`. */
static bool *check_flags(lua_State *L, int arg, size_t n) {
    luaL_checktype(L, arg, LUA_TTABLE);
    luaL_argcheck(L, lua_rawlen(L, arg) == n, arg, "the lists differ in length");
    bool *list = ce_lua_array(L, n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        if (lua_rawgeti(L, arg, (lua_Integer)i + 1) != LUA_TBOOLEAN)
            luaL_argerror(L, arg, "must be a list of booleans");
        list[i] = lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    return list;
}

static void push_numbers(lua_State *L, const double *values, size_t n) {
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushnumber(L, values[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static size_t check_count(lua_State *L, int arg, lua_Integer min) {
    lua_Integer value = luaL_checkinteger(L, arg);
    luaL_argcheck(L, value >= min && value < CE_RANK_NONE, arg, "out of range");
    return (size_t)value;
}

/* ---- ranks ---- */

/* core.accuracy_at(ranks, k) */
static int accuracy_at(lua_State *L) {
    size_t n, k = check_count(L, 2, 1);
    const uint32_t *ranks = ce_lua_check_numbers(L, 1, &n, true);
    lua_pushnumber(L, ce_accuracy_at(ranks, n, (uint32_t)k));
    return 1;
}

/* Ranks at 1 and targets at 2, each in 1..classes. */
static void read_items(lua_State *L, const uint32_t **ranks, const uint32_t **targets,
                       size_t *n, size_t classes) {
    size_t target_count;
    *ranks = ce_lua_check_numbers(L, 1, n, true);
    *targets = ce_lua_check_numbers(L, 2, &target_count, false);
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
    ce_error err;
    ce_session *session = ce_lua_session(L);
    ce_chance chance = {.seed = (uint64_t)luaL_checkinteger(L, 5),
                        .threads = session->threads,
                        .cancel = &session->interrupted};
    read_items(L, &ranks, &targets, &n, classes);
    luaL_argcheck(L, n > 0, 1, "must not be empty");
    int code = ce_bootstrap_mean_recall(ranks, targets, n, classes, resamples, &chance,
                                        &low, &high, &err);
    if (code == CE_ECANCELLED)
        ce_lua_interrupted(L);
    if (code < 0)
        return ce_lua_raise(L, &err);
    lua_pushnumber(L, low);
    lua_pushnumber(L, high);
    return 2;
}

/* core.median_rank(ranks): inf where the middle item could not be read; nan without items
 */
static int median_rank(lua_State *L) {
    size_t n;
    const uint32_t *ranks = ce_lua_check_numbers(L, 1, &n, true);
    uint32_t *scratch = ce_lua_array(L, n + 1, sizeof *scratch);
    lua_pushnumber(L, ce_median_rank(ranks, n, scratch));
    return 1;
}

/* core.mean_reciprocal_rank(ranks): an item that could not be read adds 0 */
static int mean_reciprocal_rank(lua_State *L) {
    size_t n;
    const uint32_t *ranks = ce_lua_check_numbers(L, 1, &n, true);
    lua_pushnumber(L, ce_mean_reciprocal_rank(ranks, n));
    return 1;
}

/* ---- several labels ---- */

/* Marks the classes in each list of the list at `arg`; false or nil is an empty one. */
static void mark(lua_State *L, int arg, uint8_t *labels, const ce_matrix *scores,
                 uint8_t what) {
    luaL_checktype(L, arg, LUA_TTABLE);
    for (size_t i = 0; i < scores->rows; i++) {
        lua_rawgeti(L, arg, (lua_Integer)i + 1);
        if (lua_toboolean(L, -1) && !lua_istable(L, -1))
            luaL_argerror(L, arg, "must be a list of lists of classes");
        size_t count = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
        for (size_t j = 0; j < count; j++) {
            lua_rawgeti(L, -1, (lua_Integer)j + 1);
            lua_Integer class = lua_tointeger(L, -1);
            lua_pop(L, 1);
            luaL_argcheck(L, class >= 1 && (size_t) class <= scores->cols, arg,
                          "a label is no class");
            labels[i * scores->cols + (size_t) class - 1] = what;
        }
        lua_pop(L, 1);
    }
}

/* core.average_precision(scores, labels, ignored) -> ap of each class, their mean.
 * scores [n, classes]; labels[i], ignored[i]: the list of item i's classes, and of those in
 * which it does not count at all; `ignored` can be nil, and so can each of its entries. */
static int average_precision(lua_State *L) {
    ce_error err;
    double sum = 0;
    lua_settop(L, 3);
    const ce_matrix *scores = ce_lua_check_matrix(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_argcheck(L, lua_rawlen(L, 2) == scores->rows, 2, "needs one list for each row");
    uint8_t *labels = ce_lua_array(L, scores->rows * scores->cols + 1, 1);
    double *ap = ce_lua_array(L, scores->cols, sizeof *ap);
    mark(L, 2, labels, scores, CE_LABEL_YES);
    if (!lua_isnil(L, 3))
        mark(L, 3, labels, scores, CE_LABEL_IGNORED);
    if (ce_average_precision(ap, scores, labels, &err) < 0)
        return ce_lua_raise(L, &err);
    for (size_t c = 0; c < scores->cols; c++)
        sum += ap[c];
    push_numbers(L, ap, scores->cols);
    lua_pushnumber(L, sum / (double)scores->cols);
    return 2;
}

/* core.class_ranks(scores, ignored) -> [n, classes], where each item stands in its class's
 * order, from 1; 0 where it is ignored or has no score */
static int class_ranks(lua_State *L) {
    ce_error err;
    lua_settop(L, 2);
    const ce_matrix *scores = ce_lua_check_matrix(L, 1);
    uint8_t *labels = ce_lua_array(L, scores->rows * scores->cols + 1, 1);
    if (!lua_isnil(L, 2))
        mark(L, 2, labels, scores, CE_LABEL_IGNORED);
    ce_matrix *ranks = ce_lua_new_shape(L, scores->rows, scores->cols);
    if (ce_class_ranks(ranks, scores, labels, &err) < 0)
        return ce_lua_raise(L, &err);
    return 1;
}

/* ---- pairs ---- */

/* core.roc(scores, matches) -> {auc, threshold, accuracy, positives, negatives}: the area,
 * and the best accuracy with the lowest threshold that reaches it (core/roc.h) */
static int roc(lua_State *L) {
    size_t n;
    ce_roc r;
    ce_error err;
    const double *scores = check_values(L, 1, &n);
    if (ce_roc_of(&r, scores, check_flags(L, 2, n), n, &err) < 0)
        return ce_lua_raise(L, &err);
    lua_createtable(L, 0, 5);
    ce_lua_set_number(L, "auc", r.auc);
    ce_lua_set_number(L, "threshold", r.threshold);
    ce_lua_set_number(L, "accuracy", r.accuracy);
    ce_lua_set_integer(L, "positives", (lua_Integer)r.positives);
    ce_lua_set_integer(L, "negatives", (lua_Integer)r.negatives);
    return 1;
}

/* core.accuracy_from(scores, matches, threshold): right where (score >= threshold) == match
 */
static int accuracy_from(lua_State *L) {
    size_t n;
    double threshold = luaL_checknumber(L, 3);
    const double *scores = check_values(L, 1, &n);
    lua_pushnumber(L, ce_accuracy_from(scores, check_flags(L, 2, n), n, threshold));
    return 1;
}

/* core.winoground(scores) -> text, image, group: lists of booleans, one a row. scores [n,
 * 4]: caption 1 with picture 1 and 2, then caption 2 with both */
static int winoground(lua_State *L) {
    const ce_matrix *scores = ce_lua_check_matrix(L, 1);
    luaL_argcheck(L, scores->cols == 4, 1, "needs four columns");
    for (int list = 0; list < 3; list++)
        lua_createtable(L, (int)scores->rows, 0);
    for (size_t i = 0; i < scores->rows; i++) {
        ce_winoground w = ce_winoground_of(ce_matrix_row(scores, i));
        const bool right[] = {w.text, w.image, w.group};
        for (int list = 0; list < 3; list++) {
            lua_pushboolean(L, right[list]);
            lua_rawseti(L, list - 4, (lua_Integer)i + 1);
        }
    }
    return 3;
}

/* ---- probabilities ---- */

/* core.beliefs(scores, targets, scale, bias) -> confidences, targets' probabilities, Brier
 * scores: a list each, one entry a row, NaN where a row holds NaN (core/calibration.h).
 * With a bias by the sigmoid, without by the softmax. To be called a block of rows at a
 * time. */
static int beliefs(lua_State *L) {
    size_t n;
    lua_settop(L, 4);
    const ce_matrix *scores = ce_lua_check_matrix(L, 1);
    double scale = luaL_checknumber(L, 3), bias = luaL_optnumber(L, 4, 0);
    const uint32_t *targets = ce_lua_check_numbers(L, 2, &n, false);
    luaL_argcheck(L, n == scores->rows, 2, "needs one target for each row");
    double *out = ce_lua_array(L, 3 * n + 1, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        const float *row = ce_matrix_row(scores, i);
        luaL_argcheck(L, targets[i] < scores->cols, 2, "a target is no column");
        ce_belief b = lua_isnil(L, 4)
                          ? ce_softmax_belief(row, scores->cols, scale, targets[i])
                          : ce_sigmoid_belief(row, scores->cols, scale, bias, targets[i]);
        out[i] = b.confidence;
        out[n + i] = b.target;
        out[2 * n + i] = b.brier;
    }
    for (size_t list = 0; list < 3; list++)
        push_numbers(L, out + list * n, n);
    return 3;
}

static void push_judgements(lua_State *L, const ce_judgement *j, size_t n) {
    int top = lua_gettop(L);
    for (int list = 0; list < 6; list++)
        lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushinteger(L, (lua_Integer)j[i].rank + 1);
        lua_rawseti(L, top + 1, (lua_Integer)i + 1);
        lua_pushinteger(L, (lua_Integer)j[i].best + 1);
        lua_rawseti(L, top + 2, (lua_Integer)i + 1);
        lua_pushnumber(L, (lua_Number)j[i].score);
        lua_rawseti(L, top + 3, (lua_Integer)i + 1);
        lua_pushboolean(L, j[i].tied);
        lua_rawseti(L, top + 4, (lua_Integer)i + 1);
        lua_pushnumber(L, j[i].belief.confidence);
        lua_rawseti(L, top + 5, (lua_Integer)i + 1);
        lua_pushnumber(L, j[i].belief.brier);
        lua_rawseti(L, top + 6, (lua_Integer)i + 1);
    }
}

/* core.judge(embeds, rows, targets, classes, scale[, bias]) -> ranks, best, scores, tied,
 * confidences, Brier scores: a list each, one entry for each of `rows` (core/judge.h). */
static int judge(lua_State *L) {
    ce_error err;
    size_t n, target_count;
    lua_settop(L, 6);
    const ce_matrix *embeds = ce_lua_check_matrix(L, 1),
                    *classes = ce_lua_check_matrix(L, 4);
    const uint32_t *rows = ce_lua_check_numbers(L, 2, &n, false);
    const uint32_t *targets = ce_lua_check_numbers(L, 3, &target_count, false);
    luaL_argcheck(L, target_count == n, 3, "needs one target for each row");
    int threads = ce_lua_session(L)->threads;
    ce_judge_options options = {.scale = luaL_checknumber(L, 5),
                                .bias = luaL_optnumber(L, 6, 0),
                                .sigmoid = !lua_isnil(L, 6),
                                .threads = threads ? threads : ce_default_threads()};
    size_t *places = ce_lua_array(L, n + 1, sizeof *places);
    for (size_t i = 0; i < n; i++) {
        luaL_argcheck(L, rows[i] < embeds->rows, 2, "no such row");
        luaL_argcheck(L, targets[i] < classes->rows, 3, "a target is no class");
        places[i] = rows[i];
    }
    ce_judgement *out = ce_lua_array(L, n + 1, sizeof *out);
    if (ce_judge(out, embeds, places, targets, n, classes, &options, &err) < 0)
        return ce_lua_raise(L, &err);
    push_judgements(L, out, n);
    return 6;
}

/* core.calibration_error(confidences, correct) -> ece, bins: 15 times {count, accuracy,
 * confidence} (NaN where count is 0). Confidences that are false or NaN are left out. */
static int calibration_error(lua_State *L) {
    size_t n;
    ce_calibration_bin bins[CE_CALIBRATION_BINS];
    const double *confidences = check_values(L, 1, &n);
    lua_pushnumber(L, ce_calibration_error(confidences, check_flags(L, 2, n), n, bins));
    lua_createtable(L, CE_CALIBRATION_BINS, 0);
    for (int b = 0; b < CE_CALIBRATION_BINS; b++) {
        lua_createtable(L, 0, 3);
        ce_lua_set_integer(L, "count", (lua_Integer)bins[b].count);
        ce_lua_set_number(L, "accuracy", bins[b].accuracy);
        ce_lua_set_number(L, "confidence", bins[b].confidence);
        lua_rawseti(L, -2, b + 1);
    }
    return 2;
}

/* ---- intervals ---- */

/* core.bootstrap_mean(values, clusters, resamples, seed) -> low, high. clusters[i]: a
 * number in 1..#values, items of one are drawn together; nil: each its own. */
static int bootstrap_mean(lua_State *L) {
    double low, high;
    size_t n, cluster_count, resamples = check_count(L, 3, 1);
    uint64_t seed = (uint64_t)luaL_checkinteger(L, 4);
    const double *values = check_values(L, 1, &n);
    const uint32_t *clusters = NULL;
    luaL_argcheck(L, n > 0, 1, "must not be empty");
    if (!lua_isnil(L, 2)) {
        clusters = ce_lua_check_numbers(L, 2, &cluster_count, false);
        luaL_argcheck(L, cluster_count == n, 2, "needs one cluster for each value");
        for (size_t i = 0; i < n; i++)
            luaL_argcheck(L, clusters[i] < n, 2, "more clusters than values");
    }
    if (ce_bootstrap_mean(values, clusters, n, resamples, seed, &low, &high) < 0)
        return luaL_error(L, "no memory for the bootstrap");
    lua_pushnumber(L, low);
    lua_pushnumber(L, high);
    return 2;
}

/* core.mcnemar(b, c) -> p, two-sided and exact */
static int mcnemar(lua_State *L) {
    size_t b = check_count(L, 1, 0), c = check_count(L, 2, 0);
    lua_pushnumber(L, ce_mcnemar(b, c));
    return 1;
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
                                     {"median_rank", median_rank},
                                     {"mean_reciprocal_rank", mean_reciprocal_rank},
                                     {"average_precision", average_precision},
                                     {"class_ranks", class_ranks},
                                     {"roc", roc},
                                     {"accuracy_from", accuracy_from},
                                     {"winoground", winoground},
                                     {"beliefs", beliefs},
                                     {"judge", judge},
                                     {"calibration_error", calibration_error},
                                     {"bootstrap_mean_recall", bootstrap_mean_recall},
                                     {"bootstrap_mean", bootstrap_mean},
                                     {"mcnemar", mcnemar},
                                     {"wilson", wilson},
                                     {"sample", sample},
                                     {NULL, NULL}};

int luaopen_clipeval_metrics(lua_State *L) {
    luaL_setfuncs(L, FUNCTIONS, 0);
    return 0;
}

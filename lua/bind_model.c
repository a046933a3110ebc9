/* clip.model: a checkpoint (core/model.h), and encoding on every core (core/pipeline.h). */
#include "bind.h"
#include "linear.h"
#include "pipeline.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char *const TYPE = "clip.model";
static const char *const BATCH = "clipeval.batch";

typedef struct box {
    ce_model *model; /* NULL: closed */
} box;

/* What core allocates for an encode call; collected by Lua, so that a raise frees it. */
typedef struct batch {
    size_t n;
    ce_item_status *status; /* [n] */
} batch;

static ce_model *check_model(lua_State *L, int arg) {
    box *b = luaL_checkudata(L, arg, TYPE);
    luaL_argcheck(L, b->model, arg, "the model is closed");
    return b->model;
}

ce_model *ce_lua_check_model(lua_State *L, int arg) {
    return check_model(L, arg);
}

/* The option `key` of the table at 2, left on the stack. */
static const char *text_option(lua_State *L, const char *key) {
    int type = ce_lua_field(L, 2, key);
    luaL_argcheck(L, type == LUA_TNIL || type == LUA_TSTRING, 2, key);
    return lua_tostring(L, -1);
}

/* The option "precision" of the table at 2; nil is float32. */
static ce_precision precision_option(lua_State *L) {
    ce_precision precision = CE_FP32;
    const char *name = text_option(L, "precision");
    if (name && !ce_precision_parse(&precision, name))
        luaL_error(L, "no precision '%s' (there are fp32, int8 and bf16)", name);
    return precision;
}

/* core.model(path[, {name =, arch =, activation =, precision =, diagnose =}]) -> model |
 * nil, message */
static int model_open(lua_State *L) {
    ce_error err;
    ce_model_options options = {0};
    const char *path = ce_lua_check_path(L, 1);
    lua_settop(L, 2);
    if (lua_istable(L, 2)) {
        ce_lua_field(L, 2, "diagnose");
        options.diagnose = lua_toboolean(L, -1);
        options.name = text_option(L, "name");
        options.arch = text_option(L, "arch");
        options.activation = text_option(L, "activation");
        options.precision = precision_option(L);
    }
    box *b = lua_newuserdatauv(L, sizeof *b, 1);
    b->model = NULL;
    luaL_setmetatable(L, TYPE);
    lua_pushstring(L, options.arch);
    lua_setiuservalue(L, -2, 1);
    if (ce_model_open(&b->model, path, &options, &err) < 0) {
        b->model = NULL;
        return ce_lua_fault(L, &err);
    }
    return 1;
}

/* model:survey() -> true | nil, message: model.notes then tell of every value */
static int model_survey(lua_State *L) {
    ce_error err;
    if (ce_model_survey(check_model(L, 1), &err) < 0)
        return ce_lua_fault(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

/* model:sha256([cache]): which knows it where the files are what they were */
static int model_sha256(lua_State *L) {
    ce_error err;
    const char *hash;
    ce_cache *cache = ce_lua_test_cache(L, 2);
    if (ce_model_known_sha256(check_model(L, 1), cache, &hash, &err) < 0)
        return ce_lua_raise(L, &err);
    lua_pushstring(L, hash);
    return 1;
}

/* model:tokenize(text) -> ids, count, truncated: without padding */
static int model_tokenize(lua_State *L) {
    ce_error err;
    ce_tokens tokens;
    size_t size;
    const char *text = luaL_checklstring(L, 2, &size);
    int context = ce_model_get_info(check_model(L, 1))->context;
    int32_t *ids = ce_lua_array(L, (size_t)context, sizeof *ids);
    if (ce_tokenizer_encode(ce_model_tokenizer(check_model(L, 1)), ids, context, &tokens,
                            text, size, &err) < 0)
        return ce_lua_raise(L, &err);
    lua_createtable(L, tokens.count, 0);
    for (int i = 0; i < tokens.count; i++) {
        lua_pushinteger(L, ids[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushinteger(L, tokens.count);
    lua_pushboolean(L, tokens.truncated);
    return 3;
}

/* ---- encoding ---- */

static int batch_close(lua_State *L) {
    batch *b = luaL_checkudata(L, 1, BATCH);
    for (size_t i = 0; b->status && i < b->n; i++)
        free(b->status[i].problem);
    free(b->status);
    b->status = NULL;
    return 0;
}

static batch *new_batch(lua_State *L, size_t n) {
    batch *b = lua_newuserdatauv(L, sizeof *b, 0);
    b->n = n;
    b->status = NULL;
    luaL_setmetatable(L, BATCH);
    b->status = calloc(n + 1, sizeof *b->status);
    if (!b->status)
        luaL_error(L, "no memory for %d items", (int)n);
    return b;
}

static lua_Integer integer_option(lua_State *L, const char *key, lua_Integer fallback) {
    int is_integer = 1;
    lua_Integer value = fallback;
    if (ce_lua_field(L, 3, key) != LUA_TNIL)
        value = lua_tointegerx(L, -1, &is_integer);
    lua_pop(L, 1);
    if (!is_integer)
        luaL_error(L, "%s must be an integer", key);
    return value;
}

static bool flag_option(lua_State *L, const char *key) {
    ce_lua_field(L, 3, key);
    bool flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

/* The options at 3: threads, and progress = label with progress_base, progress_total. */
static ce_pipeline_options pipeline_options(lua_State *L, size_t n) {
    ce_session *session = ce_lua_session(L);
    ce_pipeline_options o = {.threads = session->threads, .cancel = &session->interrupted};
    lua_Integer threads = integer_option(L, "threads", o.threads);
    luaL_argcheck(L, threads >= 0 && threads <= 4096, 3, "threads must be 0 to 4096");
    o.threads = (int)threads;
    ce_lua_field(L, 3, "cache");
    o.cache = ce_lua_test_cache(L, -1);
    lua_pop(L, 1);
    if (ce_lua_field(L, 3, "progress") == LUA_TSTRING) {
        lua_Integer base = integer_option(L, "progress_base", 0);
        lua_Integer total = integer_option(L, "progress_total", (lua_Integer)n);
        ce_progress_begin(&session->progress, lua_tostring(L, -1), (size_t)base,
                          (size_t)total, session->quiet);
        o.progress = ce_progress_show;
        o.progress_context = &session->progress;
    }
    lua_pop(L, 1);
    return o;
}

/* Raises unless the call is done, or interrupted and `partial` is wanted. */
static void check_outcome(lua_State *L, int code, const ce_error *err) {
    ce_session *session = ce_lua_session(L);
    ce_progress_end(&session->progress);
    if (code == CE_ECANCELLED && flag_option(L, "partial"))
        lua_sethook(L, NULL, 0, 0); /* let the caller note what is done; it raises then */
    else if (code == CE_ECANCELLED)
        ce_lua_interrupted(L);
    else if (code < 0)
        ce_lua_raise(L, err);
}

/* nil, or {[i] = message} */
static void push_problems(lua_State *L, const batch *b) {
    lua_pushnil(L);
    for (size_t i = 0; i < b->n; i++) {
        if (!b->status[i].problem)
            continue;
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            lua_newtable(L);
        }
        lua_pushstring(L, b->status[i].problem);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* A list with one boolean an item, read from the status at `offset`. */
static void push_flags(lua_State *L, const batch *b, size_t offset) {
    lua_createtable(L, (int)b->n, 0);
    for (size_t i = 0; i < b->n; i++) {
        lua_pushboolean(L, *(const bool *)((const char *)&b->status[i] + offset));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* How many rows were in the cache. */
static void push_found(lua_State *L, const batch *b) {
    lua_Integer n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += b->status[i].found;
    lua_pushinteger(L, n);
}

/* A misspelt option would silently change what is measured. */
static void check_options(lua_State *L) {
    static const char *const known[] = {"threads",       "alpha",          "pixels",
                                        "ids",           "partial",        "progress",
                                        "progress_base", "progress_total", "cache"};
    for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        bool found = false;
        for (size_t i = 0; key && i < sizeof known / sizeof *known; i++)
            found = found || strcmp(key, known[i]) == 0;
        if (!found)
            luaL_error(L, "no option '%s' (there are threads, alpha, pixels, ids, partial)",
                       key ? key : luaL_typename(L, -2));
    }
}

/* Replaces the items at 2, a list or a single one, by a list of our own, which no script
 * can change while core borrows from what it holds; fills in the options at 3. */
static size_t check_items(lua_State *L, bool is_single) {
    lua_settop(L, 3);
    if (!is_single)
        luaL_checktype(L, 2, LUA_TTABLE);
    size_t n = is_single ? 1 : lua_rawlen(L, 2);
    lua_createtable(L, n < INT_MAX ? (int)n : INT_MAX, 0);
    for (size_t i = 1; i <= n; i++) {
        if (is_single)
            lua_pushvalue(L, 2);
        else
            lua_rawgeti(L, 2, (lua_Integer)i);
        lua_rawseti(L, -2, (lua_Integer)i);
    }
    lua_replace(L, 2);
    if (lua_isnil(L, 3)) {
        lua_newtable(L);
        lua_replace(L, 3);
    }
    luaL_checktype(L, 3, LUA_TTABLE);
    check_options(L);
    return n;
}

/* The picture on top of the stack, borrowed from what is on top then. */
static void read_picture(lua_State *L, ce_picture *p, size_t i) {
    const ce_image *image;
    if (lua_type(L, -1) == LUA_TSTRING) {
        size_t size;
        p->path = lua_tolstring(L, -1, &size);
        if (strlen(p->path) != size)
            luaL_error(L, "picture %d: a path holds a NUL byte", (int)i + 1);
    } else if ((image = ce_lua_test_image(L, -1)) != NULL) {
        p->pixels = image->pixels;
        p->width = image->width;
        p->height = image->height;
        p->channels = 3;
    } else if (lua_type(L, -1) == LUA_TTABLE) {
        ce_lua_table_picture(L, lua_gettop(L), p);
    } else {
        luaL_error(L, "picture %d is neither a path nor an image (it is %s)", (int)i + 1,
                   luaL_typename(L, -1));
    }
}

static bool is_single_picture(lua_State *L, int index) {
    int top = lua_gettop(L);
    if (lua_type(L, index) != LUA_TTABLE)
        return true;
    bool is_picture = ce_lua_field(L, index, "pixels") != LUA_TNIL ||
                      ce_lua_field(L, index, "path") != LUA_TNIL;
    lua_settop(L, top);
    return is_picture;
}

/* model:encode_image(picture | list[, options]) -> embeddings, problems, pixels, done,
 * how many were in the cache */
static int model_encode_image(lua_State *L) {
    ce_error err;
    const ce_model_info info = *ce_model_get_info(check_model(L, 1));
    luaL_checkany(L, 2);
    size_t n = check_items(L, is_single_picture(L, 2));
    ce_alpha alpha = ce_lua_alpha(L, 3);
    ce_picture *pictures = ce_lua_array(L, n + 1, sizeof *pictures);
    int top = lua_gettop(L);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        pictures[i].alpha = alpha;
        read_picture(L, &pictures[i], i);
        lua_rawseti(L, 2, (lua_Integer)i + 1); /* the list keeps it alive */
        lua_settop(L, top);
    }
    batch *b = new_batch(L, n);
    ce_matrix *pixels = NULL, *embeds;
    if (flag_option(L, "pixels"))
        pixels = ce_lua_new_shape(L, n,
                                  3 * (size_t)info.image_width * (size_t)info.image_height);
    else
        lua_pushnil(L);
    embeds = ce_lua_new_shape(L, n, (size_t)info.embed_dim);
    ce_pipeline_options options = pipeline_options(L, n);
    int code = n == 0 ? CE_OK
                      : ce_encode_images(check_model(L, 1), embeds->data,
                                         pixels ? pixels->data : NULL, pictures, n,
                                         b->status, &options, &err);
    check_outcome(L, code, &err);
    push_problems(L, b);
    lua_pushvalue(L, -3); /* pixels */
    if (code == CE_ECANCELLED)
        push_flags(L, b, offsetof(ce_item_status, done));
    else
        lua_pushnil(L);
    push_found(L, b);
    return 5;
}

/* n * context ids as the bytes of little-endian int64 */
static void push_ids(lua_State *L, const int32_t *ids, size_t n) {
    luaL_Buffer buffer;
    unsigned char *p = (unsigned char *)luaL_buffinitsize(L, &buffer, n * 8);
    for (size_t i = 0; i < n; i++)
        for (int byte = 0; byte < 8; byte++)
            *p++ = (unsigned char)((uint64_t)(int64_t)ids[i] >> (8 * byte));
    luaL_pushresultsize(&buffer, n * 8);
}

/* model:encode_text(text | list[, options]) -> embeddings, problems, truncated, ids, how
 * many were in the cache */
static int model_encode_text(lua_State *L) {
    ce_error err;
    const ce_model_info info = *ce_model_get_info(check_model(L, 1));
    size_t n = check_items(L, lua_type(L, 2) == LUA_TSTRING);
    bool want_ids = flag_option(L, "ids");
    ce_text *texts = ce_lua_array(L, n + 1, sizeof *texts);
    for (size_t i = 0; i < n; i++) {
        if (lua_rawgeti(L, 2, (lua_Integer)i + 1) != LUA_TSTRING)
            return luaL_error(L, "text %d is not a string (it is %s)", (int)i + 1,
                              luaL_typename(L, -1));
        texts[i].text = lua_tolstring(L, -1, &texts[i].size);
        lua_pop(L, 1);
    }
    batch *b = new_batch(L, n);
    size_t id_count = want_ids ? n * (size_t)info.context : 0;
    int32_t *ids = ce_lua_array(L, id_count + 1, sizeof *ids);
    ce_matrix *embeds = ce_lua_new_shape(L, n, (size_t)info.embed_dim);
    ce_pipeline_options options = pipeline_options(L, n);
    int code = n == 0
                   ? CE_OK
                   : ce_encode_texts(check_model(L, 1), embeds->data, want_ids ? ids : NULL,
                                     texts, n, b->status, &options, &err);
    check_outcome(L, code, &err);
    push_problems(L, b);
    push_flags(L, b, offsetof(ce_item_status, truncated));
    if (want_ids)
        push_ids(L, ids, id_count);
    else
        lua_pushnil(L);
    push_found(L, b);
    return 5;
}

/* ---- what was resolved ---- */

static int model_index(lua_State *L) {
    const char *key = luaL_checkstring(L, 2);
    luaL_checkudata(L, 1, TYPE);
    ce_lua_index_methods(L);
    if (!lua_isnil(L, -1))
        return 1;
    const ce_model_info *info = ce_model_get_info(check_model(L, 1));
    if (!strcmp(key, "image_size")) {
        lua_createtable(L, 2, 0);
        lua_pushinteger(L, info->image_width);
        lua_rawseti(L, -2, 1);
        lua_pushinteger(L, info->image_height);
        lua_rawseti(L, -2, 2);
        return 1;
    }
    if (!strcmp(key, "notes")) {
        ce_lua_push_notes(L, ce_model_notes(check_model(L, 1)));
        return 1;
    }
    ce_lua_push_info(L, info);
    lua_getiuservalue(L, 1, 1);
    lua_setfield(L, -2, "arch");
    if (strcmp(key, "info") != 0)
        lua_getfield(L, -1, key); /* name, path, embed_dim, ...: any field of info */
    return 1;
}

static int model_tostring(lua_State *L) {
    box *b = luaL_checkudata(L, 1, TYPE);
    if (b->model)
        lua_pushfstring(L, "model %s (%d)", ce_model_get_info(b->model)->name,
                        ce_model_get_info(b->model)->embed_dim);
    else
        lua_pushliteral(L, "model (closed)");
    return 1;
}

static int model_close(lua_State *L) {
    box *b = luaL_checkudata(L, 1, TYPE);
    ce_model_free(b->model);
    b->model = NULL;
    return 0;
}

static const luaL_Reg METHODS[] = {{"sha256", model_sha256},
                                   {"tokenize", model_tokenize},
                                   {"encode_image", model_encode_image},
                                   {"encode_text", model_encode_text},
                                   {"survey", model_survey},
                                   {NULL, NULL}};

static const luaL_Reg META[] = {
    {"__index", model_index}, {"__tostring", model_tostring}, {NULL, NULL}};

static const luaL_Reg NONE[] = {{NULL, NULL}};

/* core.is_fast(precision): whether this CPU has instructions for it */
static int is_fast(lua_State *L) {
    ce_precision precision;
    if (!ce_precision_parse(&precision, luaL_checkstring(L, 1)))
        return luaL_argerror(L, 1, "there are fp32, int8 and bf16");
    lua_pushboolean(L, ce_engine_is_fast(precision));
    return 1;
}

int luaopen_clipeval_model(lua_State *L) {
    ce_lua_type(L, TYPE, METHODS, META, model_close);
    ce_lua_type(L, BATCH, NONE, NONE, batch_close);
    lua_pushcfunction(L, model_open);
    lua_setfield(L, -2, "model");
    lua_pushcfunction(L, is_fast);
    lua_setfield(L, -2, "is_fast");
    return 0;
}

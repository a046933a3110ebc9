/* What was resolved from a checkpoint (core/model.h, checkpoint.h, weights.h), as tables.
 */
#include "bind.h"
#include "checkpoint.h"
#include "weights.h"

/* ---- model.info, model.notes ---- */

static void set_doubles(lua_State *L, const char *key, const double value[3]) {
    lua_createtable(L, 3, 0);
    for (int i = 0; i < 3; i++) {
        lua_pushnumber(L, value[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, key);
}

static void push_recipe(lua_State *L, const ce_preprocess *p) {
    static const char *const modes[] = {"none", "shortest", "squash", "longest"};
    lua_newtable(L);
    ce_lua_set_string(L, "resize_mode", modes[p->resize_mode]);
    ce_lua_set_string(L, "interpolation",
                      p->interpolation == CE_BICUBIC ? "bicubic" : "bilinear");
    ce_lua_set_string(L, "crop_rounding",
                      p->crop_rounding == CE_CROP_FLOOR ? "floor" : "half to even");
    ce_lua_set_integer(L, "resize_width", p->resize_width);
    ce_lua_set_integer(L, "resize_height", p->resize_height);
    ce_lua_set_integer(L, "width", p->width);
    ce_lua_set_integer(L, "height", p->height);
    ce_lua_set_integer(L, "fill", p->fill);
    ce_lua_set_number(L, "rescale", p->rescale);
    set_doubles(L, "mean", p->mean);
    set_doubles(L, "std", p->std);
}

static void set_names(lua_State *L, const ce_model_info *info) {
    ce_lua_set_string(L, "name", info->name);
    ce_lua_set_string(L, "path", info->path);
    ce_lua_set_string(L, "format", info->format);
    ce_lua_set_string(L, "weights", info->weights);
    ce_lua_set_string(L, "weights_format", info->weights_format);
    ce_lua_set_string(L, "architecture_source", info->architecture_source);
    ce_lua_set_string(L, "activation_source", info->activation_source);
    ce_lua_set_string(L, "preprocess_source", info->preprocess_source);
    ce_lua_set_string(L, "vision", info->vision);
    ce_lua_set_string(L, "text", info->text);
    ce_lua_set_string(L, "activation", info->activation);
    ce_lua_set_string(L, "vision_activation", info->vision_activation);
    ce_lua_set_string(L, "dtype", info->dtype);
    ce_lua_set_string(L, "end_of_text", info->end_of_text);
    ce_lua_set_string(L, "vision_pool", info->vision_pool);
    ce_lua_set_string(L, "precision", info->precision);
    ce_lua_set_string(L, "engine", info->engine);
    ce_lua_set_string(L, "tokenizer", info->tokenizer);
    ce_lua_set_string(L, "tokenizer_kind", info->tokenizer_kind);
}

void ce_lua_push_info(lua_State *L, const ce_model_info *info) {
    lua_newtable(L);
    set_names(L, info);
    ce_lua_set_integer(L, "embed_dim", info->embed_dim);
    ce_lua_set_integer(L, "image_width", info->image_width);
    ce_lua_set_integer(L, "image_height", info->image_height);
    ce_lua_set_integer(L, "context", info->context);
    ce_lua_set_number(L, "logit_scale", info->logit_scale);
    ce_lua_set_number(L, "logit_bias", info->logit_bias);
    ce_lua_set_boolean(L, "sigmoid", info->sigmoid);
    push_recipe(L, &info->preprocess);
    lua_setfield(L, -2, "preprocess");
}

/* {{severity =, code =, text =}, ...} */
void ce_lua_push_notes(lua_State *L, const ce_notes *notes) {
    static const char *const severities[] = {"remark", "warning", "fault"};
    lua_newtable(L);
    for (size_t i = 0; i < notes->count; i++) {
        const ce_note *note = &notes->at[i];
        lua_newtable(L);
        ce_lua_set_string(L, "severity", severities[note->severity]);
        ce_lua_set_string(L, "code", note->code);
        ce_lua_set_string(L, "text", note->text);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* ---- a checkpoint that is not opened as a model ---- */

/* core.checkpoint(path[, arch]) -> {format =, directory =, weights =, config =} | nil,
 * message; what there is none of is nil */
static int checkpoint(lua_State *L) {
    ce_error err;
    const char *path = ce_lua_check_path(L, 1), *arch = luaL_optstring(L, 2, NULL);
    ce_checkpoint *files = lua_newuserdatauv(L, sizeof *files, 0);
    if (ce_checkpoint_find(files, path, arch, &err) < 0)
        return ce_lua_fault(L, &err);
    lua_newtable(L);
    ce_lua_set_string(L, "format", ce_format_name(files->format));
    ce_lua_set_string(L, "directory", files->directory);
    ce_lua_set_string(L, "weights", files->weights);
    ce_lua_set_string(L, "config", files->config[0] ? files->config : NULL);
    return 1;
}

static void release_weights(void *what) {
    ce_weights_free(what);
}

/* Adds `n` to the field `key` of the table at `index`. */
static void count(lua_State *L, int index, const char *key, size_t n) {
    lua_getfield(L, index, key);
    lua_pushinteger(L, lua_tointeger(L, -1) + (lua_Integer)n);
    lua_setfield(L, index, key);
    lua_pop(L, 1);
}

/* core.weights(path) -> {format =, sha256 =, tensors =, types = {F32 = values, ...}, files
 * =
 * {[path] = bytes of tensors}} | nil, message */
static int weights(lua_State *L) {
    ce_error err;
    char sha256[65];
    ce_weights *w;
    const char *path = ce_lua_check_path(L, 1);
    void **held = ce_lua_holder(L, release_weights);
    if (ce_weights_open(&w, path, &err) < 0)
        return ce_lua_fault(L, &err);
    *held = w;
    if (ce_weights_sha256(w, sha256, &err) < 0)
        return ce_lua_fault(L, &err);
    lua_newtable(L);
    int table = lua_gettop(L);
    lua_newtable(L);
    lua_newtable(L);
    for (size_t i = 0; i < ce_weights_count(w); i++) {
        const ce_tensor *t = ce_weights_at(w, i);
        count(L, table + 1, t->dtype_name, t->count);
        count(L, table + 2, t->file, t->bytes);
    }
    lua_setfield(L, table, "files");
    lua_setfield(L, table, "types");
    ce_lua_set_string(L, "format", ce_weights_format(w));
    ce_lua_set_string(L, "sha256", sha256);
    ce_lua_set_integer(L, "tensors", (lua_Integer)ce_weights_count(w));
    return 1;
}

int luaopen_clipeval_checkpoint(lua_State *L) {
    lua_pushcfunction(L, checkpoint);
    lua_setfield(L, -2, "checkpoint");
    lua_pushcfunction(L, weights);
    lua_setfield(L, -2, "weights");
    return 0;
}

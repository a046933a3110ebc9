/* What the bindings share. Each bind_NOUN.c adds its functions to the table on top of the
 * stack (the Lua module "clipeval.core"), and makes its objects' metatables:
 *
 *     const ce_matrix *m = ce_lua_check_matrix(L, 1);
 *     ce_matrix_mean(m, ce_lua_new_shape(L, 1, m->cols)->data);
 *     return 1;
 *
 * Misuse raises; what the environment does wrong returns nil and a message.
 */
#ifndef CE_BIND_H
#define CE_BIND_H

#include "error.h"
#include "image.h"
#include "matrix.h"
#include "pipeline.h"
#include "progress.h"

#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What the whole program knows while a Lua state runs. */
typedef struct ce_session {
    int threads; /* 0: all cores */
    bool quiet;  /* no progress on stderr */
    atomic_bool interrupted;
    ce_progress progress;
} ce_session;

ce_session *ce_lua_session(lua_State *L);

int ce_lua_fault(lua_State *L, const ce_error *err); /* pushes nil, message; returns 2 */
int ce_lua_raise(lua_State *L, const ce_error *err); /* does not return */
int ce_lua_interrupted(lua_State *L);                /* raises; the whole script ends */

/* A metatable `type` with `methods`, in which `close`, __gc and __close are `close`; in a
 * finalizer only __gc closes, since any allocation in a binding may run one. */
void ce_lua_type(lua_State *L, const char *type, const luaL_Reg *methods,
                 const luaL_Reg *meta, lua_CFunction close);

/* An __index for such a type, or the end of one: the method of this name, or nil. */
int ce_lua_index_methods(lua_State *L);

/* Pushes the table's own field and returns its type. No metamethods: a string that a table
 * does not hold is gone once it is popped, and a script that runs in the midst of a binding
 * could close what the binding works on. */
int ce_lua_field(lua_State *L, int index, const char *key);

/* Tells the collector of memory behind an object, which it would not see. */
void ce_lua_allocated(lua_State *L, size_t bytes);

ce_matrix *ce_lua_new_shape(lua_State *L, size_t rows, size_t cols); /* zeros, pushed */
ce_matrix *ce_lua_check_matrix(lua_State *L, int arg);
ce_image *ce_lua_test_image(lua_State *L, int index); /* NULL: something else */
ce_cache *ce_lua_test_cache(lua_State *L, int index); /* NULL: something else, or closed */
/* The picture that the table at `index` says: {path =, offset =, size =}, an encoded one
 * that lies inside a file (without offset and size, the file), or raw pixels. Borrowed from
 * the string that is pushed; its alpha is left alone. */
void ce_lua_table_picture(lua_State *L, int index, ce_picture *out);
/* Raw pixels, the table {width =, height =, channels =, pixels =} at `index`: borrowed from
 * the string, which is pushed. Its alpha is left alone. */
void ce_lua_raw_picture(lua_State *L, int index, ce_picture *out);

/* The option `alpha` of the table at `index` (or nil there): "drop" or "white". */
ce_alpha ce_lua_alpha(lua_State *L, int index);
ce_model *ce_lua_check_model(lua_State *L, int arg);
/* A path: a string without NUL bytes. */
const char *ce_lua_check_path(lua_State *L, int arg);
/* `n` values of `size` bytes, zeroed, pushed as a userdata. */
void *ce_lua_array(lua_State *L, size_t n, size_t size);

/* The list of integers from 1 at `arg`, less 1, pushed as a userdata; false in it becomes
 * CE_RANK_NONE where `none_allowed`. */
uint32_t *ce_lua_check_numbers(lua_State *L, int arg, size_t *n, bool none_allowed);

/* Pushes a place for what core allocates, which the collector gives to `release`: made
 * before it is filled, so that a raise between the two leaks nothing. */
void **ce_lua_holder(lua_State *L, void (*release)(void *what));

void ce_lua_set_string(lua_State *L, const char *key, const char *value);
void ce_lua_set_integer(lua_State *L, const char *key, lua_Integer value);
void ce_lua_set_number(lua_State *L, const char *key, double value);
void ce_lua_set_boolean(lua_State *L, const char *key, bool value);

void ce_lua_push_info(lua_State *L, const ce_model_info *info);
void ce_lua_push_json(lua_State *L, const json_t *value); /* null becomes nil */
void ce_lua_push_notes(lua_State *L, const ce_notes *notes);

/* Makes the holders' metatable. */
void ce_lua_holder_type(lua_State *L);

/* Each adds to the table on top of the stack. */
int luaopen_clipeval_matrix(lua_State *L);
int luaopen_clipeval_image(lua_State *L);
int luaopen_clipeval_model(lua_State *L);
int luaopen_clipeval_checkpoint(lua_State *L);
int luaopen_clipeval_metrics(lua_State *L);
int luaopen_clipeval_stats(lua_State *L);
int luaopen_clipeval_retrieval(lua_State *L);
int luaopen_clipeval_probe(lua_State *L);
int luaopen_clipeval_text(lua_State *L);
int luaopen_clipeval_files(lua_State *L);
int luaopen_clipeval_annotations(lua_State *L);
int luaopen_clipeval_output(lua_State *L);
int luaopen_clipeval_cache(lua_State *L);
int luaopen_clipeval_bench(lua_State *L);

#endif

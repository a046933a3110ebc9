/* Pictures and captions that find each other (core/retrieval.h). */
#include "bind.h"
#include "metrics.h"
#include "retrieval.h"

/* Fields of the table on top: what became of each query, by the name of what is told. */
static void push_found(lua_State *L, const ce_found *found, size_t n) {
    static const char *const names[] = {"ranks",  "own",         "best",
                                        "scores", "best_scores", "tied"};
    enum { FIELDS = sizeof names / sizeof *names };
    lua_createtable(L, 0, FIELDS);
    int first = lua_gettop(L) + 1;
    for (int f = 0; f < FIELDS; f++)
        lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        const uint32_t places[] = {found[i].rank, found[i].own, found[i].best};
        for (int f = 0; f < 3; f++) {
            if (places[f] == CE_RANK_NONE)
                lua_pushboolean(L, false);
            else
                lua_pushinteger(L, (lua_Integer)places[f] + 1);
            lua_rawseti(L, first + f, (lua_Integer)i + 1);
        }
        lua_pushnumber(L, (lua_Number)found[i].own_score);
        lua_rawseti(L, first + 3, (lua_Integer)i + 1);
        lua_pushnumber(L, (lua_Number)found[i].best_score);
        lua_rawseti(L, first + 4, (lua_Integer)i + 1);
        lua_pushinteger(L, (lua_Integer)found[i].tied);
        lua_rawseti(L, first + 5, (lua_Integer)i + 1);
    }
    for (int f = FIELDS - 1; f >= 0; f--)
        lua_setfield(L, first - 1, names[f]);
}

/* core.retrieve(images, texts, image_of_text) -> of_images, of_texts. The matrices hold
 * normalised embeddings; image_of_text[t] is a row of images, or false: nobody's. Both
 * results are tables of lists, one entry a row (core/retrieval.h): ranks (false: it has no
 * own, or one of them is NaN), own and best (rows of the other side, or false), scores of
 * own, best_scores, and tied: how many that are not its own share the own one's score. */
static int retrieve(lua_State *L) {
    size_t n;
    ce_error err;
    ce_session *session = ce_lua_session(L);
    const ce_matrix *images = ce_lua_check_matrix(L, 1), *texts = ce_lua_check_matrix(L, 2);
    const uint32_t *image_of_text = ce_lua_check_numbers(L, 3, &n, true);
    luaL_argcheck(L, n == texts->rows, 3, "needs one image for each text");
    ce_found *of_images = ce_lua_array(L, images->rows + 1, sizeof *of_images);
    ce_found *of_texts = ce_lua_array(L, texts->rows + 1, sizeof *of_texts);
    ce_retrieval_options options = {session->threads, &session->interrupted};
    int code =
        ce_retrieve(of_images, of_texts, images, texts, image_of_text, &options, &err);
    if (code == CE_ECANCELLED)
        return ce_lua_interrupted(L);
    if (code < 0)
        return ce_lua_raise(L, &err);
    push_found(L, of_images, images->rows);
    push_found(L, of_texts, texts->rows);
    return 2;
}

static const luaL_Reg FUNCTIONS[] = {{"retrieve", retrieve}, {NULL, NULL}};

int luaopen_clipeval_retrieval(lua_State *L) {
    luaL_setfuncs(L, FUNCTIONS, 0);
    return 0;
}

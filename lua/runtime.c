#include "runtime.h"

#include "bind.h"
#include "blas.h"
#include "embedded.h"
#include "linear.h"

#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TRACEBACK_FRAMES = 10 };

/* ---- signals: Ctrl-C, and what asks a program to end ---- */

static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP};
enum { SIGNAL_COUNT = sizeof SIGNALS / sizeof *SIGNALS };
static const long long TWICE = 500000000; /* nanoseconds: later is another Ctrl-C */

static ce_session session;
static lua_State *main_state;
static atomic_int signalled;      /* the first signal's number; 0: none */
static atomic_llong signalled_at; /* nanoseconds */
/* HELD: a signal is noted, and waits. CLOSING: all is done but the script's finalizers. */
enum { RUNNING, HELD, CLOSING };
static atomic_int phase;

static void stop_hook(lua_State *L, lua_Debug *ar) {
    (void)ar;
    ce_lua_interrupted(L); /* the hook stays: a pcall in the script does not stop this */
}

/* As lua.c does: lua_sethook is made to be called from a signal handler. */
static void stop_script(void) {
    atomic_store(&session.interrupted, true);
    lua_sethook(main_state, stop_hook,
                LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* A second signal kills: the hook does not reach a script that is inside a C function. Not
 * one that comes at once, though: timeout(1) signals the program and then its group. */
static void on_signal(int number) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    long long now = t.tv_sec * 1000000000LL + t.tv_nsec, first = 0;
    int at = atomic_load(&phase);
    bool is_first = atomic_compare_exchange_strong(&signalled_at, &first, now);
    if (is_first ? at == CLOSING : now - first > TWICE) {
        signal(number, SIG_DFL);
        raise(number);
    } else if (is_first) {
        atomic_store(&signalled, number);
        if (at == RUNNING)
            stop_script();
    }
}

/* lua_sethook reaches one coroutine, and the handler does not know which is running: each
 * coroutine is born with a hook that looks at the flag now and then. */
static void poll_hook(lua_State *L, lua_Debug *ar) {
    if (!atomic_load(&session.interrupted))
        return;
    lua_sethook(L, stop_hook, LUA_MASKCOUNT, 1);
    stop_hook(L, ar);
}

/* coroutine.create and coroutine.wrap (the upvalue): a new thread inherits the hook. */
static int new_coroutine(lua_State *L) {
    lua_Hook hook = lua_gethook(L);
    int mask = lua_gethookmask(L), count = lua_gethookcount(L);
    lua_sethook(L, poll_hook, LUA_MASKCOUNT, 10000);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    int code = lua_pcall(L, lua_gettop(L) - 1, 1, 0);
    if (!atomic_load(&session.interrupted)) /* else its own hook may have come in between */
        lua_sethook(L, hook, mask, count);
    else
        lua_sethook(L, stop_hook, LUA_MASKCOUNT, 1);
    return code == LUA_OK ? 1 : luaL_error(L, "%s", lua_tostring(L, -1));
}

static void watch_coroutines(lua_State *L) {
    static const char *const makers[] = {"create", "wrap"};
    lua_getglobal(L, LUA_COLIBNAME);
    for (int i = 0; i < 2; i++) {
        lua_getfield(L, -1, makers[i]);
        lua_pushcclosure(L, new_coroutine, 1);
        lua_setfield(L, -2, makers[i]);
    }
    lua_pop(L, 1);
}

/* No SA_RESTART: a script that waits for input is to be interrupted as well. */
static void catch_signals(lua_State *L) {
    struct sigaction action = {.sa_handler = on_signal}, before;
    main_state = L;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        sigaddset(&action.sa_mask, SIGNALS[i]);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (SIGNALS[i] != SIGHUP || sigaction(SIGHUP, NULL, &before) != 0 ||
            before.sa_handler != SIG_IGN) /* nohup(1) */
            sigaction(SIGNALS[i], &action, NULL);
}

/* ---- messages ---- */

/* Whether a function is the user's: it was loaded from a file, and is no C function. */
static bool is_users(const lua_Debug *ar) {
    return ar->source[0] == '@' && ar->currentline > 0;
}

/* Appends "FILE:LINE: " of the innermost of the user's functions that is running. */
static void add_position(lua_State *L, luaL_Buffer *b) {
    lua_Debug ar;
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (is_users(&ar)) {
            lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
            luaL_addvalue(b);
            return;
        }
    }
}

/* The length of "clipeval.NAME:LINE: " at the start of a message, or 0: a position in our
 * own Lua files, which says nothing to the user. */
static size_t own_position(const char *message) {
    size_t n = strcspn(message, ":");
    if (strncmp(message, "clipeval", 8) != 0 || (n > 8 && message[8] != '.') ||
        message[n] != ':')
        return 0;
    size_t digits = strspn(message + n + 1, "0123456789");
    n += 1 + digits;
    return digits > 0 && message[n] == ':' && message[n + 1] == ' ' ? n + 2 : 0;
}

static void add_traceback(lua_State *L, luaL_Buffer *b) {
    lua_Debug ar;
    int frames = 0;
    for (int level = 1; frames < 2 && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        frames += is_users(&ar);
    }
    if (frames < 2)
        return; /* the message has said where */
    frames = 0;
    for (int level = 1; lua_getstack(L, level, &ar) && frames < TRACEBACK_FRAMES; level++) {
        lua_getinfo(L, "Sln", &ar);
        if (!is_users(&ar))
            continue;
        lua_pushfstring(L, "\n    %s:%d: in ", ar.short_src, ar.currentline);
        if (*ar.what == 'm')
            lua_pushliteral(L, "the script");
        else if (ar.name)
            lua_pushfstring(L, "%s", ar.name);
        else
            lua_pushfstring(L, "a function of line %d", ar.linedefined);
        lua_concat(L, 2);
        luaL_addvalue(b);
        frames++;
    }
}

/* What core.quit raises: known by its metatable, which no script can have. */
typedef struct quit {
    int code;
    char message[];
} quit;
static const char QUIT = 0; /* its address is the metatable's key in the registry */

/* The quit at `index`, or NULL. Raises nothing, allocates nothing. */
static const quit *test_quit(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index))
        return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &QUIT);
    bool is_quit = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is_quit ? lua_touserdata(L, index) : NULL;
}

/* core.quit(code, message): ends the program with that code and one line. */
static int raise_quit(lua_State *L) {
    size_t size;
    int code = (int)luaL_checkinteger(L, 1);
    const char *message = luaL_checklstring(L, 2, &size);
    quit *q = lua_newuserdatauv(L, sizeof *q + size + 1, 0);
    q->code = code;
    memcpy(q->message, message, size + 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &QUIT);
    lua_setmetatable(L, -2);
    return lua_error(L);
}

/* What a quit would say, for who goes on in spite of it: one broken run among many. */
static int quit_message(lua_State *L) {
    const quit *q = test_quit(L, 1);
    lua_pushstring(L, q ? q->message : "");
    return 1;
}

static void add_quit(lua_State *L) {
    lua_newtable(L);
    lua_pushcfunction(L, quit_message);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &QUIT);
    lua_pushcfunction(L, raise_quit);
    lua_setfield(L, -2, "quit");
}

static int to_text(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* The text of what was raised, pushed; a __tostring may itself raise. */
static const char *raised_text(lua_State *L) {
    if (lua_isstring(L, 1)) {
        lua_pushvalue(L, 1);
        return lua_tostring(L, -1);
    }
    if (luaL_getmetafield(L, 1, "__tostring") != LUA_TNIL) {
        lua_pushcfunction(L, to_text);
        lua_pushvalue(L, 1);
        if (lua_pcall(L, 1, 1, 0) == LUA_OK)
            return lua_tostring(L, -1);
    }
    return lua_pushfstring(L, "(a %s was raised)", luaL_typename(L, 1));
}

/* What was raised becomes a message with the user's lines only; a quit stays. */
static int on_error(lua_State *L) {
    luaL_Buffer b;
    if (test_quit(L, 1))
        return 1;
    const char *message = raised_text(L);
    luaL_buffinit(L, &b);
    size_t own = own_position(message);
    if (own > 0)
        add_position(L, &b);
    luaL_addstring(&b, message + own);
    add_traceback(L, &b);
    luaL_pushresult(&b);
    return 1;
}

/* Of what lies on top of the stack. Outside any protected call: nothing here may raise. */
static int report_fault(lua_State *L) {
    const quit *q = test_quit(L, -1);
    const char *message = q                                ? q->message
                          : lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1)
                                                           : "no memory";
    fflush(stdout);
    fprintf(stderr, "clipeval: %s\n", message);
    return q ? q->code : CE_EXIT_FAULT;
}

/* ---- the state ---- */

static int load_embedded(lua_State *L) {
    const ce_embedded *m = lua_touserdata(L, lua_upvalueindex(1));
    char chunk[64];
    snprintf(chunk, sizeof chunk, "=%s", m->name);
    if (luaL_loadbufferx(L, m->text, m->size, chunk, "t") != LUA_OK)
        return lua_error(L);
    lua_pushstring(L, m->name);
    lua_call(L, 1, 1);
    return 1;
}

/* core.about() -> {version =, blas =, engine =, decoders =, lua =} */
static int about(lua_State *L) {
    lua_newtable(L);
    ce_lua_set_string(L, "version", CE_VERSION);
    ce_lua_set_string(L, "blas", ce_blas_description());
    ce_lua_set_string(L, "engine", ce_engine_description());
    ce_lua_set_string(L, "decoders", ce_image_decoders());
    ce_lua_set_string(L, "lua", LUA_RELEASE);
    return 1;
}

/* core.interrupt(): goes on with ending the script where an encode call let go. */
static int interrupt(lua_State *L) {
    stop_script();
    return ce_lua_interrupted(L);
}

/* core.hold_signals(): from here on the script is not interrupted any more. */
static int hold_signals(lua_State *L) {
    (void)L;
    atomic_store(&phase, HELD);
    return 0;
}

static int open_core(lua_State *L) {
    ce_lua_holder_type(L);
    lua_newtable(L);
    luaopen_clipeval_matrix(L);
    luaopen_clipeval_image(L);
    luaopen_clipeval_model(L);
    luaopen_clipeval_checkpoint(L);
    luaopen_clipeval_metrics(L);
    luaopen_clipeval_stats(L);
    luaopen_clipeval_retrieval(L);
    luaopen_clipeval_probe(L);
    luaopen_clipeval_text(L);
    luaopen_clipeval_files(L);
    luaopen_clipeval_annotations(L);
    luaopen_clipeval_output(L);
    luaopen_clipeval_cache(L);
    luaopen_clipeval_bench(L);
    lua_pushcfunction(L, about);
    lua_setfield(L, -2, "about");
    lua_pushcfunction(L, interrupt);
    lua_setfield(L, -2, "interrupt");
    lua_pushcfunction(L, hold_signals);
    lua_setfield(L, -2, "hold_signals");
    add_quit(L);
    ce_lua_set_string(L, "share", ce_share_directory());
    return 1;
}

static void preload(lua_State *L) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, open_core);
    lua_setfield(L, -2, "clipeval.core");
    for (const ce_embedded *m = ce_embedded_modules; m->name; m++) {
        lua_pushlightuserdata(L, (void *)m);
        lua_pushcclosure(L, load_embedded, 1);
        lua_setfield(L, -2, m->name);
    }
    lua_pop(L, 1);
}

static void push_arg(lua_State *L, const ce_command *command) {
    lua_newtable(L);
    for (size_t i = 0; i < command->operand_count; i++) {
        lua_pushstring(L, command->operands[i]);
        lua_rawseti(L, -2, (lua_Integer)i);
    }
    for (size_t i = 0; i < command->count; i++) {
        const ce_setting *s = &command->settings[i];
        if (s->kind == CE_SETTING_FLAG)
            lua_pushboolean(L, true);
        else if (s->kind == CE_SETTING_INTEGER)
            lua_pushinteger(L, s->number);
        else
            lua_pushstring(L, s->text);
        lua_setfield(L, -2, s->key);
        if (strcmp(s->key, "threads") == 0)
            session.threads = (int)s->number;
        if (strcmp(s->key, "quiet") == 0)
            session.quiet = true;
    }
    lua_setglobal(L, "arg");
}

/* (command) -> exit code */
static int run_verb(lua_State *L) {
    const ce_command *command = lua_touserdata(L, 1);
    luaL_openlibs(L);
    watch_coroutines(L);
    preload(L);
    push_arg(L, command);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "clipeval.program");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, command->verb);
    lua_call(L, 0, 1);
    return 1;
}

/* After a fault or a signal: program.salvage(interrupted) keeps what was finished. */
static int salvage(lua_State *L) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, "clipeval.program") != LUA_TTABLE)
        return 0;
    lua_getfield(L, -1, "salvage");
    /* what core does here is not to be cancelled again */
    lua_pushboolean(L, atomic_exchange(&session.interrupted, false));
    lua_call(L, 1, 0);
    return 0;
}

static int call(lua_State *L, lua_CFunction f, const ce_command *command) {
    lua_settop(L, 0);
    lua_pushcfunction(L, on_error);
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, (void *)command);
    return lua_pcall(L, 1, 1, 1);
}

int ce_runtime_main(const ce_command *command) {
    int code;
    lua_State *L = luaL_newstate();
    if (!L) {
        fputs("clipeval: no memory\n", stderr);
        return CE_EXIT_FAULT;
    }
    *(ce_session **)lua_getextraspace(L) = &session;
    catch_signals(L);
    bool failed = call(L, run_verb, command) != LUA_OK;
    atomic_store(&phase, HELD);
    lua_sethook(L, NULL, 0, 0);
    if (!failed)
        code = (int)lua_tointeger(L, -1);
    else if (atomic_load(&session.interrupted))
        code = CE_EXIT_SIGNAL;
    else
        code = report_fault(L);
    if (failed && call(L, salvage, command) != LUA_OK)
        report_fault(L);
    atomic_store(&phase, CLOSING);
    lua_close(L);
    int number = atomic_load(&signalled);
    return number > 0 ? CE_EXIT_SIGNAL + number : code;
}

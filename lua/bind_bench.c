/* core.bench: what this machine gives (core/bench.h); what it is. */
#include "bench.h"
#include "bind.h"
#include "cpu.h"
#include "linear.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const SETS[] = {"baseline", "AVX2", "AVX-512", NULL}; /* as ce_simd */

static int check_threads(lua_State *L, int arg) {
    lua_Integer threads = luaL_checkinteger(L, arg);
    luaL_argcheck(L, threads >= 1 && threads <= CE_BENCH_THREADS, arg, "must be 1 to 1024");
    return (int)threads;
}

static int push_rate(lua_State *L, int result, double rate, const ce_error *err) {
    if (result < 0)
        return ce_lua_fault(L, err);
    lua_pushnumber(L, rate);
    return 1;
}

/* bench.now() -> seconds that pass, from some moment on */
static int bench_now(lua_State *L) {
    lua_pushnumber(L, ce_bench_now());
    return 1;
}

/* bench.peak(set, threads) -> GFLOP/s | nil, message: set is one of bench.cpu().sets */
static int bench_peak(lua_State *L) {
    ce_error err;
    double rate;
    ce_simd set = (ce_simd)luaL_checkoption(L, 1, NULL, SETS);
    int result = ce_bench_peak(&rate, set, check_threads(L, 2), &err);
    return push_rate(L, result, rate, &err);
}

/* bench.kernel(precision, threads) -> 1e9 operations a second | nil, message */
static int bench_kernel(lua_State *L) {
    ce_error err;
    double rate;
    ce_precision precision;
    if (!ce_precision_parse(&precision, luaL_checkstring(L, 1)))
        return luaL_argerror(L, 1, "no such precision");
    int result = ce_bench_kernel(&rate, precision, check_threads(L, 2), &err);
    return push_rate(L, result, rate, &err);
}

/* bench.jpeg() -> the bytes of the built-in picture, its width and height */
static int bench_jpeg(lua_State *L) {
    ce_error err;
    size_t size;
    void **bytes = ce_lua_holder(L, free);
    if (ce_bench_jpeg((unsigned char **)bytes, &size, &err) < 0)
        return ce_lua_fault(L, &err);
    lua_pushlstring(L, *bytes, size);
    lua_pushinteger(L, CE_BENCH_WIDTH);
    lua_pushinteger(L, CE_BENCH_HEIGHT);
    return 3;
}

/* bench.pictures(model, jpeg, threads) -> decoded and preprocessed pictures a second | nil,
 * message */
static int bench_pictures(lua_State *L) {
    ce_error err;
    double rate;
    size_t size;
    const ce_model *model = ce_lua_check_model(L, 1);
    const char *jpeg = luaL_checklstring(L, 2, &size);
    int result =
        ce_bench_pictures(&rate, &ce_model_get_info(model)->preprocess,
                          (const unsigned char *)jpeg, size, check_threads(L, 3), &err);
    return push_rate(L, result, rate, &err);
}

/* bench.cpu() -> {cores =, online =, sets =, vnni =, bf16 =, limited =}: the cores that
 * this process may use and those there are; instruction sets, the widest last; whether
 * CLIPEVAL_SIMD holds back the widest. */
static int bench_cpu(lua_State *L) {
    lua_newtable(L);
    ce_lua_set_integer(L, "cores", ce_default_threads());
    ce_lua_set_integer(L, "online", sysconf(_SC_NPROCESSORS_ONLN));
    ce_lua_set_boolean(L, "vnni", ce_engine_is_fast(CE_INT8));
    ce_lua_set_boolean(L, "bf16", ce_engine_is_fast(CE_BFLOAT16));
    ce_lua_set_boolean(L, "limited", ce_cpu_simd() != ce_cpu_widest_simd());
    lua_newtable(L);
    for (int set = CE_SIMD_BASE; set <= (int)ce_cpu_widest_simd(); set++) {
        lua_pushstring(L, SETS[set]);
        lua_rawseti(L, -2, set + 1);
    }
    lua_setfield(L, -2, "sets");
    return 1;
}

/* bench.program() -> the path of this program | nil, message */
static int bench_program(lua_State *L) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    if (n <= 0 || (size_t)n == sizeof path)
        return luaL_fileresult(L, 0, "/proc/self/exe");
    lua_pushlstring(L, path, (size_t)n);
    return 1;
}

static const luaL_Reg FUNCTIONS[] = {{"now", bench_now},           {"peak", bench_peak},
                                     {"kernel", bench_kernel},     {"jpeg", bench_jpeg},
                                     {"pictures", bench_pictures}, {"cpu", bench_cpu},
                                     {"program", bench_program},   {NULL, NULL}};

int luaopen_clipeval_bench(lua_State *L) {
    luaL_newlib(L, FUNCTIONS);
    lua_setfield(L, -2, "bench");
    return 0;
}

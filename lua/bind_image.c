/* clip.image: pictures (core/image.h). Pixel coordinates count from 0, as everywhere where
 * pictures are spoken of. */
#include "bind.h"
#include "preprocess.h"
#include "thumbnail.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char *const TYPE = "clip.image";

static ce_image *new_image(lua_State *L) {
    ce_image *image = lua_newuserdatauv(L, sizeof *image, 0);
    memset(image, 0, sizeof *image);
    luaL_setmetatable(L, TYPE);
    return image;
}

/* The image on top of the stack, now that it has pixels. */
static int push_filled(lua_State *L) {
    const ce_image *image = lua_touserdata(L, -1);
    ce_lua_allocated(L, (size_t)image->width * (size_t)image->height * 3);
    return 1;
}

static ce_image *check_image(lua_State *L, int arg) {
    ce_image *image = luaL_checkudata(L, arg, TYPE);
    luaL_argcheck(L, image->pixels, arg, "the image is closed");
    return image;
}

ce_image *ce_lua_test_image(lua_State *L, int index) {
    ce_image *image = luaL_testudata(L, index, TYPE);
    return image && image->pixels ? image : NULL;
}

/* A field of the table at `index`, within 1..max. */
static int size_field(lua_State *L, int index, const char *name, int fallback, int max) {
    int is_integer = 1;
    lua_Integer value = fallback;
    if (ce_lua_field(L, index, name) != LUA_TNIL)
        value = lua_tointegerx(L, -1, &is_integer);
    lua_pop(L, 1);
    if (!is_integer || value < 1 || value > max)
        luaL_error(L, "image: %s must be an integer from 1 to %d", name, max);
    return (int)value;
}

/* {width =, height =, channels = 1 | 3, pixels = string} as core takes it. */
void ce_lua_raw_picture(lua_State *L, int index, ce_picture *out) {
    size_t size = 0;
    out->path = NULL;
    out->width = size_field(L, index, "width", 0, INT_MAX);
    out->height = size_field(L, index, "height", 0, INT_MAX);
    out->channels = size_field(L, index, "channels", 3, 3);
    int type = ce_lua_field(L, index, "pixels");
    out->pixels =
        (const uint8_t *)(type == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL);
    double expected = (double)out->width * out->height * out->channels;
    if (out->channels == 2 || !out->pixels || (double)size != expected)
        luaL_error(L, "image: pixels must be a string of width * height * channels bytes, "
                      "with 1 or 3 channels");
}

/* The field `name` of the table at `index`, an integer from 0 on; whether there is one. */
static bool place_field(lua_State *L, int index, const char *name, uint64_t *out) {
    int is_integer = 0;
    bool is_there = ce_lua_field(L, index, name) != LUA_TNIL;
    lua_Integer value = lua_tointegerx(L, -1, &is_integer);
    if (is_there && (!is_integer || value < 0))
        luaL_error(L, "image: %s must be an integer from 0 on", name);
    lua_pop(L, 1);
    *out = (uint64_t)value;
    return is_there;
}

void ce_lua_table_picture(lua_State *L, int index, ce_picture *out) {
    size_t size;
    int type = ce_lua_field(L, index, "path");
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        ce_lua_raw_picture(L, index, out);
        return;
    }
    out->path = type == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
    if (!out->path || strlen(out->path) != size)
        luaL_error(L, "image: path must be a string without NUL bytes");
    out->is_part = place_field(L, index, "offset", &out->offset);
    if (place_field(L, index, "size", &out->size) != out->is_part)
        luaL_error(L, "image: offset and size belong together");
}

/* clip.image(path | {path, offset, size} | {width, height, channels, pixels}[, {alpha = }])
 */
static int image_new(lua_State *L) {
    ce_error err;
    ce_alpha alpha = ce_lua_alpha(L, 2);
    int code;
    if (lua_type(L, 1) == LUA_TTABLE) {
        ce_picture picture = {.alpha = alpha};
        ce_lua_table_picture(L, 1, &picture);
        code = ce_picture_load(new_image(L), &picture, &err);
    } else {
        const char *path = ce_lua_check_path(L, 1);
        code = ce_image_load(new_image(L), path, alpha, &err);
    }
    return code < 0 ? ce_lua_fault(L, &err) : push_filled(L);
}

/* image:pixel(x, y) -> r, g, b */
static int image_pixel(lua_State *L) {
    const ce_image *image = check_image(L, 1);
    lua_Integer x = luaL_checkinteger(L, 2), y = luaL_checkinteger(L, 3);
    luaL_argcheck(L, x >= 0 && x < image->width, 2, "outside the picture");
    luaL_argcheck(L, y >= 0 && y < image->height, 3, "outside the picture");
    const uint8_t *p = image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
    for (int c = 0; c < 3; c++)
        lua_pushinteger(L, p[c]);
    return 3;
}

/* image:resize(width, height[, "bicubic" | "bilinear"]) */
static int image_resize(lua_State *L) {
    static const char *const names[] = {"bicubic", "bilinear", NULL};
    static const ce_interpolation filters[] = {CE_BICUBIC, CE_BILINEAR};
    ce_error err;
    const ce_image *image = check_image(L, 1);
    lua_Integer w = luaL_checkinteger(L, 2), h = luaL_checkinteger(L, 3);
    luaL_argcheck(L, w >= 1 && w <= 65535, 2, "must be from 1 to 65535");
    luaL_argcheck(L, h >= 1 && h <= 65535, 3, "must be from 1 to 65535");
    ce_interpolation filter = filters[luaL_checkoption(L, 4, "bicubic", names)];
    if (ce_image_resize(new_image(L), image, (int)w, (int)h, filter, &err) < 0)
        return ce_lua_raise(L, &err);
    return push_filled(L);
}

/* image:bytes(): RGB, row by row from the top */
static int image_bytes(lua_State *L) {
    const ce_image *image = check_image(L, 1);
    lua_pushlstring(L, (const char *)image->pixels,
                    (size_t)image->width * (size_t)image->height * 3);
    return 1;
}

/* image:thumbnail(side[, quality]) -> JPEG bytes (core/thumbnail.h) */
static int image_thumbnail(lua_State *L) {
    ce_error err;
    uint8_t *bytes;
    size_t size;
    const ce_image *image = check_image(L, 1);
    lua_Integer side = luaL_checkinteger(L, 2), quality = luaL_optinteger(L, 3, 80);
    luaL_argcheck(L, side >= 1 && side <= INT_MAX, 2, "out of range");
    luaL_argcheck(L, quality >= 1 && quality <= 100, 3, "must be from 1 to 100");
    void **h = ce_lua_holder(L, free);
    if (ce_thumbnail(&bytes, &size, image, (int)side, (int)quality, &err) < 0)
        return ce_lua_raise(L, &err);
    *h = bytes;
    lua_pushlstring(L, (const char *)bytes, size);
    return 1;
}

static int image_index(lua_State *L) {
    const ce_image *image = luaL_checkudata(L, 1, TYPE);
    const char *key = luaL_checkstring(L, 2);
    if (!strcmp(key, "width"))
        lua_pushinteger(L, image->width);
    else if (!strcmp(key, "height"))
        lua_pushinteger(L, image->height);
    else
        return ce_lua_index_methods(L);
    return 1;
}

static int image_tostring(lua_State *L) {
    const ce_image *image = luaL_checkudata(L, 1, TYPE);
    if (image->pixels)
        lua_pushfstring(L, "image %d x %d", image->width, image->height);
    else
        lua_pushliteral(L, "image (closed)");
    return 1;
}

static int image_close(lua_State *L) {
    ce_image_free(luaL_checkudata(L, 1, TYPE));
    return 0;
}

static const luaL_Reg METHODS[] = {{"pixel", image_pixel},
                                   {"resize", image_resize},
                                   {"bytes", image_bytes},
                                   {"thumbnail", image_thumbnail},
                                   {NULL, NULL}};

static const luaL_Reg META[] = {
    {"__index", image_index}, {"__tostring", image_tostring}, {NULL, NULL}};

int luaopen_clipeval_image(lua_State *L) {
    ce_lua_type(L, TYPE, METHODS, META, image_close);
    lua_pushcfunction(L, image_new);
    lua_setfield(L, -2, "image");
    return 0;
}

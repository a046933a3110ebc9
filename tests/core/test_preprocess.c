/* Resize, crop, pad and normalise, against what open_clip, openai/CLIP and transformers
 * make of the same pictures (tests/golden/preprocess, all of them in the shared reference
 * data), against a naive twin of the resampler, and against the libraries' definitions. */
#include "preprocess.h"

#include "golden.h"
#include "stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const double clip_mean[3] = {0.48145466, 0.4578275, 0.40821073};
static const double clip_std[3] = {0.26862954, 0.26130258, 0.27577711};

/* The recipe that a reference name such as "openclip-longest-bilinear-fill200-32" means. */
static ce_preprocess recipe_of(const char *name) {
    const char *last = strrchr(name, '-');
    int size = atoi(last + 1);
    ce_preprocess r = {
        .resize_mode = strstr(name, "squash")    ? CE_RESIZE_SQUASH
                       : strstr(name, "longest") ? CE_RESIZE_LONGEST
                                                 : CE_RESIZE_SHORTEST,
        .interpolation = strstr(name, "bilinear") ? CE_BILINEAR : CE_BICUBIC,
        .resize_width = size,
        .resize_height = size,
        .width = size,
        .height = size,
        .crop_rounding = strncmp(name, "hf-", 3) == 0 ? CE_CROP_FLOOR : CE_CROP_HALF_EVEN,
        .fill = strstr(name, "fill200") ? 200 : 0,
        .rescale = 1 / 255.0,
    };
    memcpy(r.mean, clip_mean, sizeof clip_mean);
    memcpy(r.std, clip_std, sizeof clip_std);
    return r;
}

static ce_image image_of(const golden_tensor *t) {
    return (ce_image){(int)t->shape[1], (int)t->shape[0], (uint8_t *)(uintptr_t)t->data};
}

/* How many elements of the result differ from `want`; -1 where it fails. */
static long differences(const char *recipe, const golden_tensor *picture,
                        const golden_tensor *want) {
    ce_preprocess r = recipe_of(recipe);
    ce_image image = image_of(picture);
    ce_error err;
    size_t count = (size_t)r.width * (size_t)r.height * 3;
    bool floats = strcmp(want->dtype, "F32") == 0;
    assert_int_equal(ce_preprocess_check(&r, recipe, &err), 0);
    assert_true(want->count == count);
    uint8_t *bytes = malloc(count);
    float *values = malloc(count * sizeof *values);
    int rc = floats ? ce_preprocess_image(values, &r, &image, &err)
                    : ce_preprocess_bytes(bytes, &r, &image, &err);
    long n = rc < 0 ? -1 : 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        n += floats ? memcmp(&values[i], (const float *)want->data + i, sizeof *values) != 0
                    : bytes[i] != ((const uint8_t *)want->data)[i];
    free(bytes);
    free(values);
    return n;
}

static void golden_recipes_are_equal_to_the_byte(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    golden_file *pictures =
        golden_open(golden_path(path, sizeof path, "images/decoded.safetensors"));
    golden_file *expected =
        golden_open(golden_path(path, sizeof path, "preprocess/expected.safetensors"));
    assert_non_null(pictures);
    assert_non_null(expected);
    int cases = 0;
    for (void *i = golden_first(expected); i; i = golden_next(expected, i)) {
        char recipe[64], key[128];
        golden_tensor want, picture;
        if (!golden_find(expected, golden_name(i), &want))
            continue;
        const char *slash = strchr(golden_name(i), '/');
        snprintf(recipe, sizeof recipe, "%.*s", (int)(slash - golden_name(i)),
                 golden_name(i));
        snprintf(key, sizeof key, "decoded%s", slash);
        assert_true(golden_find(pictures, key, &picture));
        if (differences(recipe, &picture, &want) != 0)
            fail_msg("%s", golden_name(i));
        cases++;
    }
    assert_true(cases > 60);
    golden_close(pictures);
    golden_close(expected);
}

static void compare_recipe(const char *recipe, json_t *about, const golden_file *pictures) {
    char path[GOLDEN_PATH], name[128];
    snprintf(name, sizeof name, "preprocess/%s.safetensors", recipe);
    golden_file *expected = golden_open(shared_path(path, sizeof path, name));
    assert_non_null(expected);
    golden_tensor want, picture;
    for (void *i = golden_first(expected); i; i = golden_next(expected, i)) {
        if (!golden_find(expected, golden_name(i), &want))
            continue;
        assert_true(golden_find(pictures, golden_name(i), &picture));
        if (differences(recipe, &picture, &want) != 0)
            fail_msg("%s of %s", recipe, golden_name(i));
    }
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(about, "errors"), key, value) {
        assert_true(golden_find(pictures, key, &picture));
        ce_image image = image_of(&picture);
        ce_preprocess r = recipe_of(recipe);
        uint8_t *bytes = malloc((size_t)r.width * (size_t)r.height * 3);
        ce_error err;
        assert_int_equal(ce_preprocess_bytes(bytes, &r, &image, &err), CE_EFORMAT);
        free(bytes);
    }
    golden_close(expected);
}

static void shared_recipes_are_equal_to_the_byte(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    const char *shared = shared_path(path, sizeof path, "preprocess/recipes.json");
    if (!shared) {
        print_message("no shared reference data: preprocess/ is skipped\n");
        skip();
    }
    json_t *listing = golden_json(shared);
    golden_file *pictures =
        golden_open(shared_path(path, sizeof path, "preprocess/decoded.safetensors"));
    assert_non_null(listing);
    assert_non_null(pictures);
    const char *recipe;
    json_t *about;
    json_object_foreach(json_object_get(listing, "recipes"), recipe, about) {
        if (strncmp(recipe, "decoded", 7) != 0)
            compare_recipe(recipe, about, pictures);
    }
    json_decref(listing);
    golden_close(pictures);
}

static ce_image noise(int width, int height, uint64_t seed) {
    ce_image image = {width, height, malloc((size_t)width * (size_t)height * 3)};
    ce_random random = {seed};
    for (size_t i = 0; i < (size_t)width * (size_t)height * 3; i++)
        image.pixels[i] = (uint8_t)ce_random_next(&random);
    return image;
}

/* The naive twin: one result sample of one axis, straight from the definition. */
static uint8_t resampled(const uint8_t *in, int stride, int size, int out, int i,
                         bool cubic) {
    double scale = (double)size / out, blur = scale > 1 ? scale : 1;
    double center = (i + 0.5) * scale, support = (cubic ? 2 : 1) * blur;
    int from = (int)fmax(center - support + 0.5, 0);
    int to = (int)fmin(center + support + 0.5, size);
    double weight[4096], sum = 0;
    for (int k = from; k < to; k++) {
        double x = fabs((k - center + 0.5) * (1 / blur)), w;
        if (cubic)
            w = x < 1   ? (1.5 * x - 2.5) * x * x + 1
                : x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5
                        : 0;
        else
            w = x < 1 ? 1 - x : 0;
        sum += weight[k] = w;
    }
    int64_t total = 1 << 21;
    for (int k = from; k < to; k++) {
        double w = weight[k] / sum * (1 << 22);
        total += in[k * stride] * (int64_t)(w < 0 ? w - 0.5 : w + 0.5);
    }
    total >>= 22;
    return (uint8_t)(total < 0 ? 0 : total > 255 ? 255 : total);
}

static ce_image twin_pass(ce_image in, int width, int height, bool across, bool cubic) {
    ce_image out = {width, height, malloc((size_t)width * (size_t)height * 3)};
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                const uint8_t *p = in.pixels + c + (across ? 3 * in.width * y : 3 * x);
                out.pixels[3 * (width * y + x) + c] =
                    across ? resampled(p, 3, in.width, width, x, cubic)
                           : resampled(p, 3 * in.width, in.height, height, y, cubic);
            }
    free(in.pixels);
    return out;
}

static ce_image twin(int w, int h, uint64_t seed, int width, int height, bool cubic) {
    ce_image image = noise(w, h, seed);
    bool rows_first = h - height > 0 && h - height > 2 * (w - width);
    if (rows_first)
        image = twin_pass(image, w, height, false, cubic);
    if (w != width)
        image = twin_pass(image, width, image.height, true, cubic);
    if (!rows_first && h != height)
        image = twin_pass(image, width, height, false, cubic);
    return image;
}

static void resize_is_its_naive_twin(void **state) {
    (void)state;
    static const int sizes[][4] = {{1, 1, 5, 7},     {40, 30, 40, 30}, {40, 30, 40, 17},
                                   {40, 30, 22, 30}, {3, 200, 30, 11}, {300, 2, 9, 33},
                                   {64, 90, 31, 30}, {90, 64, 300, 3}, {17, 600, 16, 2},
                                   {600, 3, 520, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int cubic = 0; cubic < 2; cubic++) {
            const int *s = sizes[i];
            ce_image in = noise(s[0], s[1], i), out;
            ce_image want = twin(s[0], s[1], i, s[2], s[3], cubic);
            ce_error err;
            assert_int_equal(ce_image_resize(&out, &in, s[2], s[3],
                                             cubic ? CE_BICUBIC : CE_BILINEAR, &err),
                             0);
            assert_memory_equal(out.pixels, want.pixels, (size_t)s[2] * (size_t)s[3] * 3);
            ce_image_free(&in);
            ce_image_free(&out);
            ce_image_free(&want);
        }
}

/* Whatever is left out because the crop throws it away changes nothing. */
static void a_crop_is_a_part_of_the_whole(void **state) {
    (void)state;
    static const int sizes[][2] = {{61, 200}, {200, 61}, {33, 47}, {50, 900}, {300, 301}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ce_image in = noise(sizes[i][0], sizes[i][1], i), whole;
        ce_preprocess r = recipe_of("clip-shortest-bicubic-48");
        r.width = 31;
        r.height = 20;
        int shorter = in.width < in.height ? in.width : in.height;
        int width = 48 * in.width / shorter, height = 48 * in.height / shorter;
        int x = (int)rint((width - 31) / 2.0), y = (int)rint((height - 20) / 2.0);
        uint8_t bytes[31 * 20 * 3];
        ce_error err;
        assert_int_equal(ce_image_resize(&whole, &in, width, height, CE_BICUBIC, &err), 0);
        assert_int_equal(ce_preprocess_bytes(bytes, &r, &in, &err), 0);
        for (int row = 0; row < 20; row++)
            assert_memory_equal(bytes + row * 31 * 3,
                                whole.pixels + 3 * ((y + row) * width + x), 31 * 3);
        ce_image_free(&in);
        ce_image_free(&whole);
    }
}

/* A picture of `have` x 1 whose pixels count from 1, cropped or padded to `want` x 1. */
static void crop_row(uint8_t *first, int *first_at, int have, int want,
                     ce_crop_rounding how) {
    uint8_t *pixels = malloc((size_t)have * 3), *out = malloc((size_t)want * 3);
    for (int i = 0; i < have * 3; i++)
        pixels[i] = (uint8_t)(i / 3 + 1);
    ce_image image = {have, 1, pixels};
    ce_preprocess r = {.resize_mode = CE_RESIZE_NONE,
                       .width = want,
                       .height = 1,
                       .crop_rounding = how,
                       .fill = 0};
    ce_error err;
    assert_int_equal(ce_preprocess_bytes(out, &r, &image, &err), 0);
    *first_at = 0;
    while (*first_at < want && out[3 * *first_at] == 0)
        ++*first_at;
    *first = out[3 * *first_at];
    free(pixels);
    free(out);
}

/* torchvision: int(round(excess / 2)), floor(missing / 2) before; transformers: floor of
 * excess / 2, ceil(missing / 2) before. Excess 0 to 4, then missing 1 to 4. */
static void crop_offsets_round_as_each_library_does(void **state) {
    (void)state;
    static const int torchvision[] = {0, 0, 1, 2, 2}, transformers[] = {0, 0, 1, 1, 2};
    static const int pad_torchvision[] = {0, 1, 1, 2}, pad_transformers[] = {1, 1, 2, 2};
    uint8_t first;
    int at;
    for (int excess = 0; excess < 5; excess++) {
        crop_row(&first, &at, 10 + excess, 10, CE_CROP_HALF_EVEN);
        assert_int_equal(first, 1 + torchvision[excess]);
        crop_row(&first, &at, 10 + excess, 10, CE_CROP_FLOOR);
        assert_int_equal(first, 1 + transformers[excess]);
    }
    for (int missing = 1; missing < 5; missing++) {
        crop_row(&first, &at, 10, 10 + missing, CE_CROP_HALF_EVEN);
        assert_int_equal(at, pad_torchvision[missing - 1]);
        crop_row(&first, &at, 10, 10 + missing, CE_CROP_FLOOR);
        assert_int_equal(at, pad_transformers[missing - 1]);
    }
}

static void padding_has_the_fill_colour(void **state) {
    (void)state;
    ce_image in = noise(4, 2, 1);
    ce_preprocess r = recipe_of("openclip-longest-bicubic-4");
    r.fill = 77;
    uint8_t out[4 * 4 * 3];
    ce_error err;
    assert_int_equal(ce_preprocess_bytes(out, &r, &in, &err), 0);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(out[i], 77);
        assert_int_equal(out[36 + i], 77);
    }
    assert_memory_equal(out + 12, in.pixels, 24);
    ce_image_free(&in);
}

/* Both libraries' way to 0..1: transformers' float64 product, torchvision's quotient. */
static void a_byte_over_255_is_the_same_float_both_ways(void **state) {
    (void)state;
    for (int b = 0; b < 256; b++)
        assert_true((float)(b * (1 / 255.0)) == (float)b / 255.0f);
}

static void normalised_values_are_float32_channel_by_channel(void **state) {
    (void)state;
    ce_image in = noise(6, 5, 9);
    ce_preprocess r = recipe_of("hf-shortest-bicubic-5");
    r.resize_mode = CE_RESIZE_NONE;
    r.width = 6;
    r.rescale = 1 / 127.5;
    float out[3 * 30];
    ce_error err;
    assert_int_equal(ce_preprocess_image(out, &r, &in, &err), 0);
    for (size_t i = 0; i < 30; i++)
        for (size_t c = 0; c < 3; c++) {
            float scaled = (float)(in.pixels[3 * i + c] * (1 / 127.5));
            assert_true(out[30 * c + i] ==
                        (scaled - (float)clip_mean[c]) / (float)clip_std[c]);
        }
    ce_image_free(&in);
}

static void a_strip_that_cannot_be_resized_is_an_error(void **state) {
    (void)state;
    ce_image in = {1, 20000000, calloc(20000000, 3)};
    ce_preprocess r = recipe_of("clip-shortest-bicubic-336");
    uint8_t *out = malloc(336 * 336 * 3);
    ce_error err = {0};
    assert_int_equal(ce_preprocess_bytes(out, &r, &in, &err), CE_EFORMAT);
    assert_non_null(strstr(err.message, "1x20000000"));
    free(out);
    ce_image_free(&in);
}

static void wrong_recipes_are_refused_by_name(void **state) {
    (void)state;
    ce_preprocess good = recipe_of("clip-shortest-bicubic-224"), r[9];
    ce_error err = {0};
    for (size_t i = 0; i < 9; i++)
        r[i] = good;
    r[0].width = 0;
    r[1].height = CE_PREPROCESS_MAX_SIDE + 1;
    r[2].resize_width = -1;
    r[3].resize_height = 225;
    r[4].fill = 256;
    r[5].std[1] = 0;
    r[6].std[2] = NAN;
    r[7].mean[0] = INFINITY;
    r[8].rescale = NAN;
    assert_int_equal(ce_preprocess_check(&good, "p.json", &err), 0);
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(ce_preprocess_check(&r[i], "p.json", &err), CE_EFORMAT);
        assert_non_null(strstr(err.message, "p.json: "));
    }
    assert_int_equal(ce_image_resize(&(ce_image){0}, &(ce_image){1, 1, (uint8_t[3]){0}}, 0,
                                     1, CE_BICUBIC, &err),
                     CE_EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_recipes_are_equal_to_the_byte),
        cmocka_unit_test(shared_recipes_are_equal_to_the_byte),
        cmocka_unit_test(resize_is_its_naive_twin),
        cmocka_unit_test(a_crop_is_a_part_of_the_whole),
        cmocka_unit_test(crop_offsets_round_as_each_library_does),
        cmocka_unit_test(padding_has_the_fill_colour),
        cmocka_unit_test(a_byte_over_255_is_the_same_float_both_ways),
        cmocka_unit_test(normalised_values_are_float32_channel_by_channel),
        cmocka_unit_test(a_strip_that_cannot_be_resized_is_an_error),
        cmocka_unit_test(wrong_recipes_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

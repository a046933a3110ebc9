/* The ResNet tower beside a naive twin in float64: direct convolution, batch norm left
 * where it is, every key and value computed. Weights and pictures are random, sizes odd. */
#include "linear.h"
#include "model.h"
#include "random_floats.h"
#include "scratch.h"
#include "team.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

/* ---- a checkpoint in memory: the tensors are found again by their names ---- */

enum { MAX_TENSORS = 512 };
typedef struct stored {
    char name[96], shape[64];
    float *values;
    size_t count;
} stored;
static stored tensors[MAX_TENSORS];
static size_t tensor_count;

static const float *values_of(const char *prefix, const char *name) {
    char full[96];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    for (size_t i = 0; i < tensor_count; i++)
        if (strcmp(tensors[i].name, full) == 0)
            return tensors[i].values;
    fail_msg("no tensor %s", full);
    return NULL;
}

/* [a], [a, b] or [a, b, kernel, kernel]; values in centre +- spread. */
static void add(const char *prefix, const char *name, size_t a, size_t b, size_t kernel,
                double centre, double spread) {
    assert_true(tensor_count < MAX_TENSORS);
    stored *t = &tensors[tensor_count++];
    snprintf(t->name, sizeof t->name, "%s%s", prefix, name);
    t->shape[0] = '\0';
    int n = a ? snprintf(t->shape, sizeof t->shape, "%zu", a) : 0;
    if (b)
        n += snprintf(t->shape + n, sizeof t->shape - (size_t)n, ",%zu", b);
    if (kernel)
        snprintf(t->shape + n, sizeof t->shape - (size_t)n, ",%zu,%zu", kernel, kernel);
    t->count = (a ? a : 1) * (b ? b : 1) * (kernel ? kernel * kernel : 1);
    t->values = malloc(t->count * sizeof *t->values);
    for (size_t i = 0; i < t->count; i++)
        t->values[i] = (float)(centre + spread * uniform());
}

static void add_linear(const char *prefix, const char *name, size_t out, size_t in) {
    char part[64];
    snprintf(part, sizeof part, "%s.weight", name);
    add(prefix, part, out, in, 0, in ? 0 : 1, in ? sqrt(3 / (double)in) : 0.2);
    snprintf(part, sizeof part, "%s.bias", name);
    add(prefix, part, out, 0, 0, 0, 0.2);
}

static void add_conv(const char *prefix, const char *conv, const char *norm, size_t out,
                     size_t in, size_t kernel) {
    char part[64];
    snprintf(part, sizeof part, "%s.weight", conv);
    add(prefix, part, out, in, kernel, 0, sqrt(3 / (double)(in * kernel * kernel)));
    add_linear(prefix, norm, out, 0);
    snprintf(part, sizeof part, "%s.running_mean", norm);
    add(prefix, part, out, 0, 0, 0, 0.3);
    snprintf(part, sizeof part, "%s.running_var", norm);
    add(prefix, part, out, 0, 0, 1, 0.7);
}

typedef struct variant {
    size_t height, width, channels, head_width, embed_dim, blocks[4], n;
} variant;

static size_t halved(size_t n) {
    return (n + 1) / 2; /* the stem's first convolution; pools round down */
}

static void add_vision(const variant *v) {
    size_t half = v->channels / 2, in = v->channels;
    size_t positions = halved(v->height) / 16 * (halved(v->width) / 16);
    add_conv("visual.", "conv1", "bn1", half, 3, 3);
    add_conv("visual.", "conv2", "bn2", half, half, 3);
    add_conv("visual.", "conv3", "bn3", in, half, 3);
    for (size_t stage = 0; stage < 4; stage++)
        for (size_t i = 0; i < v->blocks[stage]; i++) {
            char prefix[64];
            size_t planes = v->channels << stage;
            snprintf(prefix, sizeof prefix, "visual.layer%zu.%zu.", stage + 1, i);
            add_conv(prefix, "conv1", "bn1", planes, in, 1);
            add_conv(prefix, "conv2", "bn2", planes, planes, 3);
            add_conv(prefix, "conv3", "bn3", planes * 4, planes, 1);
            if (i == 0)
                add_conv(prefix, "downsample.0", "downsample.1", planes * 4, in, 1);
            in = planes * 4;
        }
    add("visual.attnpool.", "positional_embedding", positions + 1, in, 0, 0, 1);
    add_linear("visual.attnpool.", "q_proj", in, in);
    add_linear("visual.attnpool.", "k_proj", in, in);
    add_linear("visual.attnpool.", "v_proj", in, in);
    add_linear("visual.attnpool.", "c_proj", v->embed_dim, in);
}

static void add_text(const variant *v) {
    add("", "logit_scale", 0, 0, 0, 1, 0);
    add("", "token_embedding.weight", 49408, 8, 0, 0, 1);
    add("", "positional_embedding", 77, 8, 0, 0, 1);
    add("", "text_projection", 8, v->embed_dim, 0, 0, 1);
    add_linear("", "ln_final", 8, 0);
    add_linear("transformer.resblocks.0.", "ln_1", 8, 0);
    add_linear("transformer.resblocks.0.", "ln_2", 8, 0);
    add("transformer.resblocks.0.", "attn.in_proj_weight", 24, 8, 0, 0, 1);
    add("transformer.resblocks.0.", "attn.in_proj_bias", 24, 0, 0, 0, 1);
    add_linear("transformer.resblocks.0.", "attn.out_proj", 8, 8);
    add_linear("transformer.resblocks.0.", "mlp.c_fc", 32, 8);
    add_linear("transformer.resblocks.0.", "mlp.c_proj", 8, 32);
}

static void write_tensors(void) {
    FILE *f = fopen(scratch_path("open_clip_model.safetensors"), "wb+");
    assert_non_null(f);
    size_t offset = 0;
    assert_int_equal(fseek(f, 8, SEEK_SET), 0);
    for (size_t i = 0; i < tensor_count; i++) {
        size_t end = offset + tensors[i].count * 4;
        fprintf(f, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                i ? "," : "{", tensors[i].name, tensors[i].shape, offset, end);
        offset = end;
    }
    fputc('}', f);
    uint64_t length = (uint64_t)ftell(f) - 8;
    for (size_t i = 0; i < tensor_count; i++)
        assert_int_equal(fwrite(tensors[i].values, 4, tensors[i].count, f),
                         tensors[i].count);
    rewind(f);
    assert_int_equal(fwrite(&length, 8, 1, f), 1);
    assert_int_equal(fclose(f), 0);
}

static ce_model *open_variant(const variant *v) {
    char config[512];
    int n = snprintf(config, sizeof config,
                     "{\"model_cfg\":{\"embed_dim\":%zu,\"vision_cfg\":{\"image_size\":"
                     "[%zu,%zu],\"layers\":[%zu,%zu,%zu,%zu],\"width\":%zu,\"head_width\":"
                     "%zu,\"patch_size\":null},\"text_cfg\":{\"context_length\":77,"
                     "\"vocab_size\":49408,\"width\":8,\"heads\":1,\"layers\":1}},"
                     "\"preprocess_cfg\":{\"resize_mode\":\"squash\"}}",
                     v->embed_dim, v->height, v->width, v->blocks[0], v->blocks[1],
                     v->blocks[2], v->blocks[3], v->channels, v->head_width);
    assert_non_null(scratch_write("open_clip_config.json", config, (size_t)n));
    add_vision(v);
    add_text(v);
    write_tensors();
    ce_model *model;
    ce_error err = {0};
    if (ce_model_open(&model, scratch_directory, NULL, &err) < 0)
        fail_msg("%s", err.message);
    return model;
}

static void free_tensors(void) {
    while (tensor_count > 0)
        free(tensors[--tensor_count].values);
}

/* ---- the twin: one picture, [channel, row, column], as PyTorch keeps it ---- */

typedef struct map {
    size_t channels, height, width;
    double *x;
} map;

static map map_new(size_t channels, size_t height, size_t width) {
    return (map){channels, height, width,
                 calloc(channels * height * width, sizeof(double))};
}

/* Convolution and batch norm; `from` is freed when `last` use of it. */
static map twin_conv(map from, const char *prefix, const char *conv, const char *norm,
                     size_t out, size_t kernel, size_t stride, bool relu, bool last) {
    char part[5][64];
    snprintf(part[0], sizeof part[0], "%s.weight", conv);
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
    for (size_t i = 0; i < 4; i++)
        snprintf(part[i + 1], sizeof part[0], "%s.%s", norm, names[i]);
    const float *w = values_of(prefix, part[0]), *gain = values_of(prefix, part[1]);
    const float *bias = values_of(prefix, part[2]), *mean = values_of(prefix, part[3]);
    const float *variance = values_of(prefix, part[4]);
    size_t pad = kernel / 2;
    map to = map_new(out, (from.height + 2 * pad - kernel) / stride + 1,
                     (from.width + 2 * pad - kernel) / stride + 1);
    for (size_t o = 0, at = 0; o < out; o++)
        for (size_t y = 0; y < to.height; y++)
            for (size_t x = 0; x < to.width; x++, at++) {
                double sum = 0;
                for (size_t i = 0; i < from.channels; i++)
                    for (size_t k = 0; k < kernel * kernel; k++) {
                        long sy = (long)(y * stride + k / kernel) - (long)pad;
                        long sx = (long)(x * stride + k % kernel) - (long)pad;
                        if (sy >= 0 && sx >= 0 && sy < (long)from.height &&
                            sx < (long)from.width)
                            sum += w[(o * from.channels + i) * kernel * kernel + k] *
                                   from.x[(i * from.height + (size_t)sy) * from.width +
                                          (size_t)sx];
                    }
                sum = (sum - mean[o]) / sqrt(variance[o] + 1e-5) * gain[o] + bias[o];
                to.x[at] = relu && sum < 0 ? 0 : sum;
            }
    if (last)
        free(from.x);
    return to;
}

static map twin_pool(map from, bool last) {
    map to = map_new(from.channels, from.height / 2, from.width / 2);
    for (size_t c = 0, at = 0; c < to.channels; c++)
        for (size_t y = 0; y < to.height; y++)
            for (size_t x = 0; x < to.width; x++, at++)
                for (size_t k = 0; k < 4; k++)
                    to.x[at] += from.x[(c * from.height + 2 * y + k / 2) * from.width +
                                       2 * x + k % 2] /
                                4;
    if (last)
        free(from.x);
    return to;
}

static map twin_bottleneck(map from, const char *prefix, size_t planes, bool first,
                           bool strided) {
    map x = twin_conv(from, prefix, "conv1", "bn1", planes, 1, 1, true, false);
    x = twin_conv(x, prefix, "conv2", "bn2", planes, 3, 1, true, true);
    x = strided ? twin_pool(x, true) : x;
    x = twin_conv(x, prefix, "conv3", "bn3", planes * 4, 1, 1, false, true);
    if (strided)
        from = twin_pool(from, true);
    if (first)
        from = twin_conv(from, prefix, "downsample.0", "downsample.1", planes * 4, 1, 1,
                         false, true);
    for (size_t i = 0; i < x.channels * x.height * x.width; i++)
        x.x[i] = fmax(0, x.x[i] + from.x[i]);
    free(from.x);
    return x;
}

static void twin_linear(double *y, const double *x, const char *name, size_t out,
                        size_t in) {
    char part[2][64];
    snprintf(part[0], sizeof part[0], "%s.weight", name);
    snprintf(part[1], sizeof part[1], "%s.bias", name);
    const float *w = values_of("visual.attnpool.", part[0]);
    const float *bias = values_of("visual.attnpool.", part[1]);
    for (size_t o = 0; o < out; o++) {
        y[o] = bias[o];
        for (size_t i = 0; i < in; i++)
            y[o] += w[o * in + i] * x[i];
    }
}

static void twin_attention(double *out, map f, const variant *v) {
    size_t width = f.channels, count = f.height * f.width, tokens = count + 1;
    size_t heads = v->channels * 32 / v->head_width, size = width / heads;
    const float *positions = values_of("visual.attnpool.", "positional_embedding");
    double *x = calloc(tokens * width, sizeof *x), *k = calloc(tokens * width, sizeof *k);
    double *q = calloc(width, sizeof *q), *mixed = calloc(width, sizeof *mixed);
    double *values = calloc(tokens * width, sizeof *values);
    double *p = calloc(tokens, sizeof *p);
    for (size_t c = 0; c < width; c++)
        for (size_t t = 0; t < count; t++) {
            x[(t + 1) * width + c] = f.x[c * count + t];
            x[c] += f.x[c * count + t] / (double)count;
        }
    for (size_t i = 0; i < tokens * width; i++)
        x[i] += positions[i];
    twin_linear(q, x, "q_proj", width, width);
    for (size_t t = 0; t < tokens; t++) {
        twin_linear(k + t * width, x + t * width, "k_proj", width, width);
        twin_linear(values + t * width, x + t * width, "v_proj", width, width);
    }
    for (size_t h = 0; h < heads; h++) {
        double sum = 0;
        for (size_t t = 0; t < tokens; t++) {
            double score = 0;
            for (size_t i = h * size; i < (h + 1) * size; i++)
                score += q[i] * k[t * width + i];
            sum += p[t] = exp(score / sqrt((double)size));
        }
        for (size_t t = 0; t < tokens; t++)
            for (size_t i = h * size; i < (h + 1) * size; i++)
                mixed[i] += p[t] / sum * values[t * width + i];
    }
    twin_linear(out, mixed, "c_proj", v->embed_dim, width);
    free(x);
    free(k);
    free(q);
    free(mixed);
    free(values);
    free(p);
}

static void twin_encode(double *out, const float *pixels, const variant *v) {
    map x = map_new(3, v->height, v->width);
    for (size_t i = 0; i < 3 * v->height * v->width; i++)
        x.x[i] = pixels[i];
    x = twin_conv(x, "visual.", "conv1", "bn1", v->channels / 2, 3, 2, true, true);
    x = twin_conv(x, "visual.", "conv2", "bn2", v->channels / 2, 3, 1, true, true);
    x = twin_conv(x, "visual.", "conv3", "bn3", v->channels, 3, 1, true, true);
    x = twin_pool(x, true);
    for (size_t stage = 0; stage < 4; stage++)
        for (size_t i = 0; i < v->blocks[stage]; i++) {
            char prefix[64];
            snprintf(prefix, sizeof prefix, "visual.layer%zu.%zu.", stage + 1, i);
            x = twin_bottleneck(x, prefix, v->channels << stage, i == 0,
                                stage > 0 && i == 0);
        }
    twin_attention(out, x, v);
    free(x.x);
}

/* ---- tests ---- */

static const variant variants[] = {
    {43, 57, 6, 16, 10, {1, 1, 1, 1}, 1}, {64, 64, 8, 64, 24, {2, 1, 2, 1}, 5},
    {33, 97, 4, 32, 7, {1, 2, 1, 1}, 3},  {32, 32, 10, 20, 33, {1, 1, 1, 2}, 9},
    {100, 71, 6, 8, 16, {1, 1, 1, 1}, 2},
};

static float *random_pixels(const variant *v) {
    size_t n = v->n * 3 * v->height * v->width;
    float *pixels = malloc(n * sizeof *pixels);
    for (size_t i = 0; i < n; i++)
        pixels[i] = (float)(2 * uniform());
    return pixels;
}

static void compare(const variant *v, const float *out, const float *pixels) {
    double truth[64], worst = 0, size = 0;
    for (size_t i = 0; i < v->n; i++) {
        twin_encode(truth, pixels + i * 3 * v->height * v->width, v);
        for (size_t c = 0; c < v->embed_dim; c++) {
            worst = fmax(worst, fabs(truth[c] - out[i * v->embed_dim + c]));
            size = fmax(size, fabs(truth[c]));
            assert_true(isfinite(out[i * v->embed_dim + c]) != 0);
        }
    }
    print_message("%zu x %zu, width %zu: off by %.2g of %.2g\n", v->width, v->height,
                  v->channels, worst, size);
    assert_true(worst <= 2e-5 * size);
}

static void embeddings_are_those_of_a_naive_twin(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof variants / sizeof *variants; k++) {
        const variant *v = &variants[k];
        ce_model *model = open_variant(v);
        ce_scratch *scratch;
        float *pixels = random_pixels(v), out[9 * 64];
        assert_int_equal(ce_scratch_new(&scratch, model, CE_IMAGE_TOWER, NULL), 0);
        assert_int_equal(ce_model_encode_images(model, out, pixels, v->n, scratch, NULL),
                         0);
        compare(v, out, pixels);
        ce_scratch_free(scratch);
        ce_model_free(model);
        free(pixels);
        free_tensors();
    }
}

static void bits_depend_on_neither_neighbours_nor_team(void **state) {
    (void)state;
    if (strncmp(ce_engine_description(), "OpenBLAS", 8) == 0) {
        print_message("OpenBLAS does not promise this: skipped\n");
        skip();
    }
    const variant *v = &variants[1];
    ce_model *model = open_variant(v);
    ce_scratch *scratch;
    size_t d = v->embed_dim, area = 3 * v->height * v->width;
    float *pixels = random_pixels(v), all[9 * 64], one[64];
    assert_int_equal(ce_scratch_new(&scratch, model, CE_IMAGE_TOWER, NULL), 0);
    assert_int_equal(ce_model_encode_images(model, all, pixels, v->n, scratch, NULL), 0);
    for (size_t members = 1; members < 6; members++) {
        ce_team *team = NULL;
        assert_int_equal(ce_team_new(&team, members, NULL), 0);
        ce_linear_use_team(members > 1 ? team : NULL);
        for (size_t i = 0; i < v->n; i++) {
            ce_model_encode_images(model, one, pixels + i * area, 1, scratch, NULL);
            assert_memory_equal(one, all + i * d, d * sizeof *one);
        }
        ce_linear_use_team(NULL);
        ce_team_free(team);
    }
    ce_scratch_free(scratch);
    ce_model_free(model);
    free(pixels);
    free_tensors();
}

int main(void) {
    print_message("engine: %s\n", ce_engine_description());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embeddings_are_those_of_a_naive_twin),
        cmocka_unit_test(bits_depend_on_neither_neighbours_nor_team),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

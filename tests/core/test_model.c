/* The towers against PyTorch in float64: every checkpoint of the reference data (and the
 * small copies in tests/golden), fed with the stored ids and pixels, so that neither the
 * tokenizer nor the decoders take part. */
#include "golden.h"
#include "linear.h"
#include "model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const models[] = {
    "clip-hf-quickgelu",
    "clip-hf-gelu-legacy",
    "clip-hf-bf16-sharded",
    "clip-hf-bin",
    "clip-hf-bin-legacy",
    "openclip-vit-gelu",
    "openclip-vit-quickgelu",
    "openclip-rn",
    "openai-vit",
    "openai-rn",
    "chinese-clip",
    "siglip",
    "tiny-chinese-clip",
    "tiny-clip-bin",
    "tiny-clip-bin-legacy",
    "tiny-clip-sharded",
    "tiny-openai-vit",
    "tiny-openclip-options",
    "tiny-openclip-rn",
    "tiny-siglip",
    "tiny-siglip-json",
    "pocket",
};

typedef struct fixture {
    char dir[GOLDEN_PATH];
    ce_model *model;
    ce_scratch *images, *texts;
    golden_file *expected;
    json_t *cases;
} fixture;

static const char *in_dir(char *buf, const fixture *f, const char *name) {
    snprintf(buf, GOLDEN_PATH + 64, "%s/%s", f->dir, name);
    return buf;
}

/* From the shared data where it is here, else from the small copy in tests/golden; false:
 * neither. The embedded model's own files lie in models/pocket. */
static bool open_fixture(fixture *f, const char *name) {
    memset(f, 0, sizeof *f);
    char relative[128], path[GOLDEN_PATH + 64];
    snprintf(relative, sizeof relative, "models/%s", name);
    const char *dir = shared_path(f->dir, sizeof f->dir, relative);
    if (!dir)
        dir = golden_path(f->dir, sizeof f->dir, relative);
    if (!dir || access(dir, R_OK) != 0) {
        print_message("%s: not here, skipped\n", name);
        return false;
    }
    bool embedded = strcmp(name, "pocket") == 0;
    ce_error err = {0};
    if (ce_model_open(&f->model, embedded ? CE_SOURCE_DIR "/models/pocket" : dir, NULL,
                      &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(ce_scratch_new(&f->images, f->model, CE_IMAGE_TOWER, &err), 0);
    assert_int_equal(ce_scratch_new(&f->texts, f->model, CE_TEXT_TOWER, &err), 0);
    f->expected = golden_open(in_dir(path, f, "expected.safetensors"));
    f->cases = golden_json(in_dir(path, f, "cases.json"));
    assert_non_null(f->expected);
    assert_non_null(f->cases);
    return true;
}

static void close_fixture(fixture *f) {
    ce_scratch_free(f->images);
    ce_scratch_free(f->texts);
    ce_model_free(f->model);
    golden_close(f->expected);
    json_decref(f->cases);
}

static double tolerance(const fixture *f, const char *what) {
    json_t *entry = json_object_get(json_object_get(f->cases, "suggested_tolerance"), what);
    return json_number_value(json_object_get(entry, "max_abs"));
}

static double worst_difference(const float *a, const float *b, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        worst = d > worst || isnan(d) ? d : worst;
    }
    return worst;
}

static golden_tensor expected(const fixture *f, const char *name) {
    golden_tensor t;
    assert_true(golden_find(f->expected, name, &t));
    return t;
}

/* The stored int64 ids as the tower takes them, padded with 0 where they are fewer than the
 * model's context; free it. */
static int32_t *ids_of(const fixture *f, const golden_tensor *t) {
    size_t context = (size_t)ce_model_get_info(f->model)->context, n = t->shape[1];
    int32_t *ids = calloc(t->shape[0] * context, sizeof *ids);
    assert_true(n <= context);
    for (size_t i = 0; i < t->count; i++)
        ids[i / n * context + i % n] = (int32_t)((const int64_t *)t->data)[i];
    return ids;
}

static void image_embeddings_are_those_of_the_reference(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        fixture f;
        if (!open_fixture(&f, models[i]))
            continue;
        golden_tensor pixels = expected(&f, "pixel_values"),
                      truth = expected(&f, "image_embeds");
        float *out = malloc(truth.count * sizeof *out);
        assert_int_equal(ce_model_encode_images(f.model, out, pixels.data, pixels.shape[0],
                                                f.images, NULL),
                         0);
        double worst = worst_difference(out, truth.data, truth.count);
        print_message("%s images: off by %.2g, allowed %.2g\n", models[i], worst,
                      tolerance(&f, "image_embeds"));
        assert_true(worst <= tolerance(&f, "image_embeds"));
        free(out);
        close_fixture(&f);
    }
}

static void text_embeddings_are_those_of_the_reference(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        fixture f;
        if (!open_fixture(&f, models[i]))
            continue;
        golden_tensor stored = expected(&f, "input_ids"),
                      truth = expected(&f, "text_embeds");
        int32_t *ids = ids_of(&f, &stored);
        float *out = malloc(truth.count * sizeof *out);
        assert_int_equal(
            ce_model_encode_tokens(f.model, out, ids, stored.shape[0], f.texts, NULL), 0);
        double worst = worst_difference(out, truth.data, truth.count);
        print_message("%s texts: off by %.2g, allowed %.2g\n", models[i], worst,
                      tolerance(&f, "text_embeds"));
        assert_true(worst <= tolerance(&f, "text_embeds"));
        free(ids);
        free(out);
        close_fixture(&f);
    }
}

static void an_embedding_does_not_depend_on_its_neighbours(void **state) {
    (void)state;
    if (strncmp(ce_engine_description(), "OpenBLAS", 8) == 0) {
        print_message("OpenBLAS does not promise this: skipped\n");
        skip();
    }
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        fixture f;
        if (!open_fixture(&f, models[i]))
            continue;
        golden_tensor pixels = expected(&f, "pixel_values"),
                      stored = expected(&f, "input_ids");
        size_t n = pixels.shape[0], texts = stored.shape[0];
        size_t context = (size_t)ce_model_get_info(f.model)->context;
        size_t d = (size_t)ce_model_get_info(f.model)->embed_dim, size = pixels.count / n;
        float *all = malloc((n + texts) * d * sizeof *all), *one = malloc(d * sizeof *one);
        int32_t *ids = ids_of(&f, &stored);
        ce_model_encode_images(f.model, all, pixels.data, n, f.images, NULL);
        for (size_t k = 0; k < n; k++) {
            ce_model_encode_images(f.model, one, (const float *)pixels.data + k * size, 1,
                                   f.images, NULL);
            assert_memory_equal(one, all + k * d, d * sizeof *one);
        }
        ce_model_encode_tokens(f.model, all, ids, texts, f.texts, NULL);
        for (size_t k = 0; k < texts; k++) {
            ce_model_encode_tokens(f.model, one, ids + k * context, 1, f.texts, NULL);
            assert_memory_equal(one, all + k * d, d * sizeof *one);
        }
        free(all);
        free(one);
        free(ids);
        close_fixture(&f);
    }
}

static void ids_outside_the_vocabulary_are_refused(void **state) {
    (void)state;
    fixture f;
    if (!open_fixture(&f, models[1]))
        skip();
    size_t context = (size_t)ce_model_get_info(f.model)->context;
    int32_t *ids = calloc(context, sizeof *ids);
    float *out = malloc((size_t)ce_model_get_info(f.model)->embed_dim * sizeof *out);
    int32_t bad[] = {-1, 2014, INT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        ce_error err;
        ids[1] = bad[i];
        assert_int_equal(ce_model_encode_tokens(f.model, out, ids, 1, f.texts, &err),
                         CE_EINVAL);
    }
    free(ids);
    free(out);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_embeddings_are_those_of_the_reference),
        cmocka_unit_test(text_embeddings_are_those_of_the_reference),
        cmocka_unit_test(an_embedding_does_not_depend_on_its_neighbours),
        cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

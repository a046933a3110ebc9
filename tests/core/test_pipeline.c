/* Many items on several threads: the same rows for any number of workers, problems stay
 * with their item, a raised flag stops the work. */
#include "golden.h"
#include "pipeline.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { N = 37, SIDE = 20 };

static ce_model *model;
static uint8_t pixels[N][SIDE * SIDE * 3];
static ce_picture pictures[N];

static int open_model(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    ce_error err;
    const char *dir = golden_path(path, sizeof path, "models/clip-hf-gelu-legacy");
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < sizeof pixels[i]; k++)
            pixels[i][k] = (uint8_t)(k * (i + 3) + i * 29);
        pictures[i] =
            (ce_picture){.pixels = pixels[i], .width = SIDE, .height = SIDE, .channels = 3};
    }
    return ce_model_open(&model, dir, NULL, &err);
}

static int close_model(void **state) {
    (void)state;
    ce_model_free(model);
    return 0;
}

static size_t dim(void) {
    return (size_t)ce_model_get_info(model)->embed_dim;
}

static float *encode(int threads, ce_item_status *status, int expected) {
    ce_pipeline_options options = {.threads = threads};
    float *embeds = calloc(N * dim(), sizeof *embeds);
    ce_error err = {0};
    int result = ce_encode_images(model, embeds, NULL, pictures, N, status, &options, &err);
    if (result != expected)
        fail_msg("%d: %s", result, err.message);
    return embeds;
}

static void rows_are_the_same_for_any_number_of_threads(void **state) {
    (void)state;
    ce_item_status status[N] = {0};
    float *one = encode(1, status, CE_OK);
    for (int threads = 2; threads < 9; threads += 3) {
        float *several = encode(threads, status, CE_OK);
        assert_memory_equal(one, several, N * dim() * sizeof *one);
        free(several);
    }
    for (size_t i = 0; i < N; i++)
        assert_true(status[i].done && !status[i].problem);
    free(one);
}

static void a_picture_that_cannot_be_read_is_its_own_problem(void **state) {
    (void)state;
    ce_item_status status[N] = {0};
    float *before = encode(2, status, CE_OK);
    ce_picture kept = pictures[5];
    pictures[5] = (ce_picture){.path = "/nonexistent/a.png"};
    float *after = encode(2, status, CE_OK);
    pictures[5] = kept;
    assert_non_null(strstr(status[5].problem, "/nonexistent/a.png"));
    assert_true(isnan(after[5 * dim()]));
    for (size_t i = 0; i < N; i++)
        if (i != 5)
            assert_memory_equal(before + i * dim(), after + i * dim(),
                                dim() * sizeof *before);
    free(status[5].problem);
    free(before);
    free(after);
}

static void pixels_that_cannot_be_are_the_caller_s_fault(void **state) {
    (void)state;
    ce_item_status status[N] = {0};
    pictures[3].channels = 2;
    free(encode(2, status, CE_EINVAL));
    pictures[3].channels = 3;
}

static void a_raised_flag_stops_the_work(void **state) {
    (void)state;
    ce_item_status status[N] = {0};
    atomic_bool cancel = true;
    ce_pipeline_options options = {.threads = 2, .cancel = &cancel};
    float *embeds = calloc(N * dim(), sizeof *embeds);
    assert_int_equal(
        ce_encode_images(model, embeds, NULL, pictures, N, status, &options, NULL),
        CE_ECANCELLED);
    for (size_t i = 0; i < N; i++)
        assert_false(status[i].done);
    free(embeds);
}

/* An embedding that overflows is no answer: weights and pixels may be finite and still do
 * this, so a deviation of 1e-40 stands for such a model. */
static void an_embedding_that_overflows_is_a_problem(void **state) {
    (void)state;
    ce_preprocess *recipe = (ce_preprocess *)&ce_model_get_info(model)->preprocess;
    ce_preprocess kept = *recipe;
    for (int c = 0; c < 3; c++)
        recipe->std[c] = 1e-40;
    ce_item_status status[N] = {0};
    float *embeds = encode(2, status, CE_OK);
    *recipe = kept;
    for (size_t i = 0; i < N; i++) {
        assert_non_null(status[i].problem);
        assert_non_null(strstr(status[i].problem, "overflows"));
        assert_true(isnan(embeds[i * dim()]));
        free(status[i].problem);
    }
    free(embeds);
}

static void invalid_text_is_its_own_problem(void **state) {
    (void)state;
    ce_text texts[] = {{"a cat", 5}, {"\xff\xfe", 2}, {"a cat", 5}};
    ce_item_status status[3] = {0};
    float *embeds = calloc(3 * dim(), sizeof *embeds);
    assert_int_equal(ce_encode_texts(model, embeds, NULL, texts, 3, status, NULL, NULL), 0);
    assert_non_null(status[1].problem);
    assert_memory_equal(embeds, embeds + 2 * dim(), dim() * sizeof *embeds);
    free(status[1].problem);
    free(embeds);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_same_for_any_number_of_threads),
        cmocka_unit_test(a_picture_that_cannot_be_read_is_its_own_problem),
        cmocka_unit_test(pixels_that_cannot_be_are_the_caller_s_fault),
        cmocka_unit_test(a_raised_flag_stops_the_work),
        cmocka_unit_test(an_embedding_that_overflows_is_a_problem),
        cmocka_unit_test(invalid_text_is_its_own_problem),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}

#include "retrieval.h"
#include "golden.h"
#include "metrics.h"
#include "score.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tasks.h"

static const ce_retrieval_options ALONE = {.threads = 1};

static void test_ranks_equal_the_reference(void **state) {
    (void)state;
    static const int ks[] = {1, 5, 10};
    for (int whole = 0; whole < 2; whole++) {
        tasks t;
        if (!tasks_open(&t, whole))
            continue;
        ce_matrix images = tasks_matrix(&t, "retrieval.image_embeds");
        ce_matrix texts = tasks_matrix(&t, "retrieval.text_embeds");
        golden_tensor owner = tasks_tensor(&t, "retrieval.text_image_index");
        golden_tensor of_text = tasks_tensor(&t, "retrieval.image_rank_of_text");
        golden_tensor of_image = tasks_tensor(&t, "retrieval.best_text_rank_of_image");
        const json_t *expected = json_object_get(t.cases, "retrieval");
        uint32_t *own = calloc(texts.rows, sizeof *own);
        uint32_t *ranks = calloc(texts.rows + images.rows, sizeof *ranks);
        ce_found *found = calloc(texts.rows + images.rows, sizeof *found);
        assert_true(own && ranks && found);
        for (size_t i = 0; i < texts.rows; i++)
            own[i] = tasks_integer(&owner, i);
        assert_int_equal(
            ce_retrieve(found + texts.rows, found, &images, &texts, own, &ALONE, NULL),
            CE_OK);
        for (size_t i = 0; i < texts.rows + images.rows; i++) {
            ranks[i] = found[i].rank;
            assert_int_equal(ranks[i], i < texts.rows
                                           ? tasks_integer(&of_text, i)
                                           : tasks_integer(&of_image, i - texts.rows));
        }
        for (size_t k = 0; k < 3; k++) {
            char key[40];
            snprintf(key, sizeof key, "image_retrieval_recall@%d", ks[k]);
            assert_true(fabs(ce_accuracy_at(ranks, texts.rows, (uint32_t)ks[k]) -
                             tasks_number(expected, key)) < 1e-15);
            snprintf(key, sizeof key, "text_retrieval_recall@%d", ks[k]);
            assert_true(
                fabs(ce_accuracy_at(ranks + texts.rows, images.rows, (uint32_t)ks[k]) -
                     tasks_number(expected, key)) < 1e-15);
        }
        free(found);
        free(ranks);
        free(own);
        tasks_close(&t);
    }
}

/* ---- the naive twin: the whole matrix, and the order of core/score.h ---- */

static ce_found naive_query(const float *scores, const bool *own, size_t n) {
    ce_found q = {CE_RANK_NONE, CE_RANK_NONE, CE_RANK_NONE, NAN, NAN, 0};
    for (size_t i = 0; i < n; i++) {
        if (own[i] && (q.rank == CE_RANK_NONE || ce_rank(scores, n, i) < q.rank)) {
            q.rank = (uint32_t)ce_rank(scores, n, i);
            q.own = (uint32_t)i;
            q.own_score = scores[i];
        }
        if (!isnan(scores[i]) && ce_rank(scores, n, i) == 0) {
            q.best = (uint32_t)i;
            q.best_score = scores[i];
        }
    }
    if (isnan(q.own_score))
        q.rank = CE_RANK_NONE;
    for (size_t i = 0; i < n; i++)
        q.tied += !own[i] && scores[i] == q.own_score;
    return q;
}

static void expect_equal(const ce_found *a, const ce_found *b) {
    assert_int_equal(a->rank, b->rank);
    assert_int_equal(a->own, b->own);
    assert_int_equal(a->best, b->best);
    assert_int_equal(a->tied, b->tied);
    assert_true(a->own_score == b->own_score ||
                (isnan(a->own_score) && isnan(b->own_score)));
    assert_true(a->best_score == b->best_score ||
                (isnan(a->best_score) && isnan(b->best_score)));
}

static void expect_twin(const ce_matrix *images, const ce_matrix *texts,
                        const uint32_t *owner, const ce_found *of_images,
                        const ce_found *of_texts) {
    ce_matrix by_text, by_image;
    bool *own = calloc(images->rows + texts->rows, sizeof *own);
    assert_non_null(own);
    assert_int_equal(ce_matrix_similarity(&by_text, texts, images, NULL), CE_OK);
    assert_int_equal(ce_matrix_similarity(&by_image, images, texts, NULL), CE_OK);
    for (size_t t = 0; t < texts->rows; t++) {
        for (size_t i = 0; i < images->rows; i++)
            own[i] = owner[t] == i;
        ce_found want = naive_query(ce_matrix_row(&by_text, t), own, images->rows);
        expect_equal(&of_texts[t], &want);
    }
    for (size_t i = 0; i < images->rows; i++) {
        for (size_t t = 0; t < texts->rows; t++)
            own[t] = owner[t] == i;
        ce_found want = naive_query(ce_matrix_row(&by_image, i), own, texts->rows);
        expect_equal(&of_images[i], &want);
    }
    ce_matrix_free(&by_text);
    ce_matrix_free(&by_image);
    free(own);
}

/* Small whole numbers, so that ties abound; now and then a row of NaN. */
static void fill(ce_matrix *m, unsigned *seed) {
    for (size_t i = 0; i < m->rows; i++) {
        for (size_t c = 0; c < m->cols; c++) {
            *seed = *seed * 1664525u + 1013904223u;
            ce_matrix_row(m, i)[c] = (float)(*seed >> 30) - 1;
        }
        if (*seed % 16 == 0)
            ce_matrix_row(m, i)[0] = NAN;
    }
}

static void compare_with_twin(size_t images_n, size_t texts_n, size_t dims, int threads,
                              unsigned seed) {
    ce_matrix images, texts;
    assert_int_equal(ce_matrix_init(&images, images_n, dims, NULL), CE_OK);
    assert_int_equal(ce_matrix_init(&texts, texts_n, dims, NULL), CE_OK);
    fill(&images, &seed);
    fill(&texts, &seed);
    uint32_t *owner = calloc(texts_n + 1, sizeof *owner);
    ce_found *found = calloc(images_n + texts_n + 1, sizeof *found);
    assert_true(owner && found);
    for (size_t t = 0; t < texts_n; t++) {
        seed = seed * 1664525u + 1013904223u;
        bool none = images_n == 0 || seed >> 28 == 0;
        owner[t] = none ? CE_RANK_NONE : (uint32_t)((seed >> 8) % images_n);
    }
    ce_retrieval_options options = {.threads = threads};
    assert_int_equal(
        ce_retrieve(found, found + images_n, &images, &texts, owner, &options, NULL),
        CE_OK);
    expect_twin(&images, &texts, owner, found, found + images_n);
    free(found);
    free(owner);
    ce_matrix_free(&images);
    ce_matrix_free(&texts);
}

static void test_ranks_equal_those_of_the_whole_matrix(void **state) {
    (void)state;
    for (unsigned round = 0; round < 60; round++)
        compare_with_twin(round % 11, round % 23, round % 5 + 1, 1, round);
}

static void test_blocks_and_threads_do_not_show(void **state) {
    (void)state;
    compare_with_twin(40, 2500, 3, 1, 1);
    compare_with_twin(40, 2500, 3, 3, 1);
    compare_with_twin(1100, 40, 70, 2, 2);
}

static void test_wrong_arguments_are_told(void **state) {
    (void)state;
    float data[8] = {0};
    ce_found found[8];
    const uint32_t beyond[] = {0, 2}, fine[] = {0, 1};
    ce_matrix images = {2, 2, data}, texts = {2, 2, data}, wide = {2, 3, data};
    ce_error err;
    assert_int_equal(ce_retrieve(found, found + 2, &images, &texts, beyond, &ALONE, &err),
                     CE_EINVAL);
    assert_string_equal(err.message, "text 2 belongs to image 3 of 2");
    assert_int_equal(ce_retrieve(found, found + 2, &images, &wide, fine, &ALONE, &err),
                     CE_EINVAL);
    atomic_bool cancel = true;
    ce_retrieval_options options = {1, &cancel};
    assert_int_equal(ce_retrieve(found, found + 2, &images, &texts, fine, &options, &err),
                     CE_ECANCELLED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_equal_the_reference),
        cmocka_unit_test(test_ranks_equal_those_of_the_whole_matrix),
        cmocka_unit_test(test_blocks_and_threads_do_not_show),
        cmocka_unit_test(test_wrong_arguments_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

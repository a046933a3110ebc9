/* The cache of embeddings: what is put is found, bit for bit; what is damaged is not. */
#include "cache.h"
#include "judge.h"
#include "score.h"
#include "stats.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
/* after those that it needs */
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 16, ROWS = 3000 };

static char directory[64];

static int set_up(void **state) {
    (void)state;
    strcpy(directory, "/tmp/clipeval-cache-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state) {
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/embeddings-1.sqlite%s", directory, ends[i]);
        unlink(path);
    }
    return rmdir(directory);
}

static ce_cache *open_cache(uint64_t bound) {
    ce_cache *c;
    ce_error err;
    if (ce_cache_open(&c, directory, bound, &err) < 0)
        fail_msg("%s", err.message);
    return c;
}

static ce_digest key_of(uint32_t i) {
    return ce_digest_of(&i, sizeof i);
}

static void fill(float *row, uint32_t i) {
    for (uint32_t k = 0; k < WIDTH; k++)
        row[k] = (float)i + (float)k / 3;
}

static void put(ce_cache *c, ce_space *s, uint32_t first, uint32_t count) {
    float row[WIDTH];
    for (uint32_t i = first; i < first + count; i++) {
        ce_digest key = key_of(i);
        fill(row, i);
        ce_cache_put(c, s, &key, row);
    }
}

/* How many of `count` rows are there; each that is must be the one that was put. */
static size_t find(ce_cache *c, ce_space *s, uint32_t first, uint32_t count) {
    ce_digest *keys = calloc(count, sizeof *keys);
    float *rows = calloc(count, sizeof(float) * WIDTH), row[WIDTH];
    bool *found = calloc(count, sizeof *found);
    assert_non_null(keys);
    assert_non_null(rows);
    assert_non_null(found);
    for (uint32_t i = 0; i < count; i++)
        keys[i] = key_of(first + i);
    size_t n = ce_cache_find(c, s, keys, count, rows, WIDTH, found), seen = 0;
    for (uint32_t i = 0; i < count; i++) {
        fill(row, first + i);
        if (found[i])
            assert_memory_equal(rows + i * WIDTH, row, sizeof row);
        seen += found[i];
    }
    assert_int_equal(n, seen);
    free(keys);
    free(rows);
    free(found);
    return n;
}

static void rows_come_back_bit_for_bit(void **state) {
    (void)state;
    ce_cache *c = open_cache(1 << 30);
    ce_space *s = ce_cache_space(c, "one", "aa", WIDTH);
    put(c, s, 0, ROWS);
    ce_cache_close(c);
    c = open_cache(1 << 30);
    s = ce_cache_space(c, "one", "aa", WIDTH);
    assert_int_equal(find(c, s, 0, ROWS + 100), ROWS);
    assert_int_equal(find(c, s, 10, 1), 1);
    assert_int_equal(find(c, ce_cache_space(c, "two", "aa", WIDTH), 0, ROWS), 0);
    assert_null(ce_cache_trouble(c));
    assert_int_equal(ce_cache_damaged(c), 0);
    ce_cache_close(c);
}

static void small_blocks_are_joined(void **state) {
    ce_cache_figures f;
    ce_cache_model *models;
    size_t count;
    (void)state;
    for (uint32_t i = 0; i < 40; i++) {
        ce_cache *c = open_cache(1 << 30);
        put(c, ce_cache_space(c, "one", "aa", WIDTH), i * 10, 10);
        ce_cache_close(c);
    }
    ce_cache *c = open_cache(1 << 30);
    assert_int_equal(ce_cache_stats(c, &f, &models, &count, NULL), 0);
    assert_int_equal(f.rows, 400);
    assert_true(f.blocks < 8);
    assert_int_equal(count, 1);
    assert_string_equal(models[0].sha256, "aa");
    free(models);
    assert_int_equal(find(c, ce_cache_space(c, "one", "aa", WIDTH), 0, 400), 400);
    ce_cache_close(c);
}

static void the_bound_holds_and_what_was_used_last_stays(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        ce_cache *c = open_cache(1 << 30);
        put(c, ce_cache_space(c, "one", "aa", WIDTH), i * ROWS, ROWS);
        ce_cache_close(c);
        sleep(1); /* the time of use counts in seconds */
    }
    ce_cache_figures f;
    ce_cache_model *models;
    size_t count, dropped;
    ce_cache *c = open_cache(600000);
    ce_space *s = ce_cache_space(c, "one", "aa", WIDTH);
    assert_int_equal(find(c, s, 0, ROWS), ROWS); /* used again */
    assert_int_equal(ce_cache_collect(c, &dropped, NULL), 0);
    assert_true(dropped > 0);
    assert_int_equal(ce_cache_stats(c, &f, &models, &count, NULL), 0);
    free(models);
    assert_true(f.bytes <= 600000);
    assert_int_equal(find(c, s, 0, ROWS), ROWS);
    assert_int_equal(find(c, s, ROWS, ROWS), 0);
    ce_cache_close(c);
}

static void a_full_cache_stops_and_keeps_what_this_run_used(void **state) {
    (void)state;
    ce_cache *c = open_cache(300000);
    ce_space *s = ce_cache_space(c, "one", "aa", WIDTH);
    for (uint32_t i = 0; i < 5; i++) {
        put(c, s, i * ROWS, ROWS);
        ce_cache_flush(c);
    }
    assert_non_null(ce_cache_trouble(c));
    assert_int_equal(find(c, s, 0, ROWS), ROWS);
    assert_int_equal(find(c, s, 4 * ROWS, ROWS), 0);
    ce_cache_close(c);
}

static void flipped_bits_are_found_and_healed(void **state) {
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "%s/embeddings-1.sqlite", directory);
    ce_random random = {1};
    for (int round = 0; round < 60; round++) {
        ce_cache *c = open_cache(1 << 30);
        ce_space *s = ce_cache_space(c, "one", "aa", WIDTH);
        if (find(c, s, 0, ROWS) < ROWS)
            put(c, s, 0, ROWS);
        ce_cache_close(c);
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        fseek(file, 0, SEEK_END);
        long size = ftell(file), at = (long)ce_random_below(&random, (uint64_t)size - 100);
        fseek(file, at + 100, SEEK_SET);
        int byte = fgetc(file);
        fseek(file, at + 100, SEEK_SET);
        fputc(byte ^ 1 << ce_random_below(&random, 8), file);
        fclose(file);
        c = open_cache(1 << 30);
        find(c, ce_cache_space(c, "one", "aa", WIDTH), 0, ROWS); /* only true rows */
        ce_cache_close(c);
    }
    size_t checked, bad;
    ce_cache *c = open_cache(1 << 30);
    assert_int_equal(ce_cache_verify(c, &checked, &bad, NULL), 0);
    assert_int_equal(ce_cache_verify(c, &checked, &bad, NULL), 0);
    assert_int_equal(bad - ce_cache_damaged(c), 0);
    ce_cache_close(c);
}

/* Where `size` bytes lie in a file; -1: nowhere in one piece. */
static long find_bytes(FILE *file, const void *bytes, size_t size) {
    fseek(file, 0, SEEK_END);
    size_t length = (size_t)ftell(file);
    char *text = malloc(length);
    assert_non_null(text);
    rewind(file);
    assert_int_equal(fread(text, 1, length, file), length);
    const char *at = memmem(text, length, bytes, size);
    long place = at ? at - text : -1;
    free(text);
    return place;
}

/* Wherever a row's bit flips, its block is found to be damaged, once, and goes. */
static void a_flipped_bit_of_a_row_is_always_told(void **state) {
    char path[128];
    float row[WIDTH];
    size_t flips = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/embeddings-1.sqlite", directory);
    for (uint32_t i = 0; i < ROWS; i += 61) {
        unlink(path);
        ce_cache *c = open_cache(1 << 30);
        put(c, ce_cache_space(c, "one", "aa", WIDTH), 0, ROWS);
        ce_cache_close(c);
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        fill(row, i);
        long at = find_bytes(file, row, sizeof row);
        if (at >= 0) { /* it may lie across the file's pages */
            at += (long)(i % sizeof row);
            fseek(file, at, SEEK_SET);
            int byte = fgetc(file);
            fseek(file, at, SEEK_SET);
            fputc(byte ^ 1 << i % 8, file);
            flips++;
        }
        fclose(file);
        c = open_cache(1 << 30);
        size_t n = find(c, ce_cache_space(c, "one", "aa", WIDTH), 0, ROWS);
        assert_int_equal(ce_cache_damaged(c), at >= 0);
        assert_true(at >= 0 ? n < ROWS : n == ROWS);
        ce_cache_close(c);
    }
    assert_true(flips > 0);
}

/* A space's number may go to another one while a process that knew it still runs: rows of
 * the one are never found in the other, and nothing passes for damaged. */
static void spaces_stay_apart_when_another_process_drops_one(void **state) {
    size_t dropped;
    float row[WIDTH] = {-1};
    (void)state;
    ce_cache *first = open_cache(1 << 30);
    ce_space *one = ce_cache_space(first, "one", "aa", WIDTH);
    put(first, one, 0, 10);
    ce_cache_flush(first);
    ce_cache *collector = open_cache(0);
    assert_int_equal(ce_cache_collect(collector, &dropped, NULL), 0);
    assert_int_equal(dropped, 1);
    ce_cache_close(collector);
    ce_cache *other = open_cache(1 << 30);
    ce_space *two = ce_cache_space(other, "two", "bb", WIDTH);
    for (uint32_t i = 0; i < 3; i++) { /* one less than are joined */
        ce_digest key = key_of(i);
        ce_cache_put(other, two, &key, row);
        ce_cache_flush(other);
    }
    put(first, one, 20, 10);
    ce_cache_flush(first);
    assert_int_equal(find(first, one, 0, 30), 10); /* with their own values */
    for (uint32_t i = 0; i < 3; i++) {
        float out[WIDTH];
        bool found;
        ce_digest key = key_of(i);
        assert_int_equal(ce_cache_find(other, two, &key, 1, out, WIDTH, &found), 1);
        assert_memory_equal(out, row, sizeof row);
    }
    assert_int_equal(ce_cache_damaged(first) + ce_cache_damaged(other), 0);
    ce_cache_close(first);
    ce_cache_close(other);
}

static void a_file_that_just_changed_is_not_remembered(void **state) {
    struct stat st;
    bool found;
    (void)state;
    ce_cache *c = open_cache(1 << 30);
    ce_digest content = key_of(1), out;
    assert_int_equal(stat(directory, &st), 0);
    ce_stamp fresh = ce_stamp_of(&st, 0, 0);
    assert_false(fresh.is_settled);
    st.st_mtim.tv_sec -= 100;
    st.st_ctim.tv_sec -= 100;
    ce_stamp settled = ce_stamp_of(&st, 0, 0), part = ce_stamp_of(&st, 512, 10);
    ce_cache_put_file(c, &settled, &content);
    ce_cache_flush(c);
    ce_cache_find_files(c, &settled, 1, &out, &found);
    assert_true(found && ce_digest_equal(&out, &content));
    ce_cache_find_files(c, &part, 1, &out, &found);
    assert_false(found);
    st.st_mtim.tv_nsec ^= 1;
    settled = ce_stamp_of(&st, 0, 0);
    ce_cache_find_files(c, &settled, 1, &out, &found);
    assert_false(found);
    ce_cache_close(c);
}

/* ce_judge beside the functions that it stands for, also with NaN and ties. */
static void judging_many_is_judging_each(void **state) {
    enum { N = 150, CLASSES = 37, D = 70 };
    ce_matrix a, b, scores;
    ce_error err;
    ce_random random = {3};
    (void)state;
    assert_int_equal(ce_matrix_init(&a, N, D, &err), 0);
    assert_int_equal(ce_matrix_init(&b, CLASSES, D, &err), 0);
    for (size_t i = 0; i < N * D; i++)
        a.data[i] = (float)ce_random_below(&random, 1000) / 1000 - 0.5f;
    for (size_t i = 0; i < CLASSES * D; i++)
        b.data[i] = (float)ce_random_below(&random, 1000) / 1000 - 0.5f;
    memcpy(ce_matrix_row(&b, 9), ce_matrix_row(&b, 4), sizeof(float) * D);
    ce_matrix_row(&a, 5)[3] = NAN;
    assert_int_equal(ce_matrix_similarity(&scores, &a, &b, &err), 0);
    size_t rows[N];
    uint32_t targets[N];
    ce_judgement out[N];
    for (size_t i = 0; i < N; i++) {
        rows[i] = N - 1 - i;
        targets[i] = (uint32_t)ce_random_below(&random, CLASSES);
    }
    ce_judge_options options = {.scale = 9.5, .threads = 3};
    assert_int_equal(ce_judge(out, &a, rows, targets, N, &b, &options, &err), 0);
    for (size_t i = 0; i < N; i++) {
        const float *x = ce_matrix_row(&scores, rows[i]);
        size_t best;
        for (size_t c = 0; c < CLASSES; c++) {
            float one = ce_dot(ce_matrix_row(&a, rows[i]), ce_matrix_row(&b, c), D);
            assert_true(one == x[c] || (isnan(one) && isnan(x[c])));
        }
        ce_top_k(x, CLASSES, &best, 1);
        ce_belief belief = ce_softmax_belief(x, CLASSES, 9.5, targets[i]);
        assert_int_equal(out[i].best, best);
        assert_int_equal(out[i].rank, ce_rank(x, CLASSES, targets[i]));
        assert_int_equal(out[i].tied, ce_top_is_tied(x, CLASSES));
        if (!isnan(belief.brier))
            assert_memory_equal(&out[i].belief, &belief, sizeof belief);
        else
            assert_true(isnan(out[i].belief.brier));
    }
    ce_matrix_free(&a);
    ce_matrix_free(&b);
    ce_matrix_free(&scores);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(rows_come_back_bit_for_bit),
        TEST(small_blocks_are_joined),
        TEST(the_bound_holds_and_what_was_used_last_stays),
        TEST(a_full_cache_stops_and_keeps_what_this_run_used),
        TEST(flipped_bits_are_found_and_healed),
        TEST(a_flipped_bit_of_a_row_is_always_told),
        TEST(spaces_stay_apart_when_another_process_drops_one),
        TEST(a_file_that_just_changed_is_not_remembered),
        TEST(judging_many_is_judging_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

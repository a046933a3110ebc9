/* The plan beside its definition: the set of all prefixes, written out. */
#include "prefix_tree.h"
#include "stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CONTEXT = 9 };

typedef struct texts {
    size_t n;
    int32_t *ids; /* [n, CONTEXT] */
    uint32_t *lengths, *pooled;
} texts;

/* Few tokens, and beginnings taken from texts before, so that much is shared; some texts
 * are the same, some begin another. */
static texts random_texts(ce_random *r, size_t n, int32_t alphabet, bool shares) {
    texts t = {n, calloc(n * CONTEXT + 1, 4), calloc(n + 1, 4), calloc(n + 1, 4)};
    for (size_t i = 0; i < n; i++) {
        int32_t *own = t.ids + i * CONTEXT;
        size_t kept = 0;
        if (i && ce_random_below(r, 3)) {
            memcpy(own, t.ids + ce_random_below(r, i) * CONTEXT, CONTEXT * sizeof *own);
            kept = ce_random_below(r, CONTEXT + 1);
        }
        for (size_t p = kept; p < CONTEXT; p++)
            own[p] = (int32_t)ce_random_below(r, (uint64_t)alphabet);
        t.lengths[i] = 1 + (uint32_t)ce_random_below(r, CONTEXT);
        if (ce_random_below(r, 4) == 0)
            t.lengths[i] = CONTEXT;
        t.pooled[i] = shares ? t.lengths[i] - 1 : t.lengths[i] / 2;
    }
    return t;
}

static void free_texts(texts *t) {
    free(t->ids);
    free(t->lengths);
    free(t->pooled);
}

static bool same(const texts *t, size_t i, size_t j, size_t length) {
    return memcmp(t->ids + i * CONTEXT, t->ids + j * CONTEXT, length * 4) == 0;
}

/* Whether an earlier text has the first `length` tokens of text i; the whole of them where
 * prefixes are not shared. */
static bool was_before(const texts *t, size_t i, size_t length, bool shares) {
    for (size_t j = 0; j < i; j++)
        if ((shares ? t->lengths[j] >= length : t->lengths[j] == t->lengths[i]) &&
            same(t, i, j, shares ? length : t->lengths[i]))
            return true;
    return false;
}

static void count(const texts *t, bool shares, size_t *tokens, size_t *rows) {
    *tokens = *rows = 0;
    for (size_t i = 0; i < t->n; i++) {
        *tokens += t->lengths[i];
        for (size_t length = 1; length <= t->lengths[i]; length++)
            *rows += !was_before(t, i, length, shares);
    }
}

/* The tokens that row `row` stands for, from its places. */
static size_t climb(const ce_text_rows *r, size_t row, int32_t *out) {
    size_t length = r->places[row] + 1, at = row;
    for (size_t p = length; p-- > 0; at--) {
        while (r->places[at] != p)
            assert_true(at-- > 0);
        out[p] = r->tokens[at];
    }
    return length;
}

static void check_block(const texts *t, const ce_prefix_tree *tree, size_t b,
                        const ce_text_rows *r, bool *seen) {
    size_t row = SIZE_MAX;
    for (size_t k = tree->first[b]; k < tree->first[b + 1]; k++) {
        row += ce_prefix_tree_opens_row(tree, b, k);
        size_t i = tree->order[k];
        int32_t found[CONTEXT];
        assert_false(seen[i]);
        seen[i] = true;
        assert_true(row < r->texts && (row == 0 || r->wanted[row] > r->wanted[row - 1]));
        assert_int_equal(r->lengths[row], t->lengths[i]);
        assert_int_equal(climb(r, r->wanted[row], found), t->pooled[i] + 1);
        assert_memory_equal(found, t->ids + i * CONTEXT, (t->pooled[i] + 1) * 4);
        if (!tree->shares) /* the whole text stands there, one behind the other */
            assert_memory_equal(r->tokens + r->wanted[row] - t->pooled[i],
                                t->ids + i * CONTEXT, t->lengths[i] * 4);
    }
    assert_int_equal(row + 1, r->texts);
}

static void check_cut(const texts *t, ce_prefix_tree *tree, size_t most, size_t threads) {
    ce_text_rows r;
    bool *seen = calloc(t->n + 1, sizeof *seen);
    size_t rows = 0;
    assert_int_equal(ce_prefix_tree_cut(tree, most, threads, NULL), 0);
    assert_int_equal(ce_text_rows_init(&r, most, NULL), 0);
    assert_int_equal(tree->first[tree->blocks], t->n);
    for (size_t b = 0; b < tree->blocks; b++) {
        assert_true(tree->first[b] < tree->first[b + 1]);
        ce_text_rows_fill(&r, tree, b);
        assert_true(r.rows > 0 && r.rows <= most);
        check_block(t, tree, b, &r, seen);
        rows += r.rows;
    }
    assert_true(rows >= tree->rows && rows <= tree->rows + tree->blocks * CONTEXT);
    for (size_t i = 0; i < t->n; i++)
        assert_true(seen[i]);
    ce_text_rows_free(&r);
    free(seen);
}

static void every_distinct_prefix_is_one_row(void **state) {
    (void)state;
    ce_random r = {7};
    static const size_t sizes[] = {0, 1, 2, 3, 10, 100, 400};
    for (size_t round = 0; round < 6 * 7 * 2; round++) {
        bool shares = round % 2;
        texts t = random_texts(&r, sizes[round / 2 % 7], 2 + (int32_t)round / 4, shares);
        ce_prefix_tree *tree;
        size_t tokens, rows;
        assert_int_equal(ce_prefix_tree_new(&tree, t.ids, CONTEXT, t.lengths, t.pooled, t.n,
                                            shares, NULL),
                         0);
        count(&t, shares, &tokens, &rows);
        assert_int_equal(tree->tokens, tokens);
        assert_int_equal(tree->rows, rows);
        for (size_t most = CONTEXT; most < 5000; most *= 3)
            for (size_t threads = 1; threads < 4; threads++)
                check_cut(&t, tree, most, threads);
        ce_prefix_tree_free(tree);
        free_texts(&t);
    }
}

/* Enough blocks for each thread, of much the same size, and not many more. */
static void blocks_are_even(void **state) {
    (void)state;
    ce_random r = {8};
    texts t = random_texts(&r, 8000, 100, true);
    ce_prefix_tree *tree;
    assert_int_equal(
        ce_prefix_tree_new(&tree, t.ids, CONTEXT, t.lengths, t.pooled, t.n, true, NULL), 0);
    for (size_t threads = 1; threads < 9; threads++) {
        assert_int_equal(ce_prefix_tree_cut(tree, 960, threads, NULL), 0);
        size_t full = (tree->rows + 959) / 960;
        assert_true(tree->blocks >= full && tree->blocks <= full * 5 / 4 + threads + 1);
        assert_int_equal(ce_prefix_tree_cut(tree, tree->rows, threads, NULL), 0);
        assert_true(tree->blocks >= threads && tree->blocks <= threads + threads / 4 + 1);
    }
    ce_prefix_tree_free(tree);
    free_texts(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_distinct_prefix_is_one_row),
        cmocka_unit_test(blocks_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Rows {"text": ..., "ids": [...]} as a reference wrote them: ids without padding, cut to
 * the context.
 *
 *     size_t n = expect_rows(tok, golden_path(path, sizeof path, "a.jsonl"), 64);
 */
#ifndef TOKEN_ROWS_H
#define TOKEN_ROWS_H

#include "golden.h"
#include "tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ROWS_CONTEXT 256

static inline void expect_row(const ce_tokenizer *t, const json_t *row, int context) {
    const json_t *text = json_object_get(row, "text"), *want = json_object_get(row, "ids");
    int32_t ids[ROWS_CONTEXT];
    ce_tokens out = {0};
    ce_error err;
    assert_true(context <= ROWS_CONTEXT);
    if (ce_tokenizer_encode(t, ids, context, &out, json_string_value(text),
                            json_string_length(text), &err) < 0)
        fail_msg("%s", err.message);
    bool same = (size_t)out.count == json_array_size(want);
    for (size_t i = 0; same && i < json_array_size(want); i++)
        same = ids[i] == json_integer_value(json_array_get(want, i));
    for (int i = out.count; i < context; i++)
        assert_int_equal(ids[i], ce_tokenizer_pad(t));
    if (!same)
        fail_msg("other tokens for \"%s\"", json_string_value(text));
}

/* Gives the number of rows. */
static inline size_t expect_rows(const ce_tokenizer *t, const char *path, int context) {
    size_t size = 0, count = 0;
    char *all = golden_read(path, &size);
    assert_non_null(all);
    for (char *line = all, *end; line < all + size; line = end + 1, count++) {
        end = memchr(line, '\n', (size_t)(all + size - line));
        assert_non_null(end);
        json_t *row = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        expect_row(t, row, context);
        json_decref(row);
    }
    free(all);
    return count;
}

/* The rows of int64 [texts, context] that a model's reference holds. */
static inline void expect_input_ids(const ce_tokenizer *t, const char *cases,
                                    const char *tensors) {
    json_t *root = golden_json(cases);
    golden_file *f = golden_open(tensors);
    golden_tensor want;
    ce_tokens out;
    assert_non_null(root);
    assert_true(golden_find(f, "input_ids", &want));
    const json_t *texts = json_object_get(root, "texts");
    size_t context = want.shape[1];
    assert_int_equal(want.shape[0], json_array_size(texts));
    for (size_t i = 0; i < want.shape[0]; i++) {
        const json_t *text = json_array_get(texts, i);
        int32_t ids[ROWS_CONTEXT];
        assert_true(context <= ROWS_CONTEXT);
        assert_int_equal(ce_tokenizer_encode(t, ids, (int)context, &out,
                                             json_string_value(text),
                                             json_string_length(text), NULL),
                         0);
        for (size_t k = 0; k < context; k++)
            assert_int_equal(ids[k], ((const int64_t *)want.data)[i * context + k]);
    }
    golden_close(f);
    json_decref(root);
}

#endif

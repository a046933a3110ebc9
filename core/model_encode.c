/* From pixels and token ids to embeddings, with the towers of an open model. */
#include "model_internal.h"

#include <stdlib.h>
#include <string.h>

static int scratch_for_texts(ce_scratch *s, const ce_model *m, ce_error *err) {
    size_t most = m->text->max_rows;
    s->embeds = ce_floats_new(most * (size_t)m->info.embed_dim);
    if (!s->embeds)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory for %zu rows", m->path, most);
    return ce_text_rows_init(&s->rows, most, err);
}

int ce_scratch_new(ce_scratch **out, ce_model *m, ce_tower tower, ce_error *err) {
    int result = ce_model_need_tower(m, tower, err);
    if (result < 0)
        return result;
    size_t floats = tower == CE_IMAGE_TOWER ? m->vision->scratch : m->text->scratch;
    ce_scratch *s = calloc(1, sizeof *s);
    if (s) {
        s->tower = tower;
        s->arena = ce_floats_new(floats);
    }
    if (!s || !s->arena)
        result = ce_fail(err, CE_ENOMEM, "%s: out of memory for %zu MB of scratch", m->path,
                         floats >> 18);
    else if (tower == CE_TEXT_TOWER)
        result = scratch_for_texts(s, m, err);
    if (result < 0) {
        ce_scratch_free(s);
        return result;
    }
    *out = s;
    return CE_OK;
}

void ce_scratch_free(ce_scratch *s) {
    if (!s)
        return;
    free(s->arena);
    free(s->embeds);
    ce_text_rows_free(&s->rows);
    free(s);
}

int ce_model_encode_images(const ce_model *m, float *out, const float *pixels, size_t n,
                           ce_scratch *scratch, ce_error *err) {
    if (scratch->tower != CE_IMAGE_TOWER)
        return ce_fail(err, CE_EINVAL, "this scratch is for the text tower");
    size_t size = 3 * (size_t)m->info.image_width * (size_t)m->info.image_height;
    while (n > 0) {
        size_t batch = n < m->vision->batch ? n : m->vision->batch;
        m->vision->encode(m->vision, out, pixels, batch, scratch->arena);
        out += batch * (size_t)m->info.embed_dim;
        pixels += batch * size;
        n -= batch;
    }
    return CE_OK;
}

static int check_ids(const ce_text_config *c, const int32_t *ids, ce_error *err) {
    for (int i = 0; i < c->context; i++)
        if (ids[i] < 0 || ids[i] >= c->vocab_size)
            return ce_fail(err, CE_EINVAL, "token id %d is outside the vocabulary of %d",
                           ids[i], c->vocab_size);
    return CE_OK;
}

/* The row of one text that stands for it. */
static size_t pooled_row(const ce_text_config *c, const int32_t *ids) {
    size_t row = 0, context = (size_t)c->context;
    if (c->pool == CE_POOL_LAST)
        return context - 1;
    for (size_t i = 0; i < context; i++) {
        if (c->pool == CE_POOL_LARGEST_ID && ids[i] > ids[row])
            row = i;
        if (c->pool == CE_POOL_END_OF_TEXT && ids[i] == c->end_of_text)
            return i;
    }
    return row;
}

static bool shares_rows(const ce_text_config *c) {
    return c->kind == CE_TEXT_GPT && !c->not_causal;
}

/* How many tokens of one text take part. */
static size_t length_of(const ce_text_config *c, const int32_t *ids, size_t pooled) {
    size_t length = (size_t)c->context;
    if (c->kind == CE_TEXT_BERT) /* the last token is a separator, never padding */
        while (length > 1 && ids[length - 1] == c->pad)
            length--;
    else if (shares_rows(c))
        length = pooled + 1;
    return length;
}

int ce_model_plan_texts(const ce_model *m, ce_prefix_tree **out, const int32_t *ids,
                        size_t n, size_t threads, ce_error *err) {
    const ce_text_config *c = &m->config.text;
    size_t context = (size_t)m->info.context;
    uint32_t *lengths = calloc(n + 1, sizeof *lengths);
    uint32_t *pooled = calloc(n + 1, sizeof *pooled);
    int result = CE_OK;
    if (!lengths || !pooled || n > UINT32_MAX)
        result = ce_fail(err, CE_ENOMEM, "%s: out of memory for %zu texts", m->path, n);
    for (size_t i = 0; i < n && result == CE_OK; i++) {
        result = check_ids(c, ids + i * context, err);
        pooled[i] = (uint32_t)pooled_row(c, ids + i * context);
        lengths[i] = (uint32_t)length_of(c, ids + i * context, pooled[i]);
    }
    if (result == CE_OK)
        result =
            ce_prefix_tree_new(out, ids, context, lengths, pooled, n, shares_rows(c), err);
    free(lengths);
    free(pooled);
    if (result < 0)
        return result;
    result = ce_prefix_tree_cut(*out, ce_text_tower_rows(c), threads, err);
    if (result < 0)
        ce_prefix_tree_free(*out);
    return result;
}

int ce_model_encode_block(const ce_model *m, const float **rows, const ce_prefix_tree *plan,
                          size_t block, ce_scratch *scratch, ce_error *err) {
    if (scratch->tower != CE_TEXT_TOWER)
        return ce_fail(err, CE_EINVAL, "this scratch is for the image tower");
    ce_text_rows_fill(&scratch->rows, plan, block);
    m->text->encode(m->text, scratch->embeds, &scratch->rows, scratch->arena);
    *rows = scratch->embeds;
    return CE_OK;
}

int ce_model_encode_tokens(const ce_model *m, float *out, const int32_t *ids, size_t n,
                           ce_scratch *scratch, ce_error *err) {
    size_t d = (size_t)m->info.embed_dim;
    ce_prefix_tree *plan;
    const float *rows = NULL;
    int result = ce_model_plan_texts(m, &plan, ids, n, 1, err);
    if (result < 0)
        return result;
    for (size_t b = 0; b < plan->blocks && result == CE_OK; b++) {
        result = ce_model_encode_block(m, &rows, plan, b, scratch, err);
        for (size_t k = plan->first[b], next = 0; result == CE_OK && k < plan->first[b + 1];
             k++) {
            next += ce_prefix_tree_opens_row(plan, b, k);
            memcpy(out + plan->order[k] * d, rows + (next - 1) * d, d * sizeof *out);
        }
    }
    ce_prefix_tree_free(plan);
    return result;
}

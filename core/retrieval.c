#include "retrieval.h"

#include "metrics.h"
#include "pipeline.h"
#include "team.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pictures and texts of one block of scores: 4 MiB, and a copy of the pictures' rows is
 * little beside the work that it serves. */
enum { BLOCK = 1024 };

/* The scores of its own are known before the others are seen, so one pass over the blocks
 * counts what stands before them, in both directions. A member works on the texts of its
 * blocks and on a copy of the pictures, which is added up in the end: sums and the first of
 * an order do not depend on who computed what. */
typedef struct job {
    const ce_matrix *images, *texts;
    const uint32_t *image_of_text;
    const ce_retrieval_options *options;
    ce_found *of_texts;  /* [texts] */
    ce_found *of_images; /* [members, images] */
    atomic_bool failed;
    ce_error fault;
} job;

/* ---- the own scores ---- */

static bool before(float a, size_t i, float b, size_t j) {
    return a > b || (a == b && i < j);
}

static void forget(ce_found *found, size_t n) {
    for (size_t i = 0; i < n; i++)
        found[i] = (ce_found){
            .own = CE_RANK_NONE, .best = CE_RANK_NONE, .own_score = NAN, .best_score = NAN};
}

static void score_own(job *j) {
    for (size_t t = 0; t < j->texts->rows; t++) {
        uint32_t image = j->image_of_text[t];
        if (image == CE_RANK_NONE)
            continue;
        ce_found *text = &j->of_texts[t], *picture = &j->of_images[image];
        float score = ce_dot(ce_matrix_row(j->texts, t), ce_matrix_row(j->images, image),
                             j->texts->cols);
        text->own = image;
        text->own_score = score;
        if (picture->own == CE_RANK_NONE || (isnan(picture->own_score) && !isnan(score)) ||
            before(score, t, picture->own_score, picture->own)) {
            picture->own = (uint32_t)t;
            picture->own_score = score;
        }
    }
}

/* ---- all scores ---- */

static void see(ce_found *query, float score, size_t row, bool is_own) {
    if (query->best == CE_RANK_NONE ? !isnan(score)
                                    : before(score, row, query->best_score, query->best)) {
        query->best = (uint32_t)row;
        query->best_score = score;
    }
    query->rank += before(score, row, query->own_score, query->own);
    query->tied += score == query->own_score && !is_own;
}

/* scores [texts of the block, images of the block]. Own captions of a picture that are no
 * better than its best do not count before it, as the order has it. */
static void see_block(job *j, ce_found *of_images, const ce_matrix *scores, size_t text,
                      size_t image) {
    for (size_t t = 0; t < scores->rows; t++) {
        const float *row = ce_matrix_row(scores, t);
        for (size_t i = 0; i < scores->cols; i++) {
            bool is_own = j->image_of_text[text + t] == image + i;
            see(&j->of_texts[text + t], row[i], image + i, is_own);
            see(&of_images[image + i], row[i], text + t, is_own);
        }
    }
}

static ce_matrix rows_from(const ce_matrix *m, size_t first) {
    size_t rows = m->rows - first < BLOCK ? m->rows - first : BLOCK;
    return (ce_matrix){rows, m->cols, ce_matrix_row(m, first)};
}

static bool stopped(const job *j) {
    return atomic_load(&j->failed) ||
           (j->options->cancel && atomic_load(j->options->cancel));
}

/* Only the first fault is kept. */
static void fail(job *j, const ce_error *err) {
    if (!atomic_exchange(&j->failed, true))
        j->fault = *err;
}

static void retrieve_part(void *context, size_t member, size_t members) {
    job *j = context;
    ce_found *of_images = j->of_images + member * j->images->rows;
    for (size_t text = member * BLOCK; text < j->texts->rows; text += members * BLOCK) {
        for (size_t image = 0; image < j->images->rows && !stopped(j); image += BLOCK) {
            ce_error err;
            ce_matrix scores, images = rows_from(j->images, image),
                              texts = rows_from(j->texts, text);
            if (ce_matrix_similarity(&scores, &texts, &images, &err) < 0)
                fail(j, &err);
            else
                see_block(j, of_images, &scores, text, image);
            ce_matrix_free(&scores);
        }
    }
}

/* ---- together ---- */

static void add(ce_found *to, const ce_found *from) {
    to->rank += from->rank;
    to->tied += from->tied;
    if (from->best != CE_RANK_NONE &&
        (to->best == CE_RANK_NONE ||
         before(from->best_score, from->best, to->best_score, to->best))) {
        to->best = from->best;
        to->best_score = from->best_score;
    }
}

static void finish(ce_found *found, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (isnan(found[i].own_score))
            found[i].rank = CE_RANK_NONE;
}

static int run(job *j, size_t members, ce_error *err) {
    ce_team *team = NULL;
    if (members > 1) {
        int code = ce_team_new(&team, members, err);
        if (code < 0)
            return code;
        ce_team_run(team, retrieve_part, j);
        ce_team_free(team);
    } else {
        retrieve_part(j, 0, 1);
    }
    if (atomic_load(&j->failed))
        return ce_fail(err, j->fault.code, "%s", j->fault.message);
    return stopped(j) ? ce_fail(err, CE_ECANCELLED, "interrupted") : CE_OK;
}

static int check(const ce_matrix *images, const ce_matrix *texts,
                 const uint32_t *image_of_text, ce_error *err) {
    if (images->cols != texts->cols)
        return ce_fail(err, CE_EINVAL, "images of %zu dimensions and texts of %zu",
                       images->cols, texts->cols);
    if (images->rows >= CE_RANK_NONE || texts->rows >= CE_RANK_NONE)
        return ce_fail(err, CE_EINVAL, "too many images or texts");
    for (size_t t = 0; t < texts->rows; t++)
        if (image_of_text[t] != CE_RANK_NONE && image_of_text[t] >= images->rows)
            return ce_fail(err, CE_EINVAL, "text %zu belongs to image %zu of %zu", t + 1,
                           (size_t)image_of_text[t] + 1, images->rows);
    return CE_OK;
}

/* As many as there are blocks of texts to share. */
static size_t count_members(const ce_retrieval_options *options, size_t texts) {
    size_t blocks = texts / BLOCK + 1;
    int threads = options->threads > 0 ? options->threads : ce_default_threads();
    size_t members = threads < 64 ? (size_t)threads : 64;
    return members < blocks ? members : blocks;
}

int ce_retrieve(ce_found *of_images, ce_found *of_texts, const ce_matrix *images,
                const ce_matrix *texts, const uint32_t *image_of_text,
                const ce_retrieval_options *options, ce_error *err) {
    int code = check(images, texts, image_of_text, err);
    if (code < 0)
        return code;
    size_t n = images->rows, members = count_members(options, texts->rows);
    ce_found *parts = calloc(members * n + 1, sizeof *parts);
    if (!parts)
        return ce_fail(err, CE_ENOMEM, "no memory for the ranks of %zu images", n);
    job j = {.images = images, .texts = texts, .image_of_text = image_of_text};
    j.options = options;
    j.of_texts = of_texts;
    j.of_images = parts;
    forget(of_texts, texts->rows);
    forget(parts, n);
    score_own(&j);
    for (size_t m = 1; m < members; m++)
        memcpy(parts + m * n, parts, n * sizeof *parts);
    code = run(&j, members, err);
    memcpy(of_images, parts, n * sizeof *parts);
    for (size_t m = 1; m < members; m++)
        for (size_t i = 0; i < n; i++)
            add(&of_images[i], &parts[m * n + i]);
    finish(of_images, n);
    finish(of_texts, texts->rows);
    free(parts);
    return code;
}

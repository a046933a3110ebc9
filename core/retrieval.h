/* Which caption a picture finds, and which picture a caption finds, among all of a set.
 *
 *     ce_found *images = calloc(n, sizeof *images), *texts = calloc(m, sizeof *texts);
 *     ce_retrieval_options options = {.threads = 0};
 *     ce_retrieve(images, texts, &pictures, &captions, image_of_text, &options, &err);
 *     ... texts[t].rank: pictures that come before its own
 *
 * Scores are dot products: cosines, where the rows are normalised. The matrix of all scores
 * is never held: 31 000 pictures with 155 000 captions would be 19 GB.
 */
#ifndef CE_RETRIEVAL_H
#define CE_RETRIEVAL_H

#include "matrix.h"

#include <stdatomic.h>
#include <stdint.h>

/* What became of one query. Rows of the other side stand in the order of core/score.h (of
 * equal scores the lower row first, NaN last). Of a picture's own captions the first
 * counts.
 */
typedef struct ce_found {
    uint32_t rank; /* how many stand before its own: 0 is found first. CE_RANK_NONE: it has
                      no own, or its score is NaN (one of them could not be read) */
    uint32_t own;  /* its own, or CE_RANK_NONE; a picture's best caption */
    uint32_t best; /* what is found first, or CE_RANK_NONE where every score is NaN */
    float own_score;  /* NaN where there is none */
    float best_score; /* NaN where there is none */
    uint32_t
        tied; /* others, none of its own, with exactly own_score: luck is in the rank */
} ce_found;

typedef struct ce_retrieval_options {
    int threads;               /* 0: one for each core */
    const atomic_bool *cancel; /* NULL, or a flag polled now and then */
} ce_retrieval_options;

/* images [n, d], texts [m, d]; image_of_text[m] < n, or CE_RANK_NONE for a text that is
 * nobody's and competes all the same. The result does not depend on the number of threads.
 * CE_EINVAL, CE_ENOMEM, CE_ECANCELLED. */
int ce_retrieve(ce_found *of_images, ce_found *of_texts, const ce_matrix *images,
                const ce_matrix *texts, const uint32_t *image_of_text,
                const ce_retrieval_options *options, ce_error *err);

#endif

/* Many pictures or texts -> embeddings, on every core: one single-threaded worker a core
 * claims chunks of items and does decode, preprocess and encode. The result does not
 * depend on the number of workers.
 *
 *     ce_pipeline_options options = {.threads = 0};
 *     ce_item_status *status = calloc(n, sizeof *status);
 *     ce_encode_images(model, embeds, NULL, items, n, status, &options, &err);
 */
#ifndef CE_PIPELINE_H
#define CE_PIPELINE_H

#include "cache.h"
#include "image.h"
#include "model.h"

#include <stdatomic.h>

/* A picture: a file, a part of one, or pixels in memory (path NULL). Borrowed. */
typedef struct ce_picture {
    const char *path;
    bool is_part; /* of the file: `size` bytes from `offset` on */
    uint64_t offset, size;
    const uint8_t *pixels;       /* [height, width, channels] */
    int width, height, channels; /* channels 1 or 3 */
    ce_alpha alpha;
} ce_picture;

/* Decodes or copies it. Errors are those of ce_image_load, ce_image_load_part and
 * ce_image_from_pixels. */
int ce_picture_load(ce_image *out, const ce_picture *picture, ce_error *err);

typedef struct ce_text {
    const char *text;
    size_t size;
} ce_text;

/* What became of one item. */
typedef struct ce_item_status {
    bool done;      /* false: not reached (cancelled) */
    bool truncated; /* texts: cut to the context length */
    bool found;     /* its row was in the cache */
    char *problem;  /* NULL, or one malloc'd line: it could not be read, or its embedding
                       overflows; its row is NaN */
} ce_item_status;

typedef struct ce_pipeline_options {
    int threads;               /* workers; 0: one for each core this process may use */
    ce_cache *cache;           /* NULL: none. Rows that are there are not computed, others
                                  are kept as they come. Not used where `pixels` are wanted */
    const atomic_bool *cancel; /* NULL, or a flag polled between items */
    void (*progress)(void *context, size_t done, size_t total); /* calling thread only;
                                   called about ten times a second, and once at the end */
    void *progress_context;
} ce_pipeline_options;

/* embeds [n, embed_dim] not normalised; pixels NULL or [n, 3, h, w] (what the tower saw).
 * status[n] must be zeroed by the caller, who frees each `problem`. Problems of single
 * pictures are no failure of the call. CE_ECANCELLED: what is done is done. */
int ce_encode_images(ce_model *model, float *embeds, float *pixels,
                     const ce_picture *pictures, size_t n, ce_item_status *status,
                     const ce_pipeline_options *options, ce_error *err);

/* embeds [n, embed_dim]; ids NULL or [n, context]. Invalid UTF-8 is a problem of its item.
 */
int ce_encode_texts(ce_model *model, float *embeds, int32_t *ids, const ce_text *texts,
                    size_t n, ce_item_status *status, const ce_pipeline_options *options,
                    ce_error *err);

/* Cores this process may use (the affinity mask, and a cgroup's CPU quota). */
int ce_default_threads(void);

#endif

/* What the pipeline asks of the cache; see cache.h. All is found before anything is
 * loaded: where every row is there, no file is read and no tower opened.
 *
 *     ce_lookup l;
 *     ce_lookup_pictures(&l, model, &options, pictures, n, embeds, status, &err);
 *     ... l.todo[0 .. l.count - 1]: what is left ...
 *     ce_lookup_close(&l);
 */
#ifndef CE_PIPELINE_CACHE_H
#define CE_PIPELINE_CACHE_H

#include "pipeline.h"

typedef struct ce_lookup {
    ce_cache *cache;
    ce_space *space;
    const atomic_bool *cancel; /* NULL, or polled */
    size_t width;
    size_t *todo, count; /* items without a row; todo NULL: all */
    ce_stamp *stamps;    /* [n]: files as they were; pictures only */
    ce_digest *keys;     /* [n]: of raw pixels only */
} ce_lookup;

/* options->cache is there. CE_ECANCELLED: what was found until then is done; the other
 * errors are those of ce_model_known_sha256, and CE_ENOMEM. */
int ce_lookup_pictures(ce_lookup *l, ce_model *model, const ce_pipeline_options *options,
                       const ce_picture *pictures, size_t n, float *embeds,
                       ce_item_status *status, ce_error *err);
int ce_lookup_texts(ce_lookup *l, ce_model *model, const ce_pipeline_options *options,
                    ce_error *err);
void ce_lookup_close(ce_lookup *l); /* writes what is pending */

/* Reads item i's encoded bytes, and finds its row by them (a file that was moved or
 * touched) or decodes them. `key` is its key in either case. */
int ce_lookup_load(const ce_lookup *l, const ce_picture *p, size_t i, ce_image *out,
                   ce_digest *key, float *row, bool *found, ce_error *err);

#endif

#include "pipeline_cache.h"

#include "identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pictures that are looked up at a time: of many blocks a slice reads each once, and Ctrl-C
 * keeps the slices that were finished. */
enum { SLICE = 1 << 14 };

static bool is_cancelled(const ce_lookup *l) {
    return l->cancel && atomic_load(l->cancel);
}

static int open_space(ce_lookup *l, ce_model *model, const ce_pipeline_options *options,
                      ce_tower tower, ce_error *err) {
    const char *sha256;
    char *identity;
    *l = (ce_lookup){.cache = options->cache,
                     .cancel = options->cancel,
                     .width = (size_t)ce_model_get_info(model)->embed_dim};
    int result = ce_model_known_sha256(model, l->cache, &sha256, err);
    if (result == CE_OK)
        result = ce_identity(&identity, model, tower, sha256, err);
    if (result < 0)
        return result;
    l->space = ce_cache_space(l->cache, identity, sha256, l->width);
    free(identity);
    return l->space ? CE_OK : ce_fail(err, CE_ENOMEM, "out of memory");
}

static bool stamp_picture(const ce_picture *p, ce_stamp *out) {
    struct stat st;
    if (stat(p->path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    *out = p->is_part ? ce_stamp_of(&st, p->offset, p->size) : ce_stamp_of(&st, 0, 0);
    return true;
}

/* known[i]: keys[i] is the picture's, told by its pixels or by its file's stamp. */
static void find_keys(const ce_lookup *l, const ce_picture *pictures, ce_stamp *stamps,
                      size_t n, ce_digest *keys, bool *known) {
    for (size_t i = 0; i < n && !is_cancelled(l); i++)
        if (pictures[i].path)
            (void)stamp_picture(&pictures[i], &stamps[i]);
    ce_cache_find_files(l->cache, stamps, n, keys, known);
    for (size_t i = 0; i < n && !is_cancelled(l); i++) {
        if (!pictures[i].path)
            keys[i] = ce_pixels_key(&pictures[i]);
        else if (known[i])
            keys[i] = ce_picture_key(&keys[i], pictures[i].alpha);
        known[i] = known[i] || !pictures[i].path;
    }
}

/* Looks for the items from `first` on: what is found is done, what is not is listed. Of two
 * pictures with one key, both. */
static void find_slice(ce_lookup *l, const ce_picture *pictures, size_t first, size_t n,
                       float *embeds, ce_item_status *status) {
    bool known[SLICE], found[SLICE];
    ce_digest *keys = l->keys + first;
    find_keys(l, pictures + first, l->stamps + first, n, keys, known);
    if (is_cancelled(l)) /* not all keys are there */
        return;
    ce_cache_find(l->cache, l->space, keys, n, embeds + first * l->width, l->width, found);
    for (size_t i = 0; i < n; i++) {
        ce_item_status *s = &status[first + i];
        s->found = s->done = found[i] && known[i];
        if (!s->found)
            l->todo[l->count++] = first + i;
    }
}

int ce_lookup_pictures(ce_lookup *l, ce_model *model, const ce_pipeline_options *options,
                       const ce_picture *pictures, size_t n, float *embeds,
                       ce_item_status *status, ce_error *err) {
    int result = open_space(l, model, options, CE_IMAGE_TOWER, err);
    if (result < 0)
        return result;
    l->todo = calloc(n, sizeof *l->todo);
    l->stamps = calloc(n, sizeof *l->stamps);
    l->keys = calloc(n, sizeof *l->keys);
    if (!l->todo || !l->stamps || !l->keys)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    for (size_t i = 0; i < n && !is_cancelled(l); i += SLICE)
        find_slice(l, pictures, i, n - i < SLICE ? n - i : SLICE, embeds, status);
    return is_cancelled(l) ? ce_fail(err, CE_ECANCELLED, "interrupted") : CE_OK;
}

int ce_lookup_texts(ce_lookup *l, ce_model *model, const ce_pipeline_options *options,
                    ce_error *err) {
    return open_space(l, model, options, CE_TEXT_TOWER, err);
}

void ce_lookup_close(ce_lookup *l) {
    if (l->cache)
        ce_cache_flush(l->cache);
    free(l->todo);
    free(l->stamps);
    free(l->keys);
    *l = (ce_lookup){0};
}

/* The content belongs to the stamp only where the file was the same before and after. */
static void keep_content(const ce_lookup *l, const ce_picture *p, size_t i,
                         const ce_digest *content) {
    ce_stamp after;
    const ce_stamp *before = &l->stamps[i];
    if (before->is_settled && stamp_picture(p, &after) &&
        ce_digest_equal(&after.place, &before->place) &&
        ce_digest_equal(&after.state, &before->state))
        ce_cache_put_file(l->cache, before, content);
}

int ce_lookup_load(const ce_lookup *l, const ce_picture *p, size_t i, ce_image *out,
                   ce_digest *key, float *row, bool *found, ce_error *err) {
    char name[sizeof err->message];
    void *data = NULL;
    size_t size = (size_t)p->size;
    *found = false;
    if (!p->path) {
        *key = l->keys[i];
        return ce_picture_load(out, p, err);
    }
    int result = p->is_part ? ce_image_read_part(&data, p->path, p->offset, p->size, err)
                            : ce_image_read(&data, &size, p->path, err);
    if (result == CE_OK) {
        ce_digest content = ce_digest_of(data, size);
        keep_content(l, p, i, &content);
        *key = ce_picture_key(&content, p->alpha);
        ce_cache_find(l->cache, l->space, key, 1, row, l->width, found);
    }
    if (result == CE_OK && !*found) {
        snprintf(name, sizeof name, "%s", p->path);
        if (p->is_part)
            ce_image_part_name(name, sizeof name, p->path, p->offset, p->size);
        result = ce_image_decode(out, data, size, name, p->alpha, err);
    }
    free(data);
    return result;
}

#include "pipeline_cache.h"

#include "identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_space(ce_lookup *l, ce_model *model, ce_cache *cache, ce_tower tower,
                      ce_error *err) {
    const char *sha256;
    char *identity;
    *l = (ce_lookup){.cache = cache, .width = (size_t)ce_model_get_info(model)->embed_dim};
    int result = ce_model_known_sha256(model, cache, &sha256, err);
    if (result == CE_OK)
        result = ce_identity(&identity, model, tower, sha256, err);
    if (result < 0)
        return result;
    l->space = ce_cache_space(cache, identity, sha256, l->width);
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
static void find_keys(ce_lookup *l, const ce_picture *pictures, size_t n, ce_digest *keys,
                      bool *known) {
    for (size_t i = 0; i < n; i++)
        if (pictures[i].path)
            (void)stamp_picture(&pictures[i], &l->stamps[i]);
    ce_cache_find_files(l->cache, l->stamps, n, keys, known);
    for (size_t i = 0; i < n; i++) {
        if (!pictures[i].path)
            keys[i] = ce_pixels_key(&pictures[i]);
        else if (known[i])
            keys[i] = ce_picture_key(&keys[i], pictures[i].alpha);
        known[i] = known[i] || !pictures[i].path;
    }
}

/* What is found is done; what is not is listed. Of two pictures with one key, both. */
static int find_rows(ce_lookup *l, const ce_digest *keys, const bool *known, size_t n,
                     float *embeds, ce_item_status *status, ce_error *err) {
    bool *found = calloc(n, sizeof *found);
    l->todo = calloc(n, sizeof *l->todo);
    if (!found || !l->todo) {
        free(found);
        return ce_fail(err, CE_ENOMEM, "out of memory");
    }
    ce_cache_find(l->cache, l->space, keys, n, embeds, l->width, found);
    for (size_t i = 0; i < n; i++) {
        status[i].found = status[i].done = found[i] && known[i];
        if (!status[i].found)
            l->todo[l->count++] = i;
    }
    free(found);
    return CE_OK;
}

int ce_lookup_pictures(ce_lookup *l, ce_model *model, ce_cache *cache,
                       const ce_picture *pictures, size_t n, float *embeds,
                       ce_item_status *status, ce_error *err) {
    int result = open_space(l, model, cache, CE_IMAGE_TOWER, err);
    if (result < 0)
        return result;
    bool *known = calloc(n, sizeof *known);
    l->stamps = calloc(n, sizeof *l->stamps);
    l->keys = calloc(n, sizeof *l->keys);
    if (!known || !l->stamps || !l->keys) {
        result = ce_fail(err, CE_ENOMEM, "out of memory");
    } else {
        find_keys(l, pictures, n, l->keys, known);
        result = find_rows(l, l->keys, known, n, embeds, status, err);
    }
    free(known);
    return result;
}

int ce_lookup_texts(ce_lookup *l, ce_model *model, ce_cache *cache, ce_error *err) {
    return open_space(l, model, cache, CE_TEXT_TOWER, err);
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

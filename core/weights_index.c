/* A JSON index ("weight_map": name -> file) and the shards beside it, as
 * transformers.modeling_utils reads them: every shard that the index names is loaded
 * whole. */
#include "weights_internal.h"

#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SHARDS 512 /* each keeps a descriptor */
#define MAX_INDEX ((size_t)64 << 20)

static const char *path_of(const ce_weights *w) {
    return w->files[0].path;
}

static bool plain_name(const char *name) {
    return *name && !strchr(name, '/') && !strchr(name, '\\') && strcmp(name, ".") != 0 &&
           !strstr(name, "..");
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct files that the map names, sorted; `*names` borrows from it. */
static int list_shards(const ce_weights *w, const json_t *map, const char ***names,
                       size_t *count, ce_error *err) {
    const char *key;
    json_t *value;
    size_t n = 0;
    *count = 0;
    *names = calloc(json_object_size(map) + 1, sizeof **names);
    if (!*names)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", path_of(w));
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        const char *name = json_string_value(value);
        if (!name || !plain_name(name))
            return ce_fail(err, CE_EFORMAT, "%s: weight_map: %s: %s%sis no plain file name",
                           path_of(w), key, name ? name : "",
                           name ? " " : "what it names ");
        (*names)[n++] = name;
    }
    qsort(*names, n, sizeof **names, by_text);
    for (size_t i = 0; i < n; i++)
        if (*count == 0 || strcmp((*names)[*count - 1], (*names)[i]) != 0)
            (*names)[(*count)++] = (*names)[i];
    if (n == 0)
        return ce_fail(err, CE_EFORMAT, "%s: weight_map is empty", path_of(w));
    if (*count > MAX_SHARDS)
        return ce_fail(err, CE_EUNSUPPORTED, "%s: more than %d shards", path_of(w),
                       MAX_SHARDS);
    return CE_OK;
}

static char *beside(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    size_t directory = slash ? (size_t)(slash - path) + 1 : 0, n = strlen(name);
    char *joined = malloc(directory + n + 1);
    if (joined) {
        memcpy(joined, path, directory);
        memcpy(joined + directory, name, n + 1);
    }
    return joined;
}

static int read_shard(ce_weights *w, const char *name, ce_error *err) {
    ce_weights_file *f = &w->files[w->file_count];
    f->fd = -1;
    f->path = beside(path_of(w), name);
    if (!f->path)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", path_of(w));
    w->file_count++;
    return ce_weights_read_shard(w, f, err);
}

/* Every tensor of the index lies in the shard that it names. (One that lies in a shard and
 * not in the index is loaded, as transformers does.) */
static int check_map(const ce_weights *w, const json_t *map, ce_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        const ce_tensor *t = ce_weights_find(w, key);
        const char *shard = json_string_value(value);
        if (!t)
            return ce_fail(err, CE_EFORMAT, "%s: tensor %s is not in %s", path_of(w), key,
                           shard);
        const char *slash = strrchr(t->file, '/');
        if (strcmp(slash ? slash + 1 : t->file, shard) != 0)
            return ce_fail(err, CE_EFORMAT, "%s: tensor %s should be in %s, and is in %s",
                           path_of(w), key, shard, t->file);
    }
    return CE_OK;
}

static int read_shards(ce_weights *w, const json_t *map, const char *const *names,
                       size_t count, ce_error *err) {
    ce_weights_file *files = realloc(w->files, (count + 1) * sizeof *files);
    if (!files)
        return ce_fail(err, CE_ENOMEM, "%s: out of memory", path_of(w));
    memset(files + 1, 0, count * sizeof *files);
    w->files = files;
    int result = CE_OK;
    for (size_t i = 0; i < count && result == CE_OK; i++)
        result = read_shard(w, names[i], err);
    if (result == CE_OK)
        result = ce_weights_sort(w, err);
    if (result == CE_OK)
        result = check_map(w, map, err);
    if (result == CE_OK) {
        size_t used = strlen(w->format);
        snprintf(w->format + used, sizeof w->format - used, " (%zu shard%s)", count,
                 count == 1 ? "" : "s");
        w->torchscript = false;
    }
    return result;
}

int ce_weights_read_index(ce_weights *w, ce_error *err) {
    const ce_weights_file *f = &w->files[0];
    json_t *index = NULL;
    const json_t *map = NULL;
    const char **names = NULL;
    size_t count = 0;
    int result = CE_OK;
    if (f->size > MAX_INDEX)
        return ce_fail(err, CE_EFORMAT, "%s: too large for an index of shards", f->path);
    result = ce_json_parse(&index, (const char *)f->map, f->size, f->path, err);
    if (result == CE_OK)
        result = ce_json_object(index, "weight_map", &map, f->path, err);
    if (result == CE_OK && !map)
        result =
            ce_fail(err, CE_EFORMAT,
                    "%s: holds no tensors: a JSON file without \"weight_map\"", f->path);
    if (result == CE_OK)
        result = list_shards(w, map, &names, &count, err);
    if (result == CE_OK)
        result = read_shards(w, map, names, count, err);
    free(names);
    json_decref(index);
    return result;
}

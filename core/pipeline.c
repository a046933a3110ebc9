#include "crew.h"
#include "linear.h"
#include "pipeline_cache.h"
#include "pipeline_internal.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Pictures that a worker claims at once: a few batches of the smallest towers, and little
 * enough that no core idles long at the end. */
enum { PICTURE_CHUNK = 8 };

/* One call: what is to be done, and how far it has come. */
typedef struct job {
    ce_model *model;
    ce_lookup lookup; /* its cache is NULL where there is none */
    size_t n;         /* pictures that are to be done */
    size_t workers;
    size_t team; /* threads that share one worker's products: more than 1 where there are
                    fewer chunks than cores */
    float *embeds;
    ce_item_status *status;
    const ce_picture *pictures;
    float *pixels; /* NULL, or all of them */
    atomic_size_t next;
    ce_crew crew;
} job;

/* What one worker holds. */
typedef struct worker {
    float *pixels; /* [PICTURE_CHUNK, 3, h, w] */
    float *embeds; /* [PICTURE_CHUNK, embed_dim] */
    ce_digest keys[PICTURE_CHUNK];
    ce_scratch *scratch; /* NULL until something is to be computed */
} worker;

/* The k-th picture that is to be done. */
static size_t item_at(const job *j, size_t k) {
    return j->lookup.todo ? j->lookup.todo[k] : k;
}

static bool stop(const job *j) {
    return ce_crew_stopped(&j->crew);
}

static void fill_nan(float *row, size_t n) {
    for (size_t i = 0; i < n; i++)
        row[i] = NAN;
}

int ce_item_set_problem(ce_item_status *status, float *row, size_t d, const char *message,
                        ce_error *err) {
    status->problem = strdup(message);
    fill_nan(row, d);
    return status->problem ? CE_OK : ce_fail(err, CE_ENOMEM, "out of memory");
}

/* Notes why item `i` has no embedding. */
static int set_problem(job *j, size_t i, const char *message, ce_error *err) {
    size_t d = (size_t)ce_model_get_info(j->model)->embed_dim;
    return ce_item_set_problem(&j->status[i], j->embeds + i * d, d, message, err);
}

/* Sets `err` to a fault that knows nothing of the picture, with the file's name (and the
 * place in it) before it; pixels in memory have none. */
static int fail_picture(const ce_picture *p, int code, const char *fault, ce_error *err) {
    char name[sizeof err->message];
    if (!p->path)
        return ce_fail(err, code, "%s", fault);
    if (!p->is_part)
        return ce_fail(err, code, "%s: %s", p->path, fault);
    ce_image_part_name(name, sizeof name, p->path, p->offset, p->size);
    return ce_fail(err, code, "%s: %s", name, fault);
}

const char ce_row_overflows[] = "the model's embedding overflows (NaN or infinity)";

bool ce_row_is_finite(const float *row, size_t d) {
    for (size_t k = 0; k < d; k++)
        if (!isfinite(row[k]))
            return false;
    return true;
}

/* Takes over a computed row. */
static int take_row(job *j, size_t i, const float *row, ce_error *err) {
    size_t d = (size_t)ce_model_get_info(j->model)->embed_dim;
    if (!ce_row_is_finite(row, d)) {
        ce_error problem;
        fail_picture(&j->pictures[i], CE_EFORMAT, ce_row_overflows, &problem);
        return set_problem(j, i, problem.message, err);
    }
    memcpy(j->embeds + i * d, row, d * sizeof *row);
    return CE_OK;
}

/* The tower is loaded when something is to be computed with it. */
static int need_scratch(const job *j, worker *w, ce_error *err) {
    return w->scratch ? CE_OK : ce_scratch_new(&w->scratch, j->model, CE_IMAGE_TOWER, err);
}

/* Takes over the `good` rows that a worker computed: row g is that of item places[g], and
 * w->keys[g] its key. */
static int take_rows(job *j, const worker *w, const size_t *places, size_t good,
                     ce_error *err) {
    size_t d = (size_t)ce_model_get_info(j->model)->embed_dim;
    int result = CE_OK;
    for (size_t g = 0; g < good && result == CE_OK; g++) {
        result = take_row(j, places[g], w->embeds + g * d, err);
        if (j->lookup.cache && !j->status[places[g]].problem)
            ce_cache_put(j->lookup.cache, j->lookup.space, &w->keys[g], w->embeds + g * d);
    }
    return result;
}

/* Ends a chunk of `count` items from the `first` on. */
static void finish_chunk(job *j, size_t first, size_t count) {
    for (size_t k = first; k < first + count; k++)
        j->status[item_at(j, k)].done = true;
}

int ce_picture_load(ce_image *out, const ce_picture *p, ce_error *err) {
    if (!p->path)
        return ce_image_from_pixels(out, p->pixels, p->width, p->height, p->channels, err);
    return p->is_part ? ce_image_load_part(out, p->path, p->offset, p->size, p->alpha, err)
                      : ce_image_load(out, p->path, p->alpha, err);
}

/* Item i as the tower takes it; or its row, where the cache has it after all. */
static int load_pixels(job *j, size_t i, float *pixels, ce_digest *key, bool *found,
                       ce_error *err) {
    ce_image image;
    const ce_picture *p = &j->pictures[i];
    size_t d = (size_t)ce_model_get_info(j->model)->embed_dim;
    *found = false;
    int result = j->lookup.cache ? ce_lookup_load(&j->lookup, p, i, &image, key,
                                                  j->embeds + i * d, found, err)
                                 : ce_picture_load(&image, p, err);
    if (result < 0 || *found)
        return result;
    result =
        ce_preprocess_image(pixels, &ce_model_get_info(j->model)->preprocess, &image, err);
    if (result < 0) {
        ce_error inner = *err;
        fail_picture(p, result, inner.message, err);
    }
    ce_image_free(&image);
    return result;
}

/* Decodes, preprocesses and encodes pictures: the `count` from the `first` on of those to
 * be done. The readable ones are moved together, so that the tower sees full batches. */
static int encode_picture_chunk(job *j, worker *w, size_t first, size_t count,
                                ce_error *err) {
    const ce_model_info *info = ce_model_get_info(j->model);
    size_t size = 3 * (size_t)info->image_width * (size_t)info->image_height;
    size_t good = 0, places[PICTURE_CHUNK], tried = 0;
    for (; tried < count && !stop(j); tried++) {
        size_t i = item_at(j, first + tried);
        float *to = w->pixels + good * size;
        ce_error problem;
        int result = load_pixels(j, i, to, &w->keys[good], &j->status[i].found, &problem);
        if (result < 0 && !j->pictures[i].path) { /* the caller's own pixels */
            *err = problem;
            return result;
        }
        if (result < 0) { /* also where one huge picture wants more memory than there is */
            result = set_problem(j, i, problem.message, err);
            if (result < 0)
                return result;
            if (j->pixels)
                fill_nan(j->pixels + i * size, size);
            continue;
        }
        if (j->status[i].found)
            continue;
        if (j->pixels)
            memcpy(j->pixels + i * size, to, size * sizeof *to);
        places[good++] = i;
    }
    int result = good ? need_scratch(j, w, err) : CE_OK;
    if (result == CE_OK && good)
        result =
            ce_model_encode_images(j->model, w->embeds, w->pixels, good, w->scratch, err);
    if (result == CE_OK)
        result = take_rows(j, w, places, good, err);
    if (result == CE_OK)
        finish_chunk(j, first, tried);
    return result;
}

/* Takes the next pictures; 0: none is left. Towards the end they become fewer, so that the
 * workers end together. */
static size_t claim(job *j, size_t *first) {
    size_t at = atomic_load(&j->next), count;
    do {
        size_t left = j->n - at, share = (left + 2 * j->workers - 1) / (2 * j->workers);
        count = share < PICTURE_CHUNK ? share : PICTURE_CHUNK;
        if (j->team > 1) /* their workers have a chunk each, and more cores to share it */
            count = left < PICTURE_CHUNK ? left : PICTURE_CHUNK;
    } while (!atomic_compare_exchange_weak(&j->next, &at, at + count));
    *first = at;
    return count;
}

/* Claims chunks until none is left. */
static void work(ce_crew *crew, void *context) {
    job *j = context;
    const ce_model_info *info = ce_model_get_info(j->model);
    size_t size = 3 * (size_t)info->image_width * (size_t)info->image_height;
    ce_error err;
    worker w = {.pixels = malloc(PICTURE_CHUNK * size * sizeof(float)),
                .embeds = malloc(PICTURE_CHUNK * (size_t)info->embed_dim * sizeof(float))};
    int result = w.pixels && w.embeds ? CE_OK : ce_fail(&err, CE_ENOMEM, "out of memory");
    ce_team *team = NULL;
    if (result == CE_OK && j->team > 1)
        result = ce_team_new(&team, j->team, &err);
    ce_linear_use_team(team);
    while (result == CE_OK && !stop(j)) {
        size_t first, count = claim(j, &first);
        if (first >= j->n)
            break;
        result = encode_picture_chunk(j, &w, first, count, &err);
        atomic_fetch_add(&crew->done, count);
    }
    if (result < 0)
        ce_crew_fail(crew, &err);
    ce_linear_use_team(NULL);
    ce_team_free(team);
    ce_scratch_free(w.scratch);
    free(w.pixels);
    free(w.embeds);
}

/* All that the lookup left. */
static int run(job *j, ce_error *err) {
    size_t chunks = (j->n + PICTURE_CHUNK - 1) / PICTURE_CHUNK;
    size_t threads = ce_crew_threads(j->crew.options);
    j->team = chunks && chunks < threads ? threads / chunks : 1;
    atomic_store(&j->crew.done, j->crew.total - j->n);
    j->workers = j->team > 1 ? chunks : threads;
    return ce_crew_run(&j->crew, j->workers, err);
}

int ce_encode_images(ce_model *model, float *embeds, float *pixels,
                     const ce_picture *pictures, size_t n, ce_item_status *status,
                     const ce_pipeline_options *options, ce_error *err) {
    job j = {.model = model,
             .n = n,
             .embeds = embeds,
             .status = status,
             .pictures = pictures,
             .pixels = pixels,
             .crew = {.options = options, .total = n, .work = work, .context = &j}};
    int result = CE_OK;
    if (n && options && options->cache && !pixels) {
        result =
            ce_lookup_pictures(&j.lookup, model, options, pictures, n, embeds, status, err);
        j.n = j.lookup.todo ? j.lookup.count : n;
    }
    if (result == CE_OK && n)
        result = run(&j, err);
    ce_lookup_close(&j.lookup);
    return result;
}

/* The CPU quota of the cgroup (version 2), rounded up; 0 where there is none. */
static int cgroup_quota(void) {
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f)
        return 0;
    long quota = 0, period = 0;
    int fields = fscanf(f, "%ld %ld", &quota, &period); /* "max 100000" has no quota */
    fclose(f);
    return fields == 2 && quota > 0 && period > 0 ? (int)((quota + period - 1) / period)
                                                  : 0;
}

int ce_default_threads(void) {
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof set, &set) == 0
                    ? CPU_COUNT(&set)
                    : (int)sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than the set holds */
    cores = cores < 1 ? 1 : cores;
    int quota = cgroup_quota();
    return quota > 0 && quota < cores ? quota : cores;
}

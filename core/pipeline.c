#include "pipeline.h"

#include "identity.h"
#include "linear.h"
#include "pipeline_cache.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Items that a worker claims at once: a few batches of the smallest towers, and little
 * enough that no core idles long at the end. */
enum { PICTURE_CHUNK = 8, TEXT_CHUNK = 64 };

/* One call: what is to be done, and how far it has come. */
typedef struct job {
    ce_model *model;
    const ce_pipeline_options *options;
    ce_lookup lookup; /* its cache is NULL where there is none */
    size_t n, chunk;  /* items that are to be done; items that are claimed at once */
    size_t total;     /* items; n, and those that were found */
    size_t team; /* threads that share one worker's products: more than 1 where there are
                   fewer chunks than cores */
    float *embeds;
    ce_item_status *status;
    const ce_picture *pictures; /* pictures */
    float *pixels;              /* NULL, or all of them */
    const ce_text *texts;       /* or texts */
    int32_t *ids;
    atomic_size_t next, done;
    atomic_int running;
    atomic_bool failed;
    ce_error err;         /* the first failure */
    pthread_mutex_t lock; /* of err and finished */
    pthread_cond_t finished;
} job;

/* What one worker holds. */
typedef struct worker {
    float *inputs; /* [chunk, 3, h, w] pixels, or [chunk, context] of int32_t */
    float *embeds; /* [chunk, embed_dim] */
    ce_digest *keys;
    ce_scratch *scratch; /* NULL until something is to be computed */
} worker;

/* The k-th item that is to be done. */
static size_t item_at(const job *j, size_t k) {
    return j->lookup.todo ? j->lookup.todo[k] : k;
}

static bool stop(const job *j) {
    return atomic_load(&j->failed) ||
           (j->options->cancel && atomic_load(j->options->cancel));
}

static void fail(job *j, const ce_error *err) {
    pthread_mutex_lock(&j->lock);
    if (!atomic_exchange(&j->failed, true))
        j->err = *err;
    pthread_mutex_unlock(&j->lock);
}

static void fill_nan(float *row, size_t n) {
    for (size_t i = 0; i < n; i++)
        row[i] = NAN;
}

/* Notes why item `i` has no embedding. */
static int set_problem(job *j, size_t i, const char *message, ce_error *err) {
    j->status[i].problem = strdup(message);
    size_t d = (size_t)ce_model_get_info(j->model)->embed_dim;
    fill_nan(j->embeds + i * d, d);
    return j->status[i].problem ? CE_OK : ce_fail(err, CE_ENOMEM, "out of memory");
}

/* Sets `err` to a fault that knows nothing of the picture, with the file's name (and the
 * place in it) before it; pixels in memory have none. */
static int fail_picture(const ce_picture *p, int code, const char *fault, ce_error *err) {
    char name[sizeof err->message];
    if (!p || !p->path)
        return ce_fail(err, code, "%s", fault);
    if (!p->is_part)
        return ce_fail(err, code, "%s: %s", p->path, fault);
    ce_image_part_name(name, sizeof name, p->path, p->offset, p->size);
    return ce_fail(err, code, "%s: %s", name, fault);
}

/* Takes over a computed row. Weights that are finite can still overflow: no number that is
 * none may pass for an answer. */
static int take_row(job *j, size_t i, const float *row, ce_error *err) {
    size_t d = (size_t)ce_model_get_info(j->model)->embed_dim;
    for (size_t k = 0; k < d; k++)
        if (!isfinite(row[k])) {
            ce_error problem;
            fail_picture(j->pictures ? &j->pictures[i] : NULL, CE_EFORMAT,
                         "the model's embedding overflows (NaN or infinity)", &problem);
            return set_problem(j, i, problem.message, err);
        }
    memcpy(j->embeds + i * d, row, d * sizeof *row);
    return CE_OK;
}

/* A tower is loaded when something is to be computed with it. */
static int need_scratch(const job *j, worker *w, ce_error *err) {
    ce_tower tower = j->pictures ? CE_IMAGE_TOWER : CE_TEXT_TOWER;
    return w->scratch ? CE_OK : ce_scratch_new(&w->scratch, j->model, tower, err);
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
        float *to = w->inputs + good * size;
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
            ce_model_encode_images(j->model, w->embeds, w->inputs, good, w->scratch, err);
    if (result == CE_OK)
        result = take_rows(j, w, places, good, err);
    if (result == CE_OK)
        finish_chunk(j, first, tried);
    return result;
}

/* Tokens of the texts from `first` on that have some; places[g] is the item of row g. */
static int tokenize_chunk(job *j, size_t first, size_t count, int32_t *ids, size_t *places,
                          size_t *good, ce_error *err) {
    const ce_model_info *info = ce_model_get_info(j->model);
    size_t context = (size_t)info->context;
    *good = 0;
    for (size_t i = first; i < first + count; i++) {
        ce_tokens tokens = {0};
        ce_error problem;
        int32_t *to = ids + *good * context;
        int result =
            ce_tokenizer_encode(ce_model_tokenizer(j->model), to, info->context, &tokens,
                                j->texts[i].text, j->texts[i].size, &problem);
        if (result == CE_ENOMEM) {
            *err = problem;
            return result;
        }
        if (result < 0) {
            result = set_problem(j, i, problem.message, err);
            if (result < 0)
                return result;
            if (j->ids)
                memset(j->ids + i * context, 0, context * sizeof *to);
            continue;
        }
        j->status[i].truncated = tokens.truncated;
        if (j->ids)
            memcpy(j->ids + i * context, to, context * sizeof *to);
        places[(*good)++] = i;
    }
    return CE_OK;
}

/* Takes the texts whose rows are in the cache out of ids and places; how many are left. */
static size_t find_texts(job *j, worker *w, size_t *places, size_t good) {
    int context = ce_model_get_info(j->model)->context;
    size_t n = (size_t)context, d = j->lookup.width, left = 0;
    int32_t *ids = (int32_t *)w->inputs;
    bool found[TEXT_CHUNK];
    for (size_t g = 0; g < good; g++)
        w->keys[g] = ce_text_key(ids + g * n, context);
    ce_cache_find(j->lookup.cache, j->lookup.space, w->keys, good, w->embeds, d, found);
    for (size_t g = 0; g < good; g++) {
        if (found[g]) {
            memcpy(j->embeds + places[g] * d, w->embeds + g * d, d * sizeof *w->embeds);
            j->status[places[g]].found = true;
            continue;
        }
        memmove(ids + left * n, ids + g * n, n * sizeof *ids);
        w->keys[left] = w->keys[g];
        places[left++] = places[g];
    }
    return left;
}

static int encode_text_chunk(job *j, worker *w, size_t first, size_t count, ce_error *err) {
    size_t good, places[TEXT_CHUNK];
    int32_t *ids = (int32_t *)w->inputs;
    int result = tokenize_chunk(j, first, count, ids, places, &good, err);
    if (result == CE_OK && j->lookup.cache)
        good = find_texts(j, w, places, good);
    if (result == CE_OK && good)
        result = need_scratch(j, w, err);
    if (result == CE_OK && good)
        result = ce_model_encode_tokens(j->model, w->embeds, ids, good, w->scratch, err);
    if (result == CE_OK)
        result = take_rows(j, w, places, good, err);
    if (result == CE_OK)
        finish_chunk(j, first, count);
    return result;
}

/* Claims chunks until none is left. */
static void work(job *j) {
    const ce_model_info *info = ce_model_get_info(j->model);
    size_t item = j->pictures ? 3 * (size_t)info->image_width * (size_t)info->image_height
                              : (size_t)info->context;
    ce_error err;
    worker w = {.inputs = malloc(j->chunk * item * sizeof(float)),
                .embeds = malloc(j->chunk * (size_t)info->embed_dim * sizeof(float)),
                .keys = malloc(j->chunk * sizeof(ce_digest))};
    int result =
        w.inputs && w.embeds && w.keys ? CE_OK : ce_fail(&err, CE_ENOMEM, "out of memory");
    ce_team *team = NULL;
    if (result == CE_OK && j->team > 1)
        result = ce_team_new(&team, j->team, &err);
    ce_linear_use_team(team);
    while (result == CE_OK && !stop(j)) {
        size_t first = atomic_fetch_add(&j->next, j->chunk);
        if (first >= j->n)
            break;
        size_t count = j->n - first < j->chunk ? j->n - first : j->chunk;
        result = j->pictures ? encode_picture_chunk(j, &w, first, count, &err)
                             : encode_text_chunk(j, &w, first, count, &err);
        atomic_fetch_add(&j->done, count);
    }
    if (result < 0)
        fail(j, &err);
    ce_linear_use_team(NULL);
    ce_team_free(team);
    ce_scratch_free(w.scratch);
    free(w.inputs);
    free(w.embeds);
    free(w.keys);
}

static void *run_worker(void *context) {
    job *j = context;
    work(j);
    pthread_mutex_lock(&j->lock);
    atomic_fetch_sub(&j->running, 1);
    pthread_cond_signal(&j->finished);
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

static void report_progress(const job *j) {
    if (j->options->progress)
        j->options->progress(j->options->progress_context,
                             j->total - j->n + atomic_load(&j->done), j->total);
}

/* The calling thread reports while the workers work. */
static void wait_for_workers(job *j) {
    pthread_mutex_lock(&j->lock);
    while (atomic_load(&j->running) > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100 * 1000 * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&j->finished, &j->lock, &until);
        pthread_mutex_unlock(&j->lock);
        report_progress(j);
        if (j->lookup.cache)
            ce_cache_tick(j->lookup.cache);
        pthread_mutex_lock(&j->lock);
    }
    pthread_mutex_unlock(&j->lock);
}

static int run(job *j, ce_error *err) {
    if (j->n == 0) { /* all was found */
        report_progress(j);
        return CE_OK;
    }
    size_t chunks = (j->n + j->chunk - 1) / j->chunk;
    int threads = j->options->threads > 0 ? j->options->threads : ce_default_threads();
    j->team = chunks < (size_t)threads ? (size_t)threads / chunks : 1;
    if ((size_t)threads > chunks)
        threads = (int)chunks;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->finished, NULL);
    pthread_t *handles = calloc((size_t)threads + 1, sizeof *handles);
    int started = 0;
    atomic_store(&j->running, threads);
    while (handles && started < threads &&
           pthread_create(&handles[started], NULL, run_worker, j) == 0)
        started++;
    atomic_fetch_sub(&j->running, threads - started);
    if (started == 0) /* no thread to be had (or nothing to do): this one will do */
        work(j);
    wait_for_workers(j);
    for (int i = 0; i < started; i++)
        pthread_join(handles[i], NULL);
    free(handles);
    report_progress(j);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->finished);
    if (atomic_load(&j->failed))
        return ce_fail(err, j->err.code, "%s", j->err.message);
    if (stop(j))
        return ce_fail(err, CE_ECANCELLED, "interrupted");
    return CE_OK;
}

int ce_encode_images(ce_model *model, float *embeds, float *pixels,
                     const ce_picture *pictures, size_t n, ce_item_status *status,
                     const ce_pipeline_options *options, ce_error *err) {
    static const ce_pipeline_options none;
    options = options ? options : &none;
    job j = {.model = model,
             .options = options,
             .n = n,
             .total = n,
             .chunk = PICTURE_CHUNK,
             .embeds = embeds,
             .status = status,
             .pictures = pictures,
             .pixels = pixels};
    int result = CE_OK;
    if (n && options->cache && !pixels) {
        result =
            ce_lookup_pictures(&j.lookup, model, options, pictures, n, embeds, status, err);
        j.n = j.lookup.todo ? j.lookup.count : n;
    }
    if (result == CE_OK && n)
        result = run(&j, err);
    ce_lookup_close(&j.lookup);
    return result;
}

int ce_encode_texts(ce_model *model, float *embeds, int32_t *ids, const ce_text *texts,
                    size_t n, ce_item_status *status, const ce_pipeline_options *options,
                    ce_error *err) {
    static const ce_pipeline_options none;
    options = options ? options : &none;
    job j = {.model = model,
             .options = options,
             .n = n,
             .total = n,
             .chunk = TEXT_CHUNK,
             .embeds = embeds,
             .status = status,
             .texts = texts,
             .ids = ids};
    int result = CE_OK;
    if (n && options->cache)
        result = ce_lookup_texts(&j.lookup, model, options, err);
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

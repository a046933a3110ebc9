#include "pipeline.h"

#include "linear.h"

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
    size_t n, chunk;
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

/* Ends a chunk of `count` items from `first` on, of which `good` were encoded: row g of
 * embeds [good, embed_dim] is that of item places[g]. */
static int finish_chunk(job *j, size_t first, size_t count, const size_t *places,
                        const float *embeds, size_t good, ce_error *err) {
    size_t d = (size_t)ce_model_get_info(j->model)->embed_dim;
    int result = CE_OK;
    for (size_t g = 0; g < good && result == CE_OK; g++)
        result = take_row(j, places[g], embeds + g * d, err);
    for (size_t i = first; i < first + count; i++)
        j->status[i].done = true;
    return result;
}

int ce_picture_load(ce_image *out, const ce_picture *p, ce_error *err) {
    if (!p->path)
        return ce_image_from_pixels(out, p->pixels, p->width, p->height, p->channels, err);
    return p->is_part ? ce_image_load_part(out, p->path, p->offset, p->size, p->alpha, err)
                      : ce_image_load(out, p->path, p->alpha, err);
}

static int load_pixels(const job *j, float *pixels, const ce_picture *p, ce_error *err) {
    ce_image image;
    int result = ce_picture_load(&image, p, err);
    if (result < 0)
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

/* Decodes, preprocesses and encodes pictures first .. first + count - 1. The readable ones
 * are moved together, so that the tower sees full batches. */
static int encode_picture_chunk(job *j, size_t first, size_t count, float *pixels,
                                float *embeds, ce_scratch *scratch, ce_error *err) {
    const ce_model_info *info = ce_model_get_info(j->model);
    size_t size = 3 * (size_t)info->image_width * (size_t)info->image_height;
    size_t good = 0, places[PICTURE_CHUNK], tried = 0;
    for (; tried < count && !stop(j); tried++) {
        size_t i = first + tried;
        float *to = pixels + good * size;
        ce_error problem;
        int result = load_pixels(j, to, &j->pictures[i], &problem);
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
        if (j->pixels)
            memcpy(j->pixels + i * size, to, size * sizeof *to);
        places[good++] = i;
    }
    int result = ce_model_encode_images(j->model, embeds, pixels, good, scratch, err);
    return result < 0 ? result : finish_chunk(j, first, tried, places, embeds, good, err);
}

static int encode_text_chunk(job *j, size_t first, size_t count, int32_t *ids,
                             float *embeds, ce_scratch *scratch, ce_error *err) {
    const ce_model_info *info = ce_model_get_info(j->model);
    size_t context = (size_t)info->context, good = 0, places[TEXT_CHUNK];
    for (size_t i = first; i < first + count; i++) {
        ce_tokens tokens = {0};
        ce_error problem;
        int32_t *to = ids + good * context;
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
        places[good++] = i;
    }
    int result = ce_model_encode_tokens(j->model, embeds, ids, good, scratch, err);
    return result < 0 ? result : finish_chunk(j, first, count, places, embeds, good, err);
}

/* Claims chunks until none is left. */
static void work(job *j) {
    const ce_model_info *info = ce_model_get_info(j->model);
    size_t item = j->pictures ? 3 * (size_t)info->image_width * (size_t)info->image_height
                              : (size_t)info->context;
    ce_error err;
    ce_scratch *scratch = NULL;
    float *inputs = malloc(j->chunk * item * sizeof *inputs); /* or as many int32_t */
    float *embeds = malloc(j->chunk * (size_t)info->embed_dim * sizeof *embeds);
    int result = !inputs || !embeds
                     ? ce_fail(&err, CE_ENOMEM, "out of memory")
                     : ce_scratch_new(&scratch, j->model,
                                      j->pictures ? CE_IMAGE_TOWER : CE_TEXT_TOWER, &err);
    ce_team *team = NULL;
    if (result == CE_OK && j->team > 1)
        result = ce_team_new(&team, j->team, &err);
    ce_linear_use_team(team);
    while (result == CE_OK && !stop(j)) {
        size_t first = atomic_fetch_add(&j->next, j->chunk);
        if (first >= j->n)
            break;
        size_t count = j->n - first < j->chunk ? j->n - first : j->chunk;
        result = j->pictures
                     ? encode_picture_chunk(j, first, count, inputs, embeds, scratch, &err)
                     : encode_text_chunk(j, first, count, (int32_t *)inputs, embeds,
                                         scratch, &err);
        atomic_fetch_add(&j->done, count);
    }
    if (result < 0)
        fail(j, &err);
    ce_linear_use_team(NULL);
    ce_team_free(team);
    ce_scratch_free(scratch);
    free(inputs);
    free(embeds);
}

static void *worker(void *context) {
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
        j->options->progress(j->options->progress_context, atomic_load(&j->done), j->n);
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
        pthread_mutex_lock(&j->lock);
    }
    pthread_mutex_unlock(&j->lock);
}

static int run(job *j, ce_error *err) {
    static const ce_pipeline_options none;
    if (!j->options)
        j->options = &none;
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
           pthread_create(&handles[started], NULL, worker, j) == 0)
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
    job j = {.model = model,
             .options = options,
             .n = n,
             .chunk = PICTURE_CHUNK,
             .embeds = embeds,
             .status = status,
             .pictures = pictures,
             .pixels = pixels};
    return n ? run(&j, err) : CE_OK;
}

int ce_encode_texts(ce_model *model, float *embeds, int32_t *ids, const ce_text *texts,
                    size_t n, ce_item_status *status, const ce_pipeline_options *options,
                    ce_error *err) {
    job j = {.model = model,
             .options = options,
             .n = n,
             .chunk = TEXT_CHUNK,
             .embeds = embeds,
             .status = status,
             .texts = texts,
             .ids = ids};
    return n ? run(&j, err) : CE_OK;
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

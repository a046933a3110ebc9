/* Texts -> embeddings. The texts of a call are looked at together, because those that begin
 * alike share work (prefix_tree.h): all are tokenized, those whose rows the cache has are
 * taken from there, what is to be computed is planned, and the blocks of the plan are
 * computed, on every core. */
#include "crew.h"
#include "identity.h"
#include "linear.h"
#include "pipeline_cache.h"
#include "pipeline_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    TEXT_CHUNK = 256,         /* texts that a worker tokenizes at once */
    WINDOW_BYTES = 64u << 20, /* of token ids that are looked at together */
    SLICE = 1 << 14,          /* texts that are looked up between two looks at Ctrl-C */
};

/* One call, of which texts first .. first + count - 1 are in hand. */
typedef struct job {
    ce_model *model;
    ce_lookup lookup; /* its cache is NULL where there is none */
    size_t d, context;
    float *embeds;
    ce_item_status *status;
    const ce_text *texts;
    int32_t *ids; /* NULL, or where all of them go */
    size_t first, count;
    int32_t *window;  /* [count, context] */
    ce_digest *keys;  /* [count] of the ids; of a text that has none: of nothing */
    uint32_t *places; /* [good] the text of each row of the window that is to be computed */
    size_t good;
    ce_prefix_tree *plan; /* of those */
    size_t team;          /* threads that share one worker's products: more than 1 where
                             there are fewer blocks than cores */
    atomic_size_t next;
} job;

static int tokenize(job *j, size_t k, ce_error *err) {
    size_t i = j->first + k;
    int32_t *to = j->window + k * j->context;
    ce_tokens tokens = {0};
    ce_error problem;
    int result = ce_tokenizer_encode(ce_model_tokenizer(j->model), to, (int)j->context,
                                     &tokens, j->texts[i].text, j->texts[i].size, &problem);
    if (result == CE_ENOMEM) {
        *err = problem;
        return result;
    }
    if (result < 0) {
        memset(to, 0, j->context * sizeof *to);
        j->keys[k] = (ce_digest){0};
        result = ce_item_set_problem(&j->status[i], j->embeds + i * j->d, j->d,
                                     problem.message, err);
    } else if (j->lookup.cache) {
        j->keys[k] = ce_text_key(to, (int)j->context);
    }
    j->status[i].truncated = tokens.truncated;
    if (j->ids)
        memcpy(j->ids + i * j->context, to, j->context * sizeof *to);
    return result;
}

static void work_on_tokens(ce_crew *crew, void *context) {
    job *j = context;
    ce_error err;
    while (!ce_crew_stopped(crew)) {
        size_t k = atomic_fetch_add(&j->next, TEXT_CHUNK);
        if (k >= j->count)
            return;
        size_t end = j->count - k < TEXT_CHUNK ? j->count : k + TEXT_CHUNK;
        int result = CE_OK;
        for (; k < end && result == CE_OK; k++)
            result = tokenize(j, k, &err);
        if (result < 0)
            ce_crew_fail(crew, &err);
    }
}

/* Takes the rows that the cache has. */
static void find(job *j, const ce_crew *crew) {
    bool found[SLICE];
    for (size_t k = 0; k < j->count && !ce_crew_stopped(crew); k += SLICE) {
        size_t i = j->first + k, n = j->count - k < SLICE ? j->count - k : SLICE;
        ce_cache_find(j->lookup.cache, j->lookup.space, j->keys + k, n,
                      j->embeds + i * j->d, j->d, found);
        for (size_t g = 0; g < n; g++)
            j->status[i + g].found = found[g];
    }
}

/* The ids of the texts in hand are known. Chooses those that are to be computed: moves
 * their rows of the window together and notes their places. The others are done. */
static void choose(job *j, ce_crew *crew) {
    j->good = 0;
    for (size_t k = 0; k < j->count; k++) {
        ce_item_status *status = &j->status[j->first + k];
        if (status->problem || status->found) {
            status->done = true;
            atomic_fetch_add(&crew->done, 1);
            continue;
        }
        if (j->good < k)
            memcpy(j->window + j->good * j->context, j->window + k * j->context,
                   j->context * sizeof *j->window);
        j->places[j->good++] = (uint32_t)k;
    }
}

/* Takes over the row of the window's text k; `is_first` that has it. */
static int take_row(job *j, size_t k, const float *row, bool is_first, ce_error *err) {
    ce_item_status *status = &j->status[j->first + k];
    float *to = j->embeds + (j->first + k) * j->d;
    status->done = true;
    if (!ce_row_is_finite(row, j->d))
        return ce_item_set_problem(status, to, j->d, ce_row_overflows, err);
    memcpy(to, row, j->d * sizeof *to);
    if (j->lookup.cache && is_first)
        ce_cache_put(j->lookup.cache, j->lookup.space, &j->keys[k], row);
    return CE_OK;
}

/* Hands the rows of a block to its texts. */
static int finish_block(job *j, size_t block, const float *rows, ce_error *err) {
    const ce_prefix_tree *plan = j->plan;
    const float *row = NULL;
    int result = CE_OK;
    for (size_t k = plan->first[block]; k < plan->first[block + 1] && result == CE_OK;
         k++) {
        bool opens = ce_prefix_tree_opens_row(plan, block, k);
        if (opens)
            row = row ? row + j->d : rows;
        result = take_row(j, j->places[plan->order[k]], row, opens, err);
    }
    return result;
}

static void work_on_blocks(ce_crew *crew, void *context) {
    job *j = context;
    ce_error err;
    ce_scratch *scratch = NULL;
    ce_team *team = NULL;
    if (atomic_load(&j->next) >= j->plan->blocks) /* then the tower is not needed */
        return;
    int result = ce_scratch_new(&scratch, j->model, CE_TEXT_TOWER, &err);
    if (result == CE_OK && j->team > 1)
        result = ce_team_new(&team, j->team, &err);
    ce_linear_use_team(team);
    while (result == CE_OK && !ce_crew_stopped(crew)) {
        size_t b = atomic_fetch_add(&j->next, 1);
        if (b >= j->plan->blocks)
            break;
        const float *rows = NULL;
        result = ce_model_encode_block(j->model, &rows, j->plan, b, scratch, &err);
        if (result == CE_OK)
            result = finish_block(j, b, rows, &err);
        atomic_fetch_add(&crew->done, j->plan->first[b + 1] - j->plan->first[b]);
    }
    if (result < 0)
        ce_crew_fail(crew, &err);
    ce_linear_use_team(NULL);
    ce_team_free(team);
    ce_scratch_free(scratch);
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Tokenizes the texts in hand; without progress, which tells of embeddings. */
static int tokenize_window(job *j, const ce_crew *crew, size_t threads, ce_error *err) {
    ce_pipeline_options quiet = {.cancel = crew->options ? crew->options->cancel : NULL};
    ce_crew tokenizing = {.options = &quiet, .work = work_on_tokens, .context = j};
    atomic_store(&j->next, 0);
    return ce_crew_run(&tokenizing, smaller(threads, (j->count - 1) / TEXT_CHUNK), err);
}

static int encode_window(job *j, ce_crew *crew, ce_error *err) {
    size_t threads = ce_crew_threads(crew->options);
    int result = tokenize_window(j, crew, threads, err);
    if (result < 0)
        return result;
    if (j->lookup.cache)
        find(j, crew);
    choose(j, crew);
    result = ce_model_plan_texts(j->model, &j->plan, j->window, j->good, threads, err);
    if (result < 0)
        return result;
    size_t blocks = j->plan->blocks;
    j->team = blocks && blocks < threads ? threads / blocks : 1;
    atomic_store(&j->next, 0);
    result = ce_crew_run(crew, smaller(threads, blocks), err);
    ce_prefix_tree_free(j->plan);
    return result;
}

int ce_encode_texts(ce_model *model, float *embeds, int32_t *ids, const ce_text *texts,
                    size_t n, ce_item_status *status, const ce_pipeline_options *options,
                    ce_error *err) {
    const ce_model_info *info = ce_model_get_info(model);
    job j = {.model = model,
             .d = (size_t)info->embed_dim,
             .context = (size_t)info->context,
             .embeds = embeds,
             .status = status,
             .texts = texts,
             .ids = ids};
    ce_crew crew = {.options = options, .total = n, .work = work_on_blocks, .context = &j};
    size_t most = smaller(n, WINDOW_BYTES / sizeof *j.window / j.context);
    j.window = malloc((most * j.context + 1) * sizeof *j.window);
    j.keys = malloc((most + 1) * sizeof *j.keys);
    j.places = malloc((most + 1) * sizeof *j.places);
    int result = CE_OK;
    if (!j.window || !j.keys || !j.places)
        result = ce_fail(err, CE_ENOMEM, "out of memory for texts");
    if (result == CE_OK && n && options && options->cache)
        result = ce_lookup_texts(&j.lookup, model, options, err);
    for (; j.first < n && result == CE_OK; j.first += j.count) {
        j.count = smaller(n - j.first, most);
        result = encode_window(&j, &crew, err);
    }
    ce_lookup_close(&j.lookup);
    free(j.window);
    free(j.keys);
    free(j.places);
    return result;
}

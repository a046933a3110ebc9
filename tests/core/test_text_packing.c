/* Text towers beside a naive twin: open_clip checkpoints of random weights are written, and
 * each text is computed alone, token by token, in float64. Whatever texts it is packed
 * with, its row is the twin's, and its bits are always the same. */
#include "golden.h"
#include "linear.h"
#include "pipeline.h"
#include "scratch.h"
#include "stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { VOCABULARY = 534, END = 533, EMBED = 12, TENSORS = 64 };

typedef struct spec {
    const char *pool;
    bool causal;
    size_t width, heads, layers, context;
} spec;

static const spec specs[] = {
    {"argmax", true, 24, 3, 3, 11}, /* columns that fill no vector */
    {"eos", true, 128, 2, 2, 20},   /* heads of 64, as OpenAI's */
    {"last", true, 16, 1, 1, 7},    /* the pooled layer is the only one */
    {"first", true, 16, 2, 2, 7},   /* one row for all */
    {"eos", true, 32, 2, 2, 130},   {"last", false, 24, 3, 2, 9},
    {"eos", false, 24, 3, 2, 9},
};
enum { SPECS = sizeof specs / sizeof *specs };

/* ---- a checkpoint ---- */

typedef struct tensor {
    char name[96];
    size_t rows, columns, n;
    float *data;
} tensor;

typedef struct checkpoint {
    const spec *spec;
    tensor tensors[TENSORS];
    size_t count;
    ce_random random;
    ce_model *model;
    ce_scratch *scratch;
} checkpoint;

static float uniform(ce_random *r) {
    return (float)(2 * ce_random_unit(r) - 1);
}

/* Weights of about unit gain, so that no layer drowns in another. */
static void add(checkpoint *c, const char *name, size_t rows, size_t columns) {
    tensor *t = &c->tensors[c->count++];
    assert_true(c->count <= TENSORS);
    snprintf(t->name, sizeof t->name, "%s", name);
    t->rows = rows;
    t->columns = columns;
    t->n = (rows ? rows : 1) * (columns ? columns : 1);
    t->data = malloc(t->n * sizeof *t->data);
    float scale = columns ? 1.5f / sqrtf((float)columns) : 0.3f;
    bool gain = strstr(name, "ln_") && strstr(name, "weight");
    for (size_t i = 0; i < t->n; i++)
        t->data[i] = (gain ? 1 : 0) + scale * uniform(&c->random);
}

static void add_block(checkpoint *c, const char *prefix, size_t layer, size_t width) {
    static const struct {
        const char *name;
        size_t rows, columns;
    } parts[] = {{"ln_1.weight", 1, 0},          {"ln_1.bias", 1, 0},
                 {"attn.in_proj_weight", 3, 1},  {"attn.in_proj_bias", 3, 0},
                 {"attn.out_proj.weight", 1, 1}, {"attn.out_proj.bias", 1, 0},
                 {"ln_2.weight", 1, 0},          {"ln_2.bias", 1, 0},
                 {"mlp.c_fc.weight", 4, 1},      {"mlp.c_fc.bias", 4, 0},
                 {"mlp.c_proj.weight", 1, 4},    {"mlp.c_proj.bias", 1, 0}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s%zu.%s", prefix, layer, parts[i].name);
        add(c, name, parts[i].rows * width, parts[i].columns * width);
    }
}

static void add_tensors(checkpoint *c) {
    size_t width = c->spec->width;
    add(c, "logit_scale", 0, 0);
    add(c, "token_embedding.weight", VOCABULARY, width);
    add(c, "positional_embedding", c->spec->context, width);
    add(c, "text_projection", width, EMBED);
    add(c, "ln_final.weight", width, 0);
    add(c, "ln_final.bias", width, 0);
    for (size_t i = 0; i < c->spec->layers; i++)
        add_block(c, "transformer.resblocks.", i, width);
    add(c, "visual.class_embedding", 8, 0);
    add(c, "visual.positional_embedding", 5, 8);
    add(c, "visual.proj", 8, EMBED);
    add(c, "visual.conv1.weight", 8, 3 * 4 * 4);
    add(c, "visual.ln_pre.weight", 8, 0);
    add(c, "visual.ln_pre.bias", 8, 0);
    add(c, "visual.ln_post.weight", 8, 0);
    add(c, "visual.ln_post.bias", 8, 0);
    add_block(c, "visual.transformer.resblocks.", 0, 8);
}

static void write_weights(const checkpoint *c, const char *path) {
    FILE *f = fopen(path, "w+b");
    assert_non_null(f);
    fseek(f, 8, SEEK_SET);
    size_t offset = 0;
    for (size_t i = 0; i < c->count; i++) {
        const tensor *t = &c->tensors[i];
        fprintf(f, "%c\"%s\":{\"dtype\":\"F32\",\"shape\":[", i ? ',' : '{', t->name);
        if (strstr(t->name, "conv1"))
            fprintf(f, "8,3,4,4");
        else if (t->columns)
            fprintf(f, "%zu,%zu", t->rows, t->columns);
        else if (t->rows)
            fprintf(f, "%zu", t->rows);
        fprintf(f, "],\"data_offsets\":[%zu,%zu]}", offset, offset + 4 * t->n);
        offset += 4 * t->n;
    }
    fputc('}', f);
    uint64_t length = (uint64_t)ftell(f) - 8;
    for (size_t i = 0; i < c->count; i++)
        fwrite(c->tensors[i].data, 4, c->tensors[i].n, f);
    rewind(f);
    fwrite(&length, 8, 1, f);
    assert_int_equal(fclose(f), 0);
}

static void copy_golden(const char *directory, const char *name) {
    char from[GOLDEN_PATH], relative[128], to[128];
    size_t size = 0;
    snprintf(relative, sizeof relative, "models/tiny-openclip-options/%s", name);
    snprintf(to, sizeof to, "%s/%s", directory, name);
    char *bytes = golden_read(golden_path(from, sizeof from, relative), &size);
    assert_non_null(bytes);
    assert_non_null(scratch_write(to, bytes, size));
    free(bytes);
}

static void open_checkpoint(checkpoint *c, size_t which) {
    *c = (checkpoint){.spec = &specs[which], .random = {which + 1}};
    const spec *s = c->spec;
    char directory[32], name[64], config[1024];
    ce_error err = {0};
    snprintf(directory, sizeof directory, "%zu", which);
    mkdir(scratch_path(directory), 0700);
    copy_golden(directory, "vocab.json");
    copy_golden(directory, "merges.txt");
    snprintf(config, sizeof config,
             "{\"model_cfg\":{\"embed_dim\":%d,\"quick_gelu\":true,\"vision_cfg\":{"
             "\"image_size\":8,\"layers\":1,\"width\":8,\"head_width\":4,\"patch_size\":4},"
             "\"text_cfg\":{\"context_length\":%zu,\"vocab_size\":%d,\"width\":%zu,"
             "\"heads\":%zu,\"layers\":%zu,\"pool_type\":\"%s\",\"eos_id\":%d,"
             "\"no_causal_mask\":%s}},\"preprocess_cfg\":{}}",
             EMBED, s->context, VOCABULARY, s->width, s->heads, s->layers, s->pool, END,
             s->causal ? "false" : "true");
    snprintf(name, sizeof name, "%s/open_clip_config.json", directory);
    assert_non_null(scratch_write(name, config, strlen(config)));
    add_tensors(c);
    snprintf(name, sizeof name, "%s/open_clip_model.safetensors", directory);
    write_weights(c, scratch_path(name));
    if (ce_model_open(&c->model, scratch_path(directory), NULL, &err) < 0 ||
        ce_scratch_new(&c->scratch, c->model, CE_TEXT_TOWER, &err) < 0)
        fail_msg("%s", err.message);
}

static void close_checkpoint(checkpoint *c) {
    ce_scratch_free(c->scratch);
    ce_model_free(c->model);
    for (size_t i = 0; i < c->count; i++)
        free(c->tensors[i].data);
}

/* ---- the twin ---- */

static const float *values(const checkpoint *c, const char *format, size_t layer) {
    char name[96];
    snprintf(name, sizeof name, format, layer);
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->tensors[i].name, name) == 0)
            return c->tensors[i].data;
    fail_msg("no tensor %s", name);
    return NULL;
}

static void normalize(double *y, const double *x, size_t n, const float *gain,
                      const float *bias) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++)
        mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        variance += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) / sqrt(variance + 1e-5) * (double)gain[i] + (double)bias[i];
}

/* y[out] = or += w[out, in] x + bias */
static void multiply(double *y, const double *x, const float *w, const float *bias,
                     size_t out, size_t in, bool add_to) {
    for (size_t i = 0; i < out; i++) {
        double sum = (double)bias[i] + (add_to ? y[i] : 0);
        for (size_t k = 0; k < in; k++)
            sum += (double)w[i * in + k] * x[k];
        y[i] = sum;
    }
}

/* mixed[width] of token i; qkv [length, 3 * width] */
static void attend(double *mixed, const double *qkv, const spec *s, size_t i,
                   size_t length) {
    size_t size = s->width / s->heads, seen = s->causal ? i + 1 : length;
    for (size_t h = 0; h < s->heads; h++) {
        const double *q = qkv + i * 3 * s->width + h * size;
        double total = 0;
        memset(mixed + h * size, 0, size * sizeof *mixed);
        for (size_t j = 0; j < seen; j++) {
            const double *k = qkv + (j * 3 + 1) * s->width + h * size, *v = k + s->width;
            double score = 0;
            for (size_t p = 0; p < size; p++)
                score += q[p] * k[p] / sqrt((double)size);
            total += exp(score);
            for (size_t p = 0; p < size; p++)
                mixed[h * size + p] += exp(score) * v[p];
        }
        for (size_t p = 0; p < size; p++)
            mixed[h * size + p] /= total;
    }
}

static void twin_block(const checkpoint *c, double *x, size_t layer) {
    const spec *s = c->spec;
    size_t w = s->width, n = s->context;
    double *qkv = malloc(n * 3 * w * sizeof *qkv), *part = malloc(4 * w * sizeof *part),
           *hidden = malloc(4 * w * sizeof *hidden);
#define PART(name) values(c, "transformer.resblocks.%zu." name, layer)
    for (size_t i = 0; i < n; i++) {
        normalize(part, x + i * w, w, PART("ln_1.weight"), PART("ln_1.bias"));
        multiply(qkv + i * 3 * w, part, PART("attn.in_proj_weight"),
                 PART("attn.in_proj_bias"), 3 * w, w, false);
    }
    for (size_t i = 0; i < n; i++) {
        attend(part, qkv, s, i, n);
        multiply(x + i * w, part, PART("attn.out_proj.weight"), PART("attn.out_proj.bias"),
                 w, w, true);
        normalize(part, x + i * w, w, PART("ln_2.weight"), PART("ln_2.bias"));
        multiply(hidden, part, PART("mlp.c_fc.weight"), PART("mlp.c_fc.bias"), 4 * w, w,
                 false);
        for (size_t k = 0; k < 4 * w; k++)
            hidden[k] /= 1 + exp(-1.702 * hidden[k]);
        multiply(x + i * w, hidden, PART("mlp.c_proj.weight"), PART("mlp.c_proj.bias"), w,
                 4 * w, true);
    }
#undef PART
    free(qkv);
    free(part);
    free(hidden);
}

static size_t pooled_at(const spec *s, const int32_t *ids) {
    size_t at = 0;
    if (strcmp(s->pool, "last") == 0)
        return s->context - 1;
    for (size_t i = 0; i < s->context; i++)
        if (strcmp(s->pool, "argmax") == 0 && ids[i] > ids[at])
            at = i;
        else if (strcmp(s->pool, "eos") == 0 && ids[i] == END)
            return i;
    return at;
}

/* out[EMBED], all tokens of the context, padding too. */
static void twin(const checkpoint *c, double *out, const int32_t *ids) {
    const spec *s = c->spec;
    size_t w = s->width;
    const float *tokens = values(c, "token_embedding.weight", 0),
                *positions = values(c, "positional_embedding", 0),
                *projection = values(c, "text_projection", 0);
    double *x = malloc(s->context * w * sizeof *x), *row = malloc(w * sizeof *row);
    for (size_t i = 0; i < s->context * w; i++)
        x[i] = (double)tokens[(size_t)ids[i / w] * w + i % w] + (double)positions[i];
    for (size_t layer = 0; layer < s->layers; layer++)
        twin_block(c, x, layer);
    normalize(row, x + pooled_at(s, ids) * w, w, values(c, "ln_final.weight", 0),
              values(c, "ln_final.bias", 0));
    for (size_t j = 0; j < EMBED; j++) {
        out[j] = 0;
        for (size_t k = 0; k < w; k++)
            out[j] += row[k] * (double)projection[k * EMBED + j];
    }
    free(x);
    free(row);
}

/* ---- texts ---- */

/* Few tokens, beginnings of others, the same again; an end somewhere, or nowhere; and
 * behind it padding, or whatever there was. */
static int32_t *random_ids(ce_random *r, const spec *s, size_t n) {
    int32_t *ids = calloc(n * s->context, sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        int32_t *own = ids + i * s->context;
        size_t kept = 0, end = ce_random_below(r, s->context + 1);
        if (i && ce_random_below(r, 3)) {
            memcpy(own, ids + ce_random_below(r, i) * s->context, s->context * sizeof *own);
            kept = ce_random_below(r, s->context + 1);
        }
        for (size_t p = kept; p < s->context; p++)
            own[p] = (int32_t)ce_random_below(r, 5) * 100;
        if (end < s->context && kept < s->context)
            own[end] = END;
        for (size_t p = end + 1; p < s->context && i % 2; p++)
            own[p] = 0;
    }
    return ids;
}

static float *encode(const checkpoint *c, const int32_t *ids, size_t n) {
    float *out = malloc((n * EMBED + 1) * sizeof *out);
    assert_int_equal(ce_model_encode_tokens(c->model, out, ids, n, c->scratch, NULL), 0);
    return out;
}

static void packed_texts_are_the_twin_s(void **state) {
    (void)state;
    enum { N = 40 };
    for (size_t which = 0; which < SPECS; which++) {
        checkpoint c;
        open_checkpoint(&c, which);
        int32_t *ids = random_ids(&c.random, c.spec, N);
        float *out = encode(&c, ids, N);
        double worst = 0, largest = 0;
        for (size_t i = 0; i<N; i += c.spec->context> 100 ? 4 : 1) {
            double truth[EMBED];
            twin(&c, truth, ids + i * c.spec->context);
            for (size_t k = 0; k < EMBED; k++) {
                worst = fmax(worst, fabs((double)out[i * EMBED + k] - truth[k]));
                largest = fmax(largest, fabs(truth[k]));
            }
        }
        print_message("%s, %s, %zu wide: off by %.2g of %.2g\n", c.spec->pool,
                      c.spec->causal ? "causal" : "bidirectional", c.spec->width, worst,
                      largest);
        assert_true(worst < 1e-5);
        free(ids);
        free(out);
        close_checkpoint(&c);
    }
}

static void shuffle(ce_random *r, size_t *order, size_t n) {
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n; i > 1; i--) {
        size_t j = ce_random_below(r, i), kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
}

/* Texts order[0 .. n - 1] packed together have the bits that they had in `all`. */
static void check_subset(const checkpoint *c, const int32_t *ids, const float *all,
                         const size_t *order, size_t n) {
    size_t context = c->spec->context;
    int32_t *some = malloc((n * context + 1) * sizeof *some);
    for (size_t i = 0; i < n; i++)
        memcpy(some + i * context, ids + order[i] * context, context * sizeof *some);
    float *out = encode(c, some, n);
    for (size_t i = 0; i < n; i++)
        assert_memory_equal(out + i * EMBED, all + order[i] * EMBED, EMBED * sizeof *out);
    free(some);
    free(out);
}

static void a_text_s_bits_do_not_depend_on_its_company(void **state) {
    (void)state;
    enum { N = 300 };
    if (strncmp(ce_engine_description(), "OpenBLAS", 8) == 0)
        skip(); /* it does not promise this */
    for (size_t which = 0; which < SPECS; which++) {
        checkpoint c;
        size_t order[N];
        open_checkpoint(&c, which);
        int32_t *ids = random_ids(&c.random, c.spec, N);
        float *all = encode(&c, ids, N);
        shuffle(&c.random, order, N);
        check_subset(&c, ids, all, order, N);
        check_subset(&c, ids, all, order, N / 7);
        for (size_t i = 0; i < N; i += 9)
            check_subset(&c, ids, all, order + i, 1);
        check_subset(&c, ids, all, order, 0);
        free(ids);
        free(all);
        close_checkpoint(&c);
    }
}

/* ---- the pipeline: 10,000 prompts ---- */

enum { PROMPTS = 10000 };
static char prompts[PROMPTS][48];
static ce_text texts[PROMPTS];

static void write_prompts(void) {
    static const char *const templates[] = {"a photo of %s", "a photo of the %s",
                                            "%s, in a game", "the %s", "an odd %s; or not"};
    for (size_t i = 0; i < PROMPTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "%c%c %zu", (char)('a' + i % 7), (char)('a' + i % 5),
                 i / 20);
        snprintf(prompts[i], sizeof prompts[i], templates[i % 5], name);
        texts[i] = (ce_text){prompts[i], strlen(prompts[i])};
    }
    snprintf(prompts[77], sizeof prompts[77], "\xff\xfe");
    texts[77].size = 2;
}

static void the_pipeline_gives_the_same_bytes_for_any_threads(void **state) {
    (void)state;
    checkpoint c;
    if (strncmp(ce_engine_description(), "OpenBLAS", 8) == 0)
        skip();
    open_checkpoint(&c, 0);
    write_prompts();
    size_t context = c.spec->context;
    int32_t *ids = malloc(PROMPTS * context * sizeof *ids);
    float *first = NULL, one[EMBED];
    for (int threads = 1; threads < 4; threads++) {
        ce_item_status *status = calloc(PROMPTS, sizeof *status);
        ce_pipeline_options options = {.threads = threads};
        float *out = malloc(PROMPTS * EMBED * sizeof *out);
        assert_int_equal(
            ce_encode_texts(c.model, out, ids, texts, PROMPTS, status, &options, NULL), 0);
        for (size_t i = 0; i < PROMPTS; i++)
            assert_true(status[i].done && (i == 77) == (status[i].problem != NULL));
        assert_true(isnan(out[77 * EMBED]));
        memset(out + 77 * EMBED, 0, EMBED * sizeof *out);
        if (first)
            assert_memory_equal(first, out, PROMPTS * EMBED * sizeof *out);
        free(first);
        free(status[77].problem);
        free(status);
        first = out;
    }
    for (size_t i = 0; i < PROMPTS; i += 97) { /* and of each text alone */
        if (i == 77)
            continue;
        ce_model_encode_tokens(c.model, one, ids + i * context, 1, c.scratch, NULL);
        assert_memory_equal(one, first + i * EMBED, sizeof one);
    }
    free(first);
    free(ids);
    close_checkpoint(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_texts_are_the_twin_s),
        cmocka_unit_test(a_text_s_bits_do_not_depend_on_its_company),
        cmocka_unit_test(the_pipeline_gives_the_same_bytes_for_any_threads),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

/* ./dev bench [encode|resnet|cores|start|prompts [CLASSES]|rescore|compare|warm]: speed and
 * memory of CLIPs of random weights, the size of ViT-B/32 and of RN50, each figure a ratio
 * against a baseline in the same run, alternating, medians of ROUNDS.
 *
 *   encode   pictures per second on all cores, and what cblas_sgemm alone needs for the
 *            matrix products of the same layers (attention, norms and activations are ours
 *            to carry)
 *   resnet   the same of RN50: cblas_sgemm alone does the products of its convolutions,
 * each as one matrix of 8 pictures' neighbourhoods (gathering them, the pools and the
 *            attention pool are ours to carry)
 *   cores    the whole pipeline (JPEG decode, preprocess, encode) on 1 core and on all
 *   prompts  ImageNet's first CLASSES classes (50) in 80 prompts each, all together and one
 *            by one, and what the prompts of all 1000 share
 *   start    `clipeval encode` of one picture, from exec to exit: wall clock and peak
 * memory
 *   rescore, compare, warm: tests/bench_runs.lua
 */
#include "bench_files.h"
#include "blas.h"
#include "linear.h"
#include "pipeline.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum {
    ROUNDS = 5,
    PICTURES = 32,
    BATCH = 8,
    TOKENS = 50,
    LAYERS = 12,
    WIDTH = 768,
    HIDDEN = 3072,
    STEM_ROWS = BATCH * 112 * 112
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* ---- the towers beside cblas_sgemm ---- */

typedef struct lane {
    ce_model *model;
    const float *pixels; /* [BATCH, 3, 224, 224] */
    const float *a, *b;  /* operands for sgemm; all lanes read the same */
    float *c;
} lane;

static void sgemm(const lane *l, int rows, int out, int in) {
    ce_blas()->sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, out, in, 1, l->a, in,
                     l->b, in, 0, l->c, out);
}

static void *run_vit_products(void *context) {
    const lane *l = context;
    for (size_t i = 0; i < PICTURES / BATCH; i++) {
        sgemm(l, BATCH * (TOKENS - 1), WIDTH, 3 * 32 * 32);
        for (int layer = 0; layer < LAYERS; layer++) {
            sgemm(l, BATCH * TOKENS, 3 * WIDTH, WIDTH);
            sgemm(l, BATCH * TOKENS, WIDTH, WIDTH);
            sgemm(l, BATCH * TOKENS, HIDDEN, WIDTH);
            sgemm(l, BATCH * TOKENS, WIDTH, HIDDEN);
        }
        sgemm(l, BATCH, 512, WIDTH);
    }
    return NULL;
}

static void *run_resnet_products(void *context) {
    const lane *l = context;
    for (size_t i = 0; i < PICTURES / BATCH; i++) {
        sgemm(l, STEM_ROWS, 32, 9 * 3);
        sgemm(l, STEM_ROWS, 32, 9 * 32);
        sgemm(l, STEM_ROWS, 64, 9 * 32);
        for (int stage = 0, rows = STEM_ROWS / 4, in = 64; stage < 4; stage++)
            for (size_t block = 0; block < resnet_blocks[stage]; block++) {
                int planes = 64 << stage;
                sgemm(l, rows, planes, in);
                sgemm(l, rows, planes, 9 * planes);
                rows /= stage > 0 && block == 0 ? 4 : 1;
                sgemm(l, rows, 4 * planes, planes);
                if (block == 0)
                    sgemm(l, rows, 4 * planes, in);
                in = 4 * planes;
            }
    }
    return NULL;
}

static void *run_tower(void *context) {
    const lane *l = context;
    ce_scratch *scratch;
    float out[BATCH * 1024];
    if (ce_scratch_new(&scratch, l->model, CE_IMAGE_TOWER, NULL) < 0)
        die("out of memory");
    for (size_t i = 0; i < PICTURES / BATCH; i++)
        ce_model_encode_images(l->model, out, l->pixels, BATCH, scratch, NULL);
    ce_scratch_free(scratch);
    return NULL;
}

static double on_all_cores(void *(*run)(void *), lane *lanes, size_t cores) {
    pthread_t threads[64];
    double start = now();
    for (size_t i = 0; i < cores; i++)
        if (pthread_create(&threads[i], NULL, run, &lanes[i]) != 0)
            die("no thread");
    for (size_t i = 0; i < cores; i++)
        pthread_join(threads[i], NULL);
    return now() - start;
}

static float *buffer(size_t n) {
    float *x = malloc(n * sizeof *x);
    if (!x)
        die("out of memory");
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(i % 251) / 251 - 0.5f;
    return x;
}

/* The sizes are those of the largest operands of `products`. */
static void bench_tower(const char *section, ce_model *model, size_t cores,
                        void *(*products)(void *), size_t a, size_t b, size_t c) {
    lane lanes[64];
    float *pixels = buffer((size_t)BATCH * 3 * 224 * 224), *x = buffer(a), *w = buffer(b);
    for (size_t i = 0; i < cores; i++)
        lanes[i] = (lane){model, pixels, x, w, buffer(c)};
    double tower[ROUNDS], blas[ROUNDS], ratio[ROUNDS];
    on_all_cores(run_tower, lanes, cores);
    on_all_cores(products, lanes, cores);
    for (int r = 0; r < ROUNDS; r++) {
        tower[r] = on_all_cores(run_tower, lanes, cores);
        blas[r] = on_all_cores(products, lanes, cores);
        ratio[r] = blas[r] / tower[r];
    }
    double n = (double)(cores * PICTURES);
    printf("%s  %zu cores: clipeval %.1f images/s, cblas_sgemm alone %.1f images/s, "
           "ratio %.2f\n",
           section, cores, n / median(tower, ROUNDS), n / median(blas, ROUNDS),
           median(ratio, ROUNDS));
    for (size_t i = 0; i < cores; i++)
        free(lanes[i].c);
    free(pixels);
    free(x);
    free(w);
}

static ce_model *open_model(const char *path) {
    ce_error err;
    ce_model *model;
    if (ce_model_open(&model, path, NULL, &err) < 0)
        die(err.message);
    return model;
}

static void bench_resnet(size_t cores) {
    files_write_resnet();
    ce_model *model = open_model(in_directory("resnet"));
    bench_tower("resnet", model, cores, run_resnet_products, (size_t)STEM_ROWS * 9 * 32,
                9 * 512 * 512, (size_t)STEM_ROWS * 64);
    ce_model_free(model);
}

static void bench_cores(ce_model *model, size_t cores) {
    ce_picture pictures[2 * PICTURES];
    ce_item_status status[2 * PICTURES] = {0};
    float *embeds = buffer((size_t)2 * PICTURES * 512);
    char path[128];
    snprintf(path, sizeof path, "%s", in_directory("a.jpg"));
    for (size_t i = 0; i < 2 * PICTURES; i++)
        pictures[i] = (ce_picture){.path = path};
    double rate[2][ROUNDS], ratio[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        for (int k = 0; k < 2; k++) {
            ce_pipeline_options options = {.threads = k ? (int)cores : 1};
            ce_error err;
            double start = now();
            if (ce_encode_images(model, embeds, NULL, pictures, 2 * PICTURES, status,
                                 &options, &err) < 0 ||
                status[0].problem)
                die("the pipeline failed");
            rate[k][r] = 2 * PICTURES / (now() - start);
        }
        ratio[r] = rate[1][r] / rate[0][r];
    }
    printf("cores   JPEG to embedding: 1 core %.1f images/s, %zu cores %.1f images/s, "
           "ratio %.2f\n",
           median(rate[0], ROUNDS), cores, median(rate[1], ROUNDS), median(ratio, ROUNDS));
    free(embeds);
}

/* ---- prompts ---- */

enum { CLASSES = 1000, TEMPLATES = 80, ALONE = 100 };

typedef struct lines {
    char at[CLASSES][96];
    size_t n;
} lines;

/* What stands between the quotation marks number `which` of each line that begins with
 * `start`. */
static void read_quoted(lines *out, const char *file, const char *start, int which) {
    char line[256];
    FILE *f = fopen(file, "r");
    if (!f)
        die("a list of ImageNet is missing");
    while (fgets(line, sizeof line, f) && out->n < CLASSES) {
        const char *from = line;
        if (strncmp(line, start, strlen(start)) != 0)
            continue;
        for (int i = 0; from && i < which; i++)
            from = strchr(from, '"') ? strchr(from, '"') + 1 : NULL;
        if (from && strchr(from, '"'))
            snprintf(out->at[out->n++], sizeof out->at[0], "%.*s",
                     (int)(strchr(from, '"') - from), from);
    }
    fclose(f);
}

static ce_text *imagenet_prompts(void) {
    static lines classes, templates;
    ce_text *texts = calloc(CLASSES * TEMPLATES, sizeof *texts);
    read_quoted(&classes, CE_SOURCE_DIR "/datasets/shared/imagenet.lua", "  { \"n", 3);
    read_quoted(&templates, CE_SOURCE_DIR "/prompts/imagenet_80.lua", "    \"", 1);
    if (!texts || classes.n != CLASSES || templates.n != TEMPLATES)
        die("the lists of ImageNet are not what they were");
    for (size_t i = 0; i < CLASSES * TEMPLATES; i++) {
        const char *template = templates.at[i % TEMPLATES], *gap = strstr(template, "{}");
        char text[256];
        texts[i].size =
            (size_t)snprintf(text, sizeof text, "%.*s%s%s", (int)(gap - template), template,
                             classes.at[i / TEMPLATES], gap + 2);
        texts[i].text = strdup(text);
    }
    return texts;
}

/* What the texts share, and how long it takes one core to know. */
static void count_prompts(ce_model *model, const ce_text *texts, size_t n) {
    size_t context = (size_t)ce_model_get_info(model)->context, computed = 0;
    int32_t *ids = malloc(n * context * sizeof *ids);
    ce_prefix_tree *plan;
    ce_tokens tokens;
    double start = now();
    for (size_t i = 0; i < n; i++)
        if (!ids ||
            ce_tokenizer_encode(ce_model_tokenizer(model), ids + i * context, (int)context,
                                &tokens, texts[i].text, texts[i].size, NULL) < 0)
            die("a prompt cannot be tokenized");
    double tokenized = now();
    if (ce_model_plan_texts(model, &plan, ids, n, 1, NULL) < 0)
        die("out of memory");
    for (size_t b = 0; b < plan->blocks; b++)
        for (size_t k = plan->first[b]; k < plan->first[b + 1]; k++)
            computed +=
                plan->lengths[plan->order[k]] - (k == plan->first[b] ? 0 : plan->shared[k]);
    printf("prompts %zu of ImageNet, a prompt: %zu padded, %.2f tokens, %.2f distinct "
           "prefixes, %.2f computed; tokenized in %.0f ms, planned in %.0f ms\n",
           n, context, (double)plan->tokens / (double)n, (double)plan->rows / (double)n,
           (double)computed / (double)n, 1e3 * (tokenized - start),
           1e3 * (now() - tokenized));
    ce_prefix_tree_free(plan);
    free(ids);
}

static double encode_prompts(ce_model *model, float *embeds, const ce_text *texts, size_t n,
                             size_t stride) {
    ce_item_status *status = calloc(n, sizeof *status);
    double start = now();
    for (size_t i = 0; i < n; i += stride)
        if (!status || ce_encode_texts(model, embeds, NULL, texts + i, stride, status + i,
                                       NULL, NULL) < 0)
            die("the pipeline failed");
    double seconds = now() - start;
    free(status);
    return seconds;
}

static void bench_prompts(ce_model *model, size_t cores, size_t classes) {
    ce_text *texts = imagenet_prompts();
    size_t n = classes * TEMPLATES;
    float *embeds = buffer(n * 512);
    double rate[2][ROUNDS], ratio[ROUNDS];
    count_prompts(model, texts, (size_t)CLASSES * TEMPLATES);
    count_prompts(model, texts, n);
    encode_prompts(model, embeds, texts, 1, 1);
    for (int r = 0; r < ROUNDS; r++) {
        rate[0][r] = ALONE / encode_prompts(model, embeds, texts, ALONE, 1);
        rate[1][r] = (double)n / encode_prompts(model, embeds, texts, n, n);
        ratio[r] = rate[1][r] / rate[0][r];
    }
    printf("prompts %zu cores: one by one %.1f texts/s, %zu together %.1f texts/s, ratio "
           "%.2f\n",
           cores, median(rate[0], ROUNDS), n, median(rate[1], ROUNDS),
           median(ratio, ROUNDS));
    for (size_t i = 0; i < CLASSES * TEMPLATES; i++)
        free((char *)texts[i].text);
    free(texts);
    free(embeds);
}

static void bench_start(size_t weights) {
    double wall[ROUNDS], memory[ROUNDS];
    char list[128], out[128];
    snprintf(list, sizeof list, "%s", in_directory("list.txt"));
    snprintf(out, sizeof out, "%s", in_directory("out.safetensors"));
    write_text("list.txt", in_directory("a.jpg"));
    for (int r = -1; r < ROUNDS; r++) {
        double start = now();
        pid_t child = fork();
        if (child == 0) {
            execl(CLIPEVAL, CLIPEVAL, "encode", "--quiet", "--model", directory, "--images",
                  list, "-o", out, (char *)NULL);
            _exit(127);
        }
        int status = 0;
        struct rusage usage;
        if (child < 0 || wait4(child, &status, 0, &usage) < 0 || status != 0)
            die("clipeval encode failed");
        if (r >= 0) {
            wall[r] = now() - start;
            memory[r] = (double)usage.ru_maxrss / 1024;
        }
    }
    double mb = (double)weights / 1048576;
    printf(
        "start   %.0f MB of weights, exec to exit with one picture: %.0f ms, peak %.0f MB "
        "(1.15 x weights + 64 MB = %.0f MB)\n",
        mb, 1e3 * median(wall, ROUNDS), median(memory, ROUNDS), 1.15 * mb + 64);
}

/* What a second run costs is measured by a script. */
static void bench_runs(const char *what) {
    char option[32], model[128];
    snprintf(option, sizeof option, "what=%s", what);
    snprintf(model, sizeof model, "small=%s", directory);
    files_write_small();
    pid_t child = fork();
    if (child == 0) {
        execl(CLIPEVAL, CLIPEVAL, "run", "--quiet", BENCH_RUNS, "-o", option, "-o", model,
              "-o", "bin=" CLIPEVAL, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
        die("tests/bench_runs.lua failed");
}

int main(int argc, char **argv) {
    const char *only = argc > 1 ? argv[1] : "";
    bool all = !*only;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!ce_blas())
        die("no OpenBLAS to compare with");
    files_setup();
    size_t cores = (size_t)ce_default_threads();
    cores = cores > 64 ? 64 : cores;
    printf("engine  %s; baseline %s; medians of %d\n", ce_engine_description(),
           ce_blas_description(), ROUNDS);
    if (!strcmp(only, "rescore") || !strcmp(only, "compare") || !strcmp(only, "warm")) {
        bench_runs(only);
        return 0;
    }
    if (all)
        bench_runs("all");
    if (all || strcmp(only, "resnet") == 0)
        bench_resnet(cores);
    if (strcmp(only, "resnet") == 0)
        return 0;
    size_t weights = files_write_vit();
    files_write_jpeg("a.jpg");
    ce_model *model = open_model(directory);
    if (all || strcmp(only, "encode") == 0)
        bench_tower("encode", model, cores, run_vit_products,
                    (size_t)BATCH * TOKENS * HIDDEN, (size_t)HIDDEN * WIDTH,
                    (size_t)BATCH * TOKENS * HIDDEN);
    if (all || strcmp(only, "cores") == 0)
        bench_cores(model, cores);
    if (all || strcmp(only, "prompts") == 0) {
        size_t classes = argc > 2 ? strtoul(argv[2], NULL, 10) : 50;
        bench_prompts(model, cores,
                      classes < 2         ? 2
                      : classes > CLASSES ? CLASSES
                                          : classes);
    }
    ce_model_free(model);
    if (all || strcmp(only, "start") == 0)
        bench_start(weights);
    return 0;
}

/* ./dev bench [encode|cores|start]: speed and memory of a ViT-B/32-sized CLIP with random
 * weights, each figure a ratio against a baseline in the same run, alternating, medians of
 * ROUNDS.
 *
 *   encode   pictures per second on all cores, and what cblas_sgemm alone needs for the
 *            matrix products of the same layers (attention, norms and activations are ours
 *            to carry, so 100 % is out of reach)
 *   cores    the whole pipeline (JPEG decode, preprocess, encode) on 1 core and on all
 *   start    `clipeval encode` of one picture, from exec to exit: wall clock and peak
 * memory
 */
#include "blas.h"
#include "linear.h"
#include "pipeline.h"

#include <jpeglib.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ROUNDS = 5,
    PICTURES = 32,
    BATCH = 8,
    TOKENS = 50,
    LAYERS = 12,
    WIDTH = 768,
    HIDDEN = 3072
};

static char directory[64] = "/tmp/clipeval-bench-XXXXXX";

static void die(const char *what) {
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

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

static const char *in_directory(const char *name) {
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void write_text(const char *name, const char *text) {
    FILE *f = fopen(in_directory(name), "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        die("cannot write to /tmp");
}

/* ---- the checkpoint: transformers' names, ViT-B/32's shapes, 605 MB ---- */

typedef struct writer {
    FILE *f;
    size_t offset; /* of the next tensor */
    bool first;
} writer;

static void tensor(writer *w, const char *prefix, const char *name, size_t a, size_t b) {
    size_t bytes = a * (b ? b : 1) * 4;
    fprintf(w->f, "%s\"%s%s\":{\"dtype\":\"F32\",\"shape\":[", w->first ? "{" : ",", prefix,
            name);
    if (strstr(name, "patch_embedding"))
        fprintf(w->f, "768,3,32,32");
    else if (b)
        fprintf(w->f, "%zu,%zu", a, b);
    else if (strcmp(name, "logit_scale") != 0)
        fprintf(w->f, "%zu", a);
    fprintf(w->f, "],\"data_offsets\":[%zu,%zu]}", w->offset, w->offset + bytes);
    w->offset += bytes;
    w->first = false;
}

static void layer_tensors(writer *w, const char *tower, size_t layer, size_t width) {
    static const char *const square[] = {"self_attn.q_proj", "self_attn.k_proj",
                                         "self_attn.v_proj", "self_attn.out_proj"};
    char prefix[64], name[64];
    snprintf(prefix, sizeof prefix, "%s.encoder.layers.%zu.", tower, layer);
    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.weight", square[i]);
        tensor(w, prefix, name, width, width);
        snprintf(name, sizeof name, "%s.bias", square[i]);
        tensor(w, prefix, name, width, 0);
    }
    tensor(w, prefix, "layer_norm1.weight", width, 0);
    tensor(w, prefix, "layer_norm1.bias", width, 0);
    tensor(w, prefix, "layer_norm2.weight", width, 0);
    tensor(w, prefix, "layer_norm2.bias", width, 0);
    tensor(w, prefix, "mlp.fc1.weight", 4 * width, width);
    tensor(w, prefix, "mlp.fc1.bias", 4 * width, 0);
    tensor(w, prefix, "mlp.fc2.weight", width, 4 * width);
    tensor(w, prefix, "mlp.fc2.bias", width, 0);
}

static void write_header(writer *w) {
    tensor(w, "", "logit_scale", 1, 0);
    tensor(w, "", "text_projection.weight", 512, 512);
    tensor(w, "", "visual_projection.weight", 512, 768);
    tensor(w, "text_model.", "embeddings.token_embedding.weight", 49408, 512);
    tensor(w, "text_model.", "embeddings.position_embedding.weight", 77, 512);
    tensor(w, "text_model.", "final_layer_norm.weight", 512, 0);
    tensor(w, "text_model.", "final_layer_norm.bias", 512, 0);
    tensor(w, "vision_model.", "embeddings.class_embedding", 768, 0);
    tensor(w, "vision_model.", "embeddings.patch_embedding.weight", 768, 3072);
    tensor(w, "vision_model.", "embeddings.position_embedding.weight", TOKENS, 768);
    tensor(w, "vision_model.", "pre_layrnorm.weight", 768, 0);
    tensor(w, "vision_model.", "pre_layrnorm.bias", 768, 0);
    tensor(w, "vision_model.", "post_layernorm.weight", 768, 0);
    tensor(w, "vision_model.", "post_layernorm.bias", 768, 0);
    for (size_t i = 0; i < LAYERS; i++) {
        layer_tensors(w, "text_model", i, 512);
        layer_tensors(w, "vision_model", i, WIDTH);
    }
    fputc('}', w->f);
}

static size_t write_weights(void) {
    FILE *f = fopen(in_directory("model.safetensors"), "w+");
    writer w = {f, 0, true};
    if (!f || fseek(f, 8, SEEK_SET) != 0)
        die("cannot write to /tmp");
    write_header(&w);
    uint64_t length = (uint64_t)ftell(f) - 8;
    static float block[1 << 16];
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof block / sizeof *block; i++) {
        state = state * 1664525u + 1013904223u;
        block[i] = ((float)(state >> 8) / (1 << 24) - 0.5f) * 0.05f;
    }
    for (size_t left = w.offset; left > 0;) {
        size_t n = left < sizeof block ? left : sizeof block;
        if (fwrite(block, 1, n, f) != n)
            die("cannot write 605 MB to /tmp");
        left -= n;
    }
    rewind(f);
    if (fwrite(&length, 8, 1, f) != 1 || fclose(f) != 0)
        die("cannot write to /tmp");
    return w.offset;
}

static size_t write_checkpoint(void) {
    write_text("config.json",
               "{\"model_type\":\"clip\",\"projection_dim\":512,"
               "\"text_config\":{\"hidden_act\":\"quick_gelu\",\"eos_token_id\":49407},"
               "\"vision_config\":{\"hidden_act\":\"quick_gelu\"}}");
    write_text("preprocessor_config.json", "{\"size\":224,\"crop_size\":224}");
    return write_weights();
}

/* A 500 x 375 JPEG of smooth colours and noise. */
static void write_jpeg(const char *name) {
    enum { W = 500, H = 375 };
    FILE *f = fopen(in_directory(name), "wb");
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    if (!f)
        die("cannot write to /tmp");
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, f);
    c.image_width = W;
    c.image_height = H;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 90, TRUE);
    jpeg_start_compress(&c, TRUE);
    static JSAMPLE row[W * 3];
    uint32_t state = 7;
    for (unsigned y = 0; y < H; y++) {
        for (unsigned x = 0; x < W * 3; x++) {
            state = state * 1664525u + 1013904223u;
            row[x] = (JSAMPLE)((x / 8 + y / 2 + (state >> 28)) & 255);
        }
        JSAMPROW rows[] = {row};
        jpeg_write_scanlines(&c, rows, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    fclose(f);
}

/* ---- the towers beside cblas_sgemm ---- */

typedef struct lane {
    ce_model *model;
    const float *pixels; /* [BATCH, 3, 224, 224] */
    float *a, *b, *c;    /* operands for sgemm */
    size_t batches;
} lane;

static void sgemm(const lane *l, int rows, int out, int in) {
    ce_blas()->sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, out, in, 1, l->a, in,
                     l->b, in, 0, l->c, out);
}

static void *run_sgemm(void *context) {
    const lane *l = context;
    for (size_t i = 0; i < l->batches; i++) {
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

static void *run_tower(void *context) {
    const lane *l = context;
    ce_scratch *scratch;
    float out[BATCH * 512];
    if (ce_scratch_new(&scratch, l->model, CE_IMAGE_TOWER, NULL) < 0)
        die("out of memory");
    for (size_t i = 0; i < l->batches; i++)
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

static void bench_encode(ce_model *model, size_t cores) {
    lane lanes[64];
    const float *pixels = buffer((size_t)BATCH * 3 * 224 * 224);
    for (size_t i = 0; i < cores; i++)
        lanes[i] = (lane){model,
                          pixels,
                          buffer((size_t)BATCH * TOKENS * HIDDEN),
                          buffer((size_t)HIDDEN * WIDTH),
                          buffer((size_t)BATCH * TOKENS * HIDDEN),
                          PICTURES / BATCH};
    double tower[ROUNDS], blas[ROUNDS], ratio[ROUNDS];
    on_all_cores(run_tower, lanes, cores);
    on_all_cores(run_sgemm, lanes, cores);
    for (int r = 0; r < ROUNDS; r++) {
        tower[r] = on_all_cores(run_tower, lanes, cores);
        blas[r] = on_all_cores(run_sgemm, lanes, cores);
        ratio[r] = blas[r] / tower[r];
    }
    double n = (double)(cores * PICTURES);
    printf("encode  %zu cores: clipeval %.1f images/s, cblas_sgemm alone %.1f images/s, "
           "ratio %.2f\n",
           cores, n / median(tower, ROUNDS), n / median(blas, ROUNDS),
           median(ratio, ROUNDS));
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

static void clean_up(void) {
    static const char *const names[] = {"config.json",       "preprocessor_config.json",
                                        "model.safetensors", "a.jpg",
                                        "list.txt",          "out.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_directory(names[i]));
    rmdir(directory);
}

static void stop(int signal_number) {
    (void)signal_number;
    clean_up(); /* unlink and rmdir are async-signal-safe, and so is a path of our own */
    _exit(130);
}

int main(int argc, char **argv) {
    const char *only = argc > 1 ? argv[1] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!ce_blas())
        die("no OpenBLAS to compare with");
    if (!mkdtemp(directory))
        die("cannot write to /tmp");
    atexit(clean_up);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    size_t weights = write_checkpoint(), cores = (size_t)ce_default_threads();
    cores = cores > 64 ? 64 : cores;
    write_jpeg("a.jpg");
    printf("engine  %s; baseline %s; medians of %d\n", ce_engine_description(),
           ce_blas_description(), ROUNDS);
    ce_error err;
    ce_model *model;
    if (ce_model_open(&model, directory, &err) < 0)
        die(err.message);
    if (!*only || strcmp(only, "encode") == 0)
        bench_encode(model, cores);
    if (!*only || strcmp(only, "cores") == 0)
        bench_cores(model, cores);
    ce_model_free(model);
    if (!*only || strcmp(only, "start") == 0)
        bench_start(weights);
    return 0;
}

/* Small fixed jobs whose instructions bench/instructions counts: each of them runs once, in
 * one thread, within run_job, which is what callgrind collects.
 *
 *   jobs pictures   2 pictures through the embedded model's tower
 *   jobs int8       the same in 8 bits
 *   jobs prompts    16 prompts through its text tower
 *   jobs tokens     1000 prompts to token ids
 *   jobs jpeg       one JPEG of 500 x 375 decoded and preprocessed
 *   jobs scores     100 pictures against 1000 classes: similarities, the 5 best, ranks
 */
#include "bench.h"
#include "image.h"
#include "matrix.h"
#include "model.h"
#include "score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PICTURES = 2, PROMPTS = 16, TEXTS = 1000, ROWS = 100, CLASSES = 1000, WIDTH = 512 };

typedef struct state {
    ce_model *model;
    const ce_model_info *info;
    ce_scratch *scratch;
    float *floats, *embeds;
    int32_t *ids;
    unsigned char *jpeg;
    size_t jpeg_size;
    ce_matrix pictures, classes, scores;
} state;

static ce_error err;

static void check(int result) {
    if (result >= 0)
        return;
    fprintf(stderr, "jobs: %s\n", err.message);
    exit(1);
}

static void *allocate(size_t n, size_t size) {
    void *p = calloc(n, size);
    if (!p) {
        fprintf(stderr, "jobs: out of memory\n");
        exit(1);
    }
    return p;
}

static void fill(float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(i * 7 % 251) / 125 - 1;
}

/* ---- the jobs: what is made ready, and what is counted ---- */

static void prepare_pictures(state *s) {
    size_t n = PICTURES * 3 * (size_t)s->info->image_width * (size_t)s->info->image_height;
    check(ce_scratch_new(&s->scratch, s->model, CE_IMAGE_TOWER, &err));
    s->floats = allocate(n, sizeof *s->floats);
    fill(s->floats, n);
}

static void do_pictures(state *s) {
    check(
        ce_model_encode_images(s->model, s->embeds, s->floats, PICTURES, s->scratch, &err));
}

static void tokenize(state *s, size_t n) {
    static const char *const things[] = {"cat", "fire engine", "great white shark",
                                         "bowl of fruit", "sailing boat"};
    static const char *const phrases[] = {"a photo of a %s.",
                                          "a bad photo of the %s, no. %zu",
                                          "itap of my %s.", "art of the %s at night"};
    for (size_t i = 0; i < n; i++) {
        char text[128];
        ce_tokens tokens;
        int size = snprintf(text, sizeof text, phrases[i % 4], things[i / 4 % 5], i);
        check(ce_tokenizer_encode(ce_model_tokenizer(s->model),
                                  s->ids + i * (size_t)s->info->context, s->info->context,
                                  &tokens, text, (size_t)size, &err));
    }
}

static void prepare_prompts(state *s) {
    check(ce_scratch_new(&s->scratch, s->model, CE_TEXT_TOWER, &err));
    tokenize(s, PROMPTS);
}

static void do_prompts(state *s) {
    check(ce_model_encode_tokens(s->model, s->embeds, s->ids, PROMPTS, s->scratch, &err));
}

static void do_tokens(state *s) {
    tokenize(s, TEXTS);
}

static void prepare_jpeg(state *s) {
    check(ce_bench_jpeg(&s->jpeg, &s->jpeg_size, &err));
    s->floats = allocate(3 * (size_t)s->info->image_width * (size_t)s->info->image_height,
                         sizeof *s->floats);
}

static void do_jpeg(state *s) {
    ce_image image;
    check(ce_image_decode(&image, s->jpeg, s->jpeg_size, "jpeg", CE_ALPHA_DROP, &err));
    check(ce_preprocess_image(s->floats, &s->info->preprocess, &image, &err));
    ce_image_free(&image);
}

static void prepare_scores(state *s) {
    check(ce_matrix_init(&s->pictures, ROWS, WIDTH, &err));
    check(ce_matrix_init(&s->classes, CLASSES, WIDTH, &err));
    fill(s->pictures.data, (size_t)ROWS * WIDTH);
    fill(s->classes.data, (size_t)CLASSES * WIDTH);
    check(ce_matrix_similarity(&s->scores, &s->classes, &s->pictures, &err)); /* loads */
    ce_matrix_free(&s->scores);
}

static void do_scores(state *s) {
    size_t best[5];
    ce_matrix_normalize(&s->pictures);
    ce_matrix_normalize(&s->classes);
    check(ce_matrix_similarity(&s->scores, &s->pictures, &s->classes, &err));
    for (size_t i = 0; i < ROWS; i++) {
        ce_top_k(s->scores.data + i * CLASSES, CLASSES, best, 5);
        ce_rank(s->scores.data + i * CLASSES, CLASSES, i);
    }
}

typedef struct job {
    const char *name;
    ce_precision precision;
    void (*prepare)(state *s);
    void (*work)(state *s);
} job;

static const job JOBS[] = {{"pictures", CE_FP32, prepare_pictures, do_pictures},
                           {"int8", CE_INT8, prepare_pictures, do_pictures},
                           {"prompts", CE_FP32, prepare_prompts, do_prompts},
                           {"tokens", CE_FP32, NULL, do_tokens},
                           {"jpeg", CE_FP32, prepare_jpeg, do_jpeg},
                           {"scores", CE_FP32, prepare_scores, do_scores}};

/* What callgrind collects: never inlined, never renamed. */
__attribute__((noinline)) void run_job(const job *j, state *s);

void run_job(const job *j, state *s) {
    j->work(s);
    __asm__ volatile("" ::: "memory"); /* no tail call: the end of the job is here */
}

int main(int argc, char **argv) {
    state s = {0};
    const job *found = NULL;
    for (size_t i = 0; argc == 2 && i < sizeof JOBS / sizeof *JOBS; i++)
        if (strcmp(argv[1], JOBS[i].name) == 0)
            found = &JOBS[i];
    if (!found) {
        fprintf(stderr, "usage: jobs pictures|int8|prompts|tokens|jpeg|scores\n");
        return 2;
    }
    ce_model_options options = {.precision = found->precision};
    check(ce_model_open(&s.model, CE_SOURCE_DIR "/models/pocket", &options, &err));
    s.info = ce_model_get_info(s.model);
    s.ids = allocate(TEXTS * (size_t)s.info->context, sizeof *s.ids);
    s.embeds = allocate(PROMPTS * (size_t)s.info->embed_dim, sizeof *s.embeds);
    if (found->prepare)
        found->prepare(&s);
    run_job(found, &s);
    ce_scratch_free(s.scratch);
    ce_matrix_free(&s.pictures);
    ce_matrix_free(&s.classes);
    ce_matrix_free(&s.scores);
    free(s.jpeg);
    free(s.floats);
    free(s.embeds);
    free(s.ids);
    ce_model_free(s.model);
    return 0;
}

#include "bench.h"

#include "linear.h"

#include <pthread.h>
#include <stdio.h> /* jpeglib.h wants FILE */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

static const double ROUND = 0.03; /* seconds */
enum { TOKENS = 400, IN = 768, OUT = 3072 };
enum { PEAK_ROUNDS = 20000 };

double ce_bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- threads that do the same thing side by side, each counting for itself ---- */

typedef struct lane lane;

/* What is measured. `step` does one portion, and returns how much that was. */
typedef struct work {
    int (*begin)(lane *l, ce_error *err); /* makes l->room; NULL: needs none */
    int (*step)(lane *l, double *done, ce_error *err);
    const void *context;
} work;

struct lane {
    const work *work;
    float *room;
    double rate;
    int result;
    ce_error err;
};

static void *measure(void *context) {
    lane *l = context;
    double done, total = 0, passed = 0;
    l->result = l->work->step(l, &done, &l->err); /* once before the clock runs */
    double start = ce_bench_now();
    while (l->result == CE_OK && passed < ROUND) {
        l->result = l->work->step(l, &done, &l->err);
        total += done;
        passed = ce_bench_now() - start;
    }
    l->rate = total / passed;
    return NULL;
}

/* They start within a fraction of a round; each has its own clock. */
static int run_lanes(lane *lanes, int threads, ce_error *err) {
    pthread_t *handles = calloc((size_t)threads, sizeof *handles);
    int made = 0;
    while (handles && made < threads - 1 &&
           pthread_create(&handles[made], NULL, measure, &lanes[made + 1]) == 0)
        made++;
    bool all = handles && made == threads - 1;
    if (all)
        measure(&lanes[0]);
    for (int i = 0; i < made; i++)
        pthread_join(handles[i], NULL);
    free(handles);
    return all ? CE_OK : ce_fail(err, CE_ENOMEM, "no %d threads are to be had", threads);
}

static int run_all(double *out, lane *lanes, const work *w, int threads, ce_error *err) {
    int result = CE_OK;
    for (int i = 0; i < threads && result == CE_OK; i++) {
        lanes[i].work = w;
        result = w->begin ? w->begin(&lanes[i], err) : CE_OK;
    }
    if (result == CE_OK)
        result = run_lanes(lanes, threads, err);
    for (int i = 0; i < threads && result == CE_OK; i++) {
        if (lanes[i].result < 0)
            result = ce_fail(err, lanes[i].result, "%s", lanes[i].err.message);
        *out += lanes[i].rate;
    }
    return result;
}

/* The sum of the lanes' rates. */
static int run(double *out, const work *w, int threads, ce_error *err) {
    *out = 0;
    if (threads < 1 || threads > CE_BENCH_THREADS)
        return ce_fail(err, CE_EINVAL, "threads must be 1 to %d", CE_BENCH_THREADS);
    lane *lanes = calloc((size_t)threads, sizeof *lanes);
    if (!lanes)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    int result = run_all(out, lanes, w, threads, err);
    for (int i = 0; i < threads; i++)
        free(lanes[i].room);
    free(lanes);
    return result;
}

/* ---- the CPU's own limit ---- */

extern const ce_peak_loop ce_peak_base;
#if defined(__x86_64__)
extern const ce_peak_loop ce_peak_avx2, ce_peak_avx512;
#endif

static const ce_peak_loop *peak_loop(ce_simd set) {
#if defined(__x86_64__)
    if (set == CE_SIMD_AVX512)
        return &ce_peak_avx512;
    if (set == CE_SIMD_AVX2)
        return &ce_peak_avx2;
#endif
    return &ce_peak_base;
}

static int step_peak(lane *l, double *done, ce_error *err) {
    /* The chains tend to term / (1 - factor): no overflow, no subnormal numbers. */
    static const float operands[14] = {0.999f, 1e-3f, 1.0f, 1.1f, 1.2f, 1.3f, 1.4f,
                                       1.5f,   1.6f,  1.7f, 1.8f, 1.9f, 2.0f, 2.1f};
    const ce_peak_loop *loop = l->work->context;
    volatile float sink = loop->run(PEAK_ROUNDS, operands);
    (void)sink;
    (void)err;
    *done = 1e-9 * (double)loop->operations * PEAK_ROUNDS;
    return CE_OK;
}

int ce_bench_peak(double *out, ce_simd set, int threads, ce_error *err) {
    if (set > ce_cpu_widest_simd())
        return ce_fail(err, CE_EINVAL, "this CPU has no such instructions");
    work w = {.step = step_peak, .context = peak_loop(set)};
    return run(out, &w, threads, err);
}

/* ---- the kernel in use ---- */

static int begin_kernel(lane *l, ce_error *err) {
    size_t n = (size_t)TOKENS * (IN + OUT) + ce_linear_workspace();
    l->room = ce_floats_new(n);
    if (!l->room)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        l->room[i] = (float)(i % 251) / 251 - 0.5f;
    return CE_OK;
}

static int step_kernel(lane *l, double *done, ce_error *err) {
    float *x = l->room, *y = x + (size_t)TOKENS * IN, *workspace = y + (size_t)TOKENS * OUT;
    ce_linear_forward(l->work->context, y, x, TOKENS, CE_NO_ACTIVATION, false, workspace);
    (void)err;
    *done = 2e-9 * TOKENS * IN * OUT;
    return CE_OK;
}

static int make_layer(ce_linear *l, ce_precision precision, ce_error *err) {
    ce_linear_init(l, OUT, IN);
    float *rows = ce_floats_new((size_t)IN * OUT);
    if (!rows)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    for (size_t i = 0; i < (size_t)IN * OUT; i++)
        rows[i] = ((float)(i % 509) / 509 - 0.5f) * 0.1f;
    int result = ce_linear_set_rows(l, 0, rows, OUT, "bench", err);
    free(rows);
    return result < 0 ? result : ce_linear_set_precision(l, precision, err);
}

int ce_bench_kernel(double *out, ce_precision precision, int threads, ce_error *err) {
    ce_linear layer;
    int result = make_layer(&layer, precision, err);
    work w = {.begin = begin_kernel, .step = step_kernel, .context = &layer};
    if (result == CE_OK)
        result = run(out, &w, threads, err);
    ce_linear_free(&layer);
    return result;
}

/* ---- pictures ---- */

static void paint_row(JSAMPLE *row, unsigned y, uint32_t *state) {
    for (unsigned x = 0; x < CE_BENCH_WIDTH; x++) {
        bool inside = (x / 60 + y / 50) % 3 == 0;
        *state = *state * 1664525u + 1013904223u; /* of Numerical Recipes */
        unsigned grain = *state >> 28;
        row[3 * x] = (JSAMPLE)((x / 3 + grain + (inside ? 80 : 0)) & 255);
        row[3 * x + 1] = (JSAMPLE)((y / 2 + grain + (inside ? 40 : 20)) & 255);
        row[3 * x + 2] = (JSAMPLE)(((x + y) / 4 + grain) & 255);
    }
}

/* Nothing that libjpeg takes from here can be at fault; out of memory it ends the program,
 * as its default handler does. */
int ce_bench_jpeg(unsigned char **out, size_t *size, ce_error *err) {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned long bytes = 0;
    uint32_t state = 7;
    static JSAMPLE row[CE_BENCH_WIDTH * 3];
    *out = NULL;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, out, &bytes);
    c.image_width = CE_BENCH_WIDTH;
    c.image_height = CE_BENCH_HEIGHT;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 90, TRUE);
    jpeg_start_compress(&c, TRUE);
    for (unsigned y = 0; y < CE_BENCH_HEIGHT; y++) {
        JSAMPROW rows[] = {row};
        paint_row(row, y, &state);
        jpeg_write_scanlines(&c, rows, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    *size = bytes;
    return *out ? CE_OK : ce_fail(err, CE_ENOMEM, "out of memory");
}

typedef struct picture_job {
    const ce_preprocess *recipe;
    const unsigned char *jpeg;
    size_t size;
} picture_job;

static int begin_pictures(lane *l, ce_error *err) {
    const picture_job *job = l->work->context;
    l->room = ce_floats_new(3 * (size_t)job->recipe->width * (size_t)job->recipe->height);
    return l->room ? CE_OK : ce_fail(err, CE_ENOMEM, "out of memory");
}

static int step_pictures(lane *l, double *done, ce_error *err) {
    const picture_job *job = l->work->context;
    ce_image image = {0};
    int result =
        ce_image_decode(&image, job->jpeg, job->size, "built-in JPEG", CE_ALPHA_DROP, err);
    if (result == CE_OK)
        result = ce_preprocess_image(l->room, job->recipe, &image, err);
    ce_image_free(&image);
    *done = 1;
    return result;
}

int ce_bench_pictures(double *out, const ce_preprocess *recipe, const unsigned char *jpeg,
                      size_t size, int threads, ce_error *err) {
    picture_job job = {recipe, jpeg, size};
    work w = {.begin = begin_pictures, .step = step_pictures, .context = &job};
    return run(out, &w, threads, err);
}

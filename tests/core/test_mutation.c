/* Every format with bytes flipped, cut out, doubled or cut off: a file either loads or is
 * an error of one line that names it; nothing crashes (and under the sanitizers, nothing
 * reads where it must not). Seeded; bounded in tries and in time. */
#include "golden.h"
#include "model.h"
#include "scratch.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { TRIES = 4000, FILES = 16 };
static const double seconds = 40; /* for all models together */

static const char *const models[] = {
    "tiny-chinese-clip",  "tiny-clip-bin",        "tiny-clip-bin-legacy",
    "tiny-clip-sharded",  "tiny-openai-vit",      "tiny-openclip-options",
    "tiny-openclip-rn",   "tiny-siglip",          "tiny-siglip-json",
    "clip-hf-quickgelu",  "clip-hf-bf16-sharded", "clip-hf-bin",
    "clip-hf-bin-legacy", "openclip-vit-gelu",    "openai-vit",
    "openai-rn",          "chinese-clip",         "siglip",
};
enum { MODELS = sizeof models / sizeof *models };

static uint64_t state = 20220607;

static size_t below(size_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return n ? (size_t)(state >> 33) % n : 0;
}

typedef struct file {
    char path[512];
    char *bytes;
    size_t size;
} file;

typedef struct subject {
    char dir[256];
    file files[FILES];
    size_t count;
} subject;

/* What the reference keeps beside a model to check it by. */
static bool is_part_of_model(const char *name) {
    return name[0] != '.' && strcmp(name, "cases.json") != 0 &&
           strcmp(name, "expected.safetensors") != 0;
}

static void write_file(const char *path, const char *bytes, size_t size) {
    unlink(path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* Copies a model to the scratch directory; false: it is not here. */
static bool take_subject(subject *s, const char *name) {
    char relative[128], from[GOLDEN_PATH];
    memset(s, 0, sizeof *s);
    snprintf(relative, sizeof relative, "models/%s", name);
    DIR *dir = NULL;
    const char *shared = shared_path(from, sizeof from, relative);
    if (shared || golden_path(from, sizeof from, relative))
        dir = opendir(from);
    if (!dir) {
        print_message("%s: not here, skipped\n", name);
        return false;
    }
    snprintf(s->dir, sizeof s->dir, "%s", scratch_path(name));
    mkdir(s->dir, 0700);
    for (struct dirent *e; (e = readdir(dir)) != NULL && s->count < FILES;) {
        char path[GOLDEN_PATH + 300];
        file *f = &s->files[s->count];
        if (!is_part_of_model(e->d_name))
            continue;
        snprintf(path, sizeof path, "%s/%s", from, e->d_name);
        snprintf(f->path, sizeof f->path, "%s/%.200s", scratch_path(name), e->d_name);
        f->bytes = golden_read(path, &f->size);
        assert_non_null(f->bytes);
        write_file(f->path, f->bytes, f->size);
        s->count++;
    }
    closedir(dir);
    return true;
}

static void drop_subject(subject *s) {
    for (size_t i = 0; i < s->count; i++)
        free(s->files[i].bytes);
}

/* Headers, indices and small files are where the parsers work: half of the places are near
 * one of the ends. */
static size_t place(size_t size) {
    size_t near = size < 6000 ? size : 6000;
    switch (below(4)) {
    case 0:
        return below(near);
    case 1:
        return size - 1 - below(near);
    default:
        return below(size);
    }
}

/* The bytes of `f`, changed; malloc'd. */
static char *mutate(const file *f, size_t *size) {
    char *bytes = malloc(2 * f->size + 1);
    assert_non_null(bytes);
    memcpy(bytes, f->bytes, f->size);
    *size = f->size;
    if (f->size == 0)
        return bytes;
    size_t kind = below(8), at = place(f->size), run = 1 + below(64);
    run = run < f->size - at ? run : f->size - at;
    if (kind == 0) { /* cut off */
        *size = at;
    } else if (kind == 1) { /* cut out */
        memmove(bytes + at, bytes + at + run, f->size - at - run);
        *size -= run;
    } else if (kind == 2) { /* doubled */
        memmove(bytes + at + run, f->bytes + at, f->size - at);
        *size += run;
    } else if (kind == 3) { /* overwritten with what stands elsewhere in the file */
        memmove(bytes + at, f->bytes + below(f->size - run + 1), run);
    } else {
        for (size_t i = 1 + below(4); i > 0; i--)
            bytes[place(f->size)] ^= (char)(1 + below(255));
    }
    return bytes;
}

/* All that a run does with a model: both towers, a text, a picture. */
static int use(const char *dir, ce_error *err) {
    static const char text[] = "A photo of a caf\xc3\xa9, \xe4\xb8\x80 cat's &amp; 3.14!";
    ce_model *model = NULL;
    ce_scratch *images = NULL, *texts = NULL;
    ce_tokens tokens;
    int result = ce_model_open(&model, dir, NULL, err);
    if (result < 0)
        return result;
    const ce_model_info *info = ce_model_get_info(model);
    int32_t *ids = calloc((size_t)info->context, sizeof *ids);
    size_t area = (size_t)info->image_width * (size_t)info->image_height;
    float *pixels = calloc(3 * area, sizeof *pixels);
    float *out = malloc((size_t)info->embed_dim * sizeof *out);
    result = ce_tokenizer_encode(ce_model_tokenizer(model), ids, info->context, &tokens,
                                 text, sizeof text - 1, err);
    if (result == CE_OK)
        result = ce_scratch_new(&images, model, CE_IMAGE_TOWER, err);
    if (result == CE_OK)
        result = ce_scratch_new(&texts, model, CE_TEXT_TOWER, err);
    if (result == CE_OK)
        result = ce_model_encode_images(model, out, pixels, 1, images, err);
    if (result == CE_OK)
        result = ce_model_encode_tokens(model, out, ids, 1, texts, err);
    free(ids);
    free(pixels);
    free(out);
    ce_scratch_free(images);
    ce_scratch_free(texts);
    ce_model_free(model);
    return result;
}

static void check_message(const subject *s, const file *f, const ce_error *err) {
    if (!err->message[0] || strchr(err->message, '\n') || !strstr(err->message, s->dir))
        fail_msg("%s: changed, and the message is: %s", f->path, err->message);
}

static void a_changed_file_loads_or_is_an_error_of_one_line(void **unused) {
    (void)unused;
    static subject s;
    double start = scratch_seconds();
    size_t tries = 0, refused = 0;
    for (size_t m = 0; m < MODELS; m++) {
        ce_error err = {0};
        if (!take_subject(&s, models[m]))
            continue;
        if (use(s.dir, &err) < 0)
            fail_msg("as it was: %s", err.message);
        double end = start + seconds * (double)(m + 1) / MODELS;
        for (size_t i = 0; i < TRIES / MODELS && scratch_seconds() < end; i++) {
            const file *f = &s.files[below(s.count)];
            size_t size;
            char *bytes = mutate(f, &size);
            write_file(f->path, bytes, size);
            memset(&err, 0, sizeof err);
            if (use(s.dir, &err) < 0) {
                check_message(&s, f, &err);
                refused++;
            }
            tries++;
            write_file(f->path, f->bytes, f->size);
            free(bytes);
        }
        drop_subject(&s);
    }
    print_message("%zu changed files: %zu refused, %zu loaded\n", tries, refused,
                  tries - refused);
    assert_true(tries > 0 && refused > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_file_loads_or_is_an_error_of_one_line)};
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

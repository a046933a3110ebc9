/* What a look at every value finds, and that a place of many names is looked at once. */
#include "blob.h"
#include "golden.h"
#include "scratch.h"
#include "survey.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { N = 1 << 20 }; /* floats in the large storages */

/* A state dict whose tensors, named after their storages' keys, come `names` times each;
 * storage k holds `count` times values[k]. */
static const char *checkpoint(const float *values, int storages, size_t count, int names) {
    static blob pickle;
    zip_part parts[ZIP_PARTS] = {{"a/data.pkl", NULL, 0}};
    static char paths[ZIP_PARTS][16], keys[ZIP_PARTS][4];
    pickle.size = 0;
    add(&pickle, BYTES("\x80\x02}("));
    for (int i = 0; i < storages; i++)
        for (int k = 0; k < names; k++) {
            char name[16];
            snprintf(keys[i], sizeof keys[i], "%d", i);
            snprintf(name, sizeof name, "%d.%d", i, k);
            const tensor_spec t = {.type = "FloatStorage",
                                   .key = keys[i],
                                   .elements = (int64_t)count,
                                   .rank = 1,
                                   .shape = {(int64_t)count},
                                   .stride = {1}};
            add_text(&pickle, name);
            add_tensor(&pickle, &t);
        }
    add(&pickle, BYTES("u."));
    parts[0] = (zip_part){"a/data.pkl", pickle.data, pickle.size};
    float *filled[ZIP_PARTS] = {0};
    for (int i = 0; i < storages; i++) {
        filled[i] = malloc(count * sizeof *filled[i]);
        assert_non_null(filled[i]);
        for (size_t k = 0; k < count; k++)
            filled[i][k] = values[i];
        snprintf(paths[i], sizeof paths[i], "a/data/%d", i);
        parts[i + 1] = (zip_part){paths[i], filled[i], count * sizeof *filled[i]};
    }
    static blob z;
    zip_places at;
    z.size = 0;
    zip_make(&z, parts, (size_t)storages + 1, &at);
    for (int i = 0; i < storages; i++)
        free(filled[i]);
    return scratch_write("survey.pt", z.data, z.size);
}

static ce_weights *must_open(const char *path) {
    ce_weights *w;
    ce_error err = {0};
    if (ce_weights_open(&w, path, &err) < 0)
        fail_msg("%s", err.message);
    return w;
}

static const char *note(const ce_notes *notes, const char *code) {
    for (size_t i = 0; i < notes->count; i++)
        if (strcmp(notes->at[i].code, code) == 0)
            return notes->at[i].text;
    return "";
}

static void every_name_of_a_place_is_counted(void **state) {
    (void)state;
    const float values[] = {1, NAN, 0, INFINITY};
    ce_weights *w = must_open(checkpoint(values, 4, 5, 3));
    ce_notes notes = {0};
    ce_error err = {0};
    assert_int_equal(ce_survey(w, &notes, &err), 0);
    assert_int_equal(notes.count, 2);
    assert_non_null(strstr(note(&notes, "not-finite"), "tensor 1.0 and 5 more hold NaN"));
    assert_non_null(strstr(note(&notes, "all-zero"), "tensor 2.0 and 2 more are all zero"));
    ce_notes_free(&notes);
    ce_weights_free(w);
}

static void a_sound_checkpoint_earns_no_note(void **state) {
    (void)state;
    const float value = 1;
    ce_weights *w = must_open(checkpoint(&value, 1, 5, 1));
    ce_notes notes = {0};
    assert_int_equal(ce_survey(w, &notes, NULL), 0);
    assert_int_equal(notes.count, 0);
    ce_weights_free(w);
}

static void a_file_that_is_cut_short_is_an_error_and_no_finding(void **state) {
    (void)state;
    char header[128] = "";
    static char file[4 * N + 128];
    int length = snprintf(
        header, sizeof header,
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[%d],\"data_offsets\":[0,%d]}}", N, 4 * N);
    memset(file, 0, sizeof file);
    file[0] = (char)length;
    memcpy(file + 8, header, (size_t)length);
    const char *path = scratch_write("cut.safetensors", file, 8 + (size_t)length + 4 * N);
    ce_weights *w = must_open(path);
    ce_notes notes = {0};
    ce_error err = {0};
    assert_int_equal(truncate(path, N), 0);
    assert_int_equal(ce_survey(w, &notes, &err), CE_EIO);
    assert_non_null(strstr(err.message, "was changed while it was in use"));
    assert_int_equal(notes.count, 0);
    ce_weights_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_of_a_place_is_counted),
        cmocka_unit_test(a_sound_checkpoint_earns_no_note),
        cmocka_unit_test(a_file_that_is_cut_short_is_an_error_and_no_finding),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

/* Checkpoints that are broken, or of a kind that is not implemented: each is one line that
 * names the file and the fault. A sound copy of tests/golden's checkpoint is changed in one
 * place at a time. */
#include "fs.h"
#include "golden.h"
#include "model.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const files[] = {"config.json",       "preprocessor_config.json",
                                    "model.safetensors", "tokenizer_config.json",
                                    "vocab.json",        "merges.txt"};

/* A fresh copy of the checkpoint, so that one fault stands alone. */
static void copy_checkpoint(void) {
    mkdir(scratch_path("m"), 0777);
    unlink(scratch_path("m/processor_config.json"));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char from[128], path[GOLDEN_PATH], to[64];
        size_t size = 0;
        snprintf(from, sizeof from, "models/clip-hf-gelu-legacy/%s", files[i]);
        snprintf(to, sizeof to, "m/%s", files[i]);
        char *bytes = golden_read(golden_path(path, sizeof path, from), &size);
        assert_non_null(bytes);
        assert_non_null(scratch_write(to, bytes, size));
        free(bytes);
    }
}

/* Opens the copy and loads its towers; that must fail, name `file` and say `word`. */
static void expect_fault(const char *file, const char *word) {
    ce_model *model = NULL;
    ce_scratch *scratch = NULL;
    ce_error err = {0};
    int result = ce_model_open(&model, scratch_path("m"), NULL, &err);
    for (int tower = 0; tower < 2 && result == 0; tower++) {
        result = ce_scratch_new(&scratch, model, (ce_tower)tower, &err);
        if (result == 0)
            ce_scratch_free(scratch);
    }
    ce_model_free(model);
    if (result == 0)
        fail_msg("opened, though %s should say \"%s\"", file, word);
    if (!strstr(err.message, file) || !strstr(err.message, word) ||
        strchr(err.message, '\n'))
        fail_msg("\"%s\" does not name %s and \"%s\" in one line", err.message, file, word);
}

/* Sets part.key (part may be NULL) of a JSON file; `value` is JSON, NULL removes. */
static void edit(const char *file, const char *part, const char *key, const char *value) {
    char name[64];
    snprintf(name, sizeof name, "m/%s", file);
    const char *path = scratch_path(name);
    json_t *root = json_load_file(path, 0, NULL);
    root = root ? root : json_object(); /* a file that the copy does not have */
    json_t *object = part ? json_object_get(root, part) : root;
    assert_non_null(object);
    if (value)
        json_object_set_new(object, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(object, key);
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
}

static void a_copy_opens(void **state) {
    (void)state;
    copy_checkpoint();
    ce_model *model = NULL;
    ce_error err = {0};
    if (ce_model_open(&model, scratch_path("m/"), NULL, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(ce_model_get_info(model)->name, "m");
    assert_string_equal(ce_model_get_info(model)->dtype, "F16");
    assert_string_equal(ce_model_get_info(model)->end_of_text, "largest id");
    ce_model_free(model);
}

static void configurations_that_cannot_be_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *file, *part, *key, *value, *word;
    } cases[] = {
        {"config.json", "text_config", "hidden_act", "\"swish\"", "swish"},
        {"config.json", "vision_config", "hidden_act", "\"relu6\"", "relu6"},
        {"config.json", "text_config", "hidden_act", NULL, "hidden_act is missing"},
        {"config.json", "text_config", "hidden_act", "7", "hidden_act"},
        {"config.json", NULL, "model_type", "\"blip\"", "blip"},
        {"config.json", NULL, "model_type", NULL, "model_type"},
        {"config.json", NULL, "vision_config", NULL, "vision_config"},
        {"config.json", NULL, "text_config", "[]", "text_config"},
        {"config.json", NULL, "projection_dim", "999999999", "projection_dim"},
        {"config.json", "text_config", "hidden_size", "-48", "hidden_size"},
        {"config.json", "text_config", "hidden_size", "2147483647", "hidden_size"},
        {"config.json", "text_config", "hidden_size", "1e300", "hidden_size"},
        {"config.json", "text_config", "hidden_size", "48.5", "hidden_size"},
        {"config.json", "text_config", "num_hidden_layers", "100000", "num_hidden_layers"},
        {"config.json", "text_config", "layer_norm_eps", "0", "layer_norm_eps"},
        {"config.json", "vision_config", "image_size", "1000000", "image_size"},
        {"config.json", "vision_config", "patch_size", "0", "patch_size"},
        {"config.json", "vision_config", "num_channels", "4", "num_channels"},
        {"config.json", "text_config", "eos_token_id", "2014", "eos_token_id"},
        {"config.json", "text_config", "eos_token_id", "null", "eos_token_id"},
        {"preprocessor_config.json", NULL, "image_processor_type", "\"ViTImageProcessor\"",
         "ViTImageProcessor"},
        {"preprocessor_config.json", NULL, "use_square_size", "true", "use_square_size"},
        {"preprocessor_config.json", NULL, "do_pad", "true", "do_pad"},
        {"preprocessor_config.json", NULL, "size", "[56]", "size"},
        {"preprocessor_config.json", NULL, "size", "[56, 0]", "size"},
        {"preprocessor_config.json", NULL, "size", "{\"height\": 56}", "size"},
        {"preprocessor_config.json", NULL, "crop_size", "{\"shortest_edge\": 56}",
         "crop_size"},
        {"preprocessor_config.json", NULL, "rescale_factor", "0", "rescale_factor"},
        {"preprocessor_config.json", NULL, "resample", "1", "lanczos"},
        {"preprocessor_config.json", NULL, "resample", "0", "resample"},
        {"processor_config.json", NULL, "image_processor", "3", "image_processor"},
        {"preprocessor_config.json", NULL, "image_std", "[1, 2]", "image_std"},
        {"preprocessor_config.json", NULL, "image_mean", "\"x\"", "image_mean"},
        {"preprocessor_config.json", NULL, "size", "{\"longest_edge\": 56}", "size"},
        {"preprocessor_config.json", NULL, "size", "\"big\"", "size"},
        {"preprocessor_config.json", NULL, "do_center_crop", "false", "do_center_crop"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        copy_checkpoint();
        edit(cases[i].file, cases[i].part, cases[i].key, cases[i].value);
        expect_fault(cases[i].file, cases[i].word);
    }
}

/* What the copy resolves to; the model must open. */
static ce_model_info resolved(void) {
    static ce_model *model; /* kept until the next call, for its strings */
    ce_error err = {0};
    ce_model_free(model);
    model = NULL;
    if (ce_model_open(&model, scratch_path("m"), NULL, &err) < 0)
        fail_msg("%s", err.message);
    return *ce_model_get_info(model);
}

static void a_null_flag_is_off(void **state) {
    (void)state;
    copy_checkpoint();
    edit("preprocessor_config.json", NULL, "do_rescale", "null");
    edit("preprocessor_config.json", NULL, "do_normalize", "null");
    ce_model_info info = resolved();
    assert_true(info.preprocess.rescale == 1 && info.preprocess.mean[0] == 0);
    assert_true(info.preprocess.std[2] == 1);
}

/* As transformers reads it: CLIPTextConfig(**text_config_dict) replaces text_config. */
static void a_config_dict_replaces_its_part(void **state) {
    (void)state;
    copy_checkpoint();
    edit("config.json", NULL, "text_config_dict",
         "{\"hidden_size\": 48, \"num_attention_heads\": 3, \"num_hidden_layers\": 2,"
         " \"intermediate_size\": 192, \"vocab_size\": 2014, \"eos_token_id\": 2013}");
    expect_fault("config.json", "text_config_dict.hidden_act is missing");
    copy_checkpoint();
    edit("config.json", NULL, "text_config_dict",
         "{\"hidden_act\": \"quick_gelu\", \"hidden_size\": 48, \"num_attention_heads\": 3,"
         " \"num_hidden_layers\": 2, \"intermediate_size\": 192, \"vocab_size\": 2014,"
         " \"eos_token_id\": 2013}");
    ce_model_info info = resolved();
    assert_string_equal(info.activation, "quick_gelu");
    assert_string_equal(info.end_of_text, "first id 2013");
}

static void processor_config_goes_before_preprocessor_config(void **state) {
    (void)state;
    static const char both[] =
        "{\"image_processor\": {\"resample\": 2, \"size\": 64,"
        " \"crop_size\": 56}, \"processor_class\": \"CLIPProcessor\"}";
    static const char neither[] = "{\"processor_class\": \"CLIPProcessor\"}";
    copy_checkpoint();
    assert_non_null(scratch_write("m/processor_config.json", both, sizeof both - 1));
    assert_int_equal(resolved().preprocess.interpolation, CE_BILINEAR);
    unlink(scratch_path("m/preprocessor_config.json"));
    assert_int_equal(resolved().preprocess.resize_width, 64);
    copy_checkpoint();
    assert_non_null(scratch_write("m/processor_config.json", neither, sizeof neither - 1));
    assert_int_equal(resolved().preprocess.interpolation, CE_BICUBIC);
    unlink(scratch_path("m/processor_config.json"));
}

/* Faults that only two files together show. */
static void parts_that_contradict_each_other_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *file, *part, *key, *value, *named, *word;
    } cases[] = {
        {"config.json", "text_config", "num_attention_heads", "5", "m", "heads"},
        {"config.json", "vision_config", "num_attention_heads", "7", "m", "heads"},
        {"config.json", "vision_config", "patch_size", "57", "m", "patches of 57"},
        {"config.json", "vision_config", "image_size", "70", "m", "pictures of 56 x 56"},
        {"config.json", "vision_config", "patch_size", "28", "model.safetensors",
         "patch_embedding"},
        {"config.json", "text_config", "intermediate_size", "193", "model.safetensors",
         "fc1"},
        {"config.json", "text_config", "num_hidden_layers", "3", "model.safetensors",
         "layers.2"},
        {"config.json", "text_config", "max_position_embeddings", "76", "model.safetensors",
         "position_embedding"},
        {"config.json", "text_config", "vocab_size", "2000", "model.safetensors",
         "token_embedding"},
        {"config.json", NULL, "projection_dim", "41", "model.safetensors", "projection"},
        {"preprocessor_config.json", NULL, "image_std", "[0, 1, 1]", "m", "std"},
        {"preprocessor_config.json", NULL, "crop_size", "{\"height\": 8, \"width\": 8}",
         "m", "8 x 8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        copy_checkpoint();
        edit(cases[i].file, cases[i].part, cases[i].key, cases[i].value);
        expect_fault(cases[i].named, cases[i].word);
    }
}

/* Replaces `what` by `with`, of the same length, in the weights' header. */
static void rename_in_weights(const char *what, const char *with) {
    size_t size = 0;
    char *bytes = golden_read(scratch_path("m/model.safetensors"), &size);
    char *at = memmem(bytes, size, what, strlen(what));
    assert_non_null(at);
    memcpy(at, with, strlen(with));
    assert_non_null(scratch_write("m/model.safetensors", bytes, size));
    free(bytes);
}

static void weights_that_do_not_fit_are_refused(void **state) {
    (void)state;
    copy_checkpoint();
    rename_in_weights("\"logit_scale\"", "\"logit_scalX\"");
    expect_fault("model.safetensors", "logit_scale");
    copy_checkpoint(); /* known to the model's library, but without a place here */
    rename_in_weights("vision_model.post_layernorm.bias",
                      "vision_model.post_layernorX.bias");
    expect_fault("model.safetensors", "post_layernorm.bias");
    copy_checkpoint();
    truncate(scratch_path("m/model.safetensors"), 500000);
    expect_fault("model.safetensors", "truncated");
    copy_checkpoint();
    unlink(scratch_path("m/model.safetensors"));
    expect_fault("m", "no model.safetensors");
    scratch_write("m/tf_model.h5", "x", 1);
    expect_fault("m", "tf_model.h5");
    unlink(scratch_path("m/tf_model.h5"));
    scratch_write("m/pytorch_model.bin", "x", 1);
    expect_fault("pytorch_model.bin", "neither safetensors");
    unlink(scratch_path("m/pytorch_model.bin"));
}

static void not_a_number_in_any_tensor_is_refused(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    golden_file *f = golden_open(
        golden_path(path, sizeof path, "models/clip-hf-gelu-legacy/model.safetensors"));
    assert_non_null(f);
    int tried = 0;
    for (void *i = golden_first(f); i; i = golden_next(f, i)) {
        golden_tensor t;
        if (!golden_find(f, golden_name(i), &t) || tried++ % 5)
            continue;
        copy_checkpoint();
        size_t size = 0;
        char *bytes = golden_read(scratch_path("m/model.safetensors"), &size);
        size_t at =
            size - f->size + (size_t)((const char *)t.data - f->data) + (t.count - 1) * 2;
        bytes[at] = 0;
        bytes[at + 1] = 0x7e;
        assert_non_null(scratch_write("m/model.safetensors", bytes, size));
        free(bytes);
        expect_fault(golden_name(i), "NaN");
    }
    golden_close(f);
    assert_true(tried > 50);
}

static void a_name_is_the_directory_s_own(void **state) {
    (void)state;
    copy_checkpoint();
    char here[512];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(scratch_path("m")), 0);
    ce_model *model = NULL;
    assert_int_equal(ce_model_open(&model, ".", NULL, NULL), 0);
    assert_string_equal(ce_model_get_info(model)->name, "m");
    ce_model_free(model);
    assert_int_equal(chdir(here), 0);
}

/* The file that was opened is the one that is hashed and read. */
static void a_file_that_changes_while_open_is_noticed(void **state) {
    (void)state;
    copy_checkpoint();
    ce_model *model = NULL;
    ce_scratch *scratch = NULL;
    ce_error err = {0};
    const char *before, *after, *weights = scratch_path("m/model.safetensors");
    char truth[65];
    assert_int_equal(ce_sha256_file(truth, weights, NULL), 0);
    assert_int_equal(ce_model_open(&model, scratch_path("m"), NULL, &err), 0);
    assert_int_equal(rename(weights, scratch_path("m/old")), 0);
    assert_non_null(scratch_write("m/model.safetensors", "another", 7));
    assert_int_equal(ce_model_sha256(model, &before, &err), 0);
    assert_string_equal(before, truth);
    assert_int_equal(ce_scratch_new(&scratch, model, CE_TEXT_TOWER, &err), 0);
    ce_scratch_free(scratch);
    assert_int_equal(truncate(scratch_path("m/old"), 1000), 0);
    assert_int_equal(ce_scratch_new(&scratch, model, CE_IMAGE_TOWER, &err), CE_EIO);
    assert_non_null(strstr(err.message, "was changed"));
    assert_int_equal(ce_model_sha256(model, &after, &err), 0); /* known by now */
    ce_model_free(model);
}

static void a_path_that_is_no_model_says_so(void **state) {
    (void)state;
    ce_model *model = NULL;
    ce_error err;
    assert_int_equal(ce_model_open(&model, scratch_path("nowhere"), NULL, &err), CE_EIO);
    assert_non_null(strstr(err.message, "no such model"));
    assert_int_equal(ce_model_open(&model, scratch_directory, NULL, &err), CE_EFORMAT);
    assert_non_null(strstr(err.message, "config.json"));
    assert_int_equal(ce_model_open(&model, scratch_write("f", "x", 1), NULL, &err),
                     CE_EFORMAT);
    copy_checkpoint();
    scratch_write("m/config.json", "{\"model_type\": ", 15);
    expect_fault("config.json", "line 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_opens),
        cmocka_unit_test(configurations_that_cannot_be_are_refused),
        cmocka_unit_test(a_null_flag_is_off),
        cmocka_unit_test(a_config_dict_replaces_its_part),
        cmocka_unit_test(processor_config_goes_before_preprocessor_config),
        cmocka_unit_test(parts_that_contradict_each_other_are_refused),
        cmocka_unit_test(weights_that_do_not_fit_are_refused),
        cmocka_unit_test(not_a_number_in_any_tensor_is_refused),
        cmocka_unit_test(a_name_is_the_directory_s_own),
        cmocka_unit_test(a_file_that_changes_while_open_is_noticed),
        cmocka_unit_test(a_path_that_is_no_model_says_so),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

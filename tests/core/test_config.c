/* What a checkpoint's configuration resolves to: the reference models against what their
 * makers wrote down, single options against what the libraries do with them, and
 * configurations that cannot be. Weights are stubs: a header of shapes, zeros behind it. */
#include "config.h"
#include "golden.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct stub {
    const char *name, *dtype;
    size_t shape[4]; /* up to the first 0 */
} stub;

/* Writes stubs, which end in a NULL name, as a safetensors file. */
static const char *write_stubs(const char *name, const stub *stubs) {
    json_t *header = json_object();
    size_t at = 0;
    for (const stub *s = stubs; s->name; s++) {
        json_t *shape = json_array();
        size_t bytes = s->dtype[0] == 'I' ? 8 : s->dtype[1] == '1' ? 2 : 4;
        for (int i = 0; i < 4 && s->shape[i]; i++) {
            json_array_append_new(shape, json_integer((json_int_t)s->shape[i]));
            bytes *= s->shape[i];
        }
        json_object_set_new(header, s->name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", s->dtype, "shape",
                                      shape, "data_offsets", (json_int_t)at,
                                      (json_int_t)(at + bytes)));
        at += bytes;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    size_t n = strlen(text);
    char *bytes = calloc(1, 8 + n + at);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (char)(n >> 8 * i & 0xff);
    memcpy(bytes + 8, text, n);
    const char *path = scratch_write(name, bytes, 8 + n + at);
    free(bytes);
    free(text);
    json_decref(header);
    assert_non_null(path);
    return path;
}

static const stub any_clip[] = {{"logit_scale", "F32", {1}}, {0}};

/* A fresh directory "m" with nothing in it. */
static void empty_directory(void) {
    const char *path = scratch_path("m");
    nftw(path, scratch_remove, 8, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(mkdir(path, 0777), 0);
}

static void write_text(const char *name, const char *text) {
    assert_non_null(scratch_write(name, text, strlen(text)));
}

static ce_error err;
static ce_notes notes;
static ce_checkpoint files;

static int read_config(ce_config *c, const char *path, const char *arch) {
    ce_weights *weights = NULL;
    ce_notes_free(&notes);
    err = (ce_error){0};
    int result = ce_checkpoint_find(&files, path, arch, &err);
    if (result == CE_OK)
        result = ce_weights_open(&weights, files.weights, &err);
    if (result == CE_OK)
        result = ce_config_read(c, &files, weights, &notes, &err);
    ce_weights_free(weights);
    return result;
}

static ce_config resolve(const char *path, const char *arch) {
    ce_config c;
    if (read_config(&c, path, arch) < 0)
        fail_msg("%s", err.message);
    return c;
}

static void expect_refusal(const char *path, const char *arch, int code, const char *word) {
    ce_config c;
    if (read_config(&c, path, arch) == CE_OK)
        fail_msg("read, though it should say \"%s\"", word);
    if (err.code != code || !strstr(err.message, word) || strchr(err.message, '\n'))
        fail_msg("%d, \"%s\" is not %d and \"%s\" in one line", err.code, err.message, code,
                 word);
}

static const ce_note *note(const char *code) {
    for (size_t i = 0; i < notes.count; i++)
        if (strcmp(notes.at[i].code, code) == 0)
            return &notes.at[i];
    return NULL;
}

#define HF CE_FORMAT_HUGGING_FACE
#define OC CE_FORMAT_OPEN_CLIP
#define OA CE_FORMAT_OPENAI
#define RN CE_VISION_RESNET
#define VIT CE_VISION_VIT

/* The reference models: cases.json, README.md and make/ of the reference data. */
static void reference_models_resolve(void **state) {
    (void)state;
    static const struct {
        const char *name, *weights;
        ce_format format;
        ce_family family;
        ce_tokenizer_kind tokenizer;
        int d;
        ce_vision_kind vision;
        int side, width, heads, patch, layers;
        ce_activation vision_act, text_act;
        ce_pool vision_pool, text_pool;
        int end, context, vocab, text_width, text_heads, text_layers, text_hidden;
    } t[] = {
        {"clip-hf-quickgelu",
         "model.safetensors",
         HF,
         CE_FAMILY_CLIP,
         CE_TOKENIZER_BPE,
         40,
         VIT,
         64,
         72,
         3,
         16,
         2,
         CE_QUICK_GELU,
         CE_QUICK_GELU,
         CE_POOL_FIRST,
         CE_POOL_END_OF_TEXT,
         2013,
         77,
         2014,
         48,
         4,
         3,
         192},
        {"clip-hf-gelu-legacy",
         "model.safetensors",
         HF,
         CE_FAMILY_CLIP,
         CE_TOKENIZER_BPE,
         40,
         VIT,
         56,
         80,
         5,
         14,
         4,
         CE_GELU,
         CE_GELU,
         CE_POOL_FIRST,
         CE_POOL_LARGEST_ID,
         2,
         77,
         2014,
         48,
         3,
         2,
         192},
        {"clip-hf-bf16-sharded",
         "model.safetensors.index.json",
         HF,
         CE_FAMILY_CLIP,
         CE_TOKENIZER_BPE,
         64,
         VIT,
         32,
         64,
         4,
         8,
         2,
         CE_QUICK_GELU,
         CE_QUICK_GELU,
         CE_POOL_FIRST,
         CE_POOL_END_OF_TEXT,
         2013,
         77,
         2014,
         64,
         2,
         2,
         256},
        {"clip-hf-bin",
         "pytorch_model.bin",
         HF,
         CE_FAMILY_CLIP,
         CE_TOKENIZER_BPE,
         32,
         VIT,
         48,
         64,
         2,
         16,
         2,
         CE_QUICK_GELU,
         CE_QUICK_GELU,
         CE_POOL_FIRST,
         CE_POOL_END_OF_TEXT,
         2013,
         77,
         2014,
         48,
         4,
         2,
         192},
        {"clip-hf-bin-legacy",
         "pytorch_model.bin",
         HF,
         CE_FAMILY_CLIP,
         CE_TOKENIZER_BPE,
         32,
         VIT,
         64,
         48,
         3,
         32,
         3,
         CE_QUICK_GELU,
         CE_QUICK_GELU,
         CE_POOL_FIRST,
         CE_POOL_LARGEST_ID,
         2,
         77,
         2014,
         32,
         2,
         2,
         128},
        {"openclip-vit-gelu",
         "open_clip_model.safetensors",
         OC,
         CE_FAMILY_OPEN_CLIP,
         CE_TOKENIZER_BPE,
         56,
         VIT,
         56,
         64,
         2,
         14,
         3,
         CE_GELU,
         CE_GELU,
         CE_POOL_FIRST,
         CE_POOL_LARGEST_ID,
         2,
         77,
         2014,
         48,
         4,
         2,
         192},
        {"openclip-vit-quickgelu",
         "open_clip_model.safetensors",
         OC,
         CE_FAMILY_OPEN_CLIP,
         CE_TOKENIZER_BPE,
         64,
         VIT,
         64,
         64,
         2,
         16,
         3,
         CE_QUICK_GELU,
         CE_QUICK_GELU,
         CE_POOL_FIRST,
         CE_POOL_LARGEST_ID,
         2,
         77,
         49408,
         48,
         3,
         3,
         192},
        {"openclip-rn",
         "open_clip_model.safetensors",
         OC,
         CE_FAMILY_OPEN_CLIP,
         CE_TOKENIZER_BPE,
         40,
         RN,
         64,
         8,
         4,
         0,
         0,
         CE_GELU,
         CE_GELU,
         CE_POOL_FIRST,
         CE_POOL_LARGEST_ID,
         2,
         77,
         2014,
         48,
         2,
         2,
         192},
        {"openai-vit",
         "openai-vit.pt",
         OA,
         CE_FAMILY_OPEN_CLIP,
         CE_TOKENIZER_BPE,
         64,
         VIT,
         48,
         64,
         1,
         16,
         3,
         CE_QUICK_GELU,
         CE_QUICK_GELU,
         CE_POOL_FIRST,
         CE_POOL_LARGEST_ID,
         0,
         77,
         2014,
         128,
         2,
         2,
         512},
        {"openai-rn",
         "openai-rn.pt",
         OA,
         CE_FAMILY_OPEN_CLIP,
         CE_TOKENIZER_BPE,
         48,
         RN,
         96,
         8,
         4,
         0,
         0,
         CE_QUICK_GELU,
         CE_QUICK_GELU,
         CE_POOL_FIRST,
         CE_POOL_LARGEST_ID,
         0,
         77,
         2014,
         64,
         1,
         2,
         256},
        {"chinese-clip",
         "model.safetensors",
         HF,
         CE_FAMILY_CHINESE_CLIP,
         CE_TOKENIZER_WORDPIECE,
         48,
         VIT,
         48,
         64,
         4,
         16,
         2,
         CE_QUICK_GELU,
         CE_GELU,
         CE_POOL_FIRST,
         CE_POOL_FIRST,
         0,
         52,
         1500,
         64,
         4,
         2,
         160},
        {"siglip",
         "model.safetensors",
         HF,
         CE_FAMILY_SIGLIP,
         CE_TOKENIZER_UNIGRAM,
         64,
         VIT,
         48,
         64,
         4,
         12,
         3,
         CE_GELU_TANH,
         CE_GELU_TANH,
         CE_POOL_ATTENTION,
         CE_POOL_LAST,
         0,
         64,
         500,
         48,
         3,
         2,
         112},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char name[64], path[GOLDEN_PATH];
        snprintf(name, sizeof name, "models/%s", t[i].name);
        if (!shared_path(path, sizeof path, name)) {
            print_message("skipped: %s is not there\n", name);
            continue;
        }
        ce_config c = resolve(path, NULL);
        assert_string_equal(strrchr(files.weights, '/') + 1, t[i].weights);
        assert_int_equal(files.format, t[i].format);
        assert_int_equal(c.family, t[i].family);
        assert_int_equal(c.tokenizer, t[i].tokenizer);
        assert_int_equal(c.embed_dim, t[i].d);
        assert_int_equal(c.vision.kind, t[i].vision);
        assert_int_equal(c.vision.image_width, t[i].side);
        assert_int_equal(c.vision.image_height, t[i].side);
        assert_int_equal(c.vision.width, t[i].width);
        assert_int_equal(c.vision.heads, t[i].heads);
        assert_int_equal(c.vision.patch, t[i].patch);
        assert_int_equal(c.vision.layers, t[i].layers);
        assert_int_equal(c.vision.activation, t[i].vision_act);
        assert_int_equal(c.vision.pool, t[i].vision_pool);
        assert_int_equal(c.text.activation, t[i].text_act);
        assert_int_equal(c.text.pool, t[i].text_pool);
        assert_int_equal(c.text.end_of_text, t[i].end);
        assert_int_equal(c.text.context, t[i].context);
        assert_int_equal(c.text.vocab_size, t[i].vocab);
        assert_int_equal(c.text.width, t[i].text_width);
        assert_int_equal(c.text.heads, t[i].text_heads);
        assert_int_equal(c.text.layers, t[i].text_layers);
        assert_int_equal(c.text.hidden, t[i].text_hidden);
        assert_int_equal(c.preprocess.width, t[i].side);
        assert_int_equal(c.preprocess.crop_rounding,
                         t[i].format == HF ? CE_CROP_FLOOR : CE_CROP_HALF_EVEN);
        assert_int_equal(c.sigmoid, t[i].family == CE_FAMILY_SIGLIP);
        assert_int_equal(notes.count, 0); /* nothing about them misleads */
    }
}

/* Sets part.key of `text`'s object; the result is written as `name`. */
static void write_edited(const char *name, const char *text, const char *part,
                         const char *key, const char *value) {
    json_t *root = json_loads(text, 0, NULL), *object = root;
    assert_non_null(root);
    char path[64];
    snprintf(path, sizeof path, "%s", part);
    for (char *p = strtok(path, "."); p; p = strtok(NULL, "."))
        object = json_object_get(object, p);
    assert_non_null(object);
    if (value && key)
        json_object_set_new(object, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else if (key)
        json_object_del(object, key);
    assert_int_equal(json_dump_file(root, scratch_path(name), 0), 0);
    json_decref(root);
}

static const char open_clip_config[] =
    "{\"model_cfg\": {\"embed_dim\": 32, \"vision_cfg\": {\"image_size\": 32, \"layers\": "
    "2, \"width\": 128, \"patch_size\": 8}, \"text_cfg\": {\"context_length\": 16, "
    "\"vocab_size\": 100, \"width\": 64, \"heads\": 4, \"layers\": 1}}, "
    "\"preprocess_cfg\": {}}";

static ce_config open_clip_with(const char *part, const char *key, const char *value) {
    empty_directory();
    write_stubs("m/open_clip_model.safetensors", any_clip);
    write_edited("m/open_clip_config.json", open_clip_config, part, key, value);
    return resolve(scratch_path("m"), NULL);
}

#define MODEL "model_cfg"
#define VISION "model_cfg.vision_cfg"
#define TEXT "model_cfg.text_cfg"
#define INPUT "preprocess_cfg"

static void open_clip_options_are_read(void **state) {
    (void)state;
    ce_config c = open_clip_with("", NULL, NULL);
    assert_int_equal(c.vision.heads, 2); /* head_width 64 */
    assert_int_equal(c.vision.hidden, 512);
    assert_int_equal(c.text.activation, CE_GELU);
    assert_int_equal(c.preprocess.resize_mode, CE_RESIZE_SHORTEST);
    assert_int_equal(c.preprocess.interpolation, CE_BICUBIC);
    assert_true(c.vision.eps == 1e-5 && c.preprocess.mean[1] == 0.4578275);
    assert_int_equal(open_clip_with(MODEL, "quick_gelu", "true").vision.activation,
                     CE_QUICK_GELU);
    assert_true(open_clip_with(MODEL, "init_logit_bias", "-10").sigmoid);
    assert_true(open_clip_with(VISION, "no_ln_pre", "true").vision.no_pre_norm);
    assert_true(open_clip_with(VISION, "ls_init_value", "1e-4").vision.layer_scale);
    assert_true(open_clip_with(TEXT, "ls_init_value", "0.1").text.layer_scale);
    assert_true(
        open_clip_with(VISION, "final_ln_after_pool", "true").vision.norm_after_pool);
    assert_int_equal(open_clip_with(VISION, "pool_type", "\"avg\"").vision.pool,
                     CE_POOL_AVERAGE);
    assert_int_equal(open_clip_with(VISION, "mlp_ratio", "4.9231").vision.hidden, 630);
    c = open_clip_with(VISION, "act_kwargs", "{\"approximate\": \"tanh\"}");
    assert_int_equal(c.vision.activation, CE_GELU_TANH);
    assert_int_equal(c.text.activation, CE_GELU);
    assert_true(open_clip_with(TEXT, "norm_kwargs", "{\"eps\": 1e-6}").text.eps == 1e-6);
    assert_true(open_clip_with(TEXT, "no_causal_mask", "true").text.not_causal);
    assert_true(open_clip_with(TEXT, "proj_bias", "true").text.projection_bias);
    assert_int_equal(open_clip_with(TEXT, "pool_type", "\"last\"").text.pool, CE_POOL_LAST);
    c = open_clip_with(TEXT, "pool_type", "\"eos\"");
    assert_int_equal(c.text.pool, CE_POOL_END_OF_TEXT);
    assert_int_equal(c.text.end_of_text, 2);
    c = open_clip_with(VISION, "patch_size", "[8, 8]");
    assert_int_equal(c.vision.patch, 8);
    c = open_clip_with(INPUT, "mean", "0.25");
    assert_true(c.preprocess.mean[2] == 0.25);
    c = open_clip_with(INPUT, "size", "[32, 40]");
    assert_non_null(note("image-size-mismatch"));
    assert_int_equal(c.preprocess.width, 32);
    open_clip_with(VISION, "timm_model_name", "null");
    open_clip_with(INPUT, "num_channels", "3");
}

static void open_clip_options_without_a_place_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *part, *key, *value;
        int code;
        const char *word;
    } cases[] = {
        {MODEL, "multimodal_cfg", "{\"width\": 1}", CE_EUNSUPPORTED, "multimodal_cfg"},
        {MODEL, "quick_gelu", "1", CE_EFORMAT, "quick_gelu"},
        {MODEL, "embed_dim", NULL, CE_EFORMAT, "embed_dim"},
        {MODEL, "text_cfg", "[]", CE_EFORMAT, "text_cfg"},
        {VISION, "attentional_pool", "\"parallel\"", CE_EUNSUPPORTED, "attentional_pool"},
        {VISION, "pool_type", "\"none\"", CE_EUNSUPPORTED, "pool_type"},
        {VISION, "qk_norm", "true", CE_EUNSUPPORTED, "qk_norm"},
        {VISION, "input_patchnorm", "true", CE_EUNSUPPORTED, "input_patchnorm"},
        {VISION, "block_type", "\"custom\"", CE_EUNSUPPORTED, "block_type"},
        {VISION, "timm_model_name", "\"resnet50\"", CE_EUNSUPPORTED, "resnet50"},
        {VISION, "timm_model_name", "\"vit_base_patch16_siglip_224\"", CE_EFORMAT,
         "takes pictures of 224"},
        {VISION, "timm_model_name", "\"vit_base_patch16_siglip_gap_32\"", CE_EUNSUPPORTED,
         "gap"},
        {VISION, "patch_size", "[8, 4]", CE_EUNSUPPORTED, "patch_size"},
        {VISION, "patch_size", "33", CE_EFORMAT, "patches of 33"},
        {VISION, "width", "100", CE_EFORMAT, ""},
        {VISION, "head_width", "0", CE_EFORMAT, "head_width"},
        {VISION, "mlp_ratio", "1e9", CE_EFORMAT, "mlp_ratio"},
        {VISION, "mlp_ratio", "-1", CE_EFORMAT, "mlp_ratio"},
        {VISION, "layers", "[1, 2, 3]", CE_EFORMAT, "four stages"},
        {VISION, "layers", "[1, 2, 3, 1e3]", CE_EFORMAT, "layers"},
        {VISION, "image_size", "[32, 1e9]", CE_EFORMAT, "image_size"},
        {VISION, "image_size", "[32, 40]", CE_EUNSUPPORTED, "only to squares"},
        {VISION, "norm_kwargs", "{\"eps\": 0}", CE_EFORMAT, "eps"},
        {VISION, "norm_kwargs", "{\"bias\": true}", CE_EUNSUPPORTED, "norm_kwargs.bias"},
        {VISION, "norm_kwargs", "{\"elementwise_affine\": false}", CE_EUNSUPPORTED,
         "elementwise_affine"},
        {VISION, "act_kwargs", "{\"approximate\": \"fast\"}", CE_EUNSUPPORTED,
         "approximate"},
        {TEXT, "embed_cls", "true", CE_EUNSUPPORTED, "embed_cls"},
        {TEXT, "hf_model_name", "\"roberta-base\"", CE_EUNSUPPORTED, "roberta-base"},
        {TEXT, "scaled_cosine_attn", "true", CE_EUNSUPPORTED, "scaled_cosine_attn"},
        {TEXT, "pool_type", "\"none\"", CE_EUNSUPPORTED, "pool_type"},
        {TEXT, "proj_type", "\"none\"", CE_EFORMAT, "embed_dim 32"},
        {TEXT, "proj_type", "\"mlp\"", CE_EUNSUPPORTED, "proj_type"},
        {TEXT, "heads", "7", CE_EFORMAT, "7 heads"},
        {TEXT, "hf_tokenizer_name", "\"bert-base-uncased\"", CE_EFORMAT, "vocab.txt"},
        {TEXT, "tokenizer_kwargs", "{\"strip_sep_token\": true}", CE_EFORMAT,
         "strip_sep_token"},
        {TEXT, "tokenizer_kwargs", "{\"language\": \"de\"}", CE_EUNSUPPORTED, "language"},
        {TEXT, "tokenizer_kwargs", "{\"clean\": \"canonicalize\"}", CE_EUNSUPPORTED,
         "canonicalize"},
        {INPUT, "resize_mode", "\"tallest\"", CE_EUNSUPPORTED, "tallest"},
        {INPUT, "interpolation", "\"nearest\"", CE_EUNSUPPORTED, "nearest"},
        {INPUT, "mode", "\"L\"", CE_EUNSUPPORTED, "mode"},
        {INPUT, "std", "[1, 0, 1]", CE_EFORMAT, "std"},
        {INPUT, "fill_color", "256", CE_EFORMAT, "fill_color"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        empty_directory();
        write_stubs("m/open_clip_model.safetensors", any_clip);
        write_edited("m/open_clip_config.json", open_clip_config, cases[i].part,
                     cases[i].key, cases[i].value);
        if (cases[i].word[0])
            expect_refusal(scratch_path("m"), NULL, cases[i].code, cases[i].word);
        else /* 100 / 64 is one head */
            resolve(scratch_path("m"), NULL);
    }
}

static void open_clip_tokenizers_follow_their_files(void **state) {
    (void)state;
    static const struct {
        const char *name, *text, *kwargs;
        int kind; /* -1: refused */
    } cases[] = {
        {"vocab.txt", "[PAD]\n", "{}", CE_TOKENIZER_WORDPIECE},
        {"spiece.model", "", "{\"clean\": \"canonicalize\"}", CE_TOKENIZER_UNIGRAM},
        {"spiece.model", "", "{}", CE_TOKENIZER_UNIGRAM},
        {"spiece.model", "", "{\"clean\": \"shout\"}", -1},
        {"merges.txt", "", "{}", CE_TOKENIZER_BPE},
        {"tokenizer_config.json", "{\"tokenizer_class\": \"BertTokenizerFast\"}", "{}",
         CE_TOKENIZER_WORDPIECE},
        {"tokenizer_config.json", "{\"tokenizer_class\": \"XLMRobertaTokenizer\"}", "{}",
         -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ce_config c;
        empty_directory();
        write_stubs("m/open_clip_model.safetensors", any_clip);
        json_t *root = json_loads(open_clip_config, 0, NULL);
        json_t *text = json_object_get(json_object_get(root, MODEL), "text_cfg");
        json_object_set_new(text, "hf_tokenizer_name", json_string("some/where"));
        json_object_set_new(text, "tokenizer_kwargs", json_loads(cases[i].kwargs, 0, NULL));
        json_dump_file(root, scratch_path("m/open_clip_config.json"), 0);
        json_decref(root);
        char name[64];
        snprintf(name, sizeof name, "m/%s", cases[i].name);
        write_text(name, cases[i].text);
        int result = read_config(&c, scratch_path("m"), NULL);
        assert_int_equal(result, cases[i].kind < 0 ? CE_EUNSUPPORTED : CE_OK);
        if (result == CE_OK)
            assert_int_equal(c.tokenizer, cases[i].kind);
    }
}

/* open_clip's model_configs: names, and what create_model makes of them. */
static void architectures_have_names(void **state) {
    (void)state;
    empty_directory();
    const char *path = write_stubs("m/epoch_1.safetensors", any_clip);
    ce_config c = resolve(path, "ViT-B-32");
    assert_int_equal(c.text.activation, CE_GELU);
    assert_int_equal(c.vision.patch, 32);
    assert_int_equal(c.embed_dim, 512);
    assert_string_equal(c.architecture_source, "open_clip's ViT-B-32");
    assert_string_equal(c.preprocess_source, "open_clip's defaults");
    c = resolve(path, "ViT-L-14-336-quickgelu");
    assert_int_equal(c.text.activation, CE_QUICK_GELU);
    assert_int_equal(c.preprocess.width, 336);
    c = resolve(path, "RN50x4");
    assert_int_equal(c.vision.kind, CE_VISION_RESNET);
    assert_int_equal(c.vision.blocks[2], 10);
    assert_int_equal(c.vision.heads, 40);
    c = resolve(path, "ViT-M-16-alt");
    assert_true(c.vision.layer_scale);
    c = resolve(path, "ViT-B/32");
    assert_int_equal(c.text.activation, CE_QUICK_GELU);
    assert_non_null(note("openai-spelling"));
    expect_refusal(path, "ViT-B-31", CE_EINVAL, "did you mean \"ViT-B-32\"");
    expect_refusal(path, "vit-b-32", CE_EINVAL, "did you mean \"ViT-B-32\"");
    expect_refusal(path, "something else", CE_EINVAL, "among its 144");
    expect_refusal(path, "", CE_EINVAL, "no architecture");
    expect_refusal(path, "EVA02-L-14", CE_EUNSUPPORTED, "eva02_large_patch14_clip_224");
    expect_refusal(path, "coca_ViT-B-32", CE_EUNSUPPORTED, "CoCa");
    expect_refusal(path, "ViT-H-14-CLIPA", CE_EFORMAT, "vocab.txt");
    write_text("m/vocab.txt", "[PAD]\n");
    c = resolve(path, "ViT-L-14-CLIPA");
    assert_true(c.blank_end && c.text.not_causal && c.vision.norm_after_pool);
    assert_int_equal(c.tokenizer, CE_TOKENIZER_WORDPIECE);
    assert_int_equal(c.vision.pool, CE_POOL_AVERAGE);
    assert_int_equal(c.text.pool, CE_POOL_LAST);
    assert_non_null(note("preprocess-assumed"));
    write_text("m/spiece.model", "");
    c = resolve(path, "ViT-SO400M-14-SigLIP-384");
    assert_true(c.vision.timm && c.sigmoid && c.vision.no_class_token);
    assert_int_equal(c.vision.hidden, 4304);
    assert_int_equal(c.tokenizer, CE_TOKENIZER_UNIGRAM);
    assert_non_null(note("preprocess-assumed"));
    write_text("m/my.json", "{\"embed_dim\": 8, \"vision_cfg\": {}, \"text_cfg\": {}}");
    c = resolve(path, scratch_path("m/my.json"));
    assert_int_equal(c.vision.patch, 16); /* CLIPVisionCfg's default */
    assert_int_equal(c.embed_dim, 8);
}

static void a_named_architecture_goes_before_the_directory_s(void **state) {
    (void)state;
    empty_directory();
    write_stubs("m/open_clip_model.safetensors", any_clip);
    write_edited("m/open_clip_config.json", open_clip_config, INPUT, "resize_mode",
                 "\"squash\"");
    ce_config c = resolve(scratch_path("m"), "ViT-B-16-quickgelu");
    assert_int_equal(c.vision.patch, 16);
    assert_int_equal(c.text.activation, CE_QUICK_GELU);
    assert_int_equal(c.preprocess.resize_mode, CE_RESIZE_SQUASH);
    assert_string_equal(c.preprocess_source, "open_clip_config.json: preprocess_cfg");
    c = resolve(scratch_path("m/open_clip_model.safetensors"), "ViT-B-16");
    assert_int_equal(c.preprocess.resize_mode,
                     CE_RESIZE_SHORTEST); /* a file stands alone */
}

/* openai/CLIP's names, with its sizes small. */
static const stub openai_vit[] = {
    {"visual.conv1.weight", "F16", {128, 3, 8, 8}},
    {"visual.positional_embedding", "F32", {17, 128}},
    {"visual.proj", "F16", {128, 32}},
    {"visual.transformer.resblocks.0.attn.in_proj_weight", "F16", {384, 128}},
    {"visual.transformer.resblocks.1.attn.in_proj_weight", "F16", {384, 128}},
    {"transformer.resblocks.0.attn.in_proj_weight", "F16", {192, 64}},
    {"positional_embedding", "F32", {16, 64}},
    {"token_embedding.weight", "F32", {100, 64}},
    {"ln_final.weight", "F32", {64}},
    {"text_projection", "F16", {64, 32}},
    {"logit_scale", "F32", {1}},
    {0}};

enum { STUBS = sizeof openai_vit / sizeof *openai_vit };

/* The same with one tensor changed; `dtype` NULL: without it. */
static const char *openai_with(const char *name, stub changed) {
    stub stubs[STUBS + 4] = {{0}};
    size_t n = 0;
    for (const stub *s = openai_vit; s->name; s++)
        if (!name || strcmp(s->name, name) != 0)
            stubs[n++] = *s;
        else if (changed.dtype)
            stubs[n++] = changed;
    return write_stubs("m/x.safetensors", stubs);
}

static void openai_s_sizes_follow_from_shapes(void **state) {
    (void)state;
    empty_directory();
    const char *path = openai_with(NULL, (stub){0});
    ce_config c = resolve(path, NULL);
    assert_int_equal(files.format, CE_FORMAT_OPENAI);
    assert_int_equal(c.vision.width, 128);
    assert_int_equal(c.vision.heads, 2);
    assert_int_equal(c.vision.layers, 2);
    assert_int_equal(c.vision.image_width, 32);
    assert_int_equal(c.text.layers, 1);
    assert_int_equal(c.text.activation, CE_QUICK_GELU);
    assert_int_equal(c.style, CE_TEXT_OPENAI);
    assert_non_null(note("openai-assumed")); /* for its mixed precision alone */
    resolve(path, "openai");
    assert_null(note("openai-assumed"));
    assert_int_equal(resolve(scratch_path("m"), NULL).embed_dim, 32);
}

static void a_state_dict_that_says_nothing_needs_an_architecture(void **state) {
    (void)state;
    empty_directory();
    const char *path = openai_with(
        "ln_final.weight", (stub){"ln_final.weight", "F16", {64}}); /* half all over */
    expect_refusal(path, NULL, CE_EFORMAT, "--arch ViT-B-32");
    assert_int_equal(resolve(path, "openai").embed_dim, 32);
    static const stub hugging_face[] = {
        {"vision_model.embeddings.patch_embedding.weight", "F32", {4, 3, 2, 2}}, {0}};
    expect_refusal(write_stubs("m/y.safetensors", hugging_face), NULL, CE_EFORMAT,
                   "config.json that belongs beside");
    expect_refusal(write_stubs("m/z.safetensors", any_clip), NULL, CE_EFORMAT,
                   "no CLIP that is known");
}

static void shapes_that_cannot_be_openai_s_are_refused(void **state) {
    (void)state;
    static const struct {
        stub changed;
        const char *word;
    } cases[] = {
        {{"visual.positional_embedding", "F32", {18, 128}}, "no square"},
        {{"visual.positional_embedding", "F32", {1, 128}}, "where an OpenAI CLIP has"},
        {{"visual.positional_embedding", "F32", {17}}, "1 dimensions"},
        {{"visual.conv1.weight", "F16", {32, 3, 8, 8}}, "where an OpenAI CLIP has"},
        {{"visual.conv1.weight", "F16", {128, 3, 8, 4}}, "square patch"},
        {{"visual.transformer.resblocks.0.attn.in_proj_weight", NULL, {0}}, "0 layers"},
        {{"transformer.resblocks.0.attn.in_proj_weight", NULL, {0}}, "0 layers"},
        {{"visual.proj", NULL, {0}}, "visual.layer1.0.conv1.weight"},
        {{"text_projection", "F16", {64}}, "1 dimensions"},
        {{"token_embedding.weight", NULL, {0}}, "token_embedding.weight"},
        {{"ln_final.weight", "F32", {32}}, "where an OpenAI CLIP has"},
        {{"positional_embedding", "F32", {1, 64}}, "where an OpenAI CLIP has"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        empty_directory();
        expect_refusal(openai_with(cases[i].changed.name, cases[i].changed), "openai",
                       CE_EFORMAT, cases[i].word);
    }
    stub stated[STUBS + 4] = {{0}};
    memcpy(stated, openai_vit, sizeof openai_vit);
    stated[STUBS - 1] = (stub){"input_resolution", "I64", {1}};
    stated[STUBS] = (stub){"context_length", "I64", {1}};
    stated[STUBS + 1] = (stub){"vocab_size", "I64", {1}};
    expect_refusal(write_stubs("m/x.safetensors", stated), NULL, CE_EFORMAT,
                   "input_resolution is 0");
}

/* The same weights under a configuration that says gelu: OpenAI's never take it. */
static void openai_s_weights_under_gelu_are_noted(void **state) {
    (void)state;
    empty_directory();
    const char *path = openai_with(NULL, (stub){0});
    write_text("m/open_clip_config.json", open_clip_config);
    ce_config c = resolve(path, NULL);
    assert_int_equal(files.format, CE_FORMAT_OPEN_CLIP);
    assert_int_equal(c.text.activation, CE_GELU);
    assert_non_null(note("openai-names-gelu"));
    write_edited("m/open_clip_config.json", open_clip_config, MODEL, "quick_gelu", "true");
    resolve(path, NULL);
    assert_int_equal(notes.count, 0);
    write_edited("m/open_clip_config.json", open_clip_config, VISION, "image_size", "40");
    expect_refusal(path, NULL, CE_EUNSUPPORTED, "would interpolate");
    write_edited("m/open_clip_config.json", open_clip_config, TEXT, "context_length", "17");
    expect_refusal(path, NULL, CE_EUNSUPPORTED, "would interpolate");
}

static void normalisations_that_are_not_clip_s_are_noted(void **state) {
    (void)state;
    open_clip_with(INPUT, "mean", "[0.5, 0.5, 0.5]");
    assert_non_null(note("unusual-normalisation"));
    empty_directory();
    write_stubs("m/open_clip_model.safetensors", any_clip);
    json_t *root = json_loads(open_clip_config, 0, NULL);
    json_t *input = json_object_get(root, INPUT);
    json_object_set_new(input, "mean", json_pack("[f, f, f]", 0.485, 0.456, 0.406));
    json_object_set_new(input, "std", json_pack("[f, f, f]", 0.229, 0.224, 0.225));
    json_dump_file(root, scratch_path("m/open_clip_config.json"), 0);
    json_decref(root);
    resolve(scratch_path("m"), NULL);
    assert_non_null(note("imagenet-normalisation"));
}

/* google/siglip-base-patch16-224 states next to nothing, and needs no more. */
static void hugging_face_defaults_are_the_library_s(void **state) {
    (void)state;
    static const char empty[] = "\"text_config\": {}, \"vision_config\": {}}";
    char text[256];
    empty_directory();
    write_stubs("m/model.safetensors", any_clip);
    write_text("m/preprocessor_config.json", "{}");
    snprintf(text, sizeof text, "{\"model_type\": \"siglip\", %s", empty);
    write_text("m/config.json", text);
    ce_config c = resolve(scratch_path("m"), NULL);
    assert_int_equal(notes.count, 0);
    assert_int_equal(c.text.context, 64);
    assert_int_equal(c.text.vocab_size, 32000);
    assert_int_equal(c.vision.patch, 16);
    assert_int_equal(c.vision.activation, CE_GELU_TANH);
    assert_int_equal(c.embed_dim, 768);
    assert_true(c.text.eps == 1e-6 && c.text.projection_bias && c.vision.no_projection);
    assert_int_equal(c.preprocess.resize_mode, CE_RESIZE_SQUASH);
    assert_true(c.preprocess.mean[0] == 0.5);
    snprintf(text, sizeof text, "{\"model_type\": \"chinese_clip\", %s", empty);
    write_text("m/config.json", text);
    c = resolve(scratch_path("m"), NULL);
    assert_int_equal(note("activation-not-stated")->severity, CE_WARNING);
    assert_int_equal(c.text.kind, CE_TEXT_BERT);
    assert_int_equal(c.text.context, 52);
    assert_int_equal(c.text.positions, 512);
    assert_int_equal(c.text.vocab_size, 30522);
    assert_int_equal(c.text.activation, CE_GELU);
    assert_int_equal(c.vision.activation, CE_QUICK_GELU);
    assert_int_equal(c.preprocess.resize_mode, CE_RESIZE_SHORTEST);
    snprintf(text, sizeof text, "{\"model_type\": \"clip\", %s", empty);
    write_text("m/config.json", text);
    c = resolve(scratch_path("m"), NULL);
    assert_int_equal(note("activation-not-stated")->severity, CE_FAULT);
    assert_int_equal(c.text.activation, CE_QUICK_GELU);
    assert_int_equal(c.text.end_of_text, 49407);
    assert_int_equal(c.vision.patch, 32);
}

static void hugging_face_options_without_a_place_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *type, *text, *vision, *word;
    } cases[] = {
        {"siglip", "{}", "{\"vision_use_head\": false}", "vision_use_head"},
        {"siglip", "{\"projection_size\": 64}", "{}", "cannot be compared"},
        {"siglip", "{\"hidden_act\": \"mish\"}", "{}", "mish"},
        {"siglip2", "{}", "{}", "siglip2"},
        {"chinese_clip", "{\"position_embedding_type\": \"relative_key\"}", "{}",
         "relative_key"},
        {"chinese_clip", "{\"pad_token_id\": 30522}", "{}", "pad_token_id"},
        {"chinese_clip", "{\"type_vocab_size\": 0}", "{}", "type_vocab_size"},
        {"chinese_clip", "{}", "{\"image_size\": [224, 224]}", "image_size"},
        {"clip", "{}", "{\"num_attention_heads\": 7}", "7 heads"},
        {"clip", "{\"max_position_embeddings\": 1e6}", "{}", "max_position_embeddings"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        ce_config c;
        empty_directory();
        write_stubs("m/model.safetensors", any_clip);
        write_text("m/preprocessor_config.json", "{}");
        snprintf(text, sizeof text,
                 "{\"model_type\": \"%s\", \"text_config\": %s, \"vision_config\": %s}",
                 cases[i].type, cases[i].text, cases[i].vision);
        write_text("m/config.json", text);
        assert_true(read_config(&c, scratch_path("m"), NULL) < 0);
        if (!strstr(err.message, cases[i].word))
            fail_msg("\"%s\" does not say \"%s\"", err.message, cases[i].word);
    }
}

static void odd_activations_of_a_clip_are_noted(void **state) {
    (void)state;
    empty_directory();
    write_stubs("m/model.safetensors", any_clip);
    write_text("m/preprocessor_config.json", "{}");
    write_text("m/config.json",
               "{\"model_type\": \"clip\", \"_name_or_path\": "
               "\"openai/clip-vit-base-patch32\", \"text_config\": {\"hidden_act\": "
               "\"gelu\"}, \"vision_config\": {\"hidden_act\": \"gelu_new\"}}");
    ce_config c = resolve(scratch_path("m"), NULL);
    assert_int_equal(c.vision.activation, CE_GELU_TANH);
    assert_non_null(note("openai-names-gelu"));
    assert_non_null(note("activations-differ"));
}

static void the_libraries_order_of_files_is_kept(void **state) {
    (void)state;
    static const struct {
        const char *name;
        ce_format format;
    } order[] = {/* each goes before those above it */
                 {"model.safetensors.index.json", CE_FORMAT_HUGGING_FACE},
                 {"model.safetensors", CE_FORMAT_HUGGING_FACE},
                 {"open_clip_pytorch_model.bin", CE_FORMAT_OPEN_CLIP},
                 {"open_clip_pytorch_model.safetensors", CE_FORMAT_OPEN_CLIP},
                 {"open_clip_model.safetensors", CE_FORMAT_OPEN_CLIP}};
    empty_directory();
    write_text("m/config.json", "{}");
    write_text("m/open_clip_config.json", "{}");
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        char name[64];
        snprintf(name, sizeof name, "m/%s", order[i].name);
        write_text(name, "");
        assert_int_equal(ce_checkpoint_find(&files, scratch_path("m/"), NULL, &err), 0);
        assert_int_equal(files.format, order[i].format);
        assert_string_equal(files.weights, scratch_path(name));
    }
    unlink(scratch_path("m/config.json"));
    assert_int_equal(ce_checkpoint_find(&files, scratch_path("m"), "RN50", &err), 0);
    assert_string_equal(files.arch, "RN50");
}

static int find(const char *name) {
    return ce_checkpoint_find(&files, scratch_path(name), NULL, &err);
}

static void a_lone_file_is_found_and_several_are_listed(void **state) {
    (void)state;
    static const stub other[] = {{"text_embeds", "F32", {2, 2}}, {0}};
    empty_directory();
    assert_int_equal(find("m"), CE_EFORMAT);
    assert_non_null(strstr(err.message, "open_clip_config.json"));
    write_stubs("m/expected.safetensors", other);
    assert_int_equal(find("m"), CE_OK); /* the only one; opening says the rest */
    write_stubs("m/a.safetensors", any_clip);
    assert_int_equal(find("m"), CE_OK);
    assert_string_equal(files.weights, scratch_path("m/a.safetensors"));
    assert_int_equal(files.format, CE_FORMAT_OPENAI);
    write_stubs("m/b.safetensors", any_clip);
    assert_int_equal(find("m"), CE_EFORMAT);
    assert_non_null(strstr(err.message, "a.safetensors, b.safetensors"));
    write_text("m/config.json", "{}");
    assert_int_equal(find("m"), CE_EFORMAT);
    assert_non_null(strstr(err.message, "a.safetensors, b.safetensors"));
    assert_int_equal(find("m/config.json"), CE_EFORMAT);
    assert_non_null(strstr(err.message, "its directory"));
    assert_int_equal(find("m/none"), CE_EIO);
    empty_directory();
    assert_int_equal(mkdir(scratch_path("m/snapshots"), 0777), 0);
    assert_int_equal(find("m"), CE_EFORMAT);
    assert_non_null(strstr(err.message, "cache"));
    char *path = malloc(PATH_MAX + 1);
    memset(path, 'x', PATH_MAX);
    path[PATH_MAX] = '\0';
    assert_int_equal(ce_checkpoint_find(&files, path, NULL, &err), CE_EINVAL);
    free(path);
}

/* A configuration counts for the files that are named as its library names tensors. */
static void a_configuration_beside_a_file_must_fit_it(void **state) {
    (void)state;
    static const stub hugging_face[] = {
        {"vision_model.embeddings.patch_embedding.weight", "F32", {4, 3, 2, 2}}, {0}};
    empty_directory();
    write_stubs("m/hf.safetensors", hugging_face);
    openai_with(NULL, (stub){0});
    write_text("m/config.json", "{}");
    assert_int_equal(find("m/hf.safetensors"), CE_OK);
    assert_int_equal(files.format, CE_FORMAT_HUGGING_FACE);
    assert_int_equal(find("m/x.safetensors"), CE_OK);
    assert_int_equal(files.format, CE_FORMAT_OPENAI);
    write_text("m/open_clip_config.json", "{}");
    assert_int_equal(find("m/x.safetensors"), CE_OK);
    assert_int_equal(files.format, CE_FORMAT_OPEN_CLIP);
    assert_string_equal(files.config, scratch_path("m/open_clip_config.json"));
}

static int free_notes(void **state) {
    ce_notes_free(&notes);
    return scratch_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_models_resolve),
        cmocka_unit_test(open_clip_options_are_read),
        cmocka_unit_test(open_clip_options_without_a_place_are_refused),
        cmocka_unit_test(open_clip_tokenizers_follow_their_files),
        cmocka_unit_test(architectures_have_names),
        cmocka_unit_test(a_named_architecture_goes_before_the_directory_s),
        cmocka_unit_test(openai_s_sizes_follow_from_shapes),
        cmocka_unit_test(a_state_dict_that_says_nothing_needs_an_architecture),
        cmocka_unit_test(shapes_that_cannot_be_openai_s_are_refused),
        cmocka_unit_test(openai_s_weights_under_gelu_are_noted),
        cmocka_unit_test(normalisations_that_are_not_clip_s_are_noted),
        cmocka_unit_test(hugging_face_defaults_are_the_library_s),
        cmocka_unit_test(hugging_face_options_without_a_place_are_refused),
        cmocka_unit_test(odd_activations_of_a_clip_are_noted),
        cmocka_unit_test(the_libraries_order_of_files_is_kept),
        cmocka_unit_test(a_lone_file_is_found_and_several_are_listed),
        cmocka_unit_test(a_configuration_beside_a_file_must_fit_it),
    };
    return cmocka_run_group_tests(tests, scratch_setup, free_notes);
}

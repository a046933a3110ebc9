/* Goldens: tests/golden/tokenizer. tokens.jsonl is what openai/CLIP, open_clip 3.3 and
 * transformers 5.23 give for 553 texts with CLIP's vocabulary; clip-small is a checkpoint's
 * tokenizer with CLIP's first 1500 merges; input_ids.jsonl holds padded rows. */
#include "tokenizer.h"

#include "golden.h"
#include "json_table.h"
#include "unicode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <utf8proc.h>

#include <cmocka.h>

#define CONTEXT 77

static ce_tokenizer *open_at(const char *dir, ce_text_style style) {
    ce_tokenizer *t = NULL;
    ce_error err;
    if (ce_tokenizer_open_bpe(&t, dir, style, &err) < 0)
        fail_msg("%s", err.message);
    return t;
}

static ce_tokens encode(const ce_tokenizer *t, int32_t *ids, const char *text) {
    ce_tokens out = {0};
    ce_error err;
    if (ce_tokenizer_encode(t, ids, CONTEXT, &out, text, strlen(text), &err) < 0)
        fail_msg("%s", err.message);
    return out;
}

static void expect_ids(const ce_tokenizer *t, const char *text, const int32_t *want,
                       size_t n) {
    int32_t ids[CONTEXT];
    ce_tokens out = encode(t, ids, text);
    assert_int_equal(out.count, n + 2);
    for (size_t i = 0; i < n; i++)
        if (ids[i + 1] != want[i])
            fail_msg("\"%s\": id %zu is %d, not %d", text, i, (int)ids[i + 1],
                     (int)want[i]);
}
#define EXPECT_IDS(t, text, ...)                                                           \
    do {                                                                                   \
        const int32_t want_[] = {__VA_ARGS__};                                             \
        expect_ids(t, text, want_, sizeof want_ / sizeof *want_);                          \
    } while (0)

/* ---- small files ---- */

static char temporary[] = "/tmp/ce_tokenizer_XXXXXX";
static const char *const names[] = {
    "tokenizer.json",          "vocab.json",       "merges.txt", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json"};
enum { TOKENIZER, VOCAB, MERGES, CONFIG, MAP, ADDED, FILES };

static const char *file_in(char *path, size_t size, int which) {
    snprintf(path, size, "%s/%s", temporary, names[which]);
    return path;
}

static void put(int which, const char *bytes, size_t size) {
    char path[GOLDEN_PATH];
    FILE *f = fopen(file_in(path, sizeof path, which), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void put_text(int which, const char *text) {
    put(which, text, strlen(text));
}

static void put_json(int which, const json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT);
    assert_non_null(text);
    put_text(which, text);
    free(text);
}

static int clear(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    for (int i = 0; i < FILES; i++)
        unlink(file_in(path, sizeof path, i));
    return 0;
}

static char *golden_text(const char *name, size_t *size) {
    char path[GOLDEN_PATH];
    char *text = golden_read(golden_path(path, sizeof path, name), size);
    if (!text)
        fail_msg("%s is missing", name);
    return text;
}

static void copy_small(int which) {
    char name[128];
    size_t size = 0;
    snprintf(name, sizeof name, "tokenizer/clip-small/%s", names[which]);
    char *text = golden_text(name, &size);
    put(which, text, size);
    free(text);
}

static json_t *small_json(int which) {
    char name[128], path[GOLDEN_PATH];
    snprintf(name, sizeof name, "tokenizer/clip-small/%s", names[which]);
    json_t *root = golden_json(golden_path(path, sizeof path, name));
    assert_non_null(root);
    return root;
}

static void expect_refused(int code, const char *part) {
    ce_tokenizer *t = (ce_tokenizer *)&t;
    ce_error err = {0};
    int rc = ce_tokenizer_open_bpe(&t, temporary, CE_TEXT_HUGGING_FACE, &err);
    if (rc != code || !strstr(err.message, part))
        fail_msg("%d '%s', wanted %d '%s'", rc, err.message, code, part);
    assert_null(t);
    assert_memory_equal(err.message, temporary, strlen(temporary));
    ce_tokenizer_free(t);
}

/* ---- against the libraries ---- */

typedef void use_row(const json_t *row, void *context);

static void each_line(const char *name, use_row *use, void *context) {
    size_t size = 0, rows = 0;
    char *text = golden_text(name, &size);
    for (char *line = text, *next; *line; line = next) {
        next = strchr(line, '\n') + 1;
        json_t *row = json_loadb(line, (size_t)(next - line), JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        use(row, context);
        json_decref(row);
        rows++;
    }
    assert_true(rows > 0);
    free(text);
}

typedef struct style_case {
    ce_tokenizer *t;
    const char *key; /* whose ids */
    int compared;
} style_case;

static void compare_tokens(const json_t *row, void *context) {
    style_case *c = context;
    const json_t *want = json_object_get(row, c->key), *text = json_object_get(row, "text");
    if (!want)
        want = json_object_get(row, "openai");
    int32_t ids[CONTEXT];
    ce_tokens out;
    ce_error err;
    if (ce_tokenizer_encode(c->t, ids, CONTEXT, &out, json_string_value(text),
                            json_string_length(text), &err) < 0)
        fail_msg("%s: %s", json_string_value(text), err.message);
    if (out.count != (int)json_array_size(want) ||
        out.truncated != json_is_true(json_object_get(row, "truncated")))
        fail_msg("%s: %d ids", json_string_value(text), out.count);
    for (int i = 0; i < out.count; i++)
        if (ids[i] != json_integer_value(json_array_get(want, (size_t)i)))
            fail_msg("%s, %s: id %d is %d", c->key, json_string_value(text), i,
                     (int)ids[i]);
    c->compared++;
}

static void test_built_in_ids_are_those_of_each_library(void **state) {
    (void)state;
    style_case cases[] = {
        {.t = open_at(NULL, CE_TEXT_HUGGING_FACE), .key = "hf"},
        {.t = open_at(NULL, CE_TEXT_OPEN_CLIP), .key = "open_clip"},
        {.t = open_at(NULL, CE_TEXT_OPENAI), .key = "openai"},
    };
    for (size_t i = 0; i < 3; i++) {
        each_line("tokenizer/tokens.jsonl", compare_tokens, &cases[i]);
        assert_int_equal(cases[i].compared, 553);
        assert_int_equal(ce_tokenizer_vocab_size(cases[i].t), 49408);
        assert_int_equal(ce_tokenizer_end_of_text(cases[i].t), 49407);
        assert_string_equal(ce_tokenizer_source(cases[i].t), "built-in CLIP");
        ce_tokenizer_free(cases[i].t);
    }
}

static void test_the_full_vocabulary_file_gives_the_same_ids(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    if (!shared_path(path, sizeof path, "tokenizer/clip-bpe/vocab.json")) {
        print_message("no tokenizer/clip-bpe: CLIP's own vocab.json is not read\n");
        skip();
    }
    *strrchr(path, '/') = '\0';
    style_case c = {.t = open_at(path, CE_TEXT_HUGGING_FACE), .key = "hf"};
    assert_string_equal(ce_tokenizer_source(c.t), "vocab.json + merges.txt");
    each_line("tokenizer/tokens.jsonl", compare_tokens, &c);
    assert_int_equal(c.compared, 553);
    ce_tokenizer_free(c.t);
}

typedef struct model_case {
    ce_tokenizer *t;
    const char *model;
    int compared;
} model_case;

static void compare_padded(const json_t *row, void *context) {
    model_case *c = context;
    if (strcmp(json_string_value(json_object_get(row, "model")), c->model) != 0)
        return;
    const json_t *want = json_object_get(row, "input_ids");
    int32_t ids[CONTEXT];
    assert_int_equal(json_array_size(want), CONTEXT);
    encode(c->t, ids, json_string_value(json_object_get(row, "text")));
    for (size_t i = 0; i < CONTEXT; i++)
        assert_int_equal(ids[i], json_integer_value(json_array_get(want, i)));
    c->compared++;
}

static void test_either_form_of_the_files_gives_the_same_padded_rows(void **state) {
    (void)state;
    static const struct {
        ce_text_style style;
        const char *model;
        int rows;
    } cases[] = {{CE_TEXT_HUGGING_FACE, "clip-hf-quickgelu", 16},
                 {CE_TEXT_OPEN_CLIP, "openclip-rn", 14}};
    char path[GOLDEN_PATH];
    golden_path(path, sizeof path, "tokenizer/clip-small/");
    copy_small(VOCAB);
    copy_small(MERGES);
    for (size_t i = 0; i < 2; i++)
        for (int pair = 0; pair < 2; pair++) {
            ce_tokenizer *t = open_at(pair ? temporary : path, cases[i].style);
            assert_string_equal(ce_tokenizer_source(t),
                                pair ? "vocab.json + merges.txt" : "tokenizer.json");
            assert_int_equal(ce_tokenizer_vocab_size(t), 2014);
            model_case c = {.t = t, .model = cases[i].model};
            each_line("tokenizer/input_ids.jsonl", compare_padded, &c);
            assert_int_equal(c.compared, cases[i].rows);
            ce_tokenizer_free(t);
        }
}

static void compare_model(const char *model, ce_text_style style) {
    char path[GOLDEN_PATH], name[128];
    snprintf(name, sizeof name, "models/%s/cases.json", model);
    json_t *cases = golden_json(shared_path(path, sizeof path, name));
    snprintf(name, sizeof name, "models/%s/expected.safetensors", model);
    golden_file *f = golden_open(shared_path(path, sizeof path, name));
    golden_tensor want;
    assert_non_null(cases);
    assert_true(golden_find(f, "input_ids", &want));
    *strrchr(path, '/') = '\0';
    ce_tokenizer *t = open_at(path, style);
    const json_t *texts = json_object_get(cases, "texts");
    int context = (int)want.shape[1];
    assert_int_equal(json_array_size(texts), want.shape[0]);
    int32_t *ids = malloc(want.shape[1] * sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < want.shape[0]; i++) {
        const char *text = json_string_value(json_array_get(texts, i));
        ce_tokens out;
        assert_int_equal(
            ce_tokenizer_encode(t, ids, context, &out, text, strlen(text), NULL), 0);
        for (size_t k = 0; k < want.shape[1]; k++)
            assert_int_equal(ids[k], ((const int64_t *)want.data)[i * want.shape[1] + k]);
    }
    free(ids);
    ce_tokenizer_free(t);
    golden_close(f);
    json_decref(cases);
}

static void test_reference_models_get_their_input_ids(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    if (!shared_path(path, sizeof path, "models/clip-hf-quickgelu/cases.json")) {
        print_message("no reference models: their input_ids are not compared\n");
        skip();
    }
    compare_model("clip-hf-quickgelu", CE_TEXT_HUGGING_FACE);
    compare_model("clip-hf-gelu-legacy", CE_TEXT_HUGGING_FACE);
    compare_model("openclip-vit-gelu", CE_TEXT_OPEN_CLIP);
    compare_model("openclip-vit-quickgelu", CE_TEXT_OPEN_CLIP);
    compare_model("openclip-rn", CE_TEXT_OPEN_CLIP);
}

/* ---- what the files may say ---- */

static void add_token(json_t *list, int id, const char *content, bool normalized,
                      bool single_word) {
    json_array_append_new(list, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id,
                                          "content", content, "normalized", normalized,
                                          "single_word", single_word, "lstrip", 0, "rstrip",
                                          0, "special", 0));
}

/* Ids: tokenizers 0.23.3 on the same file. */
static void test_added_tokens_are_found_as_their_flags_say(void **state) {
    (void)state;
    json_t *root = small_json(TOKENIZER), *list = json_object_get(root, "added_tokens");
    add_token(list, 2014, "Red  Panda", true, false);
    add_token(list, 2015, "<obj>", false, true);
    add_token(list, 2016, "<obj><obj>", false, false);
    add_token(list, 2017, "\xc3\x9cnit", false, false);
    put_json(TOKENIZER, root);
    json_decref(root);
    ce_tokenizer *t = open_at(temporary, CE_TEXT_HUGGING_FACE);
    assert_int_equal(ce_tokenizer_vocab_size(t), 2018);
    EXPECT_IDS(t, "a red\tPANDA.", 320, 2014, 269);
    EXPECT_IDS(t, "RED  pandas", 2014, 338);
    EXPECT_IDS(t, "a<obj>b <obj> <obj>", 320, 283, 1411, 329, 285, 321, 2015, 2015);
    EXPECT_IDS(t, "<obj><obj>x<obj>", 2016, 343, 283, 1411, 329, 285);
    EXPECT_IDS(t, "\xc3\x9cnit \xc3\xbcnit U\xcc\x88nit", 2017, 127, 120, 77, 585, 127, 120,
               77, 585);
    EXPECT_IDS(t, "<|STARTOFTEXT|>!", 27, 347, 993, 580, 69, 600, 1052, 91, 285, 256);
    EXPECT_IDS(t, "!<|EndOfText|>a", 0, 27, 347, 524, 639, 69, 600, 1052, 91, 285, 320);
    EXPECT_IDS(t, "a<|endoftext|>b", 320, 2013, 321);
    ce_tokenizer_free(t);
}

static void test_special_names_are_each_librarys_own(void **state) {
    (void)state;
    ce_tokenizer *openai = open_at(NULL, CE_TEXT_OPENAI);
    ce_tokenizer *open_clip = open_at(NULL, CE_TEXT_OPEN_CLIP);
    EXPECT_IDS(openai, "<|EndOfText|>", 49407);
    EXPECT_IDS(open_clip, "<START_of_text>", 49406);
    EXPECT_IDS(open_clip, "\xcd\x85#", 258); /* their pattern drops U+0345 */
    int32_t ids[CONTEXT];
    assert_true(encode(openai, ids, "<end_of_text>").count > 3);
    assert_true(encode(open_clip, ids, "<|endoftext|>").count > 3);
    ce_tokenizer_free(openai);
    ce_tokenizer_free(open_clip);
}

static int32_t padding(ce_text_style style) {
    int32_t ids[CONTEXT];
    ce_tokenizer *t = open_at(temporary, style);
    encode(t, ids, "cat");
    ce_tokenizer_free(t);
    return ids[CONTEXT - 1];
}

static void test_padding_is_what_the_nearest_file_says(void **state) {
    (void)state;
    copy_small(VOCAB);
    copy_small(MERGES);
    assert_int_equal(padding(CE_TEXT_HUGGING_FACE), 2013);
    put_text(CONFIG, "{\"pad_token\": \"!\", \"model_max_length\": 1" /* 1e30, as an int */
                     "000000000000000019884624838656}");
    assert_int_equal(padding(CE_TEXT_HUGGING_FACE), 0);
    put_text(MAP, "{\"pad_token\": {\"content\": \"a</w>\", \"normalized\": true}}");
    assert_int_equal(padding(CE_TEXT_HUGGING_FACE), 320);
    put_text(CONFIG, "{\"pad_token\": \"!\", \"added_tokens_decoder\": {\"2012\": "
                     "{\"content\": \"<|startoftext|>\", \"normalized\": true}}}");
    assert_int_equal(padding(CE_TEXT_HUGGING_FACE), 0);
    assert_int_equal(padding(CE_TEXT_OPEN_CLIP), 0);
    copy_small(TOKENIZER);
    assert_int_equal(padding(CE_TEXT_HUGGING_FACE), 0);
}

static void test_old_and_lean_forms_of_tokenizer_json_are_read(void **state) {
    (void)state;
    json_t *root = small_json(TOKENIZER), *model = json_object_get(root, "model");
    json_t *merges = json_array(), *pair;
    size_t i;
    json_array_foreach(json_object_get(model, "merges"), i, pair) {
        json_array_append_new(
            merges, json_sprintf("%s %s", json_string_value(json_array_get(pair, 0)),
                                 json_string_value(json_array_get(pair, 1))));
    }
    json_object_set_new(model, "merges", merges);
    json_object_del(model, "type");
    json_object_set_new(root, "normalizer", json_null());
    json_object_set_new(root, "post_processor", json_null());
    put_json(TOKENIZER, root);
    json_decref(root);
    ce_tokenizer *t = open_at(temporary, CE_TEXT_HUGGING_FACE);
    EXPECT_IDS(t, "a a", 320, 320);
    EXPECT_IDS(t, "A", 288); /* nobody lower-cases now */
    ce_tokenizer_free(t);
}

static void refuse_with(const char *path, json_t *value, int code, const char *part) {
    json_t *root = small_json(TOKENIZER), *at = root;
    char copy[128], *save = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok_r(copy, "/", &save), *next; key; key = next) {
        next = strtok_r(NULL, "/", &save);
        if (!next)
            json_object_set_new(at, key, value);
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key))
                               : json_object_get(at, key);
    }
    put_json(TOKENIZER, root);
    json_decref(root);
    expect_refused(code, part);
}

static void test_another_kind_of_tokenizer_is_refused_by_its_part(void **state) {
    (void)state;
    refuse_with("model/type", json_string("WordPiece"), CE_EUNSUPPORTED, "WordPiece");
    refuse_with("model/dropout", json_real(0.1), CE_EUNSUPPORTED, "dropout");
    refuse_with("model/byte_fallback", json_true(), CE_EUNSUPPORTED, "byte_fallback");
    refuse_with("model/end_of_word_suffix", json_string(""), CE_EUNSUPPORTED, "suffix");
    refuse_with("normalizer", json_pack("{s:s}", "type", "NFKC"), CE_EUNSUPPORTED, "NFKC");
    refuse_with("pre_tokenizer", json_null(), CE_EUNSUPPORTED, "pre_tokenizer");
    refuse_with("pre_tokenizer/pretokenizers/0/pattern",
                json_pack("{s:s}", "Regex", "\\w+"), CE_EUNSUPPORTED, "pre_tokenizer");
    refuse_with("pre_tokenizer/pretokenizers/0/behavior", json_string("Isolated"),
                CE_EUNSUPPORTED, "pre_tokenizer");
    refuse_with("post_processor/cls", json_integer(3), CE_EUNSUPPORTED, "post_processor");
    refuse_with("model/unk_token", json_integer(3), CE_EFORMAT, "unk_token");
    refuse_with("model/vocab", json_array(), CE_EFORMAT, "vocab");
    refuse_with("model/merges", json_null(), CE_EFORMAT, "merges");
    refuse_with("model/merges", json_pack("[s]", "a b c"), CE_EFORMAT, "a merge is not");
    refuse_with("model", json_null(), CE_EFORMAT, "model");
}

/* ---- broken files ---- */

static void refuse_vocab(const char *token, json_t *id, const char *part) {
    json_t *root = small_json(VOCAB);
    json_object_set_new(root, token, id);
    put_json(VOCAB, root);
    json_decref(root);
    expect_refused(CE_EFORMAT, part);
}

static void test_a_vocabulary_that_contradicts_itself_is_refused(void **state) {
    (void)state;
    copy_small(MERGES);
    refuse_vocab("cat</w>", json_integer(5), "both have id 5");
    refuse_vocab("brand new", json_integer(5), "both have id 5");
    refuse_vocab("brand new", json_integer(-1), "negative");
    refuse_vocab("brand new", json_integer(2015), "no token has id 2014");
    refuse_vocab("brand new", json_integer(2999), "id 2999");
    refuse_vocab("brand new", json_integer(4000000000000), "small integer");
    refuse_vocab("brand new", json_real(1.5), "small integer");
    refuse_vocab("brand new", json_string("7"), "small integer");
    put_text(VOCAB, "{\"a\": 0, \"a\": 1}");
    expect_refused(CE_EFORMAT, "two ids");
    put_text(VOCAB, "{\"a\": 0");
    expect_refused(CE_EFORMAT, "line 1");
    put_text(VOCAB, "");
    expect_refused(CE_EFORMAT, "vocab.json");
    put_text(VOCAB, "{}");
    expect_refused(CE_EFORMAT, "no token");
}

static void refuse_merges(const char *text, const char *part) {
    put_text(MERGES, text);
    expect_refused(CE_EFORMAT, part);
}

static void test_merges_that_do_not_fit_the_vocabulary_are_refused(void **state) {
    (void)state;
    copy_small(VOCAB);
    refuse_merges("#version: 0.2\ni n\nth\n", "line 3 is not two tokens");
    refuse_merges("i n g\n", "line 1 is not two tokens");
    refuse_merges("i \n", "line 1 is not two tokens");
    refuse_merges("i n\nzzz n\n", "line 2: no token \"zzz\"");
    refuse_merges("q x\n", "no token \"qx\"");
    refuse_merges("i n\ni n\n", "line 2 repeats");
    refuse_merges("i n\n\xff n\n", "not UTF-8 at byte 4");
    copy_small(MERGES);
    put_text(CONFIG, "{\"eos_token\": \"</s>\"}");
    expect_refused(CE_EFORMAT, "</s>");
    put_text(CONFIG, "{\"eos_token\": 5}");
    expect_refused(CE_EFORMAT, "eos_token");
}

static void test_half_a_pair_of_files_is_an_error_and_none_is_the_built_in(void **state) {
    (void)state;
    ce_tokenizer *t = open_at(temporary, CE_TEXT_OPEN_CLIP);
    assert_string_equal(ce_tokenizer_source(t), "built-in CLIP");
    ce_tokenizer_free(t);
    copy_small(VOCAB);
    expect_refused(CE_EFORMAT, "merges.txt: missing");
    clear(NULL);
    copy_small(MERGES);
    expect_refused(CE_EFORMAT, "vocab.json: missing");
    ce_error err;
    assert_int_equal(ce_tokenizer_open_bpe(&t, "/no/such/dir", CE_TEXT_OPENAI, &err),
                     CE_EIO);
    assert_non_null(strstr(err.message, "/no/such/dir"));
    assert_null(t);
}

static uint32_t next_random(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    return *seed ^= *seed << 5;
}

/* Whatever happens to a byte or a stretch of a file, opening ends in a tokenizer or in one
 * line that names a file. */
static void test_mutated_files_never_crash(void **state) {
    (void)state;
    static const int whole[] = {TOKENIZER, VOCAB, MERGES, CONFIG};
    uint32_t seed = 2463534242;
    int opened = 0;
    for (int round = 0; round < 120; round++) {
        int which = whole[round % 4];
        clear(NULL);
        for (int i = which == TOKENIZER ? 0 : 1; i < 4; i++)
            copy_small(whole[i]);
        char name[128];
        size_t size = 0;
        snprintf(name, sizeof name, "tokenizer/clip-small/%s", names[which]);
        char *bytes = golden_text(name, &size);
        for (uint32_t n = next_random(&seed) % 4; n-- > 0;)
            bytes[next_random(&seed) % size] = (char)next_random(&seed);
        if (next_random(&seed) % 3 == 0)
            size = next_random(&seed) % size;
        put(which, bytes, size);
        free(bytes);
        ce_tokenizer *t;
        ce_error err = {0};
        if (ce_tokenizer_open_bpe(&t, temporary, CE_TEXT_HUGGING_FACE, &err) == 0) {
            int32_t ids[CONTEXT];
            encode(t, ids, "A caf\xc3\xa9 <|endoftext|> in '84");
            opened++;
        } else {
            assert_non_null(strstr(err.message, temporary));
        }
        ce_tokenizer_free(t);
    }
    assert_true(opened > 0);
}

/* jansson is the twin: what is text, number and structure to it is so to the table. */
static void compare_with_jansson(const char *text) {
    size_t size = strlen(text);
    char *copy = strdup(text);
    assert_non_null(copy);
    json_t *want = json_loadb(text, size, 0, NULL), *value;
    const char *key;
    bool usable = json_is_object(want);
    json_object_foreach(want, key, value) usable &= json_is_integer(value);
    ce_json_table t;
    bool got = ce_json_table_ids(&t, copy, size, "x", NULL) == 0;
    if (got != usable)
        fail_msg("%s: %d", text, got);
    for (size_t i = 0; got && i < t.id_count; i++) {
        value = json_object_getn(want, t.ids[i].token.at, t.ids[i].token.size);
        if (!value || json_integer_value(value) != t.ids[i].id)
            fail_msg("%s: token %zu", text, i);
    }
    if (got)
        assert_int_equal(t.id_count, json_object_size(want));
    ce_json_table_free(&t);
    json_decref(want);
    free(copy);
}

static void test_the_table_reader_agrees_with_jansson(void **state) {
    (void)state;
    static const char *const parts[] = {"a",       "\xc3\xa9", "\\u00e9", "\\ud83d\\ude00",
                                        "\\ud83d", "\\ude00",  "\\\"",    "\\\\",
                                        "\\/",     "\\n",      "\\x",     "\\u12g4",
                                        "\\u0000", "\n",       "\xff",    "\"",
                                        "\x7f",    " ",        "{",       "\\ud83d\\u0041",
                                        "\\t",     "\\u2028"};
    static const char *const ids[] = {"0",     "12", "-3", "-0",   "007", "1.5", "1e3",
                                      "\"1\"", "",   "-",  "null", "[1]", " 5\n"};
    uint32_t seed = 362436069;
    for (int round = 0; round < 20000; round++) {
        char text[512] = "{";
        uint32_t entries = next_random(&seed) % 3;
        for (uint32_t e = 0; e < entries; e++) {
            char token[128] = "";
            for (uint32_t n = next_random(&seed) % 4; n-- > 0;)
                strcat(token, parts[next_random(&seed) % (sizeof parts / sizeof *parts)]);
            bool odd = next_random(&seed) % 4 == 0;
            size_t n = strlen(text);
            snprintf(text + n, sizeof text - n, "%s\"%u%s\"%s%s", e ? ", " : "", e, token,
                     next_random(&seed) % 32 ? ":" : "",
                     ids[odd ? next_random(&seed) % (sizeof ids / sizeof *ids) : 1]);
        }
        strcat(text, next_random(&seed) % 32 ? "}" : next_random(&seed) % 2 ? "}}" : ",}");
        compare_with_jansson(text);
    }
}

/* ---- byte pairs ---- */

typedef struct pairs {
    size_t count;
    char left[2048][24], right[2048][24];
} pairs;

static pairs *read_pairs(void) {
    size_t size = 0;
    char *text = golden_text("tokenizer/clip-small/merges.txt", &size), *save = NULL;
    pairs *p = calloc(1, sizeof *p);
    assert_non_null(p);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (line[0] != '#' &&
            sscanf(line, "%23s %23s", p->left[p->count], p->right[p->count]) == 2)
            p->count++;
    free(text);
    return p;
}

/* OpenAI's way: find the best pair of the word, join it everywhere, from the left, begin
 * again. Leaves the parts in `parts`; gives their number. */
static size_t merge_naively(const pairs *p, char parts[][64], size_t n) {
    for (;;) {
        size_t best = p->count;
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t k = 0; k < best; k++)
                if (!strcmp(parts[i], p->left[k]) && !strcmp(parts[i + 1], p->right[k]))
                    best = k;
        if (best == p->count)
            return n;
        size_t to = 0;
        for (size_t i = 0; i < n; to++) {
            bool pair = i + 1 < n && !strcmp(parts[i], p->left[best]) &&
                        !strcmp(parts[i + 1], p->right[best]);
            char joined[64];
            snprintf(joined, sizeof joined, "%.31s%.31s", parts[i],
                     pair ? parts[i + 1] : "");
            strcpy(parts[to], joined);
            i += pair ? 2 : 1;
        }
        n = to;
    }
}

static void test_merging_agrees_with_the_naive_way(void **state) {
    (void)state;
    static const char letters[] = "etaoinshrthereandingerst"; /* frequent pairs abound */
    char path[GOLDEN_PATH], parts[64][64];
    ce_tokenizer *t = open_at(golden_path(path, sizeof path, "tokenizer/clip-small"),
                              CE_TEXT_HUGGING_FACE);
    json_t *vocab = small_json(VOCAB);
    pairs *p = read_pairs();
    uint32_t seed = 88172645;
    for (int round = 0; round < 300; round++) {
        char word[64] = {0};
        size_t n = 1 + next_random(&seed) % 60;
        for (size_t i = 0; i < n; i++) {
            word[i] = letters[next_random(&seed) % (sizeof letters - 1)];
            snprintf(parts[i], sizeof *parts, "%c%s", word[i], i + 1 == n ? "</w>" : "");
        }
        n = merge_naively(p, parts, n);
        int32_t want[64];
        for (size_t i = 0; i < n; i++)
            want[i] = (int32_t)json_integer_value(json_object_get(vocab, parts[i]));
        expect_ids(t, word, want, n);
    }
    free(p);
    json_decref(vocab);
    ce_tokenizer_free(t);
}

static void test_a_word_of_a_megabyte_is_only_truncated(void **state) {
    (void)state;
    size_t size = 1 << 20;
    char *word = malloc(size);
    assert_non_null(word);
    uint32_t seed = 7;
    for (size_t i = 0; i < size; i++)
        word[i] = (char)('a' + next_random(&seed) % 26);
    ce_tokenizer *t = open_at(NULL, CE_TEXT_OPENAI);
    int32_t ids[CONTEXT];
    ce_tokens out;
    assert_int_equal(ce_tokenizer_encode(t, ids, CONTEXT, &out, word, size, NULL), 0);
    assert_true(out.truncated && out.count == CONTEXT && ids[CONTEXT - 1] == 49407);
    ce_tokenizer_free(t);
    free(word);
}

/* ---- edges ---- */

static void test_the_shortest_contexts_hold_start_and_end(void **state) {
    (void)state;
    ce_tokenizer *t = open_at(NULL, CE_TEXT_OPENAI);
    int32_t ids[3] = {-1, -1, -1};
    ce_tokens out;
    ce_error err;
    assert_int_equal(ce_tokenizer_encode(t, ids, 2, &out, "a cat", 5, &err), 0);
    assert_true(ids[0] == 49406 && ids[1] == 49407 && ids[2] == -1);
    assert_true(out.count == 2 && out.truncated);
    assert_int_equal(ce_tokenizer_encode(t, ids, 3, &out, "a", 1, &err), 0);
    assert_true(ids[1] == 320 && ids[2] == 49407 && out.count == 3 && !out.truncated);
    assert_int_equal(ce_tokenizer_encode(t, ids, 1, &out, "a", 1, &err), CE_EINVAL);
    ce_tokenizer_free(t);
}

static void test_what_is_not_utf8_is_refused_with_its_offset(void **state) {
    (void)state;
    static const char *const bad[] = {
        "ab\xff", "ab\xc3", "ab\xed\xa0\x80", "ab\xc0\x80", "ab\xf4\x90\x80\x80", "ab\x80"};
    ce_tokenizer *t = open_at(NULL, CE_TEXT_HUGGING_FACE);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t ids[CONTEXT];
        ce_tokens out;
        ce_error err;
        assert_int_equal(
            ce_tokenizer_encode(t, ids, CONTEXT, &out, bad[i], strlen(bad[i]), &err),
            CE_EINVAL);
        assert_non_null(strstr(err.message, "byte 2"));
    }
    ce_tokenizer_free(t);
}

/* utf8proc's own normalisation is the twin: ours differs only in how it sorts marks. */
static void test_composition_agrees_with_utf8proc(void **state) {
    (void)state;
    static const int32_t pool[] = {'a',   'e',    0x300,  0x301,  0x323,   0x327,  0x345,
                                   0x3b1, 0x1100, 0x1161, 0x11a8, 0xac00,  0x212b, 0x1e9b,
                                   0x9c7, 0x9be,  0x334,  0x5b0,  0x1d15e, 0xf900, ' '};
    uint32_t seed = 521288629;
    for (int round = 0; round < 2000; round++) {
        unsigned char text[256];
        size_t size = 0;
        for (uint32_t n = next_random(&seed) % 50; n-- > 0;)
            size += ce_rune_encode(text + size,
                                   pool[next_random(&seed) % (sizeof pool / sizeof *pool)]);
        text[size] = '\0';
        ce_runes r, want;
        ce_runes_init(&r);
        ce_runes_init(&want);
        utf8proc_uint8_t *composed = utf8proc_NFC(text);
        assert_int_equal(ce_runes_decode(&r, (char *)text, size, NULL), 0);
        assert_int_equal(ce_runes_nfc(&r, NULL), 0);
        assert_int_equal(
            ce_runes_decode(&want, (char *)composed, strlen((char *)composed), NULL), 0);
        assert_int_equal(r.count, want.count);
        assert_memory_equal(r.at, want.at, r.count * sizeof *r.at);
        free(composed);
        ce_runes_free(&r);
        ce_runes_free(&want);
    }
}

static void expect_lower(const char *text, bool final_sigma, const char *want) {
    ce_runes a, b;
    ce_runes_init(&a);
    ce_runes_init(&b);
    assert_int_equal(ce_runes_decode(&a, text, strlen(text), NULL), 0);
    assert_int_equal(ce_runes_lower(&a, final_sigma, NULL), 0);
    assert_int_equal(ce_runes_decode(&b, want, strlen(want), NULL), 0);
    assert_int_equal(a.count, b.count);
    assert_memory_equal(a.at, b.at, a.count * sizeof *a.at);
    ce_runes_free(&a);
    ce_runes_free(&b);
}

/* The right-hand sides are Python's str.lower(), and Rust's for the last two. */
static void test_lower_case_knows_the_final_sigma_and_the_dotted_i(void **state) {
    (void)state;
    expect_lower("ΣΊΣΥΦΟΣ", true, "σίσυφος");
    expect_lower("ΑΣ'", true, "ας'");
    expect_lower("ΑΣ'Α", true, "ασ'α");
    expect_lower("Α\xcc\x81Σ.", true, "α\xcc\x81ς.");
    expect_lower("Σ", true, "σ");
    expect_lower("1Σ 2", true, "1σ 2");
    expect_lower("ⓐΣ", true, "ⓐς");
    expect_lower("İİ", true, "i\xcc\x87i\xcc\x87");
    expect_lower("ΣΊΣΥΦΟΣ", false, "σίσυφοσ");
    expect_lower("İ", false, "i\xcc\x87");
}

static void test_texts_padded_or_cut_at_their_left_are_refused(void **state) {
    static const char *const parts[] = {"padding", "truncation"};
    (void)state;
    copy_small(TOKENIZER);
    put_text(CONFIG, "{\"padding_side\": \"left\"}");
    expect_refused(CE_EUNSUPPORTED, "\"padding_side\" is \"left\", must be \"right\"");
    put_text(CONFIG, "{\"truncation_side\": \"left\"}");
    expect_refused(CE_EUNSUPPORTED, "\"truncation_side\" is \"left\"");
    put_text(CONFIG, "{\"split_special_tokens\": true}");
    expect_refused(CE_EUNSUPPORTED, "\"split_special_tokens\" is not supported");
    for (int i = 0; i < 2; i++) {
        json_t *root = small_json(TOKENIZER);
        json_object_set_new(root, parts[i], json_pack("{s:s}", "direction", "Left"));
        put_json(TOKENIZER, root);
        json_decref(root);
        put_text(CONFIG, "{}");
        expect_refused(CE_EUNSUPPORTED, "has the direction \"Left\", must be \"Right\"");
        put_text(CONFIG, "{\"padding_side\": \"right\", \"truncation_side\": \"right\"}");
        ce_tokenizer_free(open_at(temporary, CE_TEXT_HUGGING_FACE));
        copy_small(TOKENIZER);
    }
}

/* One with an id is found whole; one without would get an id that no model knows. */
static void test_further_special_tokens_are_found_or_refused(void **state) {
    (void)state;
    copy_small(TOKENIZER);
    put_text(CONFIG, "{\"additional_special_tokens\": [\"zebra\"]}");
    expect_refused(CE_EFORMAT, "the added token \"zebra\" is not in the vocabulary");
    put_text(CONFIG, "{\"extra_special_tokens\": {\"image_token\": \"quux\"}}");
    expect_refused(CE_EFORMAT, "the added token \"quux\" is not in the vocabulary");
    put_text(CONFIG, "{\"image_token\": \"quux\"}");
    expect_refused(CE_EFORMAT, "the added token \"quux\" is not in the vocabulary");
    put_text(CONFIG, "{\"extra_special_tokens\": [\"!\"]}");
    ce_tokenizer *t = open_at(temporary, CE_TEXT_HUGGING_FACE);
    EXPECT_IDS(t, "!!", 0, 0);
    ce_tokenizer_free(t);
}

static void test_a_link_to_nothing_is_not_passed_over(void **state) {
    (void)state;
    for (int which = 0; which < FILES; which++) {
        char path[GOLDEN_PATH];
        clear(NULL);
        if (which >= CONFIG)
            copy_small(VOCAB), copy_small(MERGES);
        file_in(path, sizeof path, which);
        assert_int_equal(symlink("blob", path), 0);
        expect_refused(CE_EIO, "a link to nothing (an interrupted download?)");
        assert_int_equal(unlink(path), 0);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, clear)
    const struct CMUnitTest tests[] = {
        TEST(test_texts_padded_or_cut_at_their_left_are_refused),
        TEST(test_further_special_tokens_are_found_or_refused),
        TEST(test_a_link_to_nothing_is_not_passed_over),
        TEST(test_built_in_ids_are_those_of_each_library),
        TEST(test_the_full_vocabulary_file_gives_the_same_ids),
        TEST(test_either_form_of_the_files_gives_the_same_padded_rows),
        TEST(test_reference_models_get_their_input_ids),
        TEST(test_added_tokens_are_found_as_their_flags_say),
        TEST(test_special_names_are_each_librarys_own),
        TEST(test_padding_is_what_the_nearest_file_says),
        TEST(test_old_and_lean_forms_of_tokenizer_json_are_read),
        TEST(test_another_kind_of_tokenizer_is_refused_by_its_part),
        TEST(test_a_vocabulary_that_contradicts_itself_is_refused),
        TEST(test_merges_that_do_not_fit_the_vocabulary_are_refused),
        TEST(test_half_a_pair_of_files_is_an_error_and_none_is_the_built_in),
        TEST(test_mutated_files_never_crash),
        TEST(test_the_table_reader_agrees_with_jansson),
        TEST(test_merging_agrees_with_the_naive_way),
        TEST(test_a_word_of_a_megabyte_is_only_truncated),
        TEST(test_the_shortest_contexts_hold_start_and_end),
        TEST(test_what_is_not_utf8_is_refused_with_its_offset),
        TEST(test_composition_agrees_with_utf8proc),
        TEST(test_lower_case_knows_the_final_sigma_and_the_dotted_i),
    };
    if (!mkdtemp(temporary))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    clear(NULL);
    rmdir(temporary);
    return failed;
}

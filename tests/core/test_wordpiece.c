/* Goldens: tests/golden/tokenizer/wordpiece-small, what transformers 5.23's BertTokenizer
 * gives for a vocabulary with every third character of the texts. */
#include "scratch.h"
#include "token_rows.h"

#define SMALL "tokenizer/wordpiece-small/"

static ce_tokenizer *open_at(const char *dir) {
    ce_tokenizer *t = NULL;
    ce_error err;
    if (ce_tokenizer_open(&t, dir, CE_TOKENIZER_WORDPIECE, CE_TEXT_HUGGING_FACE, &err) < 0)
        fail_msg("%s", err.message);
    return t;
}

static void expect_fault(int code, const char *part) {
    ce_tokenizer *t = NULL;
    ce_error err;
    assert_int_equal(
        ce_tokenizer_open(&t, scratch_directory, CE_TOKENIZER_WORDPIECE, 0, &err), code);
    assert_null(t);
    if (!strstr(err.message, part) || strchr(err.message, '\n'))
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
}

static void put(const char *name, const char *text) {
    assert_non_null(scratch_write(name, text, strlen(text)));
}

static int clean(void **state) {
    static const char *const names[] = {"vocab.txt", "tokenizer.json",
                                        "tokenizer_config.json", "special_tokens_map.json",
                                        "added_tokens.json"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(scratch_path(names[i]));
    return 0;
}

static void expect_ids(const char *text, const int32_t *want, size_t n) {
    ce_tokenizer *t = open_at(scratch_directory);
    int32_t ids[16];
    ce_tokens out;
    assert_int_equal(ce_tokenizer_encode(t, ids, 16, &out, text, strlen(text), NULL), 0);
    assert_int_equal(out.count, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids[i], want[i]);
    ce_tokenizer_free(t);
}
#define EXPECT_IDS(text, ...)                                                              \
    do {                                                                                   \
        const int32_t want_[] = {__VA_ARGS__};                                             \
        expect_ids(text, want_, sizeof want_ / sizeof *want_);                             \
    } while (0)

#define VOCAB "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncat\n##s\ndog\n\xe7\x8c\xab\ncafe\n.\n"

static void texts_are_cut_as_the_reference_does(void **state) {
    (void)state;
    char dir[GOLDEN_PATH], path[GOLDEN_PATH];
    ce_tokenizer *t = open_at(golden_path(dir, sizeof dir, SMALL));
    assert_true(expect_rows(t, golden_path(path, sizeof path, SMALL "uncased.jsonl"), 32) >
                200);
    assert_string_equal(ce_tokenizer_source(t), "vocab.txt");
    assert_non_null(strstr(ce_tokenizer_describe(t), "lower case, accents stripped"));
    ce_tokenizer_free(t);
}

/* The golden's vocabulary and settings, with another case. */
static void case_is_kept_where_the_config_says(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    size_t size = 0;
    char *vocab = golden_read(golden_path(path, sizeof path, SMALL "vocab.txt"), &size);
    json_t *config =
        golden_json(golden_path(path, sizeof path, SMALL "tokenizer_config.json"));
    assert_non_null(scratch_write("vocab.txt", vocab, size));
    json_object_set_new(config, "do_lower_case", json_false());
    char *text = json_dumps(config, 0);
    put("tokenizer_config.json", text);
    ce_tokenizer *t = open_at(scratch_directory);
    assert_true(expect_rows(t, golden_path(path, sizeof path, SMALL "cased.jsonl"), 32) >
                50);
    ce_tokenizer_free(t);
    free(text);
    free(vocab);
    json_decref(config);
}

static void all_of_the_reference_is_equal(void **state) {
    (void)state;
    char dir[GOLDEN_PATH], path[GOLDEN_PATH], other[GOLDEN_PATH];
    if (!shared_path(dir, sizeof dir, "models/chinese-clip") ||
        !shared_path(path, sizeof path, "tokenizer/bert-wordpiece/tokens.jsonl")) {
        print_message("skipped: the shared reference is not here\n");
        skip();
    }
    ce_tokenizer *t = open_at(dir);
    assert_string_equal(ce_tokenizer_source(t), "tokenizer.json");
    assert_int_equal(expect_rows(t, path, 52), 553);
    expect_input_ids(
        t, shared_path(path, sizeof path, "models/chinese-clip/cases.json"),
        shared_path(other, sizeof other, "models/chinese-clip/expected.safetensors"));
    ce_tokenizer_free(t);
}

static void words_become_the_longest_pieces(void **state) {
    (void)state;
    put("vocab.txt", VOCAB);
    EXPECT_IDS("", 2, 3);
    EXPECT_IDS("cats", 2, 5, 6, 3);
    EXPECT_IDS("CATS  Caf\xc3\xa9.", 2, 5, 6, 9, 10, 3);
    EXPECT_IDS("catx dogs", 2, 1, 7, 6, 3); /* one unknown part: the word is unknown */
    EXPECT_IDS("\xe7\x8c\xab\xe7\x8c\xab", 2, 8, 8, 3);
    EXPECT_IDS("cat[SEP]dog", 2, 5, 3, 7, 3);
    EXPECT_IDS("[mask]", 2, 1, 1, 1, 3); /* not the token's case: just text */
}

static void a_word_of_more_than_100_characters_is_unknown(void **state) {
    (void)state;
    char word[102];
    put("vocab.txt", VOCAB "a\n##a\n");
    memset(word, 'a', sizeof word);
    ce_tokenizer *t = open_at(scratch_directory);
    int32_t ids[128];
    ce_tokens out;
    assert_int_equal(ce_tokenizer_encode(t, ids, 128, &out, word, 100, NULL), 0);
    assert_int_equal(out.count, 102);
    assert_int_equal(ce_tokenizer_encode(t, ids, 128, &out, word, 101, NULL), 0);
    assert_int_equal(out.count, 3);
    assert_int_equal(ids[1], 1);
    ce_tokenizer_free(t);
}

static void a_long_text_is_cut_before_the_end_token(void **state) {
    (void)state;
    put("vocab.txt", VOCAB);
    ce_tokenizer *t = open_at(scratch_directory);
    int32_t ids[4];
    ce_tokens out;
    assert_int_equal(ce_tokenizer_encode(t, ids, 4, &out, "cat dog", 7, NULL), 0);
    assert_false(out.truncated);
    assert_int_equal(ce_tokenizer_encode(t, ids, 4, &out, "cat dogs", 8, NULL), 0);
    assert_true(out.truncated);
    assert_int_equal(ids[2], 7);
    assert_int_equal(ids[3], 3);
    ce_tokenizer_free(t);
}

static void a_vocabulary_may_end_its_lines_with_crlf(void **state) {
    (void)state;
    put("vocab.txt", "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\ncat\r\n");
    EXPECT_IDS("cat", 2, 4, 3);
}

#define JSON_HEAD                                                                          \
    "{\"added_tokens\": [], \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},"
#define JSON_MODEL                                                                         \
    "\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", "                      \
    "\"continuing_subword_prefix\": \"@\", \"max_input_chars_per_word\": 5, "              \
    "\"vocab\": {\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3, \"Cat\": 4, "     \
    "\"cat\": 5, \"@s\": 6}}}"
#define JSON_CASED "\"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": false},"

/* BertTokenizer takes from tokenizer.json the vocabulary alone. */
static void a_tokenizer_json_is_followed_whole_only_without_a_class(void **state) {
    (void)state;
    put("tokenizer.json", JSON_HEAD JSON_CASED JSON_MODEL);
    EXPECT_IDS("Cat", 2, 5, 3);
    ce_tokenizer *t = open_at(scratch_directory);
    assert_non_null(strstr(ce_tokenizer_describe(t), "states the other case"));
    ce_tokenizer_free(t);
    put("tokenizer_config.json", "{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}");
    EXPECT_IDS("Cat cats catsss", 4, 5, 6, 1);
}

static void what_is_not_followed_is_refused_by_name(void **state) {
    (void)state;
    put("vocab.txt", VOCAB);
    put("tokenizer_config.json", "{\"padding_side\": \"left\"}");
    expect_fault(CE_EUNSUPPORTED, "\"padding_side\" is \"left\"");
    put("tokenizer_config.json", "{\"tokenizer_class\": \"TokenizersBackend\"}");
    put("tokenizer.json", JSON_HEAD "\"normalizer\": {\"type\": \"Replace\"}," JSON_MODEL);
    expect_fault(CE_EUNSUPPORTED, "normalizer is not supported: {\"type\":\"Replace\"}");
    put("tokenizer.json", "{\"pre_tokenizer\": null," JSON_MODEL);
    expect_fault(CE_EUNSUPPORTED, "pre_tokenizer is not supported: null");
    put("tokenizer.json",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}");
    expect_fault(CE_EUNSUPPORTED,
                 "model \"BPE\", but this family of models has WordPiece tokens");
}

static void a_broken_vocabulary_is_one_clear_line(void **state) {
    (void)state;
    expect_fault(CE_EIO, "neither tokenizer.json nor vocab.txt is there");
    put("vocab.txt", "");
    expect_fault(CE_EFORMAT, "the unknown token \"[UNK]\" is not in the vocabulary");
    put("vocab.txt", "[UNK]\n[PAD]\n\n[CLS]\n");
    expect_fault(CE_EFORMAT, "line 3 is empty");
    put("vocab.txt", "[UNK]\n[PAD]\ncat\ncat\n");
    expect_fault(CE_EFORMAT, "line 4 repeats line 3: \"cat\"");
    put("vocab.txt", "[UNK]\n[PAD]\n[SEP]\n");
    expect_fault(CE_EFORMAT, "the start token \"[CLS]\" is not in the vocabulary");
    put("vocab.txt", "[UNK]\n\xff\n");
    expect_fault(CE_EFORMAT, "not UTF-8 at byte 6");
}

static void files_that_contradict_each_other_are_refused(void **state) {
    (void)state;
    put("vocab.txt", VOCAB);
    put("tokenizer_config.json", "{\"cls_token\": \"<s>\"}");
    expect_fault(CE_EFORMAT, "the start token \"<s>\" is not in the vocabulary");
    put("tokenizer_config.json",
        "{\"added_tokens_decoder\": {\"7\": {\"content\": \"[SEP]\"}}}");
    expect_fault(CE_EFORMAT, "the added token \"[SEP]\" states id 7, but has id 3");
    put("tokenizer_config.json", "{\"do_lower_case\": 3}");
    expect_fault(CE_EFORMAT, "\"do_lower_case\" must be true or false");
    unlink(scratch_path("tokenizer_config.json"));
    put("tokenizer.json", "{\"model\": {\"vocab\": {\"[UNK]\": 0, \"cat\": 0}}}");
    expect_fault(CE_EFORMAT, "both have id 0");
    put("tokenizer.json", "{\"model\": {\"vocab\": []}}");
    expect_fault(CE_EFORMAT, "\"vocab\" is missing or no object");
}

/* As transformers 5.23: tokenizer.json's direction counts where the config states none. */
static void texts_padded_or_cut_at_their_left_are_refused(void **state) {
    (void)state;
#define JSON_LEFT(part)                                                                    \
    "{\"" part                                                                             \
    "\": {\"direction\": \"Left\"}, \"added_tokens\": [], \"model\": {\"type\": "          \
    "\"WordPiece\", \"vocab\": {\"[UNK]\": 0, \"[CLS]\": 1, \"[SEP]\": 2, \"[PAD]\": 3}}}"
    put("tokenizer.json", JSON_LEFT("padding"));
    expect_fault(CE_EUNSUPPORTED,
                 "\"padding\" has the direction \"Left\", must be \"Right\"");
    put("tokenizer_config.json", "{\"padding_side\": \"right\"}");
    ce_tokenizer_free(open_at(scratch_directory));
    put("tokenizer.json", JSON_LEFT("truncation"));
    expect_fault(CE_EUNSUPPORTED, "\"truncation\" has the direction \"Left\"");
    put("tokenizer_config.json", "{\"padding_side\": \"left\"}");
    expect_fault(CE_EUNSUPPORTED, "\"padding_side\" is \"left\", must be \"right\"");
}

/* Ids as BertTokenizer of transformers 5.23 gives. */
static void further_special_tokens_are_those_of_the_reference(void **state) {
    (void)state;
    put("vocab.txt", VOCAB);
    put("tokenizer_config.json", "{\"extra_special_tokens\": {\"image_token\": \"quux\", "
                                 "\"b\": \"zebra\"}, \"c_token\": \"cat\"}");
    EXPECT_IDS("cats zebra quux", 2, 5, 1, 12, 11, 3);
    put("tokenizer_config.json", "{\"extra_special_tokens\": [\"quux\", {\"content\": "
                                 "\"zebra\"}], \"additional_special_tokens\": [\"x\"]}");
    EXPECT_IDS("zebra quux", 2, 12, 11, 3);
    put("tokenizer_config.json", "{\"extra_special_tokens\": [], "
                                 "\"additional_special_tokens\": [\"zebra\"]}");
    EXPECT_IDS("zebra", 2, 11, 3);
    put("special_tokens_map.json", "{\"extra_special_tokens\": {\"a\": \"quux\"}}");
    EXPECT_IDS("zebra quux", 2, 1, 11, 3);
    put("special_tokens_map.json", "{\"additional_special_tokens\": [\"quux\"]}");
    EXPECT_IDS("zebra quux", 2, 11, 1, 3);
    put("special_tokens_map.json", "{\"extra_special_tokens\": 3}");
    expect_fault(CE_EFORMAT, "\"extra_special_tokens\" is neither a list nor an object");
    put("special_tokens_map.json", "{\"extra_special_tokens\": [3]}");
    expect_fault(CE_EFORMAT, "\"extra_special_tokens\" is no token");
}

/* 4,000 tokens, then repeats of the last: each would be sought among all. */
static void repeats_of_special_tokens_cost_nothing(void **state) {
    (void)state;
    char *text = malloc(4 << 20), *at = text;
    assert_non_null(text);
    at += sprintf(at, "{\"additional_special_tokens\": [\"zz00000\"");
    for (int i = 1; i < 300000; i++)
        at += sprintf(at, ",\"zz%05d\"", i < 4000 ? i : 3999);
    sprintf(at, "]}");
    put("special_tokens_map.json", text);
    put("vocab.txt", VOCAB);
    double since = scratch_seconds();
    ce_tokenizer *t = open_at(scratch_directory);
    assert_true(scratch_seconds() - since < 4);
    assert_int_equal(ce_tokenizer_vocab_size(t), 11 + 4000);
    ce_tokenizer_free(t);
    free(text);
}

static void a_link_to_nothing_is_not_passed_over(void **state) {
    static const char *const links[] = {"tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json", "added_tokens.json"};
    (void)state;
    put("vocab.txt", VOCAB);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char part[128];
        snprintf(part, sizeof part, "/%s: a link to nothing", links[i]);
        assert_int_equal(symlink("blob", scratch_path(links[i])), 0);
        expect_fault(CE_EIO, part);
        assert_int_equal(unlink(scratch_path(links[i])), 0);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, clean)
    const struct CMUnitTest tests[] = {
        TEST(texts_are_cut_as_the_reference_does),
        TEST(case_is_kept_where_the_config_says),
        TEST(all_of_the_reference_is_equal),
        TEST(words_become_the_longest_pieces),
        TEST(a_word_of_more_than_100_characters_is_unknown),
        TEST(a_long_text_is_cut_before_the_end_token),
        TEST(a_vocabulary_may_end_its_lines_with_crlf),
        TEST(a_tokenizer_json_is_followed_whole_only_without_a_class),
        TEST(what_is_not_followed_is_refused_by_name),
        TEST(a_broken_vocabulary_is_one_clear_line),
        TEST(files_that_contradict_each_other_are_refused),
        TEST(texts_padded_or_cut_at_their_left_are_refused),
        TEST(further_special_tokens_are_those_of_the_reference),
        TEST(repeats_of_special_tokens_cost_nothing),
        TEST(a_link_to_nothing_is_not_passed_over),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

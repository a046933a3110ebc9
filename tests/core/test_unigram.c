/* Goldens: tests/golden/tokenizer/unigram-small, a SentencePiece model with user-defined
 * pieces and a small character map, and what transformers 5.23's SiglipTokenizer gives;
 * unigram-small-json, the same pieces behind a pipeline of tokenizers 0.23. */
#include "scratch.h"
#include "token_rows.h"
#include "unigram.h"

#include <math.h>

#define SMALL "tokenizer/unigram-small/"
#define SMALL_JSON "tokenizer/unigram-small-json/"

static ce_tokenizer *open_at(const char *dir) {
    ce_tokenizer *t = NULL;
    ce_error err;
    if (ce_tokenizer_open(&t, dir, CE_TOKENIZER_UNIGRAM, CE_TEXT_HUGGING_FACE, &err) < 0)
        fail_msg("%s", err.message);
    return t;
}

static void expect_fault(int code, const char *part) {
    ce_tokenizer *t = NULL;
    ce_error err;
    assert_int_equal(
        ce_tokenizer_open(&t, scratch_directory, CE_TOKENIZER_UNIGRAM, 0, &err), code);
    assert_null(t);
    if (!strstr(err.message, part) || strchr(err.message, '\n'))
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
}

static void put(const char *name, const char *text) {
    assert_non_null(scratch_write(name, text, strlen(text)));
}

static int clean(void **state) {
    static const char *const names[] = {"spiece.model", "tokenizer.json",
                                        "tokenizer_config.json"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(scratch_path(names[i]));
    return 0;
}

/* ---- a protocol buffer, written by hand ---- */

typedef struct model {
    char at[4096];
    size_t count;
} model;

static void put_byte(model *m, unsigned byte) {
    assert_true(m->count < sizeof m->at);
    m->at[m->count++] = (char)byte;
}

static void put_bytes(model *m, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        put_byte(m, ((const unsigned char *)bytes)[i]);
}

/* Field 1: piece 1, score 2, type 3. */
static void put_piece(model *m, const char *text, float score, unsigned type) {
    size_t n = strlen(text);
    assert_true(n < 64);
    put_byte(m, 0x0a);
    put_byte(m, (unsigned)n + 9);
    put_byte(m, 0x0a);
    put_byte(m, (unsigned)n);
    put_bytes(m, text, n);
    put_byte(m, 0x15);
    put_bytes(m, &score, 4);
    put_byte(m, 0x18);
    put_byte(m, type);
}

/* Field 3 (normalizer_spec) with its field 2, the character map. */
static void put_charsmap(model *m, const void *bytes, size_t n) {
    put_byte(m, 0x1a);
    put_byte(m, (unsigned)n + 2);
    put_byte(m, 0x12);
    put_byte(m, (unsigned)n);
    put_bytes(m, bytes, n);
}

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

static void begin(model *m) {
    m->count = 0;
    put_piece(m, "<pad>", 0, CONTROL);
    put_piece(m, "</s>", 0, CONTROL);
    put_piece(m, "<unk>", 0, UNKNOWN);
    put_piece(m, "\xe2\x96\x81", -2, NORMAL);
    put_piece(m,
              "\xe2\x96\x81"
              "a",
              -1, NORMAL);
    put_piece(m, "b", -3, NORMAL);
}

static void write_model(const model *m) {
    assert_non_null(scratch_write("spiece.model", m->at, m->count));
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

/* ---- against the references ---- */

static void texts_are_cut_as_siglip_does(void **state) {
    (void)state;
    char dir[GOLDEN_PATH], path[GOLDEN_PATH];
    ce_tokenizer *t = open_at(golden_path(dir, sizeof dir, SMALL));
    assert_true(expect_rows(t, golden_path(path, sizeof path, SMALL "ids.jsonl"), 32) >
                200);
    assert_string_equal(ce_tokenizer_source(t), "spiece.model");
    assert_int_equal(ce_tokenizer_end_of_text(t), 1);
    assert_non_null(strstr(ce_tokenizer_describe(t), "500 tokens, lower case"));
    ce_tokenizer_free(t);
}

static void texts_are_cut_as_a_tokenizer_json_says(void **state) {
    (void)state;
    char dir[GOLDEN_PATH], path[GOLDEN_PATH];
    ce_tokenizer *t = open_at(golden_path(dir, sizeof dir, SMALL_JSON));
    assert_true(expect_rows(t, golden_path(path, sizeof path, SMALL_JSON "ids.jsonl"), 32) >
                200);
    assert_string_equal(ce_tokenizer_source(t), "tokenizer.json");
    ce_tokenizer_free(t);
}

static void all_of_the_reference_is_equal(void **state) {
    (void)state;
    char dir[GOLDEN_PATH], path[GOLDEN_PATH], other[GOLDEN_PATH];
    if (!shared_path(dir, sizeof dir, "models/siglip") ||
        !shared_path(path, sizeof path, "tokenizer/siglip/tokens.jsonl")) {
        print_message("skipped: the shared reference is not here\n");
        skip();
    }
    ce_tokenizer *t = open_at(dir);
    assert_int_equal(expect_rows(t, path, 64), 553);
    expect_input_ids(
        t, shared_path(path, sizeof path, "models/siglip/cases.json"),
        shared_path(other, sizeof other, "models/siglip/expected.safetensors"));
    ce_tokenizer_free(t);
}

/* ---- the search ---- */

static uint32_t seed = 1;

static unsigned any(unsigned below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* The best sum of text[at ..]: every piece is tried at every place. */
static double best_sum(char pieces[][4], const double *scores, size_t count, double unknown,
                       const char *text, size_t at) {
    size_t n = strlen(text);
    double sums[64];
    sums[n] = 0;
    for (size_t i = n; i-- > at;) {
        sums[i] = -INFINITY;
        bool single = false;
        for (size_t k = 0; k < count; k++) {
            size_t size = strlen(pieces[k]);
            if (size > n - i || memcmp(pieces[k], text + i, size) != 0)
                continue;
            single |= size == 1;
            sums[i] = fmax(sums[i], scores[k] + sums[i + size]);
        }
        if (!single)
            sums[i] = fmax(sums[i], unknown + sums[i + 1]);
    }
    return sums[at];
}

static void a_text_is_cut_into_the_pieces_of_the_best_sum(void **state) {
    (void)state;
    for (int round = 0; round < 200; round++) {
        char pieces[24][4], text[40];
        double scores[24];
        size_t count = 0;
        ce_unigram u = {.unknown = 30, .unknown_score = -30};
        ce_unigram_pieces p;
        assert_int_equal(ce_unigram_init(&u, 31, NULL), 0);
        for (size_t k = 0; k < 24; k++) {
            size_t size = 1 + any(3);
            for (size_t i = 0; i < size; i++)
                pieces[count][i] = (char)('a' + any(4));
            pieces[count][size] = '\0';
            scores[count] = -1 - any(1000) / 64.0;
            count += ce_unigram_add(&u, (int32_t)count, pieces[count], size, scores[count],
                                    NULL) == 0;
        }
        for (size_t i = 0; i < 39; i++)
            text[i] = (char)('a' + any(5));
        text[39] = '\0';
        assert_int_equal(ce_unigram_cut(&u, &p, text, 39, NULL), 0);
        double sum = 0;
        uint32_t end = 0;
        for (size_t i = 0; i < p.count; i++) {
            assert_int_equal(p.at[i].begin, end);
            end = p.at[i].end;
            sum += p.at[i].id == 30 ? -30.0 * (end - p.at[i].begin) : scores[p.at[i].id];
        }
        assert_int_equal(end, 39);
        assert_true(fabs(sum - best_sum(pieces, scores, count, -30, text, 0)) < 1e-9);
        ce_unigram_pieces_free(&p);
        ce_unigram_free(&u);
    }
}

/* ---- small models ---- */

static void a_text_ends_once_and_is_padded_with_its_end(void **state) {
    (void)state;
    model m;
    begin(&m);
    write_model(&m);
    EXPECT_IDS("", 1);
    EXPECT_IDS("a", 4, 1);
    EXPECT_IDS("A!  b?", 4, 3, 5, 1);
    EXPECT_IDS(" a", 3, 4, 1); /* U+2581 goes in front of the space; no map joins them */
    EXPECT_IDS("a</s>", 4, 1);
    EXPECT_IDS("a</s>b", 4, 1, 5, 1);
    EXPECT_IDS("</s>", 1);
    EXPECT_IDS("\xe7\x8c\xab\xe7\x8c\xab", 3, 2, 1); /* a run of unknowns is one */
    int32_t ids[8];
    ce_tokens out;
    ce_tokenizer *t = open_at(scratch_directory);
    assert_int_equal(ce_tokenizer_encode(t, ids, 3, &out, "a b", 3, NULL), 0);
    assert_true(out.truncated);
    assert_int_equal(ids[2], 1);
    assert_int_equal(ce_tokenizer_encode(t, ids, 8, &out, "a", 1, NULL), 0);
    assert_int_equal(ids[7], 1);
    ce_tokenizer_free(t);
}

static void case_is_kept_where_the_config_says(void **state) {
    (void)state;
    model m;
    begin(&m);
    put_piece(&m, "A", -1, NORMAL);
    write_model(&m);
    EXPECT_IDS("A", 4, 1);
    put("tokenizer_config.json", "{\"do_lower_case\": false}");
    EXPECT_IDS("A", 3, 6, 1);
}

static void unknown_characters_fall_back_to_bytes(void **state) {
    (void)state;
    model m;
    begin(&m);
    put_bytes(&m, "\x12\x03\x98\x02\x01", 5); /* trainer_spec: byte_fallback */
    write_model(&m);
    expect_fault(CE_EFORMAT, "\"byte_fallback\" is on, but there is no piece <0x00>");
    for (unsigned byte = 0; byte < 200; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        put_piece(&m, name, 0, BYTE);
    }
    write_model(&m);
    expect_fault(CE_EFORMAT, "no piece <0xC8>");
}

static void a_broken_model_is_one_clear_line(void **state) {
    (void)state;
    model m;
    expect_fault(CE_EIO, "neither spiece.model nor tokenizer.json is there");
    begin(&m);
    put_piece(&m, "b", -4, NORMAL);
    write_model(&m);
    expect_fault(CE_EFORMAT, "piece 6 \"b\" is there twice");
    begin(&m);
    put_piece(&m, "c", NAN, NORMAL);
    write_model(&m);
    expect_fault(CE_EFORMAT, "piece 6 \"c\" has the score");
    begin(&m);
    put_piece(&m, "?", 0, UNKNOWN);
    write_model(&m);
    expect_fault(CE_EFORMAT, "pieces 2 and 6 are both the unknown one");
    begin(&m);
    put_piece(&m, "\xff", 0, NORMAL);
    write_model(&m);
    expect_fault(CE_EFORMAT, "piece 6 is not UTF-8");
    begin(&m);
    put_piece(&m, "<0x41>", 0, BYTE);
    write_model(&m);
    expect_fault(CE_EFORMAT, "\"<0x41>\" is a byte, but \"byte_fallback\" is off");
    begin(&m);
    put_bytes(&m, "\x12\x02\x18\x02", 4); /* trainer_spec: model_type BPE */
    write_model(&m);
    expect_fault(CE_EUNSUPPORTED, "type is BPE, must be UNIGRAM");
    m.count = 0;
    put_piece(&m, "a", 0, NORMAL);
    write_model(&m);
    expect_fault(CE_EFORMAT, "no piece is the unknown one");
    put("spiece.model", "");
    expect_fault(CE_EFORMAT, "it has no pieces");
    put("spiece.model", "\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    expect_fault(CE_EFORMAT, "a number does not end");
    put("spiece.model", "version https://git-lfs.github.com/spec/v1\n");
    expect_fault(CE_EFORMAT, "byte");
}

static void a_character_map_that_points_outside_is_refused(void **state) {
    (void)state;
    model m;
    static const uint32_t outside[] = {4, 1u << 20, 0},
                          result[] = {8, 1u << 10 | 1u << 8, 99, 0};
    begin(&m);
    put_charsmap(&m, "\xff\xff\xff\x7f", 4);
    write_model(&m);
    expect_fault(CE_EFORMAT, "does not fit");
    begin(&m);
    put_charsmap(&m, outside, sizeof outside);
    write_model(&m);
    expect_fault(CE_EFORMAT, "unit 0 points to 1024 of 1");
    begin(&m);
    put_charsmap(&m, result, sizeof result);
    write_model(&m);
    expect_fault(CE_EFORMAT, "unit 0 has a result beyond the end");
    begin(&m);
    put_charsmap(&m, "\x04\0\0\0\0\0\0\0x", 9);
    write_model(&m);
    expect_fault(CE_EFORMAT, "the last result does not end");
}

static void files_that_contradict_each_other_are_refused(void **state) {
    (void)state;
    model m;
    begin(&m);
    write_model(&m);
    put("tokenizer_config.json", "{\"eos_token\": \"<end>\"}");
    expect_fault(CE_EFORMAT, "the end token \"<end>\" is not in the vocabulary");
    put("tokenizer_config.json",
        "{\"added_tokens_decoder\": {\"0\": {\"content\": \"</s>\"}}}");
    expect_fault(CE_EFORMAT, "the added token \"</s>\" states id 0, but has id 1");
    put("tokenizer_config.json", "{\"sp_model_kwargs\": {\"enable_sampling\": true}}");
    expect_fault(CE_EUNSUPPORTED, "\"sp_model_kwargs\" is not supported");
    unlink(scratch_path("tokenizer_config.json"));
    put("tokenizer.json", "{\"model\": {\"type\": \"BPE\", \"vocab\": {}}}");
    expect_fault(CE_EUNSUPPORTED,
                 "model \"BPE\", but this family of models has Unigram tokens");
}

#define JSON_MODEL                                                                         \
    "\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], "       \
    "[\"</s>\", 0.0], [\"a\", -1.5e0]]}}"

static void what_a_tokenizer_json_may_not_say_is_refused_by_name(void **state) {
    (void)state;
    put("tokenizer.json", "{\"normalizer\": {\"type\": \"NFKD\"}," JSON_MODEL);
    expect_fault(CE_EUNSUPPORTED, "normalizer is not supported: {\"type\":\"NFKD\"}");
    put("tokenizer.json",
        "{\"normalizer\": {\"type\": \"Replace\", \"content\": \"\", \"pattern\": "
        "{\"Regex\": \"[a-z]\"}}," JSON_MODEL);
    expect_fault(CE_EUNSUPPORTED, "normalizer is not supported");
    put("tokenizer.json",
        "{\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": "
        "\"AA-A\"}," JSON_MODEL);
    expect_fault(CE_EFORMAT, "\"precompiled_charsmap\" is no base64");
    put("tokenizer.json", "{\"pre_tokenizer\": {\"type\": \"Digits\"}," JSON_MODEL);
    expect_fault(CE_EUNSUPPORTED, "pre_tokenizer is not supported");
    put("tokenizer.json", "{\"model\": {\"type\": \"Unigram\", \"unk_id\": 7, \"vocab\": "
                          "[[\"a\", 0]]}}");
    expect_fault(CE_EFORMAT, "\"unk_id\" is 7 of 1 pieces");
    put("tokenizer.json",
        "{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", NaN]]}}");
    expect_fault(CE_EFORMAT, "a score must be a number");
    put("tokenizer.json", "{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": "
                          "[[\"a\", 0], [\"a\", 1]]}}");
    expect_fault(CE_EFORMAT, "piece 1 \"a\" is there twice");
    put("tokenizer.json", "{\"pre_tokenizer\": null," JSON_MODEL);
    EXPECT_IDS("aaz", 2, 2, 0);
}

/* Whatever a damaged model says, it is refused or it works. */
static void try_model(const char *bytes, size_t size) {
    static const char text[] = "a photo of 2 cats, \xef\xbc\xa1\xe7\x8c\xab";
    ce_tokenizer *t = NULL;
    ce_error err = {.message = ""};
    assert_non_null(scratch_write("spiece.model", bytes, size));
    if (ce_tokenizer_open_unigram(&t, scratch_directory, &err) < 0) {
        assert_true(*err.message);
        return;
    }
    int32_t ids[32];
    ce_tokens out;
    assert_int_equal(ce_tokenizer_encode(t, ids, 32, &out, text, sizeof text - 1, NULL), 0);
    ce_tokenizer_free(t);
}

static void damaged_models_never_crash(void **state) {
    (void)state;
    char path[GOLDEN_PATH];
    size_t size = 0;
    char *bytes = golden_read(golden_path(path, sizeof path, SMALL "spiece.model"), &size);
    assert_non_null(bytes);
    double until = scratch_seconds() + 3;
    for (size_t n = 0; n < size && scratch_seconds() < until; n += 1 + n / 40)
        try_model(bytes, n);
    for (int k = 0; k < 1500 && scratch_seconds() < until; k++) {
        size_t at = any((unsigned)size);
        char was = bytes[at];
        bytes[at] = (char)any(256);
        try_model(bytes, size);
        bytes[at] = was;
    }
    free(bytes);
}

static void a_sequence_without_its_steps_is_refused(void **state) {
    (void)state;
    put("tokenizer.json", "{\"normalizer\": {\"type\": \"Sequence\"}, " JSON_MODEL);
    expect_fault(CE_EUNSUPPORTED, "normalizer is not supported: {\"type\":\"Sequence\"}");
    put("tokenizer.json", "{\"pre_tokenizer\": {\"type\": \"Sequence\"}, " JSON_MODEL);
    expect_fault(CE_EUNSUPPORTED,
                 "pre_tokenizer is not supported: {\"type\":\"Sequence\"}");
}

/* tokenizer.json's direction counts only where the file itself is followed. */
static void texts_padded_or_cut_at_their_left_are_refused(void **state) {
    (void)state;
    model m;
    put("tokenizer.json",
        "{\"padding\": {\"direction\": \"Left\"}, \"added_tokens\": [], " JSON_MODEL);
    expect_fault(CE_EUNSUPPORTED, "\"padding\" has the direction \"Left\"");
    begin(&m);
    write_model(&m);
    ce_tokenizer_free(open_at(scratch_directory));
    put("tokenizer_config.json", "{\"truncation_side\": \"left\"}");
    expect_fault(CE_EUNSUPPORTED, "\"truncation_side\" is \"left\"");
}

static void a_very_long_piece_is_refused(void **state) {
    (void)state;
    char text[2000], *at = text;
    at += sprintf(at, "{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": "
                      "[[\"<unk>\", 0], [\"");
    memset(at, 'a', 1025);
    sprintf(at + 1025, "\", -1]]}}");
    put("tokenizer.json", text);
    expect_fault(CE_EUNSUPPORTED, "has 1025 bytes; more than 1024 are not supported");
}

/* Against Knuth's multiplier: node n's byte is chosen so that the edges lie side by side,
 * which a table with a fixed hash makes quadratic. */
static void no_string_is_slow_to_put(void **state) {
    (void)state;
    enum { LENGTH = 1 << 18 };
    char *text = malloc(LENGTH);
    assert_non_null(text);
    for (uint32_t n = 0; n < LENGTH; n++) {
        uint32_t least = UINT32_MAX;
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t place = (n << 8 | byte) * 2654435769u;
            if (place < least) {
                least = place;
                text[n] = (char)byte;
            }
        }
    }
    ce_trie t = {0};
    double since = scratch_seconds();
    assert_int_equal(ce_trie_put(&t, text, LENGTH, 7, NULL), 0);
    assert_int_equal(ce_trie_find(&t, text, LENGTH), 7);
    assert_true(scratch_seconds() - since < 2);
    ce_trie_free(&t);
    free(text);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, clean)
    const struct CMUnitTest tests[] = {
        TEST(texts_are_cut_as_siglip_does),
        TEST(texts_are_cut_as_a_tokenizer_json_says),
        TEST(all_of_the_reference_is_equal),
        TEST(a_text_is_cut_into_the_pieces_of_the_best_sum),
        TEST(a_text_ends_once_and_is_padded_with_its_end),
        TEST(case_is_kept_where_the_config_says),
        TEST(unknown_characters_fall_back_to_bytes),
        TEST(a_broken_model_is_one_clear_line),
        TEST(a_character_map_that_points_outside_is_refused),
        TEST(files_that_contradict_each_other_are_refused),
        TEST(what_a_tokenizer_json_may_not_say_is_refused_by_name),
        TEST(damaged_models_never_crash),
        TEST(a_sequence_without_its_steps_is_refused),
        TEST(texts_padded_or_cut_at_their_left_are_refused),
        TEST(a_very_long_piece_is_refused),
        TEST(no_string_is_slow_to_put),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

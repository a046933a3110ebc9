/* PyTorch's files: what torch itself saved, and what no torch would.
 *
 * golden/weights was made with torch 2.13.0 by this (the modules' names matter):
 *
 *   torch.manual_seed(0)
 *   class Part(nn.Module):
 *       def __init__(self):
 *           super().__init__()
 *           self.weight = nn.Parameter(torch.randn(3, 4))
 *           self.turned = nn.Parameter(torch.randn(2, 3).t())
 *       def forward(self, x: torch.Tensor):
 *           return x
 *   class Whole(nn.Module):
 *       def __init__(self):
 *           super().__init__()
 *           self.part, big = Part(), torch.randn(6, 6)
 *           self.scale, self.tied = nn.Parameter(torch.tensor(4.5)), self.part.weight
 *           for name, t in dict(fp16=torch.randn(5).half(), bf16=torch.randn(5).bfloat16(),
 *                   fp64=torch.randn(5).double(), ids=torch.arange(4).expand(1, -1),
 *                   flags=torch.tensor([True, False]), none=torch.zeros(0, 2),
 *                   rows=big[2:4], grid=big[1::2, ::3]).items():
 *               self.register_buffer(name, t)
 *       def forward(self, x: torch.Tensor):
 *           return x
 *   whole = Whole()
 *   state = whole.state_dict()
 *   save_file({k: v.clone(memory_format=torch.contiguous_format)
 *              for k, v in state.items()}, "expected.safetensors")
 *   torch.save(state, "zip.pt")
 *   torch.save(dict(state), "zip-5.pt", pickle_protocol=5)
 *   torch.save(state, "stream.pt", _use_new_zipfile_serialization=False)
 *   torch.save(state, "stream-4.pt", pickle_protocol=4,
 *              _use_new_zipfile_serialization=False)
 *   torch.save({"epoch": 3, "name": "tiny",
 *               "optimizer": {"state": {0: {"step": torch.ones(1)}}, "lr": 1e-3},
 *               "state_dict": {"module." + k: v for k, v in state.items()}}, "training.pt")
 *   torch.jit.script(whole).save("script.pt")
 */
#include "blob.h"
#include "golden.h"
#include "scratch.h"
#include "stats.h"
#include "weights.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const golden_files[] = {"zip.pt",      "zip-5.pt",    "stream.pt",
                                           "stream-4.pt", "training.pt", "script.pt"};
#define GOLDEN_FILES (sizeof golden_files / sizeof *golden_files)

static const char *golden(const char *name) {
    static char path[GOLDEN_PATH], inner[128];
    snprintf(inner, sizeof inner, "weights/%s", name);
    return golden_path(path, sizeof path, inner);
}

static ce_weights *must_open(const char *path) {
    ce_weights *w;
    ce_error err = {0};
    if (ce_weights_open(&w, path, &err) < 0)
        fail_msg("%s", err.message);
    return w;
}

static void what_torch_saved_is_read_bit_for_bit(void **state) {
    (void)state;
    static const char *const formats[] = {"PyTorch zip",
                                          "PyTorch zip",
                                          "PyTorch pickle (before 1.6)",
                                          "PyTorch pickle (before 1.6)",
                                          "PyTorch zip",
                                          "TorchScript"};
    golden_file *expected = golden_open(golden("expected.safetensors"));
    assert_non_null(expected);
    for (size_t k = 0; k < GOLDEN_FILES; k++) {
        ce_weights *w = must_open(golden(golden_files[k]));
        assert_string_equal(ce_weights_format(w), formats[k]);
        assert_int_equal(ce_weights_is_torchscript(w), k == 5);
        assert_int_equal(ce_weights_count(w), 12);
        for (size_t i = 0; i < ce_weights_count(w); i++) {
            const ce_tensor *t = ce_weights_at(w, i);
            golden_tensor truth;
            assert_true(golden_find(expected, t->name, &truth));
            assert_string_equal(t->dtype_name, truth.dtype);
            assert_int_equal(t->rank, truth.rank);
            for (int d = 0; d < t->rank; d++)
                assert_int_equal(t->shape[d], truth.shape[d]);
            assert_int_equal(t->count, truth.count);
            assert_string_equal(t->file, golden(golden_files[k]));
            if (t->bytes)
                assert_memory_equal(t->data, truth.data, t->bytes);
            bool strided =
                strcmp(t->name, "grid") == 0 || strcmp(t->name, "part.turned") == 0;
            assert_int_equal(t->copied, strided); /* the others lie in the mapping */
            ce_tensor_release(t);
            if (t->bytes)
                assert_memory_equal(t->data, truth.data, t->bytes);
        }
        ce_weights_free(w);
    }
    golden_close(expected);
}

static void doubles_are_taken_as_floats(void **state) {
    (void)state;
    ce_weights *w = must_open(golden("zip.pt"));
    golden_file *expected = golden_open(golden("expected.safetensors"));
    golden_tensor truth;
    assert_true(golden_find(expected, "fp64", &truth));
    size_t five = 5;
    float *values = NULL;
    ce_error err;
    assert_int_equal(ce_weights_take_floats(w, &values, "fp64", 1, &five, &err), 0);
    for (size_t i = 0; i < 5; i++)
        assert_true(values[i] == (float)((const double *)truth.data)[i]);
    free(values);
    ce_weights_free(w);
    golden_close(expected);
}

/* A zip archive of one pickle, and the storages data/0 (8 floats: 0 to 7). */
static const char *archive_of(const blob *pickle) {
    static blob z;
    float storage[8];
    for (int i = 0; i < 8; i++)
        storage[i] = (float)i;
    const zip_part parts[] = {{"a/data.pkl", pickle->data, pickle->size},
                              {"a/byteorder", "little", 6},
                              {"a/data/0", storage, sizeof storage}};
    zip_places at;
    z.size = 0;
    zip_make(&z, parts, 3, &at);
    return scratch_write("a.pt", z.data, z.size);
}

/* {"w": tensor} */
static void state_dict_of(blob *b, const tensor_spec *t) {
    b->size = 0;
    add(b, BYTES("\x80\x02}("));
    add_text(b, "w");
    add_tensor(b, t);
    add(b, BYTES("u."));
}

static void refuses(const char *path, int code, const char *word) {
    ce_weights *w = NULL;
    ce_error err = {0};
    int result = ce_weights_open(&w, path, &err);
    if (result != code || w || !strstr(err.message, path) || !strstr(err.message, word))
        fail_msg("%d \"%s\" does not say \"%s\"", result, err.message, word);
}

static void views_are_read_and_bounded(void **state) {
    (void)state;
    static const struct {
        tensor_spec t;
        int code;
        const char *word;
        float last;
    } cases[] = {
        {{"FloatStorage", "0", 8, 0, 1, {8}, {1}, NULL, 0}, 0, NULL, 7},
        {{"FloatStorage", "0", 8, 5, 1, {3}, {1}, NULL, 0}, 0, NULL, 7},
        {{"FloatStorage", "0", 8, 3, 0, {0}, {0}, NULL, 0}, 0, NULL, 3},
        {{"FloatStorage", "0", 8, 1, 2, {2, 3}, {3, 1}, NULL, 0}, 0, NULL, 6},
        {{"FloatStorage", "0", 8, 1, 2, {3, 2}, {1, 3}, NULL, 0}, 0, NULL, 6},
        {{"FloatStorage", "0", 8, 7, 3, {1, 1, 1}, {99, 1 << 30, 0}, NULL, 0}, 0, NULL, 7},
        {{"FloatStorage", "0", 8, 2, 2, {3, 2}, {0, 1}, NULL, 0}, 0, NULL, 3},
        {{"FloatStorage", "0", 8, 6, 1, {3}, {1}, NULL, 0}, CE_EFORMAT, "outside", 0},
        {{"FloatStorage", "0", 8, 8, 0, {0}, {0}, NULL, 0}, CE_EFORMAT, "outside", 0},
        {{"FloatStorage", "0", 8, 9, 1, {0}, {1}, NULL, 0}, CE_EFORMAT, "outside", 0},
        {{"FloatStorage", "0", 8, -1, 1, {3}, {1}, NULL, 0}, CE_EFORMAT, "impossible", 0},
        {{"FloatStorage", "0", 8, 0, 1, {-3}, {1}, NULL, 0}, CE_EFORMAT, "impossible", 0},
        {{"FloatStorage", "0", 8, 0, 1, {3}, {-1}, NULL, 0}, CE_EFORMAT, "impossible", 0},
        {{"FloatStorage", "0", 8, 0, 2, {2, 2}, {7, 1}, NULL, 0}, CE_EFORMAT, "outside", 0},
        {{"FloatStorage", "0", 8, 0, 1, {3}, {INT64_MAX}, NULL, 0},
         CE_EFORMAT,
         "outside",
         0},
        {{"FloatStorage", "0", 8, INT64_MAX, 1, {1}, {1}, NULL, 0},
         CE_EFORMAT,
         "outside",
         0},
        {{"FloatStorage", "0", 8, 0, 2, {INT64_MAX, 4}, {1, 1}, NULL, 0},
         CE_EFORMAT,
         "impossible",
         0},
        {{"FloatStorage", "0", 8, 0, 1, {INT64_MAX}, {0}, NULL, 0},
         CE_EFORMAT,
         "outside",
         0},
        {{"FloatStorage", "0", 8, 0, 1, {1000000}, {0}, NULL, 0},
         CE_EUNSUPPORTED,
         "tensor w: its elements share memory",
         0},
        {{"FloatStorage", "0", 8, 0, 9, {1}, {1}, NULL, 0}, CE_EFORMAT, "impossible", 0},
        {{"FloatStorage", "1", 8, 0, 1, {8}, {1}, NULL, 0},
         CE_EFORMAT,
         "tensor w: its storage data/1 is missing",
         0},
        {{"FloatStorage", "../data.pkl", 8, 0, 1, {8}, {1}, NULL, 0},
         CE_EFORMAT,
         "is missing",
         0},
        {{"FloatStorage", "0", 7, 0, 1, {7}, {1}, NULL, 0},
         CE_EFORMAT,
         "tensor w: its storage data/0 holds 32 bytes, its pickle says 28",
         0},
        {{"FloatStorage", "0", 9, 0, 1, {8}, {1}, NULL, 0}, CE_EFORMAT, "says 36", 0},
        {{"HalfStorage", "0", 8, 0, 1, {8}, {1}, NULL, 0}, CE_EFORMAT, "says 16", 0},
        {{"FloatStorage", "0", INT64_MAX, 0, 1, {8}, {1}, NULL, 0},
         CE_EFORMAT,
         "larger than the file",
         0},
        {{"FloatStorage", "0", -8, 0, 1, {8}, {1}, NULL, 0}, CE_EFORMAT, "unknown", 0},
        {{"Tensor", "0", 8, 0, 1, {8}, {1}, NULL, 0}, CE_EFORMAT, "unknown type", 0},
        {{"QuantStorage", "0", 8, 0, 1, {8}, {1}, NULL, 0},
         CE_EUNSUPPORTED,
         "asks for torch.QuantStorage",
         0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static blob b;
        state_dict_of(&b, &cases[i].t);
        const char *path = archive_of(&b);
        if (cases[i].code < 0) {
            refuses(path, cases[i].code, cases[i].word);
            continue;
        }
        ce_weights *w = must_open(path);
        const ce_tensor *t = ce_weights_find(w, "w");
        assert_non_null(t);
        float last;
        memcpy(&last, (const char *)t->data + t->bytes - sizeof last, sizeof last);
        assert_true(last == cases[i].last);
        ce_weights_free(w);
    }
}

static const tensor_spec plain = {"FloatStorage", "0", 8, 0, 1, {8}, {1}, NULL, 0};

/* A state dict, or what is none, is found by what it holds. */
static void odd_objects_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *head;
        size_t head_size;
        const char *tail;
        size_t tail_size;
        int code;
        const char *word;
    } cases[] = {
        {BYTES(""), BYTES("."), CE_EFORMAT, "no dict of tensors"},
        {BYTES("]"), BYTES("a."), CE_EFORMAT, "no dict of tensors"},
        {BYTES("}U\1a]"), BYTES("as."), CE_EFORMAT, "what was saved holds a"},
        {BYTES("}(U\1aU\1tU\1b]"), BYTES("au."), CE_EFORMAT, "holds a, b"},
        {BYTES("}(K\1"), BYTES("u."), CE_EFORMAT, "whose name is no text"},
        {BYTES("}(U\2\xff\xfe"), BYTES("u."), CE_EFORMAT, "not UTF-8"},
        {BYTES("}(U\3a\0b"), BYTES("u."), CE_EFORMAT, "not UTF-8"},
        {BYTES("}(U\1a"), BYTES("q\1U\1ah\1u."), CE_EFORMAT, "tensor a is there twice"},
        {BYTES("}(U\1a"), BYTES("q\1U\1b]h\1au."), CE_EUNSUPPORTED, "holds b, which is no"},
        {BYTES("}(U\1a"), BYTES("u.N."), CE_EFORMAT, "goes on behind"},
        {BYTES("}(U\1a"), BYTES("U\1bctorch._utils\n_rebuild_qtensor\n)Ru."),
         CE_EUNSUPPORTED, "tensor b: made by torch._utils._rebuild_qtensor"},
        {BYTES("}(U\1a"), BYTES("U\1bctorch._utils\n_rebuild_tensor_v2\n)Ru."), CE_EFORMAT,
         "tensor b: impossible"},
        {BYTES("}(U\1a"), BYTES("U\1bctorch._utils\n_rebuild_tensor_v2\n(NK\0))tRu."),
         CE_EFORMAT, "no storage"},
        {BYTES("}(U\1a"), BYTES("U\1bctorch._utils\n_rebuild_tensor_v2\n(NQK\0))tRu."),
         CE_EFORMAT, "no storage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob b = {0};
        add(&b, cases[i].head, cases[i].head_size);
        add_tensor(&b, &plain);
        add(&b, cases[i].tail, cases[i].tail_size);
        refuses(archive_of(&b), cases[i].code, cases[i].word);
    }
}

/* BUILD of a tensor is tensor.set_(...), SETITEM sets its elements, and a wrapper's state
 * may set its data: torch would load other values than the call says. */
static void tensors_that_are_changed_afterwards_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *head;
        size_t head_size;
        const char *tail;
        size_t tail_size;
        const char *word;
    } cases[] = {
        {BYTES(""), BYTES("(K\0tb"), "changed after it was made"},
        {BYTES(""), BYTES("Nb"), "changed after it was made"},
        {BYTES(""), BYTES("K\0K\1s"), "changed after it was made"},
        {BYTES(""), BYTES("(K\0K\1u"), "changed after it was made"},
        {BYTES(""), BYTES("q\1U\1bh\1Nb"), "tensor a: changed after it was made"},
        {BYTES("ctorch._utils\n_rebuild_parameter\n("), BYTES("\x89}tRNb"),
         "changed after it was made"},
        {BYTES("ctorch._utils\n_rebuild_parameter\n("), BYTES("Nb\x89}tR"),
         "changed after it was made"},
        {BYTES("ctorch._utils\n_rebuild_parameter_with_state\n("),
         BYTES("q\1\x89}}U\4datah\1stR"), "changed after it was made"},
        {BYTES("ctorch._utils\n_rebuild_parameter_with_state\n("),
         BYTES("q\1\x89}N}U\4datah\1s\x86tR"), "changed after it was made"},
        {BYTES("ctorch._utils\n_rebuild_parameter_with_state\n("),
         BYTES("\x89}}U\4flag\x88stR"), NULL},
        {BYTES("ctorch._utils\n_rebuild_parameter_with_state\n("),
         BYTES("\x89}}U\4flag\x88sN\x86tR"), NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob b = {0};
        add(&b, BYTES("\x80\x02}(U\1a"));
        add(&b, cases[i].head, cases[i].head_size);
        add_tensor(&b, &plain);
        add(&b, cases[i].tail, cases[i].tail_size);
        add(&b, BYTES("u."));
        if (cases[i].word)
            refuses(archive_of(&b), CE_EUNSUPPORTED, cases[i].word);
        else
            ce_weights_free(must_open(archive_of(&b)));
    }
}

/* `names` tensors on one storage of 2000 floats. */
static const char *shared_by(int names) {
    static blob pickle, z;
    static float storage[2000];
    const tensor_spec t = {"FloatStorage", "0", 2000, 0, 1, {2000}, {1}, NULL, 0};
    zip_places at;
    pickle.size = z.size = 0;
    add(&pickle, BYTES("\x80\x02}("));
    for (int i = 0; i < names; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        add_text(&pickle, name);
        add_tensor(&pickle, &t);
    }
    add(&pickle, BYTES("u."));
    const zip_part parts[] = {{"a/data.pkl", pickle.data, pickle.size},
                              {"a/data/0", storage, sizeof storage}};
    zip_make(&z, parts, 2, &at);
    return scratch_write("shared.pt", z.data, z.size);
}

static void weights_may_be_tied_but_not_without_end(void **state) {
    (void)state;
    ce_weights_free(must_open(shared_by(2)));
    ce_weights_free(must_open(shared_by(4)));
    refuses(shared_by(24), CE_EUNSUPPORTED, "more than 4 times the file");
}

static void what_is_no_tensor_in_a_state_dict_is_skipped(void **state) {
    (void)state;
    blob b = {0};
    add(&b, BYTES("}(U\1a"));
    add_tensor(&b, &plain);
    add(&b, BYTES("U\5stepsK\7U\4noteNU\4listK\1\x85K\2Nu}U\x09_metadata}sb."));
    ce_weights *w = must_open(archive_of(&b));
    assert_int_equal(ce_weights_count(w), 1);
    ce_weights_free(w);
}

#define MODULE "c__torch__.m\nM\n)\x81"

/* `n` modules, each holding `each` times the one before; the last is the root's "r". */
static const char *chain_of(int n, int each) {
    blob b = {0};
    add(&b, BYTES(MODULE "}U\1z(" MODULE "q\0"));
    for (int i = 0; i < n; i++)
        add(&b, each == 2 ? MODULE "}(U\1ah\0U\1bh\0ubq\0" : MODULE "}(U\1ah\0ubq\0",
            sizeof MODULE + (each == 2 ? 16 : 11) - 1);
    add(&b, BYTES("tsU\1rh\0sb."));
    return archive_of(&b);
}

/* Modules of TorchScript: in each other by name, in themselves, and 2^40 of them. */
static void trees_of_modules_are_bounded(void **state) {
    (void)state;
    blob b = {0};
    add(&b, BYTES(MODULE "}(U\1a"));
    add_tensor(&b, &plain);
    add(&b, BYTES("U\1m" MODULE "}(U\1b"));
    add_tensor(&b, &plain);
    add(&b, BYTES("ubub."));
    ce_weights *w = must_open(archive_of(&b));
    assert_int_equal(ce_weights_count(w), 2);
    assert_non_null(ce_weights_find(w, "m.b"));
    ce_weights_free(w);
    b.size = 0;
    add(&b, BYTES(MODULE "q\0}U\1mh\0sb."));
    refuses(archive_of(&b), CE_EFORMAT, "too deeply");
    refuses(chain_of(70, 1), CE_EFORMAT, "too deeply");
    refuses(chain_of(40, 2), CE_EFORMAT, "without end");
    refuses(chain_of(40, 1), CE_EFORMAT, "no tensors");
}

/* Beside a tensor, 1000 names of one list of 1000 numbers: a million looks, in 8 kB. */
static void values_met_again_and_again_are_refused(void **state) {
    (void)state;
    blob b = {0};
    add(&b, BYTES("}(U\1a"));
    add_tensor(&b, &plain);
    add(&b, BYTES("U\1b](K\1q\0"));
    for (int i = 0; i < 1000; i++)
        add(&b, BYTES("h\0"));
    add(&b, BYTES("eq\0"));
    for (int i = 0; i < 1000; i++)
        add(&b, BYTES("U\1ch\0"));
    add(&b, BYTES("u."));
    refuses(archive_of(&b), CE_EUNSUPPORTED, "holds c, which is no tensor");
}

static void archives_that_are_none_of_torchs_are_refused(void **state) {
    (void)state;
    blob pickle, z;
    state_dict_of(&pickle, &plain);
    const zip_part two[] = {{"a/data.pkl", pickle.data, pickle.size},
                            {"b/data.pkl", pickle.data, pickle.size}};
    const zip_part none[] = {{"weights.npy", "x", 1}};
    const zip_part big[] = {{"a/data.pkl", pickle.data, pickle.size},
                            {"a/byteorder", "big", 3}};
    zip_places at;
    z.size = 0;
    zip_make(&z, two, 2, &at);
    refuses(scratch_write("a.pt", z.data, z.size), CE_EFORMAT, "more than one data.pkl");
    z.size = 0;
    zip_make(&z, none, 1, &at);
    refuses(scratch_write("a.pt", z.data, z.size), CE_EFORMAT, "not PyTorch's");
    refuses(scratch_write("a.pt", z.data, z.size / 2), CE_EFORMAT, "truncated");
    z.size = 0;
    zip_make(&z, big, 2, &at);
    refuses(scratch_write("a.pt", z.data, z.size), CE_EUNSUPPORTED, "little-endian");
    z.size = 0;
    zip_make(&z, big, 1, &at);
    z.data[at.local[0] + 8] = z.data[at.central[0] + 10] = 8;
    refuses(scratch_write("a.pt", z.data, z.size), CE_EUNSUPPORTED,
            "data.pkl is compressed");
}

#define MAGIC "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define MACHINE "\x80\x02}U\x0dlittle_endian\x88s."

/* A stream of one state dict and one storage, of `elements` as its header says. */
static const char *stream_of(const tensor_spec *t, const char *keys, uint64_t elements,
                             size_t floats) {
    static blob b;
    blob dict;
    state_dict_of(&dict, t);
    b.size = 0;
    add(&b, BYTES(MAGIC "M\xe9\x03." MACHINE));
    add(&b, dict.data, dict.size);
    add(&b, keys, strlen(keys));
    add_number(&b, elements, 8);
    for (size_t i = 0; i < floats; i++) {
        float value = (float)i;
        add(&b, &value, sizeof value);
    }
    return scratch_write("s.bin", b.data, b.size);
}

static void streams_that_lie_are_refused(void **state) {
    (void)state;
    tensor_spec t = plain;
    t.view = "N";
    t.view_size = 1;
    ce_weights_free(must_open(stream_of(&t,
                                        "](U\1"
                                        "0e.",
                                        8, 8)));
    refuses(stream_of(&t,
                      "](U\1"
                      "0e.",
                      8, 9),
            CE_EFORMAT, "behind the last storage");
    refuses(stream_of(&t,
                      "](U\1"
                      "0e.",
                      8, 7),
            CE_EFORMAT, "truncated");
    refuses(stream_of(&t,
                      "](U\1"
                      "0e.",
                      7, 7),
            CE_EFORMAT, "holds 7 elements");
    refuses(stream_of(&t,
                      "](U\1"
                      "0e.",
                      UINT64_MAX, 8),
            CE_EFORMAT, "holds 1844");
    refuses(stream_of(&t,
                      "](U\1"
                      "1e.",
                      8, 8),
            CE_EFORMAT, "unknown");
    refuses(stream_of(&t,
                      "](U\1"
                      "0U\1"
                      "0e.",
                      8, 8),
            CE_EFORMAT, "twice");
    refuses(stream_of(&t, "](K\1e.", 8, 8), CE_EFORMAT, "unknown");
    refuses(stream_of(&t, "}.", 8, 8), CE_EFORMAT, "no list of storages");
    refuses(stream_of(&t, "].", 8, 8), CE_EFORMAT, "behind the last storage");
    refuses(scratch_write("s.bin", BYTES("\x80\x02N.")), CE_EFORMAT, "not one of torch");
    refuses(scratch_write("s.bin", BYTES(MAGIC "K\x02.")), CE_EFORMAT, "1001");
    refuses(scratch_write("s.bin", BYTES(MAGIC "M\xe9\x03.}U\x0dlittle_endian\x89s.")),
            CE_EUNSUPPORTED, "little-endian");
    refuses(scratch_write("s.bin", BYTES(MAGIC)), CE_EFORMAT, "without a STOP");
}

/* (key, offset, elements): what torch wrote of a storage that is part of another. */
static void views_of_storages_are_bounded(void **state) {
    (void)state;
    static const struct {
        int64_t offset, elements;
        bool fine;
    } cases[] = {{2, 5, true},  {0, 8, true},   {8, 0, false}, {2, 7, false},
                 {9, 0, false}, {-1, 3, false}, {3, 4, false}, {INT64_MAX, 5, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob view = {0};
        add(&view, BYTES("U\1v"));
        add_int(&view, cases[i].offset);
        add_int(&view, cases[i].elements);
        add(&view, BYTES("\x87"));
        tensor_spec t = {"FloatStorage",    "0",      8, 1, 1, {4}, {1},
                         (char *)view.data, view.size};
        const char *path = stream_of(&t,
                                     "](U\1"
                                     "0e.",
                                     8, 8);
        if (!cases[i].fine) {
            refuses(path, CE_EFORMAT, "outside its storage");
            continue;
        }
        ce_weights *w = must_open(path);
        float first;
        memcpy(&first, ce_weights_find(w, "w")->data, sizeof first);
        assert_true(first == (float)(cases[i].offset + 1));
        ce_weights_free(w);
    }
}

/* Bytes of torch's own files are changed or cut off: they open, and every tensor can be
 * read to its end, or they say why not. */
static void mutated_files_never_crash(void **state) {
    (void)state;
    ce_random random = {3};
    for (size_t k = 0; k < GOLDEN_FILES; k++) {
        size_t size = 0;
        char *file = golden_read(golden(golden_files[k]), &size);
        assert_non_null(file);
        static blob b;
        for (int i = 0; i < 700; i++) {
            b.size = 0;
            add(&b, file, size);
            for (int c = 0; c < 1 + i % 4; c++)
                b.data[ce_random_below(&random, size)] =
                    (unsigned char)ce_random_next(&random);
            if (i % 8 == 0)
                b.size = (size_t)ce_random_below(&random, size);
            ce_weights *w = NULL;
            ce_error err = {0};
            if (ce_weights_open(&w, scratch_write("m", b.data, b.size), &err) < 0)
                assert_true(err.message[0] != '\0');
            unsigned sum = 0;
            for (size_t t = 0; w && t < ce_weights_count(w); t++)
                for (size_t at = 0; at < ce_weights_at(w, t)->bytes; at++)
                    sum += ((const unsigned char *)ce_weights_at(w, t)->data)[at];
            assert_true(sum < UINT32_MAX);
            ce_weights_free(w);
        }
        free(file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_torch_saved_is_read_bit_for_bit),
        cmocka_unit_test(doubles_are_taken_as_floats),
        cmocka_unit_test(views_are_read_and_bounded),
        cmocka_unit_test(odd_objects_are_refused),
        cmocka_unit_test(tensors_that_are_changed_afterwards_are_refused),
        cmocka_unit_test(weights_may_be_tied_but_not_without_end),
        cmocka_unit_test(what_is_no_tensor_in_a_state_dict_is_skipped),
        cmocka_unit_test(trees_of_modules_are_bounded),
        cmocka_unit_test(values_met_again_and_again_are_refused),
        cmocka_unit_test(archives_that_are_none_of_torchs_are_refused),
        cmocka_unit_test(streams_that_lie_are_refused),
        cmocka_unit_test(views_of_storages_are_bounded),
        cmocka_unit_test(mutated_files_never_crash),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

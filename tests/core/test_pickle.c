/* The pickle machine: what it reads, and that it does nothing. Pickles are assembled by
 * hand and read from blocks of exactly their size. */
#include "blob.h"
#include "golden.h"
#include "pickle.h"
#include "scratch.h"
#include "stats.h"
#include "zip.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* `*copy` is what the values borrow. */
static int load(ce_pickle **out, unsigned char **copy, const void *data, size_t size,
                ce_error *err) {
    size_t used;
    *copy = malloc(size + !size);
    assert_non_null(*copy);
    if (size)
        memcpy(*copy, data, size);
    int result = ce_pickle_load(out, *copy, size, &used, "a.pt", err);
    assert_true(result < 0 ? *out == NULL : used <= size);
    return result;
}

static int try_load(const void *data, size_t size, ce_error *err) {
    ce_pickle *pickle;
    unsigned char *copy;
    int result = load(&pickle, &copy, data, size, err);
    ce_pickle_free(pickle);
    free(copy);
    return result;
}

static void refuses(const void *data, size_t size, int code, const char *word) {
    ce_error err = {0};
    int result = try_load(data, size, &err);
    if (result != code || strncmp(err.message, "a.pt: its pickle ", 17) != 0 ||
        !strstr(err.message, word))
        fail_msg("%d \"%s\" does not say \"%s\"", result, err.message, word);
}

/* {"i": (1, -2, 300, 2**40, True, None, 0.5), "big": 2**64, "b": b"\0", "l": [1, 2]} in
 * protocol 2 and again in protocol 4: the values are the same. */
static void values_of_every_kind_are_read(void **state) {
    (void)state;
    static const char two[] =
        "\x80\x02}q\x00(X\x01\x00\x00\x00i(K\x01J\xfe\xff\xff\xffM\x2c\x01\x8a\x06\x00\x00"
        "\x00\x00\x00\x01\x88NG\x3f\xe0\x00\x00\x00\x00\x00\x00tq\x01X\x03\x00\x00\x00"
        "big\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01X\x01\x00\x00\x00"
        "bU\x01\x00X\x01\x00\x00\x00l]q\x02(K\x01K\x02"
        "eu.";
    static const char four[] =
        "\x80\x04\x95\x49\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01i(K\x01J\xfe\xff\xff\xff"
        "M\x2c\x01\x8a\x06\x00\x00\x00\x00\x00\x01\x88NG\x3f\xe0\x00\x00\x00\x00\x00\x00t"
        "\x94\x8c\x03"
        "big\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01\x8c\x01"
        "bC\x01\x00\x8c\x01l]\x94K\x01"
        "aK\x02"
        "au.";
    for (int k = 0; k < 2; k++) {
        ce_pickle *p;
        unsigned char *copy;
        ce_error err = {0};
        if (load(&p, &copy, k ? four : two, k ? sizeof four - 1 : sizeof two - 1, &err) < 0)
            fail_msg("%s", err.message);
        const ce_pickle_value *top = ce_pickle_top(p), *v = ce_pickle_get(top, "i");
        static const int64_t integers[] = {1, -2, 300, (int64_t)1 << 40, 1};
        assert_int_equal(v->kind, CE_PICKLE_TUPLE);
        assert_int_equal(v->node->count, 7);
        for (int i = 0; i < 5; i++)
            assert_true(v->node->items[i].integer == integers[i]);
        assert_int_equal(v->node->items[4].kind, CE_PICKLE_BOOL);
        assert_int_equal(v->node->items[5].kind, CE_PICKLE_NONE);
        assert_true(v->node->items[6].real == 0.5);
        assert_int_equal(ce_pickle_get(top, "big")->kind, CE_PICKLE_LONG);
        assert_int_equal(ce_pickle_get(top, "b")->size, 1);
        assert_int_equal(ce_pickle_get(top, "l")->node->items[1].integer, 2);
        assert_null(ce_pickle_get(top, "x"));
        ce_pickle_free(p);
        free(copy);
    }
}

static void ordered_dicts_are_dicts(void **state) {
    (void)state;
    static const char *const forms[] = {
        "ccollections\nOrderedDict\n)R(U\1aK\7u.",      /* filled by SETITEMS */
        "ccollections\nOrderedDict\n(](](U\1aK\7eetR.", /* of a list, as Python 2 did */
        "ccollections\ndefaultdict\n(cbuiltins\nlist\ntR(U\1aK\7u}b."};
    for (size_t i = 0; i < 3; i++) {
        ce_pickle *p;
        unsigned char *copy;
        ce_error err = {0};
        if (load(&p, &copy, forms[i], strlen(forms[i]), &err) < 0)
            fail_msg("%s", err.message);
        const ce_pickle_value *v = ce_pickle_get(ce_pickle_top(p), "a");
        assert_non_null(v);
        assert_int_equal(v->integer, 7);
        ce_pickle_free(p);
        free(copy);
    }
}

static void forbidden_names_are_refused_and_named(void **state) {
    (void)state;
    static const char *const names[][2] = {
        {"os", "system"},
        {"posix", "system"},
        {"builtins", "eval"},
        {"__builtin__", "exec"},
        {"builtins", "getattr"},
        {"subprocess", "Popen"},
        {"torch", "load"},
        {"torch.hub", "load"},
        {"torch.serialization", "load"},
        {"torch._utils", "rebuild"},
        {"torch", "FloatStorage2"},
        {"torch.FloatStorage", "x"},
        {"__torch__x", "y"},
        {"collections", "OrderedDict.pop"},
        {"numpy", "load"},
        {"runpy", "_run_code"},
        {"__main__", "Net"},
        {"webbrowser", "open"},
        {"operator", "attrgetter"},
        {"copyreg", "add_extension"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char whole[128];
        snprintf(whole, sizeof whole,
                 "asks for %s.%s, which a state dict never needs: refused", names[i][0],
                 names[i][1]);
        blob b = {0};
        add(&b, BYTES("\x80\x02"));
        add_global(&b, names[i][0], names[i][1]);
        add(&b, BYTES("U\2ls\x85R."));
        refuses(b.data, b.size, CE_EUNSUPPORTED, whole);
        b.size = 0; /* STACK_GLOBAL */
        add(&b, BYTES("\x80\x04"));
        add_text(&b, names[i][0]);
        add_text(&b, names[i][1]);
        add(&b, BYTES("\x93."));
        refuses(b.data, b.size, CE_EUNSUPPORTED, whole);
    }
    refuses(BYTES("ctorch\nFloatStorage\0x\n."), CE_EUNSUPPORTED, "torch.FloatStorage");
}

static void instructions_of_no_state_dict_are_refused(void **state) {
    (void)state;
    refuses(BYTES("I1\n."), CE_EUNSUPPORTED, "instruction 0x49 at byte 0");
    refuses(BYTES("\x80\x02ios\nsystem\n."), CE_EUNSUPPORTED, "instruction 0x69 at byte 2");
    refuses(BYTES("\x82\x01."), CE_EUNSUPPORTED, "0x82");                  /* EXT1 */
    refuses(BYTES("(cos\nsystem\nU\2lso."), CE_EUNSUPPORTED, "os.system"); /* OBJ */
    refuses(BYTES("\xff."), CE_EUNSUPPORTED, "0xff");
    refuses(BYTES("\x97."), CE_EUNSUPPORTED, "0x97"); /* a buffer out of band */
}

static void broken_pickles_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        const char *word;
    } cases[] = {
        {BYTES(""), "without a STOP"},
        {BYTES("\x80\x02}"), "without a STOP"},
        {BYTES("\x80"), "middle of an instruction"},
        {BYTES("\x80\x06N."), "protocol 6"},
        {BYTES("."), "other than one value"},
        {BYTES("NN."), "other than one value"},
        {BYTES("N(."), "other than one value"},
        {BYTES("\x85."), "too few values"},
        {BYTES("N\x86."), "too few values"},
        {BYTES("NN\x87."), "too few values"},
        {BYTES("N(\x85."), "too few values"}, /* not from below the mark */
        {BYTES("R."), "too few values"},
        {BYTES("NR."), "too few values"},
        {BYTES("b."), "too few values"},
        {BYTES("Q."), "too few values"},
        {BYTES("a."), "too few values"},
        {BYTES("]a."), "too few values"},
        {BYTES("}Ns."), "too few values"},
        {BYTES("(u."), "too few values"},
        {BYTES("q\0."), "too few values"},
        {BYTES("\x94."), "too few values"},
        {BYTES("\x93."), "too few values"},
        {BYTES("t."), "no mark"},
        {BYTES("}u."), "no mark"},
        {BYTES("]e."), "no mark"},
        {BYTES("}(Nu."), "key without a value"},
        {BYTES("NNa."), "no container"},
        {BYTES("}Na."), "no container"},
        {BYTES("]NNs."), "no container"},
        {BYTES(")(Ne."), "no container"},
        {BYTES("N}b."), "state for what is no object"},
        {BYTES("N)R."), "call of what is no name"},
        {BYTES("ctorch\nSize\nNR."), "without a tuple"},
        {BYTES("NN\x93."), "name of a global is no text"},
        {BYTES("c"), "middle of an instruction"},
        {BYTES("ctorch\nSize"), "middle of an instruction"},
        {BYTES("c\n\n."), "too long, or empty"},
        {BYTES("ccollections\nOrderedDict\n(NtR."), "no list of pairs"},
        {BYTES("ccollections\nOrderedDict\n(](](NeetR."), "no list of pairs"},
        {BYTES("h\0."), "nothing was put"},
        {BYTES("Nq\1h\0."), "nothing was put"},
        {BYTES("j\xff\xff\xff\xff."), "nothing was put"},
        {BYTES("Nr\xff\xff\xff\x7f."), "far beyond"},
        {BYTES("K"), "middle of an instruction"},
        {BYTES("J\1\2\3"), "middle of an instruction"},
        {BYTES("G\1\2\3"), "middle of an instruction"},
        {BYTES("X\xff\xff\xff\xff."), "longer than the file"},
        {BYTES("X\2\0\0\0a"), "longer than the file"},
        {BYTES("U\2a"), "longer than the file"},
        {BYTES("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "longer than the file"},
        {BYTES("\x8e\0\0\0\0\1\0\0\0."), "longer than the file"},
        {BYTES("\x8a\x09\0."), "longer than the file"},
        {BYTES("\x95\xff\xff\xff\xff\xff\xff\xff\xff."), "frame beyond"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses(cases[i].data, cases[i].size, CE_EFORMAT, cases[i].word);
}

/* 2^100 leaves in 500 bytes, a list in itself, a million lists in each other. */
static void bombs_cost_no_more_than_their_bytes(void **state) {
    (void)state;
    blob b = {0};
    ce_error err = {0};
    double began = scratch_seconds();
    add(&b, BYTES("Nq\0"));
    for (int i = 0; i < 100; i++)
        add(&b, BYTES("h\0\x86q\0"));
    add(&b, BYTES("."));
    assert_int_equal(try_load(b.data, b.size, &err), 0);
    assert_int_equal(try_load(BYTES("]q\0h\0a."), &err), 0);
    assert_int_equal(try_load(BYTES("}q\0(h\0h\0u."), &err), 0);
    const size_t n = 1000000;
    char *deep = malloc(3 * n);
    assert_non_null(deep);
    memset(deep, ']', n);
    memset(deep + n, 'a', n - 1);
    deep[2 * n - 1] = '.';
    assert_int_equal(try_load(deep, 2 * n, &err), 0);
    memset(deep, '(', n);
    memset(deep + n, 't', n);
    deep[2 * n] = '.';
    assert_int_equal(try_load(deep, 2 * n + 1, &err), 0);
    free(deep);
    assert_true(scratch_seconds() - began < 5);
}

/* MEMOIZE's index is Python's len(memo): an index that is put twice counts once. */
static void memo_indices_are_counted_as_python_counts(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        int64_t expected;
    } cases[] = {
        {"(K\1q\x02q\x02q\x02K\2\x94h\x01t.", 2}, /* {2}, and then 1 */
        {"(K\1q\x05q\x06q\x05K\2\x94h\x02t.", 2}, /* {5, 6}, and then 2 */
        {"(K\1\x94\x94q\x01K\2\x94h\x02t.", 2},   /* {0, 1}, and then 2 */
        {"(K\1q\x01K\2\x94K\3\x94h\x01t.", 3},    /* {1}: 1 again and again */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char bytes[32] = {0};
        static const size_t sizes[] = {16, 16, 14, 15};
        ce_pickle *p;
        unsigned char *copy;
        ce_error err = {0};
        memcpy(bytes, cases[i].bytes, sizes[i]);
        if (load(&p, &copy, bytes, sizes[i], &err) < 0)
            fail_msg("case %zu: %s", i, err.message);
        const ce_pickle_node *top = ce_pickle_top(p)->node;
        assert_true(top->items[top->count - 1].integer == cases[i].expected);
        ce_pickle_free(p);
        free(copy);
    }
}

static void memory_has_a_limit(void **state) {
    (void)state;
    const size_t n = (size_t)16 << 20;
    char *dicts = malloc(n);
    assert_non_null(dicts);
    memset(dicts, '}', n);
    refuses(dicts, n, CE_ENOMEM, "more than 256 MiB");
    free(dicts);
}

/* data.pkl of a real archive: every cut is refused, every change read or refused. */
static void mutated_pickles_never_crash(void **state) {
    (void)state;
    static const char *const files[] = {"weights/zip.pt", "weights/zip-5.pt",
                                        "weights/script.pt"};
    static const char *const members[] = {"zip/data.pkl", "zip-5/data.pkl",
                                          "script/data.pkl"};
    ce_random random = {5};
    for (size_t k = 0; k < 3; k++) {
        char path[GOLDEN_PATH];
        size_t size = 0;
        char *file = golden_read(golden_path(path, sizeof path, files[k]), &size);
        assert_non_null(file);
        ce_zip *zip;
        ce_error err = {0};
        assert_int_equal(ce_zip_open(&zip, (unsigned char *)file, size, path, &err), 0);
        const ce_zip_member *m = ce_zip_find(zip, members[k], strlen(members[k]));
        assert_non_null(m);
        assert_int_equal(try_load(m->data, m->size, &err), 0);
        for (size_t cut = 0; cut < m->size; cut++)
            assert_true(try_load(m->data, cut, &err) < 0);
        blob b = {0};
        for (int i = 0; i < 3000; i++) {
            b.size = 0;
            add(&b, m->data, m->size);
            for (int c = 0; c < 1 + i % 3; c++)
                b.data[ce_random_below(&random, b.size)] =
                    (unsigned char)ce_random_next(&random);
            err.message[0] = '\0';
            if (try_load(b.data, b.size, &err) < 0)
                assert_true(err.message[0] != '\0');
        }
        ce_zip_free(zip);
        free(file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_kind_are_read),
        cmocka_unit_test(ordered_dicts_are_dicts),
        cmocka_unit_test(forbidden_names_are_refused_and_named),
        cmocka_unit_test(instructions_of_no_state_dict_are_refused),
        cmocka_unit_test(broken_pickles_are_refused),
        cmocka_unit_test(bombs_cost_no_more_than_their_bytes),
        cmocka_unit_test(memo_indices_are_counted_as_python_counts),
        cmocka_unit_test(memory_has_a_limit),
        cmocka_unit_test(mutated_pickles_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

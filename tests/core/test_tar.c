#include "tar.h"

#include "image.h"
#include "scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

/* ---- a writer of tars, honest or not ---- */

typedef struct archive {
    unsigned char bytes[1 << 16];
    size_t size;
} archive;

static unsigned char *header_of(archive *a, size_t at) {
    return a->bytes + at;
}

static void set_sum(unsigned char *h) {
    unsigned sum = 0;
    memset(h + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
}

/* A header alone; returns where it stands. */
static size_t add_header(archive *a, const char *name, char type, size_t size) {
    unsigned char *h = a->bytes + a->size;
    assert_true(a->size + 512 <= sizeof a->bytes);
    memset(h, 0, 512);
    memcpy(h, name, strnlen(name, 100));
    memcpy(h + 100, "0000644\0000000000\0000000000", 24);
    snprintf((char *)h + 124, 12, "%011o", (unsigned)size);
    memcpy(h + 136, "00000000000", 12);
    h[156] = (unsigned char)type;
    memcpy(h + 257, "ustar\00000", 8);
    set_sum(h);
    a->size += 512;
    return a->size - 512;
}

static size_t add(archive *a, const char *name, char type, const void *data, size_t size) {
    size_t at = add_header(a, name, type, size), padded = (size + 511) / 512 * 512;
    assert_true(a->size + padded <= sizeof a->bytes);
    memset(a->bytes + a->size, 0, padded);
    if (size)
        memcpy(a->bytes + a->size, data, size);
    a->size += padded;
    return at;
}

static size_t add_text(archive *a, const char *name, char type, const char *text) {
    return add(a, name, type, text, strlen(text));
}

static void add_end(archive *a) {
    memset(a->bytes + a->size, 0, 1024);
    a->size += 1024;
}

/* ---- what is expected ---- */

static ce_tar *open_good(const archive *a) {
    ce_tar *tar;
    ce_error err;
    if (ce_tar_open(&tar, scratch_write("good.tar", a->bytes, a->size), &err) < 0)
        fail_msg("%s", err.message);
    return tar;
}

static void expect_member(const ce_tar *tar, size_t i, const char *name, uint64_t offset,
                          uint64_t size) {
    assert_true(i < ce_tar_count(tar));
    assert_string_equal(ce_tar_at(tar, i)->name, name);
    assert_int_equal(ce_tar_at(tar, i)->offset, offset);
    assert_int_equal(ce_tar_at(tar, i)->size, size);
}

static void expect_one(const archive *a, const char *name, uint64_t offset, uint64_t size) {
    ce_tar *tar = open_good(a);
    assert_int_equal(ce_tar_count(tar), 1);
    expect_member(tar, 0, name, offset, size);
    ce_tar_free(tar);
}

static void expect_fault_in(const char *path, int code, const char *fault) {
    ce_tar *tar = (ce_tar *)&tar;
    ce_error err;
    char expected[1024];
    assert_non_null(path);
    assert_int_equal(ce_tar_open(&tar, path, &err), code);
    assert_null(tar);
    snprintf(expected, sizeof expected, "%s: %s", path, fault);
    assert_string_equal(err.message, expected);
    assert_int_equal(ce_tar_open(&tar, path, NULL), code);
}

static void expect_fault(const archive *a, int code, const char *fault) {
    expect_fault_in(scratch_write("bad.tar", a->bytes, a->size), code, fault);
}

/* A pax record; its length counts itself. */
static const char *record(const char *key, const char *value) {
    static char ring[4][4096];
    static unsigned next;
    char *out = ring[next++ % 4];
    size_t rest = strlen(key) + strlen(value) + 3, length = rest + 1;
    while (length != rest + (size_t)snprintf(NULL, 0, "%zu", length))
        length++;
    snprintf(out, sizeof ring[0], "%zu %s=%s\n", length, key, value);
    return out;
}

/* ---- sound archives ---- */

static void members_lie_where_they_are_said_to(void **state) {
    (void)state;
    archive a = {0};
    add_text(&a, "./a.cls", '0', "3");
    add_header(&a, "dir/", '5', 0);
    add_text(&a, "dir/b.txt", '\0', "two words");
    add_text(&a, "././empty", '0', "");
    add(&a, "c", '7', a.bytes, 513);
    add_end(&a);
    ce_tar *tar = open_good(&a);
    assert_int_equal(ce_tar_count(tar), 4);
    expect_member(tar, 0, "a.cls", 512, 1);
    expect_member(tar, 1, "dir/b.txt", 2048, 9);
    expect_member(tar, 2, "empty", 3072, 0);
    expect_member(tar, 3, "c", 3584, 513);
    ce_tar_free(tar);
    ce_tar_free(NULL);
}

static void ustar_has_a_prefix_and_others_have_none(void **state) {
    (void)state;
    archive a = {0};
    unsigned char *h = header_of(&a, add_text(&a, "x.png", '0', "1"));
    memcpy(h + 345, "some/where", 10);
    set_sum(h);
    add_end(&a);
    expect_one(&a, "some/where/x.png", 512, 1);
    memcpy(h + 257, "ustar  ", 8); /* GNU: times are kept there */
    set_sum(h);
    expect_one(&a, "x.png", 512, 1);
    memset(h + 257, 0, 8); /* v7 */
    set_sum(h);
    expect_one(&a, "x.png", 512, 1);
}

static void names_fill_their_fields(void **state) {
    (void)state;
    archive a = {0};
    char name[100 + 155 + 2];
    memset(name, 'n', sizeof name);
    unsigned char *h = header_of(&a, add_text(&a, name, '0', "1"));
    memset(h, 'n', 100);
    memset(h + 345, 'n', 155);
    set_sum(h);
    add_end(&a);
    name[155] = '/';
    name[256] = '\0';
    expect_one(&a, name, 512, 1);
}

static void gnu_long_names_are_read(void **state) {
    (void)state;
    archive a = {0};
    char name[301];
    memset(name, 'l', 300);
    name[300] = '\0';
    add(&a, "././@LongLink", 'L', name, 301);
    add_text(&a, name, '0', "1");
    add_text(&a, "././@LongLink", 'K', "where/it/leads");
    add_text(&a, "short", '0', "2");
    add_end(&a);
    ce_tar *tar = open_good(&a);
    assert_int_equal(ce_tar_count(tar), 2);
    expect_member(tar, 0, name, 1536, 1);
    expect_member(tar, 1, "short", 3584, 1);
    ce_tar_free(tar);
}

static void sizes_may_be_in_base_256(void **state) {
    (void)state;
    archive a = {0};
    unsigned char *h = header_of(&a, add_text(&a, "x", '0', "1234567"));
    memcpy(h + 124, "\x80\0\0\0\0\0\0\0\0\0\0\7", 12);
    set_sum(h);
    add_end(&a);
    expect_one(&a, "x", 512, 7);
}

static void pax_headers_rule_the_next_member(void **state) {
    (void)state;
    archive a = {0};
    char records[512];
    snprintf(records, sizeof records, "%s%s%s%s", record("mtime", "1700000000.25"),
             record("path", "d\xc3\xa9/long name.png"), record("size", "3"),
             record("comment", "a=b\nc"));
    add_text(&a, "PaxHeader/x", 'x', records);
    unsigned char *h = header_of(&a, add_text(&a, "short", '0', "abc"));
    memcpy(h + 124, "00000000000", 12); /* too large for octal digits, it might have been */
    set_sum(h);
    add_text(&a, "y", '0', "1");
    add_end(&a);
    ce_tar *tar = open_good(&a);
    assert_int_equal(ce_tar_count(tar), 2);
    expect_member(tar, 0, "d\xc3\xa9/long name.png", 1536, 3);
    expect_member(tar, 1, "y", 2560, 1);
    ce_tar_free(tar);
}

static void global_pax_headers_rule_all_that_follow(void **state) {
    (void)state;
    archive a = {0};
    add_text(&a, "x", '0', "abc");
    add_text(&a, "pax_global_header", 'g', record("size", "2"));
    add_text(&a, "y", '0', "ab");
    add_text(&a, "PaxHeader/z", 'x', record("size", "1"));
    add_text(&a, "z", '0', "a");
    add_text(&a, "pax_global_header", 'g', record("size", ""));
    add_text(&a, "last", '0', "abcd");
    add_end(&a);
    ce_tar *tar = open_good(&a);
    assert_int_equal(ce_tar_count(tar), 4);
    assert_int_equal(ce_tar_at(tar, 1)->size, 2);
    assert_int_equal(ce_tar_at(tar, 2)->size, 1);
    assert_int_equal(ce_tar_at(tar, 3)->size, 4);
    ce_tar_free(tar);
}

static void old_headers_have_signed_sums_and_blanks(void **state) {
    (void)state;
    archive a = {0};
    unsigned char *h = header_of(&a, add_text(&a, "\xe4", '0', "1"));
    memcpy(h + 124, "         1 ", 12);
    set_sum(h);
    unsigned sum = (unsigned)strtoul((char *)h + 148, NULL, 8) - 256;
    snprintf((char *)h + 148, 8, "%6o", sum);
    add_end(&a);
    expect_one(&a, "\xe4", 512, 1);
}

static void an_empty_archive_has_no_members(void **state) {
    (void)state;
    archive a = {0};
    add_end(&a);
    ce_tar *tar = open_good(&a);
    assert_int_equal(ce_tar_count(tar), 0);
    ce_tar_free(tar);
}

static void padding_may_follow_the_end(void **state) {
    (void)state;
    archive a = {0};
    add_text(&a, "x", '0', "1");
    for (int i = 0; i < 20; i++)
        add_end(&a);
    expect_one(&a, "x", 512, 1);
    memcpy(a.bytes + a.size - 300, "no header", 9); /* what old disks left in a record */
    expect_one(&a, "x", 512, 1);
    a.size = 1024 + 512 + 100; /* one block of zeros, and a torn one */
    expect_one(&a, "x", 512, 1);
}

/* ---- lies ---- */

static void links_and_devices_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        char type;
        const char *kind;
    } cases[] = {{'1', "a hard link (tar --hard-dereference stores the file)"},
                 {'2', "a symbolic link (tar --dereference stores the file)"},
                 {'3', "a device or a FIFO"},
                 {'6', "a device or a FIFO"},
                 {'S', "a sparse file (tar without --sparse stores it whole)"},
                 {'M', "a part of an archive in several volumes"},
                 {'D', "of a type not known here (0x44)"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        archive a = {0};
        char fault[128];
        add_text(&a, "ok", '0', "1");
        add_header(&a, "s1.png", cases[i].type, 0);
        add_end(&a);
        snprintf(fault, sizeof fault, "member 's1.png' is %s", cases[i].kind);
        expect_fault(&a, CE_EUNSUPPORTED, fault);
    }
}

static void sparse_members_of_pax_are_refused_by_their_own_name(void **state) {
    (void)state;
    archive a = {0};
    char records[256];
    snprintf(records, sizeof records, "%s%s%s", record("GNU.sparse.major", "1"),
             record("GNU.sparse.name", "hole.png"),
             record("GNU.sparse.realsize", "999999"));
    add_text(&a, "PaxHeaders/x", 'x', records);
    add_text(&a, "GNUSparseFile.1/hole.png", '0', "0\n");
    add_end(&a);
    expect_fault(
        &a, CE_EUNSUPPORTED,
        "member 'hole.png' is a sparse file (tar without --sparse stores it whole)");
}

static void names_that_lead_out_are_refused(void **state) {
    (void)state;
    static const char *const names[] = {"/etc/passwd", "../x", "a/../../x",
                                        "..",          "a/..", "./../x"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        archive a = {0};
        char fault[128];
        add_text(&a, names[i], '0', "1");
        add_end(&a);
        snprintf(fault, sizeof fault, "member '%s': %s", names[i],
                 names[i][0] == '/' ? "an absolute name" : "a name with '..'");
        expect_fault(&a, CE_EFORMAT, fault);
    }
    archive good = {0};
    add_text(&good, "a../..b/...", '0', "1");
    add_end(&good);
    expect_one(&good, "a../..b/...", 512, 1);
}

static void names_of_extended_headers_are_checked_too(void **state) {
    (void)state;
    archive a = {0};
    add_text(&a, "PaxHeader/x", 'x', record("path", "/root/x"));
    add_text(&a, "x", '0', "1");
    add_end(&a);
    expect_fault(&a, CE_EFORMAT, "member '/root/x': an absolute name");
    archive nul = {0};
    add(&nul, "PaxHeader/x", 'x', "14 path=a\0bcd\n", 14);
    add_text(&nul, "x", '0', "1");
    add_end(&nul);
    expect_fault(&nul, CE_EFORMAT, "the name at byte 0 holds a NUL byte");
    archive none = {0};
    add_text(&none, "", '0', "1");
    add_end(&none);
    expect_fault(&none, CE_EFORMAT, "the member at byte 0 has no name");
}

static void a_name_longer_than_any_path_is_refused(void **state) {
    (void)state;
    static char name[9001];
    archive a = {0};
    ce_tar *tar;
    ce_error err;
    memset(name, 'n', 9000);
    add(&a, "././@LongLink", 'L', name, 9001);
    add_text(&a, "n", '0', "1");
    add_end(&a);
    const char *path = scratch_write("bad.tar", a.bytes, a.size);
    assert_int_equal(ce_tar_open(&tar, path, &err), CE_EFORMAT);
    assert_non_null(strstr(err.message, "': a name of 9000 bytes"));
}

static void a_file_that_ends_early_is_truncated(void **state) {
    (void)state;
    archive a = {0};
    add_text(&a, "first", '0', "1");
    add(&a, "second", '0', a.bytes, 700);
    add_end(&a);
    size_t whole = a.size;
    a.size = 1024; /* between two members */
    expect_fault(
        &a, CE_EFORMAT,
        "truncated: no end of the archive (blocks of zeros) behind member 'first'");
    a.size = 1024 + 512 + 699;
    expect_fault(
        &a, CE_EFORMAT,
        "truncated: member 'second' has 700 bytes from byte 1536 on, where the file "
        "ends at 2235");
    for (a.size = 1; a.size <= whole - 1024; a.size += 37) {
        ce_tar *tar;
        const char *path = scratch_write("cut.tar", a.bytes, a.size);
        assert_int_equal(ce_tar_open(&tar, path, NULL), CE_EFORMAT);
    }
}

static void a_size_that_lies_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *size, *fault;
    } cases[] = {{"77777777777",
                  "truncated: member 'x' has 8589934591 bytes from byte 512 on, where the "
                  "file ends at 2048"},
                 {"777777777777",
                  "truncated: member 'x' has 68719476735 bytes from byte 512 on, where "
                  "the file ends at 2048"},
                 {"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
                  "truncated: member 'x' has 9223372036854775807 bytes from byte 512 on, "
                  "where the file "
                  "ends at 2048"},
                 {"\x80\0\0\0\x80\0\0\0\0\0\0\0", "member 'x': its size is no number"},
                 {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                  "member 'x': its size is no number"},
                 {"-0000000001", "member 'x': its size is no number"},
                 {"00000000008", "member 'x': its size is no number"},
                 {"0x000000001", "member 'x': its size is no number"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        archive a = {0};
        unsigned char *h = header_of(&a, add_text(&a, "x", '0', "1"));
        memcpy(h + 124, cases[i].size, 12);
        set_sum(h);
        add_end(&a);
        expect_fault(&a, CE_EFORMAT, cases[i].fault);
    }
}

static void a_broken_header_is_noticed(void **state) {
    (void)state;
    archive a = {0};
    add_text(&a, "x", '0', "1");
    unsigned char *h = header_of(&a, add_text(&a, "y", '0', "1"));
    add_end(&a);
    h[0] ^= 1;
    expect_fault(&a, CE_EFORMAT, "the header at byte 1024 is broken (its sum is wrong)");
    memset(h, 0, 512); /* lost: zeros where more members follow */
    add_text(&a, "z", '0', "1");
    expect_fault(&a, CE_EFORMAT, "a block of zeros at byte 1024, amid the archive");
}

static void what_is_no_tar_is_named(void **state) {
    (void)state;
    char page[1024] = "<!DOCTYPE html>";
    expect_fault_in(scratch_write("a.html", page, 1024), CE_EFORMAT, "not a tar file");
    expect_fault_in(scratch_write("short", page, 100), CE_EFORMAT, "not a tar file");
    expect_fault_in(scratch_write("nothing", page, 0), CE_EFORMAT, "empty file");
    memcpy(page, "\x1f\x8b\x08", 4);
    expect_fault_in(scratch_write("a.tgz", page, 1024), CE_EUNSUPPORTED,
                    "compressed (gzip); only plain tar files are read");
    expect_fault_in(scratch_path("absent"), CE_EIO, "No such file or directory");
    expect_fault_in(scratch_path(""), CE_EIO, "is a directory");
}

static void archives_glued_together_are_refused(void **state) {
    (void)state;
    archive a = {0};
    add_text(&a, "x", '0', "1");
    for (int i = 0; i < 9; i++)
        add_end(&a);
    add_text(&a, "y", '0', "1");
    add_end(&a);
    expect_fault(&a, CE_EFORMAT, "another archive follows the end, at byte 10240");
}

static void broken_extended_headers_are_refused(void **state) {
    (void)state;
    static const char *const records[] = {
        "path=x\n",     "9 path=x",      "99 path=x\n",
        "0 path=x\n",   "11 path=x\n",   "9 path x\n",
        "8 path=x\n",   "4 =\n",         " path=x\n",
        "11 size=-1\n", "12 size=0x1\n", "28 size=9223372036854775808\n",
        "3 \n",         "-9 path=x\n",   "99999999999999999999999 path=x\n"};
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        archive a = {0};
        add_text(&a, "PaxHeader/x", 'x', records[i]);
        add_text(&a, "x", '0', "1");
        add_end(&a);
        expect_fault(&a, CE_EFORMAT, "the pax header at byte 0 is broken");
    }
    archive large = {0};
    unsigned char *h = header_of(&large, add_text(&large, "@", 'L', ""));
    memcpy(h + 124, "00004000001", 12);
    set_sum(h);
    add_end(&large);
    const char *path = scratch_write("bad.tar", large.bytes, large.size);
    assert_int_equal(truncate(path, 1 << 22), 0);
    expect_fault_in(path, CE_EFORMAT,
                    "an extended header of 1048577 bytes at byte 0 (the limit is 1048576)");
    archive alone = {0};
    add_text(&alone, "PaxHeader/x", 'x', record("path", "x"));
    add_end(&alone);
    expect_fault(&alone, CE_EFORMAT, "an extended header at the end has no member");
}

static void endless_files_end_soon(void **state) {
    (void)state;
    const char *path = scratch_path("endless.tar");
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)1 << 42), 0);
    close(fd);
    double start = scratch_seconds();
    ce_tar *tar;
    assert_int_equal(ce_tar_open(&tar, path, NULL), 0);
    assert_int_equal(ce_tar_count(tar), 0);
    ce_tar_free(tar);

    archive a = {0}; /* a member as long as the hole, whose bytes are never read */
    unsigned char *h = header_of(&a, add_text(&a, "x", '0', ""));
    memcpy(h + 124, "\x80\0\0\0\0\0\x03\xff\xff\xff\xf0\0", 12);
    set_sum(h);
    path = scratch_write("hole.tar", a.bytes, a.size);
    assert_int_equal(truncate(path, (off_t)1 << 42), 0);
    assert_int_equal(ce_tar_open(&tar, path, NULL), 0);
    expect_member(tar, 0, "x", 512, ((uint64_t)1 << 42) - 4096);
    ce_tar_free(tar);
    ce_image image;
    ce_error err;
    assert_int_equal(ce_image_load_part(&image, path, 512, ((uint64_t)1 << 42) - 4096,
                                        CE_ALPHA_DROP, &err),
                     CE_EFORMAT);
    assert_non_null(
        strstr(err.message, "hole.tar (4398046507008 bytes at 512): too large"));
    assert_true(scratch_seconds() - start < 2);
}

/* Whatever is done to one byte or to many, an answer comes, and all of it lies in the file.
 */
static void damage_is_survived(void **state) {
    (void)state;
    archive whole = {0};
    add_text(&whole, "pax_global_header", 'g', record("comment", "none"));
    add_text(&whole, "PaxHeader/x", 'x', record("path", "a/b"));
    add_text(&whole, "x", '0', "abc");
    add_text(&whole, "././@LongLink", 'L', "long");
    add_text(&whole, "y", '0', "1");
    add_end(&whole);
    uint32_t seed = 1;
    for (int round = 0; round < 3000; round++) {
        archive a = whole;
        for (int n = 0; n < 1 + round % 3; n++) {
            seed = seed * 1664525 + 1013904223;
            a.bytes[(seed >> 8) % a.size] = (unsigned char)(seed >> 24);
        }
        for (size_t at = 0; at + 512 <= a.size; at += 512) /* the damage must be believed */
            if (a.bytes[at + 257] == 'u')
                set_sum(a.bytes + at);
        ce_tar *tar;
        const char *path = scratch_write("damaged.tar", a.bytes, a.size);
        if (ce_tar_open(&tar, path, NULL) < 0)
            continue;
        for (size_t i = 0; i < ce_tar_count(tar); i++) {
            const ce_tar_member *m = ce_tar_at(tar, i);
            assert_true(m->offset <= a.size && m->size <= a.size - m->offset);
        }
        ce_tar_free(tar);
    }
}

/* ---- GNU tar's own ---- */

static bool shell(const char *format, ...) {
    char command[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command) == 0;
}

static void archives_of_gnu_tar_are_read(void **state) {
    (void)state;
    static const char *const formats[] = {"v7", "oldgnu", "gnu", "ustar", "pax"};
    const char *d = scratch_directory;
    if (!shell("tar --version 2>&1 | grep -q GNU")) {
        print_message("skipped: GNU tar is not here\n");
        skip();
    }
    char deep[200];
    memset(deep, 'd', sizeof deep);
    for (size_t i = 49; i < sizeof deep; i += 50)
        deep[i] = '/';
    deep[sizeof deep - 1] = '\0';
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        bool is_v7 = f == 0;
        const char *name = is_v7 ? "in/short" : deep;
        assert_true(shell("cd '%s' && rm -rf tree && mkdir -p \"tree/$(dirname '%s')\" && "
                          "echo one >tree/1.txt && echo second >'tree/%s'",
                          d, name, name));
        assert_true(shell("cd '%s/tree' && tar --format=%s --sort=name -cf ../made.tar .",
                          d, formats[f]));
        ce_tar *tar;
        ce_error err;
        if (ce_tar_open(&tar, scratch_path("made.tar"), &err) < 0)
            fail_msg("%s: %s", formats[f], err.message);
        assert_int_equal(ce_tar_count(tar), 2);
        assert_string_equal(ce_tar_at(tar, 0)->name, "1.txt");
        assert_string_equal(ce_tar_at(tar, 1)->name, name);
        assert_true(shell("tail -c +%d '%s/made.tar' | head -c %d | cmp -s - '%s/tree/%s'",
                          (int)ce_tar_at(tar, 1)->offset + 1, d,
                          (int)ce_tar_at(tar, 1)->size, d, name));
        ce_tar_free(tar);
    }
}

static void gnu_tars_sparse_members_are_refused(void **state) {
    (void)state;
    static const char *const formats[] = {
        "--format=gnu", "--format=pax --sparse-version=0.0",
        "--format=pax --sparse-version=0.1", "--format=pax --sparse-version=1.0"};
    const char *d = scratch_directory;
    if (!shell("tar --version 2>&1 | grep -q GNU") ||
        !shell("cd '%s' && truncate -s 1M hole.png && echo x >>hole.png", d)) {
        print_message("skipped: GNU tar is not here\n");
        skip();
    }
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        assert_true(shell("cd '%s' && tar -S %s -cf sparse.tar hole.png", d, formats[f]));
        expect_fault_in(
            scratch_path("sparse.tar"), CE_EUNSUPPORTED,
            "member 'hole.png' is a sparse file (tar without --sparse stores it whole)");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_lie_where_they_are_said_to),
        cmocka_unit_test(ustar_has_a_prefix_and_others_have_none),
        cmocka_unit_test(names_fill_their_fields),
        cmocka_unit_test(gnu_long_names_are_read),
        cmocka_unit_test(sizes_may_be_in_base_256),
        cmocka_unit_test(pax_headers_rule_the_next_member),
        cmocka_unit_test(global_pax_headers_rule_all_that_follow),
        cmocka_unit_test(old_headers_have_signed_sums_and_blanks),
        cmocka_unit_test(an_empty_archive_has_no_members),
        cmocka_unit_test(padding_may_follow_the_end),
        cmocka_unit_test(links_and_devices_are_refused_by_name),
        cmocka_unit_test(sparse_members_of_pax_are_refused_by_their_own_name),
        cmocka_unit_test(names_that_lead_out_are_refused),
        cmocka_unit_test(names_of_extended_headers_are_checked_too),
        cmocka_unit_test(a_name_longer_than_any_path_is_refused),
        cmocka_unit_test(a_file_that_ends_early_is_truncated),
        cmocka_unit_test(a_size_that_lies_is_refused),
        cmocka_unit_test(a_broken_header_is_noticed),
        cmocka_unit_test(what_is_no_tar_is_named),
        cmocka_unit_test(archives_glued_together_are_refused),
        cmocka_unit_test(broken_extended_headers_are_refused),
        cmocka_unit_test(endless_files_end_soon),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(archives_of_gnu_tar_are_read),
        cmocka_unit_test(gnu_tars_sparse_members_are_refused),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

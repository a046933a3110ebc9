#include "open_clip_archs.h"

#include "json.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

extern const char ce_open_clip_archs[];     /* not NUL-terminated */
extern const char ce_open_clip_archs_end[]; /* one past the last byte */

/* CE_DATA_DIR comes from the build; the assembler reads the file. */
__asm__(".section .rodata\n"
        ".global ce_open_clip_archs\n"
        ".global ce_open_clip_archs_end\n"
        "ce_open_clip_archs:\n"
        ".incbin \"" CE_DATA_DIR "/open_clip_archs.json\"\n"
        "ce_open_clip_archs_end:\n"
        ".byte 0\n"
        ".previous\n");

enum { MAX_NAME = 63 };

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static char folded(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Levenshtein's distance, whatever the case; both at most MAX_NAME long. */
static size_t distance(const char *a, const char *b) {
    size_t row[MAX_NAME + 1], n = strlen(b);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t changed = diagonal + (folded(a[i]) != folded(b[j]));
            diagonal = row[j + 1];
            row[j + 1] = least(changed, 1 + least(row[j], row[j + 1]));
        }
    }
    return row[n];
}

static int unknown_name(const json_t *all, const char *name, ce_error *err) {
    const char *key, *nearest = NULL;
    json_t *value;
    size_t best = strlen(name) / 3 + 1, known = 0, implemented = 0;
    json_object_foreach((json_t *)(uintptr_t)all, key, value) {
        if (!*key || strlen(key) > MAX_NAME)
            continue;
        known++;
        implemented += json_is_object(value);
        size_t d = strlen(name) > MAX_NAME ? SIZE_MAX : distance(name, key);
        if (d < best) {
            best = d;
            nearest = key;
        }
    }
    if (nearest)
        return ce_fail(err, CE_EINVAL,
                       "open_clip knows no architecture \"%s\"; did you mean \"%s\"?", name,
                       nearest);
    return ce_fail(err, CE_EINVAL,
                   "open_clip knows no architecture \"%s\" among its %zu, of which %zu are "
                   "implemented (ViT-B-32, ViT-B-32-quickgelu, RN50, ...); \"openai\" and "
                   "the path of a model configuration (*.json) are understood too",
                   name, known, implemented);
}

int ce_open_clip_arch(json_t **out, const char *name, ce_error *err) {
    json_t *all;
    *out = NULL;
    int result = ce_json_parse(&all, ce_open_clip_archs,
                               (size_t)(ce_open_clip_archs_end - ce_open_clip_archs),
                               "open_clip_archs.json", err);
    if (result < 0)
        return result;
    json_t *model = *name ? json_object_get(all, name) : NULL;
    if (json_is_string(model))
        result = ce_fail(err, CE_EUNSUPPORTED,
                         "architecture \"%s\" has %s, which is not implemented", name,
                         json_string_value(model));
    else if (!model)
        result = unknown_name(all, name, err);
    else
        *out = json_incref(model);
    json_decref(all);
    return result;
}

bool ce_open_clip_arch_of_openai(char *out, size_t size, const char *name) {
    static const struct {
        const char *theirs, *ours;
    } names[] = {{"ViT-B/32", "ViT-B-32"},
                 {"ViT-B/16", "ViT-B-16"},
                 {"ViT-L/14", "ViT-L-14"},
                 {"ViT-L/14@336px", "ViT-L-14-336"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i].theirs) == 0) {
            snprintf(out, size, "%s-quickgelu", names[i].ours);
            return true;
        }
    return false;
}

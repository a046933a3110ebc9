/* open_clip's recipes for what goes into the towers: preprocess_cfg (transform.py,
 * PreprocessCfg) and the tokenizer that text_cfg names (factory.py, get_tokenizer). */
#include "config_internal.h"

#include <stdio.h>
#include <string.h>

static int read_modes(ce_preprocess *p, const json_t *object, const char *name,
                      ce_error *err) {
    const char *mode = "shortest", *interpolation = "bicubic", *channels = "RGB";
    int result = ce_json_string(object, "resize_mode", &mode, name, err);
    if (result == CE_OK)
        result = ce_json_string(object, "interpolation", &interpolation, name, err);
    if (result == CE_OK)
        result = ce_json_string(object, "mode", &channels, name, err);
    if (result < 0)
        return result;
    if (strcmp(mode, "shortest") == 0)
        p->resize_mode = CE_RESIZE_SHORTEST;
    else if (strcmp(mode, "squash") == 0)
        p->resize_mode = CE_RESIZE_SQUASH;
    else if (strcmp(mode, "longest") == 0)
        p->resize_mode = CE_RESIZE_LONGEST;
    else
        return ce_fail(err, CE_EUNSUPPORTED, "%s: resize_mode \"%s\" is not implemented",
                       name, mode);
    /* "random" concerns training; the library evaluates it as bicubic */
    if (strcmp(interpolation, "bilinear") == 0)
        p->interpolation = CE_BILINEAR;
    else if (strcmp(interpolation, "bicubic") == 0 || strcmp(interpolation, "random") == 0)
        p->interpolation = CE_BICUBIC;
    else
        return ce_fail(err, CE_EUNSUPPORTED, "%s: interpolation \"%s\" is not implemented",
                       name, interpolation);
    if (strcmp(channels, "RGB") != 0)
        return ce_fail(err, CE_EUNSUPPORTED, "%s: mode \"%s\" is not implemented", name,
                       channels);
    if (p->resize_mode != CE_RESIZE_SQUASH && p->width != p->height)
        return ce_fail(
            err, CE_EUNSUPPORTED,
            "%s: resize_mode \"%s\" to %d x %d is not implemented (only to squares)", name,
            mode, p->width, p->height);
    return CE_OK;
}

/* The library takes the tower's size, whatever "size" says. */
static void note_size(const json_t *object, const ce_preprocess *p, const char *name,
                      ce_notes *notes) {
    const json_t *size = json_object_get(object, "size"), *width = size, *height = size;
    if (json_is_array(size)) {
        height = json_array_get(size, 0);
        width = json_array_get(size, json_array_size(size) - 1);
    }
    if (json_is_number(width) && json_is_number(height) &&
        (json_number_value(width) != p->width || json_number_value(height) != p->height))
        ce_notes_add(notes, CE_WARNING, "image-size-mismatch",
                     "%s: preprocess_cfg.size is %g x %g; the image tower's %d x %d is "
                     "taken, as open_clip does",
                     name, json_number_value(width), json_number_value(height), p->width,
                     p->height);
}

int ce_config_read_preprocess_cfg(ce_config *out, const json_t *object, const char *name,
                                  ce_notes *notes, ce_error *err) {
    ce_preprocess *p = &out->preprocess;
    *p = (ce_preprocess){.resize_width = out->vision.image_width,
                         .resize_height = out->vision.image_height,
                         .width = out->vision.image_width,
                         .height = out->vision.image_height,
                         .crop_rounding = CE_CROP_HALF_EVEN,
                         .rescale = 1.0 / 255,
                         .mean = CE_CLIP_MEAN,
                         .std = CE_CLIP_STD};
    int result = ce_config_read_channels(object, "mean", p->mean, name, err);
    if (result == CE_OK)
        result = ce_config_read_channels(object, "std", p->std, name, err);
    if (result == CE_OK)
        result = ce_json_int(object, "fill_color", &p->fill, 0, 255, name, err);
    if (result == CE_OK)
        result = read_modes(p, object, name, err);
    if (result == CE_OK)
        note_size(object, p, name, notes);
    return result;
}

/* "CLIPTokenizerFast" -> the family; false: none that we have. */
static bool kind_of_class(const char *class, ce_tokenizer_kind *kind) {
    static const struct {
        const char *class;
        ce_tokenizer_kind kind;
    } known[] = {{"CLIPTokenizer", CE_TOKENIZER_BPE},
                 {"BertTokenizer", CE_TOKENIZER_WORDPIECE},
                 {"SiglipTokenizer", CE_TOKENIZER_UNIGRAM},
                 {"T5Tokenizer", CE_TOKENIZER_UNIGRAM}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i].class);
        if (strncmp(class, known[i].class, n) == 0 &&
            (!class[n] || strcmp(class + n, "Fast") == 0)) {
            *kind = known[i].kind;
            return true;
        }
    }
    return false;
}

/* What tokenizer_config.json calls its tokenizer; `*found` stays where it names none. */
static int kind_by_class(const ce_checkpoint *files, ce_tokenizer_kind *kind, bool *found,
                         ce_error *err) {
    char name[PATH_MAX];
    json_t *root;
    const char *class = NULL;
    if (!ce_config_lies_beside(files, "tokenizer_config.json"))
        return CE_OK;
    snprintf(name, sizeof name, "%.*s/tokenizer_config.json", PATH_MAX - 64,
             files->directory);
    int result = ce_json_load(&root, name, err);
    if (result < 0)
        return result;
    result = ce_json_string(root, "tokenizer_class", &class, name, err);
    if (result == CE_OK && class) {
        *found = kind_of_class(class, kind);
        if (!*found)
            result = ce_fail(err, CE_EUNSUPPORTED,
                             "%s: tokenizer_class \"%s\" is not implemented", name, class);
    }
    json_decref(root);
    return result;
}

/* hf_tokenizer_name: open_clip hands the directory to transformers' AutoTokenizer. */
static int find_kind(ce_config *out, const char *wanted, const ce_checkpoint *files,
                     const char *name, ce_error *err) {
    bool found = false;
    int result = kind_by_class(files, &out->tokenizer, &found, err);
    if (result < 0 || found)
        return result;
    if (ce_config_lies_beside(files, "spiece.model"))
        out->tokenizer = CE_TOKENIZER_UNIGRAM;
    else if (ce_config_lies_beside(files, "vocab.txt"))
        out->tokenizer = CE_TOKENIZER_WORDPIECE;
    else if (ce_config_lies_beside(files, "merges.txt") ||
             strncmp(wanted, "openai/clip-vit-", 16) == 0) /* whose merges are built in */
        out->tokenizer = CE_TOKENIZER_BPE;
    else
        return ce_fail(
            err, CE_EFORMAT,
            "%s: text_cfg.hf_tokenizer_name is \"%.200s\", and its files are not "
            "beside the weights: tokenizer_config.json with tokenizer.json, "
            "vocab.txt, spiece.model, or vocab.json and merges.txt",
            name, wanted);
    return CE_OK;
}

static bool clean_of_name(const char *name, ce_clean *clean) {
    static const char *const names[] = {"", "whitespace", "lower", "canonicalize"};
    for (size_t i = 1; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *clean = (ce_clean)i;
            return true;
        }
    return false;
}

/* The library's keyword arguments: a text's cleaning, and whether the end token is blank.
 */
static int read_keywords(ce_config *out, const json_t *text_cfg, const char **clean,
                         const char *name, ce_error *err) {
    const json_t *kwargs = NULL;
    const char *key;
    json_t *value;
    int result = ce_json_object(text_cfg, "tokenizer_kwargs", &kwargs, name, err);
    if (result == CE_OK)
        result = ce_json_string(kwargs, "clean", clean, name, err);
    if (result == CE_OK)
        result = ce_json_bool(kwargs, "strip_sep_token", &out->blank_end, name, err);
    if (result < 0)
        return result;
    json_object_foreach((json_t *)(uintptr_t)kwargs, key, value) {
        if (json_is_null(value) || json_is_false(value) || strcmp(key, "clean") == 0 ||
            strcmp(key, "strip_sep_token") == 0)
            continue;
        char shown[80] = "";
        json_dumpb(value, shown, sizeof shown - 1, JSON_ENCODE_ANY | JSON_COMPACT);
        return ce_fail(err, CE_EUNSUPPORTED,
                       "%s: text_cfg.tokenizer_kwargs.%s = %s is not implemented", name,
                       key, shown);
    }
    return CE_OK;
}

/* open_clip's own tokenizer cleans by itself, and here only as it does by default. */
static int check_simple(const ce_config *c, const char *clean, const char *name,
                        ce_error *err) {
    if (clean && strcmp(clean, "lower") != 0)
        return ce_fail(err, CE_EUNSUPPORTED,
                       "%s: text_cfg.tokenizer_kwargs.clean = \"%.40s\" is not implemented "
                       "for open_clip's own tokenizer (\"lower\" is)",
                       name, clean);
    if (c->blank_end)
        return ce_fail(err, CE_EFORMAT,
                       "%s: text_cfg.tokenizer_kwargs.strip_sep_token is for transformers' "
                       "tokenizers, and no hf_tokenizer_name is given",
                       name);
    return CE_OK;
}

int ce_config_read_tokenizer(ce_config *out, const json_t *text_cfg,
                             const ce_checkpoint *files, const char *name, ce_error *err) {
    const char *wanted = NULL, *mode = NULL, *clean = NULL;
    out->tokenizer = CE_TOKENIZER_BPE;
    int result = ce_json_string(text_cfg, "hf_tokenizer_name", &wanted, name, err);
    bool simple = !wanted || !*wanted;
    if (result == CE_OK)
        result = ce_json_string(text_cfg, "tokenizer_mode", &mode, name, err);
    if (result == CE_OK && mode && *mode && !simple)
        result =
            ce_fail(err, CE_EUNSUPPORTED,
                    "%s: text_cfg.tokenizer_mode \"%s\" is not implemented", name, mode);
    if (result == CE_OK)
        result = read_keywords(out, text_cfg, &clean, name, err);
    if (result < 0 || simple)
        return result < 0 ? result : check_simple(out, clean, name, err);
    out->style = CE_TEXT_HUGGING_FACE;
    if (!clean_of_name(clean ? clean : "whitespace", &out->clean))
        return ce_fail(err, CE_EUNSUPPORTED,
                       "%s: text_cfg.tokenizer_kwargs.clean = \"%.40s\" is not implemented",
                       name, clean);
    return find_kind(out, wanted, files, name, err);
}

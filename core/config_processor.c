/* transformers' recipe for pictures: CLIPImageProcessor, ChineseCLIPImageProcessor and
 * SiglipImageProcessor (5.23; absent values take their defaults). */
#include "config_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_siglip(ce_family family) {
    return family == CE_FAMILY_SIGLIP;
}

/* Whose defaults apply: what the file calls its processor, else the model's family. The
 * names end in ImageProcessor, ...Fast, ...Pil, or (before 4.25) FeatureExtractor. */
static int read_type(const json_t *root, ce_family *family, const char *name,
                     ce_error *err) {
    static const char *const keys[] = {"image_processor_type", "feature_extractor_type"};
    static const char *const ends[] = {"ImageProcessor", "ImageProcessorFast",
                                       "ImageProcessorPil", "FeatureExtractor"};
    static const char *const starts[] = {"CLIP", "ChineseCLIP", "Siglip"};
    const char *type = NULL, *key = NULL;
    int result = CE_OK;
    for (size_t i = 0; i < 2 && !type && result == CE_OK; i++)
        result = ce_json_string(root, key = keys[i], &type, name, err);
    if (result < 0 || !type)
        return result;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        for (size_t j = 0; j < sizeof ends / sizeof *ends; j++)
            if (strncmp(type, starts[i], strlen(starts[i])) == 0 &&
                strcmp(type + strlen(starts[i]), ends[j]) == 0) {
                *family = (ce_family)i;
                return CE_OK;
            }
    return ce_fail(err, CE_EUNSUPPORTED, "%s: %s \"%s\" is not implemented", name, key,
                   type);
}

/* A size is a number (old files), [height, width], {"height", "width"} or
 * {"shortest_edge"}; the library knows further forms. All 0: it is not there. */
typedef struct size_spec {
    int height, width, shortest, longest;
} size_spec;

static int read_size_list(const json_t *root, const char *key, size_spec *s,
                          const char *name, ce_error *err) {
    double sides[2];
    int result = ce_json_doubles(root, key, sides, 2, name, err);
    for (int i = 0; i < 2 && result == CE_OK; i++)
        if (!(sides[i] >= 1 && sides[i] <= CE_PREPROCESS_MAX_SIDE &&
              sides[i] == floor(sides[i])))
            result = ce_fail(err, CE_EFORMAT, "%s: \"%s\" is absurd", name, key);
    if (result == CE_OK) {
        s->height = (int)sides[0];
        s->width = (int)sides[1];
    }
    return result;
}

static int read_size(const json_t *root, const char *key, bool square, size_spec *s,
                     const char *name, ce_error *err) {
    const json_t *value = json_object_get(root, key);
    const int max = CE_PREPROCESS_MAX_SIDE;
    int result = CE_OK;
    if (!value || json_is_null(value))
        return CE_OK;
    if (json_is_array(value))
        return read_size_list(root, key, s, name, err);
    if (json_is_integer(value)) {
        result = ce_json_int(root, key, &s->shortest, 1, max, name, err);
        if (square) {
            s->height = s->width = s->shortest;
            s->shortest = 0;
        }
        return result;
    }
    if (!json_is_object(value))
        return ce_fail(err, CE_EFORMAT, "%s: \"%s\" is no size", name, key);
    result = ce_json_int(value, "height", &s->height, 1, max, name, err);
    if (result == CE_OK)
        result = ce_json_int(value, "width", &s->width, 1, max, name, err);
    if (result == CE_OK)
        result = ce_json_int(value, "shortest_edge", &s->shortest, 1, max, name, err);
    if (result == CE_OK)
        result = ce_json_int(value, "longest_edge", &s->longest, 1, max, name, err);
    if (result == CE_OK &&
        (s->longest || !s->height != !s->width || !s->height == !s->shortest))
        return ce_fail(err, CE_EUNSUPPORTED, "%s: \"%s\" of this form is not implemented",
                       name, key);
    return result;
}

/* A flag that is null is off, as in Python. */
static int read_flag(const json_t *root, const char *key, bool *out, const char *name,
                     ce_error *err) {
    if (json_is_null(json_object_get(root, key)))
        *out = false;
    return ce_json_bool(root, key, out, name, err);
}

static int read_resample(ce_preprocess *p, const json_t *root, const char *name,
                         ce_error *err) {
    static const char *const names[] = {"nearest", "lanczos",    "bilinear",
                                        "bicubic", "box filter", "hamming"};
    int resample = 3;
    int result = ce_json_int(root, "resample", &resample, 0, 5, name, err);
    if (result == CE_OK && resample != 2 && resample != 3)
        return ce_fail(err, CE_EUNSUPPORTED,
                       "%s: resample %d (%s) is not implemented (2, bilinear, and 3, "
                       "bicubic, are)",
                       name, resample, names[resample]);
    p->interpolation = resample == 2 ? CE_BILINEAR : CE_BICUBIC;
    return result;
}

static int read_resize(ce_preprocess *p, const json_t *root, ce_family family,
                       const char *name, ce_error *err) {
    bool resize = true, square = false;
    size_spec size = {0};
    int result = read_flag(root, "do_resize", &resize, name, err);
    if (result == CE_OK)
        result = read_flag(root, "default_to_square", &square, name, err);
    if (result == CE_OK)
        result = read_resample(p, root, name, err);
    if (result == CE_OK)
        result = read_size(root, "size", square, &size, name, err);
    if (result < 0)
        return result;
    if (!size.shortest && !size.height) {
        if (is_siglip(family))
            size.height = size.width = 224;
        else
            size.shortest = 224;
    }
    p->resize_mode = !resize       ? CE_RESIZE_NONE
                     : size.height ? CE_RESIZE_SQUASH
                                   : CE_RESIZE_SHORTEST;
    p->resize_width = size.height ? size.width : size.shortest;
    p->resize_height = size.height ? size.height : size.shortest;
    return CE_OK;
}

static int read_crop(ce_preprocess *p, const json_t *root, ce_family family,
                     const char *name, ce_error *err) {
    bool crop = !is_siglip(family);
    size_spec size = {0};
    int result = read_flag(root, "do_center_crop", &crop, name, err);
    if (result == CE_OK)
        result = read_size(root, "crop_size", true, &size, name, err);
    if (result < 0)
        return result;
    if (!crop && p->resize_mode != CE_RESIZE_SQUASH)
        return ce_fail(err, CE_EUNSUPPORTED,
                       "%s: do_center_crop is false and size names no height and width, so "
                       "pictures would differ in size",
                       name);
    if (crop && (size.shortest || (!size.height && is_siglip(family))))
        return ce_fail(err, CE_EFORMAT, "%s: \"crop_size\" must name height and width",
                       name);
    if (!size.height)
        size.height = size.width = 224;
    p->width = crop ? size.width : p->resize_width;
    p->height = crop ? size.height : p->resize_height;
    return CE_OK;
}

static int read_normalisation(ce_preprocess *p, const json_t *root, const char *name,
                              ce_error *err) {
    bool rescale = true, normalize = true;
    int result = read_flag(root, "do_rescale", &rescale, name, err);
    if (result == CE_OK)
        result = read_flag(root, "do_normalize", &normalize, name, err);
    if (result == CE_OK)
        result = ce_json_double(root, "rescale_factor", &p->rescale, name, err);
    if (result == CE_OK)
        result = ce_config_read_channels(root, "image_mean", p->mean, name, err);
    if (result == CE_OK)
        result = ce_config_read_channels(root, "image_std", p->std, name, err);
    if (result == CE_OK && !(p->rescale > 0 && p->rescale <= 1))
        result = ce_fail(err, CE_EFORMAT, "%s: \"rescale_factor\" %g is absurd", name,
                         p->rescale);
    if (!rescale)
        p->rescale = 1;
    for (int c = 0; c < 3 && !normalize; c++) {
        p->mean[c] = 0;
        p->std[c] = 1;
    }
    return result;
}

/* What else changes a picture. */
static int refuse_rest(const json_t *root, const char *name, ce_error *err) {
    static const char *const keys[] = {"use_square_size", "do_pad", "do_thumbnail",
                                       "do_flip_channel_order"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_is_true(json_object_get(root, keys[i])))
            return ce_fail(err, CE_EUNSUPPORTED, "%s: %s is not implemented", name,
                           keys[i]);
    return CE_OK;
}

/* Newer checkpoints keep the recipe in processor_config.json, as "image_processor"; where
 * that is there it goes before preprocessor_config.json. */
static int open_processor(json_t **root, const json_t **processor, char name[PATH_MAX],
                          const char *dir, ce_error *err) {
    snprintf(name, PATH_MAX, "%.*s/processor_config.json", PATH_MAX - 64, dir);
    if (access(name, F_OK) == 0) {
        int result = ce_json_load(root, name, err);
        if (result < 0)
            return result;
        result = ce_json_object(*root, "image_processor", processor, name, err);
        if (result == CE_OK && *processor)
            return CE_OK;
        json_decref(*root);
        if (result < 0)
            return result;
    }
    snprintf(name, PATH_MAX, "%.*s/preprocessor_config.json", PATH_MAX - 64, dir);
    if (access(name, F_OK) < 0)
        return ce_fail(
            err, CE_EFORMAT,
            "%s: no such file; it says how pictures become input, and transformers "
            "opens no model without it",
            name);
    int result = ce_json_load(root, name, err);
    *processor = *root;
    return result;
}

int ce_config_read_processor(ce_config *out, const ce_checkpoint *files, ce_error *err) {
    ce_preprocess *p = &out->preprocess;
    ce_family family = out->family;
    char name[PATH_MAX];
    json_t *root;
    const json_t *processor;
    int result = open_processor(&root, &processor, name, files->directory, err);
    if (result < 0)
        return result;
    *p = (ce_preprocess){.crop_rounding = CE_CROP_FLOOR,
                         .rescale = 1.0 / 255,
                         .mean = CE_CLIP_MEAN,
                         .std = CE_CLIP_STD};
    result = read_type(processor, &family, name, err);
    for (int c = 0; c < 3 && is_siglip(family); c++)
        p->mean[c] = p->std[c] = 0.5;
    if (result == CE_OK)
        result = refuse_rest(processor, name, err);
    if (result == CE_OK)
        result = read_resize(p, processor, family, name, err);
    if (result == CE_OK)
        result = read_crop(p, processor, family, name, err);
    if (result == CE_OK)
        result = read_normalisation(p, processor, name, err);
    snprintf(out->preprocess_source, sizeof out->preprocess_source, "%s%s",
             ce_config_shown(files, name), processor == root ? "" : ": image_processor");
    json_decref(root);
    return result;
}

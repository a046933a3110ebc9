#include "config_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *ce_activation_name(ce_activation a) {
    static const char *const names[] = {"none", "relu", "quick_gelu", "gelu", "gelu_tanh"};
    return names[a];
}

const char *ce_config_shown(const ce_checkpoint *files, const char *path) {
    size_t n = strlen(files->directory);
    return strncmp(path, files->directory, n) == 0 && path[n] == '/' ? path + n + 1 : path;
}

int ce_config_read_channels(const json_t *object, const char *key, double out[3],
                            const char *name, ce_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        return ce_json_doubles(object, key, out, 3, name, err);
    out[0] = out[1] = out[2] = json_number_value(value);
    return CE_OK;
}

static int check_vision(const ce_vision_config *v, const char *path, ce_error *err) {
    if (v->kind == CE_VISION_VIT &&
        (v->patch > v->image_width || v->patch > v->image_height))
        return ce_fail(err, CE_EFORMAT, "%s: patches of %d do not fit pictures of %d x %d",
                       path, v->patch, v->image_width, v->image_height);
    if (v->kind == CE_VISION_VIT && v->width % v->heads)
        return ce_fail(err, CE_EFORMAT, "%s: vision: %d heads do not divide a width of %d",
                       path, v->heads, v->width);
    if (v->kind == CE_VISION_RESNET && v->width * 32 % v->heads)
        return ce_fail(err, CE_EFORMAT, "%s: vision: %d heads do not divide a width of %d",
                       path, v->heads, v->width * 32);
    return CE_OK;
}

static int check_sizes(const ce_config *c, const char *path, ce_error *err) {
    const ce_vision_config *v = &c->vision;
    int result = check_vision(v, path, err);
    if (result < 0)
        return result;
    if (c->text.width % c->text.heads)
        return ce_fail(err, CE_EFORMAT, "%s: text: %d heads do not divide a width of %d",
                       path, c->text.heads, c->text.width);
    if (c->preprocess.width != v->image_width || c->preprocess.height != v->image_height)
        return ce_fail(
            err, CE_EFORMAT,
            "%s: preprocessing makes pictures of %d x %d, the tower takes %d x %d", path,
            c->preprocess.width, c->preprocess.height, v->image_width, v->image_height);
    return ce_preprocess_check(&c->preprocess, path, err);
}

/* A table of positions of another length: open_clip stretches it when it loads the file. */
static int check_table(const ce_weights *w, const char *name, size_t rows, const char *what,
                       ce_error *err) {
    const ce_tensor *t = ce_weights_find(w, name);
    if (!t || t->rank != 2 || t->shape[0] == rows)
        return CE_OK; /* the tower says the rest */
    return ce_fail(err, CE_EUNSUPPORTED,
                   "%s: tensor %s has %zu rows, but the configuration's %s takes %zu: "
                   "open_clip would interpolate, which is not implemented",
                   ce_weights_path(w), name, t->shape[0], what, rows);
}

static int check_positions(const ce_config *c, const ce_weights *w, ce_error *err) {
    const ce_vision_config *v = &c->vision;
    const ce_tensor *patches = ce_weights_find(w, "visual.conv1.weight");
    int result = CE_OK;
    if (v->kind == CE_VISION_VIT && patches && patches->rank == 4 &&
        patches->shape[3] == (size_t)v->patch) { /* else it is another architecture */
        size_t columns = (size_t)(v->image_width / v->patch);
        size_t rows = (size_t)(v->image_height / v->patch);
        result = check_table(w, "visual.positional_embedding", columns * rows + 1,
                             "image size", err);
    }
    const char *text = ce_weights_find(w, "positional_embedding")
                           ? "positional_embedding"
                           : "text.positional_embedding";
    if (result == CE_OK)
        result = check_table(w, text, (size_t)c->text.context, "context_length", err);
    return result;
}

/* open_clip's names are OpenAI's too, and its configurations differ in one word. */
static void note_openai_weights(const ce_config *c, const ce_weights *w, ce_notes *notes) {
    bool certain;
    const char *marks = ce_config_openai_marks(w, &certain);
    if (marks && c->text.activation != CE_QUICK_GELU)
        ce_notes_add(notes, CE_WARNING, "openai-names-gelu",
                     "%s: is %s, as OpenAI's weights are, whose activation is quick_gelu; "
                     "the configuration says %s",
                     ce_weights_path(w), marks, ce_activation_name(c->text.activation));
}

static bool is_normalised_by(const ce_preprocess *p, const double mean[3],
                             const double std[3]) {
    for (int i = 0; i < 3; i++) { /* as for bytes scaled to 0..1 */
        double scale = 255 * p->rescale;
        if (fabs(p->mean[i] / scale - mean[i]) > 2e-3 ||
            fabs(p->std[i] / scale - std[i]) > 2e-3)
            return false;
    }
    return true;
}

static void note_normalisation(const ce_config *c, const char *directory, ce_notes *notes) {
    static const double usual[][2][3] = {{CE_CLIP_MEAN, CE_CLIP_STD},
                                         {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}},
                                         {{0, 0, 0}, {1, 1, 1}}};
    static const double imagenet[2][3] = {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
    const ce_preprocess *p = &c->preprocess;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (is_normalised_by(p, usual[i][0], usual[i][1]))
            return;
    bool known = is_normalised_by(p, imagenet[0], imagenet[1]);
    ce_notes_add(notes, known ? CE_WARNING : CE_REMARK,
                 known ? "imagenet-normalisation" : "unusual-normalisation",
                 "%s: mean %.4g %.4g %.4g and std %.4g %.4g %.4g (%s) are %s, not CLIP's "
                 "(0.4815 0.4578 0.4082, 0.2686 0.2613 0.2758)",
                 directory, p->mean[0], p->mean[1], p->mean[2], p->std[0], p->std[1],
                 p->std[2], c->preprocess_source, known ? "ImageNet's" : "unusual");
}

bool ce_config_lies_beside(const ce_checkpoint *files, const char *name) {
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/%s", files->directory, name) <
               (int)sizeof path &&
           access(path, F_OK) == 0;
}

/* What lies beside the files that were chosen, and was not. */
static void note_choice(const ce_checkpoint *files, ce_notes *notes) {
    char own[PATH_MAX + 64];
    snprintf(own, sizeof own, "%s/open_clip_config.json", files->directory);
    bool is_own = strcmp(own, files->config) == 0;
    if ((*files->arch || files->format == CE_FORMAT_OPEN_CLIP) && !is_own &&
        ce_config_lies_beside(files, "open_clip_config.json"))
        ce_notes_add(notes, CE_WARNING, "arch-overrides",
                     "%s says what the model is, and --arch %s is taken in its place", own,
                     *files->arch ? files->arch : files->config);
    if (is_own && ce_config_lies_beside(files, "config.json") &&
        (ce_config_lies_beside(files, "model.safetensors") ||
         ce_config_lies_beside(files, "pytorch_model.bin")))
        ce_notes_add(notes, CE_REMARK, "two-formats",
                     "%s: open_clip's files are taken; Hugging Face's lie there too",
                     files->directory);
}

/* An architecture is of no use to weights that transformers has named. */
static int check_names(const ce_checkpoint *files, const ce_weights *w, ce_error *err) {
    if (files->format == CE_FORMAT_HUGGING_FACE ||
        !ce_weights_find(w, "vision_model.embeddings.patch_embedding.weight"))
        return CE_OK;
    return ce_fail(err, CE_EFORMAT,
                   "%s: its tensors are named as transformers names them: the config.json "
                   "that belongs beside it says what it is%s%s",
                   files->weights, *files->arch ? "; leave out --arch " : "", files->arch);
}

int ce_config_read(ce_config *out, const ce_checkpoint *files, const ce_weights *weights,
                   ce_notes *notes, ce_error *err) {
    const bool open_clip = files->format == CE_FORMAT_OPEN_CLIP;
    const char *path = *files->config ? files->config : files->weights;
    *out = (ce_config){0};
    int result = check_names(files, weights, err);
    if (result < 0)
        return result;
    note_choice(files, notes);
    result = files->format == CE_FORMAT_HUGGING_FACE
                 ? ce_config_read_hugging_face(out, files, notes, err)
             : open_clip ? ce_config_read_open_clip(out, files, notes, err)
                         : ce_config_read_openai(out, files, weights, notes, err);
    if (result == CE_OK)
        result = check_sizes(out, path, err);
    if (result == CE_OK && open_clip)
        result = check_positions(out, weights, err);
    if (result < 0)
        return result;
    if (open_clip)
        note_openai_weights(out, weights, notes);
    note_normalisation(out, files->directory, notes);
    return CE_OK;
}

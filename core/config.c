#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *ce_activation_name(ce_activation a) {
    static const char *const names[] = {"none", "relu", "quick_gelu", "gelu"};
    return names[a];
}

static bool has(const char *dir, const char *name) {
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path &&
           access(path, F_OK) == 0;
}

static int check_sizes(const ce_config *c, const char *dir, ce_error *err) {
    const ce_vision_config *v = &c->vision;
    const ce_text_config *t = &c->text;
    if (v->kind == CE_VISION_VIT &&
        (v->patch > v->image_width || v->patch > v->image_height))
        return ce_fail(err, CE_EFORMAT, "%s: patches of %d do not fit pictures of %d x %d",
                       dir, v->patch, v->image_width, v->image_height);
    if (v->kind == CE_VISION_VIT && v->width % v->heads)
        return ce_fail(err, CE_EFORMAT, "%s: vision: %d heads do not divide a width of %d",
                       dir, v->heads, v->width);
    if (t->width % t->heads)
        return ce_fail(err, CE_EFORMAT, "%s: text: %d heads do not divide a width of %d",
                       dir, t->heads, t->width);
    if (c->preprocess.width != v->image_width || c->preprocess.height != v->image_height)
        return ce_fail(
            err, CE_EFORMAT,
            "%s: preprocessing makes pictures of %d x %d, the tower takes %d x %d", dir,
            c->preprocess.width, c->preprocess.height, v->image_width, v->image_height);
    return ce_preprocess_check(&c->preprocess, dir, err);
}

/* A directory without the file that we read often holds the weights in another form. */
static int check_weights_file(const ce_config *c, const char *dir, ce_error *err) {
    static const char *const others[] = {
        "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
        "open_clip_pytorch_model.bin", "open_clip_pytorch_model.safetensors"};
    if (access(c->weights, F_OK) == 0)
        return CE_OK;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (has(dir, others[i]))
            return ce_fail(err, CE_EUNSUPPORTED,
                           "%s: no such file, and %s, which is there, is not implemented",
                           c->weights, others[i]);
    return CE_OK; /* opening it says the rest */
}

int ce_config_read(ce_config *out, const char *dir, ce_error *err) {
    *out = (ce_config){0};
    struct stat st;
    if (stat(dir, &st) < 0)
        return ce_fail(err, CE_EIO, "%s: no such model", dir);
    if (!S_ISDIR(st.st_mode))
        return ce_fail(
            err, CE_EUNSUPPORTED,
            "%s: not a directory (a model is a directory with its configuration, "
            "weights and tokenizer)",
            dir);
    int result;
    if (has(dir, "open_clip_config.json"))
        result = ce_config_read_open_clip(out, dir, err);
    else if (has(dir, "config.json"))
        result = ce_config_read_hugging_face(out, dir, err);
    else
        result = ce_fail(err, CE_EFORMAT,
                         "%s: no config.json (Hugging Face) and no open_clip_config.json "
                         "(open_clip)",
                         dir);
    if (result == CE_OK)
        result = check_sizes(out, dir, err);
    return result < 0 ? result : check_weights_file(out, dir, err);
}

#include "config.h"

const char *ce_activation_name(ce_activation a) {
    static const char *const names[] = {"none", "relu", "quick_gelu", "gelu", "gelu_tanh"};
    return names[a];
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

int ce_config_read(ce_config *out, const ce_checkpoint *files, const ce_weights *weights,
                   ce_notes *notes, ce_error *err) {
    *out = (ce_config){0};
    int result = files->format == CE_FORMAT_HUGGING_FACE
                     ? ce_config_read_hugging_face(out, files, notes, err)
                 : files->format == CE_FORMAT_OPEN_CLIP
                     ? ce_config_read_open_clip(out, files, notes, err)
                     : ce_config_read_openai(out, files, weights, notes, err);
    return result < 0 ? result : check_sizes(out, files->directory, err);
}

#include "identity.h"

#include "blas.h"
#include "config.h"
#include "kernels.h"
#include "linear.h"

#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Raised when our own arithmetic changes between two versions. */
enum { ARITHMETIC = 4 };

/* Doubles as hexadecimal: every bit counts. */
static void put_recipe(FILE *f, const ce_preprocess *p) {
    fprintf(f, "recipe %d %d %dx%d %dx%d %d %d %a", p->resize_mode, p->interpolation,
            p->resize_width, p->resize_height, p->width, p->height, p->crop_rounding,
            p->fill, p->rescale);
    for (int i = 0; i < 3; i++)
        fprintf(f, " %a %a", p->mean[i], p->std[i]);
    fprintf(f, "\ndecoders %s\n", ce_image_decoders());
}

static void put_vision(FILE *f, const ce_vision_config *v) {
    fprintf(f, "vision %d %dx%d %d %d %s %a", v->kind, v->image_width, v->image_height,
            v->width, v->heads, ce_activation_name(v->activation), v->eps);
    for (int i = 0; i < 4; i++)
        fprintf(f, " %d", v->blocks[i]);
    fprintf(f, " %d %d %d %d %d%d%d%d%d%d%d\n", v->patch, v->layers, v->hidden, v->pool,
            v->no_class_token, v->no_pre_norm, v->norm_after_pool, v->layer_scale,
            v->patch_bias, v->timm, v->no_projection);
}

static void put_text(FILE *f, const ce_text_config *t) {
    fprintf(f, "text %d %d %d %d %d %d %d %d %s %a %d %d %d %d %d%d%d%d\n", t->kind,
            t->context, t->vocab_size, t->positions, t->width, t->heads, t->layers,
            t->hidden, ce_activation_name(t->activation), t->eps, t->pool, t->end_of_text,
            t->pad, t->type_vocab_size, t->not_causal, t->layer_scale, t->projection_bias,
            t->no_projection);
}

/* The layers that stay float32 in every precision have an engine of their own. */
static void put_machine(FILE *f, ce_precision precision) {
    const char *engine = ce_engine_description();
    fprintf(f, "precision %s, %s\nengine %s, kernels %s\n", ce_precision_name(precision),
            ce_engine_describe(precision), engine, ce_kernels_get()->name);
    if (strstr(engine, "OpenBLAS"))
        fprintf(f, "blas %s\n", ce_blas_description());
    fprintf(f, "build clipeval %s, arithmetic %d, compiler %s, C library %s\n", CE_VERSION,
            ARITHMETIC, __VERSION__, gnu_get_libc_version());
}

int ce_identity(char **out, const ce_model *model, ce_tower tower, const char *sha256,
                ce_error *err) {
    const ce_config *c = ce_model_get_config(model);
    size_t size;
    *out = NULL;
    FILE *f = open_memstream(out, &size);
    if (!f)
        return ce_fail(err, CE_ENOMEM, "out of memory");
    fprintf(f, "%s\nweights %s\nfamily %d, %d numbers\n",
            tower == CE_IMAGE_TOWER ? "pictures" : "texts", sha256, c->family,
            c->embed_dim);
    put_machine(f, c->precision);
    if (tower == CE_IMAGE_TOWER) {
        put_vision(f, &c->vision);
        put_recipe(f, &c->preprocess);
    } else {
        put_text(f, &c->text);
    }
    if (fclose(f) == 0)
        return CE_OK;
    free(*out);
    *out = NULL;
    return ce_fail(err, CE_ENOMEM, "out of memory");
}

ce_digest ce_picture_key(const ce_digest *content, ce_alpha alpha) {
    return ce_digest_join(alpha == CE_ALPHA_WHITE ? "picture over white" : "picture",
                          content, content);
}

ce_digest ce_pixels_key(const ce_picture *p) {
    int32_t shape[3] = {p->width, p->height, p->channels};
    size_t size = (size_t)p->width * (size_t)p->height * (size_t)p->channels;
    ce_digest form = ce_digest_of(shape, sizeof shape);
    ce_digest content = ce_digest_of(p->pixels, size);
    return ce_digest_join("pixels", &form, &content);
}

ce_digest ce_text_key(const int32_t *ids, int context) {
    ce_digest content = ce_digest_of(ids, (size_t)context * sizeof *ids);
    return ce_digest_join("text", &content, &content);
}

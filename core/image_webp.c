/* WebP through libwebp. An animation gives its first frame on a clear canvas, as Pillow's
 * does (it uses the same WebPAnimDecoder). */
#include "image_decoders.h"

#include <stdlib.h>
#include <webp/decode.h>
#include <webp/demux.h>

static int broken(const ce_source *src, ce_error *err) {
    return ce_fail(err, CE_EFORMAT, "%s: truncated or broken WebP", src->name);
}

static void put_canvas(ce_image *out, const uint8_t *rgba, ce_alpha alpha) {
    size_t count = (size_t)out->width * (size_t)out->height;
    for (size_t i = 0; i < count; i++)
        ce_put_rgba(out->pixels + 3 * i, rgba + 4 * i, alpha);
}

static int decode_still(ce_image *out, const ce_source *src, bool clear, ce_error *err) {
    size_t count = (size_t)out->width * (size_t)out->height;
    if (!clear || src->alpha == CE_ALPHA_DROP)
        return WebPDecodeRGBInto(src->data, src->size, out->pixels, count * 3,
                                 out->width * 3)
                   ? 0
                   : broken(src, err);
    uint8_t *rgba = malloc(count * 4);
    if (!rgba)
        return ce_fail(err, CE_ENOMEM, "%s: no memory", src->name);
    int rc = 0;
    if (WebPDecodeRGBAInto(src->data, src->size, rgba, count * 4, out->width * 4))
        put_canvas(out, rgba, src->alpha);
    else
        rc = broken(src, err);
    free(rgba);
    return rc;
}

static int decode_animated(ce_image *out, const ce_source *src, ce_error *err) {
    WebPData data = {src->data, src->size};
    WebPAnimDecoderOptions options;
    if (!WebPAnimDecoderOptionsInit(&options))
        return broken(src, err);
    options.color_mode = MODE_RGBA;
    WebPAnimDecoder *decoder = WebPAnimDecoderNew(&data, &options);
    uint8_t *canvas;
    int timestamp, rc = 0;
    if (decoder && WebPAnimDecoderGetNext(decoder, &canvas, &timestamp))
        put_canvas(out, canvas, src->alpha);
    else
        rc = broken(src, err);
    WebPAnimDecoderDelete(decoder);
    return rc;
}

int ce_decode_webp(ce_image *out, const ce_source *src, ce_error *err) {
    WebPBitstreamFeatures f;
    if (WebPGetFeatures(src->data, src->size, &f) != VP8_STATUS_OK)
        return broken(src, err);
    int rc = ce_image_begin(out, (uint64_t)f.width, (uint64_t)f.height, src->name, err);
    if (rc < 0)
        return rc;
    return f.has_animation ? decode_animated(out, src, err)
                           : decode_still(out, src, f.has_alpha, err);
}

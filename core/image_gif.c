/* The first frame of a GIF through giflib, put on its screen as Pillow does
 * (GifImagePlugin.py): the screen is filled with the transparent index, or index 0, and
 * grows where the frame does not fit. */
#include "image_decoders.h"

#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *ce_gif_version(void) {
    return TEXT(GIFLIB_MAJOR) "." TEXT(GIFLIB_MINOR) "." TEXT(GIFLIB_RELEASE);
}

typedef struct reader {
    GifFileType *gif;
    const ce_source *src;
    size_t at;
    int transparent; /* index, or -1 */
    bool padded;
} reader;

/* A file that ends right behind the picture's last block gets the empty block that is to
 * end the picture: giflib insists on it, Pillow does not. */
static int read_bytes(GifFileType *gif, GifByteType *to, int size) {
    reader *r = gif->UserData;
    if (size == 1 && r->at == r->src->size && !r->padded) {
        r->padded = true;
        *to = 0;
        return 1;
    }
    size_t rest = r->src->size - r->at;
    size_t n = (size_t)size < rest ? (size_t)size : rest;
    memcpy(to, r->src->data + r->at, n);
    r->at += n;
    return (int)n;
}

static int broken(const reader *r, ce_error *err) {
    if (r->at == r->src->size)
        return ce_fail(err, CE_EFORMAT, "%s: truncated GIF", r->src->name);
    const char *why = r->gif ? GifErrorString(r->gif->Error) : NULL;
    return ce_fail(err, CE_EFORMAT, "%s: broken GIF (%s)", r->src->name,
                   why ? why : "no picture in it");
}

/* A graphics control block before the frame may name a transparent index. */
static bool read_extension(reader *r) {
    int code;
    GifByteType *block;
    if (DGifGetExtension(r->gif, &code, &block) == GIF_ERROR)
        return false;
    if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4 && block[1] & 1)
        r->transparent = block[4];
    while (block)
        if (DGifGetExtensionNext(r->gif, &block) == GIF_ERROR)
            return false;
    return true;
}

/* Skips to the first frame and reads its description. */
static bool find_frame(reader *r) {
    for (;;) {
        GifRecordType type;
        if (DGifGetRecordType(r->gif, &type) == GIF_ERROR)
            return false;
        if (type == IMAGE_DESC_RECORD_TYPE)
            return DGifGetImageDesc(r->gif) == GIF_OK;
        if (type != EXTENSION_RECORD_TYPE || !read_extension(r))
            return false;
    }
}

/* A map whose entries are the grey ramp stands for grey itself: indices past its end are
 * grey too, where past the end of any other map there is black. */
static bool is_ramp(const ColorMapObject *map) {
    for (int i = 0; i < map->ColorCount; i++) {
        GifColorType c = map->Colors[i];
        if (c.Red != i || c.Green != i || c.Blue != i)
            return false;
    }
    return true;
}

static void make_palette(ce_palette *p, const reader *r) {
    const ColorMapObject *map = r->gif->Image.ColorMap;
    if (!map)
        map = r->gif->SColorMap;
    bool grey = !map || is_ramp(map);
    for (int i = 0; i < 256; i++) {
        GifColorType c = {0, 0, 0};
        if (grey)
            c.Red = c.Green = c.Blue = (GifByteType)i;
        else if (i < map->ColorCount)
            c = map->Colors[i];
        uint8_t *rgba = p->rgba[i];
        rgba[0] = c.Red, rgba[1] = c.Green, rgba[2] = c.Blue;
        rgba[3] = i == r->transparent ? 0 : 255;
    }
}

static int read_rows(ce_image *out, reader *r, const ce_palette *p, uint8_t *row) {
    static const int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    const GifImageDesc *frame = &r->gif->Image;
    int passes = frame->Interlace ? 4 : 1;
    for (int pass = 0; pass < passes; pass++) {
        int by = frame->Interlace ? step[pass] : 1;
        for (int y = frame->Interlace ? first[pass] : 0; y < frame->Height; y += by) {
            if (DGifGetLine(r->gif, row, frame->Width) == GIF_ERROR)
                return -1;
            size_t line = (size_t)(frame->Top + y) * (size_t)out->width;
            uint8_t *rgb = out->pixels + 3 * (line + (size_t)frame->Left);
            for (int x = 0; x < frame->Width; x++)
                ce_put_rgba(rgb + 3 * x, p->rgba[row[x]], r->src->alpha);
        }
    }
    return 0;
}

static int decode_frame(ce_image *out, reader *r, ce_error *err) {
    const GifImageDesc *frame = &r->gif->Image;
    uint64_t width = (uint64_t)frame->Left + (uint64_t)frame->Width;
    uint64_t height = (uint64_t)frame->Top + (uint64_t)frame->Height;
    if (frame->Width < 1 || frame->Height < 1)
        return ce_fail(err, CE_EFORMAT, "%s: broken GIF (a frame of %dx%d pixels)",
                       r->src->name, frame->Width, frame->Height);
    if (width < (uint64_t)r->gif->SWidth)
        width = (uint64_t)r->gif->SWidth;
    if (height < (uint64_t)r->gif->SHeight)
        height = (uint64_t)r->gif->SHeight;
    int rc = ce_image_begin(out, width, height, r->src->name, err);
    if (rc < 0)
        return rc;
    ce_palette palette;
    make_palette(&palette, r);
    uint8_t fill[3];
    ce_put_rgba(fill, palette.rgba[r->transparent < 0 ? 0 : r->transparent], r->src->alpha);
    size_t count = (size_t)(width * height);
    if ((uint64_t)frame->Width * (uint64_t)frame->Height < count)
        for (size_t i = 0; i < count; i++)
            memcpy(out->pixels + 3 * i, fill, 3);
    uint8_t *row = malloc((size_t)frame->Width);
    if (!row)
        return ce_fail(err, CE_ENOMEM, "%s: no memory", r->src->name);
    rc = read_rows(out, r, &palette, row) < 0 ? broken(r, err) : 0;
    free(row);
    return rc;
}

int ce_decode_gif(ce_image *out, const ce_source *src, ce_error *err) {
    reader r = {.src = src, .transparent = -1};
    int ignored;
    r.gif = DGifOpen(&r, read_bytes, &ignored);
    if (!r.gif)
        return broken(&r, err);
    int rc = find_frame(&r) ? decode_frame(out, &r, err) : broken(&r, err);
    DGifCloseFile(r.gif, &ignored);
    return rc;
}

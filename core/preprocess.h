/* RGB8 -> the float tensor a tower takes, exactly as the checkpoint's own recipe says.
 * The resampler is Pillow's (src/libImaging/Resample.c, version 13): antialiased, 8-bit
 * rounding between the passes, 22-bit fixed-point coefficients; so the resized bytes are
 * equal to Pillow's, not merely close. The horizontal pass comes first, unless the height
 * shrinks by more than twice as many pixels as the width (Pillow before 13 knows no
 * exception).
 *
 *     ce_preprocess recipe = ...;              // from the checkpoint's config
 *     float pixels[3 * 224 * 224];             // [3, height, width]
 *     ce_preprocess_image(pixels, &recipe, &image, &err);
 */
#ifndef CE_PREPROCESS_H
#define CE_PREPROCESS_H

#include "image.h"

typedef enum ce_resize_mode {
    CE_RESIZE_NONE,     /* leave the size alone (then only the crop applies) */
    CE_RESIZE_SHORTEST, /* short side to resize_width, long side int(size*long/short) */
    CE_RESIZE_SQUASH,   /* to resize_width x resize_height, whatever the aspect */
    CE_RESIZE_LONGEST   /* long side to the target, rounded half to even; pad to it */
} ce_resize_mode;

typedef enum ce_interpolation { CE_BILINEAR, CE_BICUBIC } ce_interpolation;

/* How (excess / 2) becomes a crop offset. */
typedef enum ce_crop_rounding {
    CE_CROP_HALF_EVEN, /* int(round(x / 2.0)): torchvision, open_clip, OpenAI */
    CE_CROP_FLOOR      /* x // 2: Hugging Face transformers */
} ce_crop_rounding;

typedef struct ce_preprocess {
    ce_resize_mode resize_mode;
    ce_interpolation interpolation;
    int resize_width, resize_height; /* SHORTEST, LONGEST: equal */
    int width, height;               /* of the result: centre crop, or pad with `fill` */
    ce_crop_rounding crop_rounding;
    int fill;       /* 0..255, every channel of the padding (before normalisation) */
    double rescale; /* usually 1/255 */
    double mean[3]; /* RGB; result = (byte * rescale - mean) / std */
    double std[3];
} ce_preprocess;

/* Resize, then crop or pad: bytes [height, width, 3] into `out`, which the caller
 * allocates with recipe->height * recipe->width * 3.
 * CE_EFORMAT: the picture cannot be resized so (a side would become 0). */
int ce_preprocess_bytes(uint8_t *out, const ce_preprocess *recipe, const ce_image *image,
                        ce_error *err);

/* The same, then normalised: `out` is [3, height, width], float32, arithmetic in float32
 * as torchvision's ToTensor + Normalize (equal to transformers' bit for bit). */
int ce_preprocess_image(float *out, const ce_preprocess *recipe, const ce_image *image,
                        ce_error *err);

/* Plain resize to width x height, Pillow's Image.resize(reducing_gap=None). */
int ce_image_resize(ce_image *out, const ce_image *image, int width, int height,
                    ce_interpolation interpolation, ce_error *err);

/* Checks that sizes are 1..CE_PREPROCESS_MAX_SIDE, std is finite and not 0, fill in
 * 0..255; `name` is the file the recipe came from. */
#define CE_PREPROCESS_MAX_SIDE 4096
int ce_preprocess_check(const ce_preprocess *recipe, const char *name, ce_error *err);

#endif

/* A checkpoint's tensors: the file is mapped, not read, and every name, shape, type and
 * offset is checked before anything is used. Format: safetensors
 * (https://github.com/huggingface/safetensors), validated as its Rust reference does, and
 * duplicate names refused besides. Other formats will fill the same struct.
 *
 *     ce_weights *weights;
 *     ce_weights_open(&weights, "model/model.safetensors", &err);
 *     const ce_tensor *t = ce_weights_find(weights, "visual.proj");
 *     ce_weights_free(weights);        // unmaps: t->data is gone
 */
#ifndef CE_WEIGHTS_H
#define CE_WEIGHTS_H

#include "error.h"
#include "kernels.h"

#define CE_MAX_RANK 8

typedef struct ce_tensor {
    const char *name;
    const char *dtype_name; /* as the file says: "F32" */
    ce_dtype dtype;
    int rank;
    size_t shape[CE_MAX_RANK];
    size_t count; /* product of the shape */
    size_t bytes;
    const void *data; /* little-endian, mapped; may be unaligned */
    bool used;        /* taken by a tower; see ce_weights_check_all_used */
} ce_tensor;

typedef struct ce_weights ce_weights;

int ce_weights_open(ce_weights **out, const char *path, ce_error *err);
void ce_weights_free(ce_weights *w);

/* With `on`, taking checks names, types and shapes as ever, but reads no values: what is
 * taken is zero. So a tower can be checked against its checkpoint without loading it. */
void ce_weights_shapes_only(ce_weights *w, bool on);
const char *ce_weights_path(const ce_weights *w);

/* Gives the mapping back; the tensors' data is gone, their names and types stay. */
void ce_weights_unmap(ce_weights *w);

/* CE_EIO where the file's size or time is no longer what it was when it was opened: reading
 * a mapping that was cut short would end the process. */
int ce_weights_check_unchanged(const ce_weights *w, ce_error *err);

/* SHA-256 of the file that was opened, even if another has taken its name since. */
int ce_weights_sha256(const ce_weights *w, char out[65], ce_error *err);

/* NULL where there is none. */
ce_tensor *ce_weights_find(const ce_weights *w, const char *name);

/* Finds a float tensor of exactly this shape and marks it used. A dimension of 0 matches
 * any size. CE_EFORMAT: missing, misshapen, or not F32, F16 or BF16; names both. */
int ce_weights_take(ce_weights *w, ce_tensor **out, const char *name, int rank,
                    const size_t *shape, ce_error *err);

/* Room for n floats and a vector more, aligned to a cache line; large blocks ask for huge
 * pages, so that filling them faults less. NULL: out of memory. Released by free(). */
float *ce_floats_new(size_t n);

/* The whole tensor as float32, from ce_floats_new. CE_EFORMAT where a value is NaN or
 * infinite. */
int ce_weights_take_floats(ce_weights *w, float **out, const char *name, int rank,
                           const size_t *shape, ce_error *err);

/* Widens `n` values from `first` on, checking that they are finite. */
int ce_tensor_widen(const ce_weights *w, const ce_tensor *t, float *out, size_t first,
                    size_t n, ce_error *err);

/* Lets the kernel drop the pages of `t`: it has been copied, or will not be needed soon. */
void ce_tensor_release(const ce_tensor *t);

/* Whether only shapes are asked for. */
bool ce_weights_is_shapes_only(const ce_weights *w);

/* Fails with the first tensor that no tower took and that is no known buffer (position
 * ids, attention masks, batch counters): a part of the model that would be left out. */
int ce_weights_check_all_used(const ce_weights *w, ce_error *err);

#endif

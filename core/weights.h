/* A checkpoint's tensors: the files are mapped, not read, and every name, shape, type and
 * offset is checked before anything is used. A file that is cut short meanwhile is an error
 * where it is read, not the end of the process (weights_guard.h). What a file is, its
 * content says, never its name:
 *
 *   safetensors       https://github.com/huggingface/safetensors, validated as its Rust
 *                     reference does, and duplicate names refused besides
 *   an index          a JSON object with "weight_map": the shards beside it are opened
 *                     (any format but an index), and every tensor must be where it says
 *   PyTorch zip       torch.save since 1.6: a state dict, or a dict that holds one under
 *                     "state_dict", "model" or "model_state_dict"
 *   PyTorch pickle    torch.save before 1.6, of the same
 *   TorchScript       torch.jit.save: every tensor of the tree of modules, by its path
 *
 * A pickle is never executed (pickle.h). What a wrapper put before every name ("module.",
 * "model.") is dropped.
 *
 *     ce_weights *weights;
 *     ce_weights_open(&weights, "model/model.safetensors", &err);
 *     const ce_tensor *t = ce_weights_find(weights, "visual.proj");
 *     ce_weights_free(weights);        // unmaps: t->data is gone
 */
#ifndef CE_WEIGHTS_H
#define CE_WEIGHTS_H

#include "cache.h"
#include "error.h"
#include "kernels.h"

#define CE_MAX_RANK 8

typedef struct ce_tensor {
    const char *name;
    const char *file;       /* the path of the file that it lies in */
    const char *dtype_name; /* safetensors' name of it, in every format: "F32" */
    ce_dtype dtype;
    int rank;
    size_t shape[CE_MAX_RANK];
    size_t count; /* product of the shape */
    size_t bytes;
    const void *data; /* little-endian, row-major, mapped; may be unaligned */
    bool copied;      /* `data` is no mapping: its order was not row-major in the file */
    bool used;        /* taken by a tower; see ce_weights_unused */
} ce_tensor;

typedef struct ce_weights ce_weights;

int ce_weights_open(ce_weights **out, const char *path, ce_error *err);
void ce_weights_free(ce_weights *w);

/* With `on`, taking checks names, types and shapes as ever, but reads no values: what is
 * taken is zero. So a tower can be checked against its checkpoint without loading it. */
void ce_weights_shapes_only(ce_weights *w, bool on);

/* What was opened: the one file, or the index. */
const char *ce_weights_path(const ce_weights *w);

/* "safetensors", "PyTorch zip", "PyTorch pickle (before 1.6)", "TorchScript"; with an
 * index "safetensors (3 shards)". */
const char *ce_weights_format(const ce_weights *w);
bool ce_weights_is_torchscript(const ce_weights *w);

/* All tensors, sorted by name (bytes); i < count. */
size_t ce_weights_count(const ce_weights *w);
ce_tensor *ce_weights_at(ce_weights *w, size_t i);

/* Gives the mapping back; the tensors' data is gone, their names and types stay. */
void ce_weights_unmap(ce_weights *w);

/* CE_EIO where a file's size or time is no longer what it was when it was opened, or where
 * something of it could not be read: `data` then shows zeros there. Who reads `data` asks
 * afterwards. */
int ce_weights_check_unchanged(const ce_weights *w, ce_error *err);

/* SHA-256 of the file that was opened, even if another has taken its name since. With an
 * index: of what sha256sum prints for the index and its shards, "HEX  NAME\n" for each,
 * plain names, sorted by bytes. */
int ce_weights_sha256(const ce_weights *w, char out[65], ce_error *err);

/* The files that hash covers, as they were opened: which, and when they were last changed.
 */
ce_stamp ce_weights_stamp(const ce_weights *w);

/* NULL where there is none. */
ce_tensor *ce_weights_find(const ce_weights *w, const char *name);

/* Finds a float tensor of exactly this shape and marks it used. A dimension of 0 matches
 * any size. CE_EFORMAT: missing or misshapen; CE_EUNSUPPORTED: not F32, F16, BF16 or F64;
 * names both. */
int ce_weights_take(ce_weights *w, ce_tensor **out, const char *name, int rank,
                    const size_t *shape, ce_error *err);

/* Room for n floats and a vector more, aligned to a cache line; large blocks ask for huge
 * pages, so that filling them faults less. NULL: out of memory. Released by free(). */
float *ce_floats_new(size_t n);

/* The whole tensor as float32, from ce_floats_new. CE_EFORMAT where a value is NaN or
 * infinite. */
int ce_weights_take_floats(ce_weights *w, float **out, const char *name, int rank,
                           const size_t *shape, ce_error *err);

/* Widens `n` values from `first` on, checking that they are finite. CE_EIO: the file was
 * cut short. */
int ce_tensor_widen(const ce_weights *w, const ce_tensor *t, float *out, size_t first,
                    size_t n, ce_error *err);

/* Lets the kernel drop the pages of `t`: it has been copied, or will not be needed soon. */
void ce_tensor_release(const ce_tensor *t);

/* Whether only shapes are asked for. */
bool ce_weights_is_shapes_only(const ce_weights *w);

/* The tensors from `*i` on that no tower took and that are no known buffer (position ids,
 * attention masks, batch counters, the sizes that OpenAI's archives hold); NULL at the end.
 *
 *     for (size_t i = 0; (t = ce_weights_unused(w, &i));)
 */
const ce_tensor *ce_weights_unused(const ce_weights *w, size_t *i);

#endif

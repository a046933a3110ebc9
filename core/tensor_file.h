/* Writes a safetensors file (https://github.com/huggingface/safetensors, "Format") piece by
 * piece: the shapes are told first, the numbers come in any order, and the file appears
 * under its name when it is complete.
 *
 *     ce_tensor_spec spec = {"image_embeds", CE_TENSOR_F32, 2, {n, d}};
 *     ce_tensor_file *file;
 *     ce_tensor_file_create(&file, "out.safetensors", &spec, 1, &err);
 *     ce_tensor_file_write(file, 0, 0, embeds, n * d * sizeof(float), &err);
 *     ce_tensor_file_commit(file, &err);
 *     ce_tensor_file_free(file);
 */
#ifndef CE_TENSOR_FILE_H
#define CE_TENSOR_FILE_H

#include "error.h"

#include <stddef.h>

enum { CE_TENSOR_RANK = 4 };

typedef enum ce_tensor_type { CE_TENSOR_F32, CE_TENSOR_I64 } ce_tensor_type;

typedef struct ce_tensor_spec {
    const char *name; /* letters, digits, '_', '.', '-' */
    ce_tensor_type type;
    int rank; /* 1..CE_TENSOR_RANK */
    size_t shape[CE_TENSOR_RANK];
} ce_tensor_spec;

typedef struct ce_tensor_file ce_tensor_file;

/* Makes "PATH.tmp-PID" beside `path`, as large as it will be: a disk that is too full is
 * known before the work. What is never written reads as zero. A symbolic link at `path` is
 * followed; what is no regular file (a FIFO, a device) is refused, not replaced. */
int ce_tensor_file_create(ce_tensor_file **out, const char *path,
                          const ce_tensor_spec *specs, size_t n, ce_error *err);

/* `size` bytes of tensor `tensor` (a number in the order of `specs`), from byte `offset`
 * of it. Numbers are in the machine's own order, which must be little-endian. */
int ce_tensor_file_write(ce_tensor_file *file, size_t tensor, size_t offset,
                         const void *data, size_t size, ce_error *err);

/* Flushes to the disk and renames to `path`, replacing a file that stands there. */
int ce_tensor_file_commit(ce_tensor_file *file, ce_error *err);

/* Removes the file where it was not committed. NULL is fine. */
void ce_tensor_file_free(ce_tensor_file *file);

#endif

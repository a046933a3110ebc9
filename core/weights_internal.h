/* What the readers of the formats share; see weights.h. A reader is handed one mapped file
 * and adds its tensors:
 *
 *     ce_tensor *t;
 *     ce_weights_add(&t, w, f, name, strlen(name), err);
 *     ... set dtype_name, dtype, rank, shape, count, bytes, data ...
 */
#ifndef CE_WEIGHTS_INTERNAL_H
#define CE_WEIGHTS_INTERNAL_H

#include "arena.h"
#include "weights.h"
#include "weights_guard.h"

#include <stdint.h>
#include <sys/stat.h>

typedef struct ce_weights_file {
    char *path;
    int fd;         /* kept: the file that was opened is the one that is hashed */
    struct stat st; /* as it was then */
    const unsigned char *map;
    size_t size;
    ce_guard *guard; /* of the mapping; NULL where there is none */
} ce_weights_file;

struct ce_weights {
    ce_weights_file *files; /* with an index, that is the first */
    size_t file_count;
    ce_tensor *tensors; /* sorted by name once all files are read */
    size_t count, room;
    ce_arena arena; /* names, and the tensors that are `copied` */
    char format[64];
    bool torchscript;
    bool shapes_only;
};

/* Opens and maps the files[0], tells what it is, and reads all. */
int ce_weights_read_all(ce_weights *w, ce_error *err);

/* Opens, maps and reads one shard, whose path is set in `f`. */
int ce_weights_read_shard(ce_weights *w, ce_weights_file *f, ce_error *err);

int ce_weights_read_safetensors(ce_weights *w, const ce_weights_file *f, ce_error *err);
int ce_weights_read_torch_zip(ce_weights *w, const ce_weights_file *f, ce_error *err);
int ce_weights_read_torch_pickle(ce_weights *w, const ce_weights_file *f, ce_error *err);

/* files[0] is an index: opens the shards behind it and reads them. */
int ce_weights_read_index(ce_weights *w, ce_error *err);

/* A zeroed tensor with its name (copied) and file; valid until the next is added.
 * CE_EFORMAT: no UTF-8, a NUL in it, or one tensor too many. */
int ce_weights_add(ce_tensor **out, ce_weights *w, const ce_weights_file *f,
                   const char *name, size_t size, ce_error *err);

/* Sorts the tensors by name; CE_EFORMAT: two of one name. */
int ce_weights_sort(ce_weights *w, ce_error *err);

/* Sets dtype and dtype_name by safetensors' name of it; returns the bytes of an element, 0
 * where there is no such type. */
size_t ce_tensor_set_dtype(ce_tensor *t, const char *dtype_name);

#endif

/* What the two halves of the reader of PyTorch's files share: weights_torch.c finds the
 * pickle and the storages in the container, weights_torch_tensors.c finds the tensors in
 * the pickle. */
#ifndef CE_WEIGHTS_TORCH_H
#define CE_WEIGHTS_TORCH_H

#include "pickle.h"
#include "weights_internal.h"
#include "zip.h"

typedef struct ce_torch_storage {
    const char *key; /* in the pickle: no NUL behind it */
    size_t key_size;
    const char *dtype_name;
    size_t width; /* bytes of an element */
    size_t count; /* elements */
    const unsigned char *data;
} ce_torch_storage;

typedef struct ce_torch_reader {
    ce_weights *w;
    const ce_weights_file *f;
    ce_error *err;
    ce_pickle *pickle;
    ce_zip *zip;      /* NULL: a pickle stream */
    const char *root; /* NAME */
    size_t root_size;
    ce_torch_storage *storages; /* of a pickle stream, sorted by key */
    size_t storage_count;
    size_t copied; /* bytes of tensors that had to be */
    size_t bytes;  /* of all tensors so far */
    size_t steps;  /* that may still be taken: values may hold each other without end */
} ce_torch_reader;

/* CE_EFORMAT: "FILE: what" and "FILE: tensor NAME: what". */
int ce_torch_fault(const ce_torch_reader *r, const char *what);
int ce_torch_tensor_fault(const ce_torch_reader *r, const ce_tensor *t, const char *what);

/* A size, offset or stride. */
bool ce_torch_size(const ce_pickle_value *v, size_t *out);

/* What a storage's persistent id says; `data` is still to be found. `*view`: its sixth
 * item, NULL where there is none. */
int ce_torch_read_id(const ce_torch_reader *r, const ce_pickle_value *v,
                     ce_torch_storage *s, const ce_pickle_value **view);

/* The same, and where its elements lie: checked to be inside the file. */
int ce_torch_find_storage(const ce_torch_reader *r, const ce_tensor *t,
                          const ce_pickle_value *v, ce_torch_storage *s);

/* Adds every tensor of the pickle's object, and sets the format. */
int ce_torch_add_all(ce_torch_reader *r);

#endif

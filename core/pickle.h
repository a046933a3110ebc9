/* What a Python pickle says, without doing it: the machine below builds values in an
 * arena and calls nothing. It knows the instructions of protocols 2 to 5 that torch.save
 * and torch.jit.save write, and the names that their files hold (storages, rebuilders,
 * ordered dicts, modules of TorchScript; a few harmless ones of training scripts). A name
 * that is not in the list is refused, and the message says which.
 *
 *     ce_pickle *pickle;
 *     ce_pickle_load(&pickle, bytes, size, &used, "pytorch_model.bin", &err);
 *     const ce_pickle_value *top = ce_pickle_top(pickle);
 *     if (top->kind == CE_PICKLE_DICT)
 *         for (size_t i = 0; i < top->node->count; i += 2)
 *             ... top->node->items[i] is a key, items[i + 1] its value ...
 *     ce_pickle_free(pickle);
 *
 * Values may share nodes, and a list or dict may hold itself: who walks them must bound
 * the depth and count the steps.
 */
#ifndef CE_PICKLE_H
#define CE_PICKLE_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CE_PICKLE_MAX_BYTES ((size_t)64 << 20)   /* instructions in one pickle */
#define CE_PICKLE_MAX_MEMORY ((size_t)256 << 20) /* for its values */

typedef enum ce_pickle_kind {
    CE_PICKLE_NOTHING, /* no value at all */
    CE_PICKLE_NONE,
    CE_PICKLE_BOOL, /* integer: 0 or 1 */
    CE_PICKLE_INT,
    CE_PICKLE_LONG, /* text: two's complement, little-endian, 9 bytes or more */
    CE_PICKLE_REAL,
    CE_PICKLE_TEXT, /* may hold any byte: Python 2 wrote bytes so */
    CE_PICKLE_BYTES,
    CE_PICKLE_GLOBAL, /* text: "collections.OrderedDict", NUL-terminated */
    CE_PICKLE_TUPLE,
    CE_PICKLE_LIST,
    CE_PICKLE_DICT,     /* items: key, value, key, value, ... */
    CE_PICKLE_CALL,     /* items[0] (a GLOBAL) of items[1] (a TUPLE); items[2]: its state,
                           NOTHING where there is none, NONE where items were put in */
    CE_PICKLE_REFERENCE /* items[0]: the persistent id */
} ce_pickle_kind;

typedef struct ce_pickle_value {
    ce_pickle_kind kind;
    uint32_t size; /* bytes of `text` */
    union {
        int64_t integer;
        double real;
        const char *text;
        struct ce_pickle_node *node;
    };
} ce_pickle_value;

typedef struct ce_pickle_node {
    size_t count, room;
    ce_pickle_value *items;
} ce_pickle_node;

typedef struct ce_pickle ce_pickle;

/* Reads one pickle from the front of `bytes`, which are borrowed; `*used` is where it
 * ended. `path` names the file in messages. CE_EFORMAT: broken; CE_EUNSUPPORTED: a name or
 * an instruction that no state dict needs. */
int ce_pickle_load(ce_pickle **out, const unsigned char *bytes, size_t size, size_t *used,
                   const char *path, ce_error *err);
void ce_pickle_free(ce_pickle *p);

const ce_pickle_value *ce_pickle_top(const ce_pickle *p);

/* Every REFERENCE in the order of the file; i < count. */
size_t ce_pickle_reference_count(const ce_pickle *p);
const ce_pickle_value *ce_pickle_reference(const ce_pickle *p, size_t i);

/* Whether it is this text, or global. */
bool ce_pickle_is_text(const ce_pickle_value *v, const char *text);
bool ce_pickle_is_global(const ce_pickle_value *v, const char *name);

/* Of a DICT: the value of this key, the last where there are several; NULL: none, or `v`
 * is no DICT. */
const ce_pickle_value *ce_pickle_get(const ce_pickle_value *v, const char *key);

/* Whether a pickle may name this global. */
bool ce_pickle_allows(const char *global);

#endif

/* The residual attention block that every tower shares:
 *
 *     x = x + out(attention(qkv(layer_norm_1(x))))
 *     x = x + proj(activation(fc(layer_norm_2(x))))
 *
 * as in CLIP's ResidualAttentionBlock (https://github.com/openai/CLIP, clip/model.py) and
 * transformers' CLIPEncoderLayer; or, with `post_norm`, the original Transformer's and
 * BERT's:
 *
 *     x = layer_norm_1(x + out(attention(qkv(x))))
 *     x = layer_norm_2(x + proj(activation(fc(x))))
 *
 * Sequences of any lengths are packed one behind the other; attention stays within each.
 * Causal ones, where a row depends on the rows before it alone, are packed as a tree.
 */
#ifndef CE_TRANSFORMER_H
#define CE_TRANSFORMER_H

#include "linear.h"

/* How a library names the parts of a block; in_weight is NULL where query, key and value
 * are stored apart. */
typedef struct ce_block_names {
    const char *ln_1, *ln_2;         /* + ".weight", ".bias" */
    const char *in_weight, *in_bias; /* query, key and value stacked */
    const char *query, *key, *value; /* + ".weight", ".bias" */
    const char *out, *fc, *proj;     /* + ".weight", ".bias" */
    const char *scale_1, *scale_2;   /* layer scale of the two branches */
} ce_block_names;
extern const ce_block_names ce_names_hugging_face, ce_names_bert, ce_names_open_clip,
    ce_names_timm;

typedef struct ce_norm {
    float *gain, *bias; /* [width] */
} ce_norm;

/* The last block's query stands apart, since it is only asked for the wanted rows. */
typedef struct ce_block {
    ce_norm ln_1, ln_2;
    ce_linear query; /* of the last block */
    ce_linear qkv;   /* query, key and value stacked; of the last block: key and value */
    ce_linear out, fc, proj;
} ce_block;

typedef struct ce_transformer {
    size_t width, heads, hidden, layers;
    ce_activation activation;
    bool post_norm;
    ce_precision precision; /* of the four layers of a block, and of core/attention */
    bool layer_scale; /* out and proj each have a factor a channel, folded into them */
    float eps;        /* of the layer norms */
    ce_block *blocks;
} ce_transformer;

/* Fills `blocks` from tensors named PREFIX + layer number + "." + part; the sizes above
 * must be set, and width divisible by heads. */
int ce_transformer_load(ce_transformer *t, ce_weights *w, const char *prefix,
                        const ce_block_names *names, ce_error *err);
void ce_transformer_free(ce_transformer *t);

/* Rows that are asked of a forward pass: the last layer leaves the others out. The row
 * rows[i] becomes row i. */
typedef struct ce_wanted {
    const size_t *rows; /* [n] ascending */
    size_t n;
} ce_wanted;

/* Floats of scratch for `rows` tokens in all, sequences of at most `longest`; SIZE_MAX
 * where that overflows. */
size_t ce_transformer_scratch(const ce_transformer *t, size_t rows, size_t longest);

/* x [sum of lengths, width], in place; lengths[n]; `wanted` NULL: every row. */
void ce_transformer_forward(const ce_transformer *t, float *x, const size_t *lengths,
                            size_t n, const ce_wanted *wanted, float *scratch);

/* x [rows, width], in place, of causal sequences that share what they begin with: the rows
 * of a tree in depth-first order, row i at depth depths[i] (0: a root). Attention goes from
 * a row to its ancestors and itself. */
size_t ce_transformer_tree_scratch(const ce_transformer *t, size_t rows, size_t deepest);
void ce_transformer_forward_tree(const ce_transformer *t, float *x, const uint32_t *depths,
                                 size_t rows, const ce_wanted *wanted, float *scratch);

/* y [n, width] = the layer norm of each row of x (row stride `stride`); may be in place. */
void ce_norm_forward(const ce_norm *norm, float *y, const float *x, size_t stride, size_t n,
                     size_t width, float eps);
int ce_norm_load(ce_norm *norm, ce_weights *w, const char *name, size_t width,
                 ce_error *err);
void ce_norm_free(ce_norm *norm);

#endif

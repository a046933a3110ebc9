#include "blas.h"
#include "cpu.h"
#include "linear_internal.h"
#include "narrow.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* One packed block of x is at most 720 KB, which stays in the second-level cache: 180 rows
 * of depth 1024, more of a layer that has less. */
enum { BLOCK_DEPTH = 1024, BLOCK_FLOATS = 180 * BLOCK_DEPTH };
/* OpenBLAS wants whole rows, and many: rows that are scattered are copied together first.
 */
enum { GATHERED_FLOATS = 16 * BLOCK_FLOATS };
enum { MAX_GROUP = 32 }; /* rows that are found or packed together */

static bool use_openblas;
static char engine[64];

static void choose_engine(void) {
    const char *wish = getenv("CLIPEVAL_ENGINE");
    use_openblas = ce_cpu_simd() == CE_SIMD_BASE;
    if (wish && strcmp(wish, "openblas") == 0)
        use_openblas = true;
    if (wish && strcmp(wish, "clipeval") == 0)
        use_openblas = false;
    use_openblas = use_openblas && ce_blas();
    if (use_openblas) {
        snprintf(engine, sizeof engine, "OpenBLAS");
    } else {
        snprintf(engine, sizeof engine, "clipeval %s", ce_kernels_get()->name);
    }
}

bool ce_linear_on_openblas(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose_engine);
    return use_openblas;
}

const char *ce_engine_description(void) {
    ce_linear_on_openblas();
    return engine;
}

size_t ce_linear_workspace(void) {
    size_t floats = ce_linear_on_openblas() ? 2 * GATHERED_FLOATS : 2 * BLOCK_FLOATS;
    return floats > CE_NARROW_WORKSPACE ? floats : CE_NARROW_WORKSPACE;
}

const char *ce_engine_describe(ce_precision precision) {
    return precision == CE_FP32 ? ce_engine_description()
                                : ce_narrow_description(precision);
}

bool ce_engine_is_fast(ce_precision precision) {
    return precision == CE_FP32 || ce_narrow_is_fast(precision);
}

static void forward_openblas(const ce_linear *l, float *y, const float *x, size_t rows,
                             ce_activation activation, bool accumulate) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < l->out; j++)
            y[i * l->out + j] =
                (accumulate ? y[i * l->out + j] : 0) + (l->bias ? l->bias[j] : 0);
    ce_blas()->sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)l->out,
                     (int)l->in, 1, x, (int)l->in, l->weight, (int)l->in, 1, y,
                     (int)l->out);
    ce_kernels_get()->activate(y, l->out, rows, l->out, activation);
}

static void gather(float *to, const ce_rows *x, size_t first, size_t rows, size_t in) {
    const float *at[MAX_GROUP];
    for (size_t i = 0; i < rows; i += MAX_GROUP) {
        size_t count = rows - i < MAX_GROUP ? rows - i : MAX_GROUP;
        for (size_t p = 0, k; p < in; p += k) {
            k = x->find(x->context, at, first + i, count, p);
            k = in - p < k ? in - p : k;
            for (size_t r = 0; r < count; r++)
                memcpy(to + (i + r) * in + p, at[r], k * sizeof *to);
        }
    }
}

static void forward_openblas_rows(const ce_linear *l, float *y, const ce_rows *x,
                                  size_t rows, ce_activation activation, bool accumulate,
                                  float *workspace) {
    size_t block = GATHERED_FLOATS / l->in;
    for (size_t i = 0; i < rows; i += block) {
        size_t m = rows - i < block ? rows - i : block;
        gather(workspace, x, i, m, l->in);
        forward_openblas(l, y + i * l->out, workspace, m, activation, accumulate);
    }
}

static _Thread_local ce_team *team;

void ce_linear_use_team(ce_team *t) {
    team = t;
}

/* A slice of the product: gemm.m rows of x from `first` on, gemm.k columns from `column`
 * on. gemm.a is what pack_slice makes of them in `workspace`. */
typedef struct slice {
    ce_gemm gemm;
    float *workspace;
    const ce_rows *x;
    size_t first, column;
} slice;

static void pack_slice(const slice *s) {
    const ce_kernels *kernels = ce_kernels_get();
    const float *at[MAX_GROUP];
    size_t mr = kernels->mr, depth = s->gemm.k;
    for (size_t i = 0; i < s->gemm.m; i += mr) {
        size_t count = s->gemm.m - i < mr ? s->gemm.m - i : mr;
        float *to = s->workspace + i * depth;
        for (size_t p = 0, k; p < depth; p += k, to += k * mr) {
            k = s->x->find(s->x->context, at, s->first + i, count, s->column + p);
            k = depth - p < k ? depth - p : k;
            kernels->pack_rows(to, at, count, k, mr);
        }
    }
}

/* One member's columns of a packed product: whole panels, so that every value is computed
 * as if alone. */
static void multiply_columns(void *context, size_t member, size_t members) {
    ce_gemm g = ((const slice *)context)->gemm;
    size_t nr = ce_kernels_get()->nr, panels = ce_round_up(g.n, nr) / nr;
    size_t first = panels * member / members, end = panels * (member + 1) / members;
    if (first == end)
        return;
    g.n = (end * nr < g.n ? end * nr : g.n) - first * nr;
    g.b += first * g.panel;
    g.c += first * nr;
    g.bias = g.bias ? g.bias + first * nr : NULL;
    ce_gemm_run(&g);
}

/* One member's rows, whole groups, which it packs itself. */
static void multiply_rows(void *context, size_t member, size_t members) {
    slice s = *(const slice *)context;
    size_t mr = ce_kernels_get()->mr, groups = ce_round_up(s.gemm.m, mr) / mr;
    size_t first = groups * member / members * mr,
           end = groups * (member + 1) / members * mr;
    end = end < s.gemm.m ? end : s.gemm.m;
    if (first >= end)
        return;
    s.first += first;
    s.workspace += first * s.gemm.k;
    s.gemm.m = end - first;
    s.gemm.a = s.workspace;
    s.gemm.c += first * s.gemm.ldc;
    pack_slice(&s);
    ce_gemm_run(&s.gemm);
}

/* A team shares whichever side of the product has more to share. */
static void multiply(slice *s) {
    const ce_kernels *kernels = ce_kernels_get();
    if (!team) {
        multiply_rows(s, 0, 1);
    } else if (s->gemm.m / kernels->mr > s->gemm.n / kernels->nr) {
        ce_team_run(team, multiply_rows, s);
    } else {
        pack_slice(s);
        ce_team_run(team, multiply_columns, s);
    }
}

static void forward_floats(const ce_linear *l, float *y, const ce_rows *x, size_t rows,
                           ce_activation activation, bool accumulate, float *workspace) {
    if (ce_linear_on_openblas()) {
        forward_openblas_rows(l, y, x, rows, activation, accumulate, workspace);
        return;
    }
    const ce_kernels *kernels = ce_kernels_get();
    size_t slices = (l->in + BLOCK_DEPTH - 1) / BLOCK_DEPTH;
    size_t depth = (l->in + slices - 1) / slices;
    size_t block = BLOCK_FLOATS / depth / kernels->mr * kernels->mr;
    size_t blocks = (rows + block - 1) / block; /* of equal size, but for the last */
    block = blocks ? ce_round_up((rows + blocks - 1) / blocks, kernels->mr) : block;
    for (size_t i = 0; i < rows; i += block)
        for (size_t p = 0; p < l->in; p += depth) {
            size_t k = l->in - p < depth ? l->in - p : depth;
            slice s = {
                .gemm = {.m = rows - i < block ? rows - i : block,
                         .n = l->out,
                         .k = k,
                         .a = workspace,
                         .b = l->weight + p * kernels->nr,
                         .panel = l->in * kernels->nr,
                         .c = y + i * l->out,
                         .ldc = l->out,
                         .bias = p == 0 ? l->bias : NULL,
                         .accumulate = accumulate || p > 0,
                         .activation = p + k == l->in ? activation : CE_NO_ACTIVATION},
                .workspace = workspace,
                .x = x,
                .first = i,
                .column = p,
            };
            multiply(&s);
        }
}

/* The rows of a matrix. */
typedef struct matrix {
    const float *x;
    size_t width;
} matrix;

static size_t find_in_matrix(const void *context, const float **rows, size_t first,
                             size_t count, size_t column) {
    const matrix *m = context;
    for (size_t i = 0; i < count; i++)
        rows[i] = m->x + (first + i) * m->width + column;
    return m->width - column;
}

/* bfloat16 without instructions for it: rounded rows, some at a time. */
static void forward_rounded(const ce_linear *l, float *y, const ce_rows *x, size_t rows,
                            ce_activation activation, bool accumulate, float *workspace) {
    size_t room = ce_linear_on_openblas() ? GATHERED_FLOATS : BLOCK_FLOATS,
           block = room / l->in;
    for (size_t i = 0; i < rows; i += block) {
        size_t m = rows - i < block ? rows - i : block;
        gather(workspace, x, i, m, l->in);
        ce_linear_round(workspace, m * l->in);
        matrix rounded = {workspace, l->in};
        ce_rows as_rows = {find_in_matrix, &rounded};
        forward_floats(l, y + i * l->out, &as_rows, m, activation, accumulate,
                       workspace + room);
    }
}

void ce_linear_forward_rows(const ce_linear *l, float *y, const ce_rows *x, size_t rows,
                            ce_activation activation, bool accumulate, float *workspace) {
    if (l->narrow)
        ce_narrow_forward(l->narrow, y, x, rows, l->bias, activation, accumulate, team,
                          workspace);
    else
        (l->rounds ? forward_rounded : forward_floats)(l, y, x, rows, activation,
                                                       accumulate, workspace);
}

void ce_linear_forward(const ce_linear *l, float *y, const float *x, size_t rows,
                       ce_activation activation, bool accumulate, float *workspace) {
    if (ce_linear_on_openblas() && !l->narrow && !l->rounds) {
        forward_openblas(l, y, x, rows, activation, accumulate);
        return;
    }
    matrix m = {x, l->in};
    ce_rows as_rows = {find_in_matrix, &m};
    ce_linear_forward_rows(l, y, &as_rows, rows, activation, accumulate, workspace);
}

#include "score.h"

#include <math.h>

/* Whether entry i stands before entry j: a strict total order, so a rank is unique. */
static bool before(const float *scores, size_t i, size_t j) {
    float a = scores[i], b = scores[j];
    if (a > b)
        return true;
    if (a < b)
        return false;
    if (a == b || (isnan(a) && isnan(b)))
        return i < j;
    return isnan(b);
}

/* A heap whose root is the last of its entries under `before`. */
static void sift_down(const float *scores, size_t *heap, size_t count, size_t at) {
    size_t moving = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(scores, heap[child], heap[child + 1]))
            child++;
        if (before(scores, heap[child], moving))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

size_t ce_top_k(const float *scores, size_t n, size_t *best, size_t k) {
    if (k > n)
        k = n;
    if (k == 0)
        return 0;
    for (size_t i = 0; i < k; i++)
        best[i] = i;
    for (size_t i = k / 2; i-- > 0;)
        sift_down(scores, best, k, i);
    for (size_t i = k; i < n; i++) {
        if (before(scores, i, best[0])) {
            best[0] = i;
            sift_down(scores, best, k, 0);
        }
    }
    for (size_t last = k - 1; last > 0; last--) {
        size_t worst = best[0];
        best[0] = best[last];
        best[last] = worst;
        sift_down(scores, best, last, 0);
    }
    return k;
}

size_t ce_rank(const float *scores, size_t n, size_t target) {
    size_t rank = 0;
    for (size_t i = 0; i < n; i++)
        rank += before(scores, i, target);
    return rank;
}

/* NaN is no score: a row of nothing else has no best, and no tie. */
bool ce_top_is_tied(const float *scores, size_t n) {
    size_t best, shared = 0;
    if (ce_top_k(scores, n, &best, 1) == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        shared += scores[i] == scores[best];
    return shared > 1;
}

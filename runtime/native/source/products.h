/* Products of matrices: floats, and codes of 8 bits. */
#ifndef PR_PRODUCTS_H
#define PR_PRODUCTS_H

#include "graph.h"

/* A matrix [depth, width] of floats, or of what stands for them. */
struct pr_matrix {
    enum pr_type type;
    const char *data; /* may be unaligned */
    const float *columns;
    size_t depth, width, depth_stride, width_stride; /* in elements */
};

/* Bytes of all strips of a packed matrix. */
size_t pr_packed_floats(size_t depth, size_t width);
void pr_pack(const struct pr_matrix *matrix, size_t first_column, float *strip);

/* c[r, j] = factor * sum over k of a[r, k] * b[k, j]. */
bool pr_multiply(struct pr_graph *graph, const float *a, size_t a_stride, size_t rows, const struct pr_matrix *b, float *c,
                 size_t c_stride, float factor);

/* The product of codes: c = (a - a_zero) (b - b_zero), whole numbers when `scales` is NULL, else times scales[j] plus
 * bias[j]. `b` is a constant [depth, width] of type U8 or I8. PR_SLACK bytes behind `a` may be read. */
struct pr_codes {
    const uint8_t *a;
    int a_zero;
    size_t rows, depth, width;
    const struct pr_tensor *b;
    int b_zero;
    const float *scales, *bias;
    void *c; /* float or int32_t */
};
bool pr_multiply_codes(struct pr_graph *graph, struct pr_node *node, const struct pr_codes *codes);

#endif

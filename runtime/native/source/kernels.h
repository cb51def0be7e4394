/* The inner loops, compiled once for each kind of processor; `pr_kernels` chooses when the library is first used. */
#ifndef PR_KERNELS_H
#define PR_KERNELS_H

#include "common.h"

enum {
    PR_PANEL = 16,    /* columns of a matrix that are packed side by side */
    PR_STRIP = 32,    /* columns that are multiplied at a time */
    PR_MOST_ROWS = 8, /* rows that are multiplied at a time */
    PR_SLACK = 64     /* bytes behind every buffer that may be read */
};

struct pr_kernels {
    const char *name;

    /* y[i] = exp(x[i] + add), and their sum. */
    float (*exp_sum)(const float *x, float *y, size_t count, float add);
    /* y[i] = g(x[i] + bias[i]), g the GELU by the error function, or by tanh; bias may be NULL. */
    void (*gelu)(const float *x, const float *bias, float *y, size_t count);
    void (*fast_gelu)(const float *x, const float *bias, float *y, size_t count);
    void (*erf)(const float *x, float *y, size_t count);
    /* codes[i] = x[i] / scale rounded to even, plus zero, from 0 to 255. */
    void (*quantize)(const float *x, uint8_t *codes, size_t count, float scale, int zero);
    void (*range)(const float *x, size_t count, float *least, float *most);
    /* Normalise `rows` rows of `width`: (x - mean) / deviation * weight + bias, rounded as ONNX Runtime's operator does
     * (`layer_norm`), or as its fused one does (`skip_norm`). */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, float *y, size_t rows, size_t width,
                       float epsilon);
    void (*skip_norm)(const float *x, const float *weight, const float *bias, float *y, size_t rows, size_t width,
                      float epsilon);

    /* Multiply packed columns: c[r][j] = sum over k of a[r][k] * b[k][j], r < rows <= PR_MOST_ROWS, j < PR_STRIP, in the
     * order of k. Panels of b are [k][PR_PANEL]. */
    void (*multiply)(const float *a, size_t a_stride, int rows, const float *b, size_t depth, float *c);
    /* The same in integers: a unsigned, b signed, in fours of k: [k / 4][PR_PANEL][4]. `small`: |b| <= 64. */
    void (*multiply_codes)(const uint8_t *a, size_t a_stride, int rows, const int8_t *b, size_t fours, bool small,
                           int32_t *c);
    /* Pack up to PR_PANEL columns of four rows for `multiply_codes`; rows are `stride` apart, `flip` is xored in. */
    void (*pack_codes)(const uint8_t *rows, size_t stride, size_t depth, int8_t *packed, uint8_t flip);
    /* y[j] = c[j] * scale[j] + bias[j]; bias may be NULL. */
    void (*scale)(const int32_t *c, const float *scale, const float *bias, float *y, size_t count);
    float (*dot)(const float *a, const void *b, size_t count);             /* b need not be aligned */
    float (*dot_codes)(const float *a, const int8_t *b, size_t count);
    /* y[i] = a[i * step_a] (+ - * /) b[i * step_b]; steps are 0 or 1. */
    void (*combine)(char sign, const float *a, size_t step_a, const float *b, size_t step_b, float *y, size_t count);
    void (*absolute)(const float *x, float *y, size_t count);
};

const struct pr_kernels *pr_kernels(void);

extern const struct pr_kernels pr_kernels_portable;
#if defined(__x86_64__)
extern const struct pr_kernels pr_kernels_avx2, pr_kernels_avx512;
#endif

#endif

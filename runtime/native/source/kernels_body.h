/* The loops themselves. Before including this: LANES, FMA(a, b, c) = a * b + c for vectors of floats, FMA8 for eight, KERNELS (name of
 * the table), KERNELS_NAME, and MULTIPLY_CODES, a function. */
#include <string.h>

#include "kernels.h"

typedef float VF __attribute__((vector_size(4 * LANES)));
typedef int32_t VI __attribute__((vector_size(4 * LANES)));
typedef uint32_t VU __attribute__((vector_size(4 * LANES)));
typedef float V8F __attribute__((vector_size(32)));
typedef double V8D __attribute__((vector_size(64)));
typedef uint8_t VB __attribute__((vector_size(LANES)));
typedef uint8_t B16 __attribute__((vector_size(16)));

static inline VF load(const void *at) {
    VF value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline void store(void *at, VF value) { memcpy(at, &value, sizeof value); }
static inline VF splat(float value) { return value - (VF){0}; }
static inline VF choose(VI mask, VF yes, VF no) { return (VF)(((VI)yes & mask) | ((VI)no & ~mask)); }
static inline VF smaller(VF a, VF b) { return choose(a < b, a, b); }
static inline VF larger(VF a, VF b) { return choose(a > b, a, b); } /* b where a is not a number */

/* Up to LANES values, zeros behind them. */
static inline VF load_some(const float *at, size_t count) {
    if (count >= LANES) return load(at);
    VF value = {0};
    memcpy(&value, at, count * sizeof(float));
    return value;
}

static inline void store_some(float *at, VF value, size_t count) {
    if (count >= LANES) memcpy(at, &value, sizeof value);
    else memcpy(at, &value, count * sizeof(float));
}

/* y[i] = a[i * step_a] (+ - * /) b[i * step_b]; steps are 0 or 1. */
static void combine(char sign, const float *a, size_t step_a, const float *b, size_t step_b, float *y, size_t count) {
    for (size_t i = 0; i < count; i += LANES) {
        VF one = step_a ? load_some(a + i, count - i) : splat(*a), two = step_b ? load_some(b + i, count - i) : splat(*b);
        VF made = sign == '+' ? one + two : sign == '-' ? one - two : sign == '*' ? one * two : one / two;
        store_some(y + i, made, count - i);
    }
}

static void absolute(const float *x, float *y, size_t count) {
    for (size_t i = 0; i < count; i += LANES) store_some(y + i, (VF)((VI)load_some(x + i, count - i) & INT32_MAX), count - i);
}

#define ROUNDING 12582912.0f /* 1.5 * 2^23: what is added to it is rounded to a whole number, halves to the even one */

/* e^x for x from -87 to 88; less is as -87, more as 88. */
static inline VF exponential(VF x) {
    x = smaller(larger(x, splat(-87.0f)), splat(88.0f));
    VF biased = FMA(x, splat(1.44269504f), splat(ROUNDING)), whole = biased - ROUNDING;
    VF rest = FMA(whole, splat(-0.693145752f), x);
    rest = FMA(whole, splat(-1.42860677e-6f), rest); /* the rest of ln 2 */
    VF sum = splat(0.00138131424f);
    sum = FMA(sum, rest, splat(0.00836941904f));
    sum = FMA(sum, rest, splat(0.0416684568f));
    sum = FMA(sum, rest, splat(0.166665148f));
    sum = FMA(sum, rest, splat(0.499999931f));
    sum = FMA(sum, rest, splat(1.0f));
    sum = FMA(sum, rest, splat(1.0f));
    VU power = ((VU)biased << 23) + 0x3F800000u;
    return sum * (VF)power;
}

static inline VF error_function(VF x) {
    VI sign = (VI)x & INT32_MIN;
    VF size = (VF)((VI)x & INT32_MAX), square = size * size;
    VF near = splat(7.88911954e-05f);
    near = FMA(near, square, splat(-0.000802084128f));
    near = FMA(near, square, splat(0.00518953534f));
    near = FMA(near, square, splat(-0.0268544446f));
    near = FMA(near, square, splat(0.112836002f));
    near = FMA(near, square, splat(-0.376126271f));
    near = FMA(near, square, splat(0.128379166f));
    near = FMA(near, size, size);
    VF cut = smaller(size, splat(3.95f)), far = splat(4.31435473e-06f);
    far = FMA(far, cut, splat(-3.79315958e-05f));
    far = FMA(far, cut, splat(-8.88398703e-05f));
    far = FMA(far, cut, splat(0.00303945152f));
    far = FMA(far, cut, splat(-0.0228525321f));
    far = FMA(far, cut, splat(0.105433478f));
    far = FMA(far, cut, splat(0.635536435f));
    far = FMA(far, cut, splat(0.128571133f));
    far = 1.0f - exponential(-FMA(far, cut, cut));
    VF value = choose(size < 1.0f, near, far);
    return (VF)((VI)value | sign);
}

static float exp_sum(const float *x, float *y, size_t count, float add) {
    VF total = {0};
    for (size_t i = 0; i < count; i += LANES) {
        VF value = exponential(load_some(x + i, count - i) + add);
        if (count - i < LANES) {
            float some[LANES] = {0};
            memcpy(some, &value, (count - i) * sizeof(float));
            value = load(some);
        }
        store_some(y + i, value, count - i);
        total += value;
    }
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += total[lane];
    return sum;
}

static void gelu(const float *x, const float *bias, float *y, size_t count) {
    for (size_t i = 0; i < count; i += LANES) {
        VF value = load_some(x + i, count - i);
        if (bias != NULL) value += load_some(bias + i, count - i);
        store_some(y + i, value * 0.5f * (error_function(value * 0.707106781f) + 1.0f), count - i);
    }
}

static void fast_gelu(const float *x, const float *bias, float *y, size_t count) {
    for (size_t i = 0; i < count; i += LANES) {
        VF value = load_some(x + i, count - i);
        if (bias != NULL) value += load_some(bias + i, count - i);
        VF inner = value * FMA(splat(0.035677408f), value * value, splat(0.797884561f));
        inner = smaller(larger(inner, splat(-9.0f)), splat(9.0f));
        VF tangent = 1.0f - 2.0f / (exponential(2.0f * inner) + 1.0f);
        store_some(y + i, value * (0.5f + 0.5f * tangent), count - i);
    }
}

static void erf_all(const float *x, float *y, size_t count) {
    for (size_t i = 0; i < count; i += LANES) store_some(y + i, error_function(load_some(x + i, count - i)), count - i);
}

static void quantize(const float *x, uint8_t *codes, size_t count, float scale, int zero) {
    VF least = splat((float)-zero), most = splat((float)(255 - zero));
    for (size_t i = 0; i < count; i += LANES) {
        VF value = smaller(larger(load_some(x + i, count - i) / scale, least), most);
        VI whole = (VI)(value + ROUNDING) - (VI)splat(ROUNDING) + zero;
        VB bytes = __builtin_convertvector(whole, VB);
        if (count - i >= LANES) memcpy(codes + i, &bytes, LANES);
        else memcpy(codes + i, &bytes, count - i);
    }
}

static void find_range(const float *x, size_t count, float *least, float *most) {
    VF low = splat(*least), high = splat(*most);
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        low = smaller(load(x + i), low);
        high = larger(load(x + i), high);
    }
    for (int lane = 0; lane < LANES; lane++) {
        if (low[lane] < *least) *least = low[lane];
        if (high[lane] > *most) *most = high[lane];
    }
    for (; i < count; i++) {
        if (x[i] < *least) *least = x[i];
        if (x[i] > *most) *most = x[i];
    }
}

static inline float root(float value) { return __builtin_sqrtf(value); }

/* Mean and variance (times `width`) of LANES rows, value by value as Welford (1962) has them, a row in each lane. */
static void moments(const float *x, size_t rows, size_t width, float *means, float *squares) {
    VF mean = {0}, square = {0};
    for (size_t i = 0; i < width; i++) {
        VF value = {0};
        for (size_t r = 0; r < LANES && r < rows; r++) value[r] = x[r * width + i];
        VF before = value - mean;
        mean += before / (float)(i + 1);
        square += before * (value - mean);
    }
    memcpy(means, &mean, sizeof mean);
    memcpy(squares, &square, sizeof square);
}

static void skip_norm(const float *x, const float *weight, const float *bias, float *y, size_t rows, size_t width,
                      float epsilon) {
    for (size_t row = 0; row < rows; row += LANES) {
        size_t some = rows - row < LANES ? rows - row : LANES;
        float means[LANES], squares[LANES];
        const float *at = x + row * width;
        moments(at, some, width, means, squares);
        for (size_t r = 0; r < some; r++) {
            float mean = means[r], deviation = root(squares[r] / (float)width + epsilon);
            const float *from = at + r * width;
            float *to = y + (row + r) * width;
            for (size_t i = 0; i < width; i += LANES) {
                VF value = (load_some(from + i, width - i) - mean) / deviation * load_some(weight + i, width - i);
                if (bias != NULL) value += load_some(bias + i, width - i);
                store_some(to + i, value, width - i);
            }
        }
    }
}

/* The mean in double precision, squares of the differences from it in eight sums. */
static void layer_norm(const float *x, const float *weight, const float *bias, float *y, size_t rows, size_t width,
                       float epsilon) {
    for (size_t row = 0; row < rows; row++, x += width, y += width) {
        double total = 0;
        V8D totals = {0};
        V8F squares = {0};
        for (size_t i = 0; i < width; i += 8) {
            V8F values = {0};
            if (width - i >= 8) memcpy(&values, x + i, sizeof values);
            else memcpy(&values, x + i, (width - i) * sizeof(float));
            totals += __builtin_convertvector(values, V8D);
        }
        for (int lane = 0; lane < 8; lane++) total += totals[lane];
        float mean = (float)(total / (double)width);
        for (size_t i = 0; i < width; i += 8) {
            V8F values = mean - (V8F){0};
            if (width - i >= 8) memcpy(&values, x + i, sizeof values);
            else memcpy(&values, x + i, (width - i) * sizeof(float));
            values -= mean;
            squares = FMA8(values, values, squares);
        }
        float even = (squares[0] + squares[4]) + (squares[2] + squares[6]);
        float odd = (squares[1] + squares[5]) + (squares[3] + squares[7]);
        float inverse = 1.0f / root((even + odd) / (float)width + epsilon);
        for (size_t i = 0; i < width; i += LANES) {
            VF value = (load_some(x + i, width - i) - mean) * inverse, factor = load_some(weight + i, width - i);
            value = bias != NULL ? FMA(value, factor, load_some(bias + i, width - i)) : value * factor;
            store_some(y + i, value, width - i);
        }
    }
}

static inline __attribute__((always_inline)) void multiply_rows(const float *a, size_t a_stride, const int rows,
                                                                const float *b, size_t depth, float *c) {
    enum { PARTS = PR_STRIP / LANES, PANEL_PARTS = PR_PANEL / LANES };
    VF sums[4][PARTS];
    UNROLL
    for (int r = 0; r < rows; r++)
        UNROLL
        for (int part = 0; part < PARTS; part++) sums[r][part] = (VF){0};
    for (size_t k = 0; k < depth; k++) {
        VF values[PARTS];
        UNROLL
        for (int part = 0; part < PARTS; part++)
            values[part] = load(b + (size_t)(part / PANEL_PARTS) * depth * PR_PANEL + k * PR_PANEL +
                                (size_t)(part % PANEL_PARTS) * LANES);
        UNROLL
        for (int r = 0; r < rows; r++) {
            VF factor = splat(a[(size_t)r * a_stride + k]);
            UNROLL
            for (int part = 0; part < PARTS; part++) sums[r][part] = FMA(factor, values[part], sums[r][part]);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++)
        UNROLL
        for (int part = 0; part < PARTS; part++) store(c + r * PR_STRIP + part * LANES, sums[r][part]);
}

static void multiply(const float *a, size_t a_stride, int rows, const float *b, size_t depth, float *c) {
    for (; rows > 0; rows -= 4, a += 4 * a_stride, c += 4 * PR_STRIP) {
        switch (rows) {
        case 1: multiply_rows(a, a_stride, 1, b, depth, c); break;
        case 2: multiply_rows(a, a_stride, 2, b, depth, c); break;
        case 3: multiply_rows(a, a_stride, 3, b, depth, c); break;
        default: multiply_rows(a, a_stride, 4, b, depth, c); break;
        }
    }
}

static void pack_codes(const uint8_t *rows, size_t stride, size_t depth, int8_t *packed, uint8_t flip) {
    B16 flips = flip - (B16){0}, lines[4], halves[4];
    for (size_t k = 0; k < depth; k += 4, packed += 4 * PR_PANEL) {
        for (size_t line = 0; line < 4; line++) {
            lines[line] = flips ^ flips;
            if (k + line < depth) {
                memcpy(&lines[line], rows + (k + line) * stride, 16);
                lines[line] ^= flips;
            }
        }
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
        halves[0] = MIX(lines[0], lines[1], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        halves[1] = MIX(lines[0], lines[1], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        halves[2] = MIX(lines[2], lines[3], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        halves[3] = MIX(lines[2], lines[3], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        for (int half = 0; half < 2; half++) {
            B16 low = MIX(halves[half], halves[half + 2], 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
            B16 high = MIX(halves[half], halves[half + 2], 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
            memcpy(packed + 32 * half, &low, 16);
            memcpy(packed + 32 * half + 16, &high, 16);
        }
    }
}

static void scale_all(const int32_t *c, const float *scale, const float *bias, float *y, size_t count) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        VI whole;
        memcpy(&whole, c + i, sizeof whole);
        VF value = __builtin_convertvector(whole, VF) * load(scale + i);
        store(y + i, bias != NULL ? value + load(bias + i) : value);
    }
    for (; i < count; i++) y[i] = (float)c[i] * scale[i] + (bias != NULL ? bias[i] : 0.0f);
}

static float dot(const float *a, const void *b, size_t count) {
    VF total = {0};
    const char *at = b;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) total = FMA(load(a + i), load(at + 4 * i), total);
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += total[lane];
    for (; i < count; i++) {
        float value;
        memcpy(&value, at + 4 * i, sizeof value);
        sum += a[i] * value;
    }
    return sum;
}

static float dot_codes(const float *a, const int8_t *b, size_t count) {
    VF total = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        typedef int8_t V8 __attribute__((vector_size(LANES)));
        V8 codes;
        memcpy(&codes, b + i, sizeof codes);
        total = FMA(load(a + i), __builtin_convertvector(codes, VF), total);
    }
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += total[lane];
    for (; i < count; i++) sum += a[i] * (float)b[i];
    return sum;
}

const struct pr_kernels KERNELS = {
    KERNELS_NAME, exp_sum, gelu,         fast_gelu,      erf_all,    quantize,  find_range,
    layer_norm,   skip_norm, multiply, MULTIPLY_CODES, pack_codes, scale_all, dot, dot_codes, combine, absolute,
};

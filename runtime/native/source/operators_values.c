/* Operators that go element by element, or along an axis. */
#include <math.h>
#include <string.h>

#include "operators.h"

static inline float most(float a, float b) { return a > b || a != a ? a : b; }
static inline float least(float a, float b) { return a < b || a != a ? a : b; }

/* The shape of two values of which each axis is the same, or 1 in one of them. */
static bool joint_shape(const struct pr_tensor *a, const struct pr_tensor *b, int *rank, int64_t *dims) {
    *rank = a->rank > b->rank ? a->rank : b->rank;
    for (int axis = 0; axis < *rank; axis++) {
        int of_a = axis - (*rank - a->rank), of_b = axis - (*rank - b->rank);
        int64_t one = of_a < 0 ? 1 : a->dims[of_a], two = of_b < 0 ? 1 : b->dims[of_b];
        if (one != two && one != 1 && two != 1) return false;
        dims[axis] = one == 1 ? two : one;
    }
    return true;
}

static void strides_of(const struct pr_tensor *tensor, int rank, int64_t *strides) {
    int64_t stride = 1;
    for (int axis = rank - 1; axis >= 0; axis--) {
        int own = axis - (rank - tensor->rank);
        bool moves = own >= 0 && tensor->dims[own] != 1;
        strides[axis] = moves ? stride : 0;
        if (own >= 0) stride *= tensor->dims[own];
    }
}

static bool both(struct pr_graph *graph, struct pr_node *node, char sign) {
    const float *a = pr_floats(graph, node, 0), *b = a != NULL ? pr_floats(graph, node, 1) : NULL;
    if (b == NULL || node->input_count != 2) return pr_refuse(graph, node, "has another number of inputs than two");
    struct pr_tensor first = *pr_input(graph, node, 0), second = *pr_input(graph, node, 1);
    int rank;
    int64_t dims[PR_MOST_RANK], one[PR_MOST_RANK], two[PR_MOST_RANK], place[PR_MOST_RANK] = {0};
    if (!joint_shape(&first, &second, &rank, dims)) return pr_refuse(graph, node, "has inputs of different shapes");
    float *y = pr_output(graph, node, 0, PR_F32, rank, dims);
    if (y == NULL) return false;
    int64_t width = rank ? dims[rank - 1] : 1, rows = 1;
    for (int axis = 0; axis < rank - 1; axis++) rows *= dims[axis];
    strides_of(&first, rank, one);
    strides_of(&second, rank, two);
    int64_t step_a = rank ? one[rank - 1] : 0, step_b = rank ? two[rank - 1] : 0;
    for (int64_t row = 0; row < rows; row++, y += width) {
        const float *at = a, *bt = b;
        for (int axis = 0; axis < rank - 1; axis++) at += place[axis] * one[axis], bt += place[axis] * two[axis];
        if (sign == '<')
            for (int64_t i = 0; i < width; i++) y[i] = least(at[i * step_a], bt[i * step_b]);
        else if (sign == '>')
            for (int64_t i = 0; i < width; i++) y[i] = most(at[i * step_a], bt[i * step_b]);
        else
            pr_kernels()->combine(sign, at, step_a != 0, bt, step_b != 0, y, (size_t)width);
        for (int axis = rank - 2; axis >= 0 && ++place[axis] == dims[axis]; axis--) place[axis] = 0;
    }
    return true;
}

bool pr_op_add(struct pr_graph *graph, struct pr_node *node) { return both(graph, node, '+'); }
bool pr_op_sub(struct pr_graph *graph, struct pr_node *node) { return both(graph, node, '-'); }
bool pr_op_div(struct pr_graph *graph, struct pr_node *node) { return both(graph, node, '/'); }
bool pr_op_max(struct pr_graph *graph, struct pr_node *node) { return both(graph, node, '>'); }
bool pr_op_min(struct pr_graph *graph, struct pr_node *node) { return both(graph, node, '<'); }

bool pr_op_mul(struct pr_graph *graph, struct pr_node *node) {
    const struct pr_tensor *a = pr_input(graph, node, 0), *b = pr_input(graph, node, 1);
    bool codes = a != NULL && a->widened && a->type == PR_I8 && a->columns == NULL && node->done;
    if (!codes) return both(graph, node, '*');
    /* Codes of a large matrix times a scale for each column: left as they are until they are multiplied. */
    if (b == NULL || b->type != PR_F32 || a->rank < 1 || b->count != a->dims[a->rank - 1] || b->dims[b->rank - 1] != b->count)
        return pr_refuse(graph, node, "has other scales than one for each column");
    struct pr_tensor made = *a;
    made.columns = pr_floats(graph, node, 1);
    if (made.columns == NULL || node->output_count != 1 || node->outputs[0] < 0) return false;
    graph->values[node->outputs[0]] = made;
    return true;
}

typedef float unary(float value);

static float negative(float value) { return -value; }
static float to_even(float value) { return rintf(value); }
static float positive(float value) { return value > 0 || value != value ? value : 0; }

static inline __attribute__((always_inline)) bool each(struct pr_graph *graph, struct pr_node *node, unary *of) {
    const float *x = pr_floats(graph, node, 0);
    if (x == NULL) return false;
    struct pr_tensor in = *pr_input(graph, node, 0);
    float *y = pr_output(graph, node, 0, PR_F32, in.rank, in.dims);
    for (int64_t i = 0; y != NULL && i < in.count; i++) y[i] = of(x[i]);
    return y != NULL;
}

/* All elements at once. */
static bool by(struct pr_graph *graph, struct pr_node *node, void (*of)(const float *x, float *y, size_t count)) {
    const float *x = pr_floats(graph, node, 0);
    if (x == NULL) return false;
    struct pr_tensor in = *pr_input(graph, node, 0);
    float *y = pr_output(graph, node, 0, PR_F32, in.rank, in.dims);
    if (y != NULL) of(x, y, (size_t)in.count);
    return y != NULL;
}

bool pr_op_abs(struct pr_graph *graph, struct pr_node *node) { return by(graph, node, pr_kernels()->absolute); }
bool pr_op_neg(struct pr_graph *graph, struct pr_node *node) { return each(graph, node, negative); }
bool pr_op_floor(struct pr_graph *graph, struct pr_node *node) { return each(graph, node, floorf); }
bool pr_op_round(struct pr_graph *graph, struct pr_node *node) { return each(graph, node, to_even); }
bool pr_op_sqrt(struct pr_graph *graph, struct pr_node *node) { return each(graph, node, sqrtf); }
bool pr_op_relu(struct pr_graph *graph, struct pr_node *node) { return each(graph, node, positive); }
bool pr_op_exp(struct pr_graph *graph, struct pr_node *node) { return each(graph, node, expf); }
bool pr_op_tanh(struct pr_graph *graph, struct pr_node *node) { return each(graph, node, tanhf); }

bool pr_op_erf(struct pr_graph *graph, struct pr_node *node) { return by(graph, node, pr_kernels()->erf); }

/* A value of `width` columns whose input `number` is a vector of as many, or is missing. */
static bool fits(struct pr_graph *graph, const struct pr_node *node, int number, int64_t width, const float **vector) {
    *vector = NULL;
    const struct pr_tensor *tensor = pr_input(graph, node, number);
    if (tensor == NULL) return true;
    *vector = pr_floats(graph, node, number);
    if (*vector == NULL) return false;
    return tensor->count == width || pr_refuse(graph, node, "has a vector of another length than its rows");
}

static bool gelu(struct pr_graph *graph, struct pr_node *node,
                 void (*of)(const float *x, const float *bias, float *y, size_t count)) {
    const float *x = pr_floats(graph, node, 0), *bias;
    if (x == NULL) return false;
    struct pr_tensor in = *pr_input(graph, node, 0);
    if (in.rank < 1 || in.dims[in.rank - 1] < 1) return pr_refuse(graph, node, "has an empty input");
    int64_t width = in.dims[in.rank - 1];
    if (!fits(graph, node, 1, width, &bias)) return false;
    float *y = pr_output(graph, node, 0, PR_F32, in.rank, in.dims);
    for (int64_t i = 0; y != NULL && i < in.count; i += width) of(x + i, bias, y + i, (size_t)width);
    return y != NULL;
}

bool pr_op_bias_gelu(struct pr_graph *graph, struct pr_node *node) { return gelu(graph, node, pr_kernels()->gelu); }
bool pr_op_fast_gelu(struct pr_graph *graph, struct pr_node *node) { return gelu(graph, node, pr_kernels()->fast_gelu); }

bool pr_op_softmax(struct pr_graph *graph, struct pr_node *node) {
    const float *x = pr_floats(graph, node, 0);
    int axis;
    if (x == NULL) return false;
    struct pr_tensor in = *pr_input(graph, node, 0);
    if (!pr_axis(pr_integer_of(node, "axis", -1), in.rank, &axis) || axis != in.rank - 1 || in.dims[axis] < 1)
        return pr_refuse(graph, node, "works on another axis than the last");
    float *y = pr_output(graph, node, 0, PR_F32, in.rank, in.dims);
    int64_t width = in.dims[axis];
    for (int64_t row = 0; y != NULL && row < in.count; row += width) {
        float low = x[row], high = x[row];
        pr_kernels()->range(x + row, (size_t)width, &low, &high);
        float sum = pr_kernels()->exp_sum(x + row, y + row, (size_t)width, -high);
        for (int64_t i = 0; i < width; i++) y[row + i] *= 1.0f / sum;
    }
    return y != NULL;
}

/* How a value divides at an axis: [before, extent, behind]. */
struct parts {
    int64_t before, extent, behind;
};

static struct parts parts_of(const struct pr_tensor *tensor, int axis) {
    struct parts parts = {1, tensor->dims[axis], 1};
    for (int place = 0; place < axis; place++) parts.before *= tensor->dims[place];
    for (int place = axis + 1; place < tensor->rank; place++) parts.behind *= tensor->dims[place];
    return parts;
}

bool pr_op_lp_normalization(struct pr_graph *graph, struct pr_node *node) {
    const float *x = pr_floats(graph, node, 0);
    int axis;
    if (x == NULL) return false;
    struct pr_tensor in = *pr_input(graph, node, 0);
    if (pr_integer_of(node, "p", 2) != 2 || !pr_axis(pr_integer_of(node, "axis", -1), in.rank, &axis))
        return pr_refuse(graph, node, "has another norm than 2, or another axis than there is");
    float *y = pr_output(graph, node, 0, PR_F32, in.rank, in.dims);
    if (y == NULL) return false;
    struct parts parts = parts_of(&in, axis);
    for (int64_t row = 0; row < parts.before; row++)
        for (int64_t column = 0; column < parts.behind; column++) {
            int64_t start = row * parts.extent * parts.behind + column;
            double sum = 0;
            for (int64_t i = 0; i < parts.extent; i++) sum += (double)x[start + i * parts.behind] * x[start + i * parts.behind];
            float norm = (float)sqrt(sum);
            for (int64_t i = 0; i < parts.extent; i++)
                y[start + i * parts.behind] = norm != 0 ? x[start + i * parts.behind] / norm : 0;
        }
    return true;
}

enum reduction { REDUCE_MAX, REDUCE_SUM, REDUCE_L2 };

static bool reduce(struct pr_graph *graph, struct pr_node *node, enum reduction kind) {
    const float *x = pr_floats(graph, node, 0);
    const struct pr_attribute *axes = pr_attribute_of(node, "axes");
    const struct pr_tensor *given = pr_input(graph, node, 1);
    int64_t wanted = axes != NULL && axes->list_count == 1 ? axes->list[0] : INT64_MAX;
    if (given != NULL && given->type == PR_I64 && given->count == 1) memcpy(&wanted, given->data, sizeof wanted);
    int axis;
    if (x == NULL) return false;
    struct pr_tensor in = *pr_input(graph, node, 0);
    if (!pr_axis(wanted, in.rank, &axis) || in.dims[axis] < 1) return pr_refuse(graph, node, "works on more than one axis");
    bool kept = pr_integer_of(node, "keepdims", 1) != 0;
    int64_t dims[PR_MOST_RANK];
    int rank = 0;
    for (int place = 0; place < in.rank; place++)
        if (place != axis || kept) dims[rank++] = place == axis ? 1 : in.dims[place];
    float *y = pr_output(graph, node, 0, PR_F32, rank, dims);
    if (y == NULL) return false;
    struct parts parts = parts_of(&in, axis);
    for (int64_t row = 0; row < parts.before; row++)
        for (int64_t column = 0; column < parts.behind; column++) {
            const float *at = x + row * parts.extent * parts.behind + column;
            float value = kind == REDUCE_MAX ? *at : 0;
            if (kind == REDUCE_MAX && parts.behind == 1) {
                float low = *at;
                pr_kernels()->range(at, (size_t)parts.extent, &low, &value);
            } else {
                for (int64_t i = 0; i < parts.extent; i++) {
                    float next = at[i * parts.behind];
                    value = kind == REDUCE_MAX ? most(value, next) : value + (kind == REDUCE_L2 ? next * next : next);
                }
            }
            *y++ = kind == REDUCE_L2 ? sqrtf(value) : value;
        }
    return true;
}

bool pr_op_reduce_max(struct pr_graph *graph, struct pr_node *node) { return reduce(graph, node, REDUCE_MAX); }
bool pr_op_reduce_sum(struct pr_graph *graph, struct pr_node *node) { return reduce(graph, node, REDUCE_SUM); }
bool pr_op_reduce_l2(struct pr_graph *graph, struct pr_node *node) { return reduce(graph, node, REDUCE_L2); }

static bool normalize(struct pr_graph *graph, struct pr_node *node, const struct pr_tensor *in, const float *x, float *y,
                      bool fused) {
    int weight_place = fused ? 2 : 1;
    const struct pr_attribute *epsilon = pr_attribute_of(node, "epsilon");
    const float *weight, *bias;
    int64_t width = in->dims[in->rank - 1];
    if (!fits(graph, node, weight_place, width, &weight) || !fits(graph, node, weight_place + 1, width, &bias)) return false;
    if (weight == NULL) return pr_refuse(graph, node, "has no weights");
    const struct pr_kernels *kernels = pr_kernels();
    (fused ? kernels->skip_norm : kernels->layer_norm)(x, weight, bias, y, (size_t)(in->count / width), (size_t)width,
                                                       epsilon != NULL ? epsilon->real : 1e-5f);
    return true;
}

bool pr_op_layer_normalization(struct pr_graph *graph, struct pr_node *node) {
    const float *x = pr_floats(graph, node, 0);
    int axis;
    if (x == NULL) return false;
    struct pr_tensor in = *pr_input(graph, node, 0);
    if (!pr_axis(pr_integer_of(node, "axis", -1), in.rank, &axis) || axis != in.rank - 1 || in.dims[axis] < 1)
        return pr_refuse(graph, node, "works on another axis than the last");
    float *y = pr_output(graph, node, 0, PR_F32, in.rank, in.dims);
    return y != NULL && normalize(graph, node, &in, x, y, false);
}

bool pr_op_skip_layer_normalization(struct pr_graph *graph, struct pr_node *node) {
    const float *x = pr_floats(graph, node, 0), *skip = x != NULL ? pr_floats(graph, node, 1) : NULL, *bias;
    if (skip == NULL) return false;
    struct pr_tensor in = *pr_input(graph, node, 0);
    int64_t other = pr_input(graph, node, 1)->count;
    if (in.rank < 1 || in.dims[in.rank - 1] < 1 || other < 1 || in.count % other != 0 ||
        other % in.dims[in.rank - 1] != 0)
        return pr_refuse(graph, node, "adds values of different shapes");
    int64_t width = in.dims[in.rank - 1];
    if (!fits(graph, node, 4, width, &bias)) return false;
    float *y = pr_output(graph, node, 0, PR_F32, in.rank, in.dims);
    if (y == NULL) return false;
    for (int64_t row = 0; row < in.count; row += width) {
        const float *added = skip + row % other;
        for (int64_t i = 0; i < width; i++) y[row + i] = x[row + i] + added[i];
        for (int64_t i = 0; bias != NULL && i < width; i++) y[row + i] += bias[i];
    }
    return normalize(graph, node, &in, y, y, true);
}

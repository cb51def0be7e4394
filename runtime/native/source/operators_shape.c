/* Operators that move values, look them up, or change their type or shape. */
#include <string.h>

#include "operators.h"

enum { LARGE = 1 << 18 }; /* a constant of more elements is widened where it is used */

static int64_t whole_at(const struct pr_tensor *tensor, int64_t place) {
    int64_t wide = 0;
    int32_t narrow;
    if (tensor->type == PR_I64) {
        memcpy(&wide, (const char *)tensor->data + 8 * place, sizeof wide);
        return wide;
    }
    memcpy(&narrow, (const char *)tensor->data + 4 * place, sizeof narrow);
    return narrow;
}

static bool whole(const struct pr_tensor *tensor) {
    return tensor != NULL && (tensor->type == PR_I64 || tensor->type == PR_I32);
}

static bool same_data(struct pr_graph *graph, struct pr_node *node, int rank, const int64_t *dims) {
    struct pr_tensor in = *pr_input(graph, node, 0);
    if (in.widened) return pr_refuse(graph, node, "has an input that is looked up or multiplied alone");
    char *y = pr_output(graph, node, 0, in.type, rank, dims);
    if (y == NULL) return false;
    if (graph->values[node->outputs[0]].count != in.count) return pr_refuse(graph, node, "changes the number of elements");
    if (in.count > 0) memcpy(y, in.data, (size_t)in.count * pr_type_bytes(in.type));
    return true;
}

static float float_at(const struct pr_tensor *tensor, int64_t place) {
    const char *at = (const char *)tensor->data + (size_t)place * pr_type_bytes(tensor->type);
    float value;
    uint16_t half;
    switch (tensor->type) {
    case PR_U8:
    case PR_BOOL: return *(const uint8_t *)at;
    case PR_I8: return *(const int8_t *)at;
    case PR_F16: memcpy(&half, at, sizeof half); return pr_half(half);
    case PR_F32: memcpy(&value, at, sizeof value); return value;
    default: return (float)whole_at(tensor, place);
    }
}

bool pr_op_cast(struct pr_graph *graph, struct pr_node *node) {
    struct pr_tensor *x = pr_input(graph, node, 0);
    enum pr_type to = (enum pr_type)pr_integer_of(node, "to", 0);
    if (x == NULL || x->widened) return pr_refuse(graph, node, "has no input of its own");
    struct pr_tensor in = *x;
    if (in.type == to) return same_data(graph, node, in.rank, in.dims);
    if (to == PR_F32 && node->done && in.count > LARGE && (in.type == PR_F16 || in.type == PR_I8)) {
        if (node->output_count != 1 || node->outputs[0] < 0) return pr_refuse(graph, node, "has another number of outputs");
        in.widened = true;
        graph->values[node->outputs[0]] = in;
        return true;
    }
    if (to == PR_F32) {
        float *y = pr_output(graph, node, 0, PR_F32, in.rank, in.dims);
        for (int64_t i = 0; y != NULL && i < in.count; i++) y[i] = float_at(&in, i);
        return y != NULL;
    }
    if (to == PR_I32 && in.type == PR_I64) {
        int32_t *y = pr_output(graph, node, 0, PR_I32, in.rank, in.dims);
        for (int64_t i = 0; y != NULL && i < in.count; i++) y[i] = (int32_t)(uint32_t)(uint64_t)whole_at(&in, i);
        return y != NULL;
    }
    return pr_refuse(graph, node, "changes types in a way that is not known here");
}

bool pr_op_gather(struct pr_graph *graph, struct pr_node *node) {
    struct pr_tensor *data = pr_input(graph, node, 0), *indices = pr_input(graph, node, 1);
    int axis, rank = 0;
    if (data == NULL || !whole(indices) || !pr_axis(pr_integer_of(node, "axis", 0), data->rank, &axis))
        return pr_refuse(graph, node, "has inputs that do not fit");
    struct pr_tensor in = *data, wanted = *indices;
    if (in.rank - 1 + wanted.rank > PR_MOST_RANK || in.columns != NULL) return pr_refuse(graph, node, "has too many axes");
    int64_t dims[PR_MOST_RANK], before = 1, behind = 1;
    for (int place = 0; place < axis; place++) before *= dims[rank++] = in.dims[place];
    for (int place = 0; place < wanted.rank; place++) dims[rank++] = wanted.dims[place];
    for (int place = axis + 1; place < in.rank; place++) behind *= dims[rank++] = in.dims[place];
    enum pr_type type = in.widened ? PR_F32 : in.type;
    char *y = pr_output(graph, node, 0, type, rank, dims);
    if (y == NULL) return false;
    size_t from = pr_type_bytes(in.type), to = pr_type_bytes(type);
    for (int64_t outer = 0; outer < before; outer++)
        for (int64_t place = 0; place < wanted.count; place++, y += (size_t)behind * to) {
            int64_t index = whole_at(&wanted, place);
            if (index < 0) index += in.dims[axis];
            if (index < 0 || index >= in.dims[axis]) return pr_refuse(graph, node, "looks up a row that is not there");
            int64_t start = (outer * in.dims[axis] + index) * behind;
            if (!in.widened) {
                memcpy(y, (const char *)in.data + (size_t)start * from, (size_t)behind * from);
                continue;
            }
            for (int64_t i = 0; i < behind; i++) {
                float value = float_at(&in, start + i);
                memcpy(y + 4 * i, &value, sizeof value);
            }
        }
    return true;
}

bool pr_op_gather_block_quantized(struct pr_graph *graph, struct pr_node *node) {
    struct pr_tensor *data = pr_input(graph, node, 0), *indices = pr_input(graph, node, 1);
    const struct pr_tensor *scales = pr_input(graph, node, 2);
    int64_t block = pr_integer_of(node, "block_size", 128);
    bool known = data != NULL && whole(indices) && scales != NULL && data->type == PR_U8 && data->rank == 2 &&
                 (scales->type == PR_F32 || scales->type == PR_F16) && scales->rank == 2 && scales->columns == NULL &&
                 indices->rank < PR_MOST_RANK && pr_integer_of(node, "bits", 4) == 4 && node->input_count == 3 &&
                 pr_integer_of(node, "gather_axis", 0) == 0 && pr_integer_of(node, "quantize_axis", 1) == 1 && block >= 16;
    int64_t width = known ? data->dims[1] * 2 : 0;
    if (!known || scales->dims[0] != data->dims[0] || scales->dims[1] != (width + block - 1) / block)
        return pr_refuse(graph, node, "has inputs that do not fit");
    struct pr_tensor in = *data, wanted = *indices, steps = *scales;
    int64_t dims[PR_MOST_RANK];
    memcpy(dims, wanted.dims, sizeof wanted.dims);
    dims[wanted.rank] = width;
    float *y = pr_output(graph, node, 0, PR_F32, wanted.rank + 1, dims);
    if (y == NULL) return false;
    for (int64_t place = 0; place < wanted.count; place++, y += width) {
        int64_t row = whole_at(&wanted, place);
        if (row < 0) row += in.dims[0];
        if (row < 0 || row >= in.dims[0]) return pr_refuse(graph, node, "looks up a row that is not there");
        const uint8_t *pairs = (const uint8_t *)in.data + row * in.dims[1];
        for (int64_t start = 0; start < width; start += block) {
            float step = float_at(&steps, row * steps.dims[1] + start / block);
            for (int64_t i = start; i < width && i < start + block; i++)
                y[i] = (float)((pairs[i / 2] >> (i % 2 * 4) & 15) - 8) * step;
        }
    }
    return true;
}

bool pr_op_shape(struct pr_graph *graph, struct pr_node *node) {
    struct pr_tensor *x = pr_input(graph, node, 0);
    if (x == NULL) return pr_refuse(graph, node, "has no input");
    struct pr_tensor in = *x;
    int64_t start = pr_integer_of(node, "start", 0), end = pr_integer_of(node, "end", in.rank);
    if (start < 0) start += in.rank;
    if (end < 0) end += in.rank;
    if (start < 0 || end > in.rank || start > end) return pr_refuse(graph, node, "asks for axes that are not there");
    int64_t count = end - start, *y = pr_output(graph, node, 0, PR_I64, 1, &count);
    if (y != NULL && count > 0) memcpy(y, in.dims + start, (size_t)count * sizeof *y);
    return y != NULL;
}

/* Copy `extent` places of an axis from `start` on into output `number`. */
static bool copy_part(struct pr_graph *graph, struct pr_node *node, int number, int axis, int64_t start, int64_t extent) {
    struct pr_tensor in = *pr_input(graph, node, 0);
    int64_t dims[PR_MOST_RANK], before = 1, behind = (int64_t)pr_type_bytes(in.type);
    if (in.widened) return pr_refuse(graph, node, "has an input that is looked up or multiplied alone");
    memcpy(dims, in.dims, sizeof in.dims);
    dims[axis] = extent;
    for (int place = 0; place < axis; place++) before *= in.dims[place];
    for (int place = axis + 1; place < in.rank; place++) behind *= in.dims[place];
    char *y = pr_output(graph, node, number, in.type, in.rank, dims);
    for (int64_t row = 0; y != NULL && row < before; row++)
        if (extent * behind > 0)
            memcpy(y + row * extent * behind, (const char *)in.data + (row * in.dims[axis] + start) * behind,
                   (size_t)(extent * behind));
    return y != NULL;
}

bool pr_op_slice(struct pr_graph *graph, struct pr_node *node) {
    const struct pr_tensor *x = pr_input(graph, node, 0), *limits[3] = {NULL};
    int axis;
    bool single = x != NULL;
    for (int place = 0; place < 3; place++) {
        limits[place] = pr_input(graph, node, place + 1);
        single = single && whole(limits[place]) && limits[place]->count == 1;
    }
    if (!single || pr_input(graph, node, 4) != NULL || !pr_axis(whole_at(limits[2], 0), x->rank, &axis))
        return pr_refuse(graph, node, "cuts more than one axis, or in steps");
    int64_t extent = x->dims[axis], start = whole_at(limits[0], 0), end = whole_at(limits[1], 0);
    if (start < 0) start += extent;
    if (end < 0) end += extent;
    end = end > extent ? extent : end;
    if (start < 0 || start > end) return pr_refuse(graph, node, "cuts places that are not there");
    return copy_part(graph, node, 0, axis, start, end - start);
}

bool pr_op_split(struct pr_graph *graph, struct pr_node *node) {
    const struct pr_tensor *x = pr_input(graph, node, 0);
    int axis;
    if (x == NULL || !pr_axis(pr_integer_of(node, "axis", 0), x->rank, &axis) || node->output_count < 1 ||
        x->dims[axis] % node->output_count != 0 || pr_input(graph, node, 1) != NULL)
        return pr_refuse(graph, node, "cuts parts that are not equal");
    int64_t extent = x->dims[axis] / node->output_count;
    for (int number = 0; number < node->output_count; number++)
        if (!copy_part(graph, node, number, axis, number * extent, extent)) return false;
    return true;
}

bool pr_op_concat(struct pr_graph *graph, struct pr_node *node) {
    const struct pr_tensor *first = pr_input(graph, node, 0);
    int axis;
    if (first == NULL || !pr_axis(pr_integer_of(node, "axis", 0), first->rank, &axis))
        return pr_refuse(graph, node, "has another axis than there is");
    int64_t dims[PR_MOST_RANK], before = 1, behind = (int64_t)pr_type_bytes(first->type), extent = 0;
    memcpy(dims, first->dims, sizeof dims);
    struct pr_tensor shape = *first;
    for (int number = 0; number < node->input_count; number++) {
        const struct pr_tensor *part = pr_input(graph, node, number);
        bool same = part != NULL && part->type == shape.type && part->rank == shape.rank && !part->widened;
        for (int place = 0; same && place < shape.rank; place++)
            same = place == axis || part->dims[place] == shape.dims[place];
        if (!same) return pr_refuse(graph, node, "joins values that do not fit");
        extent += part->dims[axis];
    }
    dims[axis] = extent;
    for (int place = 0; place < axis; place++) before *= dims[place];
    for (int place = axis + 1; place < shape.rank; place++) behind *= dims[place];
    char *y = pr_output(graph, node, 0, shape.type, shape.rank, dims);
    if (y == NULL) return false;
    for (int64_t row = 0; row < before; row++)
        for (int number = 0; number < node->input_count; number++) {
            const struct pr_tensor *part = pr_input(graph, node, number);
            int64_t bytes = part->dims[axis] * behind;
            if (bytes > 0) memcpy(y, (const char *)part->data + row * bytes, (size_t)bytes);
            y += bytes;
        }
    return true;
}

/* The axes of Squeeze and Unsqueeze, as a set of bits. */
static bool axes_of(struct pr_graph *graph, const struct pr_node *node, int rank, unsigned int *set) {
    const struct pr_tensor *axes = pr_input(graph, node, 1);
    *set = 0;
    if (!whole(axes) || axes->count > PR_MOST_RANK) return false;
    for (int64_t place = 0; place < axes->count; place++) {
        int axis;
        if (!pr_axis(whole_at(axes, place), rank, &axis) || *set >> axis & 1) return false;
        *set |= 1u << axis;
    }
    return true;
}

bool pr_op_squeeze(struct pr_graph *graph, struct pr_node *node) {
    const struct pr_tensor *x = pr_input(graph, node, 0);
    unsigned int set;
    int64_t dims[PR_MOST_RANK];
    int rank = 0;
    if (x == NULL || !axes_of(graph, node, x->rank, &set)) return pr_refuse(graph, node, "has axes that do not fit");
    for (int place = 0; place < x->rank; place++)
        if (!(set >> place & 1)) dims[rank++] = x->dims[place];
    return same_data(graph, node, rank, dims);
}

bool pr_op_unsqueeze(struct pr_graph *graph, struct pr_node *node) {
    const struct pr_tensor *x = pr_input(graph, node, 0), *axes = pr_input(graph, node, 1);
    unsigned int set;
    int64_t dims[PR_MOST_RANK];
    if (x == NULL || axes == NULL || axes->count > PR_MOST_RANK - x->rank ||
        !axes_of(graph, node, x->rank + (int)axes->count, &set))
        return pr_refuse(graph, node, "has axes that do not fit");
    int rank = x->rank + (int)axes->count, from = 0;
    for (int place = 0; place < rank; place++) dims[place] = set >> place & 1 ? 1 : x->dims[from++];
    return same_data(graph, node, rank, dims);
}

bool pr_op_reshape(struct pr_graph *graph, struct pr_node *node) {
    const struct pr_tensor *x = pr_input(graph, node, 0), *shape = pr_input(graph, node, 1);
    if (x == NULL || !whole(shape) || shape->count > PR_MOST_RANK) return pr_refuse(graph, node, "has a shape that does not fit");
    int64_t dims[PR_MOST_RANK], known = 1;
    int open = -1, rank = (int)shape->count;
    for (int place = 0; place < rank; place++) {
        dims[place] = whole_at(shape, place);
        if (dims[place] == 0 && place < x->rank) dims[place] = x->dims[place];
        if (dims[place] == -1 && open < 0) open = place;
        else if (dims[place] <= 0 || dims[place] > INT32_MAX || known > INT32_MAX) return pr_refuse(graph, node, "has a shape that does not fit");
        else known *= dims[place];
    }
    if (open >= 0) dims[open] = x->count / known;
    return same_data(graph, node, rank, dims);
}

bool pr_op_transpose(struct pr_graph *graph, struct pr_node *node) {
    const struct pr_tensor *x = pr_input(graph, node, 0);
    const struct pr_attribute *order = pr_attribute_of(node, "perm");
    if (x == NULL || x->widened || order == NULL || order->list_count != x->rank)
        return pr_refuse(graph, node, "has an order that does not fit");
    struct pr_tensor in = *x;
    int64_t dims[PR_MOST_RANK], strides[PR_MOST_RANK], own[PR_MOST_RANK], place[PR_MOST_RANK] = {0}, stride = 1;
    unsigned int seen = 0;
    for (int axis = in.rank - 1; axis >= 0; axis--) own[axis] = stride, stride *= in.dims[axis];
    for (int axis = 0; axis < in.rank; axis++) {
        int from;
        if (!pr_axis(order->list[axis], in.rank, &from) || seen >> from & 1) return pr_refuse(graph, node, "has an order that does not fit");
        seen |= 1u << from;
        dims[axis] = in.dims[from];
        strides[axis] = own[from];
    }
    size_t size = pr_type_bytes(in.type);
    char *y = pr_output(graph, node, 0, in.type, in.rank, dims);
    for (int64_t i = 0; y != NULL && i < in.count; i++, y += size) {
        int64_t at = 0;
        for (int axis = 0; axis < in.rank; axis++) at += place[axis] * strides[axis];
        memcpy(y, (const char *)in.data + (size_t)at * size, size);
        for (int axis = in.rank - 1; axis >= 0 && ++place[axis] == dims[axis]; axis--) place[axis] = 0;
    }
    return y != NULL || in.count == 0;
}

/* Products, what quantizes their factors, and attention. */
#include <math.h>
#include <string.h>

#include "operators.h"
#include "products.h"

/* ---- Floats ---- */

bool pr_op_matmul(struct pr_graph *graph, struct pr_node *node) {
    const float *a = pr_floats(graph, node, 0);
    const struct pr_tensor *second = pr_input(graph, node, 1);
    if (a == NULL || second == NULL) return pr_refuse(graph, node, "has an input that is missing");
    struct pr_tensor x = *pr_input(graph, node, 0), y = *second;
    bool floats = y.type == PR_F32 || (y.widened && (y.type == PR_F16 || y.type == PR_I8));
    bool fit = floats && x.rank >= 2 && y.rank >= 2 && x.dims[x.rank - 1] == y.dims[y.rank - 2];
    bool shared = y.rank == 2; /* one matrix for all of the first factor */
    for (int axis = 0; fit && !shared && axis < x.rank - 2; axis++)
        fit = x.rank == y.rank && x.dims[axis] == y.dims[axis];
    if (!fit || (!shared && x.rank != y.rank)) return pr_refuse(graph, node, "has factors that do not fit");
    int64_t dims[PR_MOST_RANK], depth = x.dims[x.rank - 1], width = y.dims[y.rank - 1];
    memcpy(dims, x.dims, sizeof dims);
    dims[x.rank - 1] = width;
    float *c = pr_output(graph, node, 0, PR_F32, x.rank, dims);
    if (c == NULL) return false;
    if (depth == 0 || x.count == 0) return pr_refuse(graph, node, "has an empty factor");
    int64_t rows = shared ? x.count / depth : x.dims[x.rank - 2], batches = x.count / depth / rows;
    size_t bytes = pr_type_bytes(y.type);
    for (int64_t batch = 0; batch < batches; batch++) {
        const char *data = (const char *)y.data + (shared ? 0 : (size_t)(batch * depth * width) * bytes);
        struct pr_matrix matrix = {y.type, data, y.columns, (size_t)depth, (size_t)width, (size_t)width, 1};
        if (!pr_multiply(graph, a + batch * rows * depth, (size_t)depth, (size_t)rows, &matrix, c + batch * rows * width,
                         (size_t)width, 1.0f))
            return pr_fail(graph->error, "no memory for a product");
    }
    return true;
}

/* ---- Codes ---- */

/* Check the shapes of a product of codes and fill in what they say. */
static bool fit_codes(struct pr_graph *graph, struct pr_node *node, const struct pr_tensor *x, struct pr_codes *codes,
                      int64_t *dims) {
    const struct pr_tensor *b = pr_input(graph, node, 1);
    bool fit = b != NULL && !b->widened && (b->type == PR_I8 || b->type == PR_U8) && b->rank == 2 && x->rank >= 2 &&
               x->dims[x->rank - 1] == b->dims[0] && b->dims[0] > 0 && b->dims[1] > 0;
    if (!fit) return pr_refuse(graph, node, "has factors that do not fit");
    codes->b = b;
    codes->depth = (size_t)b->dims[0];
    codes->width = (size_t)b->dims[1];
    codes->rows = (size_t)x->count / codes->depth;
    memcpy(dims, x->dims, sizeof x->dims);
    dims[x->rank - 1] = b->dims[1];
    return true;
}

/* scales[j] = factor * input[j], in the graph's scratch; behind them there is room for `more` bytes. */
static float *scales_of(struct pr_graph *graph, struct pr_node *node, int number, size_t width, float factor, size_t more) {
    const float *given = pr_floats(graph, node, number);
    if (given == NULL) return NULL;
    int64_t count = pr_input(graph, node, number)->count;
    if (count != 1 && count != (int64_t)width) {
        pr_refuse(graph, node, "has another number of scales than columns");
        return NULL;
    }
    if (!pr_reserve(&graph->spare, width * sizeof(float) + more, 1)) {
        pr_fail(graph->error, "no memory for a product");
        return NULL;
    }
    float *scales = graph->spare.data;
    for (size_t j = 0; j < width; j++) scales[j] = factor * given[count == 1 ? 0 : j];
    return scales;
}

static bool bias_of(struct pr_graph *graph, struct pr_node *node, int number, size_t width, const float **bias) {
    const struct pr_tensor *tensor = pr_input(graph, node, number);
    *bias = NULL;
    if (tensor == NULL) return true;
    *bias = pr_floats(graph, node, number);
    return *bias != NULL && (tensor->count == (int64_t)width || pr_refuse(graph, node, "has a bias of another length"));
}

/* One scale for all values, from their range and zero. */
static void range_of(const float *x, size_t count, float *scale, int *zero) {
    float low = 0, high = 0;
    pr_kernels()->range(x, count, &low, &high);
    *scale = high == low ? 1.0f : (high - low) / 255.0f;
    float place = 0.0f - low / *scale;
    place = place > 0 ? place < 255.0f ? place : 255.0f : 0;
    *zero = (int)rintf(place);
}

bool pr_op_dynamic_quantize_matmul(struct pr_graph *graph, struct pr_node *node) {
    const float *a = pr_floats(graph, node, 0);
    struct pr_codes codes = {0};
    int64_t dims[PR_MOST_RANK];
    float scale;
    if (a == NULL) return false;
    struct pr_tensor x = *pr_input(graph, node, 0);
    if (!fit_codes(graph, node, &x, &codes, dims) || !pr_one_code(graph, node, 3, &codes.b_zero)) return false;
    if (!bias_of(graph, node, 4, codes.width, &codes.bias)) return false;
    range_of(a, (size_t)x.count, &scale, &codes.a_zero);
    float *scales = scales_of(graph, node, 2, codes.width, scale, (size_t)x.count + PR_SLACK);
    if (scales == NULL) return false;
    uint8_t *quantized = (uint8_t *)(scales + codes.width);
    pr_kernels()->quantize(a, quantized, (size_t)x.count, scale, codes.a_zero);
    codes.a = quantized;
    codes.scales = scales;
    codes.c = pr_output(graph, node, 0, PR_F32, x.rank, dims);
    return codes.c != NULL && pr_multiply_codes(graph, node, &codes);
}

/* The first factor as unsigned codes, with PR_SLACK bytes behind them: signed ones are moved by 128 in `moved`, which
 * has room for them. */
static const uint8_t *unsigned_codes(const struct pr_tensor *x, uint8_t *moved, int *zero) {
    if (x->type == PR_U8 && !x->constant) return x->data;
    const uint8_t *from = x->data;
    uint8_t flip = x->type == PR_I8 ? 0x80 : 0;
    for (int64_t i = 0; i < x->count; i++) moved[i] = from[i] ^ flip;
    *zero += flip;
    return moved;
}

bool pr_op_matmul_integer(struct pr_graph *graph, struct pr_node *node) {
    struct pr_tensor *first = pr_input(graph, node, 0);
    struct pr_codes codes = {0};
    int64_t dims[PR_MOST_RANK];
    if (first == NULL || first->widened || (first->type != PR_U8 && first->type != PR_I8))
        return pr_refuse(graph, node, "has a first factor of another type than 8 bits");
    struct pr_tensor x = *first;
    if (!fit_codes(graph, node, &x, &codes, dims) || !pr_one_code(graph, node, 2, &codes.a_zero)) return false;
    if (!pr_one_code(graph, node, 3, &codes.b_zero)) return false;
    if (!pr_reserve(&graph->spare, (size_t)x.count + PR_SLACK, 1)) return pr_fail(graph->error, "no memory for a product");
    codes.a = unsigned_codes(&x, graph->spare.data, &codes.a_zero);
    codes.c = pr_output(graph, node, 0, PR_I32, x.rank, dims);
    return codes.c != NULL && pr_multiply_codes(graph, node, &codes);
}

bool pr_op_matmul_integer_to_float(struct pr_graph *graph, struct pr_node *node) {
    struct pr_tensor *first = pr_input(graph, node, 0);
    struct pr_codes codes = {0};
    int64_t dims[PR_MOST_RANK];
    float scale;
    if (first == NULL || first->widened || (first->type != PR_U8 && first->type != PR_I8))
        return pr_refuse(graph, node, "has a first factor of another type than 8 bits");
    struct pr_tensor x = *first;
    if (!fit_codes(graph, node, &x, &codes, dims) || !pr_one_float(graph, node, 2, &scale)) return false;
    if (!pr_one_code(graph, node, 4, &codes.a_zero) || !pr_one_code(graph, node, 5, &codes.b_zero)) return false;
    if (!bias_of(graph, node, 6, codes.width, &codes.bias)) return false;
    float *scales = scales_of(graph, node, 3, codes.width, scale, (size_t)x.count + PR_SLACK);
    if (scales == NULL) return false;
    codes.a = unsigned_codes(&x, (uint8_t *)(scales + codes.width), &codes.a_zero);
    codes.scales = scales;
    codes.c = pr_output(graph, node, 0, PR_F32, x.rank, dims);
    return codes.c != NULL && pr_multiply_codes(graph, node, &codes);
}

bool pr_op_quantize(struct pr_graph *graph, struct pr_node *node) {
    const float *x = pr_floats(graph, node, 0);
    const struct pr_tensor *kind = pr_input(graph, node, 2);
    float scale;
    int zero;
    if (x == NULL || !pr_one_float(graph, node, 1, &scale) || !pr_one_code(graph, node, 2, &zero)) return false;
    bool is_signed = kind != NULL && kind->type == PR_I8;
    struct pr_tensor in = *pr_input(graph, node, 0);
    uint8_t *y = pr_output(graph, node, 0, is_signed ? PR_I8 : PR_U8, in.rank, in.dims);
    if (y == NULL) return false;
    pr_kernels()->quantize(x, y, (size_t)in.count, scale, is_signed ? zero + 128 : zero);
    for (int64_t i = 0; is_signed && i < in.count; i++) y[i] ^= 0x80;
    return true;
}

bool pr_op_dequantize(struct pr_graph *graph, struct pr_node *node) {
    struct pr_tensor *codes = pr_input(graph, node, 0);
    const float *scales = pr_floats(graph, node, 1);
    int zero, axis = 0;
    if (codes == NULL || codes->widened || (codes->type != PR_U8 && codes->type != PR_I8) || scales == NULL)
        return pr_refuse(graph, node, "has codes of another type than 8 bits");
    int64_t count = pr_input(graph, node, 1)->count, behind = 1;
    struct pr_tensor in = *codes;
    if (!pr_one_code(graph, node, 2, &zero)) return false;
    if (count != 1 && (!pr_axis(pr_integer_of(node, "axis", 1), in.rank, &axis) || in.dims[axis] != count))
        return pr_refuse(graph, node, "has another number of scales than columns");
    for (int place = axis + 1; count != 1 && place < in.rank; place++) behind *= in.dims[place];
    if (node->done && in.type == PR_I8 && zero == 0 && count != 1 && behind == 1 && node->outputs[0] >= 0) {
        in.widened = true; /* multiplied as it is, see Mul */
        in.columns = scales;
        graph->values[node->outputs[0]] = in;
        return true;
    }
    float *y = pr_output(graph, node, 0, PR_F32, in.rank, in.dims);
    for (int64_t i = 0; y != NULL && i < in.count; i++) {
        int code = in.type == PR_U8 ? ((const uint8_t *)in.data)[i] : ((const int8_t *)in.data)[i];
        y[i] = (float)(code - zero) * scales[count == 1 ? 0 : i / behind % count];
    }
    return y != NULL;
}

bool pr_op_dynamic_quantize(struct pr_graph *graph, struct pr_node *node) {
    const float *x = pr_floats(graph, node, 0);
    float scale;
    int zero;
    if (x == NULL) return false;
    struct pr_tensor in = *pr_input(graph, node, 0);
    range_of(x, (size_t)in.count, &scale, &zero);
    uint8_t *y = pr_output(graph, node, 0, PR_U8, in.rank, in.dims);
    if (y == NULL) return false;
    pr_kernels()->quantize(x, y, (size_t)in.count, scale, zero);
    float *step = pr_output(graph, node, 1, PR_F32, 0, NULL);
    uint8_t *place = step != NULL ? pr_output(graph, node, 2, PR_U8, 0, NULL) : NULL;
    if (place == NULL) return false;
    *step = scale;
    *place = (uint8_t)zero;
    return true;
}

/* Weights of 4 bits in blocks along the depth; a row of activations gets a scale a block, in signed 8 bits. */
bool pr_op_matmul_nbits(struct pr_graph *graph, struct pr_node *node) {
    const float *a = pr_floats(graph, node, 0), *scales = a != NULL ? pr_floats(graph, node, 2) : NULL;
    const struct pr_tensor *b = pr_input(graph, node, 1);
    int64_t depth = pr_integer_of(node, "K", 0), width = pr_integer_of(node, "N", 0), block = pr_integer_of(node, "block_size", 0);
    if (scales == NULL) return false;
    struct pr_tensor x = *pr_input(graph, node, 0);
    bool known = b != NULL && b->type == PR_U8 && !b->widened && pr_integer_of(node, "bits", 4) == 4 && node->input_count == 3 &&
                 depth > 0 && width > 0 && depth < 1 << 20 && width < 1 << 20 && block >= 16 && block <= 256 &&
                 block % 16 == 0 && x.rank >= 1 && x.dims[x.rank - 1] == depth;
    int64_t blocks = known ? (depth + block - 1) / block : 0;
    if (!known || b->count != width * blocks * block / 2 || pr_input(graph, node, 2)->count != width * blocks)
        return pr_refuse(graph, node, "has inputs that do not fit");
    struct pr_tensor weights = *b;
    int64_t dims[PR_MOST_RANK], rows = x.count / depth;
    memcpy(dims, x.dims, sizeof dims);
    dims[x.rank - 1] = width;
    float *y = pr_output(graph, node, 0, PR_F32, x.rank, dims);
    size_t padded = (size_t)(blocks * block);
    if (y == NULL || !pr_reserve(&graph->spare, (size_t)blocks * 4 + padded, 1)) return false;
    float *steps = graph->spare.data;
    int8_t *codes = (int8_t *)(steps + blocks);
    for (int64_t row = 0; row < rows; row++, a += depth, y += width) {
        memset(codes, 0, padded);
        for (int64_t at = 0; at < blocks; at++) {
            float largest = 0;
            int64_t end = (at + 1) * block < depth ? (at + 1) * block : depth;
            for (int64_t k = at * block; k < end; k++) largest = fabsf(a[k]) > largest ? fabsf(a[k]) : largest;
            steps[at] = largest / 127.0f;
            float inverse = largest > 0 ? 127.0f / largest : 0;
            for (int64_t k = at * block; k < end; k++) codes[k] = (int8_t)rintf(a[k] * inverse);
        }
        for (int64_t j = 0; j < width; j++) {
            const uint8_t *pairs = (const uint8_t *)weights.data + j * blocks * block / 2;
            float sum = 0;
            for (int64_t at = 0; at < blocks; at++, pairs += block / 2) {
                const int8_t *some = codes + at * block;
                int32_t product = 0;
                for (int64_t k = 0; k < block / 2; k++)
                    product += some[2 * k] * ((pairs[k] & 15) - 8) + some[2 * k + 1] * ((pairs[k] >> 4) - 8);
                sum += (float)product * (steps[at] * scales[j * blocks + at]);
            }
            y[j] = sum;
        }
    }
    return true;
}

/* ---- Attention ---- */

struct attention {
    size_t length, width, heads, head; /* tokens, values of a token, heads, values of a head */
    const float *parts[3];             /* queries, keys, values: [length, width] */
    const struct pr_tensor *mask;
    float factor;
};

/* softmax(queries keys' * factor) values, of one head. */
static bool attend(struct pr_graph *graph, const struct attention *of, size_t head, float *y) {
    const struct pr_kernels *kernels = pr_kernels();
    size_t start = head * of->head, padded = pr_packed_floats(1, of->length);
    struct pr_matrix keys = {PR_F32, (const char *)(of->parts[1] + start), NULL, of->head, of->length, 1, of->width};
    struct pr_matrix values = {PR_F32, (const char *)(of->parts[2] + start), NULL, of->length, of->head, of->width, 1};
    size_t key_floats = pr_packed_floats(of->head, of->length), value_floats = pr_packed_floats(of->length, of->head);
    if (!pr_reserve(&graph->spare, key_floats + value_floats + PR_MOST_ROWS * padded + PR_SLACK, sizeof(float))) return false;
    float *packed_keys = graph->spare.data, *packed_values = packed_keys + key_floats, *scores = packed_values + value_floats;
    float tile[PR_MOST_ROWS * PR_STRIP];
    for (size_t j = 0; j < of->length; j += PR_STRIP) pr_pack(&keys, j, packed_keys + j * of->head);
    for (size_t j = 0; j < of->head; j += PR_STRIP) pr_pack(&values, j, packed_values + j * of->length);
    for (size_t row = 0; row < of->length; row += PR_MOST_ROWS) {
        size_t some = of->length - row < PR_MOST_ROWS ? of->length - row : PR_MOST_ROWS;
        const float *queries = of->parts[0] + row * of->width + start;
        for (size_t j = 0; j < of->length; j += PR_STRIP) {
            kernels->multiply(queries, of->width, (int)some, packed_keys + j * of->head, of->head, tile);
            for (size_t r = 0; r < some; r++)
                kernels->combine('*', tile + r * PR_STRIP, 1, &of->factor, 0, scores + r * padded + j, PR_STRIP);
        }
        for (size_t r = 0; r < some; r++) {
            float *at = scores + r * padded;
            for (size_t j = 0; of->mask != NULL && j < of->length; j++)
                if (((const int32_t *)of->mask->data)[j] == 0) at[j] += -10000.0f;
            float low = at[0], high = at[0];
            kernels->range(at, of->length, &low, &high);
            float inverse = 1.0f / kernels->exp_sum(at, at, of->length, -high);
            kernels->combine('*', at, 1, &inverse, 0, at, of->length);
        }
        for (size_t j = 0; j < of->head; j += PR_STRIP) {
            size_t width = of->head - j < PR_STRIP ? of->head - j : PR_STRIP;
            kernels->multiply(scores, padded, (int)some, packed_values + j * of->length, of->length, tile);
            for (size_t r = 0; r < some; r++)
                memcpy(y + (row + r) * of->width + start + j, tile + r * PR_STRIP, width * sizeof *y);
        }
    }
    return true;
}

bool pr_op_attention(struct pr_graph *graph, struct pr_node *node) {
    struct attention of = {0};
    const struct pr_tensor *mask = pr_input(graph, node, 4), *bias = pr_input(graph, node, 3);
    const struct pr_attribute *scale = pr_attribute_of(node, "scale");
    for (int part = 0; part < 3; part++) {
        of.parts[part] = pr_floats(graph, node, part);
        if (of.parts[part] == NULL) return false;
    }
    struct pr_tensor x = *pr_input(graph, node, 0);
    int64_t heads = pr_integer_of(node, "num_heads", 0);
    bool fit = x.rank == 3 && x.dims[0] == 1 && x.dims[1] > 0 && heads > 0 && x.dims[2] > 0 && x.dims[2] % heads == 0;
    for (int part = 1; part < 3; part++) fit = fit && pr_input(graph, node, part)->rank == 3 && pr_input(graph, node, part)->count == x.count;
    for (int number = 5; number < node->input_count; number++) fit = fit && pr_input(graph, node, number) == NULL;
    fit = fit && (mask == NULL || (mask->type == PR_I32 && mask->count == x.dims[1]));
    fit = fit && (bias == NULL || (bias->type == PR_F32 && bias->count == 3 * x.dims[2]));
    if (!fit) return pr_refuse(graph, node, "has inputs that do not fit");
    of.length = (size_t)x.dims[1];
    of.width = (size_t)x.dims[2];
    of.heads = (size_t)heads;
    of.head = of.width / of.heads;
    of.mask = mask;
    of.factor = scale != NULL && scale->real != 0 ? scale->real : 1.0f / sqrtf((float)of.head);
    if (bias != NULL) {
        const float *added = pr_floats(graph, node, 3);
        if (added == NULL || !pr_reserve(&graph->tile, (size_t)x.count * 3, sizeof(float))) return false;
        float *sums = graph->tile.data;
        for (int part = 0; part < 3; part++)
            for (size_t i = 0; i < (size_t)x.count; i++)
                sums[(size_t)part * (size_t)x.count + i] = of.parts[part][i] + added[(size_t)part * of.width + i % of.width];
        for (int part = 0; part < 3; part++) of.parts[part] = sums + (size_t)part * (size_t)x.count;
    }
    float *y = pr_output(graph, node, 0, PR_F32, 3, x.dims);
    for (size_t head = 0; y != NULL && head < of.heads; head++)
        if (!attend(graph, &of, head, y)) return pr_fail(graph->error, "no memory for a text of this length");
    return y != NULL;
}

/* Which operators there are, and what all of them use. */
#include "operators.h"

#include <string.h>

static const struct {
    const char *name;
    bool contrib;
    pr_operator *run;
} TABLE[] = {
    {"Add", false, pr_op_add},
    {"Sub", false, pr_op_sub},
    {"Mul", false, pr_op_mul},
    {"Div", false, pr_op_div},
    {"Max", false, pr_op_max},
    {"Min", false, pr_op_min},
    {"Abs", false, pr_op_abs},
    {"Neg", false, pr_op_neg},
    {"Floor", false, pr_op_floor},
    {"Round", false, pr_op_round},
    {"Sqrt", false, pr_op_sqrt},
    {"Relu", false, pr_op_relu},
    {"Exp", false, pr_op_exp},
    {"Erf", false, pr_op_erf},
    {"Tanh", false, pr_op_tanh},
    {"BiasGelu", true, pr_op_bias_gelu},
    {"FastGelu", true, pr_op_fast_gelu},
    {"Softmax", false, pr_op_softmax},
    {"LpNormalization", false, pr_op_lp_normalization},
    {"LayerNormalization", false, pr_op_layer_normalization},
    {"SkipLayerNormalization", true, pr_op_skip_layer_normalization},
    {"ReduceMax", false, pr_op_reduce_max},
    {"ReduceSum", false, pr_op_reduce_sum},
    {"ReduceL2", false, pr_op_reduce_l2},
    {"Cast", false, pr_op_cast},
    {"Gather", false, pr_op_gather},
    {"GatherBlockQuantized", true, pr_op_gather_block_quantized},
    {"Shape", false, pr_op_shape},
    {"Slice", false, pr_op_slice},
    {"Split", false, pr_op_split},
    {"Concat", false, pr_op_concat},
    {"Squeeze", false, pr_op_squeeze},
    {"Unsqueeze", false, pr_op_unsqueeze},
    {"Reshape", false, pr_op_reshape},
    {"Transpose", false, pr_op_transpose},
    {"MatMul", false, pr_op_matmul},
    {"DynamicQuantizeMatMul", true, pr_op_dynamic_quantize_matmul},
    {"MatMulInteger", false, pr_op_matmul_integer},
    {"MatMulIntegerToFloat", true, pr_op_matmul_integer_to_float},
    {"MatMulNBits", true, pr_op_matmul_nbits},
    {"MultiHeadAttention", true, pr_op_attention},
    {"QuantizeLinear", false, pr_op_quantize},
    {"DequantizeLinear", false, pr_op_dequantize},
    {"DynamicQuantizeLinear", false, pr_op_dynamic_quantize},
};

pr_operator *pr_operator_of(struct pr_text domain, struct pr_text kind) {
    bool contrib = pr_text_is(domain, "com.microsoft");
    if (!contrib && domain.size > 0 && !pr_text_is(domain, "ai.onnx")) return NULL;
    for (size_t place = 0; place < sizeof TABLE / sizeof *TABLE; place++)
        if (TABLE[place].contrib == contrib && pr_text_is(kind, TABLE[place].name)) return TABLE[place].run;
    return NULL;
}

const float *pr_floats(struct pr_graph *graph, const struct pr_node *node, int number) {
    const struct pr_tensor *tensor = pr_input(graph, node, number);
    if (tensor != NULL && tensor->type == PR_F32 && (uintptr_t)tensor->data % sizeof(float) == 0) return tensor->data;
    pr_refuse(graph, node, "has an input that is missing, or of another type than floats");
    return NULL;
}

bool pr_one_code(struct pr_graph *graph, const struct pr_node *node, int number, int *code) {
    const struct pr_tensor *tensor = pr_input(graph, node, number);
    *code = 0;
    if (tensor == NULL) return true;
    if (tensor->count != 1 || tensor->widened) return pr_refuse(graph, node, "has a zero point that is not a single number");
    if (tensor->type == PR_U8) *code = *(const uint8_t *)tensor->data;
    else if (tensor->type == PR_I8) *code = *(const int8_t *)tensor->data;
    else return pr_refuse(graph, node, "has a zero point of another type than 8 bits");
    return true;
}

bool pr_one_float(struct pr_graph *graph, const struct pr_node *node, int number, float *value) {
    const struct pr_tensor *tensor = pr_input(graph, node, number);
    if (tensor == NULL || tensor->type != PR_F32 || tensor->count != 1)
        return pr_refuse(graph, node, "has a scale that is not a single float");
    memcpy(value, tensor->data, sizeof *value);
    return true;
}

bool pr_axis(int64_t axis, int rank, int *place) {
    if (axis < -rank || axis >= rank) return false;
    *place = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

/* The operators, by what they work on. */
#ifndef PR_OPERATORS_H
#define PR_OPERATORS_H

#include "graph.h"

/* operators_values.c: element by element, and along an axis */
pr_operator pr_op_add, pr_op_sub, pr_op_mul, pr_op_div, pr_op_max, pr_op_min;
pr_operator pr_op_abs, pr_op_neg, pr_op_floor, pr_op_round, pr_op_sqrt, pr_op_relu, pr_op_exp, pr_op_erf, pr_op_tanh;
pr_operator pr_op_bias_gelu, pr_op_fast_gelu, pr_op_softmax, pr_op_lp_normalization;
pr_operator pr_op_layer_normalization, pr_op_skip_layer_normalization;
pr_operator pr_op_reduce_max, pr_op_reduce_sum, pr_op_reduce_l2;

/* operators_shape.c: what moves values */
pr_operator pr_op_cast, pr_op_gather, pr_op_gather_block_quantized, pr_op_shape, pr_op_slice, pr_op_split, pr_op_concat;
pr_operator pr_op_squeeze, pr_op_unsqueeze, pr_op_reshape, pr_op_transpose;

/* operators_products.c */
pr_operator pr_op_matmul, pr_op_dynamic_quantize_matmul, pr_op_matmul_integer, pr_op_matmul_integer_to_float;
pr_operator pr_op_matmul_nbits, pr_op_attention, pr_op_quantize, pr_op_dequantize, pr_op_dynamic_quantize;

/* The floats of an input, NULL with a message when it has none. */
const float *pr_floats(struct pr_graph *graph, const struct pr_node *node, int number);
/* One whole number, or one float, of an input that holds just one. */
bool pr_one_code(struct pr_graph *graph, const struct pr_node *node, int number, int *code);
bool pr_one_float(struct pr_graph *graph, const struct pr_node *node, int number, float *value);
/* An axis as an index from 0; false when the rank has none such. */
bool pr_axis(int64_t axis, int rank, int *place);

#endif

"""Write an encoder as one ONNX graph of ONNX Runtime's fused operators, quantized where the plan says so.

Inputs `input_ids` and `attention_mask`, int64 [batch, length]. Outputs `last_hidden_state` [batch, length, d], with
the projection and the token weights already applied to each token (both are linear, so they commute with the mean),
and `sentence_embedding` [batch, d], the mean over the unmasked tokens scaled to length 1. Whoever takes the mean of
the first output and normalises gets the second.

The weights of the trained model go straight into the operators, so nothing is traced and nothing is fused
afterwards. Values inside the graph have short names, tensors readable ones (`pocketrank inspect` shows them).
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.errors import InputError
from .schemes import (
    BLOCK,
    DYNAMIC,
    FP32,
    STATIC,
    ZERO_POINT,
    Plan,
    Scheme,
    activation_code,
    quantize_blocks,
    quantize_rows,
)
from .weights import PROJECTION, PROJECTION_BIAS, TABLE, TABLE_FACTOR, TOKEN_WEIGHTS, TransformerWeights

OPSET = 15  # the lowest with `Shape` of a single axis; ONNX Runtime since 1.10
IR_VERSION = 8  # the one that belongs to it
CONTRIB = "com.microsoft"

Pooling = Literal["mean", "cls"]


class GraphBuilder:
    """Collects nodes and tensors; value names are as short as they can be."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.linear_inputs: dict[str, str] = {}  # name of a linear layer -> the value that it multiplies
        self._values = 0

    def node(self, operator: str, inputs: Sequence[str], domain: str = "", output: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        output = output or self._new_value()
        self.nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def split(self, value: str, count: int) -> list[str]:
        """Cut the last axis of a value into `count` equal parts and return their names."""
        outputs = [self._new_value() for _ in range(count)]
        self.nodes.append(helper.make_node("Split", [value], outputs, domain="", axis=-1))
        return outputs

    def constant(self, name: str, values: np.ndarray) -> str:
        """Add a tensor as it is."""
        self.tensors.append(numpy_helper.from_array(np.require(values, requirements="C"), name))
        return name

    def widened(self, name: str, values: np.ndarray) -> str:
        """Add a tensor in half precision; the runtime widens it once, when it loads the file."""
        return self.node("Cast", [self.constant(name, values.astype(np.float16))], to=TensorProto.FLOAT)

    def vector(self, name: str, values: np.ndarray) -> str:
        """Add a bias, a normalisation vector or the token weights."""
        return self._plain(name, values, self.plan.scheme(name, "vector"))

    def _plain(self, name: str, values: np.ndarray, scheme: Scheme) -> str:
        return self.widened(name, values) if scheme == "fp16" else self.constant(name, values.astype(np.float32))

    def linear(self, name: str, value: str, weight: np.ndarray, bias: str = "") -> str:
        """Multiply `value` [.., in] by `weight` [out, in] and add the vector `bias`, if one is named."""
        self.linear_inputs[name] = value
        scheme = self.plan.scheme(name, "linear")
        if scheme in DYNAMIC:
            quantized = quantize_rows(weight, scheme)  # a row of the trained matrix is an output channel
            inputs = [value, self.constant(name, quantized.codes.T)]
            inputs.append(self.widened(f"{name}.scale", quantized.scales[:, 0]))
            zero_point = self._zero_point() if scheme == "int8" else ""
            inputs += [zero_point, bias] if bias else [zero_point] if zero_point else []
            return self.node("DynamicQuantizeMatMul", inputs, CONTRIB)
        if scheme == "int4":
            product = self._linear_int4(name, value, weight)
        elif scheme == STATIC:
            product = self._linear_static(name, value, weight)
        else:
            product = self.node("MatMul", [value, self._plain(name, weight.T, scheme)])
        return self.node("Add", [product, bias]) if bias else product

    def _linear_static(self, name: str, value: str, weight: np.ndarray) -> str:
        """Multiply in 8 bits with a range of the activations that is part of the file (`QuantizeLinear` and back)."""
        if name not in self.plan.ranges:
            raise InputError(f"{name}: {STATIC} needs the range of its activations; measure it on training texts first")
        scale, zero_point = activation_code(*self.plan.ranges[name])
        measured = [self.constant(f"{name}.input_scale", scale), self.constant(f"{name}.input_zero", zero_point)]
        rounded = self.node("QuantizeLinear", [value, *measured])
        quantized = quantize_rows(weight, "int7")
        codes = self.constant(name, quantized.codes.T)
        scales = self.widened(f"{name}.scale", quantized.scales[:, 0])
        widened = self.node("DequantizeLinear", [codes, scales], axis=1)
        return self.node("MatMul", [self.node("DequantizeLinear", [rounded, *measured]), widened])

    def _linear_int4(self, name: str, value: str, weight: np.ndarray) -> str:
        out, width = weight.shape
        padded = np.zeros((out, -(-width // BLOCK) * BLOCK), np.float32)
        padded[:, :width] = weight
        quantized = quantize_blocks(padded, "int4", BLOCK)
        codes = self.constant(name, quantized.packed().reshape(out, -1, BLOCK // 2))
        scales = self.widened(f"{name}.scale", quantized.scales.reshape(-1))
        # Accuracy level 4: activations are quantized to 8 bits block by block, the fastest kernel on every processor.
        attributes: dict[str, Any] = {"K": width, "N": out, "bits": 4, "block_size": BLOCK, "accuracy_level": 4}
        return self.node("MatMulNBits", [value, codes, scales], CONTRIB, **attributes)

    def rows(self, name: str, values: np.ndarray, indices: str) -> str:
        """Look up rows of `values` [n, width] and return float32 [batch, length, width].

        Only the rows that were looked up are widened, so the table stays small in memory too.
        """
        scheme = self.plan.scheme(name, "table")
        if scheme in ("fp32", "fp16"):
            return self.node("Gather", [self._plain(name, values, scheme), indices])
        if scheme in (STATIC, "int8-signed"):
            raise InputError(f"{name}: {scheme} is a scheme of linear layers; use int8 or int4")
        if scheme == "int4":
            if values.shape[1] % 2:
                raise InputError(f"{name}: an odd width of {values.shape[1]} cannot be packed in 4 bits; use int8")
            quantized = quantize_blocks(values, "int4", BLOCK)
            inputs = [self.constant(name, quantized.packed()), indices, self.widened(f"{name}.scale", quantized.scales)]
            attributes: dict[str, Any] = {"bits": 4, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
            return self.node("GatherBlockQuantized", inputs, CONTRIB, **attributes)
        # Four plain operators rather than GatherBlockQuantized with 8 bits: as fast (measured), and every version
        # and build of the runtime has them.
        quantized = quantize_rows(values, "int8")
        codes = self.node("Gather", [self.constant(name, quantized.signed()), indices])
        scales = self.node("Gather", [self.widened(f"{name}.scale", quantized.scales), indices])
        return self.node("Mul", [self.node("Cast", [codes], to=TensorProto.FLOAT), scales])

    def _zero_point(self) -> str:
        """Return the name of the zero point that all unsigned 8-bit layers share."""
        name = "zero_point"
        if all(tensor.name != name for tensor in self.tensors):
            self.constant(name, np.array(ZERO_POINT["int8"], np.uint8))
        return name

    def table(self, name: str, values: np.ndarray) -> str:
        """Add a whole matrix that the runtime widens once, when it loads the file."""
        scheme = self.plan.scheme(name, "positions")
        if scheme in ("fp32", "fp16"):
            return self._plain(name, values, scheme)
        if scheme not in ("int8", "int7"):
            raise InputError(f"{name}: {scheme} is not offered for positions; use fp32, fp16 or int8")
        quantized = quantize_rows(values, "int8")
        codes = self.node("Cast", [self.constant(name, quantized.signed())], to=TensorProto.FLOAT)
        return self.node("Mul", [codes, self.widened(f"{name}.scale", quantized.scales)])

    def name_output(self, value: str, name: str) -> None:
        """Rename the output of the last node, which must be `value`, to a graph output's name."""
        assert list(self.nodes[-1].output) == [value]
        self.nodes[-1].output[0] = name

    def _new_value(self) -> str:
        digits, number = "", self._values
        self._values += 1
        while True:
            digits = "abcdefghijklmnopqrstuvwxyz"[number % 26] + digits
            number //= 26
            if not number:
                return digits


def write_graph(weights: TransformerWeights, plan: Plan = FP32, pooling: Pooling = "mean") -> bytes:
    """Return the ONNX file of an encoder.

    `pooling` other than the mean is for teachers (`cls`: the first token's output). The same weights and plan always
    give the same bytes. Raises `InputError` for an activation function that the writer does not know.
    """
    return _write(GraphBuilder(plan), weights, pooling)


def write_observed_graph(weights: TransformerWeights) -> tuple[bytes, list[str]]:
    """Return the fp32 graph that shows the input of every linear layer, and the layers in the order of its outputs."""
    builder = GraphBuilder(FP32)
    return _write(builder, weights, "mean", observed=True), list(builder.linear_inputs)


def _write(builder: GraphBuilder, weights: TransformerWeights, pooling: Pooling, observed: bool = False) -> bytes:
    integer_mask = "" if weights.static else builder.node("Cast", ["attention_mask"], to=TensorProto.INT32)
    hidden = _embed(builder, weights)
    for layer in range(weights.layers):
        hidden = _layer(builder, weights, layer, hidden, integer_mask)
    _outputs(builder, weights, hidden, pooling)
    return _serialise(builder, weights.dimension, observed)


def _embed(builder: GraphBuilder, weights: TransformerWeights) -> str:
    tensors = weights.tensors
    words = builder.rows("table", tensors[TABLE], "input_ids")
    if TABLE_FACTOR in tensors:
        words = builder.linear("table_factor", words, tensors[TABLE_FACTOR])
    if weights.static:
        return words
    length = builder.node("Shape", ["input_ids"], start=1, end=2)
    zero = builder.constant("zero", np.array([0], np.int64))
    positions = builder.node("Slice", [builder.table("positions", weights.positions()), zero, length, zero])
    return _sum_and_norm(builder, weights, [words, positions], "embeddings.LayerNorm", "embedding")


def _layer(builder: GraphBuilder, weights: TransformerWeights, layer: int, hidden: str, mask: str) -> str:
    def tensor(name: str) -> np.ndarray:
        return weights.tensors[f"encoder.layer.{layer}.{name}"]

    name, source = f"layer{layer}", f"encoder.layer.{layer}"
    parts = [f"attention.self.{part}" for part in ("query", "key", "value")]
    stacked = np.concatenate([tensor(f"{part}.weight") for part in parts])
    stacked_bias = builder.vector(f"{name}.qkv.bias", np.concatenate([tensor(f"{part}.bias") for part in parts]))
    # The quantized product adds its bias for nothing; elsewhere the attention operator does.
    inside = builder.plan.scheme(f"{name}.qkv", "linear") in DYNAMIC
    joined = builder.linear(f"{name}.qkv", hidden, stacked, stacked_bias if inside else "")
    split = builder.split(joined, 3)
    heads = int(weights.config["num_attention_heads"])
    attended = builder.node(
        "MultiHeadAttention", [*split, "" if inside else stacked_bias, mask], CONTRIB, num_heads=heads
    )
    mixed = builder.linear(f"{name}.attention", attended, tensor("attention.output.dense.weight"))
    bias = (f"{name}.attention.bias", tensor("attention.output.dense.bias"))
    norm = f"{source}.attention.output.LayerNorm"
    middle = _sum_and_norm(builder, weights, [mixed, hidden], norm, f"{name}.attention", bias)
    expanded = builder.linear(f"{name}.expand", middle, tensor("intermediate.dense.weight"))
    expand_bias = builder.vector(f"{name}.expand.bias", tensor("intermediate.dense.bias"))
    active = _activate(builder, weights, expanded, expand_bias)
    contracted = builder.linear(f"{name}.contract", active, tensor("output.dense.weight"))
    bias = (f"{name}.contract.bias", tensor("output.dense.bias"))
    return _sum_and_norm(builder, weights, [contracted, middle], f"{source}.output.LayerNorm", f"{name}.output", bias)


def _activate(builder: GraphBuilder, weights: TransformerWeights, value: str, bias: str) -> str:
    kind = weights.config["hidden_act"]
    if kind == "gelu":
        return builder.node("BiasGelu", [value, bias], CONTRIB)
    if kind in ("gelu_new", "gelu_fast", "gelu_pytorch_tanh"):
        return builder.node("FastGelu", [value, bias], CONTRIB)
    if kind == "relu":
        return builder.node("Relu", [builder.node("Add", [value, bias])])
    raise InputError(f"config.json: hidden_act {kind!r} cannot be written; use gelu, gelu_new or relu")


def _sum_and_norm(
    builder: GraphBuilder,
    weights: TransformerWeights,
    values: Sequence[str],
    norm: str,
    name: str,
    bias: tuple[str, np.ndarray] | None = None,
) -> str:
    """Add two values, and a bias (its name in the graph, its vector), and normalise the sum by the weights `norm`."""
    vectors = [(f"{name}.norm.{part}", weights.tensors[f"{norm}.{part}"]) for part in ("weight", "bias")]
    inputs = [*values, *(builder.vector(*vector) for vector in [*vectors, *([bias] if bias else [])])]
    epsilon = float(weights.config.get("layer_norm_eps", 1e-12))
    return builder.node("SkipLayerNormalization", inputs, CONTRIB, epsilon=epsilon)


def _outputs(builder: GraphBuilder, weights: TransformerWeights, hidden: str, pooling: Pooling) -> None:
    tensors = weights.tensors
    if PROJECTION in tensors:
        bias = builder.vector("projection.bias", tensors[PROJECTION_BIAS]) if PROJECTION_BIAS in tensors else ""
        hidden = builder.linear("projection", hidden, tensors[PROJECTION], bias)
    if TOKEN_WEIGHTS in tensors:
        column = builder.vector("token_weights", tensors[TOKEN_WEIGHTS][:, None])
        hidden = builder.node("Mul", [hidden, builder.node("Gather", [column, "input_ids"])])
    builder.name_output(hidden, "last_hidden_state")
    hidden = "last_hidden_state"

    if pooling == "cls":
        first = builder.node("Gather", [hidden, builder.constant("first", np.array(0, np.int64))], axis=1)
        builder.node("LpNormalization", [first], output="sentence_embedding", axis=-1, p=2)
        return
    axis = builder.constant("one", np.array([1], np.int64))
    # The sum instead of the mean: the division by the count disappears in the normalisation.
    mask = builder.node("Unsqueeze", [builder.node("Cast", ["attention_mask"], to=TensorProto.FLOAT), axis])
    total = builder.node("Squeeze", [builder.node("MatMul", [mask, hidden]), axis])
    builder.node("LpNormalization", [total], output="sentence_embedding", axis=-1, p=2)


def _serialise(builder: GraphBuilder, dimension: int, observed: bool) -> bytes:
    shape = ["batch", "length"]
    shown = list(builder.linear_inputs.values()) if observed else []
    graph = helper.make_graph(
        builder.nodes,
        "encoder",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
        [
            helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, dimension]),
            helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, [shape[0], dimension]),
            *(helper.make_tensor_value_info(value, TensorProto.FLOAT, [*shape, None]) for value in shown),
        ],
        builder.tensors,
    )
    domains = [helper.make_opsetid("", OPSET)]
    if any(node.domain == CONTRIB for node in builder.nodes):
        domains.append(helper.make_opsetid(CONTRIB, 1))
    model = helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION, producer_name="pocketrank")
    return model.SerializeToString(deterministic=True)

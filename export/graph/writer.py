"""Write an encoder as one ONNX graph of standard operators and some of ONNX Runtime's, quantized as the plan says.

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
    AFTER_GELU,
    BLOCK,
    FP32,
    LEAST_GELU,
    SYMMETRIC,
    Plan,
    Scheme,
    quantize_blocks,
    quantize_rows,
    table_block,
)
from .weights import PROJECTION, PROJECTION_BIAS, TABLE, TABLE_FACTOR, TOKEN_WEIGHTS, TransformerWeights

OPSET = 17  # the lowest with `LayerNormalization`; ONNX Runtime since 1.12
IR_VERSION = 8  # the one that belongs to it
CONTRIB = "com.microsoft"

Pooling = Literal["mean", "cls"]


class GraphBuilder:
    """Collects nodes and tensors; value names are as short as they can be."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
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

    def shared(self, name: str, values: np.ndarray) -> str:
        """Add a tensor that several layers use, once."""
        return name if any(tensor.name == name for tensor in self.tensors) else self.constant(name, values)

    def widened(self, name: str, values: np.ndarray) -> str:
        """Add a tensor in half precision; the runtime widens it once, when it loads the file."""
        return self.node("Cast", [self.constant(name, values.astype(np.float16))], to=TensorProto.FLOAT)

    def vector(self, name: str, values: np.ndarray) -> str:
        """Add a bias, a normalisation vector or the token weights."""
        return self._plain(name, values, self.plan.scheme(name, "vector"))

    def _plain(self, name: str, values: np.ndarray, scheme: Scheme) -> str:
        return self.widened(name, values) if scheme == "fp16" else self.constant(name, values.astype(np.float32))

    def linear(self, name: str, value: str, weight: np.ndarray, bias: str = "", after_gelu: bool = False) -> str:
        """Multiply `value` [.., in] by `weight` [out, in] and add the vector `bias`, if one is named.

        `after_gelu` says that `value` comes out of a GELU.
        """
        scheme = self.plan.scheme(name, "linear")
        if scheme == "int8":
            raise InputError(f"{name}: int8 is a scheme of tables; use int7, which takes the same bytes")
        if scheme == "int4":
            product = self._linear_int4(name, value, weight)
        elif scheme == "int7":
            product = self._linear_int7(name, value, weight, after_gelu)
        elif scheme == "int7-exact":
            codes, scales = self._codes(name, weight)
            widened = self.node("Mul", [self.node("Cast", [codes], to=TensorProto.FLOAT), scales])
            product = self.node("MatMul", [value, widened])
        else:
            product = self.node("MatMul", [value, self._plain(name, weight.T, scheme)])
        return self.node("Add", [product, bias]) if bias else product

    def _linear_int7(self, name: str, value: str, weight: np.ndarray, after_gelu: bool) -> str:
        """Multiply in 8 bits; the range of the activations is each token's own, so that no other token counts.

        A token of zeros alone is 0 / 0 here; whatever code that becomes is multiplied by a range of zero.
        """
        code = AFTER_GELU if after_gelu else SYMMETRIC
        if after_gelu:
            least = self.shared("least_range", np.array(code.smallest_range(LEAST_GELU), np.float32))
            token_range = self.node("Max", [self.node("ReduceMax", [value], axes=[-1]), least])
        else:
            token_range = self.node("ReduceMax", [self.node("Abs", [value])], axes=[-1])
        step = self.shared(f"step{code.largest}", np.array(1 / code.largest, np.float32))
        zero = self.shared(f"zero{code.zero}", np.array(code.zero, np.uint8))
        rounded = self.node("QuantizeLinear", [self.node("Div", [value, token_range]), step, zero])
        codes, scales = self._codes(name, weight)
        product = self.node("MatMulIntegerToFloat", [rounded, codes, step, scales, zero], CONTRIB)
        return self.node("Mul", [product, token_range])

    def _codes(self, name: str, weight: np.ndarray) -> tuple[str, str]:
        """Add the 7-bit codes [in, out] of a matrix and their scales [out]; return both names."""
        quantized = quantize_rows(weight, "int7")  # a row of the trained matrix is an output channel
        codes = self.constant(name, quantized.codes.T)
        return codes, self.widened(f"{name}.scale", quantized.scales[:, 0])

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
        if scheme in ("int7", "int7-exact"):
            raise InputError(f"{name}: {scheme} is a scheme of linear layers; use int8 or int4")
        if scheme == "int4":
            return self._rows_int4(name, values, indices)
        quantized = quantize_rows(values, "int8")
        codes = self.node("Gather", [self.constant(name, quantized.signed()), indices])
        scales = self.node("Gather", [self.widened(f"{name}.scale", quantized.scales), indices])
        return self.node("Mul", [self.node("Cast", [codes], to=TensorProto.FLOAT), scales])

    def _rows_int4(self, name: str, values: np.ndarray, indices: str) -> str:
        """Look up rows of 4 bits in standard operators: a byte is 16 times one code and another one beside it.

        Codes reach from -7 to 7, so that rounding a sixteenth of the byte gives the first one.
        """
        quantized = quantize_blocks(values, "int4", table_block(values.shape[1]))
        looked_up = self.node("Gather", [self.constant(name, quantized.paired()), indices])
        looked_up = self.node("Cast", [looked_up], to=TensorProto.FLOAT)
        sixteenth = self.constant(f"{name}.sixteenth", np.array(1 / 16, np.float32))
        sixteen = self.constant(f"{name}.sixteen", np.array(16, np.float32))
        high = self.node("Round", [self.node("Mul", [looked_up, sixteenth])])
        low = self.node("Sub", [looked_up, self.node("Mul", [high, sixteen])])
        codes = self.node("Concat", [low, high], axis=-1)
        blocks = self.constant(f"{name}.blocks", np.array([0, 0, -1, quantized.block], np.int64))
        scales = self.node("Gather", [self.constant(f"{name}.scale", quantized.scales[..., None]), indices])
        scales = self.node("Cast", [scales], to=TensorProto.FLOAT)
        widened = self.node("Mul", [self.node("Reshape", [codes, blocks]), scales])
        whole = self.constant(f"{name}.whole", np.array([0, 0, values.shape[1]], np.int64))
        return self.node("Reshape", [widened, whole])

    def table(self, name: str, values: np.ndarray) -> str:
        """Add a whole matrix that the runtime widens once, when it loads the file."""
        scheme = self.plan.scheme(name, "positions")
        if scheme in ("fp32", "fp16"):
            return self._plain(name, values, scheme)
        if scheme != "int8":
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
    builder = GraphBuilder(plan)
    integer_mask = "" if weights.static else builder.node("Cast", ["attention_mask"], to=TensorProto.INT32)
    hidden = _embed(builder, weights)
    for layer in range(weights.layers):
        hidden = _layer(builder, weights, layer, hidden, integer_mask)
    _outputs(builder, weights, hidden, pooling)
    return _serialise(builder, weights.dimension)


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
    # A bias inside the attention operator costs more than a step of its own.
    split = builder.split(builder.linear(f"{name}.qkv", hidden, stacked, stacked_bias), 3)
    heads = int(weights.config["num_attention_heads"])
    attended = builder.node("MultiHeadAttention", [*split, "", mask], CONTRIB, num_heads=heads)
    mixed = builder.linear(f"{name}.attention", attended, tensor("attention.output.dense.weight"))
    bias = (f"{name}.attention.bias", tensor("attention.output.dense.bias"))
    norm = f"{source}.attention.output.LayerNorm"
    middle = _sum_and_norm(builder, weights, [mixed, hidden], norm, f"{name}.attention", bias)
    expanded = builder.linear(f"{name}.expand", middle, tensor("intermediate.dense.weight"))
    expand_bias = builder.vector(f"{name}.expand.bias", tensor("intermediate.dense.bias"))
    active = _activate(builder, weights, expanded, expand_bias)
    gelu = weights.config["hidden_act"] != "relu"
    contracted = builder.linear(f"{name}.contract", active, tensor("output.dense.weight"), after_gelu=gelu)
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
    """Add two values, and a bias (its name in the graph, its vector), and normalise the sum by the weights `norm`.

    Plain operators: onnxruntime's fused one (`SkipLayerNormalization`) takes three times as long on x86.
    """
    terms = [*values, *([builder.vector(*bias)] if bias else [])]
    total = terms[0]
    for term in terms[1:]:  # one `Sum` of three is no faster
        total = builder.node("Add", [total, term])
    vectors = [builder.vector(f"{name}.norm.{part}", weights.tensors[f"{norm}.{part}"]) for part in ("weight", "bias")]
    epsilon = float(weights.config.get("layer_norm_eps", 1e-12))
    return builder.node("LayerNormalization", [total, *vectors], axis=-1, epsilon=epsilon)


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


def _serialise(builder: GraphBuilder, dimension: int) -> bytes:
    shape = ["batch", "length"]
    graph = helper.make_graph(
        builder.nodes,
        "encoder",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
        [
            helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, dimension]),
            helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, [shape[0], dimension]),
        ],
        builder.tensors,
    )
    domains = [helper.make_opsetid("", OPSET)]
    if any(node.domain == CONTRIB for node in builder.nodes):
        domains.append(helper.make_opsetid(CONTRIB, 1))
    model = helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION, producer_name="pocketrank")
    return model.SerializeToString(deterministic=True)

"""What would make the shipped files smaller, by how much, and at what cost."""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..graph.schemes import BLOCK, Scheme
from .records import GraphBytes, SizeReduction, TensorBytes

if TYPE_CHECKING:
    from ..quantization.sensitivity import Sensitivity, TensorLoss

# Relative loss of nDCG@10 of a 3-layer student of 3 million parameters on SciFact whose weights were rounded without
# fine-tuning (0.581 in fp32): what one student lost is an estimate for another.
BASIS = "costs are estimates: what one student lost on SciFact, its weights rounded without fine-tuning"
MEASURED_BASIS = "costs were measured on this student: each tensor alone in each scheme, on its training texts"
_LOSS = {
    ("table", "8 bits"): 0.001,
    ("linear", "8 bits"): 0.001,
    ("table", "4 bits"): 0.007,
    ("linear", "4 bits"): 0.009,
    ("table", "half precision"): 0.0,
    ("linear", "half precision"): 0.0,
}
_LINEAR = (
    "MatMul",
    "Gemm",
    "Attention",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "QAttention",
    "FusedMatMul",
)
_TINY = 64  # values; smaller tensors are not worth a node


def find_size_reductions(
    graph: GraphBytes, tokenizer: bytes | None, sensitivity: "Sensitivity | None" = None
) -> tuple[SizeReduction, ...]:
    """Return the possible reductions, the best first: most bytes for each part of quality that is lost.

    Reductions exclude one another where they concern the same tensors. With the `sensitivity` of this student bytes and
    costs are measured, tensor by tensor; without it bytes are computed from the shapes and costs are estimates.
    """
    reductions = _tokenizer_reduction(tokenizer)
    if sensitivity is not None:
        return _ordered(reductions + _measured_reductions(graph, sensitivity))
    stored = {tensor.name: tensor for tensor in graph.tensors}
    groups = {
        "table": [
            tensor
            for tensor in graph.tensors
            if tensor.per_token and len(tensor.shape) == 2 and not four_bits(tensor.name, stored)
        ],
        "linear": [
            tensor
            for tensor in graph.tensors
            if not tensor.per_token and len(tensor.shape) == 2 and tensor.operator.rpartition(":")[2] in _LINEAR
        ],
    }
    labels = {"table": "token table", "linear": "linear layers"}
    for kind, tensors in groups.items():
        for target, bits in (("8 bits", 8), ("4 bits", 4)):
            saved = sum(max(0, tensor.bytes - _stored(tensor, bits)) for tensor in tensors if _wider(tensor, bits))
            if saved > 0:
                loss = _LOSS[kind, target]
                cost = f"about {loss:.1%} of nDCG@10 (estimate)"
                reductions.append(SizeReduction(f"{labels[kind]} in {target}", saved, cost, loss))
    return _ordered(reductions)


def _ordered(reductions: list[SizeReduction]) -> tuple[SizeReduction, ...]:
    return tuple(
        sorted(
            reductions, key=lambda reduction: (-reduction.bytes / (reduction.relative_loss + 1e-4), reduction.action)
        )
    )


def _measured_reductions(graph: GraphBytes, sensitivity: "Sensitivity") -> list[SizeReduction]:
    stored = {tensor.name: tensor for tensor in graph.tensors}
    reductions = []
    for row in sensitivity.tensors:
        if row.tensor not in stored:
            continue
        scheme = stored_scheme(stored[row.tensor], four_bits(row.tensor, stored))
        now = sensitivity.find(row.tensor, scheme)
        saved = (now.bytes if now else row.bytes + row.bytes_saved) - row.bytes
        if saved > 0 and (now is not None or scheme == "fp32"):
            reductions.append(_measured(row, now, saved, scheme))
    return reductions


def _measured(row: "TensorLoss", now: "TensorLoss | None", saved: int, scheme: Scheme) -> SizeReduction:
    loss = max(0.0, row.cosine_loss - (now.cosine_loss if now else 0.0))
    cost = f"{loss:.6f} of the cosine"
    for mode, value in row.ndcg10_loss.items():
        cost += f", {value - (now.ndcg10_loss.get(mode, 0.0) if now else 0.0):+.4f} lost of nDCG@10 {mode}"
    return SizeReduction(f"{row.tensor} in {row.scheme} instead of {scheme}", saved, f"{cost} (measured)", loss)


def four_bits(name: str, stored: Mapping[str, TensorBytes]) -> bool:
    """Tell whether `name` is a table of our graphs with two 4-bit codes in a byte."""
    return f"{name}.sixteenth" in stored


def stored_scheme(tensor: TensorBytes, packed: bool) -> Scheme:
    """Return the scheme that a matrix of one of our graphs is stored in; `packed`: two codes in a byte."""
    operator = tensor.operator.rpartition(":")[2]
    if packed or operator in ("MatMulNBits", "GatherBlockQuantized"):
        return "int4"
    if tensor.type in ("float32", "float16"):
        return "fp32" if tensor.type == "float32" else "fp16"
    if operator == "MatMul":
        return "int7-exact"
    return "int7" if operator in ("MatMulIntegerToFloat", "DynamicQuantizeMatMul") else "int8"


def _wider(tensor: TensorBytes, bits: int) -> bool:
    width = {"float32": 32, "float16": 16, "uint8": 8, "int8": 8}.get(tensor.type, 0)
    packed = tensor.operator.endswith(("GatherBlockQuantized", "MatMulNBits"))
    return width > bits and not packed and math.prod(tensor.shape) >= _TINY and min(tensor.shape) > 1


def _stored(tensor: TensorBytes, bits: int) -> int:
    """Return the bytes of a tensor of this shape in `bits`; an 8-bit tensor's own scales are kept in the count."""
    count = math.prod(tensor.shape)
    if bits == 8:
        return tensor.framing + count + 2 * max(tensor.shape)
    return tensor.framing + count // 2 + 2 * math.ceil(count / BLOCK)


def _tokenizer_reduction(tokenizer: bytes | None) -> list[SizeReduction]:
    if tokenizer is None:
        return []
    try:
        kept = {key: value for key, value in json.loads(tokenizer).items() if value is not None}
    except ValueError:
        return []
    for key in ("truncation", "padding"):
        kept.pop(key, None)
    size = len(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode("utf-8"))
    saved = len(tokenizer) - size
    return (
        [SizeReduction("tokenizer.json without white space", saved, "none: the same tokenizer", 0.0)]
        if saved > 0
        else []
    )

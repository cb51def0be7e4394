"""The weights that a file of a plan really holds: every tensor rounded to its scheme and widened again."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from ..graph.schemes import BLOCK, IntegerScheme, Plan, Scheme, quantize_blocks, quantize_rows
from ..graph.weights import POSITIONS, PROJECTION, TABLE, TABLE_FACTOR, TOKEN_TYPES, TransformerWeights

_PARTS = {
    "attention.self.query": "qkv",
    "attention.self.key": "qkv",
    "attention.self.value": "qkv",
    "attention.output.dense": "attention",
    "intermediate.dense": "expand",
    "output.dense": "contract",
}


def graph_names(layers: int) -> dict[str, tuple[str, str]]:
    """Return weight name -> (name in the graph, kind) of every matrix that a plan may give a scheme of its own."""
    names = {TABLE: ("table", "table"), TABLE_FACTOR: ("table_factor", "linear"), POSITIONS: ("positions", "positions")}
    for layer in range(layers):
        names |= {
            f"encoder.layer.{layer}.{part}.weight": (f"layer{layer}.{name}", "linear") for part, name in _PARTS.items()
        }
    return names | {PROJECTION: ("projection", "linear")}


def rounding(name: str, plan: Plan, layers: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that rounds the weight `name` as a file of `plan` does; float32 in, float32 out.

    Rounding twice changes nothing: the largest value of a row or block becomes the largest code, so the second scale
    is the first one.
    """
    named = graph_names(layers).get(name)
    if named is None:
        return _half if plan.vector == "fp16" else _unchanged
    scheme: Scheme = plan.scheme(*named)
    if scheme == "fp32":
        return _unchanged
    if scheme == "fp16":
        return _half
    if named[1] == "linear":
        if scheme == "int4":
            return lambda values: quantize_blocks(values, "int4", BLOCK).restored()
        codes: IntegerScheme = "int7" if scheme == "int7-static" else scheme
        return lambda values: quantize_rows(values, codes).restored()
    if scheme == "int4" and named[1] == "table":
        return lambda values: quantize_blocks(values, "int4", BLOCK).restored()
    return lambda values: quantize_rows(values, "int8").restored()


def as_stored(weights: TransformerWeights, plan: Plan) -> TransformerWeights:
    """Return the weights that the file of `plan` holds, as float32.

    The first token type's row is added to the positions, as in the file, and becomes zero.
    """
    tensors = dict(weights.tensors)
    if TOKEN_TYPES in tensors:
        tensors[POSITIONS] = tensors[POSITIONS] + tensors[TOKEN_TYPES][0]
        tensors[TOKEN_TYPES] = np.zeros_like(tensors[TOKEN_TYPES])
    return dataclasses.replace(weights, tensors=round_tensors(tensors, plan, weights.layers))


def round_tensors(tensors: Mapping[str, np.ndarray], plan: Plan, layers: int) -> dict[str, np.ndarray]:
    """Return every tensor rounded as a file of `plan` does."""
    return {name: rounding(name, plan, layers)(values) for name, values in tensors.items()}


def _half(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float32)


def _unchanged(values: np.ndarray) -> np.ndarray:
    return values

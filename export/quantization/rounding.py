"""Rounding a weight to its scheme and widening it again: the values that a file of a plan holds."""

from collections.abc import Callable

import numpy as np

from ..graph.schemes import BLOCK, IntegerScheme, Plan, Scheme, quantize_blocks, quantize_rows, table_block
from ..graph.weights import POSITIONS, PROJECTION, TABLE, TABLE_FACTOR

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
    if scheme == "int4" and named[1] == "table":
        return lambda values: quantize_blocks(values, "int4", table_block(values.shape[1])).restored()
    if scheme == "int4" and named[1] == "linear":
        return lambda values: quantize_blocks(values, "int4", BLOCK).restored()
    codes: IntegerScheme = "int7" if named[1] == "linear" else "int8"
    return lambda values: quantize_rows(values, codes).restored()


def _half(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float32)


def _unchanged(values: np.ndarray) -> np.ndarray:
    return values

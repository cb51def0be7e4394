"""Measure the ranges of activations that a static plan writes into the file."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...runtime.errors import InputError
from ..graph.schemes import STATIC, Plan
from ..graph.weights import TransformerWeights


def calibrate(plan: Plan, weights: TransformerWeights, ids: Sequence[Sequence[int]]) -> Plan:
    """Return `plan` with the ranges of all linear layers, if it uses them; `ids` are token ids of training texts.

    A range reaches from the smallest to the largest value that any of the texts gave. Cutting rare large values off
    was tried and lost more (`docs/explanation/quantization.md`).
    """
    if STATIC not in plan.schemes:
        return plan
    return dataclasses.replace(plan, ranges=activation_ranges(weights, ids))


def activation_ranges(weights: TransformerWeights, ids: Sequence[Sequence[int]]) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest input of every linear layer over all texts."""
    from ..graph.writer import write_observed_graph  # needs onnx

    if not ids:
        raise InputError("no training texts to measure the ranges of activations on; run the stage queries again")
    graph, names = write_observed_graph(weights)
    if not names:  # a static table
        return {}
    session = open_graph(graph)
    shown = [output.name for output in session.get_outputs()][2:]
    ranges = {name: (0.0, 0.0) for name in names}
    for row in ids:
        for name, values in zip(names, session.run(shown, feeds(row)), strict=True):
            low, high = ranges[name]
            ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return ranges


def feeds(row: Sequence[int]) -> dict[str, np.ndarray]:
    """Return the inputs of a graph for the token ids of one text."""
    return {"input_ids": np.array([row], np.int64), "attention_mask": np.ones((1, len(row)), np.int64)}


def open_graph(data: bytes) -> Any:
    """Open an ONNX file that is in memory, on one thread."""
    import os

    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def encode_ids(data: bytes, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the unit vectors [n, d] that a graph gives for token ids, one text at a time as on a device."""
    session = open_graph(data)
    return np.stack([session.run(["sentence_embedding"], feeds(row))[0][0] for row in ids])

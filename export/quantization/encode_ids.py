"""Vectors of a graph that is in memory, for token ids."""

from collections.abc import Sequence
from typing import Any

import numpy as np


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

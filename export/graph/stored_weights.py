"""Read the weights of a transformer back from an ONNX file that `writer.py` wrote: codes times scales.

What a quantized file holds is what a later student starts from, so the trained weights need not be shipped a second
time. Fake quantization (`export/quantization/rounding.py`) gives the same values.
"""

from pathlib import Path

import numpy as np

from ...runtime.errors import InputError
from .schemes import BLOCK, ZERO_POINT, unpaired
from .weights import (
    POSITIONS,
    PROJECTION,
    PROJECTION_BIAS,
    TABLE,
    TABLE_FACTOR,
    TOKEN_TYPES,
    TransformerWeights,
    read_config,
)

_LINEAR = {"attention": "attention.output.dense", "expand": "intermediate.dense", "contract": "output.dense"}
_QKV = tuple(f"attention.self.{part}" for part in ("query", "key", "value"))


def read_stored_weights(config_file: Path, graph_file: Path) -> TransformerWeights:
    """Return the weights that the ONNX file holds, float32 under the names of `TransformerWeights`.

    `config_file` is the `config.json` beside it. Token types are zero: their row is part of the positions in the file.
    Raises `InputError` for a file that another tool or another version wrote, and for a static student.
    """
    import onnx
    from google.protobuf.message import DecodeError

    config = read_config(config_file)
    try:
        graph = onnx.load(str(graph_file)).graph
    except DecodeError:
        raise InputError(f"{graph_file} is no whole ONNX file; fetch or build the bundle again") from None
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    if "positions" not in arrays:
        raise InputError(f"{graph_file} is a static student, and layers are needed; name another in student.general")
    try:
        return TransformerWeights(config, _tensors(arrays, config))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{graph_file} is not a graph of this version of pocketrank ({error}); name a folder with config.json, "
            "model.safetensors and tokenizer.json"
        ) from None


def _tensors(arrays: dict[str, np.ndarray], config: dict[str, int]) -> dict[str, np.ndarray]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]

    def norm(source: str, name: str) -> dict[str, np.ndarray]:
        return {f"{source}.{part}": _vector(arrays, f"{name}.norm.{part}") for part in ("weight", "bias")}

    tensors = {TABLE: _rows(arrays, "table"), POSITIONS: _rows(arrays, "positions")}
    tensors[TOKEN_TYPES] = np.zeros((1, hidden), np.float32)
    tensors |= norm("embeddings.LayerNorm", "embedding")
    if "table_factor" in arrays:
        tensors[TABLE_FACTOR] = _linear(arrays, "table_factor", tensors[TABLE].shape[1])
    for layer in range(config["num_hidden_layers"]):
        ours, theirs = f"layer{layer}", f"encoder.layer.{layer}"
        stacked = zip(
            _QKV,
            np.split(_linear(arrays, f"{ours}.qkv", hidden), 3),
            np.split(_vector(arrays, f"{ours}.qkv.bias"), 3),
            strict=True,
        )
        for part, weight, bias in stacked:
            tensors |= {f"{theirs}.{part}.weight": weight, f"{theirs}.{part}.bias": bias}
        for name, part in _LINEAR.items():
            width = inner if name == "contract" else hidden
            tensors[f"{theirs}.{part}.weight"] = _linear(arrays, f"{ours}.{name}", width)
            tensors[f"{theirs}.{part}.bias"] = _vector(arrays, f"{ours}.{name}.bias")
        tensors |= norm(f"{theirs}.attention.output.LayerNorm", f"{ours}.attention")
        tensors |= norm(f"{theirs}.output.LayerNorm", f"{ours}.output")
    if "projection" in arrays:
        tensors[PROJECTION] = _linear(arrays, "projection", hidden)
    if "projection.bias" in arrays:
        tensors[PROJECTION_BIAS] = _vector(arrays, "projection.bias")
    return tensors


def _vector(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    return arrays[name].astype(np.float32)


def _rows(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return a table [n, width]: as it is, one scale a row, or 4-bit codes with a scale a block."""
    codes, scales = arrays[name], arrays.get(f"{name}.scale")
    if scales is None:
        return codes.astype(np.float32)
    if scales.ndim == 3:
        codes = unpaired(codes)
        scales = np.repeat(scales[..., 0], codes.shape[1] // scales.shape[1], axis=1)
    elif codes.dtype == np.uint8:  # of `GatherBlockQuantized`, as earlier versions wrote it
        codes = _unpacked(codes)
        scales = np.repeat(scales, BLOCK, axis=1)[:, : codes.shape[1]]
    return codes.astype(np.float32) * scales.astype(np.float32)


def _linear(arrays: dict[str, np.ndarray], name: str, width: int) -> np.ndarray:
    """Return a trained matrix [out, width] from its transposed codes with a scale a column, or from 4-bit blocks."""
    codes, scales = arrays[name], arrays.get(f"{name}.scale")
    if scales is None:
        return np.ascontiguousarray(codes.T, np.float32)
    if codes.ndim == 3:
        values = _unpacked(codes) * scales.astype(np.float32).reshape(*codes.shape[:2], 1)
        return np.ascontiguousarray(values.reshape(len(codes), -1)[:, :width])
    zero = ZERO_POINT["int8"] if codes.dtype == np.uint8 else 0  # unsigned: as earlier versions offered
    return np.ascontiguousarray((codes.T.astype(np.float32) - zero) * scales.astype(np.float32)[:, None])


def _unpacked(codes: np.ndarray) -> np.ndarray:
    """Return 4-bit codes around zero, float32, from pairs whose first is in the low half."""
    pairs = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*codes.shape[:-1], -1)
    return pairs.astype(np.float32) - ZERO_POINT["int4"]

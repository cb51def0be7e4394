"""The projection that takes teacher vectors into the student's space, and a small reader for its file.

The safetensors format is a length (8 bytes, little-endian), a JSON header and the raw tensors. A device needs float32
tensors only, and no further package for that; a hostile header is refused before anything is allocated.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from .errors import InputError
from .files import is_list, is_object, read_bytes
from .manifest import MANIFEST_NAME, listed_file, read_manifest

MAX_HEADER_BYTES = 1_000_000


@dataclass(frozen=True)
class Projection:
    """y = normalise((x - mean) @ matrix): mean [D], matrix [D, d], both float32."""

    mean: np.ndarray
    matrix: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Return `vectors` [n, D] in the student's space: float32 [n, d], unit length (zero vectors stay zero).

        Raises `InputError` when the dimension is not D or a value is not finite.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean):
            raise InputError(
                f"vectors of shape {vectors.shape} do not fit a projection from {len(self.mean)} dimensions; "
                "use the vectors of the bundle's own teacher"
            )
        projected = (np.asarray(vectors, dtype=np.float32) - self.mean) @ self.matrix
        if not np.isfinite(projected).all():
            raise InputError("the vectors hold values that are not finite; encode the documents again")
        norms = np.linalg.norm(projected, axis=1, keepdims=True)
        return projected / np.where(norms > 0, norms, 1)


def read_projection(path: Path) -> Projection:
    """Read `projection.safetensors`; raise `InputError` when it is not a projection."""
    tensors = read_float_tensors(path)
    if set(tensors) != {"mean", "matrix"}:
        raise InputError(f"{path} holds {sorted(tensors)}, not 'matrix' and 'mean'; build the bundle again")
    mean, matrix = tensors["mean"], tensors["matrix"]
    if mean.ndim != 1 or matrix.ndim != 2 or len(mean) != len(matrix) or not matrix.size:
        raise InputError(f"{path}: mean {mean.shape} and matrix {matrix.shape} do not fit; build the bundle again")
    if not (np.isfinite(mean).all() and np.isfinite(matrix).all()):
        raise InputError(f"{path} holds values that are not finite; build the bundle again")
    return Projection(mean, matrix)


def bundle_projection(bundle: Path) -> Projection:
    """Return the projection of the folder `bundle`; raise `InputError` when it has none."""
    path = bundle / "projection.safetensors"
    if (bundle / MANIFEST_NAME).exists():
        manifest = read_manifest(bundle)
        name = manifest.pairing.projection
        path = listed_file(bundle, manifest, name) if name else None
    if path is None or not path.is_file():
        raise InputError(f"{bundle} has no projection for teacher vectors; encode the documents with the bundle itself")
    return read_projection(path)


def read_float_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return all tensors of a safetensors file of float32 tensors, in the order of the file.

    Raises `InputError` for another element type, a header that does not fit the file, overlaps, holes or a name that
    occurs twice.
    """
    data = read_bytes(path)
    try:
        return _parse(data)
    except ValueError as error:
        raise InputError(f"{path} is not a safetensors file of float32 tensors: {error}; build it again") from None


def _parse(data: bytes) -> dict[str, np.ndarray]:
    if len(data) < 8:
        raise ValueError("it is shorter than its first field")
    length = int.from_bytes(data[:8], "little")
    if length > min(MAX_HEADER_BYTES, len(data) - 8):
        raise ValueError(f"its header claims {length} bytes")
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"), object_pairs_hook=_unique_names)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    if not is_object(header):
        raise ValueError("its header is no object")
    body = memoryview(data)[8 + length :]
    spans: list[tuple[int, int, str, tuple[int, ...]]] = []
    for name, entry in header.items():
        if name != "__metadata__":
            start, end, shape = _span(name, entry)
            spans.append((start, end, name, shape))
    tensors: dict[str, np.ndarray] = {}
    position = 0
    for start, end, name, shape in sorted(spans):
        if start != position or end > len(body):
            raise ValueError(f"tensor {name!r} is not where the one before it ends, or ends behind the file")
        tensors[name] = np.frombuffer(body[start:end], dtype="<f4").reshape(shape).copy()
        position = end
    if position != len(body):
        raise ValueError(f"{len(body) - position} bytes belong to no tensor")
    return tensors


def _span(name: str, entry: Any) -> tuple[int, int, tuple[int, ...]]:
    if not is_object(entry) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of {name!r} needs dtype, shape and data_offsets")
    if entry["dtype"] != "F32":
        raise ValueError(f"tensor {name!r} has the type {entry['dtype']!r}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _whole_numbers(shape) or len(shape) > 8 or not _whole_numbers(offsets) or len(offsets) != 2:
        raise ValueError(f"shape or data_offsets of {name!r} are not lists of whole numbers")
    size = 4
    for extent in shape:
        size *= extent
    if offsets[1] - offsets[0] != size:
        raise ValueError(f"tensor {name!r} of shape {shape} does not fill its {offsets[1] - offsets[0]} bytes")
    return offsets[0], offsets[1], tuple(shape)


def _whole_numbers(value: Any) -> TypeGuard[list[int]]:
    return is_list(value) and all(type(item) is int and item >= 0 for item in value)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name occurs twice in its header")
    return dict(pairs)

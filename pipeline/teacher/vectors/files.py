"""Files of teacher vectors: .npy of float32 [rows, dimension], written and read in blocks, and shards.

Memory does not grow with the number of rows. A shard is kept between runs, outside the stages whose files are hashed:
float32 row by row without a header, and the SHA-256 of it behind, so that a damaged one is made again.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ....runtime.errors import InputError
from ....runtime.files import disk_errors, read_bytes, write_bytes

_DIGEST_BYTES = 32


def write_shard(path: Path, values: np.ndarray) -> None:
    """Write a whole shard."""
    data = np.ascontiguousarray(values, "<f4").tobytes()
    write_bytes(path, data + hashlib.sha256(data).digest())


def read_shard(path: Path) -> np.ndarray | None:
    """Return the values of a shard, float32 [all]; `None` when the file is missing or not as it was written."""
    data = read_bytes(path) if path.is_file() else b""
    values, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    return np.frombuffer(values, "<f4") if digest == hashlib.sha256(values).digest() else None


def read_shards(paths: list[Path]) -> Iterator[np.ndarray]:
    """Yield the values of shards that were made or checked a moment ago; raise `InputError` for a damaged one."""
    for path in paths:
        values = read_shard(path)
        if values is None:
            raise InputError(f"{path} was damaged while it was read; look at the disk, then run again")
        yield values


class VectorWriter:
    """Writes a .npy file of float32 rows, block by block; the rows may not be more or fewer than promised."""

    def __init__(self, path: Path, rows: int, dimension: int) -> None:
        self.path, self.rows, self.dimension = path, rows, dimension
        self._written = 0
        with disk_errors(path):
            self._stream = path.open("wb")
            description = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimension)}
            np.lib.format.write_array_header_1_0(self._stream, description)

    def write(self, block: bytes) -> None:
        """Append rows."""
        with disk_errors(self.path):
            self._stream.write(block)
        self._written += len(block)

    def close(self) -> None:
        """Finish the file; raise `InputError` when rows are missing."""
        with disk_errors(self.path):
            self._stream.close()
        if self._written != self.rows * self.dimension * 4:
            raise InputError(
                f"{self.path}: {self._written} bytes of vectors for {self.rows} rows; remove it and run again"
            )


class VectorReader:
    """Reads rows of a .npy file of float32 without mapping it into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                raise InputError(f"{path}: not a vector file of ours; remove it and run again")
            shape, _, kind = np.lib.format.read_array_header_1_0(stream)
            self._start = stream.tell()
        if len(shape) != 2 or kind != np.dtype("<f4"):
            raise InputError(f"{path}: float32 vectors [rows, dimension] are needed; remove it and run again")
        self.rows, self.dimension = shape

    def block(self, first: int, count: int) -> np.ndarray:
        """Return rows `first` … `first + count`, float32 [count or fewer, dimension]."""
        count = min(count, self.rows - first)
        offset = self._start + first * self.dimension * 4
        return np.fromfile(self.path, "<f4", count * self.dimension, offset=offset).reshape(-1, self.dimension)

    def blocks(self, rows: int = 4096) -> Iterator[np.ndarray]:
        """Yield all rows in blocks."""
        for first in range(0, self.rows, rows):
            yield self.block(first, rows)


def read_vectors(path: Path, rows: int) -> np.ndarray:
    """Return the vectors of a `.npy` file; raise `InputError` unless it holds `rows` rows of finite numbers."""
    try:
        vectors = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the stage that writes it again") from None
    except (ValueError, EOFError):
        raise InputError(f"{path} is no array of numbers; run the stage that writes it again") from None
    if vectors.ndim != 2 or len(vectors) != rows or not np.isfinite(vectors).all():
        raise InputError(f"{path} holds {vectors.shape}, not {rows} rows of vectors; run its stage again")
    return np.asarray(vectors, dtype=np.float32)

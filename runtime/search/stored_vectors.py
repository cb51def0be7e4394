"""Document vectors as an index stores them, in four bytes, one byte or one bit a dimension, and search among them.

`binary` first ranks all documents by the bits that differ from the query's (numpy counts 64 at a time), then the best
candidates by their int8 vectors. Every search is exact within its kind of vectors, goes through the arrays in blocks,
and orders equal scores by position, so that memory stays small and results are repeatable.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from ..errors import InputError
from .top_k import top_k_of_blocks

VectorKind = Literal["float32", "int8", "binary"]
BLOCK_ROWS = 4096
# Binary: candidates for each result that is asked for, and at least. With all-MiniLM-L6-v2 reduced to 192 dimensions on
# SciFact (5,183 documents) 200 candidates cost 0.006 of nDCG@10 against float32, 500 and 1,000 nothing, int8 nothing.
RESCORED, RESCORED_MIN = 50, 500


def array_layout(kind: VectorKind, count: int, dimension: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Return element type and shape of each array that holds `count` vectors of `dimension` numbers, by name."""
    if kind == "float32":
        return {"vectors": (np.dtype(np.float32), (count, dimension))}
    layout = {"codes": (np.dtype(np.int8), (count, dimension)), "scales": (np.dtype(np.float32), (count,))}
    return layout | ({"bits": (np.dtype(np.uint64), (count, -(-dimension // 64)))} if kind == "binary" else {})


def store_vectors(vectors: np.ndarray, kind: VectorKind) -> dict[str, np.ndarray]:
    """Return the arrays of float32 `vectors` [n, d] stored as `kind`, by name; see `array_layout`."""
    if kind == "float32":
        return {"vectors": vectors}
    codes, scales = quantize_rows(vectors)
    return {"codes": codes, "scales": scales} | ({"bits": pack_signs(vectors)} if kind == "binary" else {})


def quantize_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (codes int8 [n, d], scales float32 [n]) with vector ≈ code * scale; zero vectors get scale 0."""
    scales = np.abs(vectors).max(axis=1) / np.float32(127)
    codes = np.rint(vectors / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
    return codes, scales.astype(np.float32)


def pack_signs(vectors: np.ndarray) -> np.ndarray:
    """Return one bit a dimension, set where it is positive: uint64 [n, ceil(d / 64)]."""
    packed = np.packbits(vectors > 0, axis=1)
    missing = -packed.shape[1] % 8
    return np.pad(packed, ((0, 0), (0, missing))).view("<u8")


class StoredVectors:
    """Document vectors of one kind, searched by dot product with a query's vector."""

    def __init__(self, kind: VectorKind, arrays: Mapping[str, np.ndarray]) -> None:
        """Search `arrays`, those of `array_layout` by name, mapped from disk or in memory."""
        self.kind: VectorKind = kind
        self._arrays = arrays
        first = next(iter(arrays.values()))
        self.count, self.dimension = first.shape

    @property
    def vectors(self) -> np.ndarray:
        """The vectors themselves, float32 [n, d]; there for the kind `float32` alone."""
        return self._arrays["vectors"]

    def top(self, vector: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions int64, scores float32) of the `k` best documents for the query `vector` [d], best first.

        Equal scores come in the order of the documents. Raises `InputError` for a `k` below 1, or a vector of another
        dimension or with a number that is not finite.
        """
        if k < 1:
            raise InputError(f"k = {k}, at least 1 result is needed; give a larger number")
        if vector.shape != (self.dimension,) or not np.isfinite(vector).all():
            raise InputError(f"a finite query vector of {self.dimension} numbers is needed; encode it again")
        query = vector.astype(np.float32)
        if self.kind == "binary":
            candidates, _ = self.top_by_signs(query, max(RESCORED * k, RESCORED_MIN))
            rows = np.sort(candidates)
            return top_k_of_blocks([(rows, self._dot(query, rows))], k)
        blocks = (self._scored(query, block.start, block.stop) for block in self._blocks())
        return top_k_of_blocks(blocks, k)

    def top_by_signs(self, vector: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions, minus the number of signs that differ) of the `k` documents that agree best in signs."""
        return top_k_of_blocks(self._differing_signs(vector), k)

    def scores_of(self, vector: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the scores [m] of the documents at the positions `rows` [m] for the query `vector` [d]."""
        return self._dot(vector.astype(np.float32), rows)

    def _scored(self, query: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(start, stop), self._dot(query, slice(start, stop))

    def _blocks(self) -> Iterator[slice]:
        return (slice(start, min(start + BLOCK_ROWS, self.count)) for start in range(0, self.count, BLOCK_ROWS))

    def _dot(self, query: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):  # a damaged file may hold any number; one that is not finite ranks last
            if self.kind == "float32":
                return self._arrays["vectors"][rows] @ query
            return (self._arrays["codes"][rows].astype(np.float32) @ query) * self._arrays["scales"][rows]

    def _differing_signs(self, vector: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        bits = pack_signs(vector[None])
        for block in self._blocks():
            differing = np.bitwise_count(self._arrays["bits"][block] ^ bits).sum(axis=1, dtype=np.int32)
            yield np.arange(block.start, block.stop), -differing

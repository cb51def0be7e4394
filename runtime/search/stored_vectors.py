"""Document vectors as an index stores them, in four bytes, one byte or one bit a dimension, and search among them.

`binary` first ranks all documents by the bits that differ from the query's (numpy counts 64 at a time), then the best
candidates by their int8 vectors. Every search is exact within its kind of vectors, goes through the arrays in blocks,
and orders equal scores by position, so that memory stays small and results are repeatable.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import numpy as np

from ..errors import InputError
from .order import RowOrder
from .top_k import Best, top_k_of_blocks

VectorKind = Literal["float32", "int8", "binary"]
BLOCK_ROWS = 4096
MARGIN = 1e-5  # by which a score may be off that is computed in a block of others; unit vectors are off by 1e-7
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

    def __init__(self, kind: VectorKind, *parts: Mapping[str, np.ndarray], order: RowOrder | None = None) -> None:
        """Search `parts`, each with the arrays of `array_layout` by name, mapped from disk or in memory.

        Without `order` there is one part, and the positions are its rows.
        """
        self.kind: VectorKind = kind
        self._parts, self._order = parts, order
        first = next(iter(parts[0].values()))
        self.dimension: int = first.shape[1]
        self.count: int = len(first) if order is None else len(order.rows)

    @property
    def vectors(self) -> np.ndarray:
        """The vectors themselves, float32 [n, d]; there for the kind `float32` alone."""
        if self._order is None:
            return self._parts[0]["vectors"]
        return self.stored("vectors", np.arange(self.count))

    def stored(self, name: str, positions: np.ndarray) -> np.ndarray:
        """Return what the array `name` of `array_layout` holds at `positions` [m]: [m, …]."""
        if self._order is None:
            return self._parts[0][name][positions]
        first = self._parts[0][name]
        found = np.empty((len(positions), *first.shape[1:]), dtype=first.dtype)
        for segment, places, rows in self._order.in_segments(positions):
            found[places] = self._parts[segment][name][rows]
        return found

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
            rows, _ = self.top_by_signs(query, max(RESCORED * k, RESCORED_MIN))
        else:
            best = Best(k, MARGIN)
            for rows, scores in self._blocks(lambda part, rows, room: self._dot(part, rows, query, room)):
                best.add(rows, scores)
            rows = best.rows
        rows = np.sort(rows)
        return top_k_of_blocks([(rows, self.scores_of(query, rows))], k)

    def top_by_signs(self, vector: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions, minus the number of signs that differ) of the `k` documents that agree best in signs."""
        bits = pack_signs(vector[None])
        blocks = self._blocks(lambda part, rows, room: -_differing(part["bits"][rows], bits))
        return top_k_of_blocks(blocks, k)

    def scores_of(self, vector: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the scores [m] of the documents at the positions `rows` [m] for the query `vector` [d].

        A score depends on query and document alone, to the last bit: equal documents have equal scores.
        """
        query = vector.astype(np.float32)
        with np.errstate(all="ignore"):  # a damaged file may hold any number; one that is not finite ranks last
            if self.kind == "float32":
                return (self.stored("vectors", rows) * query).sum(axis=1)
            return (self.stored("codes", rows) * query).sum(axis=1) * self.stored("scales", rows)

    def _blocks(
        self, score: Callable[[Mapping[str, np.ndarray], slice, np.ndarray], np.ndarray]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (positions, scores) of all live rows; `score` gets a part, rows of it and room for as many vectors."""
        room = np.empty((BLOCK_ROWS, self.dimension), dtype=np.float32)
        for segment, part in enumerate(self._parts):
            count = len(next(iter(part.values())))
            first = 0 if self._order is None else int(self._order.firsts[segment])
            for start in range(0, count, BLOCK_ROWS):
                stop = min(start + BLOCK_ROWS, count)
                scores = score(part, slice(start, stop), room)
                if self._order is None:
                    yield np.arange(start, stop), scores
                else:
                    positions = self._order.positions[first + start : first + stop]
                    live = positions >= 0
                    yield positions[live], scores[live]

    def _dot(self, part: Mapping[str, np.ndarray], rows: slice, query: np.ndarray, room: np.ndarray) -> np.ndarray:
        """Return the scores of `rows` as fast as can be: the last bits depend on what else is in the block."""
        with np.errstate(all="ignore"):
            if self.kind == "float32":
                return part["vectors"][rows] @ query
            codes = part["codes"][rows]
            wide = room[: len(codes)]
            wide[:] = codes
            return (wide @ query) * part["scales"][rows]


def _differing(bits: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how many bits of each row of `bits`, uint64 [n, w], are not those of `others` [1, w]: int32 [n]."""
    return np.bitwise_count(bits ^ others).sum(axis=1, dtype=np.int32)

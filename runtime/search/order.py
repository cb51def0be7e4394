"""Which rows of an index's segments are live, and in what order.

A *position* is a row of the index as a fresh one over the same documents would have it; searches speak of positions. A
*row* is where a passage lies: in one segment behind the other, with those of deleted documents between them.
"""

from collections.abc import Sequence

import numpy as np


class RowOrder:
    """From positions to rows and back, over the segments of an index."""

    def __init__(self, live: np.ndarray, document_of: Sequence[np.ndarray]) -> None:
        """Order the documents `live` [m], numbers over all segments; `document_of` is that array of each segment.

        Raises `ValueError` when `live` names a document that is not there, or one twice.
        """
        sizes: np.ndarray = np.concatenate([np.bincount(numbers) for numbers in document_of])
        if not len(live) or live.min() < 0 or live.max() >= len(sizes) or len(np.unique(live)) != len(live):
            raise ValueError("documents are named twice, or are not there")
        own: np.ndarray = sizes[live]
        begins: np.ndarray = (np.cumsum(sizes) - sizes)[live]
        rows: np.ndarray = np.arange(int(own.sum())) + np.repeat(begins - (np.cumsum(own) - own), own)
        positions = np.full(int(sizes.sum()), -1, dtype=np.int32)  # -1: deleted
        positions[rows] = np.arange(len(rows), dtype=np.int32)
        counts = np.array([len(numbers) for numbers in document_of])
        self.document_of: np.ndarray = np.repeat(np.arange(len(live), dtype=np.int32), own)
        self.rows: np.ndarray = rows.astype(np.int32)
        self.positions: np.ndarray = positions
        self.firsts: np.ndarray = np.cumsum(counts) - counts  # row with which each segment begins

    def in_segments(self, positions: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Return (segment, places in `positions`, rows within the segment) of each segment that has some of them."""
        rows: np.ndarray = self.rows[positions]
        segments: np.ndarray = np.searchsorted(self.firsts, rows, side="right") - 1
        places = [(int(segment), np.flatnonzero(segments == segment)) for segment in np.unique(segments)]
        return [(segment, where, rows[where] - self.firsts[segment]) for segment, where in places]

"""The best of many scores, equal ones in the order of their positions, so that rankings repeat to the last place."""

from collections.abc import Iterable

import numpy as np


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the positions of the `k` highest of `scores` [n]: int64 [min(k, n)], highest first.

    No accident of the partition decides which of several equal scores is among the best: it is the first of them.
    """
    k = min(k, len(scores))
    if k < 1:
        return np.empty(0, dtype=np.int64)
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > least)
    rows = np.concatenate([above, np.flatnonzero(scores == least)[: k - len(above)]])
    return rows[np.lexsort((rows, -scores[rows]))]


class Best:
    """The `k` highest of scores that come in blocks, in any order; memory holds these and one block.

    With a `margin`, also those that are lower than the least of the `k` by no more than that.
    """

    def __init__(self, k: int, margin: float = 0.0) -> None:
        """Begin with none."""
        self.k, self.margin = k, margin
        self.rows: np.ndarray = np.empty(0, dtype=np.int64)
        self.scores: np.ndarray = np.empty(0, dtype=np.float32)
        self._least = -np.inf

    def add(self, rows: np.ndarray, scores: np.ndarray) -> None:
        """Take the `scores` [m] of the positions `rows` [m]; those that are not finite (a damaged file) rank last."""
        scores = np.nan_to_num(scores.astype(np.float32, copy=False), nan=-np.inf, posinf=-np.inf)
        if len(self.scores) >= self.k:
            worth = np.flatnonzero(scores >= self._least)  # few, after the first blocks
            if not len(worth):
                return
            rows, scores = rows[worth], scores[worth]
        rows, scores = np.concatenate([self.rows, rows]), np.concatenate([self.scores, scores])
        order = np.argsort(rows, kind="stable")
        best = top_k(scores[order], self.k)
        self._least = scores[order[best[-1]]] - self.margin if len(best) == self.k else -np.inf
        kept = order[best] if not self.margin else np.flatnonzero(scores >= self._least)
        self.rows, self.scores = rows[kept], scores[kept]


def top_k_of_blocks(blocks: Iterable[tuple[np.ndarray, np.ndarray]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (positions int64, scores float32) of the `k` highest scores over all blocks, highest first.

    A block is (positions, scores), each [m]; equal scores come in the order of the positions, whatever block they are
    in. Scores that are not finite (a damaged file) rank last.
    """
    best = Best(k)
    for rows, scores in blocks:
        best.add(rows, scores)
    return best.rows, best.scores

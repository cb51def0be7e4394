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


def top_k_of_blocks(blocks: Iterable[tuple[np.ndarray, np.ndarray]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (positions int64, scores float32) of the `k` highest scores over all blocks, highest first.

    A block is (positions, scores), each [m]; positions ascend within a block and from block to block. Scores that are
    not finite (a damaged file) rank last. Memory holds `k` scores and one block.
    """
    rows, scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    for block_rows, block_scores in blocks:
        finite = np.nan_to_num(block_scores.astype(np.float32), nan=-np.inf, posinf=-np.inf)
        rows, scores = np.concatenate([rows, block_rows]), np.concatenate([scores, finite])
        # Equal scores that are kept stay in the order of their positions, and later blocks come behind them.
        best = top_k(scores, k)
        rows, scores = rows[best], scores[best]
    return rows, scores

"""Two ways to fuse a bundle with BM25 beside the plain sum of `baselines.fuse`: the device's own, and by ranks.

Score matrices are [scored queries, documents in corpus order], larger is better.
"""

import numpy as np

from ...runtime.hybrid import BM25_WEIGHT, NAMED_MIN, best_rows, named_rows, standardise
from .metrics import RANK_DEPTH

RANK_CONSTANT = 60  # of reciprocal rank fusion, as its authors set it


def fuse_as_device(
    vectors: np.ndarray, words: np.ndarray, depth: int = NAMED_MIN, bm25_weight: float = BM25_WEIGHT
) -> np.ndarray:
    """Return what `pocketrank search --hybrid` ranks by; documents that neither side names get -inf.

    It differs from `baselines.fuse` in that scores are standardised over the best `depth` documents of each side, as a
    device does that does not look at all of them, and in that BM25's count `bm25_weight` times.
    """
    fused = np.full(vectors.shape, -np.inf)
    for row, (by_vector, by_words) in enumerate(zip(vectors, words, strict=True)):
        union = named_rows(best_rows(by_vector, depth), by_words, depth)
        fused[row, union] = standardise(by_vector[union]) + bm25_weight * standardise(by_words[union])
    return fused


def fuse_by_rank(vectors: np.ndarray, words: np.ndarray, depth: int = 10 * RANK_DEPTH) -> np.ndarray:
    """Return reciprocal rank fusion (Cormack et al. 2009): the sum of 1 / (60 + rank) over both rankings.

    A document counts where it is among the best `depth` and, on the side of BM25, shares a word with the query.
    """
    fused = np.zeros(vectors.shape)
    for row, (by_vector, by_words) in enumerate(zip(vectors, words, strict=True)):
        for side, least in ((by_vector, -np.inf), (by_words, 0.0)):
            rows = best_rows(side, depth)
            rows = rows[side[rows] > least]
            fused[row, rows] += 1.0 / (RANK_CONSTANT + 1 + np.arange(len(rows)))
    return fused

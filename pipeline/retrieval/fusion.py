"""Fusions of vectors with BM25 over all documents, as baselines; the device's own is in `runtime/search/hybrid.py`."""

import numpy as np

from ...runtime.search.hybrid import standardise
from ...runtime.search.top_k import top_k
from .metrics import RANK_DEPTH

RANK_CONSTANT = 60  # of reciprocal rank fusion, as its authors set it


def fuse(*matrices: np.ndarray) -> np.ndarray:
    """Return the sum of score matrices [queries, documents], each standardised per query: float64 of that shape.

    A row that is the same everywhere says nothing about the order and adds nothing.
    """
    return np.sum([standardise(matrix) for matrix in matrices], axis=0)


def fuse_by_rank(vectors: np.ndarray, words: np.ndarray, depth: int = 10 * RANK_DEPTH) -> np.ndarray:
    """Return reciprocal rank fusion (Cormack et al. 2009): the sum of 1 / (60 + rank) over both rankings.

    `vectors` and `words` are score matrices [queries, documents], larger is better. A document counts where it is among
    the best `depth` and, on the side of BM25, shares a word with the query.
    """
    fused = np.zeros(vectors.shape)
    for row, (by_vector, by_words) in enumerate(zip(vectors, words, strict=True)):
        for scores, least in ((by_vector, -np.inf), (by_words, 0.0)):
            positions = top_k(scores, depth)
            positions = positions[scores[positions] > least]
            fused[row, positions] += 1.0 / (RANK_CONSTANT + 1 + np.arange(len(positions)))
    return fused

"""Hybrid search: the bundle's vectors and BM25, fused on the device.

The candidates are the best documents of each side; all are scored by both, each score is standardised over them (mean
0, deviation 1), and the weighted sums rank. Vectors find what is said in other words, BM25 what is said in the same
ones: names, numbers, rare terms that a small vocabulary splits into many tokens.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..manifest import MANIFEST_NAME, read_manifest
from .bm25 import FOLDER, Bm25Index
from .index import DocumentIndex, Hit
from .stored_vectors import StoredVectors
from .top_k import top_k

# Candidates of each side, for each result that is asked for, and at least.
CANDIDATES, CANDIDATES_MIN = 10, 100
# Of BM25's standardised score beside the vectors'. docs/how-to/hybrid-search.md shows what other weights give: vectors
# are the better ranker of most corpora, and of equal weights the worse ranker takes more away than it adds.
BM25_WEIGHT = 0.4


def hybrid_weight(bundle: Path, documents_by: str) -> float:
    """Return what BM25 counts beside the vectors: what was chosen for the bundle's corpus, else the default.

    `documents_by` says whose vectors the documents have, as in `IndexManifest`: those of the bundle or the teacher's.
    """
    chosen = read_manifest(bundle).bm25_weight if (bundle / MANIFEST_NAME).is_file() else None
    return (chosen or {}).get(documents_by, BM25_WEIGHT)


def standardise(scores: np.ndarray) -> np.ndarray:
    """Return `scores` [..., n] with mean 0 and deviation 1 along the last axis, float64; 0 where all are equal."""
    wide = scores.astype(np.float64)
    deviation = wide.std(axis=-1, keepdims=True)
    return (wide - wide.mean(axis=-1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)


@dataclass(frozen=True)
class Candidates:
    """What can be found for one query: positions [m], ascending, and standardised scores by vectors and BM25 [m]."""

    rows: np.ndarray
    by_vector: np.ndarray
    by_words: np.ndarray

    def top(self, k: int, bm25_weight: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions, fused scores) of the `k` best, best first; equal scores in the order of the documents."""
        fused = self.by_vector + bm25_weight * self.by_words
        best = top_k(fused, k)
        return self.rows[best], fused[best]


def find_candidates(stored: StoredVectors, vector: np.ndarray, bm25_scores: np.ndarray, k: int) -> Candidates:
    """Return the candidates for `k` results: the best by the query's `vector` [d], and the best by BM25.

    `bm25_scores` [documents] are those of all documents; one that shares no word with the query is no candidate.
    """
    depth = max(CANDIDATES * k, CANDIDATES_MIN)
    by_vector, _ = stored.top(vector, depth)
    by_words = top_k(bm25_scores, depth)
    rows = np.union1d(by_vector, by_words[bm25_scores[by_words] > 0])
    return Candidates(rows, standardise(stored.scores_of(vector, rows)), standardise(bm25_scores[rows]))


class HybridIndex:
    """An index with a BM25 part, searched by vectors and words together.

    >>> index = HybridIndex(DocumentIndex.open("index"))
    >>> query = "close the file"
    >>> index.search(Encoder.open("bundle").encode_query(query), query, k=1)[0].id
    'file'
    """

    def __init__(self, index: DocumentIndex, bm25_weight: float = BM25_WEIGHT) -> None:
        """Open the BM25 part of `index`; its scores count `bm25_weight` times.

        Raises `InputError` when it has none or a damaged one, `UnavailableError` when bm25s is not installed.
        """
        settings = index.manifest.bm25
        if settings is None:
            raise InputError(f"{index.folder} has no BM25 part; make it again with `pocketrank index --hybrid`")
        self.index = index
        self.bm25_weight = bm25_weight
        self.bm25 = Bm25Index.open(index.folder / FOLDER, len(index), settings)

    def search(self, vector: np.ndarray, query: str, k: int = 10) -> list[Hit]:
        """Return the `k` best documents for the `query` and its `vector` [d], best first; scores are sums of two."""
        rows, scores = self.top(vector, query, k)
        return [self.index.hit(rank, int(row), float(scores[rank - 1])) for rank, row in enumerate(rows, start=1)]

    def top(self, vector: np.ndarray, query: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions, fused scores) of the `k` best documents; equal scores in the order of the documents."""
        return find_candidates(self.index.stored, vector, self.bm25.scores(query), k).top(k, self.bm25_weight)

"""Hybrid search: the bundle's vectors and BM25, fused on the device.

Each side names its best documents; the union of both is scored by both, each score is standardised over the union
(mean 0, deviation 1), and their weighted sums rank. Vectors find what is said in other words, BM25 what is said in the
same ones: names, numbers, rare terms that a small vocabulary cuts to pieces.
"""

from pathlib import Path

import numpy as np

from .bm25 import FOLDER, Bm25Index
from .errors import InputError
from .index import DocumentIndex, Hit
from .manifest import MANIFEST_NAME, read_manifest

# Documents that each side names, for each result that is asked for, and at least.
NAMED, NAMED_MIN = 10, 100
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


def best_rows(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the positions of the `k` highest of `scores` [n], highest first; equal ones in their order."""
    k = min(k, len(scores))
    if not k:
        return np.empty(0, dtype=np.int64)
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > least)
    rows = np.concatenate([above, np.flatnonzero(scores == least)[: k - len(above)]])
    return rows[np.lexsort((rows, -scores[rows]))]


def named_rows(by_vector: np.ndarray, words: np.ndarray, depth: int) -> np.ndarray:
    """Return the candidates in ascending order: `by_vector`, and the best `depth` of BM25's scores [n] above 0."""
    by_words = best_rows(words, depth)
    return np.union1d(by_vector, by_words[words[by_words] > 0])


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
        depth = max(NAMED * k, NAMED_MIN)
        by_vector, _ = self.index.top(vector, depth)
        words = self.bm25.scores(query)
        union = named_rows(by_vector, words, depth)
        fused = standardise(self.index.scores_of(vector, union)) + self.bm25_weight * standardise(words[union])
        chosen = best_rows(fused, k)
        return union[chosen], fused[chosen]

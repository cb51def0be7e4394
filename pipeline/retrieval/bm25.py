"""What a bundle is held against: BM25, and the fusion of BM25 with vectors.

A baseline is a function from a retrieval set and a split to a score matrix [scored queries, documents], larger is
better, so that every baseline is measured by `metrics.evaluate_scores` and can be fused with any other.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ...runtime.errors import UnavailableError
from .dataset import RetrievalSet
from .metrics import scored_queries


def bm25_scores(retrieval_set: RetrievalSet, split: str) -> np.ndarray:
    """Return float32 BM25 scores [scored queries of `split`, documents].

    BM25 as in Robertson and Zaragoza (2009) through `bm25s` with its defaults (Lucene's variant, k1 1.5, b 0.75) and
    its English stop words. Raises `UnavailableError` when `bm25s` is not installed.
    """
    queries = [retrieval_set.queries[query] for query in scored_queries(retrieval_set, split)]
    scores = np.zeros((len(queries), len(retrieval_set.documents)), dtype=np.float32)
    for row, found in enumerate(bm25_rows(list(retrieval_set.documents.values()), queries)):
        scores[row] = found
    return scores


def bm25_rows(documents: Sequence[str], queries: Sequence[str]) -> Iterator[np.ndarray]:
    """Yield the scores of all documents, float32 [documents], for one query after the other; see `bm25_scores`."""
    try:
        import bm25s
    except ImportError:
        raise UnavailableError("BM25 needs the package bm25s; pip install 'pocketrank[build]'") from None
    corpus = bm25s.tokenize(list(documents), stopwords="en", show_progress=False, return_ids=False)
    model = bm25s.BM25()
    if has_words := any(corpus):
        model.index(corpus, show_progress=False)
    for words in bm25s.tokenize(list(queries), stopwords="en", show_progress=False, return_ids=False):
        known = [str(word) for word in words if has_words and word in model.vocab_dict]
        yield model.get_scores(known) if known else np.zeros(len(documents), np.float32)


def fuse(*matrices: np.ndarray) -> np.ndarray:
    """Return the sum of score matrices of one shape, each standardised per query (mean 0, deviation 1).

    A row that is the same everywhere says nothing about the order and adds nothing.
    """
    return np.sum([_standardise(matrix) for matrix in matrices], axis=0)


def _standardise(scores: np.ndarray) -> np.ndarray:
    wide = scores.astype(np.float64)
    deviation = wide.std(axis=1, keepdims=True)
    return (wide - wide.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)

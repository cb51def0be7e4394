"""Ranking quality: nDCG@10, MRR@10 and Recall@100 as trec_eval and BEIR compute them, with bootstrap intervals.

nDCG uses the grade itself as the gain and log2(rank + 1) as the discount (Järvelin and Kekäläinen 2002, in the form
that trec_eval gives it). A query that is itself a document never finds itself: identical ids are skipped, as BEIR
does. Judged queries without a relevant document are left out, because no ranking of them is better than another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .dataset import RetrievalSet

METRICS = ("ndcg10", "mrr10", "recall100")
RANK_DEPTH = 100
_QUERY_BLOCK = 256


@dataclass(frozen=True)
class Interval:
    """A mean over queries with its bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class QualityFigures:
    """Ranking quality on one split; the arrays hold one value a query, in the order of `query_ids`."""

    query_ids: tuple[str, ...]
    ndcg10: np.ndarray
    mrr10: np.ndarray
    recall100: np.ndarray

    def summary(self, resamples: int = 1000, seed: int = 1) -> dict[str, Interval]:
        """Return mean and 95 % interval of each metric, by name."""
        return {name: bootstrap_interval(getattr(self, name), resamples, seed) for name in METRICS}


def ndcg_at(ranking: Sequence[str], grades: Mapping[str, int], depth: int = 10) -> float:
    """Return the normalised discounted cumulative gain of one ranking of document ids."""
    gains = [max(grades.get(document, 0), 0) for document in ranking[:depth]]
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:depth]
    best = _discounted(ideal)
    return _discounted(gains) / best if best else 0.0


def reciprocal_rank_at(ranking: Sequence[str], grades: Mapping[str, int], depth: int = 10) -> float:
    """Return one over the rank of the first relevant document, or 0 when it is not among the first `depth`."""
    hits = (rank for rank, document in enumerate(ranking[:depth], start=1) if grades.get(document, 0) > 0)
    first = next(hits, None)
    return 1.0 / first if first else 0.0


def recall_at(ranking: Sequence[str], grades: Mapping[str, int], depth: int = 100) -> float:
    """Return the share of the relevant documents that are among the first `depth`."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant) if relevant else 0.0


def top_documents(scores: np.ndarray, depth: int = RANK_DEPTH) -> np.ndarray:
    """Return the best `depth` columns of each row of `scores`, best first; equal scores keep the column order.

    `scores` is [queries, documents]; the result is int64 [queries, min(depth, documents)].
    """
    count = scores.shape[1]
    depth = min(depth, count)
    if depth == 0:
        return np.empty((scores.shape[0], 0), dtype=np.int64)
    rows = np.empty((scores.shape[0], depth), dtype=np.int64)
    for row, values in enumerate(scores):
        # Everything above the depth-th best value, and of its equals the first columns: no accident of the
        # partition decides which of several equal documents is kept.
        cut = np.partition(values, count - depth)[count - depth]
        above = np.flatnonzero(values > cut)
        equal = np.flatnonzero(values == cut)[: depth - len(above)]
        chosen = np.concatenate([above, equal])
        rows[row] = chosen[np.lexsort((chosen, -values[chosen]))]
    return rows


def rank(query_vectors: np.ndarray, document_vectors: np.ndarray, k: int = RANK_DEPTH) -> np.ndarray:
    """Return the `k` documents with the largest dot product for each query: int64 [queries, k], best first.

    Works in blocks of queries, so that memory does not grow with queries times documents.
    """
    documents = document_vectors.T
    blocks = [
        top_documents(query_vectors[start : start + _QUERY_BLOCK] @ documents, k)
        for start in range(0, len(query_vectors), _QUERY_BLOCK)
    ]
    return np.concatenate(blocks) if blocks else np.empty((0, min(k, len(document_vectors))), dtype=np.int64)


def scored_queries(retrieval_set: RetrievalSet, split: str) -> list[str]:
    """Return the queries of `split` that have a relevant document, in the order of the query file."""
    judged = retrieval_set.judgements(split)
    return [query for query in retrieval_set.queries if any(grade > 0 for grade in judged.get(query, {}).values())]


def evaluate_rankings(rankings: np.ndarray, retrieval_set: RetrievalSet, split: str) -> QualityFigures:
    """Score rankings: int [queries of `scored_queries`, depth] of document positions in corpus order.

    A ranking should be `RANK_DEPTH` + 1 deep, so that a query which is itself a document can be skipped.
    """
    judged = retrieval_set.judgements(split)
    identifiers = list(retrieval_set.documents)
    queries = scored_queries(retrieval_set, split)
    values = np.zeros((3, len(queries)))
    for column, (query, row) in enumerate(zip(queries, rankings, strict=True)):
        ranking = [identifiers[position] for position in row if identifiers[position] != query]
        grades = {document: grade for document, grade in judged[query].items() if document != query}
        values[:, column] = ndcg_at(ranking, grades), reciprocal_rank_at(ranking, grades), recall_at(ranking, grades)
    return QualityFigures(tuple(queries), *values)


def evaluate_scores(scores: np.ndarray, retrieval_set: RetrievalSet, split: str) -> QualityFigures:
    """Score a matrix [queries of `scored_queries`, documents in corpus order]; larger is better."""
    return evaluate_rankings(top_documents(scores, RANK_DEPTH + 1), retrieval_set, split)


def evaluate_vectors(
    query_vectors: np.ndarray, document_vectors: np.ndarray, retrieval_set: RetrievalSet, split: str
) -> QualityFigures:
    """Score unit vectors by their dot products.

    `query_vectors` is [all queries in file order, d] or [queries of `scored_queries`, d]; `document_vectors` is
    [documents in corpus order, d].
    """
    return evaluate_rankings(
        rank(scored_rows(query_vectors, retrieval_set, split), document_vectors, RANK_DEPTH + 1), retrieval_set, split
    )


def scored_rows(query_vectors: np.ndarray, retrieval_set: RetrievalSet, split: str) -> np.ndarray:
    """Return the rows of the scored queries of `split` out of vectors of all queries (or just of those)."""
    queries = scored_queries(retrieval_set, split)
    if len(query_vectors) == len(queries):
        return query_vectors
    positions = {query: position for position, query in enumerate(retrieval_set.queries)}
    return query_vectors[[positions[query] for query in queries]]


def bootstrap_interval(values: np.ndarray, resamples: int = 1000, seed: int = 1, level: float = 0.95) -> Interval:
    """Return the mean of `values` and its percentile bootstrap interval over queries (Efron 1979)."""
    mean = float(np.mean(values))
    if resamples < 1 or len(values) < 2:
        return Interval(mean, mean, mean)
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    for sample in range(resamples):
        means[sample] = values[random.integers(0, len(values), len(values))].mean()
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean, float(low), float(high))


def bootstrap_ratio(
    values: np.ndarray, reference: np.ndarray, resamples: int = 1000, seed: int = 1, level: float = 0.95
) -> Interval:
    """Return the ratio of two means over the same queries, and its paired percentile bootstrap interval.

    Both systems are resampled with the same queries, so that what makes a query hard for both does not widen the
    interval. Resamples in which the reference scores nothing are left out.
    """
    ratio = float(np.mean(values) / np.mean(reference))
    if resamples < 1 or len(values) < 2:
        return Interval(ratio, ratio, ratio)
    random = np.random.default_rng(seed)
    ratios = []
    for _ in range(resamples):
        rows = random.integers(0, len(values), len(values))
        below = reference[rows].mean()
        if below > 0:
            ratios.append(values[rows].mean() / below)
    tail = (1 - level) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return Interval(ratio, float(low), float(high))


def _discounted(gains: Sequence[int]) -> float:
    return float(sum(gain / np.log2(rank + 1) for rank, gain in enumerate(gains, start=1)))

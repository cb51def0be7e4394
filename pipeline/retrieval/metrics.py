"""Ranking quality: nDCG@10, MRR@10 and Recall@100 as trec_eval and BEIR compute them, with bootstrap intervals.

nDCG uses the grade itself as the gain and log2(rank + 1) as the discount (Järvelin and Kekäläinen 2002, in the form
that trec_eval gives it). A query that is itself a document never finds itself: identical ids are skipped, as BEIR
does. Judged queries without a relevant document are left out, because no ranking of them is better than another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.bootstrap import Interval, bootstrap_interval
from ...runtime.search.top_k import top_k
from .dataset import RetrievalSet

METRICS = ("ndcg10", "mrr10", "recall100")
RANK_DEPTH = 100
QUERY_BLOCK = 256

# From the row of a scored query and a number of results to the positions of the best documents, best first.
Search = Callable[[int, int], np.ndarray]


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

    The result is int64 [rows, depth]; it has fewer columns when `scores` has fewer.
    """
    ranked = [top_k(row, depth) for row in scores]
    return np.stack(ranked) if ranked else np.empty((0, min(depth, scores.shape[1])), dtype=np.int64)


def scored_queries(retrieval_set: RetrievalSet, split: str) -> list[str]:
    """Return the queries of `split` that have a relevant document, in the order of the query file."""
    judged = retrieval_set.judgements(split)
    return [query for query in retrieval_set.queries if any(grade > 0 for grade in judged.get(query, {}).values())]


def evaluate_search(search: Search, retrieval_set: RetrievalSet, split: str) -> QualityFigures:
    """Score what ranks one query at a time, asked for as many results as each metric looks at.

    A device that is asked for ten results looks at fewer candidates than for a hundred: nDCG@10 and MRR@10 are those of
    its ten results, Recall@100 that of its hundred. A query that is itself a document asks for one result more, which
    takes the place of its own.
    """
    judged = retrieval_set.judgements(split)
    identifiers = list(retrieval_set.documents)
    queries = scored_queries(retrieval_set, split)
    values = np.zeros((3, len(queries)))
    for row, query in enumerate(queries):
        more = query in retrieval_set.documents
        grades = {document: grade for document, grade in judged[query].items() if document != query}
        ten, hundred = (
            [identifiers[position] for position in search(row, depth + more) if identifiers[position] != query]
            for depth in (10, RANK_DEPTH)
        )
        values[:, row] = ndcg_at(ten, grades), reciprocal_rank_at(ten, grades), recall_at(hundred, grades)
    return QualityFigures(tuple(queries), *values)


def evaluate_rankings(rankings: np.ndarray, retrieval_set: RetrievalSet, split: str) -> QualityFigures:
    """Score rankings: int [queries of `scored_queries`, depth] of document positions in corpus order.

    A ranking should be `RANK_DEPTH` + 1 deep, so that a query which is itself a document can be skipped.
    """
    queries = scored_queries(retrieval_set, split)
    if len(rankings) != len(queries):
        raise ValueError(f"{len(rankings)} rankings do not fit {len(queries)} queries of the split {split!r}")
    return evaluate_search(lambda row, depth: rankings[row, :depth], retrieval_set, split)


def evaluate_scores(scores: np.ndarray, retrieval_set: RetrievalSet, split: str) -> QualityFigures:
    """Score a matrix [queries of `scored_queries`, documents in corpus order]; larger is better."""
    return evaluate_rankings(top_documents(scores, RANK_DEPTH + 1), retrieval_set, split)


def scored_rows(query_vectors: np.ndarray, retrieval_set: RetrievalSet, split: str) -> np.ndarray:
    """Return the rows of the scored queries of `split` out of vectors of all queries (or just of those)."""
    queries = scored_queries(retrieval_set, split)
    if len(query_vectors) == len(queries):
        return query_vectors
    positions = {query: position for position, query in enumerate(retrieval_set.queries)}
    return query_vectors[[positions[query] for query in queries]]


def _discounted(gains: Sequence[int]) -> float:
    return float(sum(gain / np.log2(rank + 1) for rank, gain in enumerate(gains, start=1)))

"""From the best passages to the best documents: a document ranks by its best passage.

The best `k` documents are the first `k` different ones in the ranking of all passages. So the ranking of passages is
asked for ever more of them until it names `k` documents, or all: the result is exact, whatever it is asked of.

Two other rankings are there to be measured: `mean2`, the mean of a document's two best passages (of one alone, that),
and `decay`, the sum of its passages' scores, best first, each of which counts half of the one before, over the sum of
these weights. They rescore the best `10 k` documents, at least 100.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from .stored_vectors import StoredVectors
from .top_k import top_k

DocumentRanking = Literal["max", "mean2", "decay"]
CANDIDATES, CANDIDATES_MIN = 10, 100

# Given a number, the best rows (int64) and their scores, best first.
TopRows = Callable[[int], tuple[np.ndarray, np.ndarray]]


def best_by_document(top_rows: TopRows, document_of: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the best row and score of each of the best `k` documents, best first.

    `document_of` [n] is the number of each row's document. Of documents with equal scores that one comes first whose
    row does.
    """
    count = len(document_of)
    wanted = min(k, int(document_of[-1]) + 1)
    depth = min(count, wanted + min(wanted, count - int(document_of[-1]) - 1))
    while True:
        rows, scores = top_rows(depth)
        first: np.ndarray = np.unique(document_of[rows], return_index=True)[1]
        if len(first) >= wanted or depth >= count or len(rows) < depth:
            kept = np.sort(first)[:wanted]
            return rows[kept], scores[kept]
        depth = min(count, 4 * depth)


def ranked_documents(
    stored: StoredVectors, vector: np.ndarray, document_of: np.ndarray, k: int, ranking: DocumentRanking = "max"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best row and the score of each of the best `k` documents for the query `vector` [d], best first."""
    if ranking == "max":
        return best_by_document(lambda depth: stored.top(vector, depth), document_of, k)
    candidates = max(CANDIDATES * k, CANDIDATES_MIN)
    best, _ = best_by_document(lambda depth: stored.top(vector, depth), document_of, candidates)
    rows = rows_of(document_of[best], document_of)
    return rescored(ranking, rows, stored.scores_of(vector, rows), document_of, k)


def rows_of(documents: np.ndarray, document_of: np.ndarray) -> np.ndarray:
    """Return the rows of `documents` [m], ascending; the rows of a document stand together in `document_of` [n]."""
    wanted = np.sort(documents)
    starts, ends = np.searchsorted(document_of, wanted), np.searchsorted(document_of, wanted, side="right")
    sizes: np.ndarray = ends - starts
    rows: np.ndarray = np.arange(int(sizes.sum())) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return rows


def rescored(
    ranking: DocumentRanking, rows: np.ndarray, scores: np.ndarray, document_of: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best row and the score by `ranking` of the `k` best documents, of all rows of which `scores` are."""
    order = np.lexsort((rows, -scores, document_of[rows]))
    _, starts = np.unique(document_of[rows][order], return_index=True)
    best, sorted_scores = rows[order][starts], scores[order].astype(np.float64)
    values = np.array([_value(ranking, part) for part in np.split(sorted_scores, starts[1:])])
    chosen = top_k(values, k)
    return best[chosen], values[chosen]


def _value(ranking: DocumentRanking, scores: np.ndarray) -> float:
    """Return the score of a document whose passages have `scores`, best first."""
    if ranking == "max":
        return float(scores[0])
    if ranking == "mean2":
        return float(scores[:2].mean())
    weights = 0.5 ** np.arange(len(scores))
    return float((scores * weights).sum() / weights.sum())

"""How much BM25 counts beside a bundle's vectors in hybrid search, chosen on judged queries that training never saw.

Neither the queries that the student learnt from will do, because it answers them better than any other, nor those that
a release is judged by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...runtime.encoder import Encoder
from ...runtime.search.hybrid import BM25_WEIGHT, Candidates, find_candidates
from ...runtime.search.stored_vectors import StoredVectors
from ..retrieval.bm25 import device_bm25
from ..retrieval.dataset import RetrievalSet
from .systems import JudgedSplit

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0)
_FEWEST = 30  # queries that a choice may rest on
_SPLIT = "held_back"


@dataclass(frozen=True)
class Bm25Weight:
    """The weight of BM25 and what it was chosen on."""

    weight: float
    queries: int  # judged queries that were held back from training; at least 30
    ndcg10: dict[str, float]  # by weight


def choose_bm25_weights(
    retrieval_set: RetrievalSet, texts: Sequence[str], encoder: Encoder, documents: Mapping[str, np.ndarray]
) -> dict[str, Bm25Weight]:
    """Return the weights that rank best for the training queries among `texts`; none where these are too few.

    `documents` are document vectors by a name, float32 [documents, dimension]; each has a weight of its own. The
    default stays unless another weight is better by more than the standard error of the difference.
    """
    wanted = set(texts)
    judged = retrieval_set.qrels.get("train", {})
    chosen = {name: grades for name, grades in judged.items() if retrieval_set.queries[name] in wanted}
    if len(chosen) < _FEWEST:
        return {}
    held_back = JudgedSplit(replace(retrieval_set, qrels={_SPLIT: chosen}), _SPLIT)
    vectors = encoder.encode_queries(held_back.texts)
    stored = {name: StoredVectors("float32", {"vectors": matrix}) for name, matrix in documents.items()}
    candidates: dict[str, list[Candidates]] = {name: [] for name in documents}
    with device_bm25(held_back.documents) as bm25:
        for (name, text), vector in zip(held_back.queries.items(), vectors, strict=True):
            words, results = bm25.scores(text), 10 + (name in retrieval_set.documents)  # its own does not count
            for side, index in stored.items():
                candidates[side].append(find_candidates(index, vector, words, results))
    return {side: _best(by_query, held_back) for side, by_query in candidates.items()}


def _best(candidates: Sequence[Candidates], held_back: JudgedSplit) -> Bm25Weight:
    def ndcg10_of(weight: float) -> np.ndarray:
        return held_back.measure(lambda row, k: candidates[row].top(k, weight)[0]).ndcg10

    ndcg10 = {weight: ndcg10_of(weight) for weight in WEIGHTS}
    best = max(WEIGHTS, key=lambda weight: (ndcg10[weight].mean(), -abs(weight - BM25_WEIGHT)))
    gain = ndcg10[best] - ndcg10[BM25_WEIGHT]
    sure = gain.mean() > gain.std(ddof=1) / len(gain) ** 0.5
    means = {f"{weight:g}": round(float(values.mean()), 4) for weight, values in ndcg10.items()}
    return Bm25Weight(best if sure else BM25_WEIGHT, len(gain), means)

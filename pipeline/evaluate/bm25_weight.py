"""How much BM25 counts beside a bundle's vectors in hybrid search, chosen on judged queries that training never saw.

Neither the queries that the student learnt from will do, because it answers them better than any other, nor those that
a release is judged by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...runtime.encoder import Encoder
from ...runtime.hybrid import BM25_WEIGHT
from ..retrieval.bm25 import bm25_scores
from ..retrieval.dataset import RetrievalSet
from ..retrieval.fusion import fuse_as_device
from ..retrieval.metrics import evaluate_scores, scored_queries

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
    asked = replace(retrieval_set, qrels={_SPLIT: chosen})
    names = scored_queries(asked, _SPLIT)
    queries = encoder.encode_queries([asked.queries[name] for name in names])
    words = bm25_scores(asked, _SPLIT)
    return {name: _best(queries @ vectors.T, words, asked) for name, vectors in documents.items()}


def _best(vectors: np.ndarray, words: np.ndarray, asked: RetrievalSet) -> Bm25Weight:
    found = {
        weight: evaluate_scores(fuse_as_device(vectors, words, bm25_weight=weight), asked, _SPLIT).ndcg10
        for weight in WEIGHTS
    }
    best = max(WEIGHTS, key=lambda weight: (found[weight].mean(), -abs(weight - BM25_WEIGHT)))
    gain = found[best] - found[BM25_WEIGHT]
    sure = gain.mean() > gain.std(ddof=1) / len(gain) ** 0.5
    means = {f"{weight:g}": round(float(values.mean()), 4) for weight, values in found.items()}
    return Bm25Weight(best if sure else BM25_WEIGHT, len(gain), means)

"""Score matrices [scored queries, documents] of a retrieval set, the plain way."""

import numpy as np
from pocketrank.pipeline.retrieval.bm25 import bm25_rows
from pocketrank.pipeline.retrieval.dataset import RetrievalSet
from pocketrank.pipeline.retrieval.metrics import QualityFigures, evaluate_scores, scored_queries, scored_rows


def bm25_scores(retrieval_set: RetrievalSet, split: str) -> np.ndarray:
    queries = [retrieval_set.queries[query] for query in scored_queries(retrieval_set, split)]
    return np.stack(list(bm25_rows(list(retrieval_set.documents.values()), queries)))


def evaluate_vectors(
    queries: np.ndarray, documents: np.ndarray, retrieval_set: RetrievalSet, split: str
) -> QualityFigures:
    return evaluate_scores(scored_rows(queries, retrieval_set, split) @ documents.T, retrieval_set, split)

"""The systems that are ranked: bundle, teacher and baselines, and the scores of each."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...runtime.encoder import Encoder
from ...runtime.hybrid import BM25_WEIGHT
from ...runtime.index import DocumentIndex
from ...runtime.progress import Progress
from ...runtime.projection import Projection
from ..retrieval.bm25 import bm25_scores, fuse
from ..retrieval.dataset import RetrievalSet
from ..retrieval.fusion import fuse_as_device, fuse_by_rank
from ..retrieval.metrics import scored_queries
from ..settings import EvaluateSettings
from .vector_storage import stored_scores

SHIPPED = "model_quantized"
REFERENCE = "model"


def teacher_scores(query_vectors: np.ndarray, document_vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Return the teacher's scores [queries, documents] under its name."""
    return {"teacher": query_vectors @ document_vectors.T}


def bundle_scores(
    encoder: Encoder,
    retrieval_set: RetrievalSet,
    split: str,
    progress: Progress,
    projection: Projection | None = None,
    teacher_documents: np.ndarray | None = None,
    symmetric: bool = True,
    own: np.ndarray | None = None,
    stored: bool = False,
) -> dict[str, np.ndarray]:
    """Return the scores [scored queries of `split`, documents] of one file of a bundle.

    `symmetric` takes the bundle's own vectors of the documents, `own` where they are at hand, encoded now otherwise;
    with `stored` it is computed too as indexes of int8 and binary vectors do. `asymmetric` is there when the teacher's
    document vectors and the projection are given.
    """
    names = scored_queries(retrieval_set, split)
    queries = encoder.encode_queries([retrieval_set.queries[name] for name in names])
    scores: dict[str, np.ndarray] = {}
    if own is None and symmetric:
        # A graph without activations quantized on the fly computes the same in any batch, and faster.
        batch_tokens = 4096 if encoder.model_path.stem == REFERENCE else 0
        texts = list(retrieval_set.documents.values())
        own = encoder.encode_documents(texts, batch_tokens, progress)
    if own is not None:
        scores["symmetric"] = queries @ own.T
    if own is not None and stored:
        scores |= {f"symmetric_{name}": matrix for name, matrix in stored_scores(queries, own).items()}
    if projection is not None and teacher_documents is not None:
        scores["asymmetric"] = queries @ projection.apply(teacher_documents).T
    return scores


def indexed_documents(folder: Path, encoder: Encoder) -> np.ndarray:
    """Return the document vectors of an index that `encoder` made, float32 [documents, dimension]."""
    index = DocumentIndex.open(folder)
    index.check_encoder(encoder)
    return index.vectors


def add_baselines(
    scores: dict[str, np.ndarray],
    retrieval_set: RetrievalSet,
    split: str,
    settings: EvaluateSettings,
    bm25_weight: Mapping[str, float],
) -> None:
    """Add the score matrices of `settings.baselines` to those of the bundle and the teacher.

    `bm25_weight` is what BM25 counts in hybrid search, where that is not the default: as in the manifest.
    """
    if not {"bm25", "fusion", "hybrid"} & set(settings.baselines):
        return
    bm25 = bm25_scores(retrieval_set, split)
    if "bm25" in settings.baselines:
        scores["bm25"] = bm25
    if "fusion" in settings.baselines:
        for name in ("symmetric", "asymmetric", "teacher"):
            if name in scores:
                scores[f"fusion_{name}"] = fuse(scores[name], bm25)
    if "hybrid" in settings.baselines:
        for name, documents in (("symmetric", "bundle"), ("asymmetric", "teacher")):
            if name in scores:
                weight = bm25_weight.get(documents, BM25_WEIGHT)
                scores[f"hybrid_{name}"] = fuse_as_device(scores[name], bm25, bm25_weight=weight)
        if "symmetric" in scores:
            scores["hybrid_ranks"] = fuse_by_rank(scores["symmetric"], bm25)

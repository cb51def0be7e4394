"""Rank the judged queries of a split by every system (bundle, teacher, BM25, fusions) and measure the rankings.

What a device can do is ranked by the device's own code (`StoredVectors`, `find_candidates`), one query at a time;
fusions that look at the scores of all documents are computed in blocks of queries. No score matrix of all queries is
held.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from ...runtime.encoder import Encoder
from ...runtime.manifest import REFERENCE
from ...runtime.progress import Progress
from ...runtime.search.hybrid import BM25_WEIGHT, find_candidates
from ...runtime.search.index import DocumentIndex
from ...runtime.search.stored_vectors import StoredVectors, store_vectors
from ..retrieval.bm25 import bm25_rows, device_bm25, has_indexable_words
from ..retrieval.dataset import RetrievalSet
from ..retrieval.fusion import fuse, fuse_by_rank
from ..retrieval.metrics import (
    QUERY_BLOCK,
    RANK_DEPTH,
    QualityFigures,
    Search,
    evaluate_rankings,
    evaluate_search,
    scored_queries,
    top_documents,
)
from ..retrieval.system import ASYMMETRIC, BM25, METHODS, SYMMETRIC, DocumentEncoder, Storage, System
from ..settings import EvaluateSettings

_DOCUMENTS_BY = {"student": "bundle", "teacher": "teacher"}  # as `IndexManifest.documents_by` has it
_LEXICAL = ("bm25", "fusion", "hybrid")  # baselines
_FUSIONS = {"fusion": fuse, "ranks": fuse_by_rank}  # of the scores of all documents


@dataclass(frozen=True)
class Vectors:
    """What a system ranks by: float32 unit vectors of the scored queries [q, d] and of all documents [n, d]."""

    queries: np.ndarray
    documents: np.ndarray


Systems = Mapping[System, Vectors | None]  # BM25 alone needs no vectors


@dataclass(frozen=True)
class JudgedSplit:
    """The split of a retrieval set that systems are measured on."""

    retrieval_set: RetrievalSet
    split: str

    @cached_property
    def queries(self) -> dict[str, str]:
        """The scored queries, id -> text, in the order of the query file."""
        return {name: self.retrieval_set.queries[name] for name in scored_queries(self.retrieval_set, self.split)}

    @cached_property
    def texts(self) -> list[str]:
        """The texts of the scored queries."""
        return list(self.queries.values())

    @property
    def documents(self) -> list[str]:
        """All documents, in the order of the corpus."""
        return list(self.retrieval_set.documents.values())

    def measure(self, search: Search) -> QualityFigures:
        """Return the figures of what ranks one query at a time."""
        return evaluate_search(search, self.retrieval_set, self.split)


def bundle_vectors(
    encoder: Encoder, texts: Sequence[str], documents: Mapping[DocumentEncoder, np.ndarray]
) -> dict[System, Vectors]:
    """Return the systems whose queries `encoder` encodes, one for each of `documents`.

    `documents` are float32 vectors [n, d] in the bundle's space, by who encoded them.
    """
    queries = encoder.encode_queries(texts)
    file = "student_fp32" if encoder.model_path.stem == REFERENCE else "student"
    return {System(file, side): Vectors(queries, vectors) for side, vectors in documents.items()}


def encode_documents(encoder: Encoder, texts: Sequence[str], progress: Progress) -> np.ndarray:
    """Return the bundle's own vectors of documents, float32 [n, d]."""
    # A graph without activations quantized on the fly computes the same in any batch, and faster.
    batch_tokens = 4096 if encoder.model_path.stem == REFERENCE else 0
    return encoder.encode_documents(texts, batch_tokens, progress)


def indexed_documents(folder: Path, encoder: Encoder) -> np.ndarray:
    """Return the document vectors of an index that `encoder` made, float32 [documents, dimension]."""
    index = DocumentIndex.open(folder)
    index.check_encoder(encoder)
    return index.vectors


def with_indexable_words(settings: EvaluateSettings, documents: Sequence[str], progress: Progress) -> EvaluateSettings:
    """Return the settings; without BM25 and all that takes it in, which is said, where no document has a word."""
    lexical = [name for name in settings.baselines if name in _LEXICAL]
    if not lexical or has_indexable_words(documents):
        return settings
    progress.note(f"  without {', '.join(lexical)}: no document has a word that BM25 could index")
    return replace(settings, baselines=tuple(name for name in settings.baselines if name not in _LEXICAL))


def compared_systems(vectors: Mapping[System, Vectors], settings: EvaluateSettings) -> dict[System, Vectors | None]:
    """Return the systems of `vectors`, and those that `settings` derive from them: stored in fewer bits, with BM25."""
    systems: dict[System, Vectors | None] = dict(vectors)
    shipped = {system: own for system, own in vectors.items() if system.queries != "student_fp32"}
    if settings.stored_vectors and SYMMETRIC in vectors:
        storages: tuple[Storage, ...] = ("int8", "binary", "binary_unrescored")
        systems |= {replace(SYMMETRIC, storage=storage): vectors[SYMMETRIC] for storage in storages}
    if "bm25" in settings.baselines:
        systems[BM25] = None
    if "fusion" in settings.baselines:
        systems |= {replace(system, bm25="fusion"): own for system, own in shipped.items()}
    if "hybrid" in settings.baselines:
        on_device = (system for system in (SYMMETRIC, ASYMMETRIC) if system in vectors)
        systems |= {replace(system, bm25="hybrid"): vectors[system] for system in on_device}
        systems |= {replace(SYMMETRIC, bm25="ranks"): vectors[SYMMETRIC]} if SYMMETRIC in vectors else {}
    return systems


def measure_systems(
    systems: Systems, judged: JudgedSplit, bm25_weights: Mapping[str, float] | None = None
) -> dict[str, QualityFigures]:
    """Return the figures of all `systems` by their keys, in the order of reports.

    `bm25_weights` is what BM25 counts in hybrid search, where that is not the default, by whose vectors the documents
    have: `bundle` or `teacher`, as in a manifest. Raises `UnavailableError` when BM25 takes part and `bm25s` is not
    installed.
    """
    dense = {system: vectors for system, vectors in systems.items() if vectors is not None}
    figures = {
        system: judged.measure(vector_search(vectors, system.storage))
        for system, vectors in dense.items()
        if not system.bm25
    }
    if hybrid := {system: vectors for system, vectors in dense.items() if system.bm25 == "hybrid"}:
        figures |= _hybrid_figures(hybrid, judged, bm25_weights or {})
    if fused := {system: vectors for system, vectors in systems.items() if system.bm25 not in ("", "hybrid")}:
        figures |= _fusion_figures(fused, judged)
    by_key = {system.key: values for system, values in figures.items()}
    order = [*METHODS, *(key for key in by_key if key not in METHODS)]
    return {key: by_key[key] for key in order if key in by_key}


def vector_search(vectors: Vectors, storage: Storage = "float32") -> Search:
    """Return the search of a device whose index has document vectors in `storage`."""
    kind = "binary" if storage == "binary_unrescored" else storage
    stored = StoredVectors(kind, store_vectors(vectors.documents, kind))
    top = stored.top_by_signs if storage == "binary_unrescored" else stored.top
    return lambda row, k: top(vectors.queries[row], k)[0]


def hybrid_search(vectors: Vectors, bm25_scores: Callable[[int], np.ndarray], bm25_weight: float) -> Search:
    """Return the search of a device by vectors and BM25; `bm25_scores` gives all documents' for the row of a query."""
    stored = StoredVectors("float32", store_vectors(vectors.documents, "float32"))

    def search(row: int, k: int) -> np.ndarray:
        return find_candidates(stored, vectors.queries[row], bm25_scores(row), k).top(k, bm25_weight)[0]

    return search


def _hybrid_figures(
    systems: Mapping[System, Vectors], judged: JudgedSplit, bm25_weights: Mapping[str, float]
) -> dict[System, QualityFigures]:
    with device_bm25(judged.documents) as bm25:
        # Each query asks twice, for ten results and for a hundred.
        scores = lru_cache(maxsize=1)(lambda row: bm25.scores(judged.texts[row]))
        weights = {system: bm25_weights.get(_DOCUMENTS_BY[system.documents], BM25_WEIGHT) for system in systems}
        return {
            system: judged.measure(hybrid_search(vectors, scores, weights[system]))
            for system, vectors in systems.items()
        }


def _fusion_figures(systems: Systems, judged: JudgedSplit) -> dict[System, QualityFigures]:
    rankings: dict[System, list[np.ndarray]] = {system: [] for system in systems}
    rows = bm25_rows(judged.documents, judged.texts)
    for start in range(0, len(judged.texts), QUERY_BLOCK):
        words = np.stack(list(islice(rows, QUERY_BLOCK)))
        for system, vectors in systems.items():
            scores = words
            if vectors is not None:
                by_vector = vectors.queries[start : start + QUERY_BLOCK] @ vectors.documents.T
                scores = _FUSIONS[system.bm25](by_vector, words)
            rankings[system].append(top_documents(scores, RANK_DEPTH + 1))
    return {
        system: evaluate_rankings(np.concatenate(blocks), judged.retrieval_set, judged.split)
        for system, blocks in rankings.items()
    }

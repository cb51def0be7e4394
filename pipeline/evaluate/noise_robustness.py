"""How well ranking stands noise: the same test queries as they are, and as people mistype them."""

import dataclasses
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.encoder import Encoder
from ...runtime.errors import InputError, UnavailableError
from ...runtime.files import safe_join
from ...runtime.manifest import read_manifest
from ...runtime.progress import Progress
from ...runtime.projection import read_projection
from ..queries.typing_noise import add_typing_noise
from ..retrieval.bm25 import bm25_scores
from ..retrieval.dataset import RetrievalSet, read_retrieval_set
from ..retrieval.metrics import bootstrap_ratio, evaluate_scores, scored_queries
from ..teacher.vector_shards import cached_vectors
from .finished_bundle import teacher_settings
from .record import LEVEL, METHODS
from .systems import bundle_scores, teacher_scores

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Kept:
    """nDCG@10 of one system with and without noise, and the share kept with its bootstrap interval over queries."""

    clean: float
    noisy: float
    kept: float
    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Robustness:
    """What `pocketrank evaluate --noise` finds: systems by the names of `evaluation.METHODS`."""

    schema_version: int
    split: str
    noise: float  # chance that a query is changed
    seed: int
    queries: int
    changed_queries: int
    documents: int
    ndcg10: dict[str, Kept]


def noisy_queries(retrieval_set: RetrievalSet, split: str, noise: float, seed: int) -> RetrievalSet:
    """Return the set with noise in the queries of `split`; what befalls a query depends on seed and query alone."""
    names = scored_queries(retrieval_set, split)
    changed = {
        name: add_typing_noise(retrieval_set.queries[name], noise, random.Random(f"{seed} noise {name}"))
        for name in names
    }
    return dataclasses.replace(retrieval_set, queries=retrieval_set.queries | changed)


def measure_robustness(
    bundle: Path,
    data: Path,
    noise: float,
    progress: Progress,
    split: str = "test",
    with_teacher: bool = False,
    teacher: str = "",
    cache: Path | None = None,
    resamples: int = 1000,
    seed: int = 1,
) -> Robustness:
    """Return nDCG@10 of the shipped file, BM25 and, `with_teacher`, the teacher on queries without and with noise.

    Noise is that of `noise.py`, for each query with the chance `noise`; documents stay as they are. The other
    arguments are those of `evaluate.evaluate_bundle`.
    """
    if not 0 < noise <= 1:
        raise InputError(f"--noise {noise:g}: give a chance above 0 and at most 1")
    manifest = read_manifest(bundle)
    clean = read_retrieval_set(data)
    names = scored_queries(clean, split)
    if not names:
        raise InputError(f"{data}: no query of the split {split!r} has a relevant document; choose another split")
    changed = noisy_queries(clean, split, noise, seed)
    encoder = Encoder.open(bundle)
    documents = list(clean.documents.values())
    own = None if with_teacher else encoder.encode_documents(documents, progress=progress)
    projection, vectors, large = None, None, None
    if with_teacher:
        if not manifest.pairing.projection:
            raise InputError(f"{bundle} has no projection for teacher documents; use the documents of the student")
        projection = read_projection(safe_join(bundle, manifest.pairing.projection))
        large = teacher_settings(bundle, teacher, manifest.teacher.sha256)
        vectors = cached_vectors(large, documents, "document", cache, progress)

    def scores(asked: RetrievalSet) -> dict[str, np.ndarray]:
        found = bundle_scores(encoder, asked, split, progress, projection, vectors, symmetric=False, own=own)
        if large is not None and vectors is not None:
            texts = [asked.queries[name] for name in names]
            found |= teacher_scores(cached_vectors(large, texts, "query", cache, progress), vectors)
        try:
            found["bm25"] = bm25_scores(asked, split)
        except UnavailableError as error:
            progress.note(f"  {error}")
        return found

    before, after = scores(clean), scores(changed)
    kept: dict[str, Kept] = {}
    for name in before:
        first, second = (evaluate_scores(matrix[name], clean, split).ndcg10 for matrix in (before, after))
        share = bootstrap_ratio(second, first, resamples, seed, LEVEL)
        clean_mean, noisy_mean, ratio, low, high = (
            round(float(figure), 6) for figure in (first.mean(), second.mean(), share.mean, share.low, share.high)
        )
        kept[name] = Kept(clean_mean, noisy_mean, ratio, low, high, METHODS[name])
    differing = sum(clean.queries[name] != changed.queries[name] for name in names)
    return Robustness(SCHEMA_VERSION, split, noise, seed, len(names), differing, len(documents), kept)

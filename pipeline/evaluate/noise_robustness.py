"""How well ranking stands noise: the same test queries as they are, and as people mistype them."""

import dataclasses
import random
from dataclasses import dataclass
from pathlib import Path

from ...runtime.bootstrap import bootstrap_ratio
from ...runtime.errors import InputError, UnavailableError
from ...runtime.progress import NoProgress, Progress
from ...runtime.search.bm25 import load_library
from ..queries.typing_noise import add_typing_noise
from ..retrieval.dataset import RetrievalSet
from ..retrieval.metrics import QualityFigures, scored_queries
from ..retrieval.system import BM25, METHODS
from .finished_bundle import BundleOnSet, EvaluationOptions
from .systems import JudgedSplit, measure_systems

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class NoiseEntry:
    """nDCG@10 of one system with and without noise, and the ratio of the two with its bootstrap interval."""

    clean: float
    noisy: float
    retention: float
    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Robustness:
    """What `pocketrank evaluate --noise` measures, by `System.key`."""

    schema_version: int
    split: str
    noise: float  # chance that a query is changed
    seed: int
    queries: int
    changed_queries: int
    documents: int
    ndcg10: dict[str, NoiseEntry]


def noisy_queries(retrieval_set: RetrievalSet, split: str, noise: float, seed: int) -> RetrievalSet:
    """Return the set with noise in the queries of `split`; that of a query depends on seed and query alone."""
    names = scored_queries(retrieval_set, split)
    changed = {
        name: add_typing_noise(retrieval_set.queries[name], noise, random.Random(f"{seed} noise {name}"))
        for name in names
    }
    return dataclasses.replace(retrieval_set, queries=retrieval_set.queries | changed)


def measure_robustness(
    bundle: str | Path,
    data: str | Path,
    noise: float,
    options: EvaluationOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Robustness:
    """Return nDCG@10 of the shipped file, BM25 and, for its documents, the teacher on queries without and with noise.

    Noise is that of `typing_noise.py`, for each query with the chance `noise`, above 0 and at most 1; documents stay as
    they are. The other arguments and the errors are those of `finished_bundle.evaluate_bundle`.
    """
    if not 0 < noise <= 1:
        raise InputError(f"--noise {noise:g}: give a chance above 0 and at most 1")
    options, progress = options or EvaluationOptions(), progress or NoProgress()
    on_set = BundleOnSet(bundle, data, options, progress)
    clean = on_set.judged
    changed = JudgedSplit(noisy_queries(clean.retrieval_set, clean.split, noise, options.seed), clean.split)
    try:
        load_library()
        lexical = {BM25: None}
    except UnavailableError as error:
        progress.note(f"  {error}")
        lexical = {}
    before, after = (
        measure_systems({**on_set.vectors(judged.texts), **lexical}, judged) for judged in (clean, changed)
    )
    resamples = options.settings.bootstrap
    entries = {key: _entry(key, before[key], after[key], resamples, options.seed) for key in before}
    differing = sum(text != other for text, other in zip(clean.texts, changed.texts, strict=True))
    counts = (len(clean.texts), differing, len(clean.documents))
    return Robustness(SCHEMA_VERSION, options.split, noise, options.seed, *counts, entries)


def _entry(key: str, clean: QualityFigures, noisy: QualityFigures, resamples: int, seed: int) -> NoiseEntry:
    ratio = bootstrap_ratio(noisy.ndcg10, clean.ndcg10, resamples, seed)
    before, after = (round(float(figures.ndcg10.mean()), 6) for figures in (clean, noisy))
    retention, low, high = (round(number, 6) for number in (ratio.mean, ratio.low, ratio.high))
    return NoiseEntry(before, after, retention, low, high, METHODS[key])

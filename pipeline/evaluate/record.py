"""What is known of a bundle's ranking quality: `evaluation.json`, figures by system with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...runtime.bootstrap import LEVEL, Interval, bootstrap_ratio
from ...runtime.errors import InputError
from ...runtime.files import read_json
from ...runtime.schema import from_mapping
from ..retrieval.metrics import METRICS, QualityFigures
from ..retrieval.system import TEACHER, method_in
from .baselines import BaselineFigures
from .bm25_weight import Bm25Weight

SCHEMA_VERSION = 2
RETENTION = "ndcg10_retention"


@dataclass(frozen=True)
class Entry:
    """One figure with its bootstrap interval over queries."""

    value: float
    low: float
    high: float
    level: float
    count: int  # queries
    method: str


@dataclass(frozen=True)
class Size:
    """What a baseline weighs where it is shipped."""

    value: int
    method: str = "model file and tokenizer.json"
    unit: Literal["B"] = "B"


@dataclass(frozen=True)
class BaselineEntry:
    """One baseline: what it weighs, and how well it ranks."""

    bytes: Size
    ndcg10: Entry
    mrr10: Entry
    recall100: Entry
    ndcg10_retention: Entry | None = None


@dataclass(frozen=True)
class Evaluation:
    """The whole of `evaluation.json`: figures by system (`System.key`), then the baselines."""

    schema_version: int
    split: str
    documents: int
    queries: int
    ndcg10: dict[str, Entry]  # nDCG@10
    mrr10: dict[str, Entry]  # MRR@10: reciprocal rank of the first relevant document
    recall100: dict[str, Entry]  # Recall@100
    ndcg10_retention: dict[str, Entry]  # share of the teacher's nDCG@10
    baselines: dict[str, BaselineEntry] = field(default_factory=dict)
    bm25_weight: dict[str, Bm25Weight] = field(default_factory=dict)  # of BM25 in hybrid search, as it was chosen
    not_measured: str = ""  # why there are no figures

    def __post_init__(self) -> None:
        """Refuse a file of another version."""
        if self.schema_version != SCHEMA_VERSION:
            raise ValueError(f"schema_version {self.schema_version} is not {SCHEMA_VERSION}; evaluate again")


def summarize(
    figures: Mapping[str, QualityFigures],
    split: str,
    documents: int,
    resamples: int,
    seed: int,
    baselines: Sequence[BaselineFigures] = (),
    bm25_language: str = "en",
) -> Evaluation:
    """Return means and intervals of all systems, and their retention of the teacher's nDCG@10 when it is there.

    `figures` are by `System.key`; `documents` is how many were ranked, `bm25_language` whose stop words BM25 used.
    """
    count = len(next(iter(figures.values())).query_ids)
    if not count:
        raise InputError(f"no query of the split {split!r} has a relevant document; choose another split")
    teacher = figures.get(TEACHER.key)

    def entries(values: QualityFigures, method: str) -> dict[str, Entry]:
        summary = values.summary(resamples, seed)
        measured = {name: _entry(interval, count, method) for name, interval in summary.items()}
        if teacher is not None and values is not teacher and teacher.ndcg10.any():
            ratio = bootstrap_ratio(values.ndcg10, teacher.ndcg10, resamples, seed)
            measured[RETENTION] = _entry(ratio, count, f"{method}; relative to the teacher alone")
        return measured

    systems = {name: entries(values, method_in(name, bm25_language)) for name, values in figures.items()}
    others = {
        baseline.name: BaselineEntry(Size(baseline.bytes), **entries(baseline.figures(), baseline.method))
        for baseline in baselines
    }
    ndcg10, mrr10, recall100, retention = (
        {name: entry[metric] for name, entry in systems.items() if metric in entry} for metric in (*METRICS, RETENTION)
    )
    return Evaluation(SCHEMA_VERSION, split, documents, count, ndcg10, mrr10, recall100, retention, others)


def nothing_measured(split: str, documents: int, reason: str) -> Evaluation:
    """Return an evaluation without figures, and why there are none."""
    return Evaluation(SCHEMA_VERSION, split, documents, 0, {}, {}, {}, {}, not_measured=reason)


def per_query(figures: Mapping[str, QualityFigures]) -> dict[str, Any]:
    """Return nDCG@10 of every query by system, for paired comparisons of two bundles."""
    values = {name: [round(float(value), 6) for value in system.ndcg10] for name, system in figures.items()}
    queries = next((list(system.query_ids) for system in figures.values()), [])
    return {"schema_version": SCHEMA_VERSION, "queries": queries, "ndcg10": values}


def read_evaluation(path: Path) -> Evaluation:
    """Read `evaluation.json` strictly."""
    return from_mapping(Evaluation, read_json(path), str(path))


def _entry(interval: Interval, count: int, method: str) -> Entry:
    mean, low, high = (round(number, 6) for number in (interval.mean, interval.low, interval.high))
    return Entry(mean, low, high, LEVEL, count, method)

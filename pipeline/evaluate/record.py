"""What is known of a bundle's ranking quality: `evaluation.json`, figures by system with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...runtime.errors import InputError
from ...runtime.files import read_json
from ...runtime.schema import from_mapping
from ..retrieval.metrics import METRICS, Interval, QualityFigures, bootstrap_ratio
from .baselines import BaselineFigures
from .bm25_weight import Bm25Weight

SCHEMA_VERSION = 2
LEVEL = 0.95

METHODS = {
    "symmetric": "bundle encodes queries and documents",
    "asymmetric": "bundle encodes queries, teacher documents through the projection",
    "symmetric_int8": "bundle encodes queries and documents, document vectors kept in int8",
    "symmetric_binary": "bundle encodes queries and documents, vectors kept in bits, the best 500 ranked again in int8",
    "symmetric_binary_unrescored": "bundle encodes queries and documents, vectors kept in bits alone",
    "symmetric_fp32": "fp32 file encodes queries and documents",
    "asymmetric_fp32": "fp32 file encodes queries, teacher documents through the projection",
    "teacher": "teacher encodes queries and documents",
    "bm25": "BM25, English stop words",
    "fusion_symmetric": "bundle alone and BM25, sum of z-scores per query",
    "fusion_asymmetric": "bundle with teacher documents and BM25, sum of z-scores per query",
    "fusion_teacher": "teacher and BM25, sum of z-scores per query",
    "hybrid_symmetric": "bundle alone and BM25 as on the device, z-scores over the candidates of both",
    "hybrid_asymmetric": "bundle with teacher documents and BM25 as on the device",
    "hybrid_ranks": "bundle alone and BM25, reciprocal rank fusion",
}


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
    """The whole of `evaluation.json`: figures by system (the keys of `METHODS`), then the baselines."""

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
) -> Evaluation:
    """Return means and intervals of all systems, and what each keeps of the teacher's nDCG@10 when it is there."""
    count = len(next(iter(figures.values())).query_ids)
    if not count:
        raise InputError(f"no query of the split {split!r} has a relevant document; choose another split")
    tables: dict[str, dict[str, Entry]] = {metric: {} for metric in METRICS}
    retention: dict[str, Entry] = {}
    teacher = figures.get("teacher")
    for name, values in figures.items():
        for metric, entry in _entries(values, METHODS[name], resamples, seed).items():
            tables[metric][name] = entry
        kept = _retention(values, teacher, METHODS[name], resamples, seed)
        if kept is not None:
            retention[name] = kept
    others = {
        one.name: BaselineEntry(
            Size(one.bytes),
            **_entries(one.figures(), one.method, resamples, seed),
            ndcg10_retention=_retention(one.figures(), teacher, one.method, resamples, seed),
        )
        for one in baselines
    }
    return Evaluation(
        SCHEMA_VERSION,
        split,
        documents,
        count,
        ndcg10=tables["ndcg10"],
        mrr10=tables["mrr10"],
        recall100=tables["recall100"],
        ndcg10_retention=retention,
        baselines=others,
    )


def _entries(values: QualityFigures, method: str, resamples: int, seed: int) -> dict[str, Entry]:
    count = len(values.query_ids)
    return {metric: _entry(found, count, method) for metric, found in values.summary(resamples, seed).items()}


def _retention(
    values: QualityFigures, teacher: QualityFigures | None, method: str, resamples: int, seed: int
) -> Entry | None:
    if teacher is None or values is teacher or not teacher.ndcg10.any():
        return None
    interval = bootstrap_ratio(values.ndcg10, teacher.ndcg10, resamples, seed, LEVEL)
    return _entry(interval, len(values.query_ids), f"{method}; relative to the teacher alone")


def per_query(figures: Mapping[str, QualityFigures]) -> dict[str, Any]:
    """Return nDCG@10 of every query by system, for paired comparisons of two bundles."""
    first = next(iter(figures.values()))
    values = {name: [round(float(value), 6) for value in one.ndcg10] for name, one in figures.items()}
    return {"schema_version": SCHEMA_VERSION, "queries": list(first.query_ids), "ndcg10": values}


def read_evaluation(path: Path) -> Evaluation:
    """Read `evaluation.json` strictly."""
    return from_mapping(Evaluation, read_json(path), str(path))


def _entry(interval: Interval, count: int, method: str) -> Entry:
    mean, low, high = (round(number, 6) for number in (interval.mean, interval.low, interval.high))
    return Entry(mean, low, high, LEVEL, count, method)

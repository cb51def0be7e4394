"""Baselines of a bundle on a retrieval set: teacher, BM25, their fusion, teacher in int8, model2vec.

Example: python -m experiments.studies.baselines data/scifact --split test --out scifact.json

DATA_SET is a folder in BEIR layout. With --cache the teacher's vectors and the figures of the baselines are kept there,
under names that `pocketrank evaluate --cache` finds again. One core at 4,000 tokens a second needs five minutes for the
documents of SciFact.
"""

import argparse
import dataclasses
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.pipeline.evaluate.baselines import measure_baselines
from pocketrank.pipeline.evaluate.vector_storage import stored_scores
from pocketrank.pipeline.retrieval.bm25 import bm25_scores, fuse
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set
from pocketrank.pipeline.retrieval.fusion import fuse_as_device, fuse_by_rank
from pocketrank.pipeline.retrieval.metrics import (
    QualityFigures,
    bootstrap_ratio,
    evaluate_scores,
    scored_queries,
    scored_rows,
)
from pocketrank.pipeline.settings import Model2vecSettings, TeacherSettings
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.pipeline.teacher.vector_shards import cached_vectors, read_vectors
from pocketrank.runtime.progress import Lines, Progress

from experiments.figures import rounded, write_report

LIBRARIES = ("bm25s", "model2vec", "numpy", "onnxruntime", "sentence-transformers", "tokenizers", "torch")
METHODS = {
    "teacher": "teacher in fp32, queries and documents",
    "teacher_int8_vectors": "teacher in fp32, document vectors stored in int8",
    "teacher_binary_vectors": "teacher in fp32, document vectors stored in bits, the best 500 rescored in int8",
    "teacher_binary_unrescored_vectors": "teacher in fp32, document vectors stored in bits alone",
    "bm25": "BM25, English stop words",
    "fusion_teacher": "teacher and BM25, sum of z-scores per query",
    "hybrid_teacher": "teacher and BM25 as `pocketrank search --hybrid` fuses them",
    "ranks_teacher": "teacher and BM25, reciprocal rank fusion",
}


def row(method: str, size: int | None, figures: QualityFigures, teacher: QualityFigures, resamples: int) -> dict:
    """Return one system: every figure as [value, low, high], the interval being 95 % over queries."""
    system: dict[str, Any] = {"method": method} | ({"bytes": size} if size else {})
    system |= {metric: rounded(interval) for metric, interval in figures.summary(resamples).items()}
    return system | {"ndcg10_retention": rounded(bootstrap_ratio(figures.ndcg10, teacher.ndcg10, resamples))}


def teacher_vectors(
    arguments: argparse.Namespace, retrieval_set: RetrievalSet, settings: TeacherSettings, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return the teacher's vectors of the scored queries and of all documents: of a run, or encoded."""
    documents = list(retrieval_set.documents.values())
    if arguments.vectors:
        every = read_vectors(arguments.vectors / "queries.npy", len(retrieval_set.queries))
        vectors = read_vectors(arguments.vectors / "documents.npy", len(documents))
        return scored_rows(every, retrieval_set, arguments.split), vectors
    queries = [retrieval_set.queries[name] for name in scored_queries(retrieval_set, arguments.split)]
    encoded = cached_vectors(settings, documents, "document", arguments.cache, progress)
    return cached_vectors(settings, queries, "query", arguments.cache, progress), encoded


def teacher_figures(
    queries: np.ndarray, documents: np.ndarray, retrieval_set: RetrievalSet, split: str
) -> dict[str, QualityFigures]:
    """Return the figures of the teacher by how its vectors are stored, of BM25, and of their fusions."""
    vectors, words = queries @ documents.T, bm25_scores(retrieval_set, split)
    stored = stored_scores(queries, documents)
    scores = {
        "teacher": vectors,
        **{f"teacher_{name}_vectors": matrix for name, matrix in stored.items()},
        "bm25": words,
        "fusion_teacher": fuse(vectors, words),
        "hybrid_teacher": fuse_as_device(vectors, words),
        "ranks_teacher": fuse_by_rank(vectors, words),
    }
    return {name: evaluate_scores(matrix, retrieval_set, split) for name, matrix in scores.items()}


def measure(arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Return the report of one set."""
    split, resamples = arguments.split, arguments.bootstrap
    retrieval_set = read_retrieval_set(arguments.data)
    files = resolve_teacher(TeacherSettings())
    settings = TeacherSettings(sha256=files.sha256)
    counts = {"documents": len(retrieval_set.documents), "queries": len(scored_queries(retrieval_set, split))}
    words = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    progress.note(f"{arguments.data.name}: {words}; the teacher's vectors")
    figures = teacher_figures(
        *teacher_vectors(arguments, retrieval_set, settings, progress), retrieval_set=retrieval_set, split=split
    )
    teacher = figures["teacher"]
    weights = sum((files.folder / name).stat().st_size for name in ("model.safetensors", "tokenizer.json"))
    systems = {}
    for name, of_system in figures.items():
        method = METHODS[name].replace("fp32", arguments.precision)
        systems[name] = row(method, weights if name == "teacher" else None, of_system, teacher, resamples)
    kinds = [name for name in ("teacher-int8", "model2vec") if name not in arguments.leave_out]
    options = dataclasses.replace(Model2vecSettings(), clusters=tuple(arguments.clusters))
    for baseline in measure_baselines(kinds, options, settings, retrieval_set, split, arguments.cache, progress):
        systems[baseline.name] = row(baseline.method, baseline.bytes, baseline.figures(), teacher, resamples)
    return {
        "set": arguments.data.name,
        "split": split,
        **counts,
        "teacher": {"id": files.name, "sha256": files.sha256},
        "versions": {name: version(name) for name in LIBRARIES},
        "figures": "[value, low, high]: 95 % bootstrap interval over queries; retention is relative to the teacher",
        "systems": systems,
        "left_out": dict.fromkeys(arguments.leave_out, arguments.why),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA_SET")
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep vectors and baselines here")
    parser.add_argument(
        "--vectors", type=Path, metavar="FOLDER", help="a run's stages/teacher, instead of encoding again"
    )
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of these vectors, for the file")
    parser.add_argument("--clusters", type=int, nargs="*", default=(), help="model2vec's vocabulary quantization too")
    parser.add_argument("--leave-out", nargs="*", default=(), choices=("teacher-int8", "model2vec"))
    parser.add_argument("--why", default="asked for", help="why something is left out, for the file")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples for the intervals (default: 1000)")
    arguments = parser.parse_args()
    report = measure(arguments, Lines())
    write_report(arguments.out, report)
    for name, system in report["systems"].items():
        size, retention = system.get("bytes", 0), system["ndcg10_retention"][0]
        print(f"{name:36s} {size:>12,} {np.array(system['ndcg10'])} {retention:.1%}")


if __name__ == "__main__":
    main()

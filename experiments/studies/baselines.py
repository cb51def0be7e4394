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
from pocketrank.pipeline.evaluate.baselines import BaselineTask, measure_baselines
from pocketrank.pipeline.evaluate.systems import JudgedSplit, Vectors, measure_systems
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import QualityFigures, scored_rows
from pocketrank.pipeline.retrieval.system import BM25, TEACHER
from pocketrank.pipeline.settings import Model2vecSettings, TeacherSettings
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.pipeline.teacher.vectors.files import read_vectors
from pocketrank.pipeline.teacher.vectors.shards import cached_vectors
from pocketrank.runtime.bootstrap import bootstrap_ratio
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
SYSTEMS = {
    "teacher": TEACHER,
    "teacher_int8_vectors": dataclasses.replace(TEACHER, storage="int8"),
    "teacher_binary_vectors": dataclasses.replace(TEACHER, storage="binary"),
    "teacher_binary_unrescored_vectors": dataclasses.replace(TEACHER, storage="binary_unrescored"),
    "bm25": BM25,
    "fusion_teacher": dataclasses.replace(TEACHER, bm25="fusion"),
    "hybrid_teacher": dataclasses.replace(TEACHER, bm25="hybrid"),
    "ranks_teacher": dataclasses.replace(TEACHER, bm25="ranks"),
}


def row(method: str, size: int | None, figures: QualityFigures, teacher: QualityFigures, resamples: int) -> dict:
    """Return one system: every figure as [value, low, high], the interval being 95 % over queries."""
    system: dict[str, Any] = {"method": method} | ({"bytes": size} if size else {})
    system |= {metric: rounded(interval) for metric, interval in figures.summary(resamples).items()}
    return system | {"ndcg10_retention": rounded(bootstrap_ratio(figures.ndcg10, teacher.ndcg10, resamples))}


def teacher_vectors(
    arguments: argparse.Namespace, judged: JudgedSplit, settings: TeacherSettings, progress: Progress
) -> Vectors:
    """Return the teacher's vectors of the scored queries and of all documents: of a run, or encoded."""
    if arguments.vectors:
        every = read_vectors(arguments.vectors / "queries.npy", len(judged.retrieval_set.queries))
        documents = read_vectors(arguments.vectors / "documents.npy", len(judged.documents))
        return Vectors(scored_rows(every, judged.retrieval_set, judged.split), documents)
    documents = cached_vectors(settings, judged.documents, "document", arguments.cache, progress)
    return Vectors(cached_vectors(settings, judged.texts, "query", arguments.cache, progress), documents)


def measure(arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Return the report of one set."""
    judged, resamples = JudgedSplit(read_retrieval_set(arguments.data), arguments.split), arguments.bootstrap
    files = resolve_teacher(TeacherSettings())
    settings = TeacherSettings(sha256=files.sha256)
    counts = {"documents": len(judged.documents), "queries": len(judged.texts)}
    words = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    progress.note(f"{arguments.data.name}: {words}; the teacher's vectors")
    vectors = teacher_vectors(arguments, judged, settings, progress)
    by_key = measure_systems({system: None if system == BM25 else vectors for system in SYSTEMS.values()}, judged)
    teacher = by_key[TEACHER.key]
    weights = sum((files.folder / name).stat().st_size for name in ("model.safetensors", "tokenizer.json"))
    systems = {}
    for name, system in SYSTEMS.items():
        method = METHODS[name].replace("fp32", arguments.precision)
        systems[name] = row(method, weights if name == "teacher" else None, by_key[system.key], teacher, resamples)
    kinds = [name for name in ("teacher-int8", "model2vec") if name not in arguments.leave_out]
    options = dataclasses.replace(Model2vecSettings(), clusters=tuple(arguments.clusters))
    for baseline in measure_baselines(kinds, options, BaselineTask(settings, judged, arguments.cache, progress)):
        systems[baseline.name] = row(baseline.method, baseline.bytes, baseline.figures(), teacher, resamples)
    return {
        "set": arguments.data.name,
        "split": arguments.split,
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

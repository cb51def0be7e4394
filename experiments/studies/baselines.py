"""What a bundle for a retrieval set is held against: teacher, BM25, their fusion, teacher in int8, model2vec.

Example: python -m experiments.studies.baselines data/scifact --split test --out scifact.json

DATA_SET is a folder in BEIR layout. With --cache the teacher's vectors and the figures of the baselines are kept there,
under names that `pocketrank evaluate --cache` finds again. One core at 4,000 tokens a second needs five minutes for the
documents of SciFact.
"""

import argparse
import dataclasses
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pocketrank.pipeline.evaluate.baselines import BaselineTask, measure_baselines
from pocketrank.pipeline.evaluate.systems import JudgedSplit, Vectors, measure_systems
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import METRICS, QualityFigures, scored_rows
from pocketrank.pipeline.retrieval.system import BM25, TEACHER
from pocketrank.pipeline.settings import Model2vecSettings, TeacherSettings
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.pipeline.teacher.vector_shards import cached_vectors, read_vectors
from pocketrank.runtime.bootstrap import bootstrap_ratio
from pocketrank.runtime.files import json_bytes, write_bytes
from pocketrank.runtime.progress import NoProgress

LIBRARIES = ("bm25s", "model2vec", "numpy", "onnxruntime", "sentence-transformers", "tokenizers", "torch")
METHODS = {
    "teacher": "teacher in fp32, queries and documents",
    "teacher_int8_vectors": "teacher in fp32, document vectors kept in int8",
    "teacher_binary_vectors": "teacher in fp32, document vectors kept in bits, the best 500 ranked again in int8",
    "teacher_binary_unrescored_vectors": "teacher in fp32, document vectors kept in bits alone",
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


class Notes(NoProgress):
    """Prints what is being done, a line each."""

    def note(self, text: str) -> None:
        """Print `text`."""
        print(text, flush=True)


def row(method: str, size: int | None, figures: QualityFigures, teacher: QualityFigures, resamples: int) -> dict:
    """Return one system: every figure as [value, low, high], the interval being 95 % over queries."""
    found = {"method": method} | ({"bytes": size} if size else {})
    for name, one in figures.summary(resamples).items():
        found[name] = [round(number, 4) for number in (one.mean, one.low, one.high)]
    kept = bootstrap_ratio(figures.ndcg10, teacher.ndcg10, resamples)
    return found | {"ndcg10_retention": [round(number, 4) for number in (kept.mean, kept.low, kept.high)]}


def compact(value: dict) -> bytes:
    """Return JSON with a line for each system."""
    text = json_bytes(value).decode()
    for metric in (*METRICS, "ndcg10_retention"):
        head, *rest = text.split(f'"{metric}": [')
        text = head + "".join(
            f'"{metric}": [' + " ".join(part.partition("]")[0].split()) + "]" + part.partition("]")[2] for part in rest
        )
    return text.encode()


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
    progress, split = Notes(), arguments.split
    retrieval_set = read_retrieval_set(arguments.data)
    files = resolve_teacher(TeacherSettings())
    settings = TeacherSettings(sha256=files.sha256)
    judged = JudgedSplit(retrieval_set, split)
    documents, queries = judged.documents, judged.texts
    progress.note(
        f"{arguments.data.name}: {len(documents):,} documents, {len(queries):,} queries; the teacher's vectors"
    )
    if arguments.vectors:
        document_vectors = read_vectors(arguments.vectors / "documents.npy", len(documents))
        every = read_vectors(arguments.vectors / "queries.npy", len(retrieval_set.queries))
        query_vectors = scored_rows(every, retrieval_set, split)
    else:
        document_vectors = cached_vectors(settings, documents, "document", arguments.cache, progress)
        query_vectors = cached_vectors(settings, queries, "query", arguments.cache, progress)

    vectors = Vectors(query_vectors, document_vectors)
    by_key = measure_systems({one: None if one == BM25 else vectors for one in SYSTEMS.values()}, judged)
    figures = {name: by_key[system.key] for name, system in SYSTEMS.items()}
    teacher = figures["teacher"]
    weights = sum((files.folder / name).stat().st_size for name in ("model.safetensors", "tokenizer.json"))
    systems = {
        name: row(
            METHODS[name].replace("fp32", arguments.precision),
            weights if name == "teacher" else None,
            one,
            teacher,
            arguments.bootstrap,
        )
        for name, one in figures.items()
    }
    kinds = [name for name in ("teacher-int8", "model2vec") if name not in arguments.leave_out]
    options = dataclasses.replace(Model2vecSettings(), clusters=tuple(arguments.clusters))
    for one in measure_baselines(kinds, options, BaselineTask(settings, judged, arguments.cache, progress)):
        systems[one.name] = row(one.method, one.bytes, one.figures(), teacher, arguments.bootstrap)
    report = {
        "set": arguments.data.name,
        "split": split,
        "documents": len(documents),
        "queries": len(queries),
        "teacher": {"id": files.name, "sha256": files.sha256},
        "versions": {name: version(name) for name in LIBRARIES},
        "figures": "[value, low, high]: 95 % bootstrap interval over queries; retention is relative to the teacher",
        "systems": systems,
        "left_out": dict.fromkeys(arguments.leave_out, arguments.why),
    }
    write_bytes(arguments.out, compact(report))
    for name, one in systems.items():
        print(f"{name:36s} {one.get('bytes', 0):>12,} {np.array(one['ndcg10'])} {one['ndcg10_retention'][0]:.1%}")


if __name__ == "__main__":
    main()

"""Measure the ranking quality of a bundle on a retrieval set in BEIR layout.

Documents are encoded by the bundle itself (--documents student), or by the bundle's teacher and brought into the
bundle's space by its projection (--documents teacher). It is compared with BM25, and fused with it, when bm25s is
installed. Baselines are measured when --baselines asks for them: the teacher in int8 (teacher-int8), which encodes the
corpus, and static vectors of the teacher's tokens at several sizes (model2vec).

examples:
  pocketrank evaluate runs/pydocs/bundle runs/pydocs/stages/corpus
  pocketrank evaluate runs/pydocs/bundle runs/pydocs/stages/corpus --baselines bm25 hybrid model2vec --cache baselines
  pocketrank evaluate runs/scifact/bundle ../data/scifact --documents teacher --cache teacher-vectors --json
  pocketrank evaluate runs/scifact/bundle ../data/scifact --noise 0.3
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.packaged import bundle_path

if TYPE_CHECKING:
    from ..pipeline.evaluate import EvaluationOptions
    from ..pipeline.evaluate.record import Entry, Evaluation
    from ..runtime.progress import Progress


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate`."""
    parser.add_argument("bundle", type=bundle_path, metavar="BUNDLE", help="folder of the bundle, or general-english")
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with corpus.jsonl, queries.jsonl and qrels/")
    parser.add_argument("--split", default="test", help="which judgements, qrels/SPLIT.tsv (default: test)")
    parser.add_argument(
        "--documents", choices=("student", "teacher"), default="student", help="who encodes the documents"
    )
    parser.add_argument(
        "--teacher", default="", metavar="MODEL", help="where the teacher is, when not where the recipe found it"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="keep the teacher's vectors and baselines here for the next time"
    )
    parser.add_argument(
        "--baselines",
        nargs="+",
        default=("bm25", "fusion", "hybrid"),
        choices=("bm25", "fusion", "hybrid", "teacher-int8", "model2vec"),
        help="what the bundle is compared with (default: bm25 fusion hybrid)",
    )
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples for the intervals (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the resampling (default: 1)")
    parser.add_argument(
        "--noise",
        type=float,
        default=0.0,
        metavar="CHANCE",
        help="measure instead the retention when each query, with this chance, gets another case, loses its "
        "punctuation or gets typing errors",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Evaluate and print the figures."""
    from ..pipeline.evaluate import EvaluationOptions, evaluate_bundle
    from ..pipeline.settings import EvaluateSettings
    from ..runtime.errors import InputError
    from .output import Notes, make_progress

    if arguments.bootstrap < 0:
        raise InputError(f"--bootstrap {arguments.bootstrap}: give 0 or more resamples")
    options = EvaluationOptions(
        split=arguments.split,
        documents=arguments.documents,
        teacher=arguments.teacher,
        cache=arguments.cache,
        seed=arguments.seed,
        settings=EvaluateSettings(baselines=tuple(arguments.baselines), bootstrap=arguments.bootstrap),
    )
    progress = Notes() if arguments.json else make_progress()
    if arguments.noise:
        return _show_robustness(arguments, options, progress)
    return _show(arguments, evaluate_bundle(arguments.bundle, arguments.data, options, progress=progress))


def _show(arguments: argparse.Namespace, evaluation: "Evaluation") -> int:
    from ..runtime.schema import to_mapping
    from .output import print_json, print_table

    if arguments.json:
        print_json(to_mapping(evaluation))
        return 0
    rows = [
        _row(
            entry.method,
            entry,
            evaluation.mrr10[name],
            evaluation.recall100[name],
            evaluation.ndcg10_retention.get(name),
        )
        for name, entry in evaluation.ndcg10.items()
    ]
    for baseline in evaluation.baselines.values():
        system = f"{baseline.ndcg10.method}: {baseline.bytes.value:,} bytes"
        rows.append(_row(system, baseline.ndcg10, baseline.mrr10, baseline.recall100, baseline.ndcg10_retention))
    title = f"{arguments.bundle} on {arguments.data}, split {evaluation.split}"
    columns = ("system", "nDCG@10", "95 % interval", "MRR@10", "Recall@100", "of teacher")
    note = f"{evaluation.queries:,} queries, {evaluation.documents:,} documents"
    print_table(title, columns, rows, note)
    return 0


def _row(
    system: str, ndcg10: "Entry", mrr10: "Entry", recall100: "Entry", retention: "Entry | None"
) -> tuple[str, ...]:
    figures = (f"{ndcg10.value:.4f}", f"{ndcg10.low:.4f} - {ndcg10.high:.4f}", f"{mrr10.value:.4f}")
    return (system, *figures, f"{recall100.value:.4f}", f"{retention.value:.1%}" if retention else "")


def _show_robustness(arguments: argparse.Namespace, options: "EvaluationOptions", progress: "Progress") -> int:
    from ..pipeline.evaluate.noise_robustness import measure_robustness
    from ..runtime.schema import to_mapping
    from .output import print_json, print_table

    robustness = measure_robustness(arguments.bundle, arguments.data, arguments.noise, options, progress=progress)
    if arguments.json:
        print_json(to_mapping(robustness))
        return 0
    rows = [
        (
            entry.method,
            f"{entry.clean:.4f}",
            f"{entry.noisy:.4f}",
            f"{entry.retention:.1%}",
            f"{entry.low:.1%} - {entry.high:.1%}",
        )
        for entry in robustness.ndcg10.values()
    ]
    title = f"{arguments.bundle} on {arguments.data}, split {robustness.split}, nDCG@10 with noise"
    columns = ("system", "queries as they are", "with noise", "retention", "95 % interval")
    note = (
        f"{robustness.changed_queries:,} of {robustness.queries:,} queries changed, {robustness.documents:,} documents"
    )
    print_table(title, columns, rows, note)
    return 0

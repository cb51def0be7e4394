"""Measure the ranking quality of a bundle on a retrieval set in BEIR layout.

Documents are encoded by the bundle itself (--documents student), or by the bundle's teacher and brought into the
bundle's space by its projection (--documents teacher). BM25 and the fusion with BM25 stand beside it when bm25s is
installed.

examples:
  pocketrank evaluate runs/pydocs/bundle runs/pydocs/stages/corpus
  pocketrank evaluate runs/scifact/bundle ../data/scifact --documents teacher --cache /tmp/teacher --json
"""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate`."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with corpus.jsonl, queries.jsonl and qrels/")
    parser.add_argument("--split", default="test", help="which judgements, qrels/SPLIT.tsv (default: test)")
    parser.add_argument(
        "--documents", choices=("student", "teacher"), default="student", help="who encodes the documents"
    )
    parser.add_argument(
        "--teacher", default="", metavar="MODEL", help="where the teacher is, when not where the recipe found it"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="keep the teacher's vectors here for the next time"
    )
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples for the intervals (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the resampling (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Evaluate and print the figures."""
    from ..pipeline.evaluate import METHODS, evaluate_bundle
    from ..runtime.errors import InputError
    from ..runtime.schema import to_mapping
    from .output import make_progress, print_json, print_table

    if arguments.bootstrap < 0:
        raise InputError(f"--bootstrap {arguments.bootstrap}: give 0 or more resamples")
    evaluation = evaluate_bundle(
        arguments.bundle,
        arguments.data,
        make_progress(quiet=arguments.json),
        split=arguments.split,
        with_teacher=arguments.documents == "teacher",
        teacher=arguments.teacher,
        cache=arguments.cache,
        resamples=arguments.bootstrap,
        seed=arguments.seed,
    )
    if arguments.json:
        print_json(to_mapping(evaluation))
        return 0
    rows = []
    for name, entry in evaluation.ndcg10.items():
        kept = evaluation.ndcg10_retention.get(name)
        rows.append(
            (
                METHODS[name],
                f"{entry.value:.4f}",
                f"{entry.low:.4f} - {entry.high:.4f}",
                f"{evaluation.mrr10[name].value:.4f}",
                f"{evaluation.recall100[name].value:.4f}",
                f"{kept.value:.1%}" if kept else "",
            )
        )
    title = f"{arguments.bundle} on {arguments.data}, split {evaluation.split}"
    columns = ("system", "nDCG@10", "95 % interval", "MRR@10", "Recall@100", "of teacher")
    note = f"{evaluation.queries:,} queries, {evaluation.documents:,} documents"
    print_table(title, columns, rows, note)
    return 0

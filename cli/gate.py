"""Hold a bundle to a budget: bytes, quality, and cost on each device; pass, fail or inconclusive.

The bundle is verified first, as `pocketrank verify` does; one that fails is not judged (exit code 1).
Without --report, the report next to the bundle is used when it is about these very files; otherwise the bundle is
measured on every device that the budget names. With --baseline-bundle the baseline release is measured in the same run,
interleaved with the new one: that is what makes a change of 15 % in times visible on a busy machine. With --data too,
both releases answer its queries, and limits in [ranking] say how much the answers may change.

examples:
  pocketrank gate runs/pydocs/bundle --budget budgets/pydocs.toml --baseline last-release.json --junit gate.xml
  pocketrank gate runs/pydocs/bundle --budget budgets/pydocs.toml --baseline-bundle last-release/bundle
  pocketrank gate runs/pydocs/bundle --budget ranking.toml --baseline-bundle last-release/bundle --data data/pydocs
"""

import argparse
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.packaged import bundle_path
from .output import make_progress, print_json, print_line, print_table

if TYPE_CHECKING:
    from ..benchmarks.gate.budget import Budget
    from ..benchmarks.gate.judge import Verdict
    from ..benchmarks.gate.ranking import Rankings


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bundle", type=bundle_path, metavar="BUNDLE", help="the bundle that is to be released")
    parser.add_argument("--budget", type=Path, required=True, metavar="FILE", help="limits (TOML)")
    baseline = parser.add_mutually_exclusive_group()
    baseline.add_argument(
        "--baseline", type=Path, metavar="FILE", help="report of the baseline release, for [regression]"
    )
    baseline.add_argument(
        "--baseline-bundle",
        type=bundle_path,
        metavar="BUNDLE",
        help="bundle of the baseline release: both are measured, interleaved",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="a report of this bundle (default: measure)")
    parser.add_argument(
        "--with",
        dest="others",
        type=Path,
        action="append",
        default=[],
        metavar="OTHER",
        help="models to measure in the same run; the first one is the reference of the ratios",
    )
    parser.add_argument(
        "--repetitions",
        type=int,
        default=0,
        metavar="N",
        help="processes a model when it measures (default: 7; 40 with --baseline-bundle)",
    )
    parser.add_argument("--texts", type=Path, metavar="FILE", help="queries, one a line or a record, or a BEIR folder")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DATA",
        help="folder in BEIR layout whose test queries both releases answer, for [ranking]",
    )
    parser.add_argument("--split", default="test", help="which judged queries of DATA, qrels/SPLIT.tsv (default: test)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the verdict as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the verdict as JUnit XML")
    parser.add_argument("--report-out", type=Path, metavar="FILE", help="write the report that was judged")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write report and verdict as one HTML page")
    parser.add_argument(
        "--github",
        action=argparse.BooleanOptionalAction,
        default=os.environ.get("GITHUB_ACTIONS") == "true",
        help="annotate the budget's lines and write the job's summary (default: where GITHUB_ACTIONS is set)",
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON, and nothing else")


def execute(arguments: argparse.Namespace) -> int:
    """Verify, judge, and return 0 (pass), 1 (fail) or 4 (inconclusive)."""
    from ..benchmarks.gate.budget import read_budget
    from ..benchmarks.gate.judge import write_verdict
    from ..benchmarks.gate.junit import write_junit
    from ..benchmarks.gate.release import Release, judge_report, read_baseline
    from ..benchmarks.measure.query_texts import BUILT_IN, read_queries
    from ..benchmarks.records.report import write_report
    from ..benchmarks.render.page import html_page, require_jinja2
    from ..export.size.explain import size_breakdown
    from ..runtime.files import write_bytes
    from ..runtime.schema import to_mapping

    if arguments.html:
        require_jinja2()  # before minutes of measuring
    budget = read_budget(arguments.budget)
    named = arguments.baseline_bundle or arguments.baseline
    baseline = read_baseline(named) if named else None
    release = Release(
        bundle=arguments.bundle,
        budget=budget,
        others=arguments.others,
        old=arguments.baseline_bundle,
        repetitions=arguments.repetitions,
        texts=read_queries(arguments.texts) if arguments.texts else BUILT_IN,
        progress=make_progress(arguments.json),
    )
    rankings = _rankings(arguments, budget)  # before minutes of measuring: the data may be unreadable
    report = release.report(arguments.report)
    verdict = judge_report(
        report,
        budget,
        baseline,
        baseline_name=named.name if named else "",
        confirm=release.confirm(report),
        rankings=rankings,
    )
    if arguments.out:
        write_verdict(arguments.out, verdict)
    if arguments.junit:
        write_junit(arguments.junit, verdict)
    if arguments.report_out:
        write_report(arguments.report_out, report)
    if arguments.html:
        write_bytes(arguments.html, html_page(report, verdict, size_breakdown(arguments.bundle)))
    if arguments.github:
        _tell_github(verdict, annotate=not arguments.json)
    if arguments.json:
        print_json(to_mapping(verdict))
        return verdict.exit_code
    _print_tables(verdict, arguments.github)
    return verdict.exit_code


def _print_tables(verdict: "Verdict", github: bool) -> None:
    from ..benchmarks.render.tables import changed_tables, verdict_table

    table, token = verdict_table(verdict), secrets.token_hex(16)
    if github:  # a name in the table may read like a workflow command
        print_line(f"::stop-commands::{token}")
    print_table(table.title, table.columns, table.rows)
    print_line(table.note)
    for changed in changed_tables(verdict):
        print_table(changed.title, changed.columns, changed.rows, changed.note)
    if github:
        print_line(f"::{token}::")


def _rankings(arguments: argparse.Namespace, budget: "Budget") -> "Rankings":
    """Let both releases answer the queries where the budget limits how much may change."""
    from ..benchmarks.gate.ranking import RankedTexts, compare_answers
    from ..pipeline.retrieval.dataset import read_retrieval_set

    if not any(limit.section == "ranking" for limit in budget.limits):
        return {}
    rankings = {"teacher": "the teacher's vectors of the documents are in a run alone"}
    if arguments.baseline_bundle is None:
        return rankings | {"bundle": "no bundle of the last release was given"}
    if arguments.data is None:
        return rankings | {"bundle": "no documents and queries were given"}
    corpus = read_retrieval_set(arguments.data, (arguments.split,))
    queries = list(corpus.split_queries(arguments.split).values())
    if not queries:
        return rankings | {"bundle": f"{arguments.data} has no queries in the split {arguments.split}"}
    texts = RankedTexts(queries, list(corpus.documents.values()), [corpus.titles[name] for name in corpus.documents])
    progress = make_progress(arguments.json)
    return rankings | {"bundle": compare_answers(arguments.baseline_bundle, arguments.bundle, texts, progress=progress)}


def _tell_github(verdict: "Verdict", annotate: bool) -> None:
    """Print workflow commands, and append to the job's summary where GitHub named a file for it."""
    from ..benchmarks.render.github import annotations, summary

    if annotate:
        for line in annotations(verdict):
            print_line(line)
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if place:
        with Path(place).open("a", encoding="utf-8") as stream:  # other steps write there too
            stream.write(summary(verdict))

"""Hold a bundle to a budget: bytes, quality, and cost on each device; pass, fail or inconclusive.

Without --report, the report beside the bundle is used when it is about these very files; otherwise the bundle is
measured on every device that the budget names.

    pocketrank gate runs/pydocs/bundle --budget budgets/pydocs.toml --baseline last-release.json --junit gate.xml
"""

import argparse
from pathlib import Path

from .output import make_progress, print_json, print_line, print_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle that is to be released")
    parser.add_argument("--budget", type=Path, required=True, metavar="FILE", help="limits (TOML)")
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="report of the last release, for [regression]")
    parser.add_argument("--report", type=Path, metavar="FILE", help="a report of this bundle (default: measure)")
    parser.add_argument(
        "--with",
        dest="others",
        type=Path,
        action="append",
        default=[],
        metavar="OTHER",
        help="models to measure beside it; the first one is the reference of the ratios",
    )
    parser.add_argument("--texts", type=Path, metavar="FILE", help="queries: a text or JSONL file, or a BEIR folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the verdict as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the verdict as JUnit XML")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON, and nothing else")


def execute(arguments: argparse.Namespace) -> int:
    """Judge and return 0 (pass), 1 (fail) or 4 (inconclusive)."""
    from ..benchmarks.budget import read_budget
    from ..benchmarks.gate import judge, write_verdict
    from ..benchmarks.junit import write_junit
    from ..benchmarks.measure import MeasureSettings, measure
    from ..benchmarks.models import bundle_measurements, find_model, quality_measurements, report_of
    from ..benchmarks.render import verdict_table
    from ..benchmarks.report import Report, read_report
    from ..benchmarks.texts import BUILT_IN, read_texts
    from ..runtime.schema import to_mapping

    budget = read_budget(arguments.budget)
    baseline = read_report(arguments.baseline) if arguments.baseline else None
    subject = find_model(arguments.bundle)
    others = [find_model(path) for path in arguments.others]
    texts = read_texts(arguments.texts) if arguments.texts else BUILT_IN
    progress = make_progress(arguments.json)
    devices = list(dict.fromkeys(limit.device for limit in budget.limits if limit.device)) or ["host"]

    def run() -> Report:
        return measure(
            [subject, *others],
            devices,
            MeasureSettings(),
            texts,
            progress,
            text_source=arguments.texts.name if arguments.texts else "built-in questions",
            bundle=bundle_measurements(arguments.bundle),
            quality=quality_measurements(arguments.bundle),
        )

    report = report_of(subject, arguments.report, arguments.bundle, progress) or run()
    # A second run is comparable only when it measures the same models.
    same_models = len(report.models) == 1 + len(others)
    verdict = judge(
        report,
        budget,
        baseline,
        arguments.baseline.name if arguments.baseline else "",
        confirm=run if same_models else None,
    )
    if arguments.out:
        write_verdict(arguments.out, verdict)
    if arguments.junit:
        write_junit(arguments.junit, verdict)
    if arguments.json:
        print_json(to_mapping(verdict))
    else:
        table = verdict_table(verdict)
        print_table(table.title, table.columns, table.rows)
        print_line(table.note)
    return verdict.exit_code

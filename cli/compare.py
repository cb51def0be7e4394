"""Compare two reports or two bundles: differences with intervals, and whether they can be distinguished from noise.

examples:
  pocketrank compare last-release.json runs/pydocs/report.json
  pocketrank compare old/bundle runs/pydocs/bundle
"""

import argparse

from ..runtime.packaged import bundle_path
from .output import print_json, print_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "old", type=bundle_path, metavar="A", help="what there was: a report, a bundle, or general-english"
    )
    parser.add_argument("new", type=bundle_path, metavar="B", help="what there is now, the same")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON, and nothing else")


def execute(arguments: argparse.Namespace) -> int:
    """Compare and print."""
    import dataclasses

    from ..benchmarks.render.compare import compare, comparison_tables, read_side

    old, new = read_side(arguments.old), read_side(arguments.new)
    rows = compare(old, new)
    if arguments.json:
        print_json([{**dataclasses.asdict(row), "apart": row.apart} for row in rows])
        return 0
    for table in comparison_tables(rows, str(arguments.old), str(arguments.new)):
        print_table(table.title, table.columns, table.rows, table.note)
    return 0

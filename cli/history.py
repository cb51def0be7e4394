"""Draw each metric over releases with its intervals, and name the release where it changed.

Reports are files named by their release (v1.0.json), or folders so named with a report.json inside.

examples:
  pocketrank history history/ --html history.html
  pocketrank history --tags 'v*' --path history/report.json
"""

import argparse
from pathlib import Path

from .output import print_json, print_line, print_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "paths", type=Path, nargs="*", metavar="PATH", help="a report, or a folder with one for each release"
    )
    parser.add_argument("--tags", metavar="PATTERN", help="read the reports from the git tags that match, such as 'v*'")
    parser.add_argument(
        "--path",
        default="report.json",
        metavar="FILE",
        help="with --tags: the report in the repository, from its root (default: %(default)s)",
    )
    parser.add_argument("--as-given", action="store_true", help="keep the order of PATH (default: sort by version)")
    parser.add_argument("--json", action="store_true", help="print the history as JSON, and nothing else")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the charts as one HTML page")


def execute(arguments: argparse.Namespace) -> int:
    """Read, decide and print."""
    from ..benchmarks.gate.history import metric_histories
    from ..benchmarks.records.releases import read_releases, read_tags
    from ..benchmarks.render.history import history_mapping, history_page, history_tables
    from ..benchmarks.render.page import require_jinja2
    from ..runtime.errors import InputError
    from ..runtime.files import write_bytes

    if arguments.html:
        require_jinja2()
    if bool(arguments.paths) == bool(arguments.tags):
        raise InputError("name files or folders of reports, or --tags PATTERN; one of the two")
    if arguments.tags:
        releases, skipped = read_tags(arguments.tags, arguments.path, Path())
    else:
        releases, skipped = read_releases(arguments.paths, as_given=arguments.as_given), []
    left_out = "; ".join(f"{release.name} ({release.reason})" for release in skipped)
    note = f"{len(skipped)} left out: {left_out}" if skipped else ""
    if len(releases) < 2 and skipped:
        raise InputError(f"a history needs the reports of two releases or more, found {len(releases)}; {note}")
    histories, names = metric_histories(releases), [release.name for release in releases]
    if arguments.html:
        write_bytes(arguments.html, history_page(names, histories, skipped))
    if arguments.json:
        print_json(history_mapping(names, histories, skipped))
        return 0
    for table in history_tables(histories):
        print_table(table.title, table.columns, table.rows)
    print_line(f"{len(names)} releases: {', '.join(names)}{'. ' + note if note else ''}")
    return 0

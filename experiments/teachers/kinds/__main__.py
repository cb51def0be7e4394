"""Run a small random teacher of every kind through all stages, show what is refused, and write the docs' page.

Example: python -m experiments.teachers.kinds
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

from pocketrank.runtime.files import read_json, write_bytes

from experiments.figures import write_report
from experiments.teachers.kinds.accepted import ACCEPTED
from experiments.teachers.kinds.page import page
from experiments.teachers.kinds.refused import REFUSED
from experiments.teachers.kinds.through import refusal, run_kind

REPORT, PAGE = Path("experiments/reports/teacher-kinds.json"), Path("docs/explanation/teacher-kinds.md")


def main() -> None:
    """Run the kinds and write report and page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="kinds with this in their name; nothing is written")
    parser.add_argument("--page", action="store_true", help="write the page from the report, without a run")
    arguments = parser.parse_args()
    if arguments.page:
        write_bytes(PAGE, page(read_json(REPORT)).encode())
        return
    teachers, refused = [], []
    for kind in ACCEPTED:
        if arguments.only in kind.name:
            with tempfile.TemporaryDirectory(prefix="pocketrank-") as folder:
                teachers.append(dataclasses.asdict(run_kind(kind, Path(folder))))
            print(teachers[-1], flush=True)
    for kind in REFUSED:
        if arguments.only in kind.name:
            with tempfile.TemporaryDirectory(prefix="pocketrank-") as folder:
                refused.append({"kind": kind.name, "key": kind.key, "message": refusal(kind, Path(folder))})
            print(refused[-1], flush=True)
    if not arguments.only:
        report = {"teachers": teachers, "refused": refused}
        write_report(REPORT, report)
        write_bytes(PAGE, page(report).encode())


if __name__ == "__main__":
    main()

"""Write the pages and plots of docs/results from the reports that are kept in experiments/reports.

Example: python -m experiments.results.write

Nothing is measured and no data is needed: the same reports always give the same bytes. What is missing is named.
"""

import argparse
import dataclasses
from pathlib import Path

from pocketrank.runtime.files import write_bytes

from experiments.results.pages import pages
from experiments.results.plots import bytes_plots, minutes_plots, vocabulary_plots
from experiments.results.records import read_results


def result_files(folder: Path) -> dict[str, bytes]:
    """Return pages and plots by name, from `experiments.toml`, `notes.toml` and `reports/` in `folder`."""
    results = read_results(folder)
    plots = bytes_plots(results) | vocabulary_plots(results) | minutes_plots(results)
    written = pages(dataclasses.replace(results, plots=sorted(plots)))
    return {name: text.encode("utf-8") for name, text in written.items()} | plots


def main() -> None:
    """Write the files, and remove pages and plots that are no longer made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=Path, default=Path("experiments"), metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), metavar="FOLDER")
    arguments = parser.parse_args()
    files = result_files(arguments.experiments)
    for stale in sorted([*arguments.out.glob("*.svg"), *arguments.out.glob("*.md")]):
        if stale.name not in files:
            stale.unlink()
    for name, content in files.items():
        write_bytes(arguments.out / name, content)
        print(f"{arguments.out / name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()

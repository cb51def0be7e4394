"""Write docs/results.md and its plots from the reports that are kept in docs/results.

Example: python benchmarks/scripts/results.py

Nothing is measured and no data is needed: the same reports always give the same bytes. What is missing is named.
"""

import argparse
from pathlib import Path

from pocketrank.benchmarks.experiments import read_experiment_reports, read_experiments
from pocketrank.runtime.files import write_bytes
from results_plots import bytes_plots, minutes_plot, vocabulary_plots
from results_records import Results, read_baselines, read_notes, read_others
from results_tables import sections


def results(folder: Path) -> dict[str, bytes]:
    """Return the files that follow from the reports in `folder`: `results.md` (which stands above it) and plots."""
    found = Results(
        read_experiments(folder / "experiments.toml"),
        read_experiment_reports(folder),
        read_baselines(folder),
        read_notes(folder / "notes.toml"),
        read_others(folder),
    )
    plots = bytes_plots(found) | vocabulary_plots(found) | minutes_plot(found)
    text = "\n".join(sections(found, folder.name, sorted(plots)))
    return {"results.md": text.encode("utf-8"), **plots}


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=Path, default=Path("docs/results"), metavar="FOLDER")
    folder = parser.parse_args().reports
    files = results(folder)
    for stale in sorted(folder.glob("*.svg")):
        if stale.name not in files:
            stale.unlink()
    for name, data in files.items():
        path = folder.parent / name if name == "results.md" else folder / name
        write_bytes(path, data)
        print(f"{path}: {len(data):,} bytes")


if __name__ == "__main__":
    main()

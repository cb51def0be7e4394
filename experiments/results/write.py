"""Write docs/results.md and its plots from the reports that are kept in docs/results.

Example: python -m experiments.results.write

Nothing is measured and no data is needed: the same reports always give the same bytes. What is missing is named.
"""

import argparse
from pathlib import Path

from pocketrank.runtime.files import write_bytes

from experiments.records import read_experiment_reports, read_experiments
from experiments.results.plots import bytes_plots, minutes_plot, vocabulary_plots
from experiments.results.records import Results, read_baselines, read_notes, read_others
from experiments.results.tables import sections


def results(folder: Path) -> dict[str, bytes]:
    """Return `results.md` and its plots, from `experiments.toml`, `notes.toml` and `reports/` in `folder`."""
    reports = folder / "reports"
    found = Results(
        read_experiments(folder / "experiments.toml"),
        read_experiment_reports(reports),
        read_baselines(reports),
        read_notes(folder / "notes.toml"),
        read_others(reports),
    )
    plots = bytes_plots(found) | vocabulary_plots(found) | minutes_plot(found)
    text = "\n".join(sections(found, "results", sorted(plots)))
    return {"results.md": text.encode("utf-8"), **plots}


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=Path, default=Path("experiments"), metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=Path("docs"), metavar="FOLDER")
    arguments = parser.parse_args()
    files = results(arguments.experiments)
    plots = arguments.out / "results"
    for stale in sorted(plots.glob("*.svg")):
        if stale.name not in files:
            stale.unlink()
    for name, data in files.items():
        path = arguments.out / name if name == "results.md" else plots / name
        write_bytes(path, data)
        print(f"{path}: {len(data):,} bytes")


if __name__ == "__main__":
    main()

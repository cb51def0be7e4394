"""What the pages of docs/results are made of: the kept reports, and what is read from `notes.toml`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketrank.runtime.files import read_json, read_toml
from pocketrank.runtime.schema import from_mapping

from experiments.records import ExperimentReport, ExperimentsFile, Group, read_experiment_reports, read_experiments

HEADLINE = "headline"
MODES = ("asymmetric", "symmetric")


@dataclass(frozen=True)
class Target:
    """A row of the targets: the retention that a size is to reach."""

    bytes: int
    asymmetric: float
    symmetric: float
    variant: str
    sets: tuple[str, ...]


@dataclass(frozen=True)
class Hybrid:
    """What bundle and BM25 together are to reach."""

    target: float
    variant: str


@dataclass(frozen=True)
class Failed:
    """Something that was tried and not kept."""

    what: str
    result: str


@dataclass(frozen=True)
class Next:
    """Something that is worth trying."""

    what: str
    why: str


@dataclass(frozen=True)
class Notes:
    """The whole of `notes.toml`."""

    hybrid: Hybrid
    target: tuple[Target, ...] = ()
    failed: tuple[Failed, ...] = ()
    next: tuple[Next, ...] = ()


@dataclass(frozen=True)
class Results:
    """All that the pages are made of."""

    experiments: ExperimentsFile
    reports: Sequence[ExperimentReport]
    baselines: Mapping[str, Mapping[str, Any]]  # set -> its file
    notes: Notes
    others: Mapping[str, Any]  # name of a file -> its content
    plots: Sequence[str] = ()  # names of their files

    def of(self, name: str) -> list[ExperimentReport]:
        """Return the reports of a group in the order of the file of experiments."""
        group = next((group for group in self.experiments.group if group.name == name), None)
        if group is None:
            return []
        order = [variant.name for variant in group.variants]
        sets = list(dict.fromkeys([*group.sets, *(own for variant in group.variants for own in variant.sets)]))
        reports = [report for report in self.reports if report.group == name and report.variant in order]
        return sorted(
            reports, key=lambda report: (sets.index(report.data_set), order.index(report.variant), report.seed)
        )

    def group(self, name: str) -> Group:
        """Return a group of the file of experiments."""
        return next(group for group in self.experiments.group if group.name == name)

    def find(self, variant: str, data_set: str) -> ExperimentReport | None:
        """Return the first seed's report of a variant of the headline."""
        reports = (report for report in self.reports if report.group == HEADLINE and report.seed == 1)
        return next((report for report in reports if (report.variant, report.data_set) == (variant, data_set)), None)


def read_results(folder: Path) -> Results:
    """Read `experiments.toml`, `notes.toml` and `reports/` in `folder`; raise `InputError` for mistakes in them."""
    reports = folder / "reports"
    files = {path.stem: read_json(path) for path in sorted(reports.glob("*.json"))}
    return Results(
        read_experiments(folder / "experiments.toml"),
        read_experiment_reports(reports),
        {name.removeprefix("baselines-"): file for name, file in files.items() if name.startswith("baselines-")},
        from_mapping(Notes, read_toml(folder / "notes.toml"), str(folder / "notes.toml")),
        {name: file for name, file in files.items() if not name.startswith("baselines-")},
    )

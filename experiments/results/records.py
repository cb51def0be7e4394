"""What docs/results.md is made of: the kept reports, and what is read from `notes.toml`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketrank.runtime.files import read_json, read_toml
from pocketrank.runtime.schema import from_mapping

from experiments.records import ExperimentReport, ExperimentsFile, Group

HEADLINE = "headline"


@dataclass(frozen=True)
class Target:
    """A row of the targets: shares of the teacher's nDCG@10 that a size is to keep."""

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
    found: str


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
    """All that the document is made of."""

    experiments: ExperimentsFile
    reports: Sequence[ExperimentReport]
    baselines: Mapping[str, Mapping[str, Any]]  # set -> its file
    notes: Notes
    others: Mapping[str, Any] = field(default_factory=dict)  # name of a file -> its content

    def of(self, group: str) -> list[ExperimentReport]:
        """Return the reports of a group in the order of the file of experiments."""
        variants = {name: [one.name for one in self.group(name).variants] for name in [group] if self.has(name)}
        order = variants.get(group, [])
        found = [one for one in self.reports if one.group == group and one.variant in order]
        own = [one for variant in self.group(group).variants for one in variant.sets] if found else []
        sets = list(dict.fromkeys([*self.group(group).sets, *own])) if found else []
        return sorted(found, key=lambda one: (sets.index(one.data_set), order.index(one.variant), one.seed))

    def has(self, group: str) -> bool:
        """Tell whether the file of experiments has this group."""
        return any(one.name == group for one in self.experiments.group)

    def group(self, name: str) -> Group:
        """Return a group of the file of experiments."""
        return next(one for one in self.experiments.group if one.name == name)

    def find(self, variant: str, data_set: str, seed: int = 1) -> ExperimentReport | None:
        """Return one report of the headline."""
        wanted = (HEADLINE, variant, data_set, seed)
        return next((one for one in self.reports if (one.group, one.variant, one.data_set, one.seed) == wanted), None)


def read_baselines(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the files `baselines-<set>.json` by set."""
    return {path.stem.removeprefix("baselines-"): read_json(path) for path in sorted(folder.glob("baselines-*.json"))}


def read_notes(path: Path) -> Notes:
    """Read targets and notes strictly."""
    return from_mapping(Notes, read_toml(path), str(path))


def read_others(folder: Path) -> dict[str, Any]:
    """Return the further JSON files of the folder by name: teachers, training minutes and the like."""
    files = sorted(folder.glob("*.json"))
    return {path.stem: read_json(path) for path in files if not path.name.startswith("baselines-")}

"""Experiments as data: what is to be run (`experiments/experiments.toml`), and the small report that is kept of each.

An experiment is a recipe with overrides and a seed. Its report holds what the tables of docs/results need, and
nDCG@10 of every query, so that any two reports on the same queries can be compared query by query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.files import read_json, read_toml
from pocketrank.runtime.schema import did_you_mean, from_mapping

from experiments.figures import unpack

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Variant:
    """One row of a group's table."""

    name: str
    overrides: tuple[str, ...] = ()  # as `pocketrank run --set` takes them; {data} stands for the folder of the sets
    sets: tuple[str, ...] = ()  # instead of the group's
    seeds: tuple[int, ...] = ()  # instead of the group's
    extra_seeds: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of single sets
    about: str = ""


@dataclass(frozen=True)
class Group:
    """Variants of one table."""

    name: str
    title: str
    sets: tuple[str, ...]
    variants: tuple[Variant, ...]
    about: str = ""
    overrides: tuple[str, ...] = ()  # of all variants, before their own
    seeds: tuple[int, ...] = (1,)
    noise: float = 0.0  # above 0: quality is measured once more with this chance that a test query is changed


@dataclass(frozen=True)
class ExperimentsFile:
    """The whole of `experiments.toml`; a set's recipe is `<recipes>/<set>.toml`."""

    group: tuple[Group, ...]
    recipes: str = "recipes"


@dataclass(frozen=True)
class Experiment:
    """One run."""

    group: str
    variant: str
    data_set: str
    seed: int
    overrides: tuple[str, ...]
    noise: float = 0.0

    @property
    def name(self) -> str:
        """Name by which `--only` finds it, and of its report."""
        return f"{self.group}/{self.data_set}-{self.variant}-seed{self.seed}"


@dataclass(frozen=True)
class ExperimentReport:
    """What is kept of one experiment."""

    schema_version: int
    group: str
    variant: str
    data_set: str
    seed: int
    overrides: tuple[str, ...]
    split: str
    documents: int
    queries: int
    queries_sha256: str  # of the identifiers, so that only figures of the same queries are paired
    ndcg10: dict[str, tuple[float, ...]]  # system -> value, low, high (95 % bootstrap interval over queries)
    retention: dict[str, tuple[float, ...]]  # share of the teacher's nDCG@10, the same
    mrr10: dict[str, float]
    recall100: dict[str, float]
    bytes: dict[str, int]  # model, tokenizer, shipped
    parts: dict[str, int]  # the largest parts of both files
    student: dict[str, int]  # pieces, layers, hidden, dimension, parameters
    training: dict[str, float]  # texts, steps, tokens, seconds of the run that trained it
    teacher: dict[str, float]  # tokens and seconds of labelling; explained share of the reduction
    vocabulary: dict[str, Any]  # the stage's report: kind and table of candidates
    versions: dict[str, str]
    machine: dict[str, str]
    bm25_weight: dict[str, float] = field(default_factory=dict)  # of BM25 in hybrid search, where it was chosen
    noise: dict[str, tuple[float, ...]] = field(default_factory=dict)  # system -> clean, noisy, their ratio, low, high
    per_query: dict[str, str] = field(default_factory=dict)  # system -> nDCG@10 of all queries, packed
    start: str = ""  # first digits of the hash of the general student's weights, where training started from it

    def __post_init__(self) -> None:
        """Refuse a file of another version."""
        if self.schema_version != SCHEMA_VERSION:
            raise ValueError(f"schema_version {self.schema_version} is not {SCHEMA_VERSION}; run the experiment again")

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return f"{self.group}/{self.data_set}-{self.variant}-seed{self.seed}"

    def figures(self, system: str) -> np.ndarray | None:
        """Return nDCG@10 of every query, float64 [queries], or `None` where they were not kept."""
        return unpack(self.per_query[system]) if system in self.per_query else None


def read_experiments(path: Path) -> ExperimentsFile:
    """Read the file of experiments; raise `InputError` for unknown keys and for names that appear twice."""
    file = from_mapping(ExperimentsFile, read_toml(path), str(path))
    _refuse_twice([group.name for group in file.group], f"{path}: group")
    for group in file.group:
        _refuse_twice([variant.name for variant in group.variants], f"{path}: group {group.name!r}: variant")
    return file


def experiments_of(file: ExperimentsFile) -> Iterator[Experiment]:
    """Yield all experiments, group by group and set by set: neighbours share the most work."""
    for group in file.group:
        for name in dict.fromkeys([*group.sets, *(name for variant in group.variants for name in variant.sets)]):
            for variant in group.variants:
                if name in (variant.sets or group.sets):
                    for seed in (*(variant.seeds or group.seeds), *variant.extra_seeds.get(name, ())):
                        overrides = (*group.overrides, *variant.overrides, f"seed={seed}")
                        yield Experiment(group.name, variant.name, name, seed, overrides, group.noise)


def chosen(experiments: Sequence[Experiment], only: Sequence[str]) -> list[Experiment]:
    """Return the experiments that `only` names: GROUP, GROUP/SET, or the beginning of GROUP/SET-VARIANT-seedN."""
    for word in only:
        if not any(_matches(experiment, word) for experiment in experiments):
            names = (experiment.name for experiment in experiments)
            raise InputError(f"--only {word}: no experiment; {did_you_mean(word, names)}")
    return [experiment for experiment in experiments if not only or any(_matches(experiment, word) for word in only)]


def read_experiment_reports(folder: Path) -> list[ExperimentReport]:
    """Return the reports below `folder` in the order of their names."""
    return [
        from_mapping(ExperimentReport, read_json(path), str(path)) for path in sorted(folder.glob("*/*-seed*.json"))
    ]


def report_path(folder: Path, experiment: Experiment) -> Path:
    """Return where the report of an experiment is kept."""
    return folder / f"{experiment.name}.json"


def settings_words(report: ExperimentReport, shared: Sequence[str]) -> str:
    """Return the overrides of a report, in code, but for those that are `shared` and the seed."""
    own = [override for override in report.overrides if not override.startswith("seed=") and override not in shared]
    return f"`{', '.join(own)}`" if own else ""


def _matches(experiment: Experiment, word: str) -> bool:
    return (
        experiment.group == word
        or f"{experiment.group}/{experiment.data_set}" == word
        or experiment.name.startswith(word if "/" in word else f"{word}/")
    )


def _refuse_twice(names: Sequence[str], place: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{place} {name!r} appears twice; give it another name")

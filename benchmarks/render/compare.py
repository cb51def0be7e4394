"""Two reports or two bundles side by side: what differs, by how much, and whether noise alone could explain it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.bootstrap import bootstrap_interval, percentiles, resampled_means
from ...runtime.errors import InputError
from ...runtime.files import read_json
from ...runtime.manifest import MANIFEST_NAME
from ...runtime.units import format_quantity
from ..gate.difference import Difference, exact_difference, timed_difference
from ..measure.model_files import bundle_measurements, quality_measurements
from ..records.metrics import METRICS, Measurement
from ..records.report import Report, read_report
from .tables import Table

_RESAMPLES = 2000


@dataclass(frozen=True)
class Side:
    """One of the two: its report where there is one, its figures, and nDCG@10 by query where they are known."""

    path: Path
    report: Report | None
    bundle: tuple[Measurement, ...]
    quality: tuple[Measurement, ...]
    per_query: dict[str, dict[str, float]]  # system -> query id -> nDCG@10


@dataclass(frozen=True)
class Compared(Difference):
    """A difference with its place and its direction."""

    section: str = ""  # bundle, quality, or the device
    unit: str = "1"
    better: str = ""  # lower or higher


def read_side(path: Path) -> Side:
    """Read a report or a bundle; a bundle of a run brings its evaluation, query by query, along."""
    if path.is_dir() and (path / MANIFEST_NAME).is_file():
        evaluation = _evaluation_folder(path.resolve().parent)
        quality = quality_measurements(path, evaluation / "evaluation.json")
        return Side(path, None, tuple(bundle_measurements(path)), tuple(quality), _per_query(evaluation))
    if path.is_dir():
        raise InputError(f"{path} is no bundle: it has no {MANIFEST_NAME}; name a bundle or a report.json")
    report = read_report(path)
    return Side(path, report, report.bundle, report.quality, _per_query(_evaluation_folder(path.resolve().parent)))


def compare(old: Side, new: Side) -> list[Compared]:
    """Return the differences of everything that both sides have; raises `InputError` when they share nothing."""
    found = [*_figures("bundle", old.bundle, new.bundle), *_quality(old, new), *_devices(old, new)]
    if not found:
        raise InputError(f"{old.path} and {new.path} have no figure in common; compare two reports or two bundles")
    return found


def comparison_tables(rows: Sequence[Compared], old: str, new: str) -> Iterator[Table]:
    """Return a table a section: old, new, change with its interval, and what that means."""
    for section in dict.fromkeys(row.section for row in rows):
        lines = [
            [
                row.metric,
                _shown(row.old, row.unit),
                _shown(row.new, row.unit),
                f"{row.value:+.1%}" if row.value is not None else "-",
                f"{row.low:+.1%} … {row.high:+.1%}" if row.smallest and row.low is not None else "",
                _meaning(row),
            ]
            for row in rows
            if row.section == section
        ]
        columns = ["", "A", "B", "change", "95 % interval", "meaning"]
        yield Table(f"{section}: A is {old}, B is {new}", columns, lines)


def paired_quality(old: dict[str, float], new: dict[str, float]) -> tuple[float, float, float, int]:
    """Return the difference of the means over the queries of both, its paired bootstrap interval, and their number.

    Both are resampled with the same queries, so that hard queries do not widen the interval (Sakai 2006).
    """
    queries = sorted(old.keys() & new.keys())
    interval = bootstrap_interval(np.array([new[query] - old[query] for query in queries]), _RESAMPLES)
    return interval.mean, interval.low, interval.high, len(queries)


def _figures(section: str, old: Sequence[Measurement], new: Sequence[Measurement]) -> Iterator[Compared]:
    before = {one.metric: one for one in old}
    for one in new:
        if one.metric in before:
            yield _placed(exact_difference(one, before[one.metric]), section, one)


def _quality(old: Side, new: Side) -> Iterator[Compared]:
    before = {one.metric: one for one in old.quality}
    for one in new.quality:
        was = before.get(one.metric)
        if was is None or one.value is None or not was.value:
            continue
        system = one.metric.removeprefix("ndcg10_")
        if change := _paired_retention(old, new, was, one):
            yield _placed(change, "quality", one)
            continue
        pair = old.per_query.get(system, {}), new.per_query.get(system, {})
        if one.metric.startswith("ndcg10_") and len(pair[0].keys() & pair[1].keys()) > 1:
            value, low, high, count = paired_quality(*pair)
            base = float(np.mean(list(pair[0].values()))) or was.value
            method = f"{count} queries that both were asked, paired bootstrap"
            change = Difference(
                one.metric, was.value, one.value, value / base, low / base, high / base, (high - low) / 2 / base, method
            )
        else:
            change = _from_intervals(was, one)
        yield _placed(change, "quality", one)


def _paired_retention(old: Side, new: Side, was: Measurement, one: Measurement) -> Difference | None:
    """Return the difference of two shares of the teacher, each side's teacher resampled with its queries."""
    system = one.metric.removeprefix("ndcg10_retention_")
    sides = [(side.per_query.get(system, {}), side.per_query.get("teacher", {})) for side in (old, new)]
    queries = sorted(set.intersection(*(set(found) for side in sides for found in side)))
    if system == one.metric or len(queries) < 2 or not was.value or one.value is None:
        return None
    figures = [np.array([system[query] for query in queries]) for side in sides for system in side]
    means = resampled_means(figures, _RESAMPLES, seed=1)
    changes = [new / teacher - old / before for old, before, new, teacher in means if before > 0 and teacher > 0]
    low, high = (end / was.value for end in percentiles(changes))
    method = f"{len(queries)} queries that both were asked, paired bootstrap of both shares"
    value = one.value / was.value - 1
    return Difference(one.metric, was.value, one.value, value, low, high, (high - low) / 2, method)


def _from_intervals(old: Measurement, new: Measurement) -> Difference:
    """Return a difference of two figures with intervals of their own: apart only where these do not touch."""
    assert old.value and new.value is not None
    if None in (old.low, old.high, new.low, new.high):
        return Difference(
            new.metric, old.value, new.value, new.value / old.value - 1, reason="no interval: no word on noise"
        )
    assert old.low is not None and old.high is not None and new.low is not None and new.high is not None
    low, high = (new.low - old.high) / old.value, (new.high - old.low) / old.value
    method = "intervals of two separate evaluations"
    return Difference(new.metric, old.value, new.value, new.value / old.value - 1, low, high, (high - low) / 2, method)


def _devices(old: Side, new: Side) -> Iterator[Compared]:
    if old.report is None or new.report is None:
        return
    for device in new.report.devices:
        before = next((one for one in old.report.devices if one.device == device.device), None)
        if before is None:
            continue
        same = before.fingerprint == device.fingerprint
        calibration = device.calibration or (before.calibration if same else None)
        for one in device.measurements:
            was = before.find(one.metric, old.report.subject)
            if one.model != new.report.subject or was is None or one.value is None or was.value is None:
                continue
            if one.kind == "counted" and was.kind == "counted":
                change = exact_difference(one, was)
            else:
                change = timed_difference(one, was, same_machine=same, calibration=calibration)
            yield _placed(change, device.device, one)


def _placed(change: Difference, section: str, one: Measurement) -> Compared:
    better = METRICS[one.metric].better if one.metric in METRICS else "higher"
    fields: dict[str, Any] = dict(vars(change))
    return Compared(**fields, section=section, unit=one.unit, better=better)


def _meaning(row: Compared) -> str:
    if row.value is None or row.apart is None:
        return row.reason
    if not row.apart:
        tell = f"; {row.smallest:.1%} could be told" if row.smallest else ""
        return "the same" if row.value == 0 else f"within the noise{tell}"
    improved = (row.value < 0) == (row.better == "lower")
    return "better" if improved else "worse"


def _shown(value: float | None, unit: str) -> str:
    return f"{value:.4f}" if unit == "1" and value is not None else format_quantity(value, unit)


def _evaluation_folder(run: Path) -> Path:
    """Return the folder of a run's evaluation, whether `run` is its top or a stage's folder."""
    top = run / "stages" / "evaluate"
    return top if top.is_dir() else run.parent / "evaluate"


def _per_query(folder: Path) -> dict[str, dict[str, float]]:
    path = folder / "per_query.json"
    if not path.is_file():
        return {}
    mapping = read_json(path)
    try:
        queries = [str(query) for query in mapping["queries"]]
        return {
            str(system): dict(zip(queries, map(float, values), strict=True))
            for system, values in mapping["ndcg10"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path} is no list of figures by query; run the stage `evaluate` again") from None

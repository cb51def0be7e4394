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
from ..gate.difference import Difference, exact_difference, interval_difference, timed_difference
from ..measure.model_files import bundle_measurements, quality_measurements
from ..records.metrics import Measurement, metric_of
from ..records.report import Report, read_report
from .tables import Table, format_figure

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
    rows = [*_figures("bundle", old.bundle, new.bundle), *_quality(old, new), *_devices(old, new)]
    if not rows:
        raise InputError(f"{old.path} and {new.path} have no figure in common; compare two reports or two bundles")
    return rows


def comparison_tables(rows: Sequence[Compared], old: str, new: str) -> Iterator[Table]:
    """Return a table a section: old, new, change with its interval, and what that means."""
    for section in dict.fromkeys(row.section for row in rows):
        lines = [
            [
                row.metric,
                format_figure(row.old, row.unit),
                format_figure(row.new, row.unit),
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
    before = {measurement.metric: measurement for measurement in old}
    for measurement in new:
        if measurement.metric in before:
            yield _placed(exact_difference(measurement, before[measurement.metric]), section, measurement)


def _quality(old: Side, new: Side) -> Iterator[Compared]:
    before = {measurement.metric: measurement for measurement in old.quality}
    for after in new.quality:
        first = before.get(after.metric)
        if first is not None and first.value and after.value is not None:
            change = (
                _paired_retention(old, new, first.value, after)
                or _paired_ndcg(old, new, first.value, after)
                or interval_difference(first, after)
            )
            yield _placed(change, "quality", after)


def _paired_ndcg(old: Side, new: Side, before: float, after: Measurement) -> Difference | None:
    """Return the difference of nDCG@10 over the queries of both; None where they have none in common."""
    system = after.metric.removeprefix("ndcg10_")
    first, second = old.per_query.get(system, {}), new.per_query.get(system, {})
    if system == after.metric or len(first.keys() & second.keys()) < 2:
        return None
    value, low, high, count = paired_quality(first, second)
    base = float(np.mean(list(first.values()))) or before
    method = f"{count} common queries, paired bootstrap"
    half = (high - low) / 2 / base
    return Difference(after.metric, before, after.value, value / base, low / base, high / base, half, method)


def _paired_retention(old: Side, new: Side, before: float, after: Measurement) -> Difference | None:
    """Return the difference of two retentions, each side's teacher resampled with its queries."""
    system = after.metric.removeprefix("ndcg10_retention_")
    sides = [(side.per_query.get(system, {}), side.per_query.get("teacher", {})) for side in (old, new)]
    queries = sorted(set.intersection(*(set(figures) for side in sides for figures in side)))
    if system == after.metric or len(queries) < 2 or after.value is None:
        return None
    figures = [np.array([values[query] for query in queries]) for side in sides for values in side]
    means = resampled_means(figures, _RESAMPLES, seed=1)
    changes = [changed / second - kept / first for kept, first, changed, second in means if first > 0 and second > 0]
    low, high = (end / before for end in percentiles(changes))
    method = f"{len(queries)} common queries, paired bootstrap of both retentions"
    return Difference(after.metric, before, after.value, after.value / before - 1, low, high, (high - low) / 2, method)


def _devices(old: Side, new: Side) -> Iterator[Compared]:
    if old.report is None or new.report is None:
        return
    for device in new.report.devices:
        other = next((entry for entry in old.report.devices if entry.device == device.device), None)
        if other is None:
            continue
        same = other.fingerprint == device.fingerprint
        calibration = device.calibration or (other.calibration if same else None)
        for after in device.measurements:
            before = other.find(after.metric, old.report.subject)
            if after.model != new.report.subject or before is None or after.value is None or before.value is None:
                continue
            if after.kind == "counted" and before.kind == "counted":
                change = exact_difference(after, before)
            else:
                change = timed_difference(after, before, same_machine=same, calibration=calibration)
            yield _placed(change, device.device, after)


def _placed(change: Difference, section: str, measurement: Measurement) -> Compared:
    fields: dict[str, Any] = dict(vars(change))
    better = metric_of(measurement.metric).better
    return Compared(**fields, section=section, unit=measurement.unit, better=better)


def _meaning(row: Compared) -> str:
    if row.value is None or row.apart is None:
        return row.reason
    if not row.apart:
        smallest = f"; the smallest that could be distinguished is {row.smallest:.1%}" if row.smallest else ""
        return "the same" if row.value == 0 else f"within the noise{smallest}"
    improved = (row.value < 0) == (row.better == "lower")
    return "better" if improved else "worse"


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

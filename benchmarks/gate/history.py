"""Metrics over releases, and the release where each one changed.

Two neighbouring releases differ in a metric where their intervals lie apart and the change can be distinguished from
noise at a level that is shared by all comparisons of that metric (Bonferroni), so that a long history does not name
more releases by chance. Separate runs on one machine differ by more than their processes do, because the machine is
busy with other things at other times: their change must also exceed what the history's other steps show.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ...runtime.errors import InputError
from ..records.metrics import RATIOS, Measurement, metric_of
from ..records.releases import Release
from ..records.report import DeviceReport, Report
from ..statistics.intervals import LEVEL
from .difference import Difference, exact_difference, interval_difference, pairs_of, timed_difference
from .judge import BASELINE

_MIN_OTHERS = 3  # other steps, before the spread of a history says something
_SPREADS = 3 * 1.4826  # three standard deviations, from the median of absolute values


@dataclass(frozen=True)
class Point:
    """A metric in one release."""

    release: str
    report: Report
    measurement: Measurement
    device: DeviceReport | None = None  # None: bytes or quality


@dataclass(frozen=True)
class Step(Difference):
    """The difference of two releases, and whether it counts as a change; `reason` says why it was not decided."""

    before: str = ""
    release: str = ""
    comparable: bool = True  # same machine, unit, kind …, or measured together
    changed: bool = False


@dataclass(frozen=True)
class MetricHistory:
    """One metric of one section over the releases that have it: at least two."""

    section: str  # bundle, quality, or the device
    metric: str
    points: tuple[Point, ...]
    steps: tuple[Step, ...]  # between neighbours, one fewer than points
    overall: Step  # from the first to the last

    @property
    def unit(self) -> str:
        """Unit of the last value."""
        return self.points[-1].measurement.unit

    @property
    def better(self) -> str:
        """Direction of the metric: lower or higher."""
        return metric_of(self.metric).better

    @property
    def changes(self) -> list[Step]:
        """Return the steps that count as changes, in order."""
        return [step for step in self.steps if step.changed]

    def worse(self, step: Step) -> bool:
        """Tell whether the metric got worse in a step."""
        return ((step.new or 0.0) > (step.old or 0.0)) == (self.better == "lower")


def metric_histories(releases: Sequence[Release]) -> list[MetricHistory]:
    """Return the history of every metric that two releases have: bytes, quality, then device by device.

    Raises `InputError` for fewer than two releases, or when they share no figure.
    """
    if len(releases) < 2:
        names = ", ".join(release.name for release in releases) or "none"
        raise InputError(f"a history needs the reports of two releases or more, found {names}; add those of others")
    series: dict[tuple[str, str], list[Point]] = {}
    for release in releases:
        for section, point in _points(release):
            if point.measurement.value is not None:
                series.setdefault((section, point.measurement.metric), []).append(point)
    found = [_history(*key, points) for key, points in series.items() if len(points) > 1]
    if not found:
        raise InputError("these releases have no figure in common; measure them on the same devices")
    places = {section: place for place, section in enumerate(dict.fromkeys(history.section for history in found))}
    return sorted(found, key=lambda history: places[history.section])


def _points(release: Release) -> Iterator[tuple[str, Point]]:
    report = release.report
    for section, measurements in (("bundle", report.bundle), ("quality", report.quality)):
        for measurement in measurements:
            yield section, Point(release.name, report, measurement)
    for device in report.devices:
        for measurement in device.measurements:
            if measurement.model == report.subject:
                yield device.device, Point(release.name, report, measurement, device)


def _history(section: str, metric: str, points: Sequence[Point]) -> MetricHistory:
    neighbours = list(pairwise(points))
    level = 1 - (1 - LEVEL) / len(neighbours)
    differences = [_difference(before, after, level) for before, after in neighbours]
    sizes = [_size(difference) for difference in differences]
    steps = []
    for index, (before, after) in enumerate(neighbours):
        others = [size for size in (*sizes[:index], *sizes[index + 1 :]) if size is not None]
        steps.append(_step(before, after, differences[index], _spread(others)))
    overall = _difference(points[0], points[-1], LEVEL)
    every = [size for size in sizes if size is not None]
    return MetricHistory(
        section, metric, tuple(points), tuple(steps), _step(points[0], points[-1], overall, _spread(every))
    )


def _difference(before: Point, after: Point, level: float) -> Difference:
    """Return how two releases differ in a metric, or why they are not compared."""
    old, new, device = before.measurement, after.measurement, after.device
    baseline = _measured_together(before, after)
    if baseline is not None and device is not None:
        pairs = pairs_of(device, new.metric, after.report.subject, BASELINE)
        return timed_difference(new, baseline, pairs, calibration=device.calibration, level=level)
    reason = _not_comparable(before, after)
    if reason:
        return Difference(new.metric, old.value, new.value, reason=reason)
    if _is_exact(old) and _is_exact(new):
        return exact_difference(new, old)
    if device is None or new.kind == "counted":
        return interval_difference(new, old)
    calibration = device.calibration or (before.device.calibration if before.device else None)
    return timed_difference(new, old, calibration=calibration, level=level)


def _measured_together(before: Point, after: Point) -> Measurement | None:
    """Return the older release's measurement in the newer report, where both were measured interleaved."""
    if after.device is None or after.measurement.kind == "counted":
        return None
    files = {(model.model_sha256, model.tokenizer_sha256) for model in after.report.models if model.name == BASELINE}
    subject = next((model for model in before.report.models if model.name == before.report.subject), None)
    if subject is None or (subject.model_sha256, subject.tokenizer_sha256) not in files:
        return None
    return after.device.find(after.measurement.metric, BASELINE)


def _not_comparable(before: Point, after: Point) -> str:
    """Return why a measurement says nothing, or which condition of the two differs, or nothing."""
    for point in (before, after):
        unusable = point.device.why_unusable(point.report.subject) if point.device else ""
        if unusable:
            return unusable
    old, new = _conditions(before), _conditions(after)
    return next((f"another {name}" for name in old if old[name] != new[name]), "")


def _conditions(point: Point) -> dict[str, object]:
    measurement, report = point.measurement, point.report
    conditions: dict[str, object] = {
        "kind of value": measurement.kind,
        "source of energy": measurement.source,
        "number of queries": 0,
        "machine": "",
        "set of texts": "",
        "reference model": "",
    }
    if point.device is None:
        conditions["number of queries"] = measurement.count
    else:
        conditions["machine"] = point.device.fingerprint
        conditions["set of texts"] = report.texts.sha256
        if measurement.metric in RATIOS:
            reference = next(model for model in report.models if model.name == report.reference)
            conditions["reference model"] = (reference.model_sha256, reference.tokenizer_sha256)
    return conditions


def _is_exact(measurement: Measurement) -> bool:
    return measurement.kind == "counted" and measurement.low == measurement.high


def _size(difference: Difference) -> float | None:
    """Return the size of a step of separate runs, in logarithms; nothing where it was not compared or is no noise."""
    if difference.value is None or not difference.smallest or difference.value <= -1:
        return None
    return abs(math.log1p(difference.value))


def _spread(sizes: Sequence[float]) -> float:
    """Return how large a step separate runs may show by themselves; 0 where too few steps say so."""
    return _SPREADS * median(sizes) if len(sizes) >= _MIN_OTHERS else 0.0


def _step(before: Point, after: Point, difference: Difference, spread: float) -> Step:
    """Decide whether a difference is a change."""
    old, new = before.measurement, after.measurement
    comparable = _measured_together(before, after) is not None or not _not_comparable(before, after)
    if comparable and _is_exact(old) and _is_exact(new):
        changed, reason = old.value != new.value, ""
    else:
        changed = bool(difference.apart)
        reason = _doubt(before, after, difference, spread) if changed else difference.reason
    fields = {**vars(difference), "reason": reason}
    return Step(
        **fields,
        before=before.release,
        release=after.release,
        comparable=comparable,
        changed=changed and not reason,
    )


def _doubt(before: Point, after: Point, difference: Difference, spread: float) -> str:
    """Return why a difference that can be distinguished within its runs is no change of the release, or nothing."""
    old, new = before.measurement, after.measurement
    if _measured_together(before, after) is not None or new.kind == "counted" or after.device is None:
        return ""
    if _overlap(old, new):
        return "the intervals overlap"
    for point in (before, after):
        if metric_of(new.metric).timing and new.metric not in RATIOS and point.measurement.stability != "stable":
            return f"{point.release} was not measured stably ({point.measurement.stability})"
    size = _size(difference)
    if size is not None and size <= spread:
        return f"separate runs here differ by up to {math.expm1(spread):.1%}"
    return ""


def _overlap(old: Measurement, new: Measurement) -> bool:
    if old.low is None or old.high is None or new.low is None or new.high is None:
        return False
    return new.low <= old.high and old.low <= new.high

"""How two measurements of one metric differ, and whether the difference can be distinguished from noise."""

import dataclasses
import functools
import math
from dataclasses import dataclass

from ..measure.calibration import half_width
from ..records.metrics import Measurement, metric_of
from ..records.report import Calibration, DeviceReport
from ..statistics import intervals as statistics
from ..statistics.signed_rank import paired_change


@dataclass(frozen=True)
class Difference:
    """A relative change with its interval, or the reason why there is none. 0.1 is ten percent more than before."""

    metric: str
    old: float | None
    new: float | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    smallest: float | None = None  # change that these measurements can distinguish from none; 0: exact
    method: str = ""
    reason: str = ""
    advice: str = ""

    @property
    def apart(self) -> bool | None:
        """Whether old and new can be distinguished; None when nobody can say."""
        if self.low is None or self.high is None:
            return None
        return self.low > 0 or self.high < 0

    def worsening(self) -> "Difference":
        """Return the same with the sign of its metric: more is worse, whichever direction the metric has."""
        if metric_of(self.metric).better == "lower" or self.value is None or self.low is None or self.high is None:
            return self
        value, low, high = (
            round(1 / (1 + change) - 1, 12) if change > -1 else math.inf for change in (self.value, self.high, self.low)
        )
        return dataclasses.replace(self, value=value, low=low, high=high)


def exact_difference(new: Measurement, old: Measurement) -> Difference:
    """Return the change of a figure that has no noise: bytes, instructions, quality on one test set."""
    if new.value is None or not old.value:
        return Difference(new.metric, old.value, new.value, reason="a value is absent or zero")
    # 1020 over 1000 is exactly 2 %, whatever binary fractions say.
    change = round(new.value / old.value - 1, 12)
    return Difference(new.metric, old.value, new.value, change, change, change, 0.0, "counted")


def interval_difference(new: Measurement, old: Measurement) -> Difference:
    """Return the change of two figures with intervals of their own: apart only where these do not touch."""
    if new.value is None or not old.value:
        return Difference(new.metric, old.value, new.value, reason="a value is absent or zero")
    value = new.value / old.value - 1
    if old.low is None or old.high is None or new.low is None or new.high is None:
        return Difference(new.metric, old.value, new.value, value, reason="no interval: no word on noise")
    low, high = (new.low - old.high) / old.value, (new.high - old.low) / old.value
    method = "intervals of two separate evaluations"
    return Difference(new.metric, old.value, new.value, value, low, high, (high - low) / 2, method)


def timed_difference(
    new: Measurement,
    old: Measurement,
    pairs: tuple[list[float], list[float]] | None = None,
    same_machine: bool = True,
    calibration: Calibration | None = None,
    level: float = statistics.LEVEL,
) -> Difference:
    """Return the change of a figure that differs from process to process.

    `pairs` holds the values of both by repetition when they were interleaved in one run; that is what makes small
    changes visible on a busy machine. `calibration` widens the interval to the device's own noise where that is larger.
    """
    difference = functools.partial(Difference, new.metric, old.value, new.value)
    if not same_machine:
        return difference(
            reason="the baseline release was measured on another machine or with other libraries",
            advice="measure both in one run with --baseline-bundle, or gate on bytes and instructions, which do not "
            "depend on the machine",
        )
    groups = pairs if pairs is not None else (list(new.processes), list(old.processes))
    if min(map(len, groups)) < 2 or min(min(group) for group in groups) <= 0:
        return difference(
            reason="one process says nothing about noise", advice="at least two repetitions in both reports"
        )
    change = paired_change(*groups, level) if pairs is not None else statistics.change(*groups, level)
    assert change is not None  # two or more processes on both sides
    low, high = math.log1p(change.low), math.log1p(change.high)
    smallest = (high - low) / 2
    if pairs is not None:
        counts, method = [len(groups[0])], f"{len(groups[0])} interleaved pairs, signed ranks"
    else:
        counts = [len(group) for group in groups]
        method = f"{counts[0]} and {counts[1]} processes of two runs, Welch"
    if calibration is not None:
        known = half_width(calibration, new.metric, counts, pairs is not None, change.level)
        if known > smallest:
            center = math.log1p(change.value)
            smallest, low, high = known, center - known, center + known
            method += f", interval after the device's noise in {calibration.pairs} A/A pairs"
    return difference(change.value, math.expm1(low), math.expm1(high), math.expm1(smallest), method)


def pairs_of(device: DeviceReport, metric: str, new: str, old: str) -> tuple[list[float], list[float]]:
    """Return the values of a metric for two models that were interleaved on a device, matched by repetition."""
    first, second = (_by_repetition(device, metric, model) for model in (new, old))
    both = sorted(first.keys() & second.keys())
    return [first[repetition] for repetition in both], [second[repetition] for repetition in both]


def _by_repetition(device: DeviceReport, metric: str, model: str) -> dict[int, float]:
    measurement = device.find(metric, model)
    done = [run.repetition for run in device.runs if run.model == model and run.outcome == "ok"]
    values = measurement.processes if measurement else ()
    return dict(zip(done, values, strict=True)) if len(done) == len(values) else {}

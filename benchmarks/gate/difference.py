"""How two measurements of one metric differ, and whether the difference can be told from noise."""

import dataclasses
import math
from dataclasses import dataclass

from ..measure.calibration import half_width
from ..records.metrics import METRICS, Measurement
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
    smallest: float | None = None  # change that these measurements can tell from none; 0: exact
    method: str = ""
    reason: str = ""
    advice: str = ""

    @property
    def apart(self) -> bool | None:
        """Whether old and new can be told apart; None when nobody can say."""
        if self.low is None or self.high is None:
            return None
        return self.low > 0 or self.high < 0

    def worsening(self) -> "Difference":
        """Return the same with the sign of its metric: more is worse, whichever direction the metric has."""
        higher = METRICS[self.metric].better == "higher" if self.metric in METRICS else True
        if not higher or self.value is None or self.low is None or self.high is None:
            return self
        value, low, high = (
            round(1 / (1 + one) - 1, 12) if one > -1 else math.inf for one in (self.value, self.high, self.low)
        )
        return dataclasses.replace(self, value=value, low=low, high=high)


def exact_difference(new: Measurement, old: Measurement) -> Difference:
    """Return the change of a figure that has no noise: bytes, instructions, quality on one test set."""
    if new.value is None or not old.value:
        return Difference(new.metric, old.value, new.value, reason="a value is absent or zero")
    # 1020 over 1000 is exactly 2 %, whatever binary fractions say.
    change = round(new.value / old.value - 1, 12)
    return Difference(new.metric, old.value, new.value, change, change, change, 0.0, "counted")


def timed_difference(
    new: Measurement,
    old: Measurement,
    pairs: tuple[list[float], list[float]] | None = None,
    same_machine: bool = True,
    calibration: Calibration | None = None,
) -> Difference:
    """Return the change of a figure that differs from process to process.

    `pairs` holds the values of both by repetition when they took turns in one run; that is what makes small changes
    visible on a busy machine. `calibration` widens the interval to the device's own noise where that is larger.
    """
    metric = new.metric
    if not same_machine:
        return Difference(
            metric,
            old.value,
            new.value,
            reason="the baseline was measured on another machine or with other libraries",
            advice="measure both in one run with --baseline-bundle, or gate on bytes and instructions, which do not "
            "depend on the machine",
        )
    groups = pairs if pairs is not None else (list(new.processes), list(old.processes))
    if min(map(len, groups)) < 2 or min(min(group) for group in groups) <= 0:
        return Difference(
            metric,
            old.value,
            new.value,
            reason="one process says nothing about noise",
            advice="at least two repetitions in both reports",
        )
    change = paired_change(*groups) if pairs is not None else statistics.change(*groups)
    assert change is not None  # two or more processes on both sides
    low, high = math.log1p(change.low), math.log1p(change.high)
    smallest = (high - low) / 2
    method = f"{len(groups[0])} pairs, taking turns" if pairs is not None else f"{len(groups[0])} and {len(groups[1])}"
    method += ", signed ranks" if pairs is not None else " processes of two runs, Welch"
    if calibration is not None:
        counts = [len(groups[0])] if pairs is not None else [len(group) for group in groups]
        known = half_width(calibration, metric, counts, pairs is not None, change.level)
        if known > smallest:
            center = math.log1p(change.value)
            smallest, low, high = known, center - known, center + known
            method += f", interval after the device's noise in {calibration.pairs} A/A pairs"
    return Difference(
        metric,
        old.value,
        new.value,
        change.value,
        math.expm1(low),
        math.expm1(high),
        math.expm1(smallest),
        method,
    )


def pairs_of(device: DeviceReport, metric: str, new: str, old: str) -> tuple[list[float], list[float]]:
    """Return the values of a metric for two models that took turns on a device, matched by repetition."""
    first, second = (_by_repetition(device, metric, model) for model in (new, old))
    both = sorted(first.keys() & second.keys())
    return [first[one] for one in both], [second[one] for one in both]


def _by_repetition(device: DeviceReport, metric: str, model: str) -> dict[int, float]:
    found = device.find(metric, model)
    done = [run.repetition for run in device.runs if run.model == model and run.outcome == "ok"]
    values = found.processes if found else ()
    return dict(zip(done, values, strict=True)) if len(done) == len(values) else {}

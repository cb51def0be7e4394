"""Keep a model busy for minutes and watch: does the board hold its speed?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...devices.targets.base import Target
from ..records.report import Sustained, Window, unpack
from ..statistics.intervals import quantile
from .throttling import CLOCK_FALL, throttling
from .worker_process import MeasureSettings, run_worker

SLOWER = 0.05  # of the throughput, from the first to the last quarter


def measure_sustained(model: str, request: Mapping[str, Any], target: Target, settings: MeasureSettings) -> Sustained:
    """Run one process for `settings.sustained_seconds` and return its windows with a verdict."""
    changes = {"sustained_seconds": settings.sustained_seconds, "min_seconds": 0.0, "min_queries": 1}
    run, result = run_worker(target, {**request, **changes}, settings.timeout + settings.sustained_seconds)
    if run.outcome != "ok":
        return Sustained(model, (), f"{run.outcome}: {run.detail}", None)
    first = result["conditions"]["before"].get("throttled")
    windows = tuple(_window(window) for window in result["windows"])
    return Sustained(model, windows, *judge(windows, first))


def judge(windows: Sequence[Window], throttled_before: int | None) -> tuple[str, float | None]:
    """Return a verdict in words, and the relative change of throughput from the first to the last quarter."""
    quarter = len(windows) // 4
    if quarter < 1:
        return "too short to tell: four windows are needed", None
    speeds = [window.throughput for window in windows]
    change = float(np.median(speeds[-quarter:]) / np.median(speeds[:quarter]) - 1)
    reasons: dict[str, None] = {}
    for window in windows:
        reasons |= dict.fromkeys(throttling(window.throttled, throttled_before))
    clocks = [window.megahertz for window in windows if window.megahertz]
    if clocks and 1 - min(clocks) / max(clocks) > CLOCK_FALL:
        reasons[f"the clock fell from {max(clocks):.0f} to {min(clocks):.0f} MHz"] = None
    if change < -SLOWER:
        reasons[f"the last quarter is {-change:.0%} slower than the first"] = None
    return "; ".join(reasons) or "held its speed", change


def _window(window: Mapping[str, Any]) -> Window:
    samples = np.sort(unpack(window["latency_ns"])) / 1e9
    conditions = window["conditions"]
    return Window(
        start=round(window["start"], 3),
        count=window["count"],
        throughput=window["count"] / window["wall"],
        cpu_share=window["cpu"] / window["wall"],
        latency_p50=quantile(samples, 0.5),
        megahertz=conditions.get("megahertz"),
        celsius=conditions.get("celsius"),
        throttled=conditions.get("throttled"),
    )

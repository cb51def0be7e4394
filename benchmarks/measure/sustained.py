"""Keep a model busy for minutes and watch: does the board hold its speed?"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..records.report import DeviceReport, Sustained, Window, unpack
from ..statistics.intervals import quantile
from .session import ModelFiles, Session
from .throttling import CLOCK_FALL, throttle_reasons

SLOWER = 0.05  # of the throughput, from the first to the last quarter


def measure_sustained(session: Session, report: DeviceReport) -> DeviceReport:
    """Add one long process of each model that runs here, in windows, with a verdict."""
    name = session.target.profile.name
    if not session.settings.sustained_seconds:
        return report
    if not session.target.has_wall_time:
        session.progress.note(f"{name}: no sustained run, an emulated processor does not grow hot")
        return report
    models = session.running(report)
    rows = []
    with session.progress.task(f"sustained on {name}", len(models), "models") as task:
        for model in models:
            rows.append(_run(session, model))
            task.advance()
    return dataclasses.replace(report, sustained=tuple(rows))


def _run(session: Session, model: ModelFiles) -> Sustained:
    seconds = session.settings.sustained_seconds
    changes = {"sustained_seconds": seconds, "min_seconds": 0.0, "min_queries": 1}
    run, answer = session.run_worker(model, changes, seconds)
    if run.outcome != "ok":
        return Sustained(model.name, (), f"{run.outcome}: {run.detail}", None)
    windows = tuple(map(_window, answer["windows"]))
    return Sustained(model.name, windows, *judge(windows, answer["conditions"]["before"].get("throttled")))


def judge(windows: Sequence[Window], throttled_before: int | None) -> tuple[str, float | None]:
    """Return a verdict in words, and the relative change of throughput from the first to the last quarter."""
    quarter = len(windows) // 4
    if quarter < 1:
        return "too short to tell: four windows are needed", None
    speeds = [window.throughput for window in windows]
    change = float(np.median(speeds[-quarter:]) / np.median(speeds[:quarter]) - 1)
    reasons: dict[str, None] = {}
    for window in windows:
        reasons |= dict.fromkeys(throttle_reasons(window.throttled, throttled_before))
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

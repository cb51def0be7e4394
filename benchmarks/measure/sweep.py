"""How cost grows with threads, text length and batch: one of them varies, the others stay."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...devices.targets.base import Target
from ...runtime.errors import InputError
from ..records.report import DeviceReport, Run, SweepPoint, unpack
from ..statistics import intervals as statistics
from .session import ModelFiles, Session

_REPETITIONS = 3  # processes of each point, at most


def parse_sweeps(words: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the sweeps that words such as `length=8,32,128` ask for."""
    sweeps: dict[str, tuple[int, ...]] = {}
    for word in words:
        axis, _, values = word.partition("=")
        try:
            sweeps[axis] = tuple(int(value) for value in values.split(","))
        except ValueError:
            raise InputError(f"--sweep {word}: write an axis and whole numbers, such as length=8,32,128") from None
    return sweeps


def measure_sweeps(session: Session, report: DeviceReport) -> DeviceReport:
    """Add every point of every sweep; models are interleaved at each of them."""
    points = [(axis, value) for axis, values in session.settings.sweeps.items() for value in values]
    models = session.running(report)
    if not points or not models:
        return report
    repetitions = min(session.settings.repetitions, _REPETITIONS)
    total = len(points) * len(models) * repetitions
    rows = []
    with session.progress.task(f"sweeps on {session.target.profile.name}", total, "processes") as task:
        for axis, value in points:
            changes = {model.name: _changes(axis, value, model, session.requests[model.name]) for model in models}
            runs: dict[str, list[Run]] = {model.name: [] for model in models}
            for _ in range(repetitions):
                for model in models:
                    change = changes[model.name]
                    if change is not None:
                        runs[model.name].append(session.run_worker(model, change)[0])
                    task.advance()
            rows += [_point(model, axis, value, runs[model.name], session.target) for model in models]
    return dataclasses.replace(report, sweeps=tuple(rows))


def texts_of_length(model: ModelFiles, texts: Sequence[str], tokens: int) -> list[str]:
    """Return texts that the model's tokenizer turns into at least `tokens` tokens, and hardly more.

    Each one begins with another of `texts` and goes on with those that follow.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model.tokenizer))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    lengthened = []
    for start in range(len(texts)):
        words = " ".join([*texts[start:], *texts[:start]]).split()
        text = ""
        # The limit: texts without a single known sign never reach any length.
        for word in itertools.islice(itertools.cycle(words), len(words) * tokens):
            text = f"{text} {word}".strip()
            if len(tokenizer.encode(model.prompt + text).ids) >= tokens:
                break
        lengthened.append(text)
    return lengthened


def _changes(axis: str, value: int, model: ModelFiles, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the request of a point differs in; None for a text that the model cannot take whole."""
    if axis == "threads":
        return {"threads": value, "marks": bool(request.get("marks")) and value == 1}
    if axis == "batch":
        return {"batch": value}
    if value > model.max_length:
        return None
    return {"texts": texts_of_length(model, request["texts"], value), "max_length": value}


def _point(model: ModelFiles, axis: str, value: int, runs: Sequence[Run], target: Target) -> SweepPoint:
    good = [run for run in runs if run.outcome == "ok"]
    if not runs:
        return SweepPoint(model.name, axis, value, reason=f"the model takes at most {model.max_length} tokens")
    if not good:
        return SweepPoint(model.name, axis, value, reason=f"{runs[-1].outcome}: {runs[-1].detail}")
    batch = value if axis == "batch" else 1
    counted = [run.observed["instructions"] / (run.count * batch) for run in good if "instructions" in run.observed]
    peaks = [run.peak_rss for run in good if run.peak_rss is not None]
    point = SweepPoint(
        model.name,
        axis,
        value,
        mean_tokens=good[0].mean_tokens,
        peak_rss=float(np.median(peaks)) if peaks else None,
        instructions=float(np.median(counted)) if counted else None,
        kind="emulated" if target.is_emulated else "measured",
    )
    if not target.has_wall_time:
        return point
    rates = [run.count * batch / run.wall for run in good]
    rate, between = float(np.median(rates)), statistics.between_processes(rates)
    bounds = between.including(rate) if between else None
    medians = [statistics.quantile(np.sort(unpack(run.latency_ns)), 0.5) / 1e9 for run in good]
    return dataclasses.replace(
        point,
        throughput=rate,
        throughput_low=bounds.low if bounds else None,
        throughput_high=bounds.high if bounds else None,
        latency_p50=float(np.median(medians)) if target.cpu_quota >= 1 else None,
    )

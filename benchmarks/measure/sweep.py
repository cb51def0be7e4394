"""How cost grows with threads, text length and batch: one of them varies, the others stay."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...devices.targets.base import Target
from ...runtime.errors import InputError
from ...runtime.progress import Task
from ..records.report import Run, SweepPoint, unpack
from ..statistics import intervals as statistics
from .worker_process import MeasureSettings, ModelFiles, run_worker

_REPETITIONS = 3


def parse_sweeps(words: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the sweeps that words such as `length=8,32,128` ask for."""
    found: dict[str, tuple[int, ...]] = {}
    for word in words:
        axis, _, values = word.partition("=")
        try:
            found[axis] = tuple(int(value) for value in values.split(","))
        except ValueError:
            raise InputError(f"--sweep {word}: write an axis and whole numbers, such as length=8,32,128") from None
    return found


def sweep_repetitions(settings: MeasureSettings) -> int:
    """Return how many processes measure each point of a sweep."""
    return min(settings.repetitions, _REPETITIONS)


def measure_sweeps(
    models: Sequence[ModelFiles],
    requests: Mapping[str, Mapping[str, Any]],
    target: Target,
    settings: MeasureSettings,
    task: Task,
) -> list[SweepPoint]:
    """Return every point of every sweep; models take turns at each of them."""
    points = []
    for axis, values in settings.sweeps.items():
        for value in values:
            runs: dict[str, list[Run]] = {model.name: [] for model in models}
            for _ in range(sweep_repetitions(settings)):
                for model in models:
                    changes = _changes(axis, value, model, requests[model.name])
                    if changes is not None:
                        run, _ = run_worker(target, {**requests[model.name], **changes}, settings.timeout)
                        runs[model.name].append(run)
                    task.advance()
            points += [_point(model, axis, value, runs[model.name], target) for model in models]
    return points


def texts_of_length(model: ModelFiles, texts: Sequence[str], tokens: int) -> list[str]:
    """Return texts that the model's tokenizer turns into at least `tokens` tokens, and hardly more.

    Each one begins with another of `texts` and goes on with those that follow.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model.tokenizer))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    words = [text.split() for text in texts]
    found = []
    for start in range(len(texts)):
        text, index = "", 0
        while len(tokenizer.encode(model.prompt + text).ids) < tokens:
            following = words[(start + index) % len(words)]
            for word in following:
                text = f"{text} {word}".strip()
                if len(tokenizer.encode(model.prompt + text).ids) >= tokens:
                    break
            index += 1
            if index > len(words) + tokens:
                break  # texts without a single known sign: truncation cannot be reached
        found.append(text)
    return found


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
    point: dict[str, Any] = {
        "mean_tokens": good[0].mean_tokens,
        "peak_rss": float(np.median(peaks)) if peaks else None,
        "instructions": float(np.median(counted)) if counted else None,
        "kind": "emulated" if target.is_emulated else "measured",
    }
    if target.timed:
        rates = [run.count * batch / run.wall for run in good]
        between = statistics.between_processes(rates)
        point |= {
            "throughput": float(np.median(rates)),
            "throughput_low": min(between.low, float(np.median(rates))) if between else None,
            "throughput_high": max(between.high, float(np.median(rates))) if between else None,
        }
        if target.share >= 1:
            medians = [statistics.quantile(np.sort(unpack(run.latency_ns)), 0.5) / 1e9 for run in good]
            point["latency_p50"] = float(np.median(medians))
    return SweepPoint(model.name, axis, value, **point)

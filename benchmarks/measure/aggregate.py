"""From raw processes to measurements: percentiles where the sample supports them, intervals, stability, ratios."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..records.metrics import METRICS, RATIOS, Kind, Measurement
from ..records.report import DeviceReport, Run, unpack
from ..statistics import intervals as statistics
from .session import Session
from .throttling import throttling

_PERCENTILES = (("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99))
_PHASES = ("interpreter", "import", "tokenizer", "session", "first")
_QUOTA = "a quota stops a process between its queries and does not slow a query down; see throughput"
_STOPPED = ("latency_p50", "latency_p95", "latency_p99", "tokenize_p50", "latency_p50_ratio", "latency_p95_ratio")


def aggregate_runs(
    runs: Sequence[Run], model: str, device: str, has_wall_time: bool = True, cpu_quota: float = 1.0
) -> list[Measurement]:
    """Return every measurement of one model on one device; `runs` are its processes in order.

    `device` is the fingerprint. Without `has_wall_time` (emulation) seconds are left out with the reason. `cpu_quota`
    is what a quota leaves of the processor's time.
    """
    good = [run for run in runs if run.outcome == "ok"]
    if not good:
        reason = f"no process finished: {runs[-1].outcome} ({runs[-1].detail})" if runs else "nothing was run"
        names = ("latency_p50", "cold_start", "peak_rss", "energy_per_query")
        rows = [absent(name, "fresh processes", reason) for name in names]
    else:
        if has_wall_time:
            rows = [*_times(good, cpu_quota), *_cold_start(good, cpu_quota)]
        else:
            reason = "the seconds of an emulated processor say nothing about the real one"
            rows = [absent(name, "emulation", reason) for name in ("latency_p50", "cold_start")]
        rows += [*_instructions(good), *_memory(good)]
    return [dataclasses.replace(row, model=model, device=device) for row in rows]


def absent(metric: str, method: str, reason: str, count: int = 0) -> Measurement:
    """Return a measurement without a value, and why."""
    return Measurement(metric, METRICS[metric].unit, "measured", method, count=count, reason=reason)


def from_processes(metric: str, values: Sequence[float], method: str, stability: str = "stable") -> Measurement:
    """Return the median of one value a process, with an interval between processes."""
    facts = {"count": len(values), "processes": tuple(values), "stability": stability}
    return _measured(metric, method, float(np.median(values)), statistics.between_processes(values), **facts)


def _measured(
    metric: str, method: str, value: float, interval: statistics.Interval | None, kind: Kind = "measured", **facts: Any
) -> Measurement:
    """Return a measurement with its interval, which is widened to hold the value; `facts` are its other fields."""
    bounds = interval.including(value) if interval else None
    ends = {"low": bounds.low, "high": bounds.high, "level": bounds.level} if bounds else {}
    return Measurement(metric, METRICS[metric].unit, kind, method, value=value, **ends, **facts)


def _times(runs: Sequence[Run], cpu_quota: float) -> list[Measurement]:
    samples = [np.sort(unpack(run.latency_ns)) / 1e9 for run in runs]
    drifts = [statistics.drift(unpack(run.latency_ns)) for run in runs]
    pooled = np.sort(np.concatenate(samples))
    medians = [statistics.quantile(sample, 0.5) for sample in samples]
    stability = statistics.stability(medians, drifts, _cpu_shares(runs, cpu_quota))
    reasons = throttling(runs)
    if reasons:
        stability = "; ".join([f"throttled: {', '.join(reasons)}", *([] if stability == "stable" else [stability])])
    rows = []
    method = f"{len(runs)} processes, pooled; interval: order statistics and between processes"
    for metric, q in _PERCENTILES:
        needed = statistics.required_count(q)
        if len(pooled) < needed:
            reason = f"{len(pooled)} samples, {needed} are needed to bound this percentile with 95 % confidence"
            rows.append(absent(metric, method, reason, count=len(pooled)))
            continue
        values = [statistics.quantile(sample, q) for sample in samples]
        interval = statistics.quantile_interval(pooled, q)
        between = statistics.between_processes(values)
        interval = interval.union(between) if between else interval
        facts = {"count": len(pooled), "processes": tuple(values), "stability": stability}
        rows.append(_measured(metric, method, statistics.quantile(pooled, q), interval, **facts))
    tokenizing = [statistics.quantile(np.sort(unpack(run.tokenize_ns)) / 1e9, 0.5) for run in runs]
    rates = [run.count / run.wall for run in runs]
    cpu = [run.cpu / run.count for run in runs]
    rows.append(from_processes("tokenize_p50", tokenizing, "median in each process", stability))
    rows.append(from_processes("throughput", rates, "queries over wall time, one thread", stability))
    rows.append(from_processes("cpu_per_query", cpu, "CPU time of the process over queries", stability))
    return rows


def _cpu_shares(runs: Sequence[Run], cpu_quota: float) -> list[float]:
    return [run.cpu / run.wall / cpu_quota for run in runs]


def _cold_start(runs: Sequence[Run], cpu_quota: float) -> list[Measurement]:
    method = "fresh process, files in the page cache; reading the request is not counted"
    unknown = "the start of the process is not known on this device"
    parts = [
        _if_complete(f"cold_start_{phase}", [run.phases.get(phase) for run in runs], method, unknown)
        for phase in _PHASES
    ]
    if any(part.value is None for part in parts):
        return [absent("cold_start", method, "one of its parts is absent"), *parts]
    sums = [sum(run.phases[phase] for phase in _PHASES) for run in runs]
    spread = statistics.relative_spread(sums)
    # What kept the processor from the queries kept it from the start that came just before.
    stability = statistics.stability([], [], _cpu_shares(runs, cpu_quota))
    if spread > statistics.MAX_SPREAD:
        noisy = f"noisy: processes differ by {spread:.0%}"
        stability = noisy if stability == "stable" else f"{stability}; {noisy}"
    return [from_processes("cold_start", sums, method, stability), *parts]


def _memory(runs: Sequence[Run]) -> list[Measurement]:
    def rss(run: Run, stage: str) -> int | None:
        return run.memory.get(stage, {}).get("rss")

    def added(later: int | None, earlier: int | None) -> int | None:
        return None if later is None or earlier is None else later - earlier

    columns: dict[str, Callable[[Run], int | None]] = {
        "peak_rss": lambda run: run.peak_rss,
        "peak_rss_added": lambda run: added(run.peak_rss, rss(run, "import")),
        "settled_rss": lambda run: rss(run, "settled"),
        "settled_pss": lambda run: run.memory.get("settled", {}).get("pss"),
        "interpreter_rss": lambda run: rss(run, "interpreter"),
        "libraries_rss": lambda run: added(rss(run, "import"), rss(run, "interpreter")),
        "tokenizer_rss": lambda run: added(rss(run, "tokenizer"), rss(run, "import")),
        "model_rss": lambda run: added(rss(run, "first"), rss(run, "tokenizer")),
    }
    method, unknown = "VmHWM and smaps_rollup of the process", "this kernel does not show it"
    return [_if_complete(metric, [of(run) for run in runs], method, unknown) for metric, of in columns.items()]


def _if_complete(metric: str, values: Sequence[float | None], method: str, unknown: str) -> Measurement:
    """Return the measurement when every process has a value, else that it is absent because it is `unknown`."""
    known = [float(value) for value in values if value is not None]
    return from_processes(metric, known, method) if len(known) == len(values) else absent(metric, method, unknown)


def _instructions(runs: Sequence[Run]) -> list[Measurement]:
    """Return the instructions per query where something counted them; the interval is all that was seen."""
    values = [run.observed["instructions"] / run.count for run in runs if "instructions" in run.observed]
    if not values:
        return []
    method = f"instructions between two marks around {runs[0].count} queries, median of {len(values)} processes"
    row = from_processes("instructions_per_query", values, method)
    return [dataclasses.replace(row, kind="counted", low=min(values), high=max(values), level=None)]


def compare_with_reference(session: Session, report: DeviceReport) -> DeviceReport:
    """Add the ratios of every other model to the second one, paired by repetition (the runs were interleaved)."""
    if len(session.models) < 2:
        return report
    reference = session.models[1].name
    rows = [
        ratio for model in session.models if model.name != reference for ratio in _ratios(report, model.name, reference)
    ]
    return dataclasses.replace(report, measurements=(*report.measurements, *rows))


def _ratios(report: DeviceReport, model: str, reference: str) -> list[Measurement]:
    rows = []
    for name, metric in RATIOS.items():
        above, below = report.find(metric, model), report.find(metric, reference)
        if above is not None and below is not None:
            row = _ratio(name, above, below)
            rows.append(dataclasses.replace(row, model=model, device=above.device))
    return rows


def _ratio(name: str, above: Measurement, below: Measurement) -> Measurement:
    method = f"{above.metric} over that of {below.model}, paired by repetition of the same run"
    for row in (above, below):
        if row.value is None:
            return absent(name, method, f"{row.metric} of {row.model}: {row.reason}")
    pairs = min(len(above.processes), len(below.processes))
    if not pairs or min(below.processes) <= 0 or min(above.processes) <= 0:
        return absent(name, method, "no repetition has both values")
    value, interval = statistics.paired_ratio(above.processes[:pairs], below.processes[:pairs])
    values = [x / y for x, y in zip(above.processes, below.processes, strict=False)]
    spread = statistics.relative_spread(values)
    kind = "estimated" if "estimated" in (above.kind, below.kind) else above.kind
    stability = "stable" if spread <= statistics.MAX_SPREAD else f"noisy: repetitions differ by {spread:.0%}"
    facts = {"count": pairs, "processes": tuple(values), "stability": stability, "source": above.source}
    return _measured(name, method, value, interval, kind, **facts)


def mark_emulated(session: Session, report: DeviceReport) -> DeviceReport:
    """Mark what was measured on a machine that plays the device, and leave out what would mislead."""
    target = session.target
    if not target.is_emulated:
        return report
    limits = ", ".join(f"{key}: {text}" for key, text in target.limits.items() if key not in ("system", "counter"))
    under_quota = target.has_wall_time and target.cpu_quota < 1

    def marked(row: Measurement) -> Measurement:
        if under_quota and row.metric in _STOPPED:
            row = dataclasses.replace(row, value=None, low=None, high=None, level=None, processes=())
            return dataclasses.replace(row, kind="emulated", stability="stable", reason=_QUOTA)
        if row.kind != "measured":
            return row
        return dataclasses.replace(row, kind="emulated", method=f"{row.method}; {target.kind} ({limits})")

    return dataclasses.replace(
        report,
        measurements=tuple(map(marked, report.measurements)),
        overhead=tuple(map(marked, report.overhead)),
    )

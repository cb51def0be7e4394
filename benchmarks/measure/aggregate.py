"""From raw processes to measurements: percentiles where the sample supports them, intervals, stability, ratios."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..records.metrics import METRICS, RATIOS, Measurement
from ..records.report import Run, unpack
from ..statistics import intervals as statistics
from .energy import EnergyReading
from .throttling import disturbances

_PERCENTILES = (("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99))
_PHASES = ("interpreter", "import", "tokenizer", "session", "first")


def summarize(
    runs: Sequence[Run],
    model: str,
    device: str,
    timed: bool,
    energy: EnergyReading | None,
    share: float = 1.0,
) -> list[Measurement]:
    """Return every measurement of one model on one device; `runs` are its processes in order.

    `device` is the fingerprint. Where `timed` is false (emulation), seconds are left out with the reason. `share` is
    what a quota leaves of the processor's time.
    """
    good = [run for run in runs if run.outcome == "ok"]
    if not good:
        last = runs[-1] if runs else None
        reason = f"no process finished: {last.outcome} ({last.detail})" if last else "nothing was run"
        names = ("latency_p50", "cold_start", "peak_rss", "energy_per_query")
        return [_absent(name, model, device, "fresh processes", reason) for name in names]
    found = []
    if timed:
        found += _times(good, model, device, share)
        found += _cold_start(good, model, device, share)
    else:
        reason = "the seconds of an emulated processor say nothing about the real one"
        found += [_absent(name, model, device, "emulation", reason) for name in ("latency_p50", "cold_start")]
    found += _instructions(good, model, device)
    found += _memory(good, model, device)
    found.append(_energy(energy, model, device))
    return found


def _times(runs: Sequence[Run], model: str, device: str, share: float) -> list[Measurement]:
    samples = [unpack(run.latency_ns) / 1e9 for run in runs]
    pooled = np.sort(np.concatenate(samples))
    medians = [statistics.quantile(np.sort(sample), 0.5) for sample in samples]
    verdict = statistics.stability(medians, [statistics.drift(sample) for sample in samples], _cpu_shares(runs, share))
    disturbed = disturbances(runs)
    if disturbed:
        verdict = "; ".join([f"throttled: {', '.join(disturbed)}", *([] if verdict == "stable" else [verdict])])
    found = []
    for name, q in _PERCENTILES:
        method = f"{len(runs)} processes, pooled; interval: order statistics and between processes"
        needed = statistics.required_count(q)
        if len(pooled) < needed:
            reason = f"{len(pooled)} samples, {needed} are needed to bound this percentile with 95 % confidence"
            found.append(_absent(name, model, device, method, reason, count=len(pooled)))
            continue
        values = [statistics.quantile(np.sort(sample), q) for sample in samples]
        interval = statistics.quantile_interval(pooled, q)
        between = statistics.between_processes(values)
        interval = interval.union(between) if between else interval
        value = statistics.quantile(pooled, q)
        found.append(_measured(name, value, model, device, method, len(pooled), interval, verdict, values))
    tokenizing = [unpack(run.tokenize_ns) / 1e9 for run in runs]
    values = [statistics.quantile(np.sort(sample), 0.5) for sample in tokenizing]
    found.append(_from_processes("tokenize_p50", values, model, device, "median in each process", verdict))
    values = [run.count / run.wall for run in runs]
    found.append(_from_processes("throughput", values, model, device, "queries over wall time, one thread", verdict))
    values = [run.cpu / run.count for run in runs]
    found.append(
        _from_processes("cpu_per_query", values, model, device, "CPU time of the process over queries", verdict)
    )
    return found


def _cpu_shares(runs: Sequence[Run], share: float) -> list[float]:
    return [run.cpu / run.wall / share for run in runs]


def _cold_start(runs: Sequence[Run], model: str, device: str, share: float) -> list[Measurement]:
    method = "fresh process, files in the page cache; reading the request is not counted"
    found = []
    for phase in _PHASES:
        name = f"cold_start_{phase}"
        values = [run.phases[phase] for run in runs if phase in run.phases]
        found.append(
            _from_processes(name, values, model, device, method)
            if len(values) == len(runs)
            else _absent(name, model, device, method, "the start of the process is not known on this device")
        )
    if any(one.value is None for one in found):
        total = _absent("cold_start", model, device, method, "one of its parts is absent")
    else:
        sums = [sum(run.phases[phase] for phase in _PHASES) for run in runs]
        spread = statistics.relative_spread(sums)
        # What kept the processor from the queries kept it from the start that came just before.
        verdict = statistics.stability([], [], _cpu_shares(runs, share))
        if spread > statistics.MAX_SPREAD:
            noisy = f"noisy: processes differ by {spread:.0%}"
            verdict = noisy if verdict == "stable" else f"{verdict}; {noisy}"
        total = _from_processes("cold_start", sums, model, device, method, verdict)
    return [total, *found]


def _memory(runs: Sequence[Run], model: str, device: str) -> list[Measurement]:
    method = "VmHWM and smaps_rollup of the process"

    def rss(run: Run, stage: str, kind: str = "rss") -> int | None:
        return run.memory.get(stage, {}).get(kind)

    def difference(run: Run, later: str, earlier: str) -> int | None:
        a, b = rss(run, later), rss(run, earlier)
        return None if a is None or b is None else a - b

    def added(run: Run) -> int | None:
        base = rss(run, "import")
        return None if run.peak_rss is None or base is None else run.peak_rss - base

    columns = {
        "peak_rss": [run.peak_rss for run in runs],
        "peak_rss_added": [added(run) for run in runs],
        "settled_rss": [rss(run, "settled") for run in runs],
        "settled_pss": [rss(run, "settled", "pss") for run in runs],
        "interpreter_rss": [rss(run, "interpreter") for run in runs],
        "libraries_rss": [difference(run, "import", "interpreter") for run in runs],
        "tokenizer_rss": [difference(run, "tokenizer", "import") for run in runs],
        "model_rss": [difference(run, "first", "tokenizer") for run in runs],
    }
    found = []
    for name, values in columns.items():
        known = [float(value) for value in values if value is not None]
        found.append(
            _from_processes(name, known, model, device, method)
            if len(known) == len(values)
            else _absent(name, model, device, method, "this kernel does not show it")
        )
    return found


def _instructions(runs: Sequence[Run], model: str, device: str) -> list[Measurement]:
    """Return the instructions per query where something counted them; the interval is all that was seen."""
    values = [run.observed["instructions"] / run.count for run in runs if "instructions" in run.observed]
    if not values:
        return []
    method = f"instructions between two marks around {runs[0].count} queries, median of {len(values)} processes"
    found = _from_processes("instructions_per_query", values, model, device, method)
    return [dataclasses.replace(found, kind="counted", low=min(values), high=max(values), level=None)]


def _energy(energy: EnergyReading | None, model: str, device: str) -> Measurement:
    if energy is None or energy.joules_per_query is None:
        reason = energy.reason if energy else "no energy source was asked for"
        source = energy.source if energy else ""
        return Measurement(
            "energy_per_query", "J", "estimated", "none", model=model, device=device, reason=reason, source=source
        )
    low, high = energy.low, energy.high
    return Measurement(
        "energy_per_query",
        "J",
        "estimated" if energy.estimate else "measured",
        energy.method,
        value=energy.joules_per_query,
        model=model,
        device=device,
        count=energy.queries,
        low=low,
        high=high,
        level=statistics.LEVEL if low is not None else None,
        source=energy.source,
        details=dict(energy.details),
        processes=energy.processes,
    )


def ratios(subject: Sequence[Measurement], reference: Sequence[Measurement], against: str) -> list[Measurement]:
    """Return the subject's ratios to the reference, paired by repetition (the models took turns)."""
    own = {one.metric: one for one in subject}
    other = {one.metric: one for one in reference}
    found = []
    for name, metric in RATIOS.items():
        a, b = own.get(metric), other.get(metric)
        if a is None or b is None:
            continue
        method = f"{metric} over that of {against}, paired by repetition of the same run"
        if a.value is None or b.value is None:
            missing = a if a.value is None else b
            found.append(_absent(name, a.model, a.device, method, f"{metric} of {missing.model}: {missing.reason}"))
            continue
        pairs = min(len(a.processes), len(b.processes))
        if not pairs or min(b.processes) <= 0 or min(a.processes) <= 0:
            found.append(_absent(name, a.model, a.device, method, "no repetition has both values"))
            continue
        value, interval = statistics.paired_ratio(a.processes[:pairs], b.processes[:pairs])
        values = [x / y for x, y in zip(a.processes, b.processes, strict=False)]
        spread = statistics.relative_spread(values)
        verdict = "stable" if spread <= statistics.MAX_SPREAD else f"noisy: repetitions differ by {spread:.0%}"
        kind = "estimated" if "estimated" in (a.kind, b.kind) else a.kind
        found.append(
            Measurement(
                name,
                "1",
                kind,
                method,
                value=value,
                model=a.model,
                device=a.device,
                count=pairs,
                low=interval.low if interval else None,
                high=interval.high if interval else None,
                level=interval.level if interval else None,
                stability=verdict,
                source=a.source,
                processes=tuple(values),
            )
        )
    return found


def counted(metric: str, value: float, method: str) -> Measurement:
    """Return a value that is exact by nature."""
    return Measurement(metric, METRICS[metric].unit, "counted", method, value=value, count=1, low=value, high=value)


def _absent(metric: str, model: str, device: str, method: str, reason: str, count: int = 0) -> Measurement:
    return Measurement(
        metric, METRICS[metric].unit, "measured", method, model=model, device=device, count=count, reason=reason
    )


def _from_processes(
    metric: str, values: Sequence[float], model: str, device: str, method: str, verdict: str = "stable"
) -> Measurement:
    """Return the median of one value per process with a between-process interval."""
    interval = statistics.between_processes(values)
    return _measured(metric, float(np.median(values)), model, device, method, len(values), interval, verdict, values)


def _measured(
    metric: str,
    value: float,
    model: str,
    device: str,
    method: str,
    count: int,
    interval: statistics.Interval | None,
    stability: str,
    processes: Sequence[float],
) -> Measurement:
    return Measurement(
        metric,
        METRICS[metric].unit,
        "measured",
        method,
        value=value,
        model=model,
        device=device,
        count=count,
        # The interval is around the geometric mean, the value is a median: keep the value inside.
        low=min(interval.low, value) if interval else None,
        high=max(interval.high, value) if interval else None,
        level=interval.level if interval else None,
        stability=stability,
        processes=tuple(processes),
    )

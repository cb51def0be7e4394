"""How often `pocketrank history` names a release of a metric that nothing changed.

    python -m experiments.gate_power.history_false_names

Histories are made of the plain bundle's recording in `experiments/reports/gate_power_samples.json`: each release is a
stretch of neighbouring processes from a time of its own, on a machine that does other work, too. `ratio` is the ratio
to the copy that was measured interleaved; `interleaved` compares each release with the copy as its `baseline`. The
last column: from the middle release on, the bundle is the one that is slower by 15 %.
"""

import itertools
import json
from pathlib import Path

import numpy as np
from pocketrank.benchmarks.gate.history import MetricHistory, metric_histories
from pocketrank.benchmarks.gate.judge import BASELINE
from pocketrank.benchmarks.records.metrics import RATIOS, Measurement
from pocketrank.benchmarks.records.releases import Release
from pocketrank.benchmarks.records.report import SCHEMA, VERSION, DeviceReport, ModelFacts, Report, Run, TextFacts
from pocketrank.benchmarks.statistics import intervals

METRICS = ("latency_p50", "cpu_per_query", "cold_start")
RATIO_OF = {metric: ratio for ratio, metric in RATIOS.items()}
HISTORIES = 400
SUBJECT, REFERENCE, SLOWER = "plain", "same", "slower"
MODES = ("separate", "ratio", "interleaved")
RECORDED = {
    model: {key: np.asarray(column) for key, column in columns.items()}
    for model, columns in json.loads(Path("experiments/reports/gate_power_samples.json").read_text("utf-8")).items()
}


def measurement(metric: str, model: str, values: np.ndarray, stability: str) -> Measurement:
    """Return the median over processes with the interval that the harness gives at the least."""
    interval, value = intervals.between_processes(values.tolist()), float(np.median(values))
    assert interval is not None
    return Measurement(
        metric,
        "1" if metric in RATIOS else "s",
        "measured",
        "recorded",
        value=value,
        model=model,
        device="recorded",
        count=len(values),
        low=min(interval.low, value),
        high=max(interval.high, value),
        stability=stability,
        processes=tuple(values.tolist()),
    )


def stability(metric: str, columns: dict[str, np.ndarray]) -> str:
    """Return what the harness says about these processes."""
    if metric == "cold_start":
        noisy = intervals.relative_spread(columns[metric].tolist()) > intervals.MAX_SPREAD
        contended = intervals.stability([], [], columns["cpu_share"].tolist())
        return "noisy" if noisy and contended == "stable" else contended
    return intervals.stability(*(columns[name].tolist() for name in ("latency_p50", "drift", "cpu_share")))


def release(name: str, mode: str, metric: str, sides: dict[str, dict[str, np.ndarray]]) -> Release:
    """Return a release of these processes."""
    other = BASELINE if mode == "interleaved" else REFERENCE
    facts = (ModelFacts(SUBJECT, "subject", 1, "0", 1, "0", 0), ModelFacts(other, "reference", 1, "0", 1, "0", 0))
    own, same = sides[SUBJECT], sides[REFERENCE]
    rows = [measurement(metric, SUBJECT, own[metric], stability(metric, own))]
    if mode == "ratio":
        rows = [measurement(RATIO_OF[metric], SUBJECT, own[metric] / same[metric], "stable")]
    elif mode == "interleaved":
        rows.append(measurement(metric, BASELINE, same[metric], "stable"))
    runs = tuple(Run(model.name, index, 0, "ok") for model in facts for index in range(len(own[metric])))
    device = DeviceReport("host", "local", "recorded", {}, {}, {}, runs, tuple(rows))
    return Release(name, Report(SCHEMA, VERSION, "", SUBJECT, facts, TextFacts("", 0, "", 0.0), {}, (device,)))


def history(mode: str, metric: str, count: int, names: int, slower: bool, rng: np.random.Generator) -> MetricHistory:
    """Return a history of `names` releases; where `slower`, all from the middle one on are the slower bundle's."""
    starts = rng.choice(len(RECORDED[SUBJECT][metric]) // count, names, replace=False) * count
    releases = []
    for number, start in enumerate(starts):
        own = SLOWER if slower and number >= names // 2 else SUBJECT
        other = own if own == SLOWER and mode == "interleaved" and number > names // 2 else REFERENCE
        sides = {
            side: {key: column[start : start + count] for key, column in RECORDED[model].items()}
            for side, model in ((SUBJECT, own), (REFERENCE, other))
        }
        releases.append(release(f"v{number}", mode, metric, sides))
    (found,) = metric_histories(releases)
    return found


def main() -> None:
    """Print how many steps and histories of an unchanged metric are named, and how many real changes are."""
    print(f"{HISTORIES} histories a row")
    print("| measured | metric | processes | releases | steps named | histories with a name | slower, named |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for mode, count, names, metric in itertools.product(MODES, (7, 40), (3, 10), METRICS):
        rng = np.random.default_rng(1)
        unchanged = [len(history(mode, metric, count, names, False, rng).changes) for _ in range(HISTORIES)]
        changed = [history(mode, metric, count, names, True, rng).changes for _ in range(HISTORIES)]
        caught = sum(any(step.release == f"v{names // 2}" for step in steps) for steps in changed)
        steps, histories = sum(unchanged) / (names - 1), np.count_nonzero(unchanged)
        shares = " | ".join(f"{share / HISTORIES:.1%}" for share in (steps, histories, caught))
        print(f"| {mode} | {metric} | {count} | {names} | {shares} |", flush=True)


if __name__ == "__main__":
    main()

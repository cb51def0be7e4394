"""How often does the gate raise a false alarm on times, and how often does it catch a real slowdown?

    python benchmarks/scripts/gate_power.py BUNDLE --pairs 120 --samples samples.json

Records processes of one and the same bundle in pairs, taking turns as `pocketrank gate --baseline-bundle` does, and
keeps them in the samples file (an existing one is used again). Then it plays the gate on them thousands of times: on
pairs as they are (every alarm is false), and with every sample of the new one made 15 % slower. Each play takes a run
of neighbouring pairs, so that the weather of the machine stays in, tosses a coin per pair for which of the two is
the new one, and, where a broken limit on time is confirmed, another such run. All verdicts are those of
`benchmarks/gate.py`. Prints Markdown tables.
"""

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pocketrank.benchmarks import statistics
from pocketrank.benchmarks.budget import Budget, Limit
from pocketrank.benchmarks.gate import BASELINE, judge
from pocketrank.benchmarks.measure import MeasureSettings, measure
from pocketrank.benchmarks.measurement import Measurement
from pocketrank.benchmarks.models import find_model
from pocketrank.benchmarks.report import Report, Run, read_report, unpack, write_report
from pocketrank.benchmarks.summary import counted
from pocketrank.benchmarks.texts import BUILT_IN
from pocketrank.cli.output import Lines

SLOWDOWN = 1.15
GROWTH = 1.02
METRICS = ("latency_p50", "cpu_per_query", "cold_start")


def record(bundle: Path, pairs: int, seconds: float, samples: Path) -> Report:
    """Measure the bundle beside itself, or read what an earlier call recorded."""
    if samples.is_file():
        return read_report(samples)
    files = find_model(bundle, "new")
    settings = MeasureSettings(repetitions=pairs, min_seconds=seconds, min_queries=100, energy="none", idle_seconds=0)
    report = measure([files, replace(files, name=BASELINE)], ["host"], settings, BUILT_IN, Lines())
    write_report(samples, report)
    return report


def values_of(run: Run, metric: str, factor: float) -> float:
    """Return what `benchmarks/summary.py` keeps of one process, its recorded samples scaled by `factor`."""
    if metric == "latency_p50":
        return statistics.quantile(np.sort(unpack(run.latency_ns) * factor), 0.5) / 1e9
    if metric == "cpu_per_query":
        return run.cpu * factor / run.count
    return sum(run.phases.values()) * factor


class Play:
    """Plays the gate on recorded pairs of processes; every verdict is the gate's own."""

    def __init__(self, samples: Report, metric: str, allowed: float, paired: bool) -> None:
        runs = {(run.model, run.repetition): run for run in samples.devices[0].runs if run.outcome == "ok"}
        pairs = samples.settings["repetitions"]
        whole = [one for one in range(pairs) if ("new", one) in runs and (BASELINE, one) in runs]
        self.recorded = [
            {
                factor: tuple(values_of(runs[model, one], metric, factor) for model in ("new", BASELINE))
                for factor in (1.0, SLOWDOWN)
            }
            for one in whole
        ]
        self.samples, self.metric, self.paired = samples, metric, paired
        limit = Limit("regression", metric, allowed, "lower", "1", f"simulated.toml, line 2: regression.{metric}")
        self.budget = Budget(Path("simulated.toml"), (limit,))

    def verdict(self, count: int, factor: float, dice: random.Random) -> str:
        """Return the verdict of one gate with `count` repetitions on a new model slower by `factor`."""
        report, old = self._reports(count, factor, dice)

        def again() -> Report:
            return self._reports(count, factor, dice, old)[0]

        return judge(report, self.budget, old, confirm=again).verdict

    def _reports(
        self, count: int, factor: float, dice: random.Random, known: Report | None = None
    ) -> tuple[Report, Report]:
        """Return the new report and the baseline; unpaired ones are of different moments, a stored baseline stays."""
        if self.paired:
            new, old = self._draw(count, factor, dice), ()
            return self._report(new), self._report(old)
        new = [(one[0], 0.0) for one in self._draw(count, factor, dice)]
        stored = known or self._report([(one[1], 0.0) for one in self._draw(count, factor, dice)])
        return self._report(new), stored

    def _draw(self, count: int, factor: float, dice: random.Random) -> list[tuple[float, float]]:
        begin = dice.randrange(len(self.recorded))
        drawn = []
        for step in range(count):
            pair = self.recorded[(begin + step) % len(self.recorded)]
            slow, plain = pair[factor], pair[1.0]
            drawn.append((slow[0], plain[1]) if dice.random() < 0.5 else (slow[1], plain[0]))
        return drawn

    def _report(self, pairs: Sequence[tuple[float, float]]) -> Report:
        template = self.samples.devices[0]
        rows, runs = [], []
        for position, model in enumerate(("new", BASELINE) if self.paired else ("new",)):
            values = tuple(pair[position] for pair in pairs)
            if values:
                row = Measurement(self.metric, "s", "measured", "recorded", value=float(np.median(values)), model=model)
                rows.append(replace(row, processes=values))
            runs += [Run(model, repetition, 0, "ok") for repetition in range(len(values))]
        device = replace(template, runs=tuple(runs), measurements=tuple(rows))
        if not self.paired:
            return replace(self.samples, models=self.samples.models[:1], devices=(device,))
        return replace(self.samples, subject="new" if pairs else BASELINE, devices=(device,) if pairs else ())


def bytes_table(samples: Report, plays: int) -> list[str]:
    """Return the same for shipped bytes, which have no noise: a limit of 1 %, a growth of 2 %."""
    limit = Limit("regression", "shipped_bytes", 0.01, "lower", "1", "simulated.toml")
    budget = Budget(Path("simulated.toml"), (limit,))
    facts = samples.models[0]
    size = facts.model_bytes + facts.tokenizer_bytes
    dice, counts = random.Random(1), {1.0: 0, GROWTH: 0}
    for factor in counts:
        for _ in range(plays):
            old = dice.randrange(size // 2, size * 100)
            rows = [counted("shipped_bytes", value, "simulated size") for value in (math.ceil(old * factor), old)]
            new, base = (replace(samples, bundle=(row,), devices=()) for row in rows)
            counts[factor] += judge(new, budget, base).verdict == "fail"
    return [
        f"shipped_bytes, at most 1 % more: false alarms {counts[1.0] / plays:.2%}, "
        f"growth of 2 % caught {counts[GROWTH] / plays:.2%} ({plays} sizes each)"
    ]


def main() -> None:
    """Record, play, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pairs", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=0.5, help="timed region of a process")
    parser.add_argument("--samples", type=Path, default=Path("gate_samples.json"))
    parser.add_argument("--plays", type=int, default=2000, help="gates in each cell of the tables")
    arguments = parser.parse_args()
    samples = record(arguments.bundle, arguments.pairs, arguments.seconds, arguments.samples)
    print(f"{samples.settings['repetitions']} pairs of processes, timed for {samples.settings['min_seconds']} s each")
    for metric in METRICS:
        play = Play(samples, metric, 0.05, paired=True)
        logs = np.log([pair[1.0] for pair in play.recorded])
        print(
            f"{metric}: one process varies by {logs.std(ddof=1):.1%}, the ratio of a pair by "
            f"{(logs[:, 0] - logs[:, 1]).std(ddof=1):.1%} (standard deviations)"
        )
    print(
        "\n| metric | allowed | baseline | repetitions | A/A: fail | A/A: inconclusive | A/A: pass "
        "| +15 %: fail | +15 %: inconclusive | +15 %: pass |"
    )
    print("| --- " * 10 + "|")
    for metric in METRICS:
        for allowed in (0.05, 0.1):
            for paired in (False, True):
                play = Play(samples, metric, allowed, paired)
                for count in (7, 15, 25, 40):
                    cells = []
                    for factor in (1.0, SLOWDOWN):
                        dice = random.Random(f"{metric} {allowed} {paired} {count} {factor}")
                        found = [play.verdict(count, factor, dice) for _ in range(arguments.plays)]
                        cells += [f"{found.count(word) / len(found):.1%}" for word in ("fail", "inconclusive", "pass")]
                    how = "same run" if paired else "stored report"
                    print(f"| {metric} | {allowed:.0%} | {how} | {count} | " + " | ".join(cells) + " |", flush=True)
    print()
    print("\n".join(bytes_table(samples, arguments.plays)))


if __name__ == "__main__":
    main()

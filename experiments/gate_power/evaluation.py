"""Play the gate on a recording (`recording.py`) and count its verdicts; every verdict is the gate's own.

Two kinds. *Independent* gates take stretches of neighbouring repetitions of which none is used twice: they are few, and
what their number proves is said by an exact interval (Clopper and Pearson, *Biometrika* 26, 1934). *Drawn* gates take
repetitions at random, each with all its processes, from the whole recording: they are many, but of the same
repetitions, so that their interval comes from drawing the repetitions themselves again (a bootstrap).
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
from pocketrank.benchmarks.gate.budget import Budget, Limit
from pocketrank.benchmarks.gate.judge import BASELINE, judge
from pocketrank.benchmarks.records.metrics import Measurement
from pocketrank.benchmarks.records.report import (
    SCHEMA,
    VERSION,
    DeviceReport,
    ModelFacts,
    Report,
    Run,
    TextFacts,
    unpack,
)
from pocketrank.benchmarks.statistics import intervals as statistics
from pocketrank.benchmarks.statistics.signed_rank import paired_change

from experiments.gate_power.recording import PLAIN, SAME, SLOWER

METRICS = ("latency_p50", "cpu_per_query", "cold_start")
CASES = {"equal": SAME, "slower": SLOWER}
OUTCOMES = ("fail", "inconclusive", "pass")
NEW = "new"

Values = Mapping[str, Mapping[str, Sequence[float]]]  # model -> quantity -> one value a repetition


@dataclass(frozen=True)
class Cell:
    """One gate: what it is asked, and how it measures."""

    case: str  # equal or slower
    metric: str
    allowed: float
    baseline: str  # "in turns" or "stored"
    repetitions: int


@dataclass(frozen=True)
class Counts:
    """Verdicts of many gates, and a 95 % interval for the share of the first kind."""

    gates: int
    fail: int
    inconclusive: int
    low: float | None
    high: float | None  # None: no interval was asked for


def compact(reports: Sequence[Report]) -> dict[str, dict[str, list[float]]]:
    """Return of every process what the gate looks at; a repetition that lacks one of its processes is left out."""
    values: dict[str, dict[str, list[float]]] = {}
    for report in reports:
        (device,) = report.devices
        good = {(run.model, run.repetition): run for run in device.runs if run.outcome == "ok"}
        names = [model.name for model in report.models]
        whole = [
            repetition
            for repetition in sorted({key[1] for key in good})
            if all((name, repetition) in good for name in names)
        ]
        for name in names:
            done = [run.repetition for run in device.runs if (run.model, run.outcome) == (name, "ok")]
            columns = values.setdefault(name, {})
            for metric in METRICS:
                row = device.find(metric, name)
                by_repetition = dict(zip(done, row.processes if row else (), strict=True))
                columns.setdefault(metric, []).extend(_short(by_repetition[repetition]) for repetition in whole)
            runs = [good[name, repetition] for repetition in whole]
            columns.setdefault("drift", []).extend(_short(statistics.drift(unpack(run.latency_ns))) for run in runs)
            columns.setdefault("cpu_share", []).extend(_short(run.cpu / run.wall) for run in runs)
    return values


def _short(value: float) -> float:
    return float(f"{value:.5g}")


class Player:
    """Plays gates on recorded repetitions."""

    def __init__(self, values: Values) -> None:
        self.values = {name: {key: np.asarray(row) for key, row in rows.items()} for name, rows in values.items()}
        self.count = len(self.values[PLAIN][METRICS[0]])

    def play(
        self, cell: Cell, chosen: Sequence[int], again: Callable[[], Sequence[int]], stored: Sequence[int] = ()
    ) -> str:
        """Return the verdict of one gate on the repetitions `chosen`; `again` names those of a second run."""
        budget = _budget(cell.metric, cell.allowed)

        def measured(repetitions: Sequence[int]) -> Report:
            sides = {NEW: (CASES[cell.case], repetitions)}
            if cell.baseline == "in turns":
                sides[BASELINE] = (PLAIN, repetitions)
            return self._report(cell.metric, NEW, sides)

        if cell.baseline == "in turns":
            old = replace(_empty(BASELINE), devices=())
        else:
            old = self._report(cell.metric, BASELINE, {BASELINE: (PLAIN, stored)})
        return judge(measured(chosen), budget, old, confirm=lambda: measured(again())).verdict

    def _report(self, metric: str, subject: str, sides: Mapping[str, tuple[str, Sequence[int]]]) -> Report:
        rows = []
        for name, (model, repetitions) in sides.items():
            chosen = np.asarray(repetitions)
            processes = self.values[model][metric][chosen].tolist()
            row = Measurement(
                metric,
                "s",
                "measured",
                "recorded",
                value=median(processes),
                model=name,
                device=_device().fingerprint,
                count=len(processes),
                stability=self._stability(metric, model, chosen),
                processes=tuple(processes),
            )
            rows.append(row)
        runs = _runs(tuple((name, len(repetitions)) for name, (_, repetitions) in sides.items()))
        return replace(
            _empty(subject, tuple(sides)), devices=(replace(_device(), runs=runs, measurements=tuple(rows)),)
        )

    def _stability(self, metric: str, model: str, chosen: np.ndarray) -> str:
        """Return what `benchmarks/measure/aggregate.py` says about the stability of these processes."""
        rows = {key: column[chosen].tolist() for key, column in self.values[model].items()}
        if metric != "cold_start":
            return statistics.stability(rows["latency_p50"], rows["drift"], rows["cpu_share"])
        contended = statistics.stability([], [], rows["cpu_share"])
        noisy = statistics.relative_spread(rows[metric]) > statistics.MAX_SPREAD
        return "noisy" if contended == "stable" and noisy else contended


def independent(player: Player, cell: Cell) -> Counts:
    """Return the verdicts of gates that share no repetition; a second run takes the stretch after the first one."""
    half = player.count // 2
    place = half if cell.baseline == "stored" else 0
    old, verdicts = 0, []

    def take() -> Sequence[int]:
        nonlocal place
        place += cell.repetitions
        if place > player.count:
            raise IndexError(place)
        return range(place - cell.repetitions, place)

    try:
        while cell.baseline == "in turns" or old + cell.repetitions <= half:
            verdicts.append(player.play(cell, take(), take, range(old, old + cell.repetitions)))
            old += cell.repetitions
    except IndexError:
        pass  # the recording ends within this gate, which is not counted
    failed = verdicts.count("fail")
    return Counts(len(verdicts), failed, verdicts.count("inconclusive"), *exact_interval(failed, len(verdicts)))


def drawn(player: Player, cell: Cell, gates: int, resamples: int, gates_each: int) -> Counts:
    """Return the verdicts of gates on repetitions drawn at random; no `resamples`, no interval."""
    rng = random.Random(str(cell))
    verdicts = _draw_gates(player, cell, range(player.count), gates, rng)
    rates = []
    for _ in range(resamples):
        half = player.count // 2  # halves are drawn separately: the first one is the stored report's
        pool = [*rng.choices(range(half), k=half), *rng.choices(range(half, player.count), k=player.count - half)]
        rates.append(_draw_gates(player, cell, pool, gates_each, rng).count("fail") / gates_each)
    low, high = (float(np.quantile(rates, q)) for q in (0.025, 0.975)) if rates else (None, None)
    return Counts(len(verdicts), verdicts.count("fail"), verdicts.count("inconclusive"), low, high)


def _draw_gates(player: Player, cell: Cell, pool: Sequence[int], gates: int, rng: random.Random) -> list[str]:
    half, count = len(pool) // 2, cell.repetitions
    verdicts = []
    for _ in range(gates):
        stored = rng.sample(pool[:half], count) if cell.baseline == "stored" else ()
        chosen = rng.sample(pool[half:] if cell.baseline == "stored" else pool, 2 * count)
        verdicts.append(player.play(cell, chosen[:count], lambda: chosen[count:], stored))  # noqa: B023 (called at once)
    return verdicts


def describe_values(values: Values) -> dict[str, dict[str, float]]:
    """Return for each metric the real slowdown, the noise, and how far neighbouring repetitions are alike."""
    described = {}
    for metric in METRICS:
        plain, same, slower = (np.log(values[name][metric]) for name in (PLAIN, SAME, SLOWER))
        equal = same - plain
        change = paired_change(values[SLOWER][metric], values[PLAIN][metric])
        unchanged = paired_change(values[SAME][metric], values[PLAIN][metric])
        assert change is not None
        assert unchanged is not None
        described[metric] = {
            "median_seconds": float(np.exp(np.median(plain))),
            "slowdown": change.value,
            "slowdown_low": change.low,
            "slowdown_high": change.high,
            "equal": unchanged.value,
            "equal_low": unchanged.low,
            "equal_high": unchanged.high,
            "process_deviation": float(plain.std(ddof=1)),
            "pair_deviation": float(equal.std(ddof=1)),
            "lag1_process": autocorrelation(plain),
            "lag1_equal": autocorrelation(equal),
            "lag1_slower": autocorrelation(slower - plain),
            "lag1_size": autocorrelation(np.abs(equal - np.median(equal))),
            "chance": 1.96 / math.sqrt(len(plain)),
        }
    return described


def autocorrelation(series: np.ndarray) -> float:
    """Return the correlation of a series with itself one step later, by ranks: a single outlier says nothing."""
    ranks = np.argsort(np.argsort(series)).astype(float)
    return float(np.corrcoef(ranks[1:], ranks[:-1])[0, 1])


def exact_interval(hits: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson for a share, `hits` of `count`; (0, 1) for none at all."""
    tail = (1 - level) / 2

    def at_most(number: int, share: float) -> float:
        return sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(number + 1))

    def solve(number: int, wanted: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(number, middle) > wanted else (low, middle)
        return (low + high) / 2

    low = solve(hits - 1, 1 - tail) if hits else 0.0
    high = solve(hits, tail) if hits < count else 1.0
    return low, high


def cells(repetitions: Mapping[str, Sequence[int]]) -> list[Cell]:
    """Return every gate that is played; `repetitions` are those of each baseline."""
    return [
        Cell(case, metric, allowed, baseline, count)
        for baseline, counts in repetitions.items()
        for count in counts
        for metric in METRICS
        for allowed in (0.05, 0.1)
        for case in CASES
    ]


def played(player: Player, cell: Cell, gates: int, resamples: int, gates_each: int) -> dict[str, object]:
    """Return a cell with both counts, as it goes into the results."""
    many = drawn(player, cell, gates, resamples, gates_each)
    return {**asdict(cell), "independent": asdict(independent(player, cell)), "drawn": asdict(many)}


@cache
def _budget(metric: str, allowed: float) -> Budget:
    limit = Limit("regression", metric, allowed, "lower", "1", f"played.toml, line 2: regression.{metric}")
    return Budget(Path("played.toml"), (limit,))


@cache
def _runs(sides: tuple[tuple[str, int], ...]) -> tuple[Run, ...]:
    return tuple(Run(name, repetition, 0, "ok") for name, count in sides for repetition in range(count))


@cache
def _device() -> DeviceReport:
    return DeviceReport("host", "local", "recorded", {}, {}, {}, (), ())


@cache
def _empty(subject: str, names: tuple[str, ...] = ()) -> Report:
    models = tuple(ModelFacts(name, "subject", 1, "", 1, "", 0) for name in names or (subject,))
    return Report(SCHEMA, VERSION, "", subject, models, TextFacts("", 0, "", 0.0), {}, ())

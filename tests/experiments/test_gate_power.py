"""The evidence for the gate's power: what a recording keeps, how gates are played on it, and that they can fail."""

import random

import numpy as np
import pytest
from builders.small_student import small_vocabulary
from pocketrank.benchmarks.gate.budget import read_budget
from pocketrank.benchmarks.gate.judge import judge
from pocketrank.benchmarks.gate.release import baseline_of_bundle
from pocketrank.benchmarks.measure.aggregate import aggregate_runs
from pocketrank.benchmarks.measure.model_files import bundle_measurements
from pocketrank.benchmarks.records.report import SCHEMA, VERSION, DeviceReport, ModelFacts, Report, Run, TextFacts
from pocketrank.benchmarks.worker.worker import pack

from experiments.gate_power import bundles, evaluation, growth, run

PHASES = ("interpreter", "import", "tokenizer", "session", "first")


@pytest.fixture(scope="module")
def scripts():
    return evaluation, run, growth, bundles


@pytest.fixture(scope="module")
def power(scripts):
    return scripts[0]


def synthetic(slower=1.15, same=1.0, repetitions=120, noise=0.03, share=0.99, weather=0.1):
    """A recording in which nothing but the factors and some noise tells the bundles apart."""
    rng = np.random.default_rng(7)
    common = np.exp(rng.normal(0, weather, repetitions))
    values = {}
    for name, factor in (("plain", 1.0), ("same", same), ("slower", slower)):
        values[name] = {
            metric: (common * factor * np.exp(rng.normal(0, noise, repetitions))).tolist()
            for metric in ("latency_p50", "cpu_per_query", "cold_start")
        }
        values[name] |= {"drift": [0.0] * repetitions, "cpu_share": [share] * repetitions}
    return values


def process(model, repetition, seconds, outcome="ok"):
    samples = [int(seconds * 1e9 * (1 + place / 1000)) for place in range(60)]
    phases = {phase: seconds * 10 for phase in PHASES}
    times = {"count": 60, "wall": seconds * 60, "cpu": seconds * 54, "phases": phases}
    return Run(model, repetition, 0, outcome, latency_ns=pack(samples), tokenize_ns=pack(samples), **times)


def test_a_recording_keeps_what_the_gate_looks_at(power):
    rng = random.Random(3)
    names = ("plain", "same", "slower")
    runs = [process(name, number, 1e-3 * rng.uniform(0.8, 1.5)) for number in range(8) for name in names]
    runs[4] = process("same", 1, 1e-3, "failed")
    own = {name: [run for run in runs if run.model == name] for name in names}
    rows = [row for name in names for row in aggregate_runs(own[name], name, "f")]
    device = DeviceReport("host", "local", "f", {}, {}, {}, tuple(runs), tuple(rows))
    models = tuple(ModelFacts(name, "peer", 1, "", 1, "", 0) for name in names)
    values = power.compact([Report(SCHEMA, VERSION, "0", "plain", models, TextFacts("", 0, "", 0.0), {}, (device,))])
    # The second repetition lacks a process: the others of that repetition have nothing to be paired with.
    assert {len(column) for columns in values.values() for column in columns.values()} == {7}
    for metric in power.METRICS:
        row = device.find(metric, "same")
        assert values["same"][metric] == pytest.approx(row.processes, rel=1e-4)
        # The verdict on stability is the one of the summary, which the gate would have seen.
        seen = power.Player(values)._stability(metric, "same", np.arange(7))
        assert seen.split(":")[0] == row.stability.split(":")[0]
    assert device.find("latency_p50", "same").stability.startswith("contended")


@pytest.mark.parametrize(
    ("case", "factors", "caught"),
    [
        ("slower", {"slower": 1.15}, True),
        ("slower", {"slower": 1.0}, False),  # nothing is slower: nothing may be caught
        ("equal", {}, False),
        ("equal", {"same": 1.3}, True),  # the copy is slower: every gate is an alarm
        # A busy machine burdens both sides of a pair: it is no excuse.
        ("slower", {"slower": 1.15, "share": 0.6}, True),
    ],
)
def test_gates_in_turns_tell_slower_from_equal(case, factors, caught, power):
    player = power.Player(synthetic(**factors))
    for metric in power.METRICS:
        cell = power.Cell(case, metric, 0.05, "in turns", 15)
        few = power.independent(player, cell)
        many = power.drawn(player, cell, gates=10, resamples=2, gates_each=2)
        assert few.gates == (4 if caught else 8)  # a broken limit takes a second stretch of 15
        assert (few.fail, many.fail) == ((few.gates, 10) if caught else (0, 0))
        assert (many.low, many.high) == ((1, 1) if caught else (0, 0))


def test_a_stored_baseline_comes_from_the_first_half(power):
    values = synthetic(noise=0.01, weather=0.02)
    for columns in values.values():  # the machine turns slower in between, for all bundles alike
        columns["latency_p50"][60:] = [value * 1.5 for value in columns["latency_p50"][60:]]
    player = power.Player(values)
    stored, turns = (power.Cell("equal", "latency_p50", 0.05, kind, 15) for kind in ("stored", "in turns"))
    assert power.independent(player, turns).fail == 0
    assert power.drawn(player, stored, 10, 0, 1).fail == 10
    # Four stretches of the second half; each alarm takes two.
    assert (power.independent(player, stored).gates, power.independent(player, stored).fail) == (2, 2)


def test_an_unstable_timing_is_no_proof_against_a_stored_report(power):
    for metric in power.METRICS:
        failed = []
        for share, baseline in ((0.6, "stored"), (0.6, "in turns"), (0.99, "stored")):
            player = power.Player(synthetic(share=share, weather=0.02, noise=0.02))
            failed.append(power.drawn(player, power.Cell("slower", metric, 0.05, baseline, 15), 10, 0, 1).fail)
        assert failed == [0, 10, 10]


def test_exact_intervals_match_the_tables(power):
    # Clopper and Pearson at 95 %, as printed for small samples; 1 - 0.025 ** (1 / 36) for none of 36.
    assert power.exact_interval(5, 10) == pytest.approx((0.187, 0.813), abs=5e-4)
    assert power.exact_interval(0, 36) == pytest.approx((0.0, 1 - 0.025 ** (1 / 36)), abs=1e-6)
    assert power.exact_interval(20, 20) == pytest.approx((0.025 ** (1 / 20), 1.0), abs=1e-6)
    assert power.exact_interval(0, 0) == (0.0, 1.0)


def test_what_was_recorded_is_described(power):
    described = power.describe_values(synthetic(repetitions=1500))["latency_p50"]
    assert described["slowdown"] == pytest.approx(0.15, abs=0.01)
    assert described["slowdown_low"] < described["slowdown"] < described["slowdown_high"]
    assert described["equal"] == pytest.approx(0, abs=0.01)
    assert described["pair_deviation"] == pytest.approx(0.03 * 2**0.5, rel=0.2)
    assert abs(described["lag1_equal"]) < 2 * described["chance"]
    assert power.autocorrelation(np.arange(50.0)) > 0.9


def test_the_table_shows_shares_of_both_cases(scripts):
    power, main, *_ = scripts
    player = power.Player(synthetic())
    pair = [power.Cell(case, "latency_p50", 0.05, "in turns", 15) for case in power.CASES]
    *_, row = main.table_lines([power.played(player, cell, 20, 2, 5) for cell in pair])
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["latency_p50", "5%", "in turns", "15"]
    assert cells[4].startswith("0 of 8 (0.0%")
    assert cells[7].startswith("4 of 4 (39.8%")
    assert cells[8].startswith("100.0%")


def test_bundles_grow_by_what_they_should_and_the_gate_sees_it(scripts, tmp_path):
    *_, growth, bundles = scripts
    pieces = list(small_vocabulary())[5:]
    shape = bundles.Shape(tokens=200, intermediate=64, hidden=32, layers=1, heads=2)
    old = bundles.make_bundle(tmp_path, "old", shape, pieces)
    limits = tmp_path / "budget.toml"
    limits.write_bytes(growth.BUDGET)

    def verdict(new):
        report = baseline_of_bundle(new)
        return judge(report, read_budget(limits), baseline_of_bundle(old)).verdict

    again = growth.grown(tmp_path / "again", "equal", shape, pieces, 0.0, "spare")
    wider = growth.grown(tmp_path, "wider", shape, pieces, 0.02, "intermediate")
    sizes = [row.value for one in (old, wider) for row in bundle_measurements(one) if row.metric == "shipped_bytes"]
    assert sizes[1] / sizes[0] - 1 == pytest.approx(0.02, abs=0.004)
    assert verdict(wider) == "fail"
    assert verdict(again) == "pass"
    for name in ("tokenizer.json", "onnx/model_quantized.onnx"):
        assert (again / name).read_bytes() == (old / name).read_bytes()

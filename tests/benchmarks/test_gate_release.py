"""Releases: paired comparisons and noise, GitHub's annotations, comparing two sides, interrupts."""

import dataclasses
import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from builders.miniature import write_bundle
from builders.processes import children_of, start_command
from builders.reports import make_report, one
from builders.tiny_recipe import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from pocketrank.benchmarks.gate import budget as budgets
from pocketrank.benchmarks.gate import judge as gate
from pocketrank.benchmarks.gate import release
from pocketrank.benchmarks.gate.difference import pairs_of
from pocketrank.benchmarks.measure import calibration as noise
from pocketrank.benchmarks.measure.session import MeasureSettings
from pocketrank.benchmarks.records import report
from pocketrank.benchmarks.render import compare, github
from pocketrank.benchmarks.statistics import signed_rank as paired
from pocketrank.benchmarks.statistics.intervals import LEVEL

FACTS = report.ModelFacts("m", "subject", 1000, "0" * 64, 200, "0" * 64, 256)


def test_signed_rank_bounds_match_the_tables():
    # Critical values of Wilcoxon's T for 5 % two-sided, as printed: T <= 0, 2, 3, 5, 8, 52 for n = 6 ... 10, 20.
    for count, critical in [(6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (20, 52)]:
        assert paired.signed_rank_bound(count, 0.025) == critical + 1
    # Where the exact table ends the approximation goes on smoothly.
    assert abs(paired.signed_rank_bound(60, 0.025) - paired.signed_rank_bound(61, 0.025)) < 25


POSITIVE = st.floats(0.1, 10.0, allow_nan=False)


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=2, max_size=25), st.floats(0.5, 2.0))
@settings(max_examples=60)
def test_a_paired_change_follows_its_scale_and_turns_around(pairs, factor):
    new, old = (list(side) for side in zip(*pairs, strict=True))
    change = paired.paired_change(new, old)
    assert change.low - 1e-9 <= change.value <= change.high + 1e-9
    scaled = paired.paired_change([value * factor for value in new], old)
    assert 1 + scaled.value == pytest.approx((1 + change.value) * factor, rel=1e-6)
    back = paired.paired_change(old, new)
    assert (1 + back.value) * (1 + change.value) == pytest.approx(1, rel=1e-6)
    assert paired.paired_change(new[:1], old[:1]) is None


def test_one_disturbed_pair_hardly_moves_a_paired_change():
    dice = np.random.default_rng(3)
    weather = np.exp(dice.normal(0, 0.5, 20))
    new, old = weather * 1.15 * np.exp(dice.normal(0, 0.02, 20)), weather
    new[4] *= 30
    change = paired.paired_change(new, old)
    assert change.value == pytest.approx(0.15, abs=0.02)
    assert 0.1 < change.low < change.high < 0.2


def test_paired_intervals_cover_as_often_as_they_say():
    dice = np.random.default_rng(4)
    hits = 0
    for _ in range(1000):
        change = paired.paired_change(np.exp(dice.standard_t(3, 15) * 0.1), np.ones(15))
        hits += change.low <= 0 <= change.high
    assert hits / 1000 >= LEVEL - 0.02


def in_turns(new, old, metric="latency_p50", calibration=None):
    """A report in which the subject and a baseline bundle took turns."""
    runs = [report.Run(name, index, 0, "ok", count=9) for index in range(len(new)) for name in ("m", gate.BASELINE)]
    rows = [
        dataclasses.replace(one(metric, float(np.median(values)), processes=tuple(values)), model=name)
        for name, values in (("m", new), (gate.BASELINE, old))
    ]
    base = make_report(*rows, runs=runs)
    device = dataclasses.replace(base.devices[0], calibration=calibration)
    models = (FACTS, dataclasses.replace(FACTS, name=gate.BASELINE, role="reference"))
    return dataclasses.replace(base, models=models, devices=(device,))


def budget_of(tmp_path, text):
    path = tmp_path / "budget.toml"
    path.write_text(text, encoding="utf-8")
    return budgets.read_budget(path)


def old_bundle(*rows):
    return dataclasses.replace(make_report(bundle=rows), models=(FACTS,), devices=())


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (1.15, "fail"), (0.8, "pass")])
def test_taking_turns_shows_what_the_weather_hides(factor, verdict, tmp_path):
    dice = np.random.default_rng(5)
    weather = np.exp(dice.normal(0, 0.3, 25))
    new, old = (weather * np.exp(dice.normal(0, 0.03, 25)) for _ in range(2))
    limits = budget_of(tmp_path, '[regression]\nlatency_p50 = "5 %"\n')
    beside = gate.judge(in_turns(new * factor, old), limits, old_bundle())
    assert beside.verdict == verdict
    assert "25 interleaved pairs" in beside.checks[0].method
    if factor < 1:
        return
    # The same figures as two separate reports say nothing.
    apart = [make_report(one("latency_p50", 1.0, processes=tuple(values))) for values in (new * factor, old)]
    assert gate.judge(apart[0], limits, apart[1]).verdict == "inconclusive"


def test_a_busy_machine_is_no_excuse_for_bundles_that_took_turns(tmp_path):
    dice = np.random.default_rng(6)
    new, old = (np.exp(dice.normal(0, 0.03, 25)) for _ in range(2))
    limits = budget_of(tmp_path, '[regression]\nlatency_p50 = "5 %"\n')
    for factor, verdict in ((1.0, "pass"), (1.15, "fail")):
        found = in_turns(new * factor, old)
        rows = [dataclasses.replace(row, stability="contended: 40%") for row in found.devices[0].measurements]
        device = dataclasses.replace(found.devices[0], measurements=tuple(rows))
        beside = gate.judge(dataclasses.replace(found, devices=(device,)), limits, old_bundle())
        assert beside.verdict == verdict
        assert beside.checks[0].stability == "contended: 40%"  # shown all the same


def test_pairs_are_matched_by_repetition():
    found = in_turns([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    device = found.devices[0]
    runs = [
        dataclasses.replace(run, outcome="failed") if (run.model, run.repetition) == ("m", 1) else run
        for run in device.runs
    ]
    rows = [dataclasses.replace(row, processes=(1.0, 3.0)) if row.model == "m" else row for row in device.measurements]
    broken = dataclasses.replace(device, runs=tuple(runs), measurements=tuple(rows))
    assert pairs_of(broken, "latency_p50", "m", gate.BASELINE) == ([1.0, 3.0], [4.0, 6.0])


def test_known_noise_of_the_device_refuses_tighter_limits(tmp_path):
    limits = budget_of(tmp_path, '[regression]\nlatency_p50 = "5 %"\n')
    lucky = [1.0 + 0.0001 * index for index in range(8)]
    known = report.Calibration(15, {"latency_p50": 0.2}, {"latency_p50": 0.15})
    assert gate.judge(in_turns(lucky, lucky), limits, old_bundle()).verdict == "pass"
    (check,) = gate.judge(in_turns(lucky, lucky, calibration=known), limits, old_bundle()).checks
    assert check.outcome == "inconclusive"
    # t(14) x 0.15 / sqrt(8) in logarithms
    assert "the smallest change that these runs can tell apart is 12.0%" in check.reason
    slow = [value * 1.5 for value in lucky]
    assert gate.judge(in_turns(slow, lucky, calibration=known), limits, old_bundle()).verdict == "fail"


def test_calibration_keeps_the_spread_of_one_process_and_of_a_pair():
    dice = np.random.default_rng(6)
    weather = dice.normal(0, 0.4, 400)
    found = in_turns(np.exp(weather + dice.normal(0, 0.05, 400)), np.exp(weather + dice.normal(0, 0.05, 400)))
    calibration = noise.calibration_of(found.devices[0], "m", gate.BASELINE)
    assert calibration.pairs == 400
    assert calibration.between["latency_p50"] == pytest.approx(0.4, rel=0.1)
    assert calibration.paired["latency_p50"] == pytest.approx(0.05 * 2**0.5, rel=0.1)
    assert noise.half_width(calibration, "latency_p50", [8], True, 0.95) == pytest.approx(
        1.966 * 0.0707 / 8**0.5, rel=0.1
    )


@pytest.mark.parametrize(("growth", "verdict"), [(1.0, "pass"), (1.004, "pass"), (1.01, "fail"), (1.02, "fail")])
@pytest.mark.parametrize("metric", ["shipped_bytes", "instructions_per_query"])
def test_counted_figures_gate_one_percent_every_time(metric, growth, verdict, tmp_path):
    limits = budget_of(tmp_path, f'[regression]\n{metric} = "0.5 %"\n')
    for base in (1000, 46_317, 2_750_000, 87_654_321):
        unit = "B" if metric == "shipped_bytes" else "instructions"
        rows = [one(metric, value, unit, kind="counted") for value in (base * growth, base)]
        if unit == "B":
            sides = [make_report(bundle=[row]) for row in rows]
        else:  # another machine counts the same instructions
            sides = [make_report(row, fingerprint=row.metric + str(row.value)) for row in rows]
        assert gate.judge(sides[0], limits, sides[1]).verdict == verdict


def test_a_regression_that_matches_nothing_fails_with_the_nearest_name(tmp_path):
    side = make_report(quality=[one("ndcg10_symmetric", 0.5, "1")])
    (check,) = gate.judge(side, budget_of(tmp_path, '[regression]\nndcg10_simmetric = "1 %"\n'), side).checks
    assert check.outcome == "fail"
    assert "did you mean 'ndcg10_symmetric'" in check.reason


def test_ratio_limits_never_mean_the_baseline(tmp_path):
    found = in_turns([1.0, 1.0], [2.0, 2.0])
    ratio = one("latency_p50_ratio", 0.5, "1")
    device = dataclasses.replace(found.devices[0], measurements=(*found.devices[0].measurements, ratio))
    limits = budget_of(tmp_path, "[device.host]\nlatency_p50_ratio = 0.9\n")
    (check,) = gate.judge(dataclasses.replace(found, devices=(device,)), limits, old_bundle()).checks
    assert (check.outcome, "--with" in check.advice) == ("fail", True)


def test_github_is_told_on_the_lines_of_the_budget(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    limits = budget_of(tmp_path, '[bundle]\nshipped_bytes = "10 B"\n[device.host]\nlatency_p95 = "3 ms"\n')
    rows = [one("latency_p95", 0.0025, low=0.002, high=0.0031)]
    verdict = gate.judge(make_report(*rows, bundle=[one("shipped_bytes", 50, "B", kind="counted")]), limits)
    error, warning = github.annotations(verdict)
    assert error.startswith("::error file=budget.toml,line=2,title=shipped_bytes%3A fail::50.0 B, at most 10.0 B")
    assert warning.startswith("::warning file=budget.toml,line=4,title=latency_p95 on host%3A inconclusive::")
    assert "%25" in error
    text = github.summary(verdict)
    assert "## pocketrank gate: fail" in text
    assert text.count("\n| ") == 4
    nasty = dataclasses.replace(verdict.checks[0], metric="a,b::c", reason="x\n::stop-commands::y", place="no place")
    (line,) = github.annotations(dataclasses.replace(verdict, checks=(nasty,)))
    assert "\n" not in line
    assert line.startswith("::error title=a%2Cb%3A%3Ac%3A fail::x\\n::stop")


def test_the_action_passes_inputs_as_variables():
    text = (REPOSITORY / "action.yml").read_text(encoding="utf-8")
    script = text[text.index("run: |") :]
    assert "${{" not in script[: script.index("- name: Keep")]
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(re.findall(r"^  ([a-z-]+):$", text, re.M)) - {
        "verdict",
        "steps",
    }


def test_the_action_installs_what_its_page_needs():
    text = (REPOSITORY / "action.yml").read_text(encoding="utf-8")
    assert '"${GITHUB_ACTION_PATH}[report]"' in text
    assert "--html" in text


def test_gating_an_older_bundle_in_turns(pocketrank, tmp_path):
    new, old = write_bundle(tmp_path / "run" / "bundle"), write_bundle(tmp_path / "old")
    path = tmp_path / "budget.toml"
    # Two repetitions tell next to nothing apart on a busy machine: the interval of five is a tenth as wide.
    path.write_text('[regression]\nlatency_p50 = "900 %"\nshipped_bytes = "1 %"\n', encoding="utf-8")
    words = ("gate", new, "--budget", path, "--baseline-bundle", old, "--repetitions", 5, "--no-github")
    done = pocketrank(*words, "--html", tmp_path / "gate.html", "--report-out", tmp_path / "r.json")
    assert done.returncode == 0, done.stderr + done.stdout
    found = report.read_report(tmp_path / "r.json")
    assert [(model.name, model.role) for model in found.models] == [("miniature", "subject"), ("baseline", "reference")]
    assert b"verdict" in (tmp_path / "gate.html").read_bytes()
    both = pocketrank(*words, "--report", tmp_path / "r.json")
    assert (both.returncode, "leave one out" in both.stderr) == (2, True)
    # Only bytes regress: nothing needs to be measured twice.
    path.write_text('[regression]\nshipped_bytes = "1 %"\n', encoding="utf-8")
    assert pocketrank(*words, "--json").returncode == 0


def test_a_bundle_for_another_runtime_is_not_measured(pocketrank, tmp_path):
    from pocketrank.runtime.files import write_bytes
    from pocketrank.runtime.manifest import manifest_bytes, read_manifest

    bundle = write_bundle(tmp_path / "bundle")
    manifest = read_manifest(bundle)
    later = dataclasses.replace(manifest, runtime=dataclasses.replace(manifest.runtime, onnxruntime_min="99.0"))
    write_bytes(bundle / "manifest.json", manifest_bytes(later))
    done = pocketrank("benchmark", bundle)
    assert done.returncode == 3
    assert "declared 99.0 to any later; install a version within the range" in done.stderr
    assert pocketrank("benchmark", bundle, "--device", "raspberry-py-4").returncode == 2


def test_an_interrupted_benchmark_keeps_what_it_measured(tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    words = ["benchmark", bundle, "--repetitions", "500", "--min-seconds", "0.05", "--min-queries", "10"]
    words += ["--energy", "none", "--out", tmp_path / "report.json"]
    with (tmp_path / "errors").open("w") as stream:
        process = start_command(*words, output=stream, errors=stream)
    workers = set()
    while len(workers) < 3:  # two have finished
        assert process.is_alive()
        workers |= {*children_of(process.pid, "worker")}
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    errors = (tmp_path / "errors").read_text(encoding="utf-8")
    assert process.exitcode == 130, errors
    found = report.read_report(tmp_path / "report.json")
    assert found.devices[0].interrupted
    assert 0 < len(found.devices[0].runs) < 500
    assert found.devices[0].find("peak_rss", "miniature").value > 0
    assert "finished processes are kept" in errors


def side(quality, per_query=None, bundle=(), measured=None):
    return compare.Side(Path("side"), measured, tuple(bundle), tuple(quality), per_query or {})


def test_quality_is_compared_query_by_query_where_it_can():
    dice = np.random.default_rng(7)
    hard = dice.uniform(0, 1, 200)
    old = {f"q{index}": float(value) for index, value in enumerate(hard)}
    new = {name: min(value + 0.02 + 0.01 * dice.normal(), 1.0) for name, value in old.items()}
    figure = [one("ndcg10_symmetric", value, "1", low=value - 0.1, high=value + 0.1) for value in (0.50, 0.52)]
    (alone,) = compare.compare(side(figure[:1]), side(figure[1:]))
    assert alone.apart is False
    (together,) = compare.compare(side(figure[:1], {"symmetric": old}), side(figure[1:], {"symmetric": new}))
    assert together.apart is True
    assert together.low < together.value < together.high
    assert "200 common queries" in together.method
    # The same queries in another order are the same queries.
    value, low, high, count = compare.paired_quality(old, dict(reversed(new.items())))
    assert (count, low < value < high) == (200, True)


def test_reports_are_compared_with_intervals(pocketrank, tmp_path):
    quiet = tuple(1e-3 * (1 + 0.001 * index) for index in range(6))
    sides = []
    for name, factor, size in (("a", 1.0, 1000.0), ("b", 1.2, 900.0)):
        rows = [one("latency_p50", 1e-3 * factor, processes=tuple(value * factor for value in quiet))]
        rows.append(one("peak_rss", 5e7, "B", processes=(5e7,)))
        found = make_report(*rows, bundle=[one("shipped_bytes", size, "B", kind="counted")])
        report.write_report(tmp_path / f"{name}.json", found)
        sides.append(tmp_path / f"{name}.json")
    done = pocketrank("compare", *sides, "--json")
    rows = {row["metric"]: row for row in json.loads(done.stdout)}
    assert rows["shipped_bytes"]["value"] == pytest.approx(-0.1)
    assert rows["latency_p50"]["value"] == pytest.approx(0.2)
    assert rows["latency_p50"]["apart"]
    assert rows["peak_rss"]["apart"] is None
    table = pocketrank("compare", *sides).stdout
    assert "worse" in table
    assert "better" in table
    assert pocketrank("compare", sides[0], tmp_path).returncode == 2


def test_an_old_bundle_brings_bytes_and_no_times(tmp_path):
    found = release.baseline_of_bundle(write_bundle(tmp_path / "old"))
    assert (found.subject, found.devices) == ("miniature", ())
    assert {row.metric for row in found.bundle} >= {"shipped_bytes", "tokenizer_bytes"}


def test_too_few_pairs_are_no_calibration():
    with pytest.raises(ValueError, match="at least 5 pairs"):
        MeasureSettings(calibration_pairs=2)

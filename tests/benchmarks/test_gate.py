"""The gate: a table of cases for every verdict, budgets that are refused, files, and exit codes."""

import dataclasses
import json
import xml.etree.ElementTree as ElementTree

import pytest
from builders.miniature import write_bundle
from builders.reports import make_report, one
from hypothesis import given
from hypothesis import strategies as st
from pocketrank.benchmarks.gate import budget as budgets
from pocketrank.benchmarks.gate import judge as gate
from pocketrank.benchmarks.gate import judge_report, junit
from pocketrank.benchmarks.measure import model_files as models
from pocketrank.benchmarks.records import report
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.units import format_quantity, parse_quantity


@pytest.fixture
def write(tmp_path):
    def to_file(text):
        path = tmp_path / "budget.toml"
        path.write_text(text, encoding="utf-8")
        return budgets.read_budget(path)

    return to_file


def check_of(verdict):
    (check,) = verdict.checks
    return check


LATENCY = '[device.host]\nlatency_p95 = "3 ms"\n'


@pytest.mark.parametrize(
    ("row", "outcome", "word"),
    [
        (one("latency_p95", 0.002, low=0.0019, high=0.0025), "pass", "33.3% inside"),
        (one("latency_p95", 0.003, low=0.003, high=0.003), "pass", "0.0% inside"),
        (one("latency_p95", 0.0025, low=0.002, high=0.0031), "inconclusive", "crosses the limit"),
        (one("latency_p95", 0.004, low=0.0035, high=0.005), "fail", "33.3% beyond"),
        (one("latency_p95", 0.004, low=0.0035, high=0.005, stability="noisy: 30%"), "inconclusive", "not stable"),
        # Contention only ever adds time: what keeps the limit under it keeps it.
        (one("latency_p95", 0.002, low=0.0019, high=0.0025, stability="contended"), "pass", "inside"),
        (one("latency_p95", 0.002, low=0.001, high=0.0025, kind="estimated"), "inconclusive", "asks for a measured"),
        (one("latency_p95", 0.002, low=0.001, high=0.0025, kind="emulated"), "inconclusive", "this one is emulated"),
        (one("latency_p95", None, reason="16 samples, 59 are needed"), "inconclusive", "16 samples, 59 are needed"),
        (one("latency_p50", 0.001), "fail", "no measurement of latency_p95"),
    ],
)
def test_absolute_limits(row, outcome, word, write):
    verdict = gate.judge(make_report(row), write(LATENCY))
    check = check_of(verdict)
    assert (check.outcome, verdict.verdict) == (outcome, outcome)
    assert word in check.reason
    assert verdict.exit_code == {"pass": 0, "fail": 1, "inconclusive": 4}[outcome]
    assert check.place.endswith("budget.toml, line 2: device.host.latency_p95")
    if outcome == "pass":
        assert check.advice == ""
    else:
        assert check.advice


@pytest.mark.parametrize(
    ("limit", "row", "outcome"),
    [
        ('"5 mJ"', one("energy_per_query", 0.001, "J", kind="estimated", source="profile-model"), "inconclusive"),
        ('"5 mJ"', one("energy_per_query", 0.001, "J", source="rapl"), "pass"),
        (
            '{ limit = "5 mJ", source = "any" }',
            one("energy_per_query", 0.001, "J", kind="estimated", source="profile-model"),
            "pass",
        ),
        (
            '{ limit = "5 mJ", source = "pmic" }',
            one("energy_per_query", 0.001, "J", source="rapl"),
            "inconclusive",
        ),
        (
            '{ limit = "5 mJ", source = "any" }',
            one("energy_per_query", 0.009, "J", kind="estimated", source="codecarbon-estimate"),
            "fail",
        ),
    ],
)
def test_energy_limits_ask_for_their_source(limit, row, outcome, write):
    text = f"[device.host]\nenergy_per_query = {limit}\n"
    assert gate.judge(make_report(row), write(text)).verdict == outcome


def test_counted_instructions_satisfy_a_limit_under_emulation(write):
    row = one("instructions_per_query", 2.75e6, "instructions", kind="counted", low=2.75e6, high=2.75e6)
    text = '[device.raspberry-pi-4]\ninstructions_per_query = "6 M"\n'
    assert gate.judge(make_report(row, device="raspberry-pi-4"), write(text)).verdict == "pass"
    text = '[device.raspberry-pi-4]\ninstructions_per_query = "2.7 M"\n'
    assert gate.judge(make_report(row, device="raspberry-pi-4"), write(text)).verdict == "fail"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("ndcg10_retention = 0.85", "pass"),
        ("ndcg10_retention = 0.95", "fail"),
        ('ndcg10_retention = "90 %"', "pass"),
        # The interval asks about other queries; 0.86 ... 0.94 crosses 0.9.
        ('ndcg10_retention = { limit = 0.9, bound = "interval" }', "inconclusive"),
        ("parity_difference_max = 0.01", "pass"),
        ("parity_difference_max = 0.001", "fail"),
        ("ndcg10_retentoin = 0.5", "fail"),
    ],
)
def test_quality_limits(text, outcome, write):
    quality = [
        one("ndcg10_retention", 0.9, "1", low=0.86, high=0.94, level=0.95),
        one("parity_difference_max", 0.005, "1"),
    ]
    verdict = gate.judge(make_report(quality=quality), write(f"[quality]\n{text}\n"))
    assert verdict.verdict == outcome
    if "retentoin" in text:
        assert "did you mean 'ndcg10_retention'" in check_of(verdict).reason


@pytest.mark.parametrize(
    ("limit", "outcome", "word"),
    [
        (
            '[quality]\nndcg10_retention_symmetric = "85 %"',
            "inconclusive",
            "was not measured: there are no test queries",
        ),
        ("[quality]\nrecall100_symmetric = 0.5", "inconclusive", "was not measured: there are no test queries"),
        ('[regression]\nndcg10_symmetric = "2 %"', "inconclusive", "was not measured: there are no test queries"),
        ("[quality]\nparity_cosine_min = 0.99", "pass", "inside"),
        ("[quality]\nparity_cosin_min = 0.99", "fail", "did you mean 'parity_cosine_min'"),
        ('[bundle]\nshipped_bytes = "1 MB"', "fail", "no such figures"),
    ],
)
def test_limits_on_a_quality_that_could_not_be_measured_are_inconclusive(limit, outcome, word, write):
    unmeasured = make_report(quality=[one("parity_cosine_min", 0.999, "1")])
    unmeasured = dataclasses.replace(unmeasured, quality_not_measured="there are no test queries")
    before = make_report(quality=[one("ndcg10_symmetric", 0.5, "1")])
    check = check_of(gate.judge(unmeasured, write(f"{limit}\n"), before, "before"))
    assert check.outcome == outcome and word in check.reason, check.reason
    assert bool(check.advice) == (outcome != "pass")


def test_a_limit_for_a_device_that_was_not_measured_fails(write):
    verdict = gate.judge(make_report(), write('[device.raspberry-pi-5]\nlatency_p50 = "1 ms"\n'))
    assert verdict.verdict == "fail"
    assert "raspberry-pi-5 was not measured" in check_of(verdict).reason


def test_a_model_that_runs_out_of_memory_fails_its_limits(write):
    row = one("peak_rss", None, "B", reason="no process finished")
    run = report.Run("m", 0, 0, "out of memory", "killed at 64 MB")
    verdict = gate.judge(make_report(row, runs=[run]), write('[device.host]\npeak_rss = "60 MB"\n'))
    assert verdict.verdict == "fail"
    assert check_of(verdict).reason == "m does not run on host: out of memory (killed at 64 MB)"


QUIET = (1.00e-3, 1.01e-3, 0.99e-3, 1.00e-3, 1.005e-3)
NOISY = (1.0e-3, 1.4e-3, 0.7e-3, 1.2e-3, 0.8e-3)


def timed(processes, metric="latency_p50", factor=1.0, unit="s"):
    values = tuple(value * factor for value in processes)
    return one(metric, sorted(values)[len(values) // 2], unit, processes=values)


@pytest.mark.parametrize(
    ("new", "old", "limit", "outcome", "word"),
    [
        (timed(QUIET), timed(QUIET), "10 %", "pass", "inside"),
        (timed(QUIET, factor=1.05), timed(QUIET), "10 %", "pass", "inside"),
        (timed(QUIET, factor=1.15), timed(QUIET), "10 %", "fail", "beyond"),
        (timed(QUIET, factor=1.10), timed(QUIET), "10 %", "inconclusive", "crosses the limit"),
        (timed(QUIET), timed(QUIET), "0.5 %", "inconclusive", "tighter than the noise"),
        (timed(NOISY), timed(NOISY), "10 %", "inconclusive", "the smallest change that these runs can tell apart is"),
        # Against a stored report, interference in one of the two would look like a change.
        (
            dataclasses.replace(timed(QUIET, factor=1.15), stability="contended: 20%"),
            timed(QUIET),
            "10 %",
            "inconclusive",
            "not stable",
        ),
        # A limit tighter than the noise still fails when the change is far beyond both.
        (timed(QUIET, factor=2.0), timed(QUIET), "0.5 %", "fail", "beyond"),
        (timed(QUIET[:1]), timed(QUIET), "10 %", "inconclusive", "one process says nothing"),
    ],
)
def test_regressions_of_times(new, old, limit, outcome, word, write):
    verdict = gate.judge(make_report(new), write(f'[regression]\nlatency_p50 = "{limit}"\n'), make_report(old))
    assert (verdict.verdict, word in check_of(verdict).reason) == (outcome, True)


def test_throughput_regresses_downwards(write):
    limits = write('[regression]\nthroughput = "10 %"\n')
    base = timed(QUIET, "throughput", 1e6, "1/s")
    slower = timed(QUIET, "throughput", 0.8e6, "1/s")
    assert gate.judge(make_report(slower), limits, make_report(base)).verdict == "fail"
    assert gate.judge(make_report(base), limits, make_report(slower)).verdict == "pass"


@pytest.mark.parametrize(("size", "outcome"), [(1000, "pass"), (1020, "pass"), (1021, "fail"), (500, "pass")])
def test_regressions_of_bytes_are_exact(size, outcome, write):
    def rows(value):
        return make_report(bundle=[one("shipped_bytes", value, "B", kind="counted", low=value, high=value)])

    verdict = gate.judge(rows(size), write('[regression]\nshipped_bytes = "2 %"\n'), rows(1000))
    assert verdict.verdict == outcome


def test_regressions_of_quality_are_losses(write):
    def rows(value):
        return make_report(quality=[one("ndcg10", value, "1")])

    limits = write('[regression]\nndcg10 = "1 %"\n')
    assert gate.judge(rows(0.50), limits, rows(0.50)).verdict == "pass"
    assert gate.judge(rows(0.49), limits, rows(0.50)).verdict == "fail"
    assert gate.judge(rows(0.60), limits, rows(0.50)).verdict == "pass"


def test_other_machines_are_not_compared(write):
    limits = write('[regression]\nlatency_p50 = "10 %"\n')
    verdict = gate.judge(make_report(timed(QUIET)), limits, make_report(timed(QUIET), fingerprint="other"))
    assert verdict.verdict == "inconclusive"
    assert "another machine" in check_of(verdict).reason
    assert gate.judge(make_report(timed(QUIET)), limits).verdict == "inconclusive"


def test_a_broken_time_limit_is_measured_again(write):
    limits = write('[bundle]\nshipped_bytes = "10 B"\n' + LATENCY)
    size = [one("shipped_bytes", 5, "B", kind="counted")]
    slow = make_report(one("latency_p95", 0.004, low=0.0035, high=0.005), bundle=size)
    fast = make_report(one("latency_p95", 0.002, low=0.0019, high=0.0025), bundle=size)
    calls = []

    def confirm(answer):
        calls.append(answer)
        return answer

    twice = gate.judge(slow, limits, confirm=lambda: confirm(slow))
    assert twice.verdict == "fail"
    assert "confirmed by a second run" in twice.checks[1].reason
    once = gate.judge(slow, limits, confirm=lambda: confirm(fast))
    assert once.verdict == "inconclusive"
    assert "broken in the first run" in once.checks[1].reason
    assert len(calls) == 2
    gate.judge(fast, limits, confirm=lambda: confirm(slow))
    assert len(calls) == 2  # nothing was broken: nothing to confirm
    fat = make_report(bundle=[one("shipped_bytes", 50, "B", kind="counted")])
    gate.judge(fat, write('[bundle]\nshipped_bytes = "10 B"\n'), confirm=lambda: confirm(slow))
    assert len(calls) == 2  # bytes do not change by measuring again


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no limit"),
        ("[bundel]\nshipped_bytes = 1\n", "unknown section [bundel]; did you mean 'bundle'"),
        ("[bundle]\nshiped_bytes = 1\n", "unknown metric 'shiped_bytes'; did you mean 'shipped_bytes'"),
        ("[bundle]\nlatency_p50 = 1\n", "[bundle]: unknown metric 'latency_p50'"),
        ("[device.raspberry-pi-6]\npeak_rss = 1\n", "unknown device; did you mean 'raspberry-pi-"),
        (
            '[bundle]\nshipped_bytes = "4 MegaB"\n',
            "line 2: bundle.shipped_bytes = '4 MegaB' must be a number and one of",
        ),
        ("[device.host]\nlatency_p50 = 3\n", "has no unit; write it as a string with one of: s, ms"),
        ('[device.host]\nlatency_p50 = { limt = "3 ms" }\n', "did you mean 'limit'"),
        ("bundle = 3\n", "bundle must be a table"),
        ("[device]\nlatency_p50 = 3\n", "unknown device"),
        ("[bundle\n", "not valid TOML"),
    ],
)
def test_budgets_are_read_strictly(text, message, write):
    with pytest.raises(InputError) as caught:
        write(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("3 ms", "s", 0.003),
        ("250µs", "s", 250e-6),
        ("4 MB", "B", 4e6),
        ("4 MiB", "B", 4 * 1024**2),
        ("1_500 kB", "B", 1.5e6),
        ("10 %", "1", 0.1),
        ("6 M", "instructions", 6e6),
        ("5 mJ", "J", 0.005),
        (0.97, "1", 0.97),
        (1234, "B", 1234.0),
        ("100 /s", "1/s", 100.0),
    ],
)
def test_quantities_are_parsed(text, unit, value):
    assert parse_quantity(text, unit, "here") == pytest.approx(value, rel=1e-12)


@given(st.floats(1e-6, 900), st.sampled_from(["s", "J", "B", "instructions", "1/s"]))
def test_quantities_are_shown_with_three_digits(value, unit):
    scale = 1e6 if unit in ("B", "instructions") else 1.0
    shown = format_quantity(value * scale, unit)
    assert parse_quantity(shown.replace(",", ""), unit, "here") == pytest.approx(
        value * scale, rel=6e-3, abs=0.51 if unit in ("B", "instructions") else 1e-8 if unit != "1/s" else 6e-3
    )


def test_junit_holds_one_test_a_limit(write):
    text = '[bundle]\nshipped_bytes = "10 B"\n[device.host]\nlatency_p95 = "3 ms"\nlatency_p50 = "1 ms"\n'
    rows = [one("latency_p95", 0.0025, low=0.002, high=0.0031), one("latency_p50", 0.0002)]
    size = [one("shipped_bytes", 50, "B", kind="counted", low=50, high=50)]
    verdict = gate.judge(make_report(*rows, bundle=size), write(text))
    suite = ElementTree.fromstring(junit.junit_bytes(verdict))
    assert suite.attrib["tests"] == "3"
    assert suite.attrib["failures"] == "1"
    assert suite.attrib["errors"] == "1"
    names = [(case.attrib["classname"], case.attrib["name"], [child.tag for child in case]) for case in suite]
    assert names == [
        ("bundle", "shipped_bytes", ["failure"]),
        ("device.host", "latency_p95", ["error"]),
        ("device.host", "latency_p50", ["system-out"]),
    ]
    nasty = dataclasses.replace(verdict.checks[0], reason="a \x00 < b & \x1b[31m")
    broken = dataclasses.replace(verdict, checks=(nasty,))
    assert "a \\x00 < b & \\x1b[31m" in ElementTree.fromstring(junit.junit_bytes(broken))[0][0].attrib["message"]


def test_verdicts_are_written_and_read(write, tmp_path):
    verdict = gate.judge(make_report(one("latency_p95", 0.002)), write(LATENCY))
    gate.write_verdict(tmp_path / "verdict.json", verdict)
    assert gate.read_verdict(tmp_path / "verdict.json") == verdict
    (tmp_path / "verdict.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="not a verdict"):
        gate.read_verdict(tmp_path / "verdict.json")


def test_a_report_is_judged_by_path(write, tmp_path):
    """The door for Python: paths as text or `Path`, or what was read from them, and the errors of the command line."""
    found = make_report(timed(QUIET, factor=1.15), bundle=[one("shipped_bytes", 5, "B", kind="counted")])
    report.write_report(tmp_path / "report.json", found)
    report.write_report(tmp_path / "baseline.json", make_report(timed(QUIET)))
    limits = write('[bundle]\nshipped_bytes = "10 B"\n[regression]\nlatency_p50 = "10 %"\n')
    by_path = judge_report(str(tmp_path / "report.json"), limits.path, tmp_path / "baseline.json")
    assert (by_path.verdict, by_path.exit_code, by_path.baseline) == ("fail", 1, "baseline.json")
    read = judge_report(found, limits, make_report(timed(QUIET)), baseline_name="baseline.json")
    assert read == by_path
    bundle = write_bundle(tmp_path / "old", name="m")
    assert judge_report(found, limits, bundle).verdict == "inconclusive"  # a bundle alone has no times
    with pytest.raises(InputError, match="the baseline other is of 'miniature', not of 'm'"):
        judge_report(found, limits, write_bundle(tmp_path / "other"))
    with pytest.raises(InputError, match="is not a benchmark report"):
        judge_report(bundle / "manifest.json", limits)


def test_the_shipped_budget_is_readable():
    from builders.tiny_recipe import REPOSITORY

    found = budgets.read_budget(REPOSITORY / "budgets" / "pydocs.toml")
    sizes = {limit.metric: limit.limit for limit in found.limits if limit.section == "bundle"}
    assert sizes["shipped_bytes"] == 3e6


def test_command_line_gates_and_exits(pocketrank, tmp_path):
    bundle = write_bundle(tmp_path / "run" / "bundle")
    files = models.find_model(bundle)
    facts = report.ModelFacts(
        "miniature",
        "subject",
        files.onnx.stat().st_size,
        models.sha256_file(files.onnx),
        files.tokenizer.stat().st_size,
        models.sha256_file(files.tokenizer),
        16,
    )
    rows = models.bundle_measurements(bundle)
    beside = dataclasses.replace(make_report(bundle=rows), subject="miniature", models=(facts,))
    report.write_report(tmp_path / "run" / "report.json", beside)
    budget = tmp_path / "budget.toml"

    def call(text, *words):
        budget.write_text(text, encoding="utf-8")
        return pocketrank("gate", bundle, "--budget", budget, *words)

    good = call('[bundle]\nshipped_bytes = "1 MB"\n', "--json", "--junit", tmp_path / "gate.xml")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["verdict"] == "pass"
    assert ElementTree.parse(tmp_path / "gate.xml").getroot().attrib["tests"] == "1"
    bad = call('[bundle]\nshipped_bytes = "1 kB"\n', "--out", tmp_path / "verdict.json")
    assert bad.returncode == 1
    assert "verdict: fail" in bad.stdout
    assert json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))["exit_code"] == 1
    assert call('[regression]\nshipped_bytes = "1 %"\n').returncode == 4
    assert call("[bundel]\nx = 1\n").returncode == 2
    write_bundle(bundle, seed=1)
    stale = call('[bundle]\nshipped_bytes = "1 MB"\n', "--report", tmp_path / "run" / "report.json")
    assert stale.returncode == 2
    assert "is about other files" in stale.stderr

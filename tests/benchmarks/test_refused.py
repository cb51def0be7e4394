"""What is no measurement passes no gate: bundles that `verify` refuses, changed reports, impossible values, limits."""

import dataclasses
import json
import math
import xml.etree.ElementTree as ElementTree

import pytest
from builders.miniature import graph, write_bundle, write_manifest
from builders.reports import make_report, one
from pocketrank.benchmarks.gate import budget as budgets
from pocketrank.benchmarks.gate import judge as gate
from pocketrank.benchmarks.gate import junit
from pocketrank.benchmarks.gate.judge import BASELINE
from pocketrank.benchmarks.gate.release import baseline_of_bundle
from pocketrank.benchmarks.measure.model_files import (
    bundle_measurements,
    find_model,
    find_verified,
    quality_measurements,
)
from pocketrank.benchmarks.records import report
from pocketrank.benchmarks.records.metrics import METRICS, metric_of
from pocketrank.benchmarks.render import github
from pocketrank.benchmarks.render.tables import verdict_table
from pocketrank.cli.main import main
from pocketrank.cli.output import Bars, print_line, print_table
from pocketrank.runtime.errors import InputError, VerificationError
from pocketrank.runtime.manifest import Figure, read_manifest
from pocketrank.runtime.progress import Lines

LATENCY = '[device.host]\nlatency_p50 = "3 ms"\n'


def write_budget(tmp_path, text):
    path = tmp_path / "budget.toml"
    path.write_text(text, encoding="utf-8")
    return path


# Bundles


def shuffled(bundle):
    path = bundle / "onnx" / "model_quantized.onnx"
    data = bytearray(path.read_bytes())
    data[400:800] = data[400:800][::-1]
    path.write_bytes(data)


def heavier(bundle):
    with (bundle / "onnx" / "model_quantized.onnx").open("ab") as stream:
        stream.write(bytes(100_000))


def other_weights_and_manifest(bundle):
    (bundle / "onnx" / "model_quantized.onnx").write_bytes(graph(quantized=True, seed=5))
    write_manifest(bundle)


def without_a_file(bundle):
    (bundle / "golden.json").unlink()


def with_an_extra_file(bundle):
    (bundle / "payload.bin").write_bytes(b"x")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (shuffled, "onnx/model_quantized.onnx differs from the manifest (same size, other content)"),
        (heavier, "bytes instead of"),
        (other_weights_and_manifest, "golden vectors model_quantized: largest difference"),
        (without_a_file, "missing files: golden.json"),
        (with_an_extra_file, "extra files: payload.bin"),
    ],
)
def test_what_verify_refuses_is_neither_gated_nor_measured(change, word, tmp_path, capsys):
    bundle = write_bundle(tmp_path / "bundle")
    budget = write_budget(tmp_path, '[bundle]\nshipped_bytes = "1 MB"\n')
    change(bundle)
    assert main(["verify", str(bundle)]) == 1
    capsys.readouterr()
    for words in (["gate", str(bundle), "--budget", str(budget)], ["benchmark", str(bundle)]):
        assert main(words) == 1
        error = capsys.readouterr().err
        assert word in error and len(error.splitlines()) == 1


def test_a_baseline_bundle_is_checked_too_but_need_not_give_the_same_vectors_here(tmp_path):
    old = write_bundle(tmp_path / "old")
    other_weights_and_manifest(old)  # as with another version of onnxruntime: files as listed, vectors not
    assert baseline_of_bundle(old).subject == "miniature"
    with pytest.raises(VerificationError, match="golden vectors"):
        find_verified(old)
    shuffled(old)
    with pytest.raises(VerificationError, match="differs from the manifest"):
        baseline_of_bundle(old)


def test_a_bundle_for_another_runtime_is_left_to_the_devices_that_have_it(tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    runtime = dataclasses.replace(read_manifest(bundle).runtime, onnxruntime_min="99.0")
    (bundle / "onnx" / "model_quantized.onnx").write_bytes(graph(quantized=True, seed=5))
    write_manifest(bundle, runtime=runtime)
    find_verified(bundle)
    shuffled(bundle)
    with pytest.raises(VerificationError, match="same size, other content"):
        find_verified(bundle)


def test_bytes_are_counted_not_believed(tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    before = {row.metric: row.value for row in bundle_measurements(bundle)}
    (bundle / "extra").write_bytes(bytes(7))
    after = {row.metric: row.value for row in bundle_measurements(bundle)}
    assert after == before | {"folder_bytes": before["folder_bytes"] + 7}
    heavier(bundle)
    with pytest.raises(VerificationError, match="bytes instead of"):
        bundle_measurements(bundle)


def test_a_report_does_not_tell_the_gate_how_large_the_bundle_is(tmp_path, capsys):
    bundle = write_bundle(tmp_path / "bundle")
    arguments = ["--repetitions", "1", "--min-seconds", "0.01", "--energy", "none", "--no-overhead"]
    main(["benchmark", str(bundle), *arguments, "--out", str(tmp_path / "report.json")])
    found = report.read_report(tmp_path / "report.json")
    small = [dataclasses.replace(row, value=5.0, low=5.0, high=5.0) for row in found.bundle]
    report.write_report(tmp_path / "small.json", dataclasses.replace(found, bundle=tuple(small)))
    budget = write_budget(tmp_path, '[bundle]\nshipped_bytes = "1 kB"\n')
    assert main(["gate", str(bundle), "--budget", str(budget), "--report", str(tmp_path / "small.json")]) == 1
    assert "15.7 kB" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ndcg10_symmetric", "recall100_teacher", "mrr10_symmetric"])
def test_quality_that_nobody_measured_is_refused_with_its_file(name, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", quality={name: Figure(7.0, "made up")})
    with pytest.raises(InputError, match=rf"manifest.json: {name}: value = 7.0 must be at least 0 and at most 1"):
        quality_measurements(bundle)
    evaluation = tmp_path / "evaluation.json"
    for entry in ({"value": 0.5, "low": 0.6, "high": 0.7}, {"value": 0.5, "low": "a"}, {"value": 0.5, "count": 0}):
        evaluation.write_text(json.dumps({name: entry}), encoding="utf-8")
        with pytest.raises(InputError, match=r"evaluation\.json: "):
            quality_measurements(None, evaluation)


# Reports


def whole_report():
    rows = [
        one("latency_p50", 1e-3, low=0.9e-3, high=1.1e-3, processes=(1e-3, 1e-3)),
        one("throughput", 900.0, "1/s"),
        one("model_rss", -4096.0, "B"),  # a difference of two readings may be negative
    ]
    quality = [one("ndcg10_symmetric", 0.5, "1"), one("ndcg10_retention_symmetric", 1.02, "1")]
    return make_report(*rows, bundle=[one("shipped_bytes", 5.0, "B", kind="counted")], quality=quality)


def forge(path, change):
    """Write a report whose content was changed, with the hash that belongs to it."""
    mapping = json.loads(json.dumps(report.report_mapping(whole_report())))
    del mapping["sha256"]
    change(mapping)
    path.write_text(json.dumps({**mapping, "sha256": report._content_hash(mapping)}), encoding="utf-8")
    return path


def row(position, **changes):
    return lambda mapping: mapping["devices"][0]["measurements"][position].update(changes)


def quality(position, **changes):
    return lambda mapping: mapping["quality"][position].update(changes)


def device(**changes):
    return lambda mapping: mapping["devices"][0].update(changes)


def test_the_report_that_the_cases_change_is_read(tmp_path):
    path = forge(tmp_path / "report.json", lambda mapping: None)
    assert report.read_report(path) == whole_report()


@pytest.mark.parametrize(
    ("change", "key", "word"),
    [
        (row(0, value=math.nan), "devices[0].measurements[0].value", "finite number"),
        (row(0, value=math.inf), "devices[0].measurements[0].value", "finite number"),
        (row(0, value=-math.inf), "devices[0].measurements[0].value", "finite number"),
        (row(0, low=math.nan), "devices[0].measurements[0].low", "finite number"),
        (row(0, processes=[1e-3, math.nan]), "devices[0].measurements[0].processes[1]", "finite number"),
        (row(0, value=-1e-3, low=None, high=None), "devices[0].measurements[0]", "value = -0.001 must be at least 0"),
        (row(1, value=-900.0), "devices[0].measurements[1]", "throughput: value = -900.0 must be at least 0"),
        (row(0, value=5e-3), "devices[0].measurements[0]", "outside of its own high = 0.0011"),
        (row(0, value=1e-4), "devices[0].measurements[0]", "outside of its own low = 0.0009"),
        (row(0, count=0), "devices[0].measurements[0]", "count = 0"),
        (row(0, count=-7), "devices[0].measurements[0]", "count = -7"),
        (row(0, unit="parsec"), "devices[0].measurements[0]", "unit = 'parsec', it is measured in 's'"),
        (row(0, unit="B"), "devices[0].measurements[0]", "unit = 'B', it is measured in 's'"),
        (row(0, device="another"), "devices[0]", "is from device 'another', not 'f'"),
        (quality(0, value=7.0), "quality[0]", "ndcg10_symmetric: value = 7.0 must be at least 0 and at most 1"),
        (quality(1, value=-0.1), "quality[1]", "ndcg10_retention_symmetric: value = -0.1"),
        (quality(0, unit="parsec"), "quality[0]", "unit = 'parsec'"),
        (lambda mapping: mapping["bundle"][0].update(value=-5.0), "bundle[0]", "shipped_bytes: value = -5.0"),
        (device(runs=[]), "devices[0]", "no process among runs gave it"),
        (lambda mapping: mapping["devices"][0]["runs"][0].update(outcome="failed"), "devices[0]", "no process among"),
        (lambda mapping: mapping["devices"][0]["runs"][0].update(count=-7), "devices[0].runs[0]", "is negative"),
        (lambda mapping: mapping["models"][0].update(model_bytes=-1), "models[0]", "must be at least 1"),
        (lambda mapping: mapping.update(subject="other"), "report.json", "subject = 'other' is not among the models"),
        (lambda mapping: mapping.update(subjekt=1), "report.json", "did you mean 'subject'"),
    ],
)
def test_reports_with_what_is_no_measurement_are_refused(change, key, word, tmp_path):
    with pytest.raises(InputError) as caught:
        report.read_report(forge(tmp_path / "report.json", change))
    assert str(tmp_path / "report.json") in str(caught.value)
    assert key in str(caught.value) and word in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        row(0, value=2e-3, high=3e-3),
        quality(0, value=0.9),
        device(interrupted=True),
        lambda mapping: mapping.update(x=1),
    ],
)
def test_a_change_by_hand_is_noticed(change, tmp_path, capsys):
    path = tmp_path / "report.json"
    report.write_report(path, whole_report())
    mapping = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(mapping, indent=7, sort_keys=True), encoding="utf-8")
    assert report.read_report(path) == whole_report()  # only the content counts
    change(mapping)
    path.write_text(json.dumps(mapping), encoding="utf-8")
    assert main(["compare", str(path), str(path)]) == 2
    assert "report.json was changed after it was written" in capsys.readouterr().err
    del mapping["sha256"]
    path.write_text(json.dumps(mapping), encoding="utf-8")
    assert main(["history", str(path)]) == 2
    assert "measure again" in capsys.readouterr().err


def test_a_report_that_was_printed_can_be_read(tmp_path, capsys):
    bundle = write_bundle(tmp_path / "bundle")
    arguments = ["--repetitions", "1", "--min-seconds", "0.01", "--energy", "none", "--no-overhead", "--json"]
    assert main(["benchmark", str(bundle), *arguments]) == 0
    (tmp_path / "printed.json").write_text(capsys.readouterr().out, encoding="utf-8")
    assert report.read_report(tmp_path / "printed.json").subject == "miniature"


@pytest.mark.parametrize("depth", [200, 900, 940, 970, 985, 100_000])
def test_a_deep_report_ends_in_one_line(depth, tmp_path, capsys):
    mapping = {**report.report_mapping(whole_report()), "settings": {"x": 0}}
    del mapping["sha256"]
    nested = "[" * depth + "0" + "]" * depth
    content = json.dumps(mapping, sort_keys=True, separators=(",", ":")).replace('{"x":0}', f'{{"x":{nested}}}')
    digest = report.sha256_bytes(content.encode())
    (tmp_path / "deep.json").write_text(f'{content[:-1]},"sha256":"{digest}"}}', encoding="utf-8")
    assert main(["compare", str(tmp_path / "deep.json"), str(tmp_path / "deep.json")]) in (
        (0,) if depth == 200 else (0, 2)
    )
    assert len(capsys.readouterr().err.splitlines()) <= 1


# Verdicts


def replay(passed):
    return report.GoldenReplay("m", passed, 4, 4, 1e-4, "largest difference 0.9 of 0.0001", 0.9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"interrupted": True}, "measuring on host was interrupted"),
        ({"golden": (replay(False),)}, "m gives other vectors on host: largest difference 0.9 of 0.0001"),
    ],
)
@pytest.mark.parametrize("section", ["[device.host]", "[regression]"])
def test_devices_that_prove_nothing_pass_nothing(change, reason, section, tmp_path):
    limits = budgets.read_budget(write_budget(tmp_path, f'{section}\nlatency_p50 = "{LIMITS[section]}"\n'))
    timed = one("latency_p50", 1e-3, processes=(1e-3, 1.001e-3, 0.999e-3))
    found, old = make_report(timed), make_report(timed)
    assert gate.judge(found, limits, old).verdict == "pass"
    damaged = dataclasses.replace(found, devices=(dataclasses.replace(found.devices[0], **change),))
    (check,) = gate.judge(damaged, limits, old).checks
    assert (check.outcome, check.reason) == ("inconclusive", reason)
    if section == "[regression]":
        (check,) = gate.judge(found, limits, damaged).checks
        assert (check.outcome, check.reason) == ("inconclusive", f"in the report of the baseline release, {reason}")


LIMITS = {"[device.host]": "3 ms", "[regression]": "50 %"}


@pytest.mark.parametrize("metric", ["latency_p50", "instructions_per_query"])
def test_other_texts_are_not_compared(metric, tmp_path):
    limits = budgets.read_budget(write_budget(tmp_path, f'[regression]\n{metric} = "50 %"\n'))
    kind = "counted" if metric.startswith("instructions") else "measured"
    found = make_report(one(metric, 1.0, METRICS[metric].unit, kind=kind, processes=(1.0, 1.001, 0.999)))
    other = dataclasses.replace(found, texts=dataclasses.replace(found.texts, sha256="1" * 64))
    assert gate.judge(found, limits, found).verdict == "pass"
    (check,) = gate.judge(found, limits, other).checks
    assert (check.outcome, "other texts" in check.reason) == ("inconclusive", True)


def test_a_baseline_is_a_release_of_the_same_bundle(tmp_path, capsys):
    bundle, other = write_bundle(tmp_path / "bundle"), write_bundle(tmp_path / "other", name="another")
    budget = write_budget(tmp_path, '[regression]\nshipped_bytes = "1 %"\n')
    report.write_report(tmp_path / "other.json", baseline_of_bundle(other))
    report.write_report(tmp_path / "report.json", baseline_of_bundle(bundle))
    words = ["gate", str(bundle), "--budget", str(budget), "--report", str(tmp_path / "report.json")]
    for option, path, code in (
        ("--baseline-bundle", other, 2),
        ("--baseline", tmp_path / "other.json", 2),
        ("--baseline", tmp_path / "report.json", 0),
        ("--baseline-bundle", bundle, 0),
    ):
        assert main([*words, option, str(path)]) == code
        said = capsys.readouterr().err
        assert ("is of 'another', not of 'miniature'" in said) == (code == 2)


def test_times_beside_another_baseline_bundle_are_not_taken(tmp_path):
    limits = budgets.read_budget(write_budget(tmp_path, '[regression]\nlatency_p50 = "50 %"\n'))
    old = baseline_of_bundle(write_bundle(tmp_path / "old"))
    runs = [report.Run(name, index, 0, "ok", count=9) for index in range(8) for name in ("miniature", BASELINE)]
    rows = [
        dataclasses.replace(
            one("latency_p50", 1.0, processes=tuple(1 + 1e-4 * index for index in range(8))), model=name
        )
        for name in ("miniature", BASELINE)
    ]
    for digest, verdict in ((old.models[0].model_sha256, "pass"), ("0" * 64, "inconclusive")):
        both = (old.models[0], dataclasses.replace(old.models[0], name=BASELINE, model_sha256=digest))
        found = dataclasses.replace(make_report(*rows, runs=runs), models=both, subject="miniature")
        assert gate.judge(found, limits, old).verdict == verdict


# Budgets


@pytest.mark.parametrize(
    "text",
    [
        *(f"[bundle]\nshipped_bytes = {value}\n" for value in ("inf", "nan", "-inf", "1e400", '"1e999 B"', "-1")),
        *(f"[regression]\nshipped_bytes = {value}\n" for value in ("inf", "nan", '"1e999 %"')),
        *(f"[quality]\nndcg10_symmetric = {value}\n" for value in ("7.0", "nan", "-0.1", "{ limit = inf }")),
        '[device.host]\nthroughput = "-5 /s"\n',
        "[device.host]\npeak_rss = { limit = 1e999 }\n",
    ],
)
def test_limits_that_limit_nothing_are_refused(text, tmp_path, capsys):
    budget = write_budget(tmp_path, text)
    assert main(["gate", str(tmp_path), "--budget", str(budget)]) == 2
    error = capsys.readouterr().err
    assert "budget.toml" in error and text.split("\n")[1].split(" =")[0] in error


def test_every_metric_declares_what_it_can_be():
    negative = {name for name, metric in METRICS.items() if metric.takes(-1.0)}
    assert negative == {"peak_rss_added", "libraries_rss", "tokenizer_rss", "model_rss"}  # differences of two readings
    assert not metric_of("ndcg10_symmetric").takes(1.01) and metric_of("ndcg10_retention_symmetric").takes(1.01)
    assert metric_of("parity_score_change_max").better == "lower" and metric_of("parity_cosine_min").takes(-0.5)
    assert (metric_of("baselines_bm25_bytes").unit, metric_of("anything").unit) == ("B", "1")


# Names


STEERING = "m\x1b[2J\x9b31m\r\n::set-output name=verdict::pass\n##[add-mask]x\u202e|\u2028%0A[bold]"


def test_names_steer_neither_terminals_nor_servers(tmp_path, capsys):
    verdict = gate.judge(make_report(), budgets.read_budget(write_budget(tmp_path, LATENCY)))
    check = dataclasses.replace(verdict.checks[0], device=STEERING, reason=STEERING, method=STEERING, place=STEERING)
    verdict = dataclasses.replace(verdict, subject=STEERING, budget=STEERING, baseline=STEERING, checks=(check,))
    table = verdict_table(verdict)
    print_table(STEERING, [STEERING, STEERING], [[STEERING, STEERING]], STEERING)
    print_table(table.title, table.columns, table.rows, table.note)
    print_line(STEERING)
    Lines().note(STEERING)
    Bars().note(STEERING)
    with Bars().task(STEERING, 1, "x"):
        pass
    printed = capsys.readouterr()
    texts = [printed.out, printed.err, github.summary(verdict), *github.annotations(verdict), junit_text(verdict)]
    for text in texts:
        assert all(letter.isprintable() or letter == "\n" for letter in text.replace("\x1b[?25", "")), text
        assert "\n::set-output" not in text and "\n##[" not in text
    assert "m\\x1b[2J\\x9b31m\\r\\n::set-output" in printed.out
    (line,) = github.annotations(verdict)
    assert line.startswith(
        "::error title=latency_p50 on m\\x1b[2J\\x9b31m\\r\\n%3A%3Aset-output name=verdict%3A%3Apass"
    )
    assert "%250A" in line and line.isprintable()


def junit_text(verdict):
    ElementTree.fromstring(junit.junit_bytes(verdict))
    return junit.junit_bytes(verdict).decode()


def test_a_table_on_a_server_is_printed_between_words_that_stop_commands(tmp_path, capsys):
    bundle = write_bundle(tmp_path / "bundle", name="::error::x")
    budget = write_budget(tmp_path, '[bundle]\nshipped_bytes = "1 MB"\n')
    report.write_report(tmp_path / "report.json", baseline_of_bundle(bundle))
    assert main(["gate", str(bundle), "--budget", str(budget), "--github"]) == 0
    first, *table, last = capsys.readouterr().out.splitlines()
    command, _, token = first.rpartition("::")
    assert (command, last, len(token)) == ("::stop-commands", f"::{token}::", 32)
    assert any("::error::x" in line for line in table)


@pytest.mark.parametrize(
    "parts",
    [
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Replace", "content": "aa"}] * 30}},
        {"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {}}] * 65}},
        {
            "post_processor": {
                "type": "Sequence",
                "processors": [
                    {"type": "TemplateProcessing", "special_tokens": {"[CLS]": {"ids": [1] * 100_000}}},
                ],
            }
        },
    ],
)
def test_a_tokenizer_of_others_that_multiplies_texts_is_not_opened(parts, tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "manifest.json").unlink()
    find_model(bundle)
    path = bundle / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))
    with pytest.raises(InputError, match="more than 64 times as much"):
        find_model(bundle)

"""The harness: the worker run for real, what a report holds, how models are found, and how runs that fail end."""

import dataclasses
import doctest
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from builders.miniature import DIMENSION, tokenizer, write_bundle
from onnx import TensorProto, helper, numpy_helper
from pocketrank.benchmarks.measure import aggregate, energy, measure_model
from pocketrank.benchmarks.measure import model_files as models
from pocketrank.benchmarks.measure import query_texts as texts
from pocketrank.benchmarks.measure import run as measure
from pocketrank.benchmarks.measure.session import WORKER, MeasureSettings, Session
from pocketrank.benchmarks.records import report
from pocketrank.benchmarks.records.metrics import METRICS
from pocketrank.devices.profile import Core, Power, Profile, read_profile
from pocketrank.devices.targets import open as target_module
from pocketrank.devices.targets.base import ProcessResult, Target
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError, UnavailableError
from pocketrank.runtime.progress import NoProgress

QUICK = MeasureSettings(
    repetitions=2, min_seconds=0.05, min_queries=60, warmup=2, energy="none", timeout=60, idle_seconds=0
)
TEXTS = ["merge two sorted lists", "open a network connection", "random number", "read text from socket"]
QUERIES = texts.QueryTexts(TEXTS)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle") / "miniature")


@pytest.fixture(scope="module")
def measured(bundle):
    """A report of the miniature bundle with its own fp32 variant as the reference."""
    files = [models.find_model(bundle), models.find_model(bundle / "onnx" / "model.onnx", "reference")]
    return measure.measure(files, ["host"], QUICK, QUERIES, NoProgress())


def run_worker(**request):
    done = subprocess.run(
        [sys.executable, "-I", WORKER], input=json.dumps(request), capture_output=True, text=True, check=False
    )
    return done, json.loads(done.stdout) if done.returncode == 0 else None


def request_for(bundle, **changes):
    quick = {"min_seconds": 0.01, "min_queries": 8, "warmup": 1, "texts": TEXTS, "max_length": 16}
    paths = {"onnx": str(bundle / "onnx/model.onnx"), "tokenizer": str(bundle / "tokenizer.json")}
    return {**quick, **paths, **changes}


def test_the_worker_stands_alone():
    """Nothing but the standard library at import, so that a board needs three packages and no pocketrank."""
    source = WORKER.read_text(encoding="utf-8")
    assert "pocketrank" not in source.replace("POCKETRANK_SPAWNED", "")
    spec = importlib.util.spec_from_file_location("worker", WORKER)
    code = (
        f"import sys; sys.path.insert(0, {str(WORKER.parent)!r}); sys.path.pop(0);"
        "import runpy; before = set(sys.modules);"
        f"runpy.run_path({str(WORKER)!r}, run_name='worker');"
        "print([name for name in ('numpy', 'onnxruntime', 'tokenizers') if name in sys.modules])"
    )
    assert spec is not None
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_worker_and_encoder_compute_the_same_vectors(bundle):
    done, result = run_worker(**request_for(bundle, vectors=4))
    assert done.returncode == 0, done.stderr
    expected = Encoder.open(bundle, "model").encode(TEXTS)
    assert np.allclose(result["vectors"], expected, atol=1e-6)
    assert result["ids"] == [Encoder.open(bundle, "model").tokenize(text) for text in TEXTS]


def test_worker_reports_whole_rounds_and_ordered_phases(bundle):
    _, result = run_worker(**request_for(bundle, min_queries=10))
    queries = result["queries"]
    samples = report.unpack(queries["latency_ns"])
    assert queries["count"] == len(samples) >= 10
    assert queries["count"] % len(TEXTS) == 0
    assert (report.unpack(queries["tokenize_ns"]) <= samples).all()
    assert samples.sum() / 1e9 <= queries["wall"]
    assert set(result["phases"]) == {"interpreter", "import", "tokenizer", "session", "first"}
    assert all(seconds >= 0 for seconds in result["phases"].values())
    assert 0 < result["phases"]["interpreter"] < 30  # read from /proc: nobody told this worker when it was started
    resident = [result["memory"][stage]["rss"] for stage in ("interpreter", "import", "tokenizer", "session")]
    assert resident == sorted(resident)
    assert result["peak_rss"] >= resident[-1]


def test_worker_stops_when_its_time_is_up(bundle):
    _, result = run_worker(**request_for(bundle, min_seconds=60, min_queries=10**9, max_seconds=0.2))
    assert 0.2 <= result["queries"]["wall"] < 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": []}, "the request holds no texts"),
        ({"wrong": 1}, "unknown keys in the request: wrong"),
        ({"output": "nothing"}, "the model has no output 'nothing' (it has: last_hidden_state, sentence_embedding)"),
    ],
)
def test_worker_refuses_in_one_line(bundle, change, message):
    done, _ = run_worker(**request_for(bundle, **change))
    assert done.returncode == 1
    assert done.stderr.strip() == message


def token_model(path: Path, kind: int, extra: tuple[str, ...] = ()) -> Path:
    """Write a model of token vectors only, as most hub models are; `extra` inputs are read but change nothing."""
    table = np.random.default_rng(0).normal(size=(200, DIMENSION)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows"])]
    last = "rows"
    for name in extra:
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}_f", "zero"], [f"{name}_z"]),
            helper.make_node("Unsqueeze", [f"{name}_z", "last"], [f"{name}_u"]),
            helper.make_node("Add", [last, f"{name}_u"], [f"{name}_h"]),
        ]
        last = f"{name}_h"
    nodes.append(helper.make_node("Identity", [last], ["token_embeddings"]))
    inputs = [helper.make_tensor_value_info(name, kind, ["b", "n"]) for name in ("input_ids", *extra)]
    outputs = [helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, ["b", "n", DIMENSION])]
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.float32(0), "zero"),
        numpy_helper.from_array(np.array([2]), "last"),
    ]
    graph = helper.make_graph(nodes, "tokens", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    path.with_name("tokenizer.json").write_text(tokenizer().to_str(), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
def test_any_embedding_model_runs_and_is_pooled(tmp_path, kind):
    path = token_model(tmp_path / "peer.onnx", kind, ("attention_mask", "token_type_ids", "position_ids"))
    found = models.find_model(path)
    assert (found.name, found.max_length) == ("peer", 256)
    done, result = run_worker(**request_for(tmp_path, onnx=str(path), vectors=4))
    assert done.returncode == 0, done.stderr
    table = numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    expected = np.stack([table[ids].mean(axis=0) for ids in result["ids"]])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(result["vectors"], expected, atol=1e-6)


def test_report_holds_every_metric_with_its_method(measured):
    device = measured.devices[0]
    subject = {one.metric: one for one in device.measurements if one.model == "miniature"}
    assert {"latency_p50", "latency_p95", "cold_start", "peak_rss", "cpu_per_query", "latency_p50_ratio"} <= set(
        subject
    )
    for one in device.measurements:
        assert one.unit == METRICS[one.metric].unit
        assert one.method
        assert one.device == device.fingerprint
        if one.value is None:
            assert one.reason
        elif one.low is not None and one.high is not None:
            assert one.low <= one.value <= one.high
    parts = [one.value for name, one in subject.items() if name.startswith("cold_start_") and "ratio" not in name]
    assert len(parts) == 5
    order = [(run.model, run.repetition) for run in device.runs]
    assert order == [("miniature", 0), ("reference", 0), ("reference", 1), ("miniature", 1)]


def test_the_door_is_documented_by_what_it_does():
    """The example in the documentation is run as it stands."""
    from pocketrank.benchmarks import measure as door

    assert door.__all__ == ["MeasureSettings", "measure_model"]
    (example,) = doctest.DocTestFinder().find(door.measure_model, "measure_model", globs={})
    failed, tried = doctest.DocTestRunner().run(example)
    assert (failed, tried) == (0, 5)


def test_the_door_takes_paths_as_they_come(bundle, tmp_path):
    (tmp_path / "queries.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    onnx_file = str(bundle / "onnx" / "model.onnx")
    report = measure_model(str(bundle), settings=QUICK, texts=tmp_path / "queries.txt", compare_with=[onnx_file])
    assert (report.subject, report.reference) == ("miniature", "miniature/model")
    assert (report.texts.source, report.texts.count) == ("queries.txt", len(TEXTS))
    assert {row.metric for row in report.bundle} >= {"shipped_bytes", "folder_bytes"}
    assert report.devices[0].find("latency_p50_ratio", "miniature").value > 0
    with pytest.raises(InputError, match="nothing does not exist; name a bundle or an ONNX file"):
        measure_model(tmp_path / "nothing")
    with pytest.raises(InputError, match="there is no device 'raspberry-pi-6'; did you mean"):
        measure_model(bundle, "raspberry-pi-6")
    with pytest.raises(InputError, match="--energy rappl: did you mean 'rapl'"):
        measure_model(bundle, settings=dataclasses.replace(QUICK, energy="rappl"))


def test_percentiles_need_samples(measured):
    device = measured.devices[0]
    p99 = device.find("latency_p99", "miniature")
    count = sum(run.count for run in device.runs if run.model == "miniature")
    if count < 299:
        assert p99.value is None
        assert "299 are needed" in p99.reason
    short = [dataclasses.replace(run, count=4, latency_ns=pack([1000] * 4)) for run in device.runs]
    found = {one.metric: one for one in aggregate.aggregate_runs(short, "x", "f")}
    assert found["latency_p50"].value == pytest.approx(1e-6)  # 16 samples
    assert found["latency_p95"].value is None
    assert found["latency_p95"].reason.startswith("16 samples, 59 are needed")


def pack(values):
    spec = importlib.util.spec_from_file_location("worker", WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pack(values)


def test_packed_samples_survive():
    values = [0, 1, 2**40, 2**63]
    assert report.unpack(pack(values)).tolist() == values
    with pytest.raises(InputError, match="damaged"):
        report.unpack("no base64!")


def test_emulated_seconds_are_left_out(measured):
    runs = [run for run in measured.devices[0].runs if run.model == "miniature"]
    found = {one.metric: one for one in aggregate.aggregate_runs(runs, "m", "f", has_wall_time=False)}
    assert found["latency_p50"].value is None
    assert found["latency_p50"].reason == "the seconds of an emulated processor say nothing about the real one"
    assert found["peak_rss"].value > 0


def test_report_is_written_read_and_refused(measured, tmp_path):
    path = tmp_path / "report.json"
    report.write_report(path, measured)
    assert report.read_report(path) == measured
    mapping = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**mapping, "version": 99}), encoding="utf-8")
    with pytest.raises(InputError, match="report version 99, this pocketrank reads version 2; measure again"):
        report.read_report(path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="not a benchmark report"):
        report.read_report(path)
    path.write_text(json.dumps({**mapping, "subjekt": 1}), encoding="utf-8")
    with pytest.raises(InputError, match="was changed after it was written"):
        report.read_report(path)


def test_bytes_of_the_report_are_those_of_the_files(measured, bundle):
    found = {one.metric: one.value for one in measured.bundle}
    shipped = (bundle / "onnx/model_quantized.onnx").stat().st_size + (bundle / "tokenizer.json").stat().st_size
    assert found["shipped_bytes"] == shipped
    assert found["folder_bytes"] == sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())


class Replay(Target):
    """A device that plays prepared answers back."""

    def __init__(self, answers, profile=None):
        super().__init__(profile or read_profile("host"))
        self.answers = iter(answers)

    def run(self, script, request, arguments=(), timeout=600.0):
        return next(self.answers)


def test_out_of_memory_is_a_result(bundle):
    files = [models.find_model(bundle)]
    killed = ProcessResult("out of memory", "", "exit code -9", 0.1)
    found = measure.measure_device(Session(Replay([killed, killed]), files, TEXTS, QUICK, NoProgress()))
    assert [run.outcome for run in found.runs] == ["out of memory"] * 2
    assert found.find("latency_p50", "miniature").reason == "no process finished: out of memory (exit code -9)"


def test_a_model_that_does_not_open_stops_the_run(tmp_path):
    path = token_model(tmp_path / "broken.onnx", TensorProto.INT64)
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match=r"broken cannot be measured: .*; check the model"):
        measure.measure([models.find_model(path)], ["host"], QUICK, QUERIES, NoProgress())


def test_a_missing_device_does_not_stop_the_others(bundle, monkeypatch):
    def closed(device):
        if device == "host":
            return Target(read_profile("host"))
        raise UnavailableError("nobody answers; switch it on")

    monkeypatch.setattr(measure, "open_target", lambda device, options: closed(device))
    files = [models.find_model(bundle)]
    found = measure.measure(files, ["raspberry-pi-5", "host"], QUICK, QUERIES, NoProgress())
    assert [device.device for device in found.devices] == ["host"]
    assert found.unavailable == (report.Unavailable("raspberry-pi-5", "nobody answers; switch it on"),)
    with pytest.raises(UnavailableError, match="nobody answers"):
        measure.measure(files, ["raspberry-pi-5"], QUICK, QUERIES, NoProgress())


def test_a_process_that_hangs_is_stopped(tmp_path):
    script = tmp_path / "sleep.py"
    script.write_text("import time; time.sleep(30)", encoding="utf-8")
    done = Target(read_profile("host")).run(script, "", timeout=0.3)
    assert (done.outcome, done.detail) == ("timeout", "stopped after 0 s")


def energy_run(model="m", count=100, cpu=1.0, **readings):
    return report.Run(model, 0, 0, "ok", count=count, cpu=cpu, wall=1.0, energy=readings)


def test_rapl_subtracts_the_idle_baseline():
    run = energy_run(
        idle={"seconds": 2.0, "joules": {"package-0": 6.0, "package-1": 4.0}},
        active={"seconds": 3.0, "joules": {"package-0": 20.0, "package-1": 20.0}},
    )
    found = energy.from_rapl([run, run])
    assert found.value == pytest.approx((40 - 5 * 3) / 100)
    assert found.kind == "measured"
    assert found.method == "package energy counter around the timed region; idle baseline of 5.00 W subtracted"
    assert energy.from_rapl([energy_run()]).reason.startswith("no readable energy counter")
    quiet = energy_run(idle={"seconds": 1.0, "joules": {"p": 5.0}}, active={"seconds": 1.0, "joules": {"p": 4.0}})
    assert energy.from_rapl([quiet]).reason.startswith("queries draw no more than the idle 5.00 W")


def test_worker_reads_counters_that_wrap_around(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("worker", WORKER)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the package: would be counted twice
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("1")
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("1000000\n")
    (zone / "energy_uj").write_text("900000\n")
    monkeypatch.setattr(worker._Energy, "root", str(tmp_path))
    meter = worker._Energy(0.0)
    meter.start()
    (zone / "energy_uj").write_text("400000\n")
    meter.stop()
    assert meter.readings["active"]["joules"] == {"package-0@intel-rapl:0": pytest.approx(0.5)}


def test_profile_model_needs_watts_with_a_source():
    core = Core("Cortex-A53", 4, 1400.0, "datasheet")
    board = Profile("board", "Board", "aarch64", cores=(core,), power=Power(2.0, 6.0, "a bench"))
    found = energy.from_profile(board, [energy_run(cpu=0.5, count=100)])
    assert found.value == pytest.approx((6 - 2) / 4 * 0.5 / 100)
    assert found.kind == "estimated"
    assert "a bench" in found.method
    assert found.source == "profile-model"
    absent = energy.from_profile(dataclasses.replace(board, power=None), [energy_run()])
    assert absent.value is None
    assert absent.reason == "the profile of board has no power figures with a source"


@pytest.mark.parametrize(("mode", "source"), [("cpu_load", "codecarbon-estimate"), ("intel_rapl", "codecarbon")])
def test_codecarbon_is_an_estimate_where_it_guesses(mode, source, monkeypatch):
    answer = {"joules": 2.0, "queries": 1000, "wall": 1.0, "cpu": 1.0, "mode": mode, "watts": 8.0}
    answer |= {"processor": "some CPU", "version": "3.3.2"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    found = energy.from_codecarbon(Replay([ProcessResult("ok", json.dumps(answer))]), {})
    assert found.value == pytest.approx(0.002)
    assert (found.source, found.kind) == (source, "estimated" if mode == "cpu_load" else "measured")


def test_codecarbon_runs_for_real(bundle):
    pytest.importorskip("codecarbon")
    found = energy.from_codecarbon(Target(read_profile("host")), request_for(bundle, min_seconds=1.5, min_queries=10))
    assert found.value is not None, found.reason
    assert found.value > 0
    assert found.method.startswith("codecarbon 3")


def test_texts_are_taken_evenly_and_read_from_files(tmp_path):
    assert texts.choose_texts([str(number) for number in range(10)], 4) == ["0", "2", "5", "7"]
    assert texts.choose_texts(["a", " ", "b"], 5) == ["a", "b"]
    plain = tmp_path / "queries.txt"
    plain.write_text("one\n\ntwo\n", encoding="utf-8")
    assert texts.read_queries(plain) == texts.QueryTexts(["one", "two"], "queries.txt")
    (tmp_path / "queries.jsonl").write_text('{"_id": "1", "text": "three"}\n', encoding="utf-8")
    assert texts.read_queries(tmp_path).texts == ["three"]
    (tmp_path / "queries.jsonl").write_text('{"_id": "1"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"lack a text .*queries\.jsonl line 1"):
        texts.read_queries(tmp_path)


def test_models_are_found_or_refused_clearly(bundle, tmp_path):
    assert models.find_model(bundle).onnx == bundle / "onnx/model_quantized.onnx"
    assert models.find_model(bundle / "onnx" / "model.onnx").tokenizer == bundle / "tokenizer.json"
    with pytest.raises(InputError, match="does not exist; name a bundle"):
        models.find_model(tmp_path / "nothing")
    with pytest.raises(InputError, match="has none of onnx/"):
        models.find_model(tmp_path)
    (tmp_path / "lonely.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match="beside it or one folder up"):
        models.find_model(tmp_path / "lonely.onnx")
    same = models.find_model(bundle)
    with pytest.raises(InputError, match="two models have the same name"):
        measure.measure([same, same], ["host"], QUICK, QUERIES, NoProgress())


def test_devices_are_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'raspberry-pi-5'"):
        target_module.check_devices(["raspbery-pi-5"])


def test_command_line_measures_and_says_it_in_json(pocketrank, bundle, tmp_path):
    out = tmp_path / "report.json"
    words = ("--repetitions", 2, "--min-seconds", 0.05, "--min-queries", 60, "--energy", "none", "--out", out)
    done = pocketrank("benchmark", bundle, "--with", bundle / "onnx" / "model.onnx", *words, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout) == json.loads(out.read_text(encoding="utf-8"))
    table = pocketrank("benchmark", bundle, *words)
    assert table.returncode == 0
    assert "latency_p50" in table.stdout
    assert "models interleaved" in table.stdout
    wrong = pocketrank("benchmark", bundle, "--device", "raspberry-pi-6")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("pocketrank: error: there is no device 'raspberry-pi-6'; did you mean")

"""Beside the main figures: sweeps, sustained runs, throttling, and what the harness itself costs."""

import dataclasses
import importlib.util

import numpy as np
import onnx
import pytest
from builders.miniature import MAX_LENGTH, write_bundle
from onnx import TensorProto, helper
from pocketrank.benchmarks.measure import model_files as models
from pocketrank.benchmarks.measure import overhead, sustained, sweep
from pocketrank.benchmarks.measure.aggregate import aggregate_runs
from pocketrank.benchmarks.measure.query_texts import QueryTexts
from pocketrank.benchmarks.measure.run import measure
from pocketrank.benchmarks.measure.session import WORKER, MeasureSettings
from pocketrank.benchmarks.measure.throttling import throttle_reasons
from pocketrank.benchmarks.records.report import Run, Window, read_report, write_report
from pocketrank.devices.profile import read_profile
from pocketrank.devices.targets.base import Target
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

TEXTS = ["merge two sorted lists", "open a network connection", "random number", "read text from socket"]
QUICK = MeasureSettings(
    repetitions=2, min_seconds=0.02, min_queries=60, warmup=2, energy="none", timeout=60, idle_seconds=0
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle") / "miniature")


@pytest.fixture(scope="module")
def worker():
    spec = importlib.util.spec_from_file_location("worker", WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_empty_model_does_nothing():
    model = onnx.load(overhead.EMPTY.onnx)
    onnx.checker.check_model(model, full_check=True)
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])
    vector = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", "length"])
    cast = helper.make_node("Cast", ["input_ids"], ["sentence_embedding"], to=TensorProto.FLOAT)
    graph = helper.make_graph([cast], "empty", [ids], [vector])
    assert model == helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_everything_beside_the_main_figures(bundle, tmp_path):
    settings = dataclasses.replace(
        QUICK,
        overhead=True,
        sustained_seconds=0.4,
        sweeps={"length": (4, 12, 99), "batch": (1, 4), "threads": (1, 2)},
    )
    report = measure([models.find_model(bundle)], ["host"], settings, QueryTexts(TEXTS), NoProgress())
    (device,) = report.devices
    empty = {one.metric: one for one in device.overhead}
    whole = device.find("latency_p50", "miniature")
    assert 0 < empty["latency_p50"].value < whole.value
    assert empty["cold_start_import"].value > 0
    assert empty["libraries_rss"].value > 1e6
    points = {(point.axis, point.value): point for point in device.sweeps}
    assert points["length", 4].mean_tokens == 4
    assert points["length", 12].mean_tokens == 12
    assert points["length", 99].reason == f"the model takes at most {MAX_LENGTH} tokens"
    assert points["length", 99].throughput is None
    for key in (("batch", 1), ("batch", 4), ("threads", 2)):
        assert points[key].throughput_low <= points[key].throughput <= points[key].throughput_high
    assert points["batch", 4].latency_p50 > 0
    (lasting,) = device.sustained
    assert sum(window.count for window in lasting.windows) > 0
    assert lasting.windows[-1].start < 0.4 + 1.5
    write_report(tmp_path / "report.json", report)
    assert read_report(tmp_path / "report.json").devices == report.devices


def test_a_batch_has_the_time_of_the_whole_and_the_throughput_of_its_texts(bundle, worker):
    calls = [dataclasses.replace(run(worker), observed={"instructions": 1200.0})] * 2  # 300 calls of 1 ms each
    point = sweep._point(models.find_model(bundle), "batch", 4, calls, Target(read_profile("host")))
    assert point.latency_p50 == pytest.approx(1e-3)
    assert point.throughput == pytest.approx(4000.0)
    assert point.throughput_low <= point.throughput <= point.throughput_high
    assert point.instructions == 1.0


def test_batches_are_padded_and_masked(bundle, worker):
    """The model must see the padding as padding: its mean over the batch's rows is that of each text alone."""
    found = models.find_model(bundle / "onnx" / "model.onnx")
    config = dict(worker.DEFAULTS, onnx=str(found.onnx), tokenizer=str(found.tokenizer), max_length=MAX_LENGTH)
    model, _ = worker.load(config, {}, {})
    seen = []
    session = model.session

    class Watching:
        def run(self, outputs, feeds):
            seen.append(session.run(outputs, feeds)[0])
            return seen[-1:]

    model.session = Watching()
    model.embed_batch([model.tokenize(text) for text in TEXTS])
    assert np.allclose(seen[0], Encoder.open(bundle, "model").encode(TEXTS), atol=1e-6)
    assert worker._batches(["a", "b", "c"], 2) == [["a", "b"], ["c", "a"]]


def test_texts_have_the_length_that_is_asked_for(bundle):
    found = models.find_model(bundle)
    encoder = Encoder.open(bundle)
    for text in sweep.texts_of_length(found, TEXTS, 10):
        assert len(encoder.tokenize(text)) >= 10
        assert len(encoder.tokenize(text.rpartition(" ")[0])) < 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["length=a"], "write an axis and whole numbers"),
        (["length"], "write an axis and whole numbers"),
    ],
)
def test_sweeps_are_read_strictly(words, message):
    assert sweep.parse_sweeps(["threads=1,2", "batch=8"]) == {"threads": (1, 2), "batch": (8,)}
    with pytest.raises(InputError, match=message):
        sweep.parse_sweeps(words)
    with pytest.raises(ValueError, match="there is no sweep over 'thread'"):
        MeasureSettings(sweeps={"thread": (1,)})
    with pytest.raises(ValueError, match="sweep length takes whole numbers from 3 up"):
        MeasureSettings(sweeps={"length": (2,)})


def test_throttle_bits_in_words():
    assert throttle_reasons(None) == []
    assert throttle_reasons(0x50000) == []  # happened some time, not now
    assert throttle_reasons(0x50005) == ["under-voltage", "throttled"]
    assert throttle_reasons(0x80000, before=0x0) == ["soft temperature limit"]  # between the two readings
    assert throttle_reasons(0x80000, before=0x80000) == []


def test_the_firmware_is_asked(worker, monkeypatch, tmp_path):
    tool = tmp_path / "vcgencmd"
    tool.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50005\n', encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setattr(worker, "VCGENCMD", (str(tool),))
    assert worker.conditions()["throttled"] == 0x50005
    monkeypatch.setattr(worker, "VCGENCMD", (str(tmp_path / "none"),))
    assert worker.conditions()["throttled"] is None


def run(worker, **after):
    samples = worker.pack([1_000_000] * 300)
    before = {"megahertz": 1500.0, "throttled": 0}
    facts = {"count": 300, "wall": 0.3, "cpu": 0.3, "latency_ns": samples, "tokenize_ns": samples}
    return Run("m", 0, 0, "ok", conditions={"before": before, "after": {**before, **after}}, **facts)


def test_a_throttled_timing_is_not_stable(worker):
    def verdict(**after):
        rows = aggregate_runs([run(worker), run(worker, **after)], "m", "f")
        return next(one for one in rows if one.metric == "latency_p50").stability

    assert verdict() == "stable"
    assert verdict(throttled=0x20002) == "throttled: frequency capped"
    assert verdict(megahertz=600.0) == "throttled: the clock fell by up to 60%"


def windows(speeds, **last):
    made = [Window(float(index), 100, speed, 1.0, 1 / speed, 1500.0, 50.0, 0) for index, speed in enumerate(speeds)]
    return [*made[:-1], dataclasses.replace(made[-1], **last)]


def test_sustained_runs_are_judged():
    assert sustained.judge(windows([100.0] * 8), 0) == ("held its speed", 0.0)
    word, change = sustained.judge(windows([100.0] * 4 + [80.0] * 4), 0)
    assert (word, change) == ("the last quarter is 20% slower than the first", pytest.approx(-0.2))
    word, _ = sustained.judge(windows([100.0] * 8, megahertz=1000.0, throttled=0x40004), 0)
    assert word == "throttled; the clock fell from 1500 to 1000 MHz"
    assert sustained.judge(windows([1.0] * 3), 0)[1] is None


def test_a_quota_is_not_contention(worker):
    halved = dataclasses.replace(run(worker), wall=0.6)
    for quota, word in ((1.0, "contended"), (0.5, "stable")):
        rows = aggregate_runs([halved, halved], "m", "f", cpu_quota=quota)
        assert next(one for one in rows if one.metric == "throughput").stability.startswith(word)


def test_this_machine_is_not_emulated():
    target = Target(read_profile("host"))
    assert (target.has_wall_time, target.is_emulated, target.cpu_quota) == (True, False, 1.0)

"""Energy: recorded readings of sensors and meters replayed, strict parsing, and the sampler run for real."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builders.miniature import write_bundle
from hypothesis import given
from hypothesis import strategies as st
from pocketrank.benchmarks.measure import energy
from pocketrank.benchmarks.measure.power_trace import PowerTrace, ina219_watts, pmic_watts, read_meter, sampled_trace
from pocketrank.devices.profile import read_profile
from pocketrank.devices.targets.base import ProcessResult, Target
from pocketrank.runtime.errors import InputError

# The form in which a Raspberry Pi 5's firmware prints its rails.
PMIC = """\
 3V7_WL_SW_A current(0)=0.00000000A
   3V3_SYS_A current(1)=0.06245952A
  VDD_CORE_A current(7)=2.50000000A
      HDMI_A current(22)=0.01367520A
 3V7_WL_SW_V volt(8)=3.79999600V
   3V3_SYS_V volt(9)=3.30632200V
  VDD_CORE_V volt(15)=0.89745940V
      HDMI_V volt(23)=5.07056000V
     EXT5V_V volt(24)=5.06788000V
      BATT_V volt(25)=3.01110800V
"""
PMIC_WATTS = 0.06245952 * 3.306322 + 2.5 * 0.8974594 + 0.0136752 * 5.07056


def test_pmic_rails_are_summed_without_those_that_have_no_current():
    assert pmic_watts(PMIC) == pytest.approx(PMIC_WATTS, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rail has both"),
        ("EXT5V_V volt(24)=5.06V\n", "no rail has both"),
        (PMIC.replace("VDD_CORE_V", "VDD_CPU_V"), "rail VDD_CORE has amps but no volts"),
        ("error=1 error_msg=Command not registered\n", "is no reading of a rail"),
        (PMIC.replace("volt(9)=3.30632200V", "volt(9)=3.30632200A"), "is no reading of a rail"),
    ],
)
def test_pmic_refuses_what_it_does_not_know(text, message):
    with pytest.raises(InputError, match=message):
        pmic_watts(text)


@pytest.mark.parametrize(
    ("reading", "watts"),
    [
        ({"power1_input": "2460000", "in1_input": "5120", "curr1_input": "480"}, 2.46),
        ({"in1_input": "5120", "curr1_input": "480"}, 5.12 * 0.48),
        ({"in_power2_raw": "123", "in_power2_scale": "20.000000000"}, 2.46),
        # 5.12 V on the bus (1280 steps of 4 mV, shifted by three), 48 mV over 0.1 ohm: 0.48 A.
        ({"bus_register": (1280 << 3) | 2, "shunt_register": 4800}, 5.12 * 0.48),
        ({"bus_register": 1280 << 3, "shunt_register": 65536 - 100}, 5.12 * -0.01),
    ],
)
def test_ina219_readings(reading, watts):
    assert ina219_watts(reading) == pytest.approx(watts)


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        ({}, "nothing has no power"),
        ({"bus_register": 1, "shunt_register": 0}, "overflow"),
        ({"in1_input": "1"}, "driver"),
    ],
)
def test_ina219_refuses_what_says_nothing(reading, message):
    with pytest.raises(InputError, match=message):
        ina219_watts(reading)


def meter(tmp_path, text):
    path = tmp_path / "meter.csv"
    path.write_text(text, encoding="utf-8")
    return read_meter(path)


@pytest.mark.parametrize(
    ("text", "watts", "seconds"),
    [
        ("time (s),power (mW)\n0,2500\n0.5,2600\n", [2.5, 2.6], [0, 0.5]),
        ("Timestamp[ms],Voltage[V],Current[mA],note\n0,5.0,500,\n100,5.1,400,x\n", [2.5, 2.04], [0, 0.1]),
        ("time_s;volts;amps\n0;5,0;0,5\n1,5;5,0;0,6\n", [2.5, 3.0], [0, 1.5]),
        ("Time\tWatts\n0\t1\n1\t2\n", [1, 2], [0, 1]),
        ("time,watts\n2026-01-31T12:00:00Z,1\n2026-01-31T13:00:00.500+01:00,2\n", [1, 2], None),
    ],
)
def test_meters_of_many_makes_are_read(text, watts, seconds, tmp_path):
    found = meter(tmp_path, text)
    assert found.trace.watts.tolist() == pytest.approx(watts)
    if seconds is None:
        assert found.absolute
        assert np.diff(found.trace.seconds).tolist() == pytest.approx([0.5])
    else:
        assert not found.absolute
        assert found.trace.seconds.tolist() == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time (s),power (mW)\n0,1\n", "at least two rows"),
        ("time (s),power\n0,1\n1,2\n", "column 'power' needs its unit"),
        ("time (s),power (dBm)\n0,1\n1,2\n", "column 'power \\(dBm\\)' needs its unit"),
        ("time (s),power (W),watts\n0,1,1\n1,2,2\n", "two columns could be watts"),
        ("time (s),voltage (V)\n0,1\n1,2\n", "needed are a time and watts"),
        ("seconds,watts\n0,1\n1,2\n", "needed are a time and watts"),
        ("time (s),watts\n0,1\nx,2\n", "row 3: 'x' is no number"),
        ("time (s),watts\n0,1\n1,nan\n", "row 3: 'nan' is no finite number"),
        ("time (s),watts\n1,1\n0,2\n", "row 3: time goes back"),
        ("time (s),watts\n0,1\n1\n", "row 3: 1 cells instead of 2"),
        ("time (s),watts,mark\n0,1,x\n1,1,x\n", "2 rows are marked"),
        ("time,watts\n2026-31-01T00:00,1\n2026-31-01T00:01,1\n", "is no ISO date"),
    ],
)
def test_meters_are_read_strictly(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        meter(tmp_path, text)


@given(st.floats(0.1, 50), st.floats(0.5, 20), st.integers(5, 60), st.floats(0, 0.3))
def test_constant_power_integrates_to_watts_times_seconds(watts, seconds, count, shift):
    trace = PowerTrace(np.linspace(-1, seconds + 1, count), np.full(count, watts))
    assert trace.energy(shift, seconds) == pytest.approx(watts * (seconds - shift))


def result(idle_watts=2.0, busy_watts=5.0, windows=3, count=1000, hertz=10.0):
    """What the metered worker wrote: 3 s idle, then windows of 3 s, read ten times a second."""
    spans = [{"begin": 103.5 + 3 * one, "end": 106.5 + 3 * one, "count": count, "cpu": 3.0} for one in range(windows)]
    times = np.arange(100.0, 104.0 + 3 * windows, 1 / hertz)
    readings = [[float(at), busy_watts if at > 103.5 else idle_watts] for at in times]
    return {"idle": [100.5, 103.4], "windows": spans, "epoch": 1.7e9, "power": {"source": "x", "readings": readings}}


def trace_of(found):
    return PowerTrace(*np.array(found["power"]["readings"]).T)


def test_idle_is_subtracted_and_every_joule_has_its_terms():
    found = result()
    reading = energy.from_windows("ina219", "INA219", trace_of(found), found)
    # 3 W above idle for 3 s over 1000 queries; the step lies between two readings of the first window.
    assert reading.value == pytest.approx(0.009, rel=0.01)
    assert reading.kind == "measured"
    assert reading.details == {
        "idle_watts": pytest.approx(2.0, abs=0.02),
        "window_seconds": 9.0,
        "rate_hertz": pytest.approx(10.0, abs=0.2),
    }
    assert "idle baseline of 2.00 W" in reading.method
    assert reading.count == 3000
    assert reading.low <= reading.value <= reading.high


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hertz": 2.0}, "readings in a window of"),
        ({"busy_watts": 2.0}, "draw no more than the idle 2.00 W"),
    ],
)
def test_what_cannot_be_told_is_absent(change, reason):
    found = result(**change)
    reading = energy.from_windows("pmic", "rails", trace_of(found), found)
    assert reading.value is None
    assert reason in reading.reason


class Board(Target):
    """A board that plays a recording back."""

    def __init__(self, answer):
        super().__init__(read_profile("host"))
        self.answer = answer

    def run(self, script, request, arguments=(), timeout=600.0):
        return self.answer


def test_a_pi_5_recording_becomes_joules():
    busy = PMIC.replace("current(7)=2.50000000A", "current(7)=5.00000000A")
    found = result()
    found["power"] = {
        "source": "pmic",
        "readings": [[at, busy if watts == 5.0 else PMIC] for at, watts in found["power"]["readings"]],
    }
    reading = energy.from_sensor("pmic", Board(ProcessResult("ok", json.dumps(found))), {})
    assert reading.value == pytest.approx(2.5 * 0.8974594 * 3 / 1000, rel=0.01)
    assert reading.details["idle_watts"] == pytest.approx(PMIC_WATTS, rel=0.01)
    nothing = energy.from_sensor("pmic", Board(ProcessResult("failed", "", "vcgencmd is not installed")), {})
    assert (nothing.value, nothing.reason) == (None, "vcgencmd is not installed")


@pytest.mark.parametrize("clock", ["date", "mark", "unknown"])
def test_a_meter_is_aligned_by_date_or_by_its_start_mark(clock, tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "METER_WAIT_SECONDS", 0.0)
    found = result()
    board = Board(ProcessResult("ok", json.dumps({**found, "power": None})))
    monkeypatch.setattr(energy, "BEGAN", found["epoch"] + 100.2)  # the run began 100.2 s after the clock's zero
    path = tmp_path / "meter.csv"
    rows = ["time (s),power (W),mark"]
    for index, (at, watts) in enumerate(found["power"]["readings"]):
        moment = at + found["epoch"] if clock == "date" else at - 60.0
        rows.append(f"{moment:.3f},{watts},{'start' if clock == 'mark' and index == 2 else ''}")
    path.write_text("\n".join(rows), encoding="utf-8")
    reading = energy.from_meter(path, board, {})
    if clock == "unknown":
        assert "counts from an unknown start" in reading.reason
        return
    assert reading.value == pytest.approx(0.009, rel=0.02)
    assert reading.source == "meter"


def test_a_meter_file_that_ends_too_early_is_no_energy(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "METER_WAIT_SECONDS", 0.0)
    board = Board(ProcessResult("ok", json.dumps(result())))
    missing = energy.from_meter(tmp_path / "none.csv", board, {})
    assert missing.reason.endswith("none.csv does not exist")
    path = tmp_path / "short.csv"
    path.write_text("time,watts\n1700000100,2\n1700000102,2\n", encoding="utf-8")
    assert "does not cover the run" in energy.from_meter(path, board, {}).reason


def test_codecarbon_is_an_estimate_unless_it_read_a_counter():
    base = {"joules": 3.0, "queries": 1000, "wall": 2.0, "watts": 8.0, "processor": "CPU", "version": "3"}
    guess = energy.codecarbon_reading({**base, "mode": "cpu_load"})
    assert (guess.source, guess.kind, guess.value) == ("codecarbon-estimate", "estimated", 0.003)
    assert "8 W assumed" in guess.method
    read = energy.codecarbon_reading({**base, "mode": "rpi_pmic"})
    assert (read.source, read.kind) == ("codecarbon", "measured")


@pytest.mark.parametrize(("wanted", "word"), [("rapel", "did you mean 'rapl'"), ("meter", "--meter FILE.csv")])
def test_sources_are_named_strictly(wanted, word):
    with pytest.raises(InputError, match=word):
        energy.check_source(wanted)


def test_the_sampler_reads_a_real_tool_beside_a_real_worker(tmp_path, monkeypatch):
    """A fake `vcgencmd` prints recorded rails; sampler, worker and parsing are the real ones."""
    tool = tmp_path / "vcgencmd"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{PMIC}END\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(energy, "METERING", {"idle_seconds": 0.4, "seconds": 0.4, "windows": 2, "hertz": 40.0})
    bundle = write_bundle(tmp_path / "bundle")
    request = {"onnx": str(bundle / "onnx/model.onnx"), "tokenizer": str(bundle / "tokenizer.json"), "texts": ["a b"]}
    metered, problem = energy._metered("pmic", Target(read_profile("host")), request)
    assert metered is not None, problem
    assert [one["count"] > 0 for one in metered["windows"]] == [True, True]
    trace = sampled_trace(metered["power"])
    assert trace.covers(metered["idle"][0], metered["windows"][-1]["end"])
    assert trace.watts.tolist() == pytest.approx([PMIC_WATTS] * len(trace.watts))


def test_the_sampler_ends_in_one_line_where_there_is_no_sensor(tmp_path):
    script = Path(energy.__file__).parent.parent / "worker" / "power_sampler.py"
    for source, word in (("pmic", "only a Raspberry Pi 5"), ("ina219", "no INA219")):
        done = subprocess.run(
            [sys.executable, "-I", script],
            input=json.dumps({"source": source, "bus": 77}) + "\n",
            env={"PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert word in done.stderr
        assert done.stderr.count("\n") == 1

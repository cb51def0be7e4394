"""Energy per query, each figure with its source, idle baseline, window and rate.

rapl            the processor's own counter, idle share subtracted (measured)
pmic            the power controller of a Raspberry Pi 5, its rails summed (measured)
ina219          a sensor chip in the supply line, on the board's I2C bus (measured)
meter:FILE      the CSV of a bench meter that recorded meanwhile (measured)
codecarbon      codecarbon where it reads such a counter (measured), or
                processor time x assumed watts where it has none (an estimate)
profile-model   processor time x (active - idle watts of the device profile) / cores (an estimate)
"""

import dataclasses
import importlib.util
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...devices.profile import Profile
from ...devices.targets.base import Target
from ...runtime.errors import InputError
from ...runtime.schema import did_you_mean
from ..records.metrics import Measurement
from ..records.report import DeviceReport, Run
from .aggregate import absent, from_processes
from .power_trace import PowerTrace, read_meter, sampled_trace
from .session import WORKER, ModelFiles, Session

METRIC = "energy_per_query"
# `meter` carries its file behind a colon.
SOURCES = ("auto", "rapl", "pmic", "ina219", "meter", "codecarbon", "profile-model", "none")
_AUTOMATIC = ("rapl", "pmic", "codecarbon", "profile-model")  # in this order
_FOLDER = WORKER.parent
# codecarbon's names for modes in which a counter is read; in all others it multiplies time by assumed watts.
_MEASURING_MODES = ("intel_rapl", "intel_power_gadget", "apple_powermetrics", "windows_emi", "rpi_pmic")
# A sensor is read a few times a second, so its windows are longer than those of the timings.
METERING = {"idle_seconds": 3.0, "seconds": 3.0, "windows": 5, "hertz": 10.0}
MIN_READINGS = 8  # in a window
METER_WAIT_SECONDS = 60.0  # for the meter's software to write the end of the recording
BEGAN = time.time()  # of this run, as near as a finger on the meter's start button can tell


def check_source(wanted: str) -> None:
    """Refuse a source that does not exist, and a meter without a file; raises `InputError`."""
    name, _, file = wanted.partition(":")
    if name not in SOURCES:
        raise InputError(f"--energy {wanted}: {did_you_mean(name, SOURCES)}")
    if name == "meter" and not file:
        raise InputError("energy from a meter needs its recording; name the file with --meter FILE.csv")


def measure_energy(session: Session, report: DeviceReport) -> DeviceReport:
    """Add the energy per query, in joules, of every model that runs on this device, or why there is none."""
    rows = list(report.measurements)
    for model in session.running(report):
        reading = _read(session, report, model)
        rows.append(dataclasses.replace(reading, model=model.name, device=report.fingerprint))
    position = {model.name: index for index, model in enumerate(session.models)}
    return dataclasses.replace(report, measurements=tuple(sorted(rows, key=lambda row: position[row.model])))


def _read(session: Session, report: DeviceReport, model: ModelFiles) -> Measurement:
    """Return the energy from the source that the settings name.

    `auto` takes the first of rapl, pmic, codecarbon and profile-model that can say something here.
    """
    target, request = session.target, session.requests[model.name]
    source, _, file = session.settings.energy.partition(":")
    if target.is_emulated:
        return _no_energy("none", f"processor time of an emulation ({target.kind}) is not the board's")
    if source == "none":
        return _no_energy("none", "energy was switched off")
    runs = [run for run in report.runs if run.model == model.name]
    readers: dict[str, Callable[[], Measurement]] = {
        "rapl": lambda: from_rapl(runs),
        "pmic": lambda: from_sensor("pmic", target, request),
        "ina219": lambda: from_sensor("ina219", target, request),
        "meter": lambda: from_meter(Path(file), target, request),
        "codecarbon": lambda: from_codecarbon(target, request),
        "profile-model": lambda: from_profile(target.profile, runs),
    }
    if source != "auto":
        return readers[source]()
    reasons = []
    for source in _AUTOMATIC:
        # Only one board has a power controller that can be read; elsewhere nothing needs to be started to know.
        if source == "pmic" and not report.machine.get("board", "").startswith("Raspberry Pi 5"):
            continue
        reading = readers[source]()
        if reading.value is not None:
            return reading
        reasons.append(f"{reading.source}: {reading.reason}")
    return _no_energy("none", "; ".join(reasons))


def _no_energy(source: str, reason: str) -> Measurement:
    return dataclasses.replace(absent(METRIC, "none", reason), kind="estimated", source=source)


def _energy(
    source: str,
    kind: Literal["measured", "estimated"],
    method: str,
    values: Sequence[float],
    queries: int,
    details: Mapping[str, float],
) -> Measurement:
    """Return the energy from one value a process, or a window; `details` are watts, seconds and readings a second."""
    rounded = {name: round(value, 4) for name, value in details.items()}
    row = from_processes(METRIC, values, method)
    return dataclasses.replace(row, kind=kind, count=queries, source=source, details=rounded)


def from_rapl(runs: Sequence[Run]) -> Measurement:
    """Return energy from the package counters that the worker read around its timed region."""
    values, queries, idle_watts, seconds = [], 0, [], []
    for run in runs:
        active, idle = run.energy.get("active"), run.energy.get("idle")
        if run.outcome != "ok" or not active or not run.count:
            continue
        joules = sum(active["joules"].values())
        if idle:
            watts = sum(idle["joules"].values()) / idle["seconds"]
            idle_watts.append(watts)
            joules -= watts * active["seconds"]
        values.append(joules / run.count)
        seconds.append(active["seconds"])
        queries += run.count
    if not values:
        return _no_energy("rapl", "no readable energy counter under /sys/class/powercap on this device")
    if np.median(values) <= 0:
        return _no_energy(
            "rapl", f"queries draw no more than the idle {np.mean(idle_watts):.2f} W that was read before"
        )
    baseline = f"idle baseline of {np.mean(idle_watts):.2f} W subtracted" if idle_watts else "idle not subtracted"
    method = f"package energy counter around the timed region; {baseline}"
    details = {"window_seconds": float(np.mean(seconds))}
    if idle_watts:
        details["idle_watts"] = float(np.mean(idle_watts))
    return _energy("rapl", "measured", method, values, queries, details)


def from_sensor(source: Literal["pmic", "ina219"], target: Target, request: Mapping[str, Any]) -> Measurement:
    """Return energy from a sensor on the device itself, read beside a process of its own with the same queries."""
    result, problem = _metered(source, target, request)
    if result is None:
        return _no_energy(source, problem)
    what = "volts x amps summed over the power controller's rails" if source == "pmic" else "INA219 in the supply line"
    return from_windows(source, what, sampled_trace(result["power"]), result)


def from_meter(path: Path, target: Target, request: Mapping[str, Any]) -> Measurement:
    """Return energy from a bench meter's CSV that covers a process of its own with the same queries.

    Times in the file are dates, or count from the marked row, which belongs to the start of this run. The file may
    still be growing: the end of the last window is waited for.
    """
    result, problem = _metered("", target, request)
    if result is None:
        return _no_energy("meter", problem)
    end = result["windows"][-1]["end"]
    deadline = time.monotonic() + METER_WAIT_SECONDS
    while True:
        problem, trace = _aligned(path, result["epoch"]) if path.is_file() else (f"{path} does not exist", None)
        if trace is not None and trace.covers(result["idle"][0], end):
            return from_windows("meter", f"bench meter, {path.name}", trace, result)
        if time.monotonic() > deadline:
            return _no_energy("meter", problem or f"{path} does not cover the run; record from before it on")
        time.sleep(min(1.0, METER_WAIT_SECONDS / 4))


def _aligned(path: Path, epoch: float) -> tuple[str, PowerTrace | None]:
    """Return a problem, or the meter's trace on the device's monotonic clock; `epoch` turns that into a date."""
    meter = read_meter(path)
    if meter.absolute:
        return "", PowerTrace(meter.trace.seconds - epoch, meter.trace.watts)
    if meter.mark is None:
        unknown = "counts from an unknown start: it needs dates, or a column `mark` with the row of the start"
        return f"{path} {unknown}", None
    return "", PowerTrace(meter.trace.seconds - meter.mark + BEGAN - epoch, meter.trace.watts)


def _metered(sensor: str, target: Target, request: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Run the metered worker, beside a `sensor` of the board or none; return what it wrote, or why there is nothing."""
    arguments = [target.upload(_FOLDER / name) for name in ("worker.py", "power_sampler.py")]
    metering = json.dumps({**request, "metering": {**METERING, "source": sensor}})
    process = target.run(_FOLDER / "metered_worker.py", metering, arguments, timeout=300.0)
    if process.outcome != "ok":
        return None, process.detail or process.outcome
    return json.loads(process.output), ""


def from_windows(source: str, what: str, trace: PowerTrace, result: Mapping[str, Any]) -> Measurement:
    """Return the energy above idle in the windows of the metered worker, all times on the trace's clock."""
    begin, end = result["idle"]
    windows = result["windows"]
    for first, last in [(begin, end), *((window["begin"], window["end"]) for window in windows)]:
        readings = trace.count(first, last)
        if not trace.covers(first, last) or readings < MIN_READINGS:
            needed = f"{MIN_READINGS} are needed; record faster"
            return _no_energy(source, f"{readings} readings in a window of {last - first:.1f} s, {needed}")
    idle_watts = trace.energy(begin, end) / (end - begin)
    values = []
    for window in windows:
        idle_joules = idle_watts * (window["end"] - window["begin"])
        values.append((trace.energy(window["begin"], window["end"]) - idle_joules) / window["count"])
    if min(values) <= 0:
        return _no_energy(source, f"queries draw no more than the idle {idle_watts:.2f} W that was read before")
    seconds = windows[-1]["end"] - windows[0]["begin"]
    rate = trace.count(windows[0]["begin"], windows[-1]["end"]) / seconds
    method = (
        f"{what}; {rate:.1f} readings a second over {len(windows)} windows of {seconds / len(windows):.1f} s; "
        f"idle baseline of {idle_watts:.2f} W, read for {end - begin:.1f} s before, subtracted"
    )
    details = {"idle_watts": idle_watts, "window_seconds": seconds, "rate_hertz": rate}
    return _energy(source, "measured", method, values, sum(window["count"] for window in windows), details)


def from_codecarbon(target: Target, request: Mapping[str, Any]) -> Measurement:
    """Return what codecarbon says about a process of its own that runs the same queries on this machine."""
    if target.kind != "local":
        return _no_energy("codecarbon", "codecarbon looks at the machine it runs on, not at a device")
    if importlib.util.find_spec("codecarbon") is None:
        return _no_energy("codecarbon", "not installed; pip install 'pocketrank[energy]'")
    process = target.run(_FOLDER / "codecarbon_worker.py", json.dumps(dict(request)), [str(_FOLDER)], timeout=300.0)
    if process.outcome != "ok":
        return _no_energy("codecarbon", f"its process ended with: {process.outcome} ({process.detail})")
    return codecarbon_reading(json.loads(process.output))


def codecarbon_reading(result: Mapping[str, Any]) -> Measurement:
    """Return the energy in what `codecarbon_worker.py` wrote; an estimate unless codecarbon read a counter."""
    if not result["joules"] > 0:
        return _no_energy("codecarbon", "codecarbon saw no energy in this process")
    details = {"window_seconds": result["wall"], "rate_hertz": 1.0}
    method = f"codecarbon {result['version']}, mode {result['mode']}, processor only, idle not subtracted, "
    values = [result["joules"] / result["queries"]]
    if result["mode"] in _MEASURING_MODES:
        method += "read from a counter"
        return _energy("codecarbon", "measured", method, values, result["queries"], details)
    assumed = f"{result['watts']:.0f} W assumed for {result['processor']}" if result["watts"] else "assumed watts"
    method += f"estimate: processor time x {assumed}"
    return _energy("codecarbon-estimate", "estimated", method, values, result["queries"], details)


def from_profile(profile: Profile, runs: Sequence[Run]) -> Measurement:
    """Return processor time x the watts that one busy core adds, after the device profile."""
    power, cores = profile.power, profile.core_count
    if power is None or not cores:
        return _no_energy("profile-model", f"the profile of {profile.name} has no power figures with a source")
    watts = (power.active_watts - power.idle_watts) / cores
    good = [run for run in runs if run.outcome == "ok" and run.count]
    if not good:
        return _no_energy("profile-model", "no process finished")
    method = (
        f"estimate: processor time x {watts:.2f} W, which is ({power.active_watts:g} - {power.idle_watts:g}) W "
        f"over {cores} cores, after {power.source}"
    )
    values = [watts * run.cpu / run.count for run in good]
    details = {"idle_watts": power.idle_watts, "window_seconds": float(np.mean([run.wall for run in good]))}
    return _energy("profile-model", "estimated", method, values, sum(run.count for run in good), details)

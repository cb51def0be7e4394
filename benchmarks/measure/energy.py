"""Energy per query, each figure with its source, idle baseline, window and rate.

rapl            the processor's own counter, idle share subtracted (measured)
pmic            the power controller of a Raspberry Pi 5, its rails summed (measured)
ina219          a sensor chip in the supply line, on the board's I2C bus (measured)
meter:FILE      the CSV of a bench meter that recorded meanwhile (measured)
codecarbon      codecarbon where it reads such a counter (measured), or
                processor time x assumed watts where it has none (an estimate)
profile-model   processor time x (active - idle watts of the device profile) / cores (an estimate)
"""

import importlib.util
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...devices.profile import Profile
from ...devices.targets.base import Target
from ...runtime.errors import InputError
from ...runtime.schema import did_you_mean
from ..records.report import Run
from ..statistics import intervals as statistics
from .power_trace import PowerTrace, read_meter, sampled_trace

# One of the names above; `meter` carries its file behind a colon.
EnergySource = str
SOURCES = ("auto", "rapl", "pmic", "ina219", "meter", "codecarbon", "profile-model", "none")
_FOLDER = Path(__file__).parent.parent / "worker"
# codecarbon's names for modes in which a counter is read; in all others it multiplies time by assumed watts.
_MEASURING_MODES = ("intel_rapl", "intel_power_gadget", "apple_powermetrics", "windows_emi", "rpi_pmic")
# A sensor is read a few times a second, so its windows are longer than those of the timings.
METERING = {"idle_seconds": 3.0, "seconds": 3.0, "windows": 5, "hertz": 10.0}
MIN_READINGS = 8  # in a window
METER_WAIT_SECONDS = 60.0  # for the meter's software to write the end of the recording
BEGAN = time.time()  # of this run, as near as a finger on the meter's start button can tell


@dataclass(frozen=True)
class EnergyReading:
    """Energy of one model on one device, or the reason why there is none."""

    source: str
    method: str = ""
    joules_per_query: float | None = None
    estimate: bool = True
    queries: int = 0
    processes: tuple[float, ...] = ()  # one value a process, or a window
    low: float | None = None
    high: float | None = None
    reason: str = ""
    details: dict[str, float] = field(default_factory=dict)  # idle_watts, window_seconds, rate_hertz


def check_source(wanted: str) -> None:
    """Refuse a source that does not exist, and a meter without a file; raises `InputError`."""
    name, _, file = wanted.partition(":")
    if name not in SOURCES:
        raise InputError(f"--energy {wanted}: {did_you_mean(name, SOURCES)}")
    if name == "meter" and not file:
        raise InputError("energy from a meter needs its recording; name the file with --meter FILE.csv")


def read_energy(wanted: EnergySource, target: Target, runs: Sequence[Run], request: Mapping[str, Any]) -> EnergyReading:
    """Return the energy per query of the model that `runs` and `request` are about.

    `auto` takes the first of rapl, pmic, codecarbon and profile-model that can say something here.
    """
    check_source(wanted)
    readers = {
        "rapl": lambda: from_rapl(runs),
        "pmic": lambda: from_sensor("pmic", target, request),
        "ina219": lambda: from_sensor("ina219", target, request),
        "meter": lambda: from_meter(Path(wanted.partition(":")[2]), target, request),
        "codecarbon": lambda: from_codecarbon(target, request),
        "profile-model": lambda: from_profile(target.profile, runs),
    }
    name = wanted.partition(":")[0]
    if name == "none":
        return EnergyReading("none", reason="energy was switched off")
    if name != "auto":
        return readers[name]()
    reasons = []
    for source in ("rapl", "pmic", "codecarbon", "profile-model"):
        # Only one board has a power controller that can be read; elsewhere nothing needs to be started to know.
        if source == "pmic" and not _is_pi5(target):
            continue
        reading = readers[source]()
        if reading.joules_per_query is not None:
            return reading
        reasons.append(f"{reading.source}: {reading.reason}")
    return EnergyReading("none", reason="; ".join(reasons))


def from_rapl(runs: Sequence[Run]) -> EnergyReading:
    """Return energy from the package counters that the worker read around its timed region."""
    values, queries, idle_watts, seconds = [], 0, [], []
    for run in runs:
        active = run.energy.get("active")
        if run.outcome != "ok" or not active or not run.count:
            continue
        joules = sum(active["joules"].values())
        idle = run.energy.get("idle")
        if idle:
            watts = sum(idle["joules"].values()) / idle["seconds"]
            idle_watts.append(watts)
            joules -= watts * active["seconds"]
        values.append(joules / run.count)
        seconds.append(active["seconds"])
        queries += run.count
    if not values:
        return EnergyReading("rapl", reason="no readable energy counter under /sys/class/powercap on this device")
    baseline = f"idle baseline of {np.mean(idle_watts):.2f} W subtracted" if idle_watts else "idle not subtracted"
    method = f"package energy counter around the timed region; {baseline}"
    details = {"window_seconds": round(float(np.mean(seconds)), 3)}
    if idle_watts:
        details["idle_watts"] = round(float(np.mean(idle_watts)), 4)
    return _from_processes("rapl", method, values, queries, estimate=False, details=details)


def from_sensor(source: str, target: Target, request: Mapping[str, Any]) -> EnergyReading:
    """Return energy from a sensor on the device itself, read beside a process of its own with the same queries."""
    reading, result = _metered(source, source, target, request)
    if reading is not None:
        return reading
    what = "volts x amps summed over the power controller's rails" if source == "pmic" else "INA219 in the supply line"
    return from_windows(source, what, sampled_trace(result["power"]), result)


def from_meter(path: Path, target: Target, request: Mapping[str, Any]) -> EnergyReading:
    """Return energy from a bench meter's CSV that covers a process of its own with the same queries.

    Times in the file are dates, or count from the marked row, which belongs to the start of this run. The file may
    still be growing: the end of the last window is waited for.
    """
    reading, result = _metered("meter", "", target, request)
    if reading is not None:
        return reading
    end = result["windows"][-1]["end"]
    deadline = time.monotonic() + METER_WAIT_SECONDS
    while True:
        problem, trace = _aligned(path, result["epoch"]) if path.is_file() else (f"{path} does not exist", None)
        if trace is not None and trace.covers(result["idle"][0], end):
            return from_windows("meter", f"bench meter, {path.name}", trace, result)
        if time.monotonic() > deadline:
            return EnergyReading("meter", reason=problem or f"{path} does not cover the run; record from before it on")
        time.sleep(min(1.0, METER_WAIT_SECONDS / 4))


def _aligned(path: Path, epoch: float) -> tuple[str, PowerTrace | None]:
    """Return a problem, or the meter's trace on the device's monotonic clock; `epoch` turns that into a date."""
    meter = read_meter(path)
    if meter.absolute:
        return "", PowerTrace(meter.trace.seconds - epoch, meter.trace.watts)
    if meter.mark is None:
        return (
            f"{path} counts from an unknown start: it needs dates, or a column `mark` with the row of the start",
            None,
        )
    return "", PowerTrace(meter.trace.seconds - meter.mark + BEGAN - epoch, meter.trace.watts)


def _metered(
    source: str, sensor: str, target: Target, request: Mapping[str, Any]
) -> tuple[EnergyReading | None, dict[str, Any]]:
    """Run the metered worker; return why there is nothing, or what it wrote."""
    arguments = [target.place(_FOLDER / name) for name in ("worker.py", "power_sampler.py")]
    asked = json.dumps({**request, "metering": {**METERING, "source": sensor}})
    done = target.run(_FOLDER / "metered_worker.py", asked, arguments, timeout=300.0)
    if done.outcome != "ok":
        return EnergyReading(source, reason=done.detail or done.outcome), {}
    return None, json.loads(done.output)


def from_windows(source: str, what: str, trace: PowerTrace, result: Mapping[str, Any]) -> EnergyReading:
    """Return the energy above idle in the windows of the metered worker, all times on the trace's clock."""
    begin, end = result["idle"]
    windows = result["windows"]
    spans = [(begin, end), *((one["begin"], one["end"]) for one in windows)]
    for first, last in spans:
        if not trace.covers(first, last) or trace.count(first, last) < MIN_READINGS:
            found = trace.count(first, last)
            reason = f"{found} readings in a window of {last - first:.1f} s, {MIN_READINGS} are needed; record faster"
            return EnergyReading(source, reason=reason)
    idle_watts = trace.energy(begin, end) / (end - begin)
    values = []
    for one in windows:
        seconds = one["end"] - one["begin"]
        values.append((trace.energy(one["begin"], one["end"]) - idle_watts * seconds) / one["count"])
    if min(values) <= 0:
        return EnergyReading(
            source, reason=f"queries draw no more than the idle {idle_watts:.2f} W that was read before"
        )
    seconds = windows[-1]["end"] - windows[0]["begin"]
    rate = trace.count(windows[0]["begin"], windows[-1]["end"]) / seconds
    method = (
        f"{what}; {rate:.1f} readings a second over {len(windows)} windows of {seconds / len(windows):.1f} s; "
        f"idle baseline of {idle_watts:.2f} W, read for {end - begin:.1f} s before, subtracted"
    )
    details = {"idle_watts": idle_watts, "window_seconds": seconds, "rate_hertz": rate}
    queries = sum(one["count"] for one in windows)
    rounded = {name: round(value, 4) for name, value in details.items()}
    return _from_processes(source, method, values, queries, estimate=False, details=rounded)


def from_codecarbon(target: Target, request: Mapping[str, Any]) -> EnergyReading:
    """Return what codecarbon says about a process of its own that runs the same queries on this machine."""
    if target.kind != "local":
        return EnergyReading("codecarbon", reason="codecarbon looks at the machine it runs on, not at a device")
    if importlib.util.find_spec("codecarbon") is None:
        return EnergyReading("codecarbon", reason="not installed; pip install 'pocketrank[energy]'")
    done = target.run(_FOLDER / "codecarbon_worker.py", json.dumps(dict(request)), [str(_FOLDER)], timeout=300.0)
    if done.outcome != "ok":
        return EnergyReading("codecarbon", reason=f"its process ended with: {done.outcome} ({done.detail})")
    return codecarbon_reading(json.loads(done.output))


def codecarbon_reading(result: Mapping[str, Any]) -> EnergyReading:
    """Return the energy in what `codecarbon_worker.py` wrote; an estimate unless codecarbon read a counter."""
    if not result["joules"] > 0:
        return EnergyReading("codecarbon", reason="codecarbon saw no energy in this process")
    measured = result["mode"] in _MEASURING_MODES
    assumed = f"{result['watts']:.0f} W assumed for {result['processor']}" if result["watts"] else "assumed watts"
    how = "read from a counter" if measured else f"estimate: processor time x {assumed}"
    method = f"codecarbon {result['version']}, mode {result['mode']}, processor only, idle not subtracted, {how}"
    value = result["joules"] / result["queries"]
    return EnergyReading(
        "codecarbon" if measured else "codecarbon-estimate",
        method,
        value,
        estimate=not measured,
        queries=result["queries"],
        processes=(value,),
        details={"window_seconds": round(result["wall"], 3), "rate_hertz": 1.0},
    )


def from_profile(profile: Profile, runs: Sequence[Run]) -> EnergyReading:
    """Return processor time x the watts that one busy core adds, after the device profile."""
    power, cores = profile.power, profile.core_count
    if power is None or not cores:
        return EnergyReading(
            "profile-model", reason=f"the profile of {profile.name} has no power figures with a source"
        )
    watts = (power.active_watts - power.idle_watts) / cores
    good = [run for run in runs if run.outcome == "ok" and run.count]
    if not good:
        return EnergyReading("profile-model", reason="no process finished")
    method = (
        f"estimate: processor time x {watts:.2f} W, which is ({power.active_watts:g} - {power.idle_watts:g}) W "
        f"over {cores} cores, after {power.source}"
    )
    values = [watts * run.cpu / run.count for run in good]
    details = {"idle_watts": power.idle_watts, "window_seconds": round(float(np.mean([run.wall for run in good])), 3)}
    return _from_processes(
        "profile-model", method, values, sum(run.count for run in good), estimate=True, details=details
    )


def _is_pi5(target: Target) -> bool:
    return target.profile.title == "Raspberry Pi 5" or (
        target.kind == "local" and _board().startswith("Raspberry Pi 5")
    )


def _board() -> str:
    path = Path("/proc/device-tree/model")
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _from_processes(
    source: str, method: str, values: Sequence[float], queries: int, estimate: bool, details: dict[str, float]
) -> EnergyReading:
    interval = statistics.between_processes(values)
    return EnergyReading(
        source,
        method,
        float(np.median(values)),
        estimate,
        queries,
        tuple(values),
        min(interval.low, float(np.median(values))) if interval else None,
        max(interval.high, float(np.median(values))) if interval else None,
        details=details,
    )

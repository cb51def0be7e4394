"""Energy per query, each figure with its source.

rapl            the processor's own counter, idle share subtracted (measured)
codecarbon      codecarbon where it reads such a counter (measured), or
                processor time x assumed watts where it has none (an estimate)
profile-model   processor time x (active - idle watts of the device profile) / cores (an estimate)
"""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..devices.profile import Profile
from ..devices.target import Target
from . import statistics
from .report import Run

EnergySource = Literal["auto", "rapl", "codecarbon", "profile-model", "none"]
_CODECARBON_WORKER = Path(__file__).with_name("codecarbon_worker.py")
# codecarbon's names for modes in which a counter is read; in all others it multiplies time by assumed watts.
_MEASURING_MODES = ("intel_rapl", "intel_power_gadget", "apple_powermetrics", "windows_emi", "rpi_pmic")


@dataclass(frozen=True)
class EnergyReading:
    """Energy of one model on one device, or the reason why there is none."""

    source: str
    method: str = ""
    joules_per_query: float | None = None
    estimate: bool = True
    queries: int = 0
    processes: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    reason: str = ""


def read_energy(wanted: EnergySource, target: Target, runs: Sequence[Run], request: Mapping[str, Any]) -> EnergyReading:
    """Return the energy per query of the model that `runs` and `request` are about.

    `auto` takes the first of rapl, codecarbon and profile-model that can say something here.
    """
    readers = {
        "rapl": lambda: from_rapl(runs),
        "codecarbon": lambda: from_codecarbon(target, request),
        "profile-model": lambda: from_profile(target.profile, runs),
    }
    if wanted == "none":
        return EnergyReading("none", reason="energy was switched off")
    if wanted != "auto":
        return readers[wanted]()
    reasons = []
    for read in readers.values():
        reading = read()
        if reading.joules_per_query is not None:
            return reading
        reasons.append(f"{reading.source}: {reading.reason}")
    return EnergyReading("none", reason="; ".join(reasons))


def from_rapl(runs: Sequence[Run]) -> EnergyReading:
    """Return energy from the package counters that the worker read around its timed region."""
    values, queries, idle_watts = [], 0, []
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
        queries += run.count
    if not values:
        return EnergyReading("rapl", reason="no readable energy counter under /sys/class/powercap on this device")
    baseline = f"idle baseline of {np.mean(idle_watts):.2f} W subtracted" if idle_watts else "idle not subtracted"
    method = f"package energy counter around the timed region; {baseline}"
    return _from_processes("rapl", method, values, queries, estimate=False)


def from_codecarbon(target: Target, request: Mapping[str, Any]) -> EnergyReading:
    """Return what codecarbon says about a process of its own that runs the same queries on this machine."""
    if target.kind != "local":
        return EnergyReading("codecarbon", reason="codecarbon looks at the machine it runs on, not at a device")
    if importlib.util.find_spec("codecarbon") is None:
        return EnergyReading("codecarbon", reason="not installed; pip install 'pocketrank[energy]'")
    here = str(_CODECARBON_WORKER.parent)
    done = target.run(_CODECARBON_WORKER, json.dumps(dict(request)), [here], timeout=300.0)
    if done.outcome != "ok":
        return EnergyReading("codecarbon", reason=f"its process ended with: {done.outcome} ({done.detail})")
    result = json.loads(done.output)
    if not result["joules"] > 0:
        return EnergyReading("codecarbon", reason="codecarbon saw no energy in this process")
    measured = result["mode"] in _MEASURING_MODES
    assumed = f"{result['watts']:.0f} W assumed for {result['processor']}" if result["watts"] else "assumed watts"
    how = "read from a counter" if measured else f"estimate: processor time x {assumed}"
    method = f"codecarbon {result['version']}, mode {result['mode']}, processor only, {how}"
    return EnergyReading(
        "codecarbon" if measured else "codecarbon-estimate",
        method,
        result["joules"] / result["queries"],
        estimate=not measured,
        queries=result["queries"],
        processes=(result["joules"] / result["queries"],),
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
    return _from_processes("profile-model", method, values, sum(run.count for run in good), estimate=True)


def _from_processes(source: str, method: str, values: Sequence[float], queries: int, estimate: bool) -> EnergyReading:
    interval = statistics.between_processes(values)
    return EnergyReading(
        source,
        method,
        float(np.median(values)),
        estimate,
        queries,
        tuple(values),
        interval.low if interval else None,
        interval.high if interval else None,
    )

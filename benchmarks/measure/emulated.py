"""Label values of a machine that only stands in for a device, and leave out what would mislead."""

import dataclasses
from collections.abc import Sequence

from ...devices.targets.base import Target
from ..records.metrics import Measurement
from .energy import EnergyReading

_QUOTA = "a quota stops a process between its queries and does not slow a query down; see throughput"
_STOPPED = ("latency_p50", "latency_p95", "latency_p99", "tokenize_p50", "latency_p50_ratio", "latency_p95_ratio")


def label(measurements: Sequence[Measurement], target: Target) -> list[Measurement]:
    """Return the measurements as they may be read: `emulated` unless they are counted, no latency under a quota."""
    if not target.is_emulated:
        return list(measurements)
    how = ", ".join(f"{key}: {text}" for key, text in target.limits.items() if key not in ("system", "counter"))
    found = []
    for one in measurements:
        if target.timed and target.share < 1 and one.metric in _STOPPED:
            absent = dataclasses.replace(one, value=None, low=None, high=None, level=None, processes=(), reason=_QUOTA)
            found.append(dataclasses.replace(absent, kind="emulated", stability="stable"))
        elif one.kind == "measured":
            found.append(dataclasses.replace(one, kind="emulated", method=f"{one.method}; {target.kind} ({how})"))
        else:
            found.append(one)
    return found


def no_energy(target: Target) -> EnergyReading:
    """Return why a stand-in has no energy figure."""
    return EnergyReading(
        "none", reason=f"processor time on a machine that stands in ({target.kind}) is not the board's"
    )

"""The noise of a device, from A/A runs: one model measured beside itself, as if it were two.

A relative limit that is tighter than this noise cannot be judged, however lucky a single run was.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ...devices.targets.base import BoardOptions
from ...runtime.errors import InputError
from ...runtime.progress import Progress
from ..records.report import Calibration, DeviceReport, Report
from ..statistics.intervals import student_quantile
from .run import MeasureSettings, ModelFiles, measure

_MIN_PAIRS = 5


def calibrated(
    report: Report,
    model: ModelFiles,
    names: Sequence[str],
    pairs: int,
    settings: MeasureSettings,
    texts: Sequence[str],
    progress: Progress,
    options: BoardOptions | None = None,
) -> Report:
    """Return the report with the noise of each device whose seconds count, from `pairs` A/A pairs of `model` on each.

    `names` are the devices as they were asked for, in order. Raises `InputError` for too few pairs.
    """
    check_pairs(pairs)
    plain = {"energy": "none", "overhead": False, "sweeps": {}, "sustained_seconds": 0.0}
    settings = dataclasses.replace(settings, repetitions=pairs, **plain)
    twins = [dataclasses.replace(model, name="A"), dataclasses.replace(model, name="B")]
    missing = {one.device for one in report.unavailable}
    devices = []
    for name, device in zip((name for name in names if name not in missing), report.devices, strict=True):
        latency = device.find("latency_p50", report.subject)
        if latency is not None and latency.value is not None:
            found = measure(twins, [name], settings, texts, progress, options=options).devices[0]
            device = dataclasses.replace(device, calibration=calibration_of(found, "A", "B"))
        devices.append(device)
    return dataclasses.replace(report, devices=tuple(devices))


def check_pairs(pairs: int) -> None:
    """Refuse too few pairs, before anything is measured."""
    if pairs < _MIN_PAIRS:
        raise InputError(f"--calibrate {pairs}: at least {_MIN_PAIRS} pairs are needed; 15 is a good number")


def calibration_of(device: DeviceReport, first: str, second: str) -> Calibration:
    """Return the noise of every metric that two runs of the same thing on a device show."""
    between, paired, pairs = {}, {}, 0
    for one in device.measurements:
        other = device.find(one.metric, second)
        if one.model != first or other is None or len(one.processes) != len(other.processes) or one.kind == "counted":
            continue
        if len(one.processes) < 2 or min((*one.processes, *other.processes)) <= 0:
            continue
        a, b = np.log(one.processes), np.log(other.processes)
        pairs = max(pairs, len(a))
        between[one.metric] = round(float(np.concatenate([a, b]).std(ddof=1)), 6)
        paired[one.metric] = round(float((a - b).std(ddof=1)), 6)
    return Calibration(pairs, between, paired)


def half_width(calibration: Calibration, metric: str, counts: Sequence[int], paired: bool, level: float) -> float:
    """Return how far apart, in logarithms, two groups of processes may look by this noise alone.

    `counts` are the numbers of processes: of pairs when `paired`, else of both groups.
    """
    deviation = (calibration.paired if paired else calibration.between).get(metric, 0.0)
    degrees = max(calibration.pairs - 1, 1)
    return student_quantile((1 + level) / 2, degrees) * deviation * math.sqrt(sum(1 / count for count in counts))

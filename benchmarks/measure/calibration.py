"""The noise of a device, from A/A runs: one model measured against itself, as if it were two.

A relative limit that is tighter than this noise cannot be judged, however lucky a single run was.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ..records.report import Calibration, DeviceReport
from ..statistics.intervals import student_quantile
from .interleaved import measure_interleaved
from .session import Session


def calibrate_noise(session: Session, report: DeviceReport) -> DeviceReport:
    """Add the noise of a device whose seconds count, from `settings.calibration_pairs` A/A pairs of the subject."""
    subject, pairs = session.models[0], session.settings.calibration_pairs
    latency = report.find("latency_p50", subject.name)
    if not pairs or latency is None or latency.value is None:
        return report
    twins = [dataclasses.replace(subject, name=name) for name in ("A", "B")]
    settings = dataclasses.replace(session.settings.plain(), repetitions=pairs)
    twin_report = measure_interleaved(dataclasses.replace(session, models=twins, settings=settings))
    return dataclasses.replace(report, calibration=calibration_of(twin_report, "A", "B"))


def calibration_of(device: DeviceReport, first: str, second: str) -> Calibration:
    """Return the noise of every metric that two runs of the same thing on a device show."""
    between, paired, pairs = {}, {}, 0
    for row in device.measurements:
        twin = device.find(row.metric, second)
        if row.model != first or twin is None or len(row.processes) != len(twin.processes) or row.kind == "counted":
            continue
        if len(row.processes) < 2 or min((*row.processes, *twin.processes)) <= 0:
            continue
        a, b = np.log(row.processes), np.log(twin.processes)
        pairs = max(pairs, len(a))
        between[row.metric] = round(float(np.concatenate([a, b]).std(ddof=1)), 6)
        paired[row.metric] = round(float((a - b).std(ddof=1)), 6)
    return Calibration(pairs, between, paired)


def half_width(calibration: Calibration, metric: str, counts: Sequence[int], paired: bool, level: float) -> float:
    """Return how far apart, in logarithms, two groups of processes may look by this noise alone.

    `counts` are the numbers of processes: of pairs when `paired`, else of both groups.
    """
    deviation = (calibration.paired if paired else calibration.between).get(metric, 0.0)
    degrees = max(calibration.pairs - 1, 1)
    return student_quantile((1 + level) / 2, degrees) * deviation * math.sqrt(sum(1 / count for count in counts))

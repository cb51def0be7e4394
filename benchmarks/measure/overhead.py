"""What the harness itself costs: a model that does nothing, behind a tokenizer that knows nothing.

The model casts its token ids to numbers. Through the same worker this costs what calling the two libraries and
reading the clock costs, so the rest of a figure is the model's own.
"""

import dataclasses
from pathlib import Path

from ..records.report import DeviceReport
from .aggregate import aggregate_runs
from .session import ModelFiles, Session

_FOLDER = Path(__file__).parent / "empty_model"
EMPTY = ModelFiles("empty", _FOLDER / "model.onnx", _FOLDER / "tokenizer.json")
_REPETITIONS = 3


def measure_overhead(session: Session, report: DeviceReport) -> DeviceReport:
    """Add what the empty model measures on this device."""
    if not session.settings.overhead:
        return report
    target = session.target
    session = dataclasses.replace(session, models=[EMPTY])
    runs = [session.run_worker(EMPTY)[0] for _ in range(min(session.settings.repetitions, _REPETITIONS))]
    rows = aggregate_runs(runs, EMPTY.name, report.fingerprint, target.has_wall_time, target.cpu_quota)
    return dataclasses.replace(report, overhead=tuple(rows))

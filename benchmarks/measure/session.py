"""What is measured and how long, a device that is ready for it, and one process of the worker there."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ...devices.targets.base import Target
from ...runtime.errors import PocketrankError
from ...runtime.progress import Progress
from ..records.report import DeviceReport, Run

WORKER = Path(__file__).parent.parent / "worker" / "worker.py"
SWEEP_AXES = {"threads": 1, "length": 3, "batch": 1}  # and the smallest value of each
MIN_PAIRS = 5  # of a calibration
_AS_ANSWERED = ("memory", "peak_rss", "dimension", "output", "conditions", "energy")
_COUNTED_BYTES = 4_000_000_000  # queries times bytes of the model, about, in one counting process


@dataclass(frozen=True)
class ModelFiles:
    """An ONNX embedding model and its tokenizer. `max_length` in tokens; no `pooled_output`: found by itself."""

    name: str
    onnx: Path
    tokenizer: Path
    max_length: int = 256
    pooled_output: str = ""
    prompt: str = ""
    bundle: Path | None = None  # the bundle that the files are of
    variant: str = ""  # of the bundle: which golden vectors are its own


@dataclass(frozen=True)
class MeasureSettings:
    """How long and how often. Times in seconds."""

    repetitions: int = 7  # processes a model
    min_seconds: float = 1.0  # of the timed region of a process
    min_queries: int = 300  # in it
    max_seconds: float = 60.0
    warmup: int = 20  # untimed queries before it
    threads: int = 1
    texts: int = 100  # at most
    energy: str = "auto"  # see energy.py; `meter` carries its file behind a colon
    idle_seconds: float = 2.0  # before the timed region, where an energy counter is readable
    timeout: float = 600.0  # of one process
    overhead: bool = False  # measure the harness itself too, with an empty model
    sweeps: dict[str, tuple[int, ...]] = field(default_factory=dict)  # axis -> values, one axis at a time
    sustained_seconds: float = 0.0  # keep each model busy for so long and watch clock, heat and throttling
    calibration_pairs: int = 0  # of the subject with itself, for the noise of the device

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.repetitions < 1 or self.min_queries < 1 or self.threads < 1 or self.texts < 1:
            raise ValueError("repetitions, min_queries, threads and texts must be at least 1")
        for axis, values in self.sweeps.items():
            if axis not in SWEEP_AXES:
                raise ValueError(f"there is no sweep over {axis!r} (valid: {', '.join(SWEEP_AXES)})")
            if not values or min(values) < SWEEP_AXES[axis]:
                raise ValueError(f"sweep {axis} takes whole numbers from {SWEEP_AXES[axis]} up")
        if 0 < self.calibration_pairs < MIN_PAIRS or self.calibration_pairs < 0:
            raise ValueError(
                f"calibration with {self.calibration_pairs} pairs: at least {MIN_PAIRS} pairs are needed; "
                "15 is a good number"
            )

    def plain(self) -> Self:
        """Return the same settings for the main figures alone."""
        return dataclasses.replace(
            self, energy="none", overhead=False, sweeps={}, sustained_seconds=0.0, calibration_pairs=0
        )


@dataclass(frozen=True)
class Session:
    """A device that is ready and what is measured there: what every probe is given."""

    target: Target
    models: Sequence[ModelFiles]  # the first one is the subject, the second one the reference of the ratios
    texts: Sequence[str]
    settings: MeasureSettings
    progress: Progress

    @cached_property
    def requests(self) -> dict[str, dict[str, Any]]:
        """The request to the worker for each model, by name. The first look brings the files to the device."""
        return {model.name: self._request(model) for model in self.models}

    def running(self, report: DeviceReport) -> list[ModelFiles]:
        """Return the models of which at least one process finished on this device."""
        finished = {run.model for run in report.runs if run.outcome == "ok"}
        return [model for model in self.models if model.name in finished]

    def run_worker(
        self, model: ModelFiles, changes: Mapping[str, Any] | None = None, seconds: float = 0.0
    ) -> tuple[Run, dict[str, Any]]:
        """Run one process and return its record, without repetition and order, and the worker's whole answer.

        `changes` are what differs from the model's request, `seconds` what it may take beyond `settings.timeout`. The
        answer is empty when the process did not finish.
        """
        request = {**self.requests[model.name], **(changes or {})}
        result = self.target.run(WORKER, json.dumps(request), timeout=self.settings.timeout + seconds)
        run = Run(model.name, 0, 0, result.outcome, result.detail, round(result.seconds, 3), observed=result.observed)
        if result.outcome != "ok":
            return run, {}
        try:
            answer = json.loads(result.output)
        except json.JSONDecodeError:
            raise PocketrankError(
                f"the worker on {self.target.profile.name} answered no JSON: {result.output[:80]!r}"
            ) from None
        run = dataclasses.replace(
            run,
            phases={name: value for name, value in answer["phases"].items() if value is not None},
            mean_tokens=round(sum(answer["tokens"]) / len(answer["tokens"]), 2),
            **answer["queries"],  # count, wall, cpu and the packed samples
            **{name: answer[name] for name in _AS_ANSWERED},
        )
        return run, answer

    def _request(self, model: ModelFiles) -> dict[str, Any]:
        """Return the worker's request.

        Where seconds mean nothing, the number of queries follows from the settings and the bytes of the model alone:
        every process executes the same, and a large model, slow under emulation, needs no averaging.
        """
        settings = self.settings
        request: dict[str, Any] = {
            "onnx": self.target.upload(model.onnx),
            "tokenizer": self.target.upload(model.tokenizer),
            "max_length": model.max_length,
            "output": model.pooled_output,
            "prompt": model.prompt,
            "threads": settings.threads,
            "texts": list(self.texts),
            "warmup": settings.warmup,
            "min_seconds": settings.min_seconds,
            "min_queries": settings.min_queries,
            "max_seconds": settings.max_seconds,
            "idle_seconds": settings.idle_seconds,
        }
        if self.target.has_wall_time:
            return request
        affordable = _COUNTED_BYTES // max(model.onnx.stat().st_size, 1)
        request |= {"min_seconds": 0.0, "max_seconds": 1e6, "idle_seconds": 0.0, "warmup": len(self.texts)}
        request["min_queries"] = max(len(self.texts), min(settings.min_queries, affordable))
        request["marks"] = self.target.counts_instructions and settings.threads == 1
        return request


# A step of measuring a device, which adds what it measured to the report, or nothing when it was not asked for.
Probe = Callable[[Session, DeviceReport], DeviceReport]

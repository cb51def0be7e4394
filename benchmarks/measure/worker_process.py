"""What is measured and how long, and one process of it: the request to the worker, and the record of its answer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...devices.targets.base import Target
from ...runtime.errors import PocketrankError
from ..records.report import Run
from .energy import EnergySource

WORKER = Path(__file__).parent.parent / "worker" / "worker.py"
_COUNTED_BYTES = 4_000_000_000  # queries times bytes of the model, about, in one counting process
SWEEP_AXES = ("threads", "length", "batch")


@dataclass(frozen=True)
class ModelFiles:
    """An ONNX embedding model and its tokenizer. `max_length` in tokens; no `pooled_output`: found by itself."""

    name: str
    onnx: Path
    tokenizer: Path
    max_length: int = 256
    pooled_output: str = ""
    prompt: str = ""
    golden: Path | None = None  # golden.json, to be replayed on devices other than this machine
    variant: str = ""  # of the bundle: which golden vectors are its own


@dataclass(frozen=True)
class MeasureSettings:
    """How long and how often."""

    repetitions: int = 7
    min_seconds: float = 1.0
    min_queries: int = 300
    max_seconds: float = 60.0
    warmup: int = 20
    threads: int = 1
    texts: int = 100  # at most
    energy: EnergySource = "auto"
    idle_seconds: float = 2.0  # before the timed region, where an energy counter is readable
    timeout: float = 600.0  # of one process
    overhead: bool = False  # measure the harness itself too, with an empty model
    sweeps: dict[str, tuple[int, ...]] = field(default_factory=dict)  # axis -> values, one axis at a time
    sustained_seconds: float = 0.0  # keep each model busy for so long and watch clock, heat and throttling

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.repetitions < 1 or self.min_queries < 1 or self.threads < 1 or self.texts < 1:
            raise ValueError("repetitions, min_queries, threads and texts must be at least 1")
        for axis, values in self.sweeps.items():
            if axis not in SWEEP_AXES:
                raise ValueError(f"there is no sweep over {axis!r} (valid: {', '.join(SWEEP_AXES)})")
            if not values or min(values) < (3 if axis == "length" else 1):
                raise ValueError(f"sweep {axis} takes whole numbers from {3 if axis == 'length' else 1} up")


def request_for(model: ModelFiles, target: Target, settings: MeasureSettings, texts: Sequence[str]) -> dict[str, Any]:
    """Return the worker's request, files brought to the device.

    Where seconds mean nothing, the number of queries follows from the settings and the bytes of the model alone: every
    process executes the same, and a large model, slow under emulation, needs no averaging.
    """
    request: dict[str, Any] = {
        "onnx": target.place(model.onnx),
        "tokenizer": target.place(model.tokenizer),
        "max_length": model.max_length,
        "output": model.pooled_output,
        "prompt": model.prompt,
        "threads": settings.threads,
        "texts": list(texts),
        "warmup": settings.warmup,
        "min_seconds": settings.min_seconds,
        "min_queries": settings.min_queries,
        "max_seconds": settings.max_seconds,
        "idle_seconds": settings.idle_seconds,
    }
    if not target.timed:
        count = max(len(texts), min(settings.min_queries, _COUNTED_BYTES // max(model.onnx.stat().st_size, 1)))
        request |= {"min_seconds": 0.0, "min_queries": count, "max_seconds": 1e6, "idle_seconds": 0.0}
        request["warmup"] = len(texts)
        request["marks"] = target.counts and settings.threads == 1
    return request


def run_worker(target: Target, request: Mapping[str, Any], timeout: float) -> tuple[Run, dict[str, Any]]:
    """Run one process and return its record, without name and order, and the worker's whole answer.

    The answer is empty when the process did not finish.
    """
    done = target.run(WORKER, json.dumps(dict(request)), timeout=timeout)
    seen = dict(done.observed)
    if done.outcome != "ok":
        return Run("", 0, 0, done.outcome, done.detail, round(done.seconds, 3), observed=seen), {}
    try:
        result = json.loads(done.output)
    except json.JSONDecodeError:
        raise PocketrankError(f"the worker on {target.profile.name} answered no JSON: {done.output[:80]!r}") from None
    queries, tokens = result["queries"], result["tokens"]
    run = Run(
        model="",
        repetition=0,
        order=0,
        outcome="ok",
        seconds=round(done.seconds, 3),
        phases={name: value for name, value in result["phases"].items() if value is not None},
        memory=result["memory"],
        peak_rss=result["peak_rss"],
        count=queries["count"],
        wall=queries["wall"],
        cpu=queries["cpu"],
        mean_tokens=round(sum(tokens) / len(tokens), 2),
        dimension=result["dimension"],
        output=result["output"],
        latency_ns=queries["latency_ns"],
        tokenize_ns=queries["tokenize_ns"],
        conditions=result["conditions"],
        energy=result["energy"],
        observed=seen,
    )
    return run, result


def machine_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the worker said about the machine and its libraries; nothing for an empty answer."""
    return {**result["machine"], "libraries": result["libraries"]} if result else {}

"""Measure models on devices: fresh processes, models taking turns, every raw sample kept."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from ..devices.profile import facts
from ..devices.target import Target, open_target
from ..runtime.errors import InputError, PocketrankError, UnavailableError
from ..runtime.files import json_bytes, sha256_bytes, sha256_file
from ..runtime.progress import Progress, Task
from . import statistics
from .energy import EnergySource, read_energy
from .measurement import Measurement
from .report import SCHEMA, VERSION, DeviceReport, ModelFacts, Report, Run, Unavailable
from .summary import ratios, summarize
from .texts import choose_texts, text_facts

WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class ModelFiles:
    """An ONNX embedding model and its tokenizer. `max_length` in tokens; no `pooled_output`: found by itself."""

    name: str
    onnx: Path
    tokenizer: Path
    max_length: int = 256
    pooled_output: str = ""
    prompt: str = ""


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

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.repetitions < 1 or self.min_queries < 1 or self.threads < 1 or self.texts < 1:
            raise ValueError("repetitions, min_queries, threads and texts must be at least 1")


def measure(
    models: Sequence[ModelFiles],
    devices: Sequence[str],
    settings: MeasureSettings,
    texts: Sequence[str],
    progress: Progress,
    text_source: str = "built-in questions",
    bundle: Sequence[Measurement] = (),
    quality: Sequence[Measurement] = (),
) -> Report:
    """Measure every model on every device and return the report.

    The first model is the subject, the second one the reference of the ratios, the others are peers. All of them run
    in every repetition, in alternating order. A device that is not available is noted in the report and does not stop
    the others; when none is, `UnavailableError` is raised. `bundle` and `quality` travel into the report as they are.
    """
    if not models:
        raise InputError("there is no model to measure; name a bundle or an ONNX file")
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise InputError(f"two models have the same name ({', '.join(names)}); give them different names")
    chosen = choose_texts(texts, settings.texts)
    if not chosen:
        raise InputError("there are no texts to measure with; name a file of texts")
    model_facts = tuple(_facts(model, _role(index)) for index, model in enumerate(models))
    reports, missing = [], []
    for device in devices:
        try:
            with ExitStack() as stack:
                target = stack.enter_context(open_target(device))
                reports.append(measure_device(models, target, settings, chosen, progress))
        except UnavailableError as error:
            progress.note(f"{device}: {error}")
            missing.append(Unavailable(device, str(error)))
    if not reports:
        raise UnavailableError(missing[0].reason if missing else "no device was named; use --device host")
    return Report(
        schema=SCHEMA,
        version=VERSION,
        code=metadata.version("pocketrank"),
        subject=models[0].name,
        models=model_facts,
        texts=text_facts(text_source, chosen),
        settings=asdict(settings),
        devices=tuple(reports),
        bundle=tuple(bundle),
        quality=tuple(quality),
        unavailable=tuple(missing),
    )


def measure_device(
    models: Sequence[ModelFiles],
    target: Target,
    settings: MeasureSettings,
    texts: Sequence[str],
    progress: Progress,
) -> DeviceReport:
    """Measure the models on one device that is ready."""
    requests = {model.name: _request(model, target, settings, texts) for model in models}
    runs: list[Run] = []
    machine: dict[str, Any] = {}
    total = settings.repetitions * len(models)
    with progress.task(f"benchmark on {target.profile.name}", total, "processes") as task:
        for repetition in range(settings.repetitions):
            # A B, then B A: a slow drift of the machine falls on both alike.
            turn = list(models) if repetition % 2 == 0 else list(reversed(models))
            for model in turn:
                run, seen = _run(model, requests[model.name], target, settings, repetition, len(runs))
                runs.append(run)
                machine = machine or seen
                task.advance()
                _stop_when_hopeless(run, repetition, task)
    fingerprint = fingerprint_of(target, machine)
    energies = {
        model.name: read_energy(
            settings.energy, target, [run for run in runs if run.model == model.name], requests[model.name]
        )
        for model in models
    }
    measurements: dict[str, list[Measurement]] = {}
    for model in models:
        own = [run for run in runs if run.model == model.name]
        measurements[model.name] = summarize(own, model.name, fingerprint, target.timed, energies[model.name])
    flat = [one for model in models for one in measurements[model.name]]
    if len(models) > 1:
        reference = models[1].name
        for model in models:
            if model.name != reference:
                flat += ratios(measurements[model.name], measurements[reference], reference)
    return DeviceReport(
        device=target.profile.name,
        target=target.kind,
        fingerprint=fingerprint,
        machine=machine,
        profile=json.loads(json_bytes(facts(target.profile))),
        limits=dict(target.limits),
        runs=tuple(runs),
        measurements=tuple(flat),
        noise=_noise(measurements[models[0].name]),
    )


def fingerprint_of(target: Target, machine: dict[str, Any]) -> str:
    """Return a short hash of what must be equal for two timings to be comparable."""
    stable = {
        key: machine.get(key)
        for key in ("system", "architecture", "cpu", "cpu_part", "board", "cores", "memory", "isa", "libraries")
    }
    return sha256_bytes(json_bytes([target.kind, dict(target.limits), stable]))[:12]


def _request(model: ModelFiles, target: Target, settings: MeasureSettings, texts: Sequence[str]) -> dict[str, Any]:
    return {
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


def _run(
    model: ModelFiles,
    request: dict[str, Any],
    target: Target,
    settings: MeasureSettings,
    repetition: int,
    order: int,
) -> tuple[Run, dict[str, Any]]:
    done = target.run(WORKER, json.dumps(request), timeout=settings.timeout)
    if done.outcome != "ok":
        return Run(model.name, repetition, order, done.outcome, done.detail, round(done.seconds, 3)), {}
    try:
        result = json.loads(done.output)
    except json.JSONDecodeError:
        raise PocketrankError(f"the worker on {target.profile.name} answered no JSON: {done.output[:80]!r}") from None
    queries, tokens = result["queries"], result["tokens"]
    run = Run(
        model=model.name,
        repetition=repetition,
        order=order,
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
    )
    return run, {**result["machine"], "libraries": result["libraries"]}


def _stop_when_hopeless(run: Run, repetition: int, task: Task) -> None:
    """Stop at once when the very first process cannot even open the model: no repetition will mend that."""
    if run.outcome == "failed" and repetition == 0:
        raise InputError(f"{run.model} cannot be measured: {run.detail}; check the model and its tokenizer")


def _role(index: int) -> Literal["subject", "reference", "peer"]:
    return "subject" if index == 0 else "reference" if index == 1 else "peer"


def _facts(model: ModelFiles, role: Literal["subject", "reference", "peer"]) -> ModelFacts:
    return ModelFacts(
        name=model.name,
        role=role,
        model_bytes=_size(model.onnx),
        model_sha256=sha256_file(model.onnx),
        tokenizer_bytes=_size(model.tokenizer),
        tokenizer_sha256=sha256_file(model.tokenizer),
        max_length=model.max_length,
        output=model.pooled_output,
    )


def _size(path: Path) -> int:
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path")
    return path.stat().st_size


def _noise(measurements: Sequence[Measurement]) -> dict[str, float]:
    return {
        one.metric: round(statistics.relative_spread(one.processes), 6)
        for one in measurements
        if len(one.processes) > 1 and min(one.processes) > 0
    }

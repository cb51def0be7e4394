"""Measure models on devices: fresh processes, models taking turns, every raw sample kept."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from ...devices.profile import facts
from ...devices.targets.base import BoardOptions, Target
from ...devices.targets.open import open_target
from ...runtime.errors import InputError, UnavailableError
from ...runtime.files import json_bytes, sha256_bytes, sha256_file
from ...runtime.progress import Progress
from ..records.metrics import METRICS, Measurement
from ..records.report import (
    SCHEMA,
    VERSION,
    DeviceReport,
    GoldenReplay,
    ModelFacts,
    Report,
    Run,
    Sustained,
    SweepPoint,
    Unavailable,
)
from ..statistics import intervals as statistics
from .aggregate import ratios, summarize
from .emulated import label, no_energy
from .energy import read_energy
from .golden_replay import replay_golden
from .overhead import measure_overhead
from .query_texts import choose_texts, text_facts
from .sustained import measure_sustained
from .sweep import measure_sweeps, sweep_repetitions
from .worker_process import WORKER, MeasureSettings, ModelFiles, machine_of, request_for, run_worker

__all__ = ["WORKER", "MeasureSettings", "ModelFiles", "fingerprint_of", "measure", "measure_device"]

_COUNTING_REPETITIONS = 3  # where only instructions are counted: they hardly differ


def measure(
    models: Sequence[ModelFiles],
    devices: Sequence[str],
    settings: MeasureSettings,
    texts: Sequence[str],
    progress: Progress,
    text_source: str = "built-in questions",
    bundle: Sequence[Measurement] = (),
    quality: Sequence[Measurement] = (),
    options: BoardOptions | None = None,
) -> Report:
    """Measure every model on every device and return the report.

    The first model is the subject, the second one the reference of the ratios, the others are peers. All of them run
    in every repetition, in alternating order. A device that is not available is noted in the report and does not stop
    the others; when none is, `UnavailableError` is raised. An interrupt (control-C) ends the measuring, not the
    report: what was finished by then is in it, and `interrupted` is true. `bundle` and `quality` travel into the
    report as they are; `options` say how to reach a board.
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
        if any(one.interrupted for one in reports):
            missing.append(Unavailable(device, "interrupted before its turn"))
            continue
        try:
            with ExitStack() as stack:
                target = stack.enter_context(open_target(device, options))
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
    requests = {model.name: request_for(model, target, settings, texts) for model in models}
    runs, machine, interrupted = _all_processes(models, requests, target, settings, progress)
    if interrupted:  # nothing more is started
        settings = dataclasses.replace(settings, energy="none", overhead=False, sweeps={}, sustained_seconds=0.0)
    fingerprint = fingerprint_of(target, machine)
    measurements: dict[str, list[Measurement]] = {}
    for model in models:
        own = [run for run in runs if run.model == model.name]
        energy = (
            no_energy(target) if target.is_emulated else read_energy(settings.energy, target, own, requests[model.name])
        )
        found = summarize(own, model.name, fingerprint, target.timed, energy, target.share)
        measurements[model.name] = label(found, target)
    flat = [one for model in models for one in measurements[model.name]]
    if len(models) > 1:
        reference = models[1].name
        for model in models:
            if model.name != reference:
                flat += label(ratios(measurements[model.name], measurements[reference], reference), target)
    alive = [
        model
        for model in models
        if not interrupted and any(run.model == model.name and run.outcome == "ok" for run in runs)
    ]
    golden = _golden(alive, requests, target, settings, progress)
    flat += label([_golden_difference(one, fingerprint) for one in golden if one.difference is not None], target)
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
        golden=tuple(golden),
        overhead=tuple(_overhead(target, settings, texts, fingerprint)),
        sweeps=tuple(_sweeps(alive, requests, target, settings, progress)),
        sustained=tuple(_sustained(alive, requests, target, settings, progress)),
        interrupted=interrupted,
    )


def _all_processes(
    models: Sequence[ModelFiles],
    requests: Mapping[str, dict[str, Any]],
    target: Target,
    settings: MeasureSettings,
    progress: Progress,
) -> tuple[list[Run], dict[str, Any], bool]:
    """Run every repetition of every model; return the runs in order, what the machine is, whether it was cut short."""
    runs: list[Run] = []
    machine: dict[str, Any] = {}
    hopeless: set[str] = set()
    repetitions = settings.repetitions if target.timed else min(settings.repetitions, _COUNTING_REPETITIONS)
    with progress.task(f"benchmark on {target.profile.name}", repetitions * len(models), "processes") as task:
        try:
            for repetition in range(repetitions):
                # A B, then B A: a slow drift of the machine falls on both alike.
                turn = list(models) if repetition % 2 == 0 else list(reversed(models))
                for model in turn:
                    task.advance()
                    if model.name in hopeless:
                        continue
                    run, result = run_worker(target, requests[model.name], settings.timeout)
                    runs.append(dataclasses.replace(run, model=model.name, repetition=repetition, order=len(runs)))
                    machine = machine or machine_of(result)
                    if _is_hopeless(runs[-1], target):
                        hopeless.add(model.name)
        except KeyboardInterrupt:
            if not {model.name for model in models} <= {run.model for run in runs}:
                raise
            progress.note(f"interrupted: {len(runs)} finished processes are kept")
            return runs, machine, True
    return runs, machine, False


def _is_hopeless(run: Run, target: Target) -> bool:
    """Say whether a model cannot even open here, so that no repetition will fix it.

    On this very machine that is the user's mistake and an error at once; on another device it is a finding.
    """
    if run.repetition or run.outcome not in ("failed", "illegal instruction", "timeout"):
        return False
    if target.kind == "local" and run.outcome == "failed":
        raise InputError(f"{run.model} cannot be measured: {run.detail}; check the model and its tokenizer")
    return target.kind != "local"


def _golden(
    models: Sequence[ModelFiles],
    requests: Mapping[str, dict[str, Any]],
    target: Target,
    settings: MeasureSettings,
    progress: Progress,
) -> list[GoldenReplay]:
    """Replay golden texts on devices whose processor is not this machine's: here, `pocketrank verify` does it."""
    if target.kind in ("local", "cgroup"):
        return []
    found = [replay_golden(model, requests[model.name], target, settings) for model in models]
    replays = [one for one in found if one is not None]
    for one in replays:
        progress.note(f"  golden vectors of {one.model}: {'ok' if one.passed else 'DIFFERENT'}, {one.detail}")
    return replays


def _golden_difference(replay: GoldenReplay, device: str) -> Measurement:
    unit = METRICS["golden_difference"].unit
    method = f"{replay.texts} golden texts against the vectors in the bundle"
    return Measurement(
        "golden_difference",
        unit,
        "measured",
        method,
        value=replay.difference,
        model=replay.model,
        device=device,
        count=replay.texts,
        low=replay.difference,
        high=replay.difference,
    )


def _overhead(target: Target, settings: MeasureSettings, texts: Sequence[str], fingerprint: str) -> list[Measurement]:
    return label(measure_overhead(target, settings, texts, fingerprint), target) if settings.overhead else []


def _sweeps(
    models: Sequence[ModelFiles],
    requests: Mapping[str, dict[str, Any]],
    target: Target,
    settings: MeasureSettings,
    progress: Progress,
) -> list[SweepPoint]:
    points = sum(len(values) for values in settings.sweeps.values())
    if not points or not models:
        return []
    total = points * len(models) * sweep_repetitions(settings)
    with progress.task(f"sweeps on {target.profile.name}", total, "processes") as task:
        return measure_sweeps(models, requests, target, settings, task)


def _sustained(
    models: Sequence[ModelFiles],
    requests: Mapping[str, dict[str, Any]],
    target: Target,
    settings: MeasureSettings,
    progress: Progress,
) -> list[Sustained]:
    if not settings.sustained_seconds:
        return []
    if not target.timed:
        progress.note(f"{target.profile.name}: no sustained run, an emulated processor does not grow hot")
        return []
    with progress.task(f"sustained on {target.profile.name}", len(models), "models") as task:
        found = []
        for model in models:
            found.append(measure_sustained(model.name, requests[model.name], target, settings))
            task.advance()
        return found


def fingerprint_of(target: Target, machine: dict[str, Any]) -> str:
    """Return a short hash of what must be equal for two timings to be comparable."""
    stable = {
        key: machine.get(key)
        for key in ("system", "architecture", "cpu", "cpu_part", "board", "cores", "memory", "isa", "libraries")
    }
    return sha256_bytes(json_bytes([target.kind, dict(target.limits), stable]))[:12]


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

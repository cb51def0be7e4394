"""The main figures: fresh processes of every model, interleaved, so that ratios hold on a machine that is busy."""

import dataclasses
import json
from typing import Any

from ...devices.profile import facts
from ...devices.targets.base import Target
from ...runtime.errors import InputError
from ...runtime.files import json_bytes, sha256_bytes
from ..records.report import DeviceReport, Run
from .aggregate import aggregate_runs
from .session import Session

_COUNTING_REPETITIONS = 3  # where only instructions are counted: they hardly differ
# What must be equal for two timings to be comparable.
_STABLE_FACTS = ("system", "architecture", "cpu", "cpu_part", "board", "cores", "memory", "isa", "libraries")


def measure_interleaved(session: Session) -> DeviceReport:
    """Run every repetition of every model and return the report that the probes then add to."""
    runs, machine, interrupted = _run_all(session)
    target = session.target
    fingerprint = fingerprint_of(target, machine)
    measurements = []
    for model in session.models:
        own = [run for run in runs if run.model == model.name]
        measurements += aggregate_runs(own, model.name, fingerprint, target.has_wall_time, target.cpu_quota)
    return DeviceReport(
        device=target.profile.name,
        target="replay" if target.is_replay else target.kind,
        fingerprint=fingerprint,
        machine=machine,
        profile=json.loads(json_bytes(facts(target.profile))),
        limits=dict(target.limits),
        runs=tuple(runs),
        measurements=tuple(measurements),
        interrupted=interrupted,
    )


def _run_all(session: Session) -> tuple[list[Run], dict[str, Any], bool]:
    """Return the runs in order, what the machine is, and whether somebody interrupted them."""
    models, target, settings = session.models, session.target, session.settings
    runs: list[Run] = []
    machine: dict[str, Any] = {}
    hopeless: set[str] = set()
    repetitions = settings.repetitions if target.has_wall_time else min(settings.repetitions, _COUNTING_REPETITIONS)
    total = repetitions * len(models)
    with session.progress.task(f"benchmark on {target.profile.name}", total, "processes") as task:
        try:
            for index in range(total):
                task.advance()
                repetition, position = divmod(index, len(models))
                # A B, then B A: a slow drift of the machine falls on both alike.
                model = models[position if repetition % 2 == 0 else -1 - position]
                if model.name in hopeless:
                    continue
                run, answer = session.run_worker(model)
                runs.append(dataclasses.replace(run, repetition=repetition, order=len(runs)))
                if answer and not machine:
                    machine = {**answer["machine"], "libraries": answer["libraries"]}
                if _is_hopeless(runs[-1], target):
                    hopeless.add(model.name)
        except KeyboardInterrupt:
            if not {model.name for model in models} <= {run.model for run in runs}:
                raise
            session.progress.note(f"interrupted: {len(runs)} finished processes are kept")
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


def fingerprint_of(target: Target, machine: dict[str, Any]) -> str:
    """Return a short hash of what must be equal for two timings to be comparable."""
    stable = {key: machine.get(key) for key in _STABLE_FACTS}
    return sha256_bytes(json_bytes([target.kind, dict(target.limits), stable]))[:12]

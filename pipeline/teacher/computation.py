"""On which device and in which number format a teacher's layers compute: what the recipe says, or what is fastest here.

`auto` measures the teacher itself, for about a second. Anything but float32 on the processor must be faster by a clear
margin and in every round, because machines are noisy. Vectors of another device or format differ in their last digits,
so the choice is kept with an unfinished stage, is part of the names of its shards, and is in `teacher.json`.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...runtime.files import read_json, write_json
from ...runtime.schema import from_mapping, to_mapping
from ..settings import TeacherSettings
from ..training.accelerator import Device, available_devices
from .protocol import EmbeddingTeacher, Precision

Format = Literal["fp32", "mixed", "bf16"]

_SHARE = 0.8  # of the time of what it replaces, at most
_ROUNDS = 3  # at least
_SECONDS = 1.0  # of rounds; a slow teacher takes as long as its three rounds do
_TEXTS, _CHARACTERS = 8, 600  # of a round


@dataclass(frozen=True)
class Computation:
    """Where and in which format a teacher computes."""

    device: Device
    precision: Format

    def __str__(self) -> str:
        return f"{self.precision} on {self.device}"


def kept_computation(path: Path) -> Computation | None:
    """Return what an interrupted run chose, as long as its device is still there."""
    kept = from_mapping(Computation, read_json(path), str(path)) if path.is_file() else None
    return kept if kept and kept.device in available_devices() else None


def choose_computation(
    settings: TeacherSettings, teacher: EmbeddingTeacher, texts: Sequence[str], kept: Path
) -> tuple[Computation, dict[str, float]]:
    """Return the computation of `settings`, and the least seconds of each that was measured on `texts` to choose it.

    A choice is written to the file `kept`, and taken from there when it exists.
    """
    devices: list[Device] = available_devices() if settings.device == "auto" else [settings.device]
    formats: list[Format] = ["fp32", "bf16"] if settings.precision == "auto" else [settings.precision]
    candidates = [Computation(device, precision) for device in devices for precision in formats]
    if len(candidates) == 1:
        return candidates[0], {}
    chosen = kept_computation(kept)
    if chosen is not None:
        return chosen, {}
    seconds = measure(teacher, candidates, texts)
    chosen = fastest(seconds)
    write_json(kept, to_mapping(chosen))
    return chosen, {str(computation): round(min(rounds), 4) for computation, rounds in seconds.items()}


def measure(
    teacher: EmbeddingTeacher, candidates: Sequence[Computation], texts: Sequence[str]
) -> dict[Computation, list[float]]:
    """Return the seconds that each of the candidates takes for the same texts, round by round, one after the other."""
    sample = [text[:_CHARACTERS] for text in texts[:: max(len(texts) // _TEXTS, 1)][:_TEXTS]]
    seconds: dict[Computation, list[float]] = {computation: [] for computation in candidates}
    for computation in candidates:
        _seconds(teacher, computation, sample)  # the first time makes the copy of the weights
    started = time.monotonic()
    while len(seconds[candidates[0]]) < _ROUNDS or time.monotonic() - started < _SECONDS:
        for computation in candidates:
            seconds[computation].append(_seconds(teacher, computation, sample))
    return seconds


def _seconds(teacher: EmbeddingTeacher, computation: Computation, texts: Sequence[str]) -> float:
    precision: Precision = "fp32" if computation.precision == "fp32" else "bf16"
    teacher.compute_on(computation.device)
    started = time.perf_counter()
    teacher.encode(texts, "document", precision)
    return time.perf_counter() - started


def fastest(seconds: Mapping[Computation, Sequence[float]]) -> Computation:
    """Return the first, or a later one that takes less time in every round and clearly less in its best one."""
    order = iter(seconds)
    best = next(order)
    for other in order:
        always = all(new < old for new, old in zip(seconds[other], seconds[best], strict=True))
        if always and min(seconds[other]) < _SHARE * min(seconds[best]):
            best = other
    return best

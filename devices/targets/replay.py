"""Record what a device answers, and play it back, so that everything after the device can be tested without it.

A recording is a JSON Lines file: a line about the device, then a line for each process in order.
`pocketrank benchmark --record FILE` writes one, `--device replay:FILE` plays it.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...runtime.documents.json_files import read_json_lines
from ...runtime.errors import InputError
from ...runtime.files import write_bytes
from ...runtime.schema import from_mapping, to_mapping
from ..profile import Profile
from .base import ProcessResult, Target


@dataclass(frozen=True)
class _Device:
    """The first line of a recording."""

    recorded_on: str  # kind of the target
    profile: Profile
    has_wall_time: bool
    is_emulated: bool
    counts_instructions: bool
    cpu_quota: float
    limits: dict[str, str]


class ReplayTarget(Target):
    """A device that answers as it once did, whatever it is asked."""

    is_replay = True

    def __init__(self, path: Path) -> None:
        lines = [mapping for _, mapping in read_json_lines(path)]
        if not lines:
            raise InputError(f"{path} holds no recording; make one with `pocketrank benchmark … --record {path}`")
        device = from_mapping(_Device, lines[0], str(path))
        super().__init__(device.profile)
        self.kind, self.has_wall_time, self.is_emulated = device.recorded_on, device.has_wall_time, device.is_emulated
        self.counts_instructions, self.cpu_quota = device.counts_instructions, device.cpu_quota
        self.limits = {**device.limits, "recorded on": device.recorded_on}
        self._path = path
        self._results = [from_mapping(ProcessResult, line, str(path)) for line in lines[1:]]
        self._next = 0

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        """Return the next answer."""
        if self._next == len(self._results):
            raise InputError(f"{self._path} holds {self._next} answers and one more is needed; ask as when recording")
        self._next += 1
        return self._results[self._next - 1]


@contextmanager
def recorded(target: Target, path: Path) -> Iterator[Target]:
    """Make a device ready and keep its answers until it is left; then they are written to `path`."""
    results: list[ProcessResult] = []
    answer = target.run

    def run(script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        results.append(answer(script, request, arguments, timeout))
        return results[-1]

    target.run = run
    try:
        with target:
            yield target
    finally:
        flags = (target.has_wall_time, target.is_emulated, target.counts_instructions, target.cpu_quota)
        device = _Device(target.kind, target.profile, *flags, dict(target.limits))
        lines = [to_mapping(device), *map(to_mapping, results)]
        write_bytes(path, "".join(f"{json.dumps(line)}\n" for line in lines).encode("utf-8"))

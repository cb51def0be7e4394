"""Play the answers of a device back, so that everything after the device can be tested without it.

A recording is a JSON Lines file: a line about the device, then a line for each process in order. `record` writes one
while a real device is measured.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...runtime.errors import InputError
from ...runtime.files import read_json_lines, write_bytes
from ...runtime.schema import from_mapping, to_mapping
from ..profile import Profile
from .base import Outcome, ProcessResult, Target
from .local import LocalTarget


@dataclass(frozen=True)
class _Device:
    """The first line."""

    recorded_on: str  # kind of the target
    profile: dict[str, Any]
    timed: bool
    is_emulated: bool
    counts: bool
    share: float
    limits: dict[str, str]


@dataclass(frozen=True)
class _Answer:
    """A line of a process."""

    outcome: Outcome
    output: str
    detail: str
    seconds: float
    observed: dict[str, float] = field(default_factory=dict)


class ReplayTarget(LocalTarget):
    """A device that answers as it once did, whatever it is asked."""

    kind = "replay"

    def __init__(self, path: Path) -> None:
        lines = [mapping for _, mapping in read_json_lines(path)]
        if not lines:
            raise InputError(f"{path} holds no recording; record one with `pocketrank.devices.replay.Recorder`")
        device = from_mapping(_Device, lines[0], str(path))
        super().__init__(from_mapping(Profile, device.profile, str(path), "profile"))
        self.timed, self.is_emulated, self.counts = device.timed, device.is_emulated, device.counts
        self.share = device.share
        self.limits: Mapping[str, str] = {**device.limits, "recorded on": device.recorded_on}
        self._path = path
        self._answers = [from_mapping(_Answer, line, str(path)) for line in lines[1:]]
        self._next = 0

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        """Return the next answer."""
        if self._next == len(self._answers):
            raise InputError(f"{self._path} holds {self._next} answers and one more is needed; ask as when recording")
        answer = self._answers[self._next]
        self._next += 1
        return ProcessResult(answer.outcome, answer.output, answer.detail, answer.seconds, answer.observed)


class Recorder:
    """A device that writes its answers down while it is measured; the file is written when it is left."""

    def __init__(self, target: Target, path: Path) -> None:
        self._target, self._path = target, path
        self.profile, self.kind, self.timed = target.profile, target.kind, target.timed
        self.is_emulated, self.counts, self.share = target.is_emulated, target.counts, target.share
        self.limits: Mapping[str, str] = target.limits
        self._lines: list[Any] = []

    def __enter__(self) -> Self:
        """Make the device ready."""
        self._target.__enter__()
        self.profile, self.limits = self._target.profile, self._target.limits
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the device and write what it answered."""
        self._target.__exit__(kind, error, trace)
        first = _Device(
            self.kind,
            to_mapping(self.profile),
            self.timed,
            self.is_emulated,
            self.counts,
            self.share,
            dict(self.limits),
        )
        lines = [json.dumps(to_mapping(line)) for line in (first, *self._lines)]
        write_bytes(self._path, ("\n".join(lines) + "\n").encode("utf-8"))

    def place(self, path: Path) -> str:
        """Bring a file to the device."""
        return self._target.place(path)

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        """Run on the device and keep the answer."""
        done = self._target.run(script, request, arguments, timeout)
        self._lines.append(done)
        return done

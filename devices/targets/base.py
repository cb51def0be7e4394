"""How to run something on a device. A profile says what a board is, a target how to reach it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from ..profile import Profile

Outcome = Literal["ok", "failed", "out of memory", "timeout", "illegal instruction"]


@dataclass(frozen=True)
class ProcessResult:
    """A script that ran on a device. Running out of memory or time is a result, not an error of ours."""

    outcome: Outcome
    output: str  # standard output
    detail: str = ""  # last line of the error stream, or what happened
    seconds: float = 0.0
    observed: Mapping[str, float] = field(default_factory=dict)  # seen from outside, such as counted instructions


@dataclass(frozen=True)
class BoardOptions:
    """How to reach and leave a real board. The defaults suit a board that the user's own ssh can reach."""

    python: str = ""  # an interpreter there with numpy, tokenizers and onnxruntime; empty: make an environment
    keep: bool = False  # leave the environment there for the next run
    ssh_config: Path | None = None  # instead of the user's own


class Target(Protocol):
    """A place where a Python script can run. Use it as a context manager: leaving it cleans up."""

    profile: Profile
    kind: str  # local, cgroup, qemu, ssh, replay
    timed: bool  # whether seconds measured there are the device's own
    is_emulated: bool  # whether another machine plays the device, so that figures are labelled `emulated`
    counts: bool  # whether instructions between the worker's marks are counted
    share: float  # of the processor's time that one thread may have; below 1 under a quota
    limits: Mapping[str, str]  # what holds the process to the profile, for the report

    def place(self, path: Path) -> str:
        """Bring a file to the device and return its path there."""
        ...

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        """Run a Python script that reads `request` on standard input; the caller sleeps meanwhile.

        The script finds the moment of its start on the monotonic clock in POCKETRANK_SPAWNED.
        """
        ...

    def __enter__(self) -> Self:
        """Make the device ready."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind."""
        ...

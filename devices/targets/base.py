"""How to run something on a device. A profile says what a board is, a target how to reach it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, Self

from ..profile import Profile

Outcome = Literal["ok", "failed", "out of memory", "timeout", "illegal instruction"]


@dataclass(frozen=True)
class ProcessResult:
    """How a process on a device ended. Running out of memory or time is a result, not an error of ours."""

    outcome: Outcome
    output: str  # standard output
    detail: str = ""  # nothing when it went well, else the last line of the error stream, or what happened
    seconds: float = 0.0
    observed: dict[str, float] = field(default_factory=dict)  # seen from outside, such as counted instructions
    exit_code: int | None = None  # negative for a signal; None when the process had to be stopped


@dataclass(frozen=True)
class TargetOptions:
    """How to open a device. The defaults suit a board that the user's own ssh can reach."""

    python: str = ""  # ssh: an interpreter there with numpy, tokenizers and onnxruntime; empty: make an environment
    keep: bool = False  # ssh: leave the environment there for the next run
    ssh_config: Path | None = None  # ssh: instead of the user's own
    record: Path | None = None  # write what the device answers into this file, for `replay:FILE`


class Target(Protocol):
    """A place where a Python script can run. Use it as a context manager: leaving it cleans up."""

    profile: Profile
    kind: str  # local, cgroup, qemu or ssh; of a replay, that of the device that was recorded
    is_replay: bool  # whether recorded answers are played
    has_wall_time: bool  # whether seconds measured there are the device's own
    is_emulated: bool  # whether another machine plays the device, so that figures are labelled `emulated`
    counts_instructions: bool  # whether instructions between the worker's marks are counted
    cpu_quota: float  # share of the processor's time that one thread may have; below 1 it is stopped now and then
    limits: Mapping[str, str]  # what holds the process to the profile, for the report

    def upload(self, path: Path) -> str:
        """Bring a file to the device and return its path there."""
        ...

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        """Run a Python script that reads `request` on standard input; the caller sleeps meanwhile.

        On this machine the script finds the moment of its start on the monotonic clock in POCKETRANK_SPAWNED.
        """
        ...

    def __enter__(self) -> Self:
        """Make the device ready."""
        ...

    def __exit__(self, *exception: object) -> None:
        """Leave nothing behind."""
        ...

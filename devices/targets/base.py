"""How to run something on a device. A profile says what a board is, a target how to reach it.

`Target` itself is this machine as it is; the other targets say what is different with them.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from ...runtime.errors import InputError
from ..profile import Profile

Outcome = Literal["ok", "failed", "out of memory", "timeout", "illegal instruction"]

# Set before every import in the child: no usage reports, no second thread, no surprises from the caller's shell.
ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
# The kernel's memory killer sends SIGKILL; nobody else does in a normal run.
_OUTCOMES: dict[int, Outcome] = {0: "ok", -9: "out of memory", -4: "illegal instruction"}


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


class Target:
    """A place where a Python script can run. Use it as a context manager: leaving it cleans up."""

    kind = "local"  # local, cgroup, qemu or ssh; of a replay, that of the device that was recorded
    is_replay = False  # whether recorded answers are played
    has_wall_time = True  # whether seconds measured there are the device's own
    is_emulated = False  # whether another machine plays the device, so that figures are labelled `emulated`
    counts_instructions = False  # whether instructions between the worker's marks are counted
    cpu_quota = 1.0  # share of the processor's time that one thread may have; below 1 it is stopped now and then

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.limits: Mapping[str, str] = {}  # what holds the process to the profile, for the report

    def __enter__(self) -> Self:
        """Make the device ready."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave nothing behind."""

    def upload(self, path: Path) -> str:
        """Bring a file to the device and return its path there."""
        if not path.is_file():
            raise InputError(f"{path} does not exist; check the path")
        return str(path.resolve())

    def command(self, script: Path, arguments: Sequence[str]) -> list[str]:
        """Return what starts the script. `-I`: neither the script's folder nor PYTHON* variables count."""
        return [sys.executable, "-I", self.upload(script), *arguments]

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> ProcessResult:
        """Run a Python script that reads `request` on standard input, in a fresh process; the caller sleeps meanwhile.

        On this machine the script finds the moment of its start on the monotonic clock in POCKETRANK_SPAWNED.
        """
        return run_process(self.command(script, arguments), request, timeout, {**os.environ, **ENVIRONMENT})


def run_process(command: Sequence[str], request: str, timeout: float, environment: Mapping[str, str]) -> ProcessResult:
    """Run a command to its end, or until `timeout` seconds are over.

    The moment of the start is in the child's POCKETRANK_SPAWNED, on the monotonic clock, and the number of this process
    in POCKETRANK_PARENT.
    """
    started = time.monotonic()
    try:
        ended = subprocess.run(
            command,
            input=request.encode(),
            capture_output=True,
            timeout=timeout,
            env={**environment, "POCKETRANK_SPAWNED": repr(started), "POCKETRANK_PARENT": str(os.getpid())},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ProcessResult("timeout", "", f"stopped after {timeout:.0f} s", time.monotonic() - started)
    seconds = time.monotonic() - started
    complaints = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    detail = complaints[-1].strip() if complaints else f"exit code {ended.returncode}"
    return ProcessResult(
        _OUTCOMES.get(ended.returncode, "failed"),
        ended.stdout.decode("utf-8", "replace"),
        detail if ended.returncode else "",
        seconds,
        exit_code=ended.returncode,
    )

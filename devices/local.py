"""Run on this machine, in a fresh process."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ..runtime.errors import InputError
from .profile import Profile
from .target import Completed, Outcome

# Set before every import in the child: no usage reports, no second thread, no surprises from the caller's shell.
ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class LocalTarget:
    """This machine as it is."""

    kind = "local"
    timed = True

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.limits: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        """Nothing to make ready."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to clean up."""

    def place(self, path: Path) -> str:
        """Return the file's own path."""
        if not path.is_file():
            raise InputError(f"{path} does not exist; check the path")
        return str(path.resolve())

    def command(self) -> list[str]:
        """Return what starts a Python here. `-I`: neither the script's folder nor PYTHON* variables count."""
        return [sys.executable, "-I"]

    def run(self, script: Path, request: str, arguments: Sequence[str] = (), timeout: float = 600.0) -> Completed:
        """Run the script in a fresh process and wait for it asleep."""
        command = [*self.command(), self.place(script), *arguments]
        environment = {**os.environ, **ENVIRONMENT}
        started = time.monotonic()
        environment["POCKETRANK_SPAWNED"] = repr(time.monotonic())
        try:
            done = subprocess.run(
                command,
                input=request.encode(),
                capture_output=True,
                timeout=timeout,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Completed("timeout", "", f"stopped after {timeout:.0f} s", time.monotonic() - started)
        seconds = time.monotonic() - started
        outcome = self.outcome(done.returncode)
        errors = done.stderr.decode("utf-8", "replace").strip().splitlines()
        detail = "" if outcome == "ok" else (errors[-1] if errors else f"exit code {done.returncode}")
        return Completed(outcome, done.stdout.decode("utf-8", "replace"), detail, seconds)

    def outcome(self, returncode: int) -> Outcome:
        """Say what an exit code means here."""
        if returncode == 0:
            return "ok"
        # The kernel's memory killer sends SIGKILL; nobody else does in a normal run.
        return "out of memory" if returncode == -9 else "failed"

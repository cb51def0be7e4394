"""Start a process, give it its input, and wait for it asleep."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .base import Outcome, ProcessResult

# Set before every import in the child: no usage reports, no second thread, no surprises from the caller's shell.
ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Ended:
    """A process that ended. `code` is negative for a signal, and None when it had to be stopped."""

    code: int | None
    output: str
    errors: str
    seconds: float

    @property
    def outcome(self) -> Outcome:
        """What the exit code means. The kernel's memory killer sends SIGKILL; nobody else does in a normal run."""
        known: dict[int | None, Outcome] = {None: "timeout", 0: "ok", -9: "out of memory", -4: "illegal instruction"}
        return known.get(self.code, "failed")

    def completed(
        self, outcome: Outcome, observed: Mapping[str, float] | None = None, detail: str = ""
    ) -> ProcessResult:
        """Return the record of this process; without a `detail`, the last line that it complained with."""
        lines = self.errors.strip().splitlines()
        said = detail or (lines[-1] if lines else f"exit code {self.code}")
        return ProcessResult(outcome, self.output, "" if outcome == "ok" else said, self.seconds, dict(observed or {}))


def run_process(command: Sequence[str], request: str, timeout: float, environment: Mapping[str, str]) -> Ended:
    """Run a command to its end, or until `timeout` seconds are over.

    The moment of the start is in the child's POCKETRANK_SPAWNED, on the monotonic clock.
    """
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            input=request.encode(),
            capture_output=True,
            timeout=timeout,
            env={**environment, "POCKETRANK_SPAWNED": repr(started)},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ended(None, "", f"stopped after {timeout:.0f} s", time.monotonic() - started)
    seconds = time.monotonic() - started
    return Ended(
        done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"), seconds
    )

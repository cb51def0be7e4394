"""Start a process, give it its input, and wait for it asleep."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence

from .base import Outcome, ProcessResult

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

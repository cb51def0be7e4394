"""Forked worker processes of one thread each, which die with their parent.

Forking (rather than starting again) shares what the parent has imported and loaded, which for a teacher costs eight
seconds and a hundred megabytes. A worker leaves Ctrl-C to its parent.
"""

import ctypes
import math
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ...runtime.errors import PocketrankError

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 5.0


def available_cores(groups: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of cores that this process may use: those it may run on, or its quota, as a container has."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cpu_quota(groups, mounts))))


def _cpu_quota(groups: Path, mounts: Path) -> float:
    """Return the processor time per second that the control groups of this process allow; infinity without a limit."""
    quota = math.inf
    for line in _words_of(groups, "\n"):
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = mounts / controllers if controllers else mounts
        group = mount / name.lstrip("/")
        # Each group above limits what is below it. In a container the own group may be mounted as the root.
        for folder in (group, *group.parents):
            if not folder.is_relative_to(mount):
                break
            words = _words_of(folder / "cpu.max") or [
                *_words_of(folder / "cpu.cfs_quota_us"),
                *_words_of(folder / "cpu.cfs_period_us"),
            ]
            if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal():  # others: "max", or -1
                quota = min(quota, int(words[0]) / max(int(words[1]), 1))
    return quota


def _words_of(path: Path, separator: str | None = None) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip().split(separator)
    except OSError:
        return []


class WorkerError(PocketrankError):
    """A worker process ended, or reported an error."""


class Worker:
    """A forked process that runs `function(channel, *arguments)`."""

    def __init__(self, function: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("fork")
        self.channel, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(os.getpid(), self.channel, theirs, function, arguments), daemon=True
        )
        self._process.start()
        theirs.close()

    def receive(self, timeout: float | None = None) -> Any:
        """Return the worker's next message; raise `WorkerError` when it is dead, failed or silent for too long."""
        try:
            if not self.channel.poll(timeout):
                raise WorkerError("a worker process did not answer in time; run again")
            message = self.channel.recv()
        except (EOFError, OSError):
            self._process.join(1)
            raise WorkerError(
                f"a worker process ended with code {self._process.exitcode} "
                f"(-9 often means that memory ran out); run again, with fewer workers if memory is short"
            ) from None
        if isinstance(message, WorkerError):
            raise message
        return message

    def send(self, message: Any) -> None:
        """Send a message; raise `WorkerError` when the worker is dead."""
        try:
            self.channel.send(message)
        except OSError:
            raise WorkerError("a worker process ended before its time; run again") from None

    def stop(self) -> None:
        """End the process now."""
        self._process.kill()
        self._process.join()
        self.channel.close()


def receive_from_parent(channel: Connection, parent: int) -> Any:
    """Return the parent's next message; end the process when the parent is gone."""
    while not channel.poll(_POLL_SECONDS):
        if os.getppid() != parent:
            os._exit(1)
    try:
        return channel.recv()
    except (EOFError, OSError):
        os._exit(0)


def _work(
    parent: int, parents_end: Connection, channel: Connection, function: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parents_end.close()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its thread pool does not live on in a forked process
    import torch

    torch.set_num_threads(1)
    try:
        function(channel, *arguments)
    except PocketrankError as error:
        channel.send(WorkerError(str(error)))

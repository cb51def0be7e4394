"""A stage that is killed in the midst of its work, at a moment that a busy machine does not move."""

import dataclasses
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from builders.processes import FORKED
from pocketrank.pipeline.stage import StageContext
from pocketrank.runtime.progress import NoProgress, Task


class Deadly(NoProgress):
    """A progress that kills its process when units have been done `times` times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def advance(self, amount: int = 1) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def task(self, name: str, total: int, unit: str, done: int = 0) -> Generator[Task, None, None]:
        yield self


def run_and_kill(stage: Callable[[StageContext], Any], context: StageContext, times: int) -> None:
    """Run a stage in a process of its own, which dies after its `times`-th report of progress."""
    process = FORKED.Process(target=stage, args=(dataclasses.replace(context, progress=Deadly(times)),))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL

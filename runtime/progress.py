"""The seam between long work and whatever shows its progress.

Work below the command line never prints. It reports to a `Progress`, which the command line draws as bars on a
terminal or as quiet lines in a log, and which tests leave silent.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol


class Task(Protocol):
    """One running piece of work."""

    def advance(self, amount: int = 1) -> None:
        """Say that `amount` more units are done."""
        ...


class Progress(Protocol):
    """Where work reports to."""

    def note(self, text: str) -> None:
        """Show one line of information."""
        ...

    @contextmanager
    def task(self, name: str, total: int, unit: str, done: int = 0) -> Generator[Task, None, None]:
        """Open a piece of work of `total` units, `done` of which were finished by an earlier run."""
        ...


class _SilentTask:
    def advance(self, amount: int = 1) -> None:
        """Ignore it."""


class NoProgress:
    """A `Progress` that shows nothing."""

    def note(self, text: str) -> None:
        """Ignore it."""

    @contextmanager
    def task(self, name: str, total: int, unit: str, done: int = 0) -> Generator[Task, None, None]:
        """Yield a task that shows nothing."""
        yield _SilentTask()

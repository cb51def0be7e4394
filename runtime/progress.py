"""The seam between long work and whatever shows its progress.

Work below the command line never prints. It reports to a `Progress`, which the command line draws as bars on a
terminal or as lines in a log (`Lines`), and which tests leave silent (`NoProgress`).
"""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol


def visible(text: str) -> str:
    """Return text as one line that steers nothing: control and format characters are written as escapes."""
    return "".join(map(_visible_character, text))


def _visible_character(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace() and character > "\x9f":  # no-break spaces and the like
        return " "
    return character.encode("unicode_escape").decode("ascii")


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


class Lines:
    """Progress as one line every ten seconds and one at the end, for logs."""

    every_seconds = 10.0

    def note(self, text: str) -> None:
        """Show one line."""
        sys.stderr.write(f"{visible(text)}\n")
        sys.stderr.flush()

    @contextmanager
    def task(self, name: str, total: int, unit: str, done: int = 0) -> Generator[Task, None, None]:
        """Write a line now and then until the block ends."""
        task = _LineTask(self, name, total, unit, done)
        yield task
        task.finish()


class _LineTask:
    def __init__(self, lines: Lines, name: str, total: int, unit: str, done: int) -> None:
        self._lines, self._name, self._total, self._unit = lines, name, total, unit
        self._done, self._first, self._reported = done, done, -1
        self._started = self._last = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        if time.monotonic() - self._last >= self._lines.every_seconds:
            self.report()

    def finish(self) -> None:
        if self._reported != self._done:
            self.report()

    def report(self) -> None:
        self._reported = self._done
        self._last = time.monotonic()
        seconds = max(self._last - self._started, 1e-3)
        rate = (self._done - self._first) / seconds
        remaining = (
            f", {(self._total - self._done) / rate:,.0f} s left" if rate > 0 and self._done < self._total else ""
        )
        self._lines.note(f"  {self._name}: {self._done:,}/{self._total:,} ({rate:,.0f} {self._unit}/s{remaining})")

"""How commands speak: tables and progress on the error stream or the terminal, JSON on standard output."""

import json
import re
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.progress import Lines, NoProgress, Progress, Task, visible
from .streams import knows_unicode

if TYPE_CHECKING:
    from ..runtime.corpus import Corpus

LINE = 100  # characters of a passage on a line


def print_json(value: Any) -> None:
    """Print `value` as JSON on standard output, and nothing else."""
    ascii_only = not knows_unicode(sys.stdout.encoding)
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=ascii_only) + "\n")


def print_warning(text: str) -> None:
    """Print one line on the error stream, characters that would steer a terminal made visible; nothing if empty."""
    if text:
        sys.stderr.write(visible(text) + "\n")


def print_line(text: str = "") -> None:
    """Print one line on standard output, characters that would steer a terminal made visible."""
    sys.stdout.write(visible(text) + "\n")


def print_marked(text: str, places: Sequence[tuple[int, int]], indent: str) -> None:
    """Print `text` in lines, what stands at `places` in bold on a terminal and between asterisks elsewhere."""
    before, after = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("*", "*")
    text = re.sub(r"\s", " ", text)
    parts: list[str] = []
    end = 0
    for first, last in places:
        # Inside a marked word nothing is a space, so that lines are not broken there.
        parts += [visible(text[end:first]), "\ue000", visible(text[first:last]), "\ue001"]
        end = last
    words = "".join([*parts, visible(text[end:])]).split()
    for line in textwrap.wrap(" ".join(words), LINE, break_long_words=False, break_on_hyphens=False):
        sys.stdout.write(f"{indent}{line}\n".replace("\ue000", before).replace("\ue001", after))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> None:
    """Print a table on standard output; the first column is left-aligned, the others right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    class Output(Console):
        """A console that leaves a closed pipe to the command's own rule."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    console = Output(file=sys.stdout, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Output(file=sys.stdout, highlight=False, width=120)
    table = Table(title=escape(visible(title)), box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left")
    if note:
        table.caption = escape(visible(note))
    for index, column in enumerate(columns):
        table.add_column(escape(visible(column)), justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(visible(str(cell))) for cell in row))
    console.print(table)


def make_progress(quiet: bool = False) -> Progress:
    """Return bars on a terminal, a line now and then in a log, nothing when `quiet`."""
    if quiet:
        return NoProgress()
    return Bars() if sys.stderr.isatty() else Lines()


class Notes(NoProgress):
    """Notes alone, for commands whose output is JSON."""

    def note(self, text: str) -> None:
        """Show one line."""
        sys.stderr.write(f"{visible(text)}\n")


def read_corpus(path: Path, progress: Progress) -> "Corpus":
    """Open the documents at `path` and note what is left out of them."""
    from ..runtime.corpus import Corpus

    corpus = Corpus(path)
    for remark in corpus.remarks:
        progress.note(f"  {remark}")
    return corpus


class Bars(Notes):
    """Progress as bars with rate and remaining time, on the error stream."""

    @contextmanager
    def task(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Task]:
        """Draw a bar until the block ends."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=Console(file=sys.stderr)) as bars:
            identifier = bars.add_task(visible(name), total=total, completed=done, rate="")
            yield _BarTask(bars, identifier, unit)


class _BarTask:
    def __init__(self, bars: Any, identifier: Any, unit: str) -> None:
        self._bars, self._identifier, self._unit = bars, identifier, unit
        self._started, self._count = time.monotonic(), 0

    def advance(self, amount: int = 1) -> None:
        self._count += amount
        seconds = max(time.monotonic() - self._started, 1e-3)
        self._bars.update(self._identifier, advance=amount, rate=f"{self._count / seconds:,.0f} {self._unit}/s")

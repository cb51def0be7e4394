"""Markdown: pages, tables, docstrings."""

import inspect
import textwrap
from collections.abc import Iterable, Sequence

NOTE = "<!-- Written from the code by `make reference`; change the code, not this page. -->"


def page(title: str, *parts: str) -> str:
    """Return a page: title, the note that it is generated, and the parts that are not empty."""
    return "\n\n".join([f"# {title}", NOTE, *filter(None, (part.strip("\n") for part in parts))]) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; bars and line breaks inside cells are escaped."""
    lines = [list(columns), ["---"] * len(columns), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    return "`".join(part if index % 2 else part.replace("<", "\\<") for index, part in enumerate(parts))


def code(text: str, language: str = "") -> str:
    """Return a fenced block."""
    return f"```{language}\n{textwrap.dedent(text).strip()}\n```"


def docstring(text: str | None) -> str:
    """Return a docstring as Markdown: indented lines and examples (`>>>`) become fenced blocks."""
    blocks: list[tuple[bool, list[str]]] = []
    in_example = False
    for line in inspect.cleandoc(text or "").splitlines():
        in_example = line.startswith(">>>") or (in_example and bool(line.strip()))
        is_code = in_example or line.startswith("  ") or (not line.strip() and bool(blocks) and blocks[-1][0])
        if not blocks or blocks[-1][0] != is_code:
            blocks.append((is_code, []))
        blocks[-1][1].append(line)
    return "\n\n".join(filter(None, (_block(is_code, lines) for is_code, lines in blocks)))


def _block(is_code: bool, lines: Sequence[str]) -> str:
    text = "\n".join(lines).strip("\n")
    return code(text, "python" if text.startswith(">>>") else "") if is_code else text.strip()

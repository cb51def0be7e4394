"""The structure of a text: its sections, each below a path of headings, and the blocks that a section is made of.

A block is a paragraph, an item of a list, a table or a block of code. Headings are those of Markdown; readers of other
kinds (`runtime/documents/`) bring theirs to that form. Plain text has paragraphs alone, which an empty line ends.
Every step goes forward over lines, so time grows with the length, whatever a text holds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,9}[.)])[ \t]+\S")


class Span(NamedTuple):
    """Characters `start` to `end` of a text."""

    start: int
    end: int


@dataclass
class Section:
    """What stands below one heading, up to the next."""

    headings: tuple[str, ...] = ()  # from the highest to the section's own; empty before the first
    places: tuple[Span, ...] = ()  # where each of them stands
    blocks: list[Span] = field(default_factory=list[Span])


class _Line(NamedTuple):
    start: int
    end: int  # without the line break
    text: str


def sections(text: str, *, marked: bool) -> Iterator[Section]:
    """Yield the sections of `text` in order; of one that is not `marked` as Markdown is, a single one."""
    section = Section()
    path: list[tuple[int, str, Span]] = []
    block = _Block()
    fence = ""
    for line in _lines(text):
        if marked and (fence or _FENCE.match(line.text)):
            opened = _FENCE.match(line.text)
            if not fence:
                block.end(section)
                fence = opened[1] if opened else ""
            elif opened and line.text.strip() == opened[1] and opened[1].startswith(fence):
                fence = ""
            block.add(line)
            if not fence:
                block.end(section)
            continue
        level, title, heading = _heading(line, block) if marked else (0, "", None)
        if heading is not None:
            block.end(section)
            yield section
            path = [above for above in path if above[0] < level] + [(level, title, heading)]
            section = Section(tuple(name for _, name, _ in path), tuple(place for *_, place in path))
        elif not line.text.strip():
            block.end(section)
        else:
            if _ITEM.match(line.text):
                block.end(section)
            block.add(line)
    block.end(section)
    yield section


class _Block:
    """The block that is being read."""

    def __init__(self) -> None:
        self.first: _Line | None = None
        self.last: _Line | None = None

    def add(self, line: _Line) -> None:
        self.first, self.last = self.first or line, line

    def end(self, section: Section) -> None:
        if self.first and self.last:
            section.blocks.append(Span(self.first.start, self.last.end))
        self.first = self.last = None


def _heading(line: _Line, block: _Block) -> tuple[int, str, Span | None]:
    """Return level, title and place of the heading that `line` is, or that it underlines; no place where it is none."""
    if (match := _HEADING.match(line.text)) and match[2]:
        return len(match[1]), match[2].strip(), Span(line.start, line.end)
    above = block.first
    if above and above is block.last and (match := _UNDERLINE.match(line.text)) and not _ITEM.match(above.text):
        block.first = block.last = None
        return (1 if match[1].startswith("=") else 2), above.text.strip(), Span(above.start, line.end)
    return 0, "", None


def _lines(text: str) -> Iterator[_Line]:
    start = 0
    while start < len(text):
        stop = text.find("\n", start)
        stop = len(text) if stop < 0 else stop
        yield _Line(start, stop, text[start:stop])
        start = stop + 1

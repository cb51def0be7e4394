"""A document, and what holds many."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

_HEADING_MARK = re.compile(r"^#{1,6} ", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """Where a document's text stands."""

    file: str = ""  # its name, or its path inside the folder that was named
    line: int = 0  # of the file, on which the text begins; 0 where that is not known
    follows: bool = False  # each line of the text is a line of the file

    def line_of(self, text: str, start: int) -> int:
        """Return the line of the file on which the character `start` of the document's `text` stands; 0 if unknown."""
        return self.line + text.count("\n", 0, start) if self.follows and self.line else self.line


@dataclass(frozen=True)
class Document:
    """One document; `title` may be empty."""

    id: str
    title: str
    text: str
    marked: bool = False  # headings, lists and code in the text are marked as in Markdown
    place: Place = Place()

    @property
    def full_text(self) -> str:
        """Title, a space and the text, headings without marks: what is encoded where a document has one vector."""
        text = _HEADING_MARK.sub("", self.text) if self.marked else self.text
        return f"{self.title} {text}".strip()


class Documents(Protocol):
    """Documents that can be counted, and read more than once: a `Corpus`, or a list of `Document`."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __iter__(self) -> Iterator[Document]:
        """Yield them, always in the same order."""
        ...


def valid_name(name: str) -> str:
    r"""Return a file's name as text that UTF-8 can hold: bytes that are none become \xff."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")

"""A document, and what holds many."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Document:
    """One document; `title` may be empty."""

    id: str
    title: str
    text: str

    @property
    def full_text(self) -> str:
        """What is encoded: title, a space and the text."""
        return f"{self.title} {self.text}".strip()


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

"""The entries of an index: which passage of which document each row of its vectors stands for.

    passages.jsonl    a line each: id and title of the document, headings, text, file, line, start and end
    offsets.npy       int64 [n + 1], where the lines begin
    document_of.npy   int32 [n], the number of each entry's document; entries of a document stand together
    digests.npy       16 bytes [documents, 3], digests of each document, see `runtime/search/digests.py`
    tokens.npy        int32 [documents, 2], the tokens of each document, and those of them that reach a vector

An index of schema version 2 has `documents.jsonl` (id, title and snippet) instead, one entry a document.
"""

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..documents.document import Document
from ..errors import VerificationError
from ..files import is_object
from ..passages.cutter import Passage
from .arrays import open_array, write_array
from .digests import as_digests

PASSAGES_NAME, OLD_NAME = "passages.jsonl", "documents.jsonl"
_TEXTS = ("id", "title", "text", "file")
_NUMBERS = ("line", "start", "end")
RECORD_KEYS = (*_TEXTS, *_NUMBERS, "headings")


def entry_record(document: Document, passage: Passage) -> dict[str, Any]:
    """Return what an index keeps of a passage of `document`."""
    return {
        "id": document.id,
        "title": document.title,
        "headings": list(passage.headings),
        "text": passage.text,
        "file": document.place.file,
        "line": document.place.line_of(document.text, passage.start),
        "start": passage.start,
        "end": passage.end,
    }


class EntryWriter:
    """Writes entries one after the other; memory is twelve bytes an entry, and 56 a document."""

    def __init__(self, folder: Path) -> None:
        """Begin `passages.jsonl` in `folder`."""
        self._folder = folder
        self._stream = (folder / PASSAGES_NAME).open("wb")
        self._offsets, self._document_of = array("q", [0]), array("i")
        self._digests, self._tokens = bytearray(), array("i")
        self.documents = 0

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self._document_of)

    @property
    def tokens(self) -> tuple[int, int]:
        """The tokens of all documents, and those that reach a vector."""
        return sum(self._tokens[::2]), sum(self._tokens[1::2])

    def begin(self, digests: bytes, tokens: tuple[int, int]) -> None:
        """Begin the next document, with its three digests, its tokens and those that reach a vector."""
        self._digests += digests
        self._tokens.extend(tokens)
        self.documents += 1

    def append(self, record: dict[str, Any]) -> None:
        """Add the entry `record` of the document that was begun."""
        self.append_line(json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n")

    def append_line(self, line: bytes) -> None:
        """Add the entry in `line`, as another writer wrote it."""
        self._stream.write(line)
        self._offsets.append(self._stream.tell())
        self._document_of.append(self.documents - 1)

    def close(self) -> None:
        """Finish the files."""
        self._stream.close()
        write_array(self._folder / "offsets.npy", np.array(self._offsets, dtype=np.int64))
        write_array(self._folder / "document_of.npy", np.array(self._document_of, dtype=np.int32))
        write_array(self._folder / "digests.npy", as_digests(self._digests))
        write_array(self._folder / "tokens.npy", np.array(self._tokens, dtype=np.int32).reshape(-1, 2))


class Entries:
    """The entries of a saved index, read from disk when they are asked for."""

    def __init__(self, folder: Path, count: int, *, whole_documents: bool, advice: str) -> None:
        """Map the arrays in `folder`; raise `VerificationError`, which ends in `advice`, where they do not fit."""
        self._path = folder / (OLD_NAME if whole_documents else PASSAGES_NAME)
        self._advice = advice
        self._offsets = load_array(folder, "offsets", np.dtype(np.int64), (count + 1,), advice)
        try:
            self._lines = np.memmap(self._path, mode="r")  # stays open, should the index change meanwhile
        except (OSError, ValueError) as error:
            raise VerificationError(f"{self._path} cannot be read ({error}); {advice}") from None
        end = len(self._lines)
        if self._offsets[0] != 0 or self._offsets[-1] != end or not (self._offsets[1:] > self._offsets[:-1]).all():
            raise VerificationError(f"{folder / 'offsets.npy'} is damaged: it does not divide the entries; {advice}")
        self.document_of = np.arange(count, dtype=np.int32)
        if not whole_documents:
            self.document_of = load_array(folder, "document_of", np.dtype(np.int32), (count,), advice)
            steps = np.diff(self.document_of)
            if self.document_of[0] != 0 or ((steps != 0) & (steps != 1)).any():
                raise VerificationError(f"{folder / 'document_of.npy'} is damaged: documents are missing; {advice}")

    @property
    def documents(self) -> int:
        """The number of documents."""
        return int(self.document_of[-1]) + 1

    def line(self, row: int) -> bytes:
        """Return the entry at position `row` as it was written."""
        return self._lines[int(self._offsets[row]) : int(self._offsets[row + 1])].tobytes()

    def record(self, row: int) -> dict[str, Any]:
        """Return the entry at position `row`: the keys of `entry_record`."""
        try:
            record: Any = json.loads(self.line(row))
        except ValueError:
            record = None
        if is_object(record) and self._path.name == OLD_NAME:
            nowhere: dict[str, Any] = {"headings": [], "file": "", "line": 0, "start": 0, "end": 0}
            record = {**record, **nowhere, "text": record.get("snippet")}
        if not is_object(record) or not _is_entry(record):
            raise VerificationError(f"{self._path} is damaged at byte {self._offsets[row]}; {self._advice}")
        return record


def entry_texts(folder: Path) -> Iterator[str]:
    """Yield title, headings and text of each entry in `folder`, which `EntryWriter` made."""
    with (folder / PASSAGES_NAME).open("rb") as stream:
        for line in stream:
            record = json.loads(line)
            yield " ".join(part for part in (record["title"], *record["headings"], record["text"]) if part)


def _is_entry(record: dict[str, Any]) -> bool:
    texts = (isinstance(record.get(name), str) for name in _TEXTS)
    numbers = (type(record.get(name)) is int for name in _NUMBERS)
    headings = record.get("headings")
    return all(texts) and all(numbers) and isinstance(headings, list)


def load_array(folder: Path, name: str, kind: np.dtype, shape: tuple[int, ...], advice: str) -> np.ndarray:
    """Map the array `name` of an index; raise `VerificationError` unless it has this `kind` and `shape`."""
    path = folder / f"{name}.npy"
    found = open_array(path)
    if found.dtype != kind or found.shape != shape:
        raise VerificationError(f"{path} holds {found.dtype} {found.shape}, not {kind} {shape}; {advice}")
    return found

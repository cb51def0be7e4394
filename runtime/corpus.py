"""Documents to be indexed, streamed from a file or a folder. `runtime/documents/` reads the kinds of files.

a folder in BEIR layout       its corpus.jsonl or corpus.jsonl.gz
a file of records             .jsonl, .ndjson, .json, .csv, .tsv, .parquet: each record has a text (or contents, …)
                              and, if there are any, an _id (or id) and a title
a text file                   .txt: one document a line; the line number is its id
another file of prose         .md, .rst, .html: one document a section, its heading the title
any other folder              each file of prose below it is a document, its relative path the id, its first line the
                              title; each record of the other files is one, its id after the path
"""

import os
from collections.abc import Iterator
from pathlib import Path

from .documents.document import Document, Documents, Place
from .documents.kinds import PROSE, Source, find_sources
from .documents.packed import read_lines
from .documents.prose import read_prose
from .documents.read import read_records
from .documents.remarks import Remarks
from .errors import InputError

__all__ = ["Corpus", "Document", "Documents"]


class Corpus:
    """The documents at `path`, read again from disk at each iteration, one at a time."""

    def __init__(self, path: str | Path) -> None:
        """Find out what `path` is, then read it once to count and check it; `InputError` names what is wrong."""
        self.path = _corpus_file(Path(path))
        self.remarks = Remarks()  # what was left out or guessed
        self._sources = find_sources(self.path, self.remarks)
        self._count = 0
        given = any(source.kind not in PROSE for source in self._sources)  # ids; prose has numbers and paths
        seen: set[str] = set()
        for document in self._read(self.remarks):
            if given and document.id in seen:
                raise InputError(f"{self.path}: the id {document.id!r} appears twice; make ids unique")
            if given:
                seen.add(document.id)
            self._count += 1
        if not self._count:
            remarks = f" ({self.remarks})" if str(self.remarks) else ""
            raise InputError(f"{self.path} holds no document{remarks}; name a file or folder with text in it")

    def __len__(self) -> int:
        """Return the number of documents."""
        return self._count

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents in the order of the file, or of the sorted paths."""
        return self._read(Remarks())

    def _read(self, remarks: Remarks) -> Iterator[Document]:
        for source in self._sources:
            if source.kind not in PROSE:
                yield from _record_documents(source, remarks)
            elif source.in_folder:
                document = read_prose(source).document(source.label)
                if document.full_text:
                    yield document
                else:
                    remarks.add("files without text left out", source.label)
            elif source.kind == "text":
                yield from _line_documents(source)
            else:
                yield from _section_documents(source)


def _corpus_file(path: Path) -> Path:
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        if os.path.isfile(path / name):  # `Path.is_file` raises for a name that is too long
            return path / name
    return path


def _record_documents(source: Source, remarks: Remarks) -> Iterator[Document]:
    in_lines = source.kind in ("json lines", "csv", "tsv")
    for record in read_records(source, remarks):
        identifier = record.id or str(record.number)
        identifier = f"{source.label}:{identifier}" if source.in_folder else identifier
        place = Place(source.label, record.number if in_lines else 0)
        yield Document(identifier, record.title, record.text, place=place)


def _line_documents(source: Source) -> Iterator[Document]:
    for number, line in read_lines(source.path):
        if line.strip():
            yield Document(str(number), "", line.strip(), place=Place(source.label, number))


def _section_documents(source: Source) -> Iterator[Document]:
    number = 0
    for heading, paragraphs in read_prose(source).sections():
        text = "\n".join(paragraph.strip() for paragraph in paragraphs).strip()
        if text:
            number += 1
            yield Document(str(number), heading, text, place=Place(source.label))

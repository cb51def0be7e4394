"""Documents to be indexed, streamed from a file or a folder.

a folder in BEIR layout     its corpus.jsonl or corpus.jsonl.gz
*.jsonl, *.jsonl.gz         one object a line: "text" (or "contents"), and if there are any "_id" (or "id"), "title"
any other file              one document a line; the line number is its id
any other folder            every *.txt and *.md below it; the relative path is the id, the first line the title
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .errors import InputError
from .files import is_object, read_text


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


class Corpus:
    """The documents at `path`, read again from disk at each iteration, one at a time."""

    def __init__(self, path: str | Path) -> None:
        """Find out what `path` is, then read it once to count and check it; `InputError` names what is wrong."""
        self.path = _corpus_file(Path(path))
        self._count = 0
        seen: set[str] = set()
        for document in self:
            if document.id in seen:
                raise InputError(f"{self.path}: the id {document.id!r} appears twice; make ids unique")
            seen.add(document.id)
            self._count += 1
        if not self._count:
            raise InputError(f"{self.path} holds no document; name a file or folder with text in it")

    def __len__(self) -> int:
        """Return the number of documents."""
        return self._count

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents in the order of the file, or of the sorted paths."""
        if self.path.is_dir():
            return _folder_documents(self.path)
        if self.path.name.endswith((".jsonl", ".jsonl.gz")):
            return _json_documents(self.path)
        return _line_documents(self.path)


def _corpus_file(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path} does not exist; name a file or folder of documents")
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        if (path / name).is_file():
            return path / name
    return path


def _folder_documents(folder: Path) -> Iterator[Document]:
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".txt", ".md") and path.is_file()):
        text = read_text(path).strip()
        if text:
            title, _, rest = text.partition("\n")
            yield Document(path.relative_to(folder).as_posix(), title.lstrip("# ").strip(), rest.strip())


def _line_documents(path: Path) -> Iterator[Document]:
    for number, line in _lines(path):
        if line.strip():
            yield Document(str(number), "", line.strip())


def _json_documents(path: Path) -> Iterator[Document]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: not valid JSON ({error}); fix the line") from None
        except RecursionError:
            raise InputError(f"{path}, line {number}: JSON nested too deeply; fix the line") from None
        if not is_object(record):
            raise InputError(f"{path}, line {number}: a JSON object is needed; fix the line")
        yield _json_document(record, number, f"{path}, line {number}")


def _json_document(record: Mapping[str, Any], number: int, where: str) -> Document:
    identifier = record.get("_id", record.get("id", number))
    if isinstance(identifier, int):
        identifier = str(identifier)
    text = record.get("text", record.get("contents"))
    if text is None:
        raise InputError(f"{where}: the key 'text' is missing; add it")
    fields = {"_id": identifier, "title": record.get("title") or "", "text": text}
    for key, value in fields.items():
        if not isinstance(value, str):
            raise InputError(f"{where}: {key!r} must be a string; fix the line")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise InputError(f"{where}: {key!r} holds half a surrogate pair; fix the line")
    return Document(fields["_id"], fields["title"], fields["text"])


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text without its line break)."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                yield number, line.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}, line {number}: not valid UTF-8; convert the file to UTF-8") from None
    except PermissionError:
        raise InputError(f"{path} cannot be read: permission denied; change its mode or owner") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); fetch it again") from None

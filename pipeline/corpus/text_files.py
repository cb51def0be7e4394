"""A corpus from plain text: .txt, .md and .jsonl files, or a folder of them.

There are no judgements, so pseudo queries are made: the title of a passage, or else its first sentence, is a query
and the rest of the passage its only relevant document. In the documents of the held-out queries that title or
sentence is taken out; otherwise the query would be found in itself. The manifest says so.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.errors import InputError
from ...runtime.files import read_json_lines, read_text
from ..retrieval.dataset import RetrievalSet
from ..retrieval.near_duplicates import first_of_each, word_shingles
from ..settings import CorpusSettings
from .sampling import hash_order, hold_out

MAX_PASSAGE_CHARACTERS = 1000
QUERY_WORDS = range(3, 31)
MIN_DOCUMENT_WORDS = 8
SAME_DOCUMENT = 0.8  # Jaccard similarity of word triples
SUFFIXES = (".txt", ".md", ".jsonl")

_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class _Passage:
    identifier: str
    title: str
    text: str


def read_texts(settings: CorpusSettings) -> tuple[RetrievalSet, dict[str, Any]]:
    """Return the corpus below `settings.path` and what its manifest says about it.

    Raises `InputError` when the path does not exist, holds no text, or has a line that cannot be read.
    """
    root = Path(settings.path)
    if not settings.path or not root.exists():
        raise InputError(f"corpus.path {settings.path!r} does not exist; name a text file or a folder")
    files = _files(root)
    passages = [passage for path in files for passage in _passages(path, _label(root, path))]
    kept = first_of_each([word_shingles(f"{passage.title} {passage.text}") for passage in passages], SAME_DOCUMENT)
    unique = [passages[position] for position in kept]
    if settings.max_documents and len(unique) > settings.max_documents:
        unique = sorted(
            sorted(unique, key=lambda passage: hash_order(passage.identifier))[: settings.max_documents],
            key=passages.index,
        )
    if not unique:
        raise InputError(f"{root} holds no text; put text into {', '.join(SUFFIXES)} files")
    splits = {passage.identifier: _query_and_rest(passage) for passage in unique}
    queries = {f"q:{name}": pair[0] for name, pair in splits.items() if pair}
    answers = {query: {query.removeprefix("q:"): 1} for query in queries}
    qrels = hold_out(answers, queries, settings)
    titles = {passage.identifier: passage.title for passage in unique}
    documents = {passage.identifier: f"{passage.title} {passage.text}".strip() for passage in unique}
    for query in qrels["test"]:
        name = query.removeprefix("q:")
        pair = splits[name]
        if pair:
            titles[name], documents[name] = "", pair[1]
    source = {
        "files": [_label(root, path) for path in files],
        "passages_found": len(passages),
        "judgements": "pseudo: title or first sentence as query, the rest of the passage as its document",
    }
    return RetrievalSet(documents, titles, queries, qrels), source


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    files = [path for path in root.rglob("*") if path.suffix in SUFFIXES and path.is_file()]
    return sorted(files, key=lambda path: path.relative_to(root).as_posix())


def _label(root: Path, path: Path) -> str:
    return path.name if root.is_file() else path.relative_to(root).as_posix()


def _passages(path: Path, label: str) -> Iterator[_Passage]:
    if path.suffix == ".jsonl":
        yield from _json_passages(path, label)
        return
    title, number = "", 0
    for heading, paragraphs in _sections(read_text(path), path.suffix == ".md"):
        title = heading or title
        for text in _packed(paragraphs):
            number += 1
            yield _Passage(f"{label}:{number}", title, text)


def _json_passages(path: Path, label: str) -> Iterator[_Passage]:
    for number, record in read_json_lines(path):
        text, title = record.get("text"), record.get("title") or ""
        if not isinstance(text, str) or not isinstance(title, str):
            raise InputError(f"{path}, line {number}: 'text' (and 'title') must be strings; fix the line")
        if text.strip() or title.strip():
            yield _Passage(f"{label}:{number}", _line(title), _line(text))


def _sections(text: str, markdown: bool) -> Iterator[tuple[str, list[str]]]:
    heading, paragraphs = "", [""]
    for line in text.splitlines():
        match = _HEADING.match(line) if markdown else None
        if match:
            yield heading, paragraphs
            heading, paragraphs = match[1], [""]
        elif line.strip():
            paragraphs[-1] += f" {line}"
        elif paragraphs[-1]:
            paragraphs.append("")
    yield heading, paragraphs


def _packed(paragraphs: list[str]) -> Iterator[str]:
    # Paragraphs are joined up to the limit; a longer one is cut between sentences, or between words.
    passage = ""
    for part in (part for paragraph in paragraphs for part in _parts(_line(paragraph))):
        if passage and len(passage) + 1 + len(part) > MAX_PASSAGE_CHARACTERS:
            yield passage
            passage = ""
        passage = f"{passage} {part}".strip()
    if passage:
        yield passage


def _parts(paragraph: str) -> Iterator[str]:
    if len(paragraph) <= MAX_PASSAGE_CHARACTERS:
        yield paragraph
        return
    for sentence in _SENTENCE.split(paragraph):
        rest = sentence
        while len(rest) > MAX_PASSAGE_CHARACTERS:
            end = rest.rfind(" ", 1, MAX_PASSAGE_CHARACTERS + 1)
            end = end if end > 0 else MAX_PASSAGE_CHARACTERS
            yield rest[:end]
            rest = rest[end:].lstrip()
        yield rest


def _query_and_rest(passage: _Passage) -> tuple[str, str] | None:
    if passage.title:
        query, rest = passage.title, passage.text
    else:
        query, _, rest = _SENTENCE.sub("\n", passage.text, count=1).partition("\n")
    if len(query.split()) in QUERY_WORDS and len(rest.split()) >= MIN_DOCUMENT_WORDS:
        return query, rest
    return None


def _line(text: str) -> str:
    return " ".join(text.encode("utf-8", "ignore").decode("utf-8").split())

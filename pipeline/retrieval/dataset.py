"""Retrieval sets in BEIR layout: documents, queries and judgements in a folder of text files.

    corpus.jsonl[.gz]   {"_id", "title", "text"} a line
    queries.jsonl[.gz]  {"_id", "text"} a line
    qrels/SPLIT.tsv     query-id, corpus-id, score; with a header

The layout is the one of Thakur et al., "BEIR" (2021). A document's text is its title, a space and its text.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...runtime.errors import InputError
from ...runtime.files import read_json_lines, read_text, write_bytes

QRELS_HEADER = "query-id\tcorpus-id\tscore"


@dataclass(frozen=True)
class RetrievalSet:
    """Documents, queries and judgements, each in the order of its file."""

    documents: dict[str, str]  # id -> title, a space and the text
    titles: dict[str, str]  # id -> title, possibly empty
    queries: dict[str, str]
    qrels: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)  # split -> query -> document -> grade

    def body(self, document: str) -> str:
        """Return the text of a document without its title."""
        title = self.titles.get(document, "")
        text = self.documents[document]
        return text[len(title) :].lstrip() if title and text.startswith(title) else text

    def judgements(self, split: str) -> dict[str, dict[str, int]]:
        """Return the judgements of `split`; raise `InputError` when there are none."""
        if not self.qrels.get(split):
            known = ", ".join(name for name in sorted(self.qrels) if self.qrels[name]) or "none"
            raise InputError(f"the split {split!r} has no judgements; choose another split (there are: {known})")
        return self.qrels[split]

    def split_queries(self, split: str) -> dict[str, str]:
        """Return the judged queries of `split` in the order of the query file; empty when it has none."""
        judged = self.qrels.get(split, {})
        return {query: text for query, text in self.queries.items() if query in judged}


def read_retrieval_set(folder: Path) -> RetrievalSet:
    """Read a folder in BEIR layout.

    Raises `InputError`, naming file and line, for a missing or empty corpus, a line that is no record, an id that
    appears twice, a judgement that is malformed or names an unknown id, and text that is not UTF-8.
    """
    documents: dict[str, str] = {}
    titles: dict[str, str] = {}
    corpus = _find(folder, "corpus.jsonl")
    for number, identifier, record in _records(corpus):
        title = _string(record, "title", corpus, number, required=False)
        text = _string(record, "text", corpus, number)
        _refuse_twice(identifier, documents, corpus, number)
        titles[identifier] = title
        documents[identifier] = f"{title} {text}".strip()
    if not documents:
        raise InputError(f"{corpus} holds no document; put one JSON object with _id and text on each line")
    queries: dict[str, str] = {}
    source = _find(folder, "queries.jsonl")
    for number, identifier, record in _records(source):
        _refuse_twice(identifier, queries, source, number)
        queries[identifier] = _string(record, "text", source, number)
    qrels = {
        path.name.removesuffix(".tsv"): _read_qrels(path, queries, documents)
        for path in sorted((folder / "qrels").glob("*.tsv"))
    }
    return RetrievalSet(documents, titles, queries, qrels)


def write_retrieval_set(folder: Path, retrieval_set: RetrievalSet) -> str:
    """Write `retrieval_set` in BEIR layout and return the SHA-256 of its content.

    The same set gives the same bytes. Splits without judgements become files that hold only the header.
    """
    files = retrieval_files(retrieval_set)
    digest = hashlib.sha256()
    for name in sorted(files):
        write_bytes(folder / name, files[name])
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()


def retrieval_files(retrieval_set: RetrievalSet) -> dict[str, bytes]:
    """Return the files of a set in BEIR layout: name -> bytes."""
    corpus = (
        {"_id": identifier, "title": retrieval_set.titles.get(identifier, ""), "text": retrieval_set.body(identifier)}
        for identifier in retrieval_set.documents
    )
    queries = ({"_id": identifier, "text": text} for identifier, text in retrieval_set.queries.items())
    files = {"corpus.jsonl": json_lines(corpus), "queries.jsonl": json_lines(queries)}
    for split, judged in retrieval_set.qrels.items():
        lines = [QRELS_HEADER]
        for query, grades in judged.items():
            lines += [f"{query}\t{document}\t{grade}" for document, grade in grades.items()]
        files[f"qrels/{split}.tsv"] = ("\n".join(lines) + "\n").encode("utf-8")
    return files


def json_lines(records: Iterator[dict[str, Any]]) -> bytes:
    """Return `records` as JSON Lines in UTF-8."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode("utf-8")


def _find(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name a folder with {name} in it")
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() and not (folder / name).exists() else folder / name


def _records(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    for number, record in read_json_lines(path):
        identifier = record.get("_id")
        if isinstance(identifier, int) and not isinstance(identifier, bool):
            identifier = str(identifier)
        if not isinstance(identifier, str) or not identifier.strip() or any(mark in identifier for mark in "\t\r\n"):
            raise InputError(f"{path}, line {number}: _id must be a non-empty string on one line; fix the line")
        yield number, identifier, record


def _string(record: Mapping[str, Any], key: str, path: Path, number: int, required: bool = True) -> str:
    value = record.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{path}, line {number}: {key!r} must be a string; fix the line")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{path}, line {number}: {key!r} holds half a surrogate pair; fix the line") from None
    return value


def _refuse_twice(identifier: str, seen: Mapping[str, str], path: Path, number: int) -> None:
    if identifier in seen:
        raise InputError(f"{path}, line {number}: the id {identifier!r} appears twice; make ids unique")


def _read_qrels(path: Path, queries: Mapping[str, str], documents: Mapping[str, str]) -> dict[str, dict[str, int]]:
    judged: dict[str, dict[str, int]] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        cells = line.rstrip("\r").split("\t")
        if cells == [""] or (number == 1 and cells[-1].strip().lower() == "score"):
            continue
        if len(cells) != 3:
            raise InputError(f"{path}, line {number}: three cells are needed (query, document, score); fix the line")
        query, document, grade = cells
        if query not in queries:
            raise InputError(f"{path}, line {number}: there is no query {query!r}; add it or remove the line")
        if document not in documents:
            raise InputError(f"{path}, line {number}: there is no document {document!r}; add it or remove the line")
        try:
            judged.setdefault(query, {})[document] = int(grade)
        except ValueError:
            raise InputError(f"{path}, line {number}: the score {grade!r} is no whole number; fix the line") from None
    return judged

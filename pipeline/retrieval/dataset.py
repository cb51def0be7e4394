"""Retrieval sets in BEIR layout: documents, queries and judgements in a folder of text files.

    corpus.jsonl        {"_id", "title", "text"} a line, under any names that `runtime/documents/records.py` knows
    queries.jsonl       {"_id", "text"} a line
    qrels/SPLIT.tsv     query, document, grade; with or without a header; or TREC's query, 0, document, grade

Each may be packed as `.gz`. The layout is the one of Thakur et al., "BEIR" (2021), and sets are read as they are
published: judgements of documents or queries that are not there are left out, and a remark counts them. A document's
text is its title, a space and its text.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...runtime.documents.json_files import json_line_records
from ...runtime.documents.packed import read_lines
from ...runtime.documents.records import TEXT_NEEDED, Record
from ...runtime.documents.remarks import Remarks
from ...runtime.errors import InputError
from ...runtime.files import write_bytes

QRELS_HEADER = "query-id\tcorpus-id\tscore"
_MISSING = "files that are not there"


@dataclass(frozen=True)
class RetrievalSet:
    """Documents, queries and judgements, each in the order of its file."""

    documents: dict[str, str]  # id -> title, a space and the text
    titles: dict[str, str]  # id -> title, possibly empty
    queries: dict[str, str]
    qrels: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)  # split -> query -> document -> grade
    remarks: tuple[str, ...] = field(default=(), compare=False)  # what was left out while it was read

    def body(self, document: str) -> str:
        """Return the text of a document without its title."""
        title = self.titles.get(document, "")
        text = self.documents[document]
        return text[len(title) :].lstrip() if title and text.startswith(title) else text

    def judgements(self, split: str) -> dict[str, dict[str, int]]:
        """Return the judgements of `split`; raise `InputError` when there are none."""
        if not self.qrels.get(split):
            known = ", ".join(name for name in sorted(self.qrels) if self.qrels[name]) or "none"
            why = f" ({'; '.join(self.remarks)})" if self.remarks else ""
            raise InputError(f"the split {split!r} has no judgements{why}; choose another split (there are: {known})")
        return self.qrels[split]

    def split_queries(self, split: str) -> dict[str, str]:
        """Return the judged queries of `split` in the order of the query file; empty when it has none."""
        judged = self.qrels.get(split, {})
        return {query: text for query, text in self.queries.items() if query in judged}


class Judgements:
    """Judgements by split, of the queries and documents that there are; of the others, a remark."""

    def __init__(self, queries: Mapping[str, str], documents: Mapping[str, str], remarks: Remarks) -> None:
        """Begin with none."""
        self.queries, self.documents, self.remarks = queries, documents, remarks
        self.splits: dict[str, dict[str, dict[str, int]]] = {}

    def add(self, split: str, query: str, document: str, grade: int) -> None:
        """Keep one judgement."""
        if query not in self.queries:
            self.remarks.add(f"judgements in {split!r} left out because there is no such query", query)
        elif document not in self.documents:
            self.remarks.add(f"judgements in {split!r} left out because there is no such document", document)
        else:
            self.splits.setdefault(split, {}).setdefault(query, {})[document] = grade


def read_retrieval_set(folder: Path, splits: Collection[str] = (), *, judged: bool = True) -> RetrievalSet:
    """Read a folder in BEIR layout; of the judgements only those of `splits`, when there are any.

    Unless it must be `judged`, the files of queries and judgements may be missing, and remarks say so.

    Raises `InputError`, naming file and line, for a missing or empty corpus, a line that is no record, an id that
    appears twice, a judgement that is malformed, text that is not UTF-8, and when there are none of the splits.
    """
    remarks = Remarks()
    documents: dict[str, str] = {}
    titles: dict[str, str] = {}
    corpus = _find(folder, "corpus.jsonl")
    for record in _records(corpus, documents, remarks):
        titles[record.id] = record.title
        documents[record.id] = f"{record.title} {record.text}".strip()
    if not documents:
        why = f" ({remarks})" if str(remarks) else ""
        raise InputError(f"{corpus} holds no document{why}; put one JSON object with _id and text on each line")
    queries: dict[str, str] = {}
    asked = _find(folder, "queries.jsonl")
    if judged or asked.is_file():
        for record in _records(asked, queries, remarks):
            queries[record.id] = record.text
    else:
        remarks.add(_MISSING, asked.name)
    judgements = Judgements(queries, documents, remarks)
    files = _split_files(folder / "qrels", splits, needed=judged)
    for split in () if judged else sorted(set(splits) - set(files)):
        remarks.add(_MISSING, f"qrels/{split}.tsv")
    for split, path in files.items():
        judgements.splits[split] = {}
        _read_judgements(path, split, judgements)
    return RetrievalSet(documents, titles, queries, judgements.splits, tuple(remarks))


def check_folder(folder: Path, split: str, *, judged: bool = True) -> str:
    """Check, without reading them, that the files of a set are there with judgements of `split`, and name them.

    Unless it must be `judged`, documents are enough.
    """
    documents, queries = _find(folder, "corpus.jsonl"), _find(folder, "queries.jsonl")
    for path in (documents, queries) if judged else (documents,):
        if not path.is_file():
            raise InputError(f"{path} does not exist, and a retrieval set needs it; check corpus.path")
    if _split_files(folder / "qrels", (split,), needed=judged) and queries.is_file():
        return f"{folder} in BEIR layout, split {split}"
    return f"{folder} in BEIR layout, without test queries: ranking quality will not be measured"


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


def _records(path: Path, seen: Mapping[str, str], remarks: Remarks) -> Iterator[Record]:
    for record in json_line_records(path):
        if not record.has_text:
            remarks.add(f"records left out because they lack {TEXT_NEEDED}", f"{path.name} {record.number}")
            continue
        if not record.id.strip() or any(mark in record.id for mark in "\t\r\n"):
            raise InputError(f"{record.where}: _id must be a non-empty string on one line; fix the line")
        if record.id in seen:
            raise InputError(f"{record.where}: the id {record.id!r} appears twice; make ids unique")
        yield record


def _split_files(folder: Path, wanted: Collection[str], needed: bool) -> dict[str, Path]:
    """Return the files of judgements by split; a plain file before a packed one, none that is hidden."""
    found: dict[str, Path] = {}
    for ending in (".tsv", ".tsv.gz"):
        for path in sorted(folder.glob(f"[!.]*{ending}")):
            found.setdefault(path.name.removesuffix(ending), path)
    chosen = {split: found[split] for split in sorted(found) if not wanted or split in wanted}
    if needed and wanted and not chosen:
        known = ", ".join(sorted(found)) or "none"
        names = " or ".join(map(repr, wanted))
        raise InputError(f"{folder}: the split {names} has no judgements; choose another split (there are: {known})")
    return chosen


def _read_judgements(path: Path, split: str, judgements: Judgements) -> None:
    for number, line in read_lines(path):
        cells = line.split("\t") if "\t" in line else line.split()
        if not any(cells):
            continue
        if len(cells) == 4:  # TREC: the second says nothing
            del cells[1]
        if len(cells) != 3:
            raise InputError(f"{path}, line {number}: three cells are needed (query, document, score); fix the line")
        query, document, score = cells
        grade = _grade(score)
        if grade is None and number == 1 and query not in judgements.queries:
            continue  # the header
        if grade is None:
            raise InputError(f"{path}, line {number}: the score {score!r} is no whole number; fix the line")
        judgements.add(split, query, document, grade)


def _grade(score: str) -> int | None:
    try:
        grade = float(score)
    except ValueError:
        return None
    return int(grade) if grade.is_integer() else None

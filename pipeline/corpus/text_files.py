"""A corpus from texts: a file of any kind that `runtime/documents/` reads, or a folder of them.

There are no judgements, so pseudo queries are made: the title of a passage, or else its first sentence, is a query
and the rest of the passage its only relevant document. In the documents of the held-out queries that title or
sentence is taken out; otherwise the query would be found in itself. The manifest says so.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.documents.kinds import KINDS, PROSE, Source, find_sources
from ...runtime.documents.prose import read_prose
from ...runtime.documents.read import read_records
from ...runtime.documents.remarks import Remarks
from ...runtime.errors import InputError
from ..retrieval.dataset import RetrievalSet
from ..retrieval.near_duplicates import first_of_each
from ..retrieval.segmentation import SENTENCE_END, pieces
from ..settings import CorpusSettings
from .sampling import hash_order, hold_out

MAX_PASSAGE_CHARACTERS = 1000
QUERY_WORDS = range(3, 31)
MIN_DOCUMENT_WORDS = 8
SAME_DOCUMENT = 0.8  # Jaccard similarity of word triples

_SENTENCE = re.compile(rf"(?<=[.!?])\s+|{SENTENCE_END}")


@dataclass(frozen=True)
class _Passage:
    identifier: str
    title: str
    text: str


def read_texts(settings: CorpusSettings) -> tuple[RetrievalSet, dict[str, Any]]:
    """Return the corpus below `settings.path` and what its manifest says about it.

    Raises `InputError` when the path does not exist, holds no text, or has a line that cannot be read.
    """
    remarks = Remarks()
    sources = _sources(settings, remarks)
    passages = [passage for source in sources for passage in _passages(source, remarks)]
    kept = first_of_each([f"{passage.title} {passage.text}" for passage in passages], SAME_DOCUMENT)
    if settings.max_documents:
        by_hash = sorted(kept, key=lambda position: hash_order(passages[position].identifier))
        kept = sorted(by_hash[: settings.max_documents])
    unique = [passages[position] for position in kept]
    if not unique:
        raise _no_text(settings, remarks)
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
        "files": [source.label for source in sources],
        "passages_found": len(passages),
        "judgements": "pseudo: title or first sentence as query, the rest of the passage as its document",
    }
    return RetrievalSet(documents, titles, queries, qrels, tuple(remarks)), source


def _passages(source: Source, remarks: Remarks) -> Iterator[_Passage]:
    if source.kind not in PROSE:
        for record in read_records(source, remarks):
            yield _Passage(f"{source.label}:{record.number}", _line(record.title), _line(record.text))
        return
    title, number = "", 0
    for heading, paragraphs in read_prose(source).sections():
        title = heading or title
        for text in _packed(paragraphs):
            number += 1
            yield _Passage(f"{source.label}:{number}", title, text)


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
    if len(pieces(query)) in QUERY_WORDS and len(pieces(rest)) >= MIN_DOCUMENT_WORDS:
        return query, rest
    return None


def _line(text: str) -> str:
    return " ".join(text.encode("utf-8", "ignore").decode("utf-8").split())


def check_texts(settings: CorpusSettings) -> str:
    """Check before a run that there are files to read, and say how many; raises `InputError` as `read_texts` does."""
    remarks = Remarks()
    sources = _sources(settings, remarks)
    if not any(source.path.stat().st_size for source in sources):
        raise _no_text(settings, remarks)
    return f"{len(sources):,} files of text in {settings.path}"


def _sources(settings: CorpusSettings, remarks: Remarks) -> list[Source]:
    if not settings.path:
        raise InputError("corpus.path is empty; name a file or a folder of texts")
    return find_sources(Path(settings.path), remarks)


def _no_text(settings: CorpusSettings, remarks: Remarks) -> InputError:
    why = f" ({remarks})" if str(remarks) else ""
    return InputError(f"{settings.path} holds no text{why}; put text into {', '.join(KINDS)} files")

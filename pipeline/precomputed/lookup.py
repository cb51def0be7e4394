"""Which vector a text has, by the files that a recipe names."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...runtime.errors import InputError
from ...runtime.files import sha256_bytes, sha256_file
from ..retrieval.dataset import RetrievalSet, read_retrieval_set
from ..settings import CorpusSettings, TeacherSettings, VectorsSettings
from .files import VectorTable, companions, open_table

SCHEME = "vectors:"
Role = Literal["query", "document"]


def is_precomputed(model: str) -> bool:
    """Return whether `teacher.model` names vectors rather than a model."""
    return model.startswith(SCHEME)


def precomputed_vectors(teacher: TeacherSettings) -> list[VectorsSettings]:
    """Return the files of each teacher of a recipe that consists of vectors."""
    named = [(teacher.model, teacher.vectors), *((member.model, member.vectors) for member in teacher.ensemble)]
    return [vectors for model, vectors in named if is_precomputed(model)]


def check_keys(model: str, vectors: VectorsSettings, section: str) -> None:
    """Raise `InputError` unless a name of vectors and their files are given together."""
    files = [file for _, file in vector_files(vectors)]
    if is_precomputed(model) and not vectors.documents:
        raise InputError(f"{section}.model = {model!r} needs its files; set {section}.vectors.documents")
    if files and not is_precomputed(model):
        raise InputError(
            f'{section}.vectors are given, and {section}.model = {model!r} names a model; set it to "{SCHEME}NAME"'
        )


def vector_files(vectors: VectorsSettings) -> Iterator[tuple[str, Path]]:
    """Yield the key and the file of each that is named."""
    for key in ("documents", "queries", "texts"):
        if name := getattr(vectors, key):
            yield key, Path(name)


def vectors_fingerprint(teacher: TeacherSettings) -> dict[str, str]:
    """Return the hashes of all files of vectors that a recipe's teachers consist of."""
    return {
        f"vectors {number}: {key}: {file.suffix}": sha256_file(file)
        for number, vectors in enumerate(precomputed_vectors(teacher))
        for key, path in vector_files(vectors)
        for file in companions(path)
        if file.is_file()
    }


@dataclass(frozen=True)
class CorpusTexts:
    """The texts that ids and row numbers stand for."""

    documents: Mapping[str, str]  # id -> text
    queries: Mapping[str, str]
    source: CorpusSettings = field(default_factory=CorpusSettings)

    @classmethod
    def of(cls, retrieval_set: RetrievalSet, source: CorpusSettings) -> "CorpusTexts":
        """Return the texts of a set that was read from `source`."""
        return cls(retrieval_set.documents, retrieval_set.queries, source)

    @cached_property
    def as_published(self) -> "CorpusTexts | None":
        """All texts in the order of the files that were read; `None` where these have no order of their own."""
        if self.source.source != "beir":
            return None
        whole = read_retrieval_set(Path(self.source.path), judged=False)
        return CorpusTexts(whole.documents, whole.queries)


class PrecomputedVectors:
    """The vectors of one teacher, found by text."""

    def __init__(self, settings: VectorsSettings, corpus: CorpusTexts) -> None:
        """Open the files; raise `InputError` where they do not fit one another or the corpus."""
        self._tables = {
            key: open_table(path, "text" if key == "texts" else "id") for key, path in vector_files(settings)
        }
        first = self._tables["documents"]
        for table in self._tables.values():
            if table.dimension != first.dimension:
                raise InputError(
                    f"{table.path} has vectors of {table.dimension} dimensions, and {first.path} of {first.dimension}; "
                    "name files of one model"
                )
        self.dimension = first.dimension
        self._rows = {
            "documents": _rows(first, corpus, "documents"),
            "queries": _rows(self._tables["queries"], corpus, "queries") if "queries" in self._tables else {},
            "texts": _rows_of_texts(self._tables["texts"]) if "texts" in self._tables else {},
        }

    @cached_property
    def sha256(self) -> str:
        """One hash over all files."""
        files = [file for table in self._tables.values() for file in companions(table.path)]
        return sha256_bytes("\n".join(sha256_file(file) for file in files).encode())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the files and of which text each row belongs to."""
        lines = (f"{key} {row} {text}" for key, rows in self._rows.items() for text, row in rows.items())
        return sha256_bytes("\n".join((self.sha256, *lines)).encode())

    @property
    def texts(self) -> list[str]:
        """The texts of `vectors.texts`, in order."""
        return list(self._rows["texts"])

    def has(self, text: str, role: Role) -> bool:
        """Return whether a text has a vector in this role."""
        return self._place(text, role) is not None

    def vectors(self, texts: Sequence[str], role: Role) -> np.ndarray:
        """Return unit vectors, float32 [texts, dimension]; raise `InputError` for a text without one."""
        places = [self._place(text, role) for text in texts]
        missing = [text for text, place in zip(texts, places, strict=True) if place is None]
        if missing:
            raise InputError(
                f"{len(missing):,} of {len(texts):,} texts have no vector as {role}, such as {missing[0][:60]!r}; add "
                "them to the files of teacher.vectors, or leave out what needs them"
            )
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for key, table in self._tables.items():
            chosen = [(index, place[1]) for index, place in enumerate(places) if place and place[0] == key]
            if chosen:
                vectors[[index for index, _ in chosen]] = table.vectors([row for _, row in chosen])
        return vectors

    def record(self) -> dict[str, Any]:
        """Return what the files are, for `teacher.json`."""
        return {
            key: {"file": table.path.name, "rows": len(table.rows), "named_by": table.named_by}
            for key, table in self._tables.items()
        }

    def _place(self, text: str, role: Role) -> tuple[str, int] | None:
        for key in ("queries" if role == "query" else "documents", "texts"):
            row = self._rows[key].get(text)
            if row is not None:
                return key, row
        return None


def _rows(table: VectorTable, corpus: CorpusTexts, key: Literal["documents", "queries"]) -> dict[str, int]:
    """Return the row of each text of the corpus."""
    texts = getattr(corpus, key)
    if table.named_by == "text":
        return _rows_of_texts(table)
    if table.named_by == "id":
        rows = {name: row for row, name in enumerate(table.names)}
        found = {text: rows[name] for name, text in texts.items() if name in rows}
        if not found:
            raise InputError(
                f"{companions(table.path)[-1]}: none of its ids, such as {table.names[0]!r}, is one of the {key} of "
                "the corpus; name its rows by the ids of the corpus, or by texts"
            )
        return found
    whole = corpus.as_published
    if whole is None:
        raise InputError(
            f"{table.path} does not say what its rows are, and this corpus has no order of its own; write a text a "
            f'row, {{"text": …}}, to {table.path.with_suffix(".jsonl").name} beside it'
        )
    published = list(getattr(whole, key).values())
    if len(published) != len(table.rows):
        raise InputError(
            f"{table.path} has {len(table.rows):,} rows for {len(published):,} {key} of {corpus.source.path}; write "
            f"the id of each row to {table.path.with_suffix('.txt').name} beside it"
        )
    return _first_rows(published)


def _rows_of_texts(table: VectorTable) -> dict[str, int]:
    if table.named_by != "text":
        raise InputError(
            f'{table.path}: its rows need texts; write one a row, {{"text": …}}, to '
            f"{table.path.with_suffix('.jsonl').name} beside it"
        )
    return _first_rows(table.names)


def _first_rows(texts: Iterable[str]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for row, text in enumerate(texts):
        rows.setdefault(text, row)
    return rows

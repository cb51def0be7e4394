"""What a release changes in the answers: two releases rank the same documents for the same queries.

Neither has to be right: a list that was good before and is good now, but is another one, is what users notice first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ...runtime.encoder import Encoder
from ...runtime.manifest import MANIFEST_NAME, read_manifest
from ...runtime.progress import NoProgress, Progress
from ...runtime.projection import bundle_projection
from ...runtime.search.stored_vectors import StoredVectors

DocumentsBy = Literal["bundle", "teacher"]
LISTED = 10  # results of a query that are compared
_SHOWN_QUERIES, _SHOWN_RESULTS, _SHOWN_CHARACTERS = 10, 3, 120
NOT_COMPARED = "the answers of the two releases were not compared"


@dataclass(frozen=True)
class ChangedQuery:
    """One query whose answers are others now."""

    query: str  # its beginning
    overlap10: float  # share of the ten best documents that are among the ten best of the last release
    before: tuple[str, ...]  # the best three of the last release: titles, or beginnings
    now: tuple[str, ...]  # and of this one


@dataclass(frozen=True)
class RankingChange:
    """How the answers of two releases differ."""

    documents_by: DocumentsBy  # whose document vectors: each release's own, or the teacher's
    queries: int  # that both ranked
    documents: int  # that they ranked
    overlap10: float  # mean share of the ten best documents that both name
    changed_top1: float  # share of the queries whose first document is another
    same_space: bool  # whether both releases are in one vector space
    most_changed: tuple[ChangedQuery, ...] = ()  # the queries that changed most, first

    @property
    def method(self) -> str:
        """How it was counted, in words."""
        whose = "each release's own" if self.documents_by == "bundle" else "the teacher's"
        space = "one vector space" if self.same_space else "two vector spaces"
        return f"{self.queries:,} queries over {whose} vectors of {self.documents:,} documents, {space}"


Rankings = Mapping[str, RankingChange | str]  # by `documents_by`; a text says why the answers were not compared


@dataclass(frozen=True)
class RankedTexts:
    """What both releases rank: queries, and documents by their texts and by what a result is called."""

    queries: Sequence[str]
    documents: Sequence[str]
    names: Sequence[str]  # titles; in place of an empty one stands the beginning of the text


@dataclass(frozen=True)
class _Release:
    """What one release ranks by: unit vectors of queries [q, d] and documents [n, d]."""

    queries: np.ndarray
    documents: np.ndarray


def compare_answers(
    old: Path,
    new: Path,
    texts: RankedTexts,
    teacher_documents: np.ndarray | None = None,
    progress: Progress | None = None,
) -> RankingChange:
    """Let the bundles `old` and `new` rank the documents for every query, and return how their answers differ.

    With `teacher_documents`, the teacher's vectors [documents, D], both rank by those, each through its own
    projection; otherwise each encodes the documents itself. Raises `InputError` for a bundle without a projection or
    for another teacher's vectors.
    """
    progress = progress or NoProgress()

    def release(bundle: Path) -> _Release:
        encoder = Encoder.open(bundle)
        if teacher_documents is None:
            documents = encoder.encode_documents(texts.documents, progress=progress)
        else:
            documents = bundle_projection(bundle).apply(teacher_documents)
        return _Release(encoder.encode_queries(texts.queries), documents)

    before, after = (_best(release(bundle)) for bundle in (old, new))
    shared = np.array([len(np.intersect1d(*pair)) / len(pair[0]) for pair in zip(before, after, strict=True)])
    changed = before[:, 0] != after[:, 0]
    # The order of queries with equal overlap: another first document before the same one, then as they were given.
    order = np.lexsort((np.arange(len(shared)), ~changed, shared))
    spaces = [read_manifest(bundle).space if (bundle / MANIFEST_NAME).exists() else "" for bundle in (old, new)]
    rows = [int(row) for row in order[:_SHOWN_QUERIES] if shared[row] < 1 or changed[row]]
    return RankingChange(
        documents_by="bundle" if teacher_documents is None else "teacher",
        queries=len(texts.queries),
        documents=len(texts.documents),
        overlap10=float(shared.mean()),
        changed_top1=float(changed.mean()),
        same_space=spaces[0] == spaces[1] != "",
        most_changed=tuple(
            ChangedQuery(
                _beginning(texts.queries[row]),
                float(shared[row]),
                _names(texts, before[row]),
                _names(texts, after[row]),
            )
            for row in rows
        ),
    )


def _best(release: _Release) -> np.ndarray:
    """Return the rows of the ten best documents of every query, best first, int64 [queries, up to 10]."""
    stored = StoredVectors("float32", {"vectors": release.documents})
    return np.stack([stored.top(vector, LISTED)[0] for vector in release.queries])


def _names(texts: RankedTexts, rows: np.ndarray) -> tuple[str, ...]:
    best: list[int] = rows[:_SHOWN_RESULTS].tolist()
    return tuple(_beginning(texts.names[row] or texts.documents[row]) for row in best)


def _beginning(text: str) -> str:
    words = " ".join(text[: 2 * _SHOWN_CHARACTERS].split())
    return words if len(words) <= _SHOWN_CHARACTERS else f"{words[:_SHOWN_CHARACTERS]}…"

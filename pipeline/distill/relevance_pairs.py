"""Pairs of a query and a document that answers it: what training knows without a teacher.

A training query is paired with each document that is judged relevant to it, a title with its own document. Texts are
named by their rows in `training.jsonl`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.documents.json_files import read_json_lines
from ..retrieval.dataset import RetrievalSet
from ..teacher.score_lists import ScoreLists


@dataclass(frozen=True)
class KnownPairs:
    """Rows of queries and of the documents that answer them, int32 [pairs, 2]."""

    judged: np.ndarray  # training queries
    titled: np.ndarray  # titles

    @property
    def all(self) -> np.ndarray:
        """Both kinds, int32 [pairs, 2]."""
        return np.concatenate([self.judged, self.titled])

    def lists(self) -> ScoreLists | None:
        """Return each pair as a score list of one document; `None` when there are none.

        Its negatives are the documents of the other lists of a batch.
        """
        return ScoreLists(self.all, np.zeros((len(self.all), 1), np.float32)) if len(self.all) else None


NO_PAIRS = KnownPairs(np.empty((0, 2), np.int32), np.empty((0, 2), np.int32))


def known_pairs(retrieval_set: RetrievalSet, training: Path) -> KnownPairs:
    """Return the pairs of `retrieval_set` whose two texts are in `training` (a `training.jsonl`)."""
    rows = {(value["role"], value["text"]): row for row, (_, value) in enumerate(read_json_lines(training))}
    judged = _rows(_judged(retrieval_set), rows)
    of_queries = set(map(tuple, judged.tolist()))
    titled = [pair for pair in _rows(_titled(retrieval_set), rows).tolist() if tuple(pair) not in of_queries]
    return KnownPairs(judged, np.array(titled, np.int32).reshape(-1, 2))


def _rows(pairs: Iterator[tuple[str, str]], rows: dict[tuple[str, str], int]) -> np.ndarray:
    known = [
        (rows["query", query], rows["document", document])
        for query, document in dict.fromkeys(pairs)
        if ("query", query) in rows and ("document", document) in rows
    ]
    return np.array(known, np.int32).reshape(-1, 2)


def _judged(corpus: RetrievalSet) -> Iterator[tuple[str, str]]:
    for query, grades in corpus.qrels.get("train", {}).items():
        for document, grade in grades.items():
            if grade > 0:
                yield corpus.queries[query], corpus.documents[document]


def _titled(corpus: RetrievalSet) -> Iterator[tuple[str, str]]:
    for document, title in corpus.titles.items():
        if title:
            yield title, corpus.documents[document]

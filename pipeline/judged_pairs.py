"""Pairs of a query and its document, for training without a teacher's scores.

A training query is paired with each document that is judged relevant to it, a title with its own document. A pair is
a score list of one document (`score_lists.py`); the other documents of its batch are what it is told apart from.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..runtime.files import read_json_lines
from .beir import RetrievalSet, read_retrieval_set
from .score_lists import ScoreLists


def judged_pairs(corpus: Path, training: Path) -> ScoreLists | None:
    """Return the pairs whose two texts are in `training` (a `training.jsonl`), or `None` when there are none."""
    rows = {(value["role"], value["text"]): row for row, (_, value) in enumerate(read_json_lines(training))}
    found = [
        (rows["query", query], rows["document", document])
        for query, document in dict.fromkeys(_pairs(read_retrieval_set(corpus)))
        if ("query", query) in rows and ("document", document) in rows
    ]
    if not found:
        return None
    return ScoreLists(np.array(found, np.int32), np.zeros((len(found), 1), np.float32))


def _pairs(corpus: RetrievalSet) -> Iterator[tuple[str, str]]:
    for query, grades in corpus.qrels.get("train", {}).items():
        for document, grade in grades.items():
            if grade > 0:
                yield corpus.queries[query], corpus.documents[document]
    for document, title in corpus.titles.items():
        if title:
            yield title, corpus.documents[document]

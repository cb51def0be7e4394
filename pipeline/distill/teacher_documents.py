"""The documents that a small query encoder inherits: the teacher's vectors of the corpus, and whom they answer.

An asymmetric student answers queries from the teacher's own document vectors (EmbedDistill, arXiv 2301.12005), which
do not change while it learns. So a batch's queries can be scored against the whole corpus for the price of one matrix
product, where scoring the student's own documents would mean encoding them.
"""

from dataclasses import dataclass

import numpy as np

from ..queries.tokenized_texts import TokenizedTexts
from ..teacher.score_lists import ABSENT

_MOST_DOCUMENTS = 20_000  # beyond that, not all documents are there to compare a query's scores on


@dataclass(frozen=True)
class TeacherDocuments:
    """Document vectors, and the documents that training texts are known to be answered by."""

    vectors: np.ndarray  # float32 [documents, dimension], unit rows
    answers: dict[int, np.ndarray]  # row of a query-like training text -> places in `vectors`, int64

    def of_rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs of a batch: places in `rows`, and the documents that answer the texts there."""
        found = [(place, self.answers[row]) for place, row in enumerate(rows.tolist()) if row in self.answers]
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        places = np.repeat([place for place, _ in found], [len(documents) for _, documents in found])
        return places, np.concatenate([documents for _, documents in found])


def inherited_documents(texts: TokenizedTexts, targets: np.ndarray, pairs: np.ndarray) -> TeacherDocuments:
    """Take the documents among the training texts; where there are very many, those in pairs and an even draw of all.

    `targets` are the teacher's vectors of all training texts [texts, dimension]; `pairs` are rows of queries, each with
    that of a document that answers it [pairs, 2].
    """
    rows = np.flatnonzero(texts.is_document)
    if len(rows) > _MOST_DOCUMENTS:
        rows = np.union1d(rows[:: -(-len(rows) // _MOST_DOCUMENTS)], pairs[:, 1])
    place = np.full(len(texts), ABSENT, np.int64)
    place[rows] = np.arange(len(rows))
    answers: dict[int, list[int]] = {}
    for query, document in pairs.tolist():
        if place[document] != ABSENT:
            answers.setdefault(query, []).append(int(place[document]))
    return TeacherDocuments(targets[rows], {row: np.array(found, np.int64) for row, found in answers.items()})

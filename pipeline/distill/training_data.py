"""What a student is trained on: texts with the teacher's vectors, and what is known about which answers which.

An asymmetric student answers queries from the teacher's own document vectors (EmbedDistill, arXiv 2301.12005, calls
them inherited), which do not change while it learns. So a batch's queries can be scored against the whole corpus for
the price of one matrix product, where scoring the student's own documents would mean encoding them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..queries.tokenized_texts import TokenizedTexts
from ..teacher.score_lists import ABSENT, ScoreLists
from .relevance_pairs import NO_PAIRS, KnownPairs

_MOST_DOCUMENTS = 20_000  # beyond that, not all documents are there to compare a query's scores on


@dataclass(frozen=True)
class TeacherDocuments:
    """The teacher's vectors of the corpus, and the documents that training texts are known to be answered by."""

    vectors: np.ndarray  # float32 [documents, dimension], unit rows
    answers: dict[int, np.ndarray]  # row of a query-like training text -> rows of `vectors`, int64

    def pairs_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the known pairs of a batch of training texts: positions in `rows` and document rows, int64 [pairs]."""
        answered = [position for position, row in enumerate(rows.tolist()) if row in self.answers]
        if not answered:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        documents = [self.answers[int(rows[position])] for position in answered]
        return np.repeat(answered, [len(part) for part in documents]), np.concatenate(documents)


@dataclass(frozen=True)
class TrainingData:
    """The texts of a training run and the teacher's answers to them."""

    texts: TokenizedTexts
    targets: np.ndarray  # float32 [texts, dimension], the teacher's unit vectors
    pairs: KnownPairs = NO_PAIRS
    lists: ScoreLists | None = None  # for list losses
    passages: int = 0  # how many of the texts, the last ones, are passages of documents

    @cached_property
    def teacher_documents(self) -> TeacherDocuments:
        """The documents among the texts; where there are very many, those in pairs and an even choice of the rest.

        Passages are none of them: they would compete with the very documents that they are from.
        """
        pairs = self.pairs.all
        rows = np.flatnonzero(self.texts.is_document[: len(self.texts) - self.passages])
        if len(rows) > _MOST_DOCUMENTS:
            rows = np.union1d(rows[:: -(-len(rows) // _MOST_DOCUMENTS)], pairs[:, 1])
        position = np.full(len(self.texts), ABSENT, np.int64)
        position[rows] = np.arange(len(rows))
        answers: dict[int, list[int]] = {}
        for query, document in pairs.tolist():
            if position[document] != ABSENT:
                answers.setdefault(query, []).append(int(position[document]))
        arrays = {query: np.array(documents, np.int64) for query, documents in answers.items()}
        return TeacherDocuments(self.targets[rows], arrays)

    @cached_property
    def judged(self) -> np.ndarray:
        """Rows of the judged training queries whose documents are among the teacher's documents, sorted."""
        return np.intersect1d(self.pairs.judged[:, 0], np.fromiter(self.teacher_documents.answers, np.int64))

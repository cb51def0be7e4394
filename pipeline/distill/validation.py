"""What training is watched by: student against teacher on texts that are held back from it.

Settings can be chosen by these figures without a look at the queries that a release is judged by.
"""

import numpy as np

from ..queries.tokenized_texts import TokenizedTexts
from ..settings import DistillSettings
from ..student.model import Student
from .teacher_documents import TeacherDocuments

_OVERLAP_AT = 10
_MOST_QUERIES = 200  # judged queries that are held back; at most a tenth of them


def held_back(count: int, judged: np.ndarray, seed: int, settings: DistillSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted rows that are held back: any texts, and judged queries (rows, sorted).

    At most `validation_texts` of the one and 200 of the other, and at most a tenth of each.
    """
    random = np.random.default_rng([seed, 7])
    rows = random.permutation(count)[: min(settings.validation_texts, count // 10)]
    most = min(_MOST_QUERIES, len(judged) // 10) if settings.validation_texts else 0
    return np.sort(rows), np.sort(random.permutation(judged)[:most])


class Validation:
    """The held-back texts and the measure of a student on them."""

    def __init__(
        self,
        texts: TokenizedTexts,
        targets: np.ndarray,
        inherited: TeacherDocuments,
        rows: np.ndarray,
        asked: np.ndarray,
    ) -> None:
        """Hold back `rows`, any texts, and `asked`, judged queries; `targets` are the teacher's vectors of texts."""
        self._texts, self._targets, self._inherited = texts, targets, inherited
        self._rows, self._asked = rows, asked

    @property
    def queries(self) -> np.ndarray:
        """The rows of the judged queries that are held back."""
        return self._asked

    @property
    def excluded(self) -> np.ndarray:
        """All rows that no batch may have."""
        return np.union1d(self._rows, self._asked)

    def measure(self, student: Student) -> dict[str, float]:
        """Compare student and teacher.

        `validation_cosine` is the mean cosine of their vectors of a text. `validation_overlap` is the share of the
        teacher's ten best documents that are among the ten that the student finds in the same document vectors.
        `validation_mrr10` is the mean reciprocal rank, among the first ten, of a document that is judged to answer the
        query, by the student's query vectors and the teacher's documents.
        """
        if not len(self._rows):
            return {}
        vectors, targets = encode_rows(student, self._texts, self._rows), self._targets[self._rows]
        found = {"validation_cosine": float((vectors * targets).sum(1).mean())}
        documents = self._inherited.vectors
        queries = ~self._texts.is_document[self._rows]
        if queries.any() and len(documents) > _OVERLAP_AT:
            best = [best_documents(one[queries], documents) for one in (vectors, targets)]
            shared = [len(np.intersect1d(*pair)) for pair in zip(*best, strict=True)]
            found["validation_overlap"] = float(np.mean(shared)) / _OVERLAP_AT
        if len(self._asked) and len(documents) > _OVERLAP_AT:
            best_of_asked = best_documents(encode_rows(student, self._texts, self._asked), documents)
            answers = [self._inherited.answers[row] for row in self._asked.tolist()]
            hits = [np.isin(ranked, known) for ranked, known in zip(best_of_asked, answers, strict=True)]
            found["validation_mrr10"] = float(np.mean([1 / (1 + hit.argmax()) if hit.any() else 0.0 for hit in hits]))
        return found


def best_documents(queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Return the ten best documents of each query, the best first, [queries, 10]."""
    scores = queries @ documents.T
    best = np.argpartition(-scores, _OVERLAP_AT, axis=1)[:, :_OVERLAP_AT]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def encode_rows(student: Student, texts: TokenizedTexts, rows: np.ndarray, batch: int = 64) -> np.ndarray:
    """Return the student's unit vectors of some tokenised texts, float32 [rows, dimension], in their order."""
    import torch

    vectors = np.empty((len(rows), student.shape.dimension), np.float32)
    order = np.argsort(texts.lengths[rows], kind="stable")
    with torch.no_grad():
        for first in range(0, len(rows), batch):
            places = order[first : first + batch]
            ids, lengths = texts.padded(rows[places])
            vectors[places] = student.encode(torch.from_numpy(ids), torch.from_numpy(lengths)).numpy()
    return vectors

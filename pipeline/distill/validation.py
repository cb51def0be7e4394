"""What training is watched by: student against teacher on texts that are held back from it.

Settings can be chosen by these figures without a look at the queries that a release is judged by.
"""

import numpy as np

from ..queries.tokenized_texts import TokenizedTexts
from ..settings import DistillSettings
from ..student.model import Student
from .training_data import TrainingData

_OVERLAP_AT = 10
_MOST_QUERIES = 200  # judged queries that are held back; at most a tenth of them


def held_back(count: int, judged: np.ndarray, seed: int, settings: DistillSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted rows that are held back: of all `count` texts, and of the judged queries (rows, sorted).

    At most `validation_texts` of the first and 200 of the second, and at most a tenth of each.
    """
    rng = np.random.default_rng([seed, 7])
    rows = rng.permutation(count)[: min(settings.validation_texts, count // 10)]
    most = min(_MOST_QUERIES, len(judged) // 10) if settings.validation_texts else 0
    return np.sort(rows), np.sort(rng.permutation(judged)[:most])


class Validation:
    """The held-back texts and the measure of a student on them."""

    def __init__(self, data: TrainingData, rows: np.ndarray, query_rows: np.ndarray) -> None:
        """Hold back `rows`, any texts, and `query_rows`, judged queries."""
        self._data, self._rows, self.query_rows = data, rows, query_rows

    @property
    def excluded(self) -> np.ndarray:
        """All rows that no batch may have."""
        return np.union1d(self._rows, self.query_rows)

    def measure(self, student: Student) -> dict[str, float]:
        """Compare student and teacher.

        `validation_cosine` is the mean cosine of their vectors of a text. `validation_overlap` is the share of the
        teacher's ten best documents that are among the ten that the student finds in the same document vectors.
        `validation_mrr10` is the mean reciprocal rank, among the first ten, of a document that is judged to answer the
        query, by the student's query vectors and the teacher's documents.
        """
        if not len(self._rows):
            return {}
        texts, documents = self._data.texts, self._data.teacher_documents
        vectors, targets = encode_rows(student, texts, self._rows), self._data.targets[self._rows]
        figures = {"validation_cosine": float((vectors * targets).sum(1).mean())}
        if len(documents.vectors) <= _OVERLAP_AT:
            return figures
        queries = ~texts.is_document[self._rows]
        if queries.any():
            best = [best_documents(side[queries], documents.vectors) for side in (vectors, targets)]
            shared = [len(np.intersect1d(*pair)) for pair in zip(*best, strict=True)]
            figures["validation_overlap"] = float(np.mean(shared)) / _OVERLAP_AT
        if len(self.query_rows):
            rankings = best_documents(encode_rows(student, texts, self.query_rows), documents.vectors)
            answers = [documents.answers[row] for row in self.query_rows.tolist()]
            hits = [np.isin(ranking, known) for ranking, known in zip(rankings, answers, strict=True)]
            figures["validation_mrr10"] = float(np.mean([1 / (1 + hit.argmax()) if hit.any() else 0.0 for hit in hits]))
        return figures


def best_documents(queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Return the ten best documents of each query, the best first, [queries, 10]."""
    scores = queries @ documents.T
    best = np.argpartition(-scores, _OVERLAP_AT, axis=1)[:, :_OVERLAP_AT]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def encode_rows(student: Student, texts: TokenizedTexts, rows: np.ndarray, batch: int = 64) -> np.ndarray:
    """Return the student's unit vectors of some tokenized texts, float32 [rows, dimension], in their order."""
    import torch

    vectors = np.empty((len(rows), student.shape.dimension), np.float32)
    order = np.argsort(texts.lengths[rows], kind="stable")
    with torch.no_grad():
        for first in range(0, len(rows), batch):
            positions = order[first : first + batch]
            ids, lengths = texts.padded(rows[positions])
            on_device = (torch.from_numpy(values).to(student.device) for values in (ids, lengths))
            vectors[positions] = student.encode(*on_device).cpu().numpy()
    return vectors

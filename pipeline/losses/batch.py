"""What a loss is given, and the registries that name losses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


TEMPERATURE = 0.05  # of score lists: cosines are divided by it before the softmax


@dataclass(frozen=True)
class EmbeddingBatch:
    """The embeddings of a batch's texts, student and teacher, and the corpus that its queries are answered from."""

    student: "torch.Tensor"  # [texts, dimension], unit rows, carries the gradient
    teacher: "torch.Tensor"  # [texts, dimension], unit rows
    is_document: "torch.Tensor"  # bool [texts]
    corpus: "torch.Tensor"  # teacher, [documents, dimension], unit rows
    query_rows: "torch.Tensor"  # int64 [pairs]: the texts that are known to be answered
    answers: "torch.Tensor"  # int64 [pairs]: the document of the corpus that answers each

    def of_role(self, documents: bool) -> "EmbeddingBatch":
        """Return the documents of the batch, or its query-like texts."""
        chosen = self.is_document if documents else ~self.is_document
        kept = chosen[self.query_rows]
        query_rows = (chosen.cumsum(0) - 1)[self.query_rows[kept]]
        texts = self.student[chosen], self.teacher[chosen], self.is_document[chosen]
        return EmbeddingBatch(*texts, self.corpus, query_rows, self.answers[kept])


@dataclass(frozen=True)
class ListBatch:
    """The embeddings of some queries and of the documents that each is scored against."""

    queries: "torch.Tensor"  # student, [lists, dimension], unit rows, carries the gradient
    documents: "torch.Tensor"  # student, [lists, documents, dimension], unit rows, carries the gradient
    teacher_documents: "torch.Tensor"  # teacher, [lists, documents, dimension], unit rows
    scores: "torch.Tensor"  # of the cross-encoder, [lists, documents]
    present: "torch.Tensor"  # bool [lists, documents]

    def student_scores(self, asymmetric: bool = False) -> "torch.Tensor":
        """Return cosines [lists, documents] with the student's documents; asymmetric: with the teacher's."""
        documents = self.teacher_documents if asymmetric else self.documents
        return (documents * self.queries[:, None, :]).sum(2)


Loss = Callable[[EmbeddingBatch], "torch.Tensor"]
ListLoss = Callable[[ListBatch], "torch.Tensor"]
LOSSES: dict[str, Loss] = {}
LIST_LOSSES: dict[str, ListLoss] = {}
PAIR_LOSSES: dict[str, ListLoss] = {}


def loss(function: Loss) -> Loss:
    """Register a loss under the function's name."""
    LOSSES[function.__name__] = function
    return function


def list_loss(function: ListLoss) -> ListLoss:
    """Register a list loss under the function's name."""
    LIST_LOSSES[function.__name__] = function
    return function


def pair_loss(function: ListLoss) -> ListLoss:
    """Register a pair loss under the function's name."""
    PAIR_LOSSES[function.__name__] = function
    return function

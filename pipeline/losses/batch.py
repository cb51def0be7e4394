"""What a loss is given, and the registries that name losses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


TEMPERATURE = 0.05  # of score lists


@dataclass(frozen=True)
class Batch:
    """What a loss sees."""

    student: "torch.Tensor"  # [texts, dimension], unit rows, carries the gradient
    teacher: "torch.Tensor"  # [texts, dimension], unit rows
    is_document: "torch.Tensor"  # bool [texts]
    corpus: "torch.Tensor"  # teacher, [documents, dimension], unit rows: documents that queries are answered from
    asked: "torch.Tensor"  # int64 [pairs]: the texts that are known to be answered
    answers: "torch.Tensor"  # int64 [pairs]: the document of the corpus that answers each

    def of_role(self, documents: bool) -> "Batch":
        """Return the texts of one role."""
        chosen = self.is_document if documents else ~self.is_document
        kept = chosen[self.asked]
        places = (chosen.cumsum(0) - 1)[self.asked[kept]]
        rows = self.student[chosen], self.teacher[chosen], self.is_document[chosen]
        return Batch(*rows, self.corpus, places, self.answers[kept])


@dataclass(frozen=True)
class ListBatch:
    """What a list loss sees: the vectors of some queries and of the documents of their lists."""

    queries: "torch.Tensor"  # student, [lists, dimension], unit rows, carries the gradient
    documents: "torch.Tensor"  # student, [lists, documents, dimension], unit rows, carries the gradient
    inherited: "torch.Tensor"  # teacher, [lists, documents, dimension], unit rows
    scores: "torch.Tensor"  # of the cross-encoder, [lists, documents]
    present: "torch.Tensor"  # bool [lists, documents]


Loss = Callable[[Batch], "torch.Tensor"]
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

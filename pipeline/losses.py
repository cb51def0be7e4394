"""Distillation losses by name.

A loss compares the student's unit vectors of one batch with the teacher's (reduced) unit vectors of the same texts.
To add one: write a function of a `Batch` that returns a scalar tensor, decorate it with `@loss`, and name it in the
recipe under `[distill.losses]` with its weight. A name with `_queries` or `_documents` behind it, such as
`cosine_queries`, applies the loss to the texts of that role alone.

A list loss compares the student's scores of a query's documents with those of a cross-encoder. It is a function of
`Lists`, decorated with `@list_loss`, and needs `[cross_encoder]` in the recipe. A pair loss reads of a list only which
document is best; without a cross-encoder it takes judged training queries and titles with their documents.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..runtime.errors import InputError
from ..runtime.schema import nearest

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
class Lists:
    """What a list loss sees: the vectors of some queries and of the documents of their lists."""

    queries: "torch.Tensor"  # student, [lists, dimension], unit rows, carries the gradient
    documents: "torch.Tensor"  # student, [lists, documents, dimension], unit rows, carries the gradient
    inherited: "torch.Tensor"  # teacher, [lists, documents, dimension], unit rows
    scores: "torch.Tensor"  # of the cross-encoder, [lists, documents]
    present: "torch.Tensor"  # bool [lists, documents]


Loss = Callable[[Batch], "torch.Tensor"]
ListLoss = Callable[[Lists], "torch.Tensor"]
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


@loss
def cosine(batch: Batch) -> "torch.Tensor":
    """One minus the cosine between student and teacher vector, averaged over the texts."""
    return 1 - (batch.student * batch.teacher).sum(1).mean()


@loss
def l2(batch: Batch) -> "torch.Tensor":
    """Euclidean distance between student and teacher vector (EmbedDistill, arXiv 2301.12005, eqs. 7 and 8)."""
    return ((batch.student - batch.teacher).square().sum(1) + 1e-12).sqrt().mean()


@loss
def geometry(batch: Batch) -> "torch.Tensor":
    """Match the similarities among the batch's texts: root mean square difference of the two similarity matrices.

    The edges of the embedding graph of EGA (arXiv 2211.13264).
    """
    difference = batch.student @ batch.student.T - batch.teacher @ batch.teacher.T
    # The diagonal is one on both sides and adds nothing.
    return (difference.square().sum() / _pairs(batch) + 1e-12).sqrt()


@loss
def scores(batch: Batch) -> "torch.Tensor":
    """Kullback-Leibler divergence of each text's score list over the others, student against teacher.

    Listwise score distillation. Lists of queries run over the batch's documents where there are at least two, and
    over all other texts elsewhere.
    """
    return _score_divergence(batch, batch.teacher)


@loss
def own_scores(batch: Batch) -> "torch.Tensor":
    """The same with the student's own vectors on both sides: score distillation of a symmetric student."""
    return _score_divergence(batch, batch.student)


def _score_divergence(batch: Batch, others: "torch.Tensor") -> "torch.Tensor":
    import torch

    allowed = ~torch.eye(len(batch.student), dtype=torch.bool)
    if int(batch.is_document.sum()) > 1:
        allowed &= batch.is_document[None, :] | batch.is_document[:, None]
    # A large negative number rather than minus infinity: 0 x infinity would turn the gradient into NaN.
    masked = torch.where(allowed, 0.0, -1e4)
    student = torch.log_softmax((batch.student @ others.T) / TEMPERATURE + masked, dim=1)
    teacher = torch.log_softmax((batch.teacher @ batch.teacher.T) / TEMPERATURE + masked, dim=1)
    return (teacher.exp() * (teacher - student)).sum(1).mean()


@loss
def corpus_scores(batch: Batch) -> "torch.Tensor":
    """Divergence of each query's scores of the whole corpus, student against teacher, by the teacher's documents.

    Score distillation with inherited documents (EmbedDistill, arXiv 2301.12005) whose list is the corpus: what the
    student gets wrong counts where it changes the ranking of documents that compete. A batch without queries costs 0.
    """
    import torch

    queries = ~batch.is_document
    if not len(batch.corpus) or not bool(queries.any()):
        return batch.student.sum() * 0.0
    student = torch.log_softmax((batch.student[queries] @ batch.corpus.T) / TEMPERATURE, dim=1)
    teacher = torch.log_softmax((batch.teacher[queries] @ batch.corpus.T) / TEMPERATURE, dim=1)
    return torch.nn.functional.kl_div(student, teacher, reduction="batchmean", log_target=True)


@loss
def corpus_answers(batch: Batch) -> "torch.Tensor":
    """Cross-entropy of the documents that are known to answer a query, among the whole corpus by the teacher's vectors.

    Training on judgements, where they exist, and on titles; inherited documents as in `corpus_scores`. A batch without
    such texts costs 0.
    """
    import torch

    if not len(batch.asked):
        return batch.student.sum() * 0.0
    texts, places, pairs = torch.unique(batch.asked, return_inverse=True, return_counts=True)
    scores = torch.log_softmax((batch.student[texts] @ batch.corpus.T) / TEMPERATURE, dim=1)
    # A query's answers share its weight.
    return -(scores[places, batch.answers] / pairs[places]).sum() / len(texts)


@loss
def margin(batch: Batch) -> "torch.Tensor":
    """Match the margins between the teacher's best other text and every other one (margin-MSE on score lists)."""
    import torch

    own = torch.eye(len(batch.student), dtype=torch.bool)
    teacher = (batch.teacher @ batch.teacher.T).masked_fill(own, -1.0)
    student = (batch.student @ batch.teacher.T).masked_fill(own, -1.0)
    best = teacher.argmax(1, keepdim=True)
    difference = (student.gather(1, best) - student) - (teacher.gather(1, best) - teacher)
    return difference.masked_fill(own, 0.0).square().sum() / _pairs(batch)


@loss
def repulsion(batch: Batch) -> "torch.Tensor":
    """Push apart texts that the student sees nearer to each other than the teacher does (mean squared excess)."""
    excess = (batch.student @ batch.student.T - batch.teacher @ batch.teacher.T).clamp_min(0)
    return excess.square().sum() / _pairs(batch)


def list_divergence(student: "torch.Tensor", teacher: "torch.Tensor", present: "torch.Tensor") -> "torch.Tensor":
    """Return the Kullback-Leibler divergence of score lists [lists, documents], averaged over the lists."""
    import torch

    masked = torch.where(present, 0.0, -1e4)
    student = torch.log_softmax(student + masked, dim=1)
    teacher = torch.log_softmax(teacher + masked, dim=1)
    return (teacher.exp() * (teacher - student)).sum(1).mean()


@list_loss
def list_scores(lists: Lists) -> "torch.Tensor":
    """Divergence of the student's score lists from the cross-encoder's (listwise score distillation)."""
    scores = (lists.documents * lists.queries[:, None, :]).sum(2)
    return list_divergence(scores / TEMPERATURE, lists.scores, lists.present)


@list_loss
def list_scores_inherited(lists: Lists) -> "torch.Tensor":
    """The same with the teacher's document vectors: for an asymmetric student (EmbedDistill, arXiv 2301.12005)."""
    scores = (lists.inherited * lists.queries[:, None, :]).sum(2)
    return list_divergence(scores / TEMPERATURE, lists.scores, lists.present)


@list_loss
def list_margins(lists: Lists) -> "torch.Tensor":
    """Match the margins between a list's best document and every other one (margin-MSE, arXiv 2010.02666).

    The cross-encoder's scores are logits; `TEMPERATURE` brings them to the scale of cosines.
    """
    teacher = lists.scores.masked_fill(~lists.present, float("-inf"))
    best = teacher.argmax(1, keepdim=True)
    scores = (lists.documents * lists.queries[:, None, :]).sum(2)
    wanted = (lists.scores.gather(1, best) - lists.scores) * TEMPERATURE
    difference = scores.gather(1, best) - scores - wanted
    # The best document's margin to itself is zero on both sides.
    return (difference.square() * lists.present).sum() / (lists.present.sum() - len(scores)).clamp_min(1)


@pair_loss
def contrastive(lists: Lists) -> "torch.Tensor":
    """Cross-entropy of each query's best document against those of the batch's other queries (InfoNCE).

    Training on judgements without a teacher (van den Oord et al., arXiv 1807.03748; negatives from the batch as in DPR,
    arXiv 2004.04906).
    """
    return _contrast(lists, lists.documents)


@pair_loss
def contrastive_inherited(lists: Lists) -> "torch.Tensor":
    """The same with the teacher's document vectors: for an asymmetric student."""
    return _contrast(lists, lists.inherited)


def _contrast(lists: Lists, vectors: "torch.Tensor") -> "torch.Tensor":
    import torch

    best = lists.scores.masked_fill(~lists.present, float("-inf")).argmax(1)
    every = torch.arange(len(best))
    # A document that is the best of two queries is no negative of either.
    same = (lists.inherited[every, best] @ lists.inherited[every, best].T) > 1 - 1e-6
    masked = torch.where(same & (every[:, None] != every[None, :]), -1e4, 0.0)
    scores = lists.queries @ vectors[every, best].T / TEMPERATURE + masked
    return torch.nn.functional.cross_entropy(scores, every)


def _pairs(batch: Batch) -> int:
    return max(len(batch.student) * (len(batch.student) - 1), 1)


_ROLES = {"_queries": False, "_documents": True}
_OF_QUERIES = ("corpus_scores", "corpus_answers")


class WeightedLosses:
    """The losses of a recipe, summed with their weights."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        """Look the names up; raise `InputError` for an unknown one, a bad weight, or none at all."""
        self._parts: list[tuple[str, float, Loss, bool | None]] = []
        self._list_parts: list[tuple[str, float, ListLoss]] = []
        of_lists = LIST_LOSSES | PAIR_LOSSES
        for name in sorted(weights):
            base, documents = name, None
            for suffix, value in _ROLES.items():
                if name.endswith(suffix):
                    base, documents = name.removesuffix(suffix), value
            if base not in LOSSES and name not in of_lists:
                valid = [*LOSSES, *(known + suffix for known in LOSSES for suffix in _ROLES), *of_lists]
                raise InputError(f"distill.losses: there is no loss {name!r}; {nearest(name, valid)}")
            if documents and base in _OF_QUERIES:
                raise InputError(f"distill.losses.{name}: {base} is about queries alone; name it without _documents")
            if not 0 <= weights[name] < float("inf"):
                raise InputError(f"distill.losses.{name} = {weights[name]}: a weight is a number from 0; mend it")
            if weights[name] > 0 and name in of_lists:
                self._list_parts.append((name, weights[name], of_lists[name]))
            elif weights[name] > 0:
                self._parts.append((name, weights[name], LOSSES[base], documents))
        if not self._parts and not self._list_parts:
            raise InputError("distill.losses names no loss with a weight above 0; add one, such as cosine = 1.0")

    @property
    def read_lists(self) -> bool:
        """Whether a list loss or a pair loss is among them."""
        return bool(self._list_parts)

    @property
    def read_scores(self) -> bool:
        """Whether one of them needs the scores of a cross-encoder."""
        return any(name in LIST_LOSSES for name, _, _ in self._list_parts)

    def __call__(self, batch: Batch, lists: Lists | None = None) -> "tuple[torch.Tensor, dict[str, float]]":
        """Return the weighted sum and the value of each part. Parts without texts of their role count nothing."""
        total = batch.student.sum() * 0.0
        values: dict[str, float] = {}
        for name, weight, function, documents in self._parts:
            part = batch if documents is None else batch.of_role(documents)
            if len(part.student):
                value = function(part)
                total = total + weight * value
                values[name] = float(value.detach())
        if lists is not None:
            for name, weight, function in self._list_parts:
                value = function(lists)
                total = total + weight * value
                values[name] = float(value.detach())
        return total, values

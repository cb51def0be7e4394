"""Losses over lists of documents of one query: scores of a cross-encoder, or a judged document among others."""

from typing import TYPE_CHECKING

from .batch import TEMPERATURE, ListBatch, list_loss, pair_loss

if TYPE_CHECKING:
    import torch


def list_divergence(student: "torch.Tensor", teacher: "torch.Tensor", present: "torch.Tensor") -> "torch.Tensor":
    """Return the Kullback-Leibler divergence of score lists [lists, documents], averaged over the lists."""
    import torch

    masked = torch.where(present, 0.0, -1e4)
    student = torch.log_softmax(student + masked, dim=1)
    teacher = torch.log_softmax(teacher + masked, dim=1)
    return (teacher.exp() * (teacher - student)).sum(1).mean()


@list_loss
def list_kl(lists: ListBatch) -> "torch.Tensor":
    """Divergence of the student's score lists from the cross-encoder's (listwise score distillation)."""
    scores = (lists.documents * lists.queries[:, None, :]).sum(2)
    return list_divergence(scores / TEMPERATURE, lists.scores, lists.present)


@list_loss
def list_kl_asymmetric(lists: ListBatch) -> "torch.Tensor":
    """The same with the teacher's document vectors: for an asymmetric student (EmbedDistill, arXiv 2301.12005)."""
    scores = (lists.inherited * lists.queries[:, None, :]).sum(2)
    return list_divergence(scores / TEMPERATURE, lists.scores, lists.present)


@list_loss
def margin_mse(lists: ListBatch) -> "torch.Tensor":
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
def multiple_negatives(lists: ListBatch) -> "torch.Tensor":
    """Cross-entropy of each query's best document against those of the batch's other queries (InfoNCE).

    Training on judgements without a teacher (van den Oord et al., arXiv 1807.03748; negatives from the batch as in DPR,
    arXiv 2004.04906).
    """
    return _contrast(lists, lists.documents)


@pair_loss
def multiple_negatives_asymmetric(lists: ListBatch) -> "torch.Tensor":
    """The same with the teacher's document vectors: for an asymmetric student."""
    return _contrast(lists, lists.inherited)


def _contrast(lists: ListBatch, vectors: "torch.Tensor") -> "torch.Tensor":
    import torch

    best = lists.scores.masked_fill(~lists.present, float("-inf")).argmax(1)
    every = torch.arange(len(best))
    # A document that is the best of two queries is no negative of either.
    same = (lists.inherited[every, best] @ lists.inherited[every, best].T) > 1 - 1e-6
    masked = torch.where(same & (every[:, None] != every[None, :]), -1e4, 0.0)
    scores = lists.queries @ vectors[every, best].T / TEMPERATURE + masked
    return torch.nn.functional.cross_entropy(scores, every)

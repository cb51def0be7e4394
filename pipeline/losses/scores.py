"""Losses that match distributions of scores within a batch or against the corpus."""

from typing import TYPE_CHECKING

from .batch import TEMPERATURE, Batch, loss
from .embedding import _pairs

if TYPE_CHECKING:
    import torch


@loss
def batch_kl(batch: Batch) -> "torch.Tensor":
    """Kullback-Leibler divergence of each text's score list over the others, student against teacher.

    Listwise score distillation. Lists of queries run over the batch's documents where there are at least two, and
    over all other texts elsewhere.
    """
    return _score_divergence(batch, batch.teacher)


@loss
def batch_kl_symmetric(batch: Batch) -> "torch.Tensor":
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
def corpus_kl(batch: Batch) -> "torch.Tensor":
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
def corpus_cross_entropy(batch: Batch) -> "torch.Tensor":
    """Cross-entropy of the documents that are known to answer a query, among the whole corpus by the teacher's vectors.

    Training on judgements, where they exist, and on titles; inherited documents as in `corpus_kl`. A batch without
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

"""Losses that match embeddings themselves, or their similarity matrix."""

from typing import TYPE_CHECKING

from .batch import Batch, loss

if TYPE_CHECKING:
    import torch


@loss
def cosine(batch: Batch) -> "torch.Tensor":
    """One minus the cosine between student and teacher vector, averaged over the texts."""
    return 1 - (batch.student * batch.teacher).sum(1).mean()


@loss
def l2(batch: Batch) -> "torch.Tensor":
    """Euclidean distance between student and teacher vector (EmbedDistill, arXiv 2301.12005, eqs. 7 and 8)."""
    return ((batch.student - batch.teacher).square().sum(1) + 1e-12).sqrt().mean()


@loss
def similarity_matrix(batch: Batch) -> "torch.Tensor":
    """Match the similarities among the batch's texts: root mean square difference of the two similarity matrices.

    The edges of the embedding graph of EGA (arXiv 2211.13264).
    """
    difference = batch.student @ batch.student.T - batch.teacher @ batch.teacher.T
    # The diagonal is one on both sides and adds nothing.
    return (difference.square().sum() / _pairs(batch) + 1e-12).sqrt()


@loss
def repulsion(batch: Batch) -> "torch.Tensor":
    """Push apart texts that the student sees nearer to each other than the teacher does (mean squared excess)."""
    excess = (batch.student @ batch.student.T - batch.teacher @ batch.teacher.T).clamp_min(0)
    return excess.square().sum() / _pairs(batch)


def _pairs(batch: Batch) -> int:
    return max(len(batch.student) * (len(batch.student) - 1), 1)

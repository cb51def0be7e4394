"""Losses that match embeddings themselves, or their similarity matrix.

In the formulas s and t are the unit vectors of student and teacher, i and j texts of the batch, n their number.
"""

from typing import TYPE_CHECKING

from .batch import EmbeddingBatch, loss

if TYPE_CHECKING:
    import torch


@loss
def cosine(batch: EmbeddingBatch) -> "torch.Tensor":
    """Match each embedding by its direction.

    mean_i (1 - s_i · t_i)

    Inputs: student and teacher [texts, dimension].
    Reference: Reimers and Gurevych 2020 (arXiv 2004.09813) distil embeddings with the squared distance, which is twice
    this for unit vectors.

        [distill.losses]
        cosine = 1.0
    """
    return 1 - (batch.student * batch.teacher).sum(1).mean()


@loss
def l2(batch: EmbeddingBatch) -> "torch.Tensor":
    """Match each embedding by its Euclidean distance.

    mean_i ||s_i - t_i||

    Inputs: student and teacher [texts, dimension].
    Reference: EmbedDistill, Kim et al. 2023 (arXiv 2301.12005), equations 7 and 8.

        [distill.losses]
        l2 = 1.0
    """
    return ((batch.student - batch.teacher).square().sum(1) + 1e-12).sqrt().mean()


@loss
def similarity_matrix(batch: EmbeddingBatch) -> "torch.Tensor":
    """Match the similarities among the texts of the batch.

    sqrt(sum_{i≠j} (s_i · s_j - t_i · t_j)² / (n (n - 1)))

    Inputs: student and teacher [texts, dimension]; n above 1, else 0.
    Reference: the edges of the embedding graph of EGA, Ma et al. 2022 (arXiv 2211.13264).

        [distill.losses]
        similarity_matrix = 1.0
    """
    difference = batch.student @ batch.student.T - batch.teacher @ batch.teacher.T
    # The diagonal is one on both sides and adds nothing.
    return (difference.square().sum() / pair_count(batch) + 1e-12).sqrt()


@loss
def repulsion(batch: EmbeddingBatch) -> "torch.Tensor":
    """Push apart texts that the student sees nearer to each other than the teacher does.

    sum_{i≠j} max(s_i · s_j - t_i · t_j, 0)² / (n (n - 1))

    Inputs: student and teacher [texts, dimension].
    Reference: none; it is the one-sided half of `similarity_matrix`, squared.

        [distill.losses]
        repulsion = 1.0
    """
    excess = (batch.student @ batch.student.T - batch.teacher @ batch.teacher.T).clamp_min(0)
    return excess.square().sum() / pair_count(batch)


def pair_count(batch: EmbeddingBatch) -> int:
    """Return the number of ordered pairs of different texts, at least 1."""
    return max(len(batch.student) * (len(batch.student) - 1), 1)

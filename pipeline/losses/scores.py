"""Losses that match distributions of scores within a batch or against the corpus.

In the formulas s and t are the unit vectors of student and teacher, i and j texts of the batch, c documents of the
corpus (teacher's vectors), T the temperature (0.05), and KL(p || q) = sum p log(p / q).

Asymmetric losses score the student's queries against the teacher's vectors, as an asymmetric student answers them;
EmbedDistill (Kim et al. 2023, arXiv 2301.12005) calls such documents "inherited".
"""

from typing import TYPE_CHECKING

from .batch import TEMPERATURE, EmbeddingBatch, loss
from .embedding import pair_count

if TYPE_CHECKING:
    import torch


@loss
def batch_kl(batch: EmbeddingBatch) -> "torch.Tensor":
    """Match each text's distribution of scores over the others of the batch, asymmetric.

    mean_i KL(softmax_j(t_i · t_j / T) || softmax_j(s_i · t_j / T))

    The lists of queries run over the documents of the batch where there are at least two, over all other texts
    elsewhere.

    Inputs: student and teacher [texts, dimension], is_document [texts].
    Reference: in-batch score distillation as in EmbedDistill (arXiv 2301.12005) and sentence-transformers'
    DistillKLDivLoss.

        [distill.losses]
        batch_kl = 1.0
    """
    return _score_divergence(batch, batch.teacher)


@loss
def batch_kl_symmetric(batch: EmbeddingBatch) -> "torch.Tensor":
    """Match each text's distribution of scores over the others of the batch, with the student's vectors on both sides.

    mean_i KL(softmax_j(t_i · t_j / T) || softmax_j(s_i · s_j / T))

    Inputs: as `batch_kl`.
    Reference: Hinton et al. 2015 (arXiv 1503.02531) over similarities within a batch.

        [distill.losses]
        batch_kl_symmetric = 1.0
    """
    return _score_divergence(batch, batch.student)


def _score_divergence(batch: EmbeddingBatch, others: "torch.Tensor") -> "torch.Tensor":
    import torch

    allowed = ~torch.eye(len(batch.student), dtype=torch.bool, device=batch.student.device)
    if int(batch.is_document.sum()) > 1:
        allowed &= batch.is_document[None, :] | batch.is_document[:, None]
    # A large negative number rather than minus infinity: 0 x infinity would turn the gradient into NaN.
    masked = torch.where(allowed, 0.0, -1e4)
    student = torch.log_softmax((batch.student @ others.T) / TEMPERATURE + masked, dim=1)
    teacher = torch.log_softmax((batch.teacher @ batch.teacher.T) / TEMPERATURE + masked, dim=1)
    return (teacher.exp() * (teacher - student)).sum(1).mean()


@loss
def corpus_kl(batch: EmbeddingBatch) -> "torch.Tensor":
    """Match each query's distribution of scores over the whole corpus, asymmetric.

    mean_i KL(softmax_c(t_i · c / T) || softmax_c(s_i · c / T)), i a query

    What the student gets wrong counts where it changes the ranking of documents that compete. A batch without queries
    costs 0.

    Inputs: student and teacher [texts, dimension], is_document [texts], corpus [documents, dimension].
    Reference: score distillation with inherited documents, EmbedDistill (arXiv 2301.12005); here the list is the
    corpus.

        [distill.losses]
        corpus_kl = 0.2
    """
    import torch

    queries = ~batch.is_document
    if not len(batch.corpus) or not bool(queries.any()):
        return batch.student.sum() * 0.0
    student = torch.log_softmax((batch.student[queries] @ batch.corpus.T) / TEMPERATURE, dim=1)
    teacher = torch.log_softmax((batch.teacher[queries] @ batch.corpus.T) / TEMPERATURE, dim=1)
    return torch.nn.functional.kl_div(student, teacher, reduction="batchmean", log_target=True)


@loss
def corpus_cross_entropy(batch: EmbeddingBatch) -> "torch.Tensor":
    """Put the documents that are known to answer a query first in the whole corpus, asymmetric.

    mean_i mean_{c answers i} -log softmax_c(s_i · c / T)

    Known are the judged training queries, where there are any, and titles with their documents. A batch without such
    texts costs 0.

    Inputs: student [texts, dimension], corpus [documents, dimension], query_rows and answers [pairs].
    Reference: cross-entropy as in DPR, Karpukhin et al. 2020 (arXiv 2004.04906), with inherited documents (arXiv
    2301.12005) and every other document of the corpus as a negative.

        [distill.losses]
        corpus_cross_entropy = 0.1
    """
    import torch

    if not len(batch.query_rows):
        return batch.student.sum() * 0.0
    queries, positions, counts = torch.unique(batch.query_rows, return_inverse=True, return_counts=True)
    scores = torch.log_softmax((batch.student[queries] @ batch.corpus.T) / TEMPERATURE, dim=1)
    # A query's answers share its weight.
    return -(scores[positions, batch.answers] / counts[positions]).sum() / len(queries)


@loss
def margin(batch: EmbeddingBatch) -> "torch.Tensor":
    """Match the margins between a text's best other text, by the teacher, and every other one, asymmetric.

    sum_{i≠j} ((s_i · t_b - s_i · t_j) - (t_i · t_b - t_i · t_j))² / (n (n - 1)), b = argmax_{j≠i} t_i · t_j

    Inputs: student and teacher [texts, dimension].
    Reference: margin-MSE, Hofstätter et al. 2020 (arXiv 2010.02666), with the texts of the batch for a list.

        [distill.losses]
        margin = 1.0
    """
    import torch

    own = torch.eye(len(batch.student), dtype=torch.bool, device=batch.student.device)
    teacher = (batch.teacher @ batch.teacher.T).masked_fill(own, -1.0)
    student = (batch.student @ batch.teacher.T).masked_fill(own, -1.0)
    best = teacher.argmax(1, keepdim=True)
    difference = (student.gather(1, best) - student) - (teacher.gather(1, best) - teacher)
    return difference.masked_fill(own, 0.0).square().sum() / pair_count(batch)

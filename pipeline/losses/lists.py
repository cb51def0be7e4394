"""Losses over lists of documents of one query: scores of a cross-encoder, or a judged document among others.

In the formulas q is the student's vector of a query, d that of a document of its list, x the cross-encoder's score
(a logit) and T the temperature (0.05). Losses of the first kind need `[cross_encoder]` in the recipe; pair losses read
of a list only which document is best, and take judged training queries and titles where there is no cross-encoder.

The names that end in `_asymmetric` take the teacher's document vectors for d: what an asymmetric student ranks. Such
documents are "inherited" in EmbedDistill (Kim et al. 2023, arXiv 2301.12005).
"""

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
    """Match the cross-encoder's distribution of scores over each list.

    mean_q KL(softmax_d(x_d) || softmax_d(q · d / T))

    Inputs: queries [lists, dimension], documents [lists, documents, dimension], scores and present [lists, documents].
    Reference: listwise distillation of cross-encoders, RocketQAv2, Ren et al. 2021 (arXiv 2110.07367);
    sentence-transformers' DistillKLDivLoss.

        [distill.losses]
        list_kl = 0.5
    """
    return list_divergence(lists.student_scores() / TEMPERATURE, lists.scores, lists.present)


@list_loss
def list_kl_asymmetric(lists: ListBatch) -> "torch.Tensor":
    """Match the cross-encoder's distribution of scores over each list, with the teacher's document vectors.

    As `list_kl`, d from the teacher. Inputs: teacher_documents [lists, documents, dimension] instead of documents.
    Reference: EmbedDistill (arXiv 2301.12005), whose documents are inherited.

        [distill.losses]
        list_kl_asymmetric = 0.5
    """
    return list_divergence(lists.student_scores(asymmetric=True) / TEMPERATURE, lists.scores, lists.present)


@list_loss
def margin_mse(lists: ListBatch) -> "torch.Tensor":
    """Match the margins between a list's best document, by the cross-encoder, and every other one.

    mean_{q, d≠b} ((q · b - q · d) - T (x_b - x_d))², b = argmax_d x_d

    T brings the cross-encoder's logits to the scale of cosines.

    Inputs: as `list_kl`.
    Reference: margin-MSE, Hofstätter et al. 2020 (arXiv 2010.02666); sentence-transformers' MarginMSELoss.

        [distill.losses]
        margin_mse = 0.5
    """
    teacher = lists.scores.masked_fill(~lists.present, float("-inf"))
    best = teacher.argmax(1, keepdim=True)
    scores = lists.student_scores()
    wanted = (lists.scores.gather(1, best) - lists.scores) * TEMPERATURE
    difference = scores.gather(1, best) - scores - wanted
    # The best document's margin to itself is zero on both sides.
    return (difference.square() * lists.present).sum() / (lists.present.sum() - len(scores)).clamp_min(1)


@pair_loss
def multiple_negatives(lists: ListBatch) -> "torch.Tensor":
    """Put each query's best document before those of the batch's other queries (InfoNCE).

    mean_q -log(exp(q · b_q / T) / sum_r exp(q · b_r / T)), b_r the best document of query r

    A document that is the best of two queries is no negative of either.

    Inputs: queries [lists, dimension], documents and teacher_documents [lists, documents, dimension], scores and
    present [lists, documents].
    Reference: van den Oord et al. 2018 (arXiv 1807.03748), negatives from the batch as in DPR (arXiv 2004.04906);
    sentence-transformers' MultipleNegativesRankingLoss.

        [distill.losses]
        multiple_negatives = 1.0
    """
    return _contrast(lists, lists.documents)


@pair_loss
def multiple_negatives_asymmetric(lists: ListBatch) -> "torch.Tensor":
    """Put each query's best document before those of the batch's other queries, by the teacher's document vectors.

    As `multiple_negatives`, b from the teacher (inherited, EmbedDistill, arXiv 2301.12005).

        [distill.losses]
        multiple_negatives_asymmetric = 1.0
    """
    return _contrast(lists, lists.teacher_documents)


def _contrast(lists: ListBatch, documents: "torch.Tensor") -> "torch.Tensor":
    import torch

    best = lists.scores.masked_fill(~lists.present, float("-inf")).argmax(1)
    every = torch.arange(len(best), device=best.device)
    teacher = lists.teacher_documents[every, best]
    same = (teacher @ teacher.T) > 1 - 1e-6
    masked = torch.where(same & (every[:, None] != every[None, :]), -1e4, 0.0)
    scores = lists.queries @ documents[every, best].T / TEMPERATURE + masked
    return torch.nn.functional.cross_entropy(scores, every)

"""Distillation losses: values, gradients, roles and names."""

import math

import pytest
import torch
from pocketrank.pipeline.losses.batch import LOSSES, EmbeddingBatch, loss
from pocketrank.pipeline.losses.weighted import WeightedLosses
from pocketrank.runtime.errors import InputError


def unit(*size: int, seed: int = 0) -> torch.Tensor:
    values = torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=1)


def batch(student: torch.Tensor, teacher: torch.Tensor, documents: int = 3) -> EmbeddingBatch:
    is_document = torch.arange(len(student)) >= len(student) - documents
    query_rows, answers = torch.tensor([0, 2, 2]), torch.tensor([4, 7, 9])
    there = query_rows < len(student) - documents  # documents are not answered
    query_rows, answers = query_rows[there], answers[there]
    return EmbeddingBatch(student, teacher, is_document, unit(20, 5, seed=2), query_rows, answers)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"corpus_cross_entropy"}))
def test_no_loss_when_the_student_agrees_and_some_when_not(name: str) -> None:
    teacher = unit(8, 5)
    assert float(LOSSES[name](batch(teacher.clone(), teacher))) == pytest.approx(0, abs=2e-6)
    assert float(LOSSES[name](batch(unit(8, 5, seed=1), teacher))) > 0.01


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("documents", [0, 3, 8])
def test_gradients_are_right(name: str, documents: int) -> None:
    teacher, student = unit(8, 5), unit(8, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: LOSSES[name](batch(rows, teacher, documents)), student)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_batch_of_one_text_is_finite(name: str) -> None:
    student = unit(1, 5, seed=1).requires_grad_()
    value = LOSSES[name](batch(student, unit(1, 5), 0))
    value.backward()
    assert torch.isfinite(value) and student.grad is not None and torch.isfinite(student.grad).all()


def test_geometry_ignores_a_common_rotation_and_cosine_does_not() -> None:
    teacher = unit(8, 5)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    turned = batch(teacher @ rotation, teacher)
    assert float(LOSSES["similarity_matrix"](turned)) == pytest.approx(0, abs=2e-6)
    assert float(LOSSES["cosine"](turned)) > 0.1


def test_repulsion_counts_only_what_is_too_near() -> None:
    teacher = torch.eye(4, dtype=torch.float64)
    near = torch.nn.functional.normalize(teacher + 1, dim=1)
    assert float(LOSSES["repulsion"](batch(near, teacher))) > 0.1
    assert float(LOSSES["repulsion"](batch(teacher, near))) < 1e-20


def test_weights_and_roles() -> None:
    teacher, student = unit(8, 5), unit(8, 5, seed=1)
    data = batch(student, teacher)
    total, parts = WeightedLosses({"cosine_documents": 2.0, "l2_queries": 1.0, "margin": 0.0})(data)
    documents, queries = data.of_role(True), data.of_role(False)
    assert parts["cosine_documents"] == pytest.approx(float(1 - (documents.student * documents.teacher).sum(1).mean()))
    assert parts["l2_queries"] == pytest.approx(float((queries.student - queries.teacher).norm(dim=1).mean()))
    assert float(total) == pytest.approx(2 * parts["cosine_documents"] + parts["l2_queries"])
    assert "margin" not in parts


def test_answers_are_distinguished_from_the_whole_corpus() -> None:
    corpus = torch.eye(6, dtype=torch.float64)
    query_rows, answers = torch.tensor([0, 0, 2]), torch.tensor([1, 2, 5])
    first = (corpus[1] + corpus[2]) / 2**0.5
    right = torch.stack([first, corpus[0], corpus[5]])
    given = EmbeddingBatch(right, unit(3, 6), torch.zeros(3, dtype=torch.bool), corpus, query_rows, answers)
    assert float(LOSSES["corpus_cross_entropy"](given)) == pytest.approx(math.log(2) / 2, abs=1e-4)  # two answers share
    wrong = EmbeddingBatch(right.roll(1, 0), given.teacher, given.is_document, corpus, query_rows, answers)
    assert float(LOSSES["corpus_cross_entropy"](wrong)) > 5


def test_answers_keep_their_texts_when_a_role_is_taken() -> None:
    is_document = torch.tensor([True, False, True, False])
    given = EmbeddingBatch(
        unit(4, 5), unit(4, 5), is_document, unit(9, 5), torch.tensor([1, 3, 3]), torch.tensor([8, 0, 2])
    )
    queries = given.of_role(documents=False)
    assert queries.query_rows.tolist() == [0, 1, 1] and queries.answers.tolist() == [8, 0, 2]
    assert not len(given.of_role(documents=True).query_rows)


def test_a_role_that_a_batch_lacks_counts_nothing() -> None:
    total, parts = WeightedLosses({"cosine_documents": 1.0})(batch(unit(4, 5), unit(4, 5, seed=1), documents=0))
    assert float(total) == 0 and parts == {}


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"cosin": 1.0}, "did you mean 'cosine'"),
        ({"geometry": 1.0}, "geometry is now similarity_matrix; rename it"),
        ({"geometry_queries": 1.0}, "geometry is now similarity_matrix; rename it"),
        ({"similarity_matrix_query": 1.0}, "did you mean 'similarity_matrix_queries'"),
        ({"corpus_kl_documents": 1.0}, "corpus_kl is about queries alone"),
        ({"cosine": 0.0}, "no loss with a weight above 0"),
        ({}, "no loss"),
    ],
)
def test_bad_weights_are_refused(weights: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        WeightedLosses(weights)


def test_a_new_loss_is_one_decorated_function() -> None:
    @loss
    def largest_error(data: EmbeddingBatch) -> torch.Tensor:
        return (data.student - data.teacher).abs().max()

    try:
        student, teacher = unit(4, 5), unit(4, 5, seed=1)
        total, _ = WeightedLosses({"largest_error_queries": 1.0})(batch(student, teacher, documents=0))
        assert float(total) == pytest.approx(float((student - teacher).abs().max()))
    finally:
        del LOSSES["largest_error"]

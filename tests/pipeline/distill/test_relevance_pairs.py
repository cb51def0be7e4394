"""Training on judged pairs: which pairs there are, what the contrastive losses say, and when scores are needed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pocketrank.pipeline.distill import training_data
from pocketrank.pipeline.distill.relevance_pairs import KnownPairs, known_pairs
from pocketrank.pipeline.losses.batch import PAIR_LOSSES, ListBatch
from pocketrank.pipeline.losses.weighted import WeightedLosses
from pocketrank.pipeline.queries.tokenized_texts import TokenizedTexts
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, json_lines, read_retrieval_set, write_retrieval_set
from pocketrank.runtime.files import write_bytes


def unit(*size: int, seed: int = 0) -> torch.Tensor:
    values = torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


def pairs(queries: torch.Tensor, documents: torch.Tensor, teacher: torch.Tensor) -> ListBatch:
    count = len(queries)
    return ListBatch(
        queries, documents[:, None], teacher[:, None], torch.zeros(count, 1), torch.ones(count, 1, dtype=torch.bool)
    )


def test_pairs_come_from_judgements_and_titles(tmp_path: Path) -> None:
    whole = RetrievalSet(
        {"a": "Fence keeps sheep", "b": "clover grows", "c": "Moss is green"},
        {"a": "Fence", "b": "", "c": "Moss"},
        {"q": "what keeps sheep", "r": "what grows", "t": "held out"},
        {"train": {"q": {"a": 1, "b": 0}, "r": {"b": 2}}, "test": {"t": {"c": 1}}},
    )
    write_retrieval_set(tmp_path / "corpus", whole)
    texts = [("document", "Fence keeps sheep"), ("document", "clover grows"), ("query", "what keeps sheep")]
    texts += [("query", "what grows"), ("query", "Fence"), ("query", "Moss")]
    records = ({"text": text, "role": role, "kind": role} for role, text in texts)
    write_bytes(tmp_path / "training.jsonl", json_lines(records))
    known = known_pairs(read_retrieval_set(tmp_path / "corpus"), tmp_path / "training.jsonl")
    assert known.judged.tolist() == [[2, 0], [3, 1]] and known.titled.tolist() == [[4, 0]]
    found = known.lists()
    assert found is not None
    assert found.rows.tolist() == [[2, 0], [3, 1], [4, 0]]  # Moss has no document among the training texts
    assert found.without(np.array([1])).rows.tolist() == [[2, 0], [4, 0]]
    write_bytes(tmp_path / "none.jsonl", json_lines(iter([{"text": "x", "role": "query", "kind": "crop"}])))
    assert known_pairs(read_retrieval_set(tmp_path / "corpus"), tmp_path / "none.jsonl").lists() is None


@pytest.mark.parametrize("name", sorted(PAIR_LOSSES))
def test_contrast_is_small_where_each_query_is_at_its_own_document(name: str) -> None:
    vectors = torch.eye(6, dtype=torch.float64)
    assert float(PAIR_LOSSES[name](pairs(vectors, vectors, vectors))) < 1e-6
    assert float(PAIR_LOSSES[name](pairs(vectors.roll(1, 0), vectors, vectors))) > 10
    alike = vectors[[0, 0, 1]]
    twice = PAIR_LOSSES[name](pairs(alike, alike, alike))
    assert float(twice) < 1e-6  # the same document twice is no negative of itself


@pytest.mark.parametrize("name", sorted(PAIR_LOSSES))
def test_gradients_of_contrast_are_right(name: str) -> None:
    documents, teacher = unit(5, 4, seed=1), unit(5, 4, seed=2)
    queries = unit(5, 4, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: PAIR_LOSSES[name](pairs(rows, documents, teacher)), queries)


def test_only_list_losses_need_a_cross_encoder() -> None:
    direct = WeightedLosses({"multiple_negatives": 1.0, "cosine": 0.5})
    assert direct.read_lists and not direct.read_scores
    assert WeightedLosses({"multiple_negatives": 1.0, "list_kl": 0.5}).read_scores
    assert not WeightedLosses({"multiple_negatives": 0.0, "cosine": 0.5}).read_lists


def test_documents_that_answer_are_kept_where_there_are_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = TokenizedTexts(np.arange(12, dtype=np.int32), np.arange(13, dtype=np.int64), np.arange(12) < 9)
    targets = np.eye(12, dtype=np.float32)
    monkeypatch.setattr(training_data, "_MOST_DOCUMENTS", 3)
    known = KnownPairs(np.array([[9, 4], [9, 0]], np.int32), np.array([[11, 8]], np.int32))
    found = training_data.TrainingData(texts, targets, known).teacher_documents
    assert found.vectors.argmax(1).tolist() == [0, 3, 4, 6, 8]  # every third of nine, and those that answer
    assert found.answers[9].tolist() == [2, 0] and found.answers[11].tolist() == [4]
    positions, documents = found.pairs_of(np.array([10, 11, 9]))
    assert positions.tolist() == [1, 2, 2] and documents.tolist() == [4, 2, 0]

import numpy as np
import pytest
from builders.scores import bm25_scores, evaluate_vectors
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set
from pocketrank.pipeline.retrieval.fusion import fuse
from pocketrank.pipeline.retrieval.metrics import (
    evaluate_scores,
    ndcg_at,
    recall_at,
    reciprocal_rank_at,
    scored_queries,
    top_documents,
)
from pocketrank.runtime.bootstrap import bootstrap_interval, bootstrap_ratio


def test_ndcg_of_a_ranking_worked_out_by_hand():
    grades = {"a": 3, "b": 2, "c": 1, "d": 0, "e": -1}
    # gains 0, 2, 0, 3 at ranks 1 to 4: 2 / log2(3) + 3 / log2(5); best order: 3 + 2 / log2(3) + 1 / log2(4)
    assert ndcg_at(["x", "b", "e", "a"], grades) == pytest.approx((1.2618595 + 1.2920297) / (3 + 1.2618595 + 0.5))
    assert ndcg_at(["a", "b", "c"], grades) == 1.0
    assert ndcg_at(["x"], grades) == 0.0
    assert ndcg_at(["x", "a"], grades, depth=1) == 0.0
    assert ndcg_at(["a"], {"a": 0}) == 0.0


def test_reciprocal_rank_and_recall():
    grades = {"a": 1, "b": 2, "c": 0}
    assert reciprocal_rank_at(["c", "x", "b", "a"], grades) == pytest.approx(1 / 3)
    assert reciprocal_rank_at(["x"] * 10 + ["a"], grades) == 0.0
    assert recall_at(["x", "b", "c"], grades) == 0.5
    assert recall_at(["x"] * 100 + ["a", "b"], grades) == 0.0


def test_equal_scores_keep_the_order_of_the_documents():
    scores = np.array([[0.5, 0.9, 0.5, 0.5, 0.1], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert top_documents(scores, 3).tolist() == [[1, 0, 2], [0, 1, 2]]
    assert top_documents(scores, 9).tolist() == [[1, 0, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert top_documents(np.zeros((2, 0)), 3).shape == (2, 0)


@pytest.fixture
def small() -> RetrievalSet:
    documents = {"d1": "red fish", "d2": "blue fish", "q2": "the second question itself"}
    return RetrievalSet(
        documents,
        dict.fromkeys(documents, ""),
        {"q1": "red", "q2": "second", "q3": "unjudged", "q4": "nothing relevant"},
        {"test": {"q1": {"d1": 1}, "q2": {"d2": 1}, "q4": {"d1": 0}}},
    )


def test_a_query_never_finds_itself_and_queries_without_relevant_documents_do_not_count(small):
    assert scored_queries(small, "test") == ["q1", "q2"]
    found = evaluate_scores(np.array([[0.9, 0.1, 0.0], [0.1, 0.5, 0.9]]), small, "test")
    assert found.query_ids == ("q1", "q2")
    assert found.ndcg10.tolist() == [1.0, 1.0] and found.recall100.tolist() == [1.0, 1.0]


def test_vectors_of_all_queries_or_only_of_the_scored_ones(small):
    documents = np.eye(3)
    every = np.array([[1.0, 0, 0], [0, 1, 2], [0, 0, 1], [1, 0, 0]])
    whole = evaluate_vectors(every, documents, small, "test")
    part = evaluate_vectors(every[:2], documents, small, "test")
    assert whole.ndcg10.tolist() == part.ndcg10.tolist() == [1.0, 1.0]


def test_bootstrap_interval_is_seeded_and_covers():
    random = np.random.default_rng(0)
    values = random.normal(0.5, 0.2, 400)
    interval = bootstrap_interval(values, 500, seed=1)
    assert interval == bootstrap_interval(values, 500, seed=1) != bootstrap_interval(values, 500, seed=2)
    # the normal approximation of the mean's standard error
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    covered = 0
    for _ in range(200):
        one = bootstrap_interval(random.normal(0.5, 0.2, 100), 200, seed=3)
        covered += one.low <= 0.5 <= one.high
    assert covered >= 175


def test_the_ratio_of_a_system_to_itself_is_sharp():
    values = np.random.default_rng(1).random(50)
    same = bootstrap_ratio(values, values, 100)
    assert (same.mean, same.low, same.high) == (1.0, 1.0, 1.0)
    half = bootstrap_ratio(values / 2, values, 100)
    assert half.low == pytest.approx(0.5) and half.high == pytest.approx(0.5)
    noisy = bootstrap_ratio(values * (np.arange(50) % 2), values, 100)
    assert noisy.low < noisy.mean < noisy.high


def test_fusion_adds_standardised_scores_and_ignores_flat_rows():
    left = np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    right = np.array([[300.0, 100.0, 200.0], [1.0, 3.0, 2.0]])
    fused = fuse(left, right)
    assert fused.mean(axis=1) == pytest.approx([0.0, 0.0])
    assert np.argsort(-fused[1]).tolist() == [1, 2, 0]
    assert fused[0].argmax() == 2


def test_bm25_ranks_by_words_and_knows_no_unknown_ones(small):
    scores = bm25_scores(small, "test")
    assert scores.shape == (2, 3)
    assert scores[0].argmax() == 0 and scores[0, 1] == 0.0
    unknown = RetrievalSet(small.documents, small.titles, {"q": "zebra"}, {"test": {"q": {"d1": 1}}})
    assert not bm25_scores(unknown, "test").any()
    empty = RetrievalSet({"d": "the of"}, {"d": ""}, {"q": "the"}, {"test": {"q": {"d": 1}}})
    assert not bm25_scores(empty, "test").any()


def test_published_figure_of_bm25_on_scifact(data):
    scifact = read_retrieval_set(data / "scifact")
    assert evaluate_scores(bm25_scores(scifact, "test"), scifact, "test").ndcg10.mean() == pytest.approx(
        0.662, abs=5e-4
    )


def test_ndcg_agrees_with_scikit_learn_where_every_document_is_judged():
    ndcg_score = pytest.importorskip("sklearn.metrics").ndcg_score
    rng = np.random.default_rng(7)
    for depth in (1, 5, 10, 100):
        for _ in range(20):
            count = int(rng.integers(2, 40))
            gains, scores = rng.integers(0, 4, count), rng.permutation(count).astype(float)
            ranking = [str(position) for position in np.argsort(-scores)]
            grades = {str(position): int(gain) for position, gain in enumerate(gains)}
            # A grade is its own gain, as in trec_eval; scikit-learn discounts in the same way.
            assert ndcg_at(ranking, grades, depth) == pytest.approx(ndcg_score([gains], [scores], k=depth))


def test_reciprocal_rank_and_recall_agree_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(8)
    for _ in range(50):
        count, depth = int(rng.integers(5, 60)), int(rng.integers(1, 20))
        scores, relevant = rng.permutation(count).astype(float), np.zeros(count, int)
        ranking = [str(position) for position in np.argsort(-scores)]
        relevant[rng.integers(0, count)] = 1
        grades = {str(position): int(value) for position, value in enumerate(relevant)}
        # With one relevant document, ranking precision over all labels is the reciprocal of its rank.
        whole = metrics.label_ranking_average_precision_score([relevant], [scores])
        assert reciprocal_rank_at(ranking, grades, count) == pytest.approx(whole)
        relevant[rng.integers(0, count, 6)] = 1
        grades = {str(position): int(value) for position, value in enumerate(relevant)}
        returned = np.isin(np.arange(count), [int(name) for name in ranking[:depth]])
        assert recall_at(ranking, grades, depth) == pytest.approx(metrics.recall_score(relevant, returned))

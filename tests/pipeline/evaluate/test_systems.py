"""Rankings of evaluation are those of a device, and what it compares them with is what it says."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from builders.miniature import WORDS, write_bundle
from builders.scores import bm25_scores
from pocketrank.pipeline.evaluate import EvaluationOptions, evaluate_bundle
from pocketrank.pipeline.evaluate.systems import JudgedSplit, Vectors, hybrid_search, measure_systems, vector_search
from pocketrank.pipeline.retrieval.bm25 import device_bm25
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, write_retrieval_set
from pocketrank.pipeline.retrieval.fusion import fuse, fuse_by_rank
from pocketrank.pipeline.retrieval.metrics import evaluate_scores, ndcg_at, recall_at
from pocketrank.pipeline.retrieval.system import ASYMMETRIC, BM25, METHODS, SYMMETRIC, TEACHER
from pocketrank.pipeline.settings import EvaluateSettings
from pocketrank.runtime.corpus import Document
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.search.build import build_index
from pocketrank.runtime.search.hybrid import HybridIndex
from pocketrank.runtime.search.index import DocumentIndex
from pocketrank.runtime.search.stored_vectors import pack_signs

WEIGHT = 0.7


@pytest.fixture(scope="module")
def judged():
    rng = np.random.default_rng(4)
    documents = {f"d{number}": " ".join(rng.choice(WORDS, size=rng.integers(2, 9))) for number in range(3000)}
    queries = {f"q{number}": " ".join(rng.choice(WORDS, size=3)) for number in range(12)}
    documents["q3"] = "a document that is a query too"
    relevant = {name: {f"d{document}": 1 for document in rng.integers(0, 3000, 5)} for name in queries}
    return JudgedSplit(RetrievalSet(documents, {}, queries, {"test": relevant}), "test")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return Encoder.open(write_bundle(tmp_path_factory.mktemp("systems") / "bundle"))


@pytest.fixture(scope="module")
def indexes(judged, encoder, tmp_path_factory):
    pytest.importorskip("bm25s")
    folder = tmp_path_factory.mktemp("indexes")
    documents = [Document(name, "", text) for name, text in judged.retrieval_set.documents.items()]
    return {
        kind: DocumentIndex.open(
            build_index(encoder, documents, folder / kind, vectors=kind, hybrid=True, passages=False)
        )
        for kind in ("float32", "int8", "binary")
    }


@pytest.fixture(scope="module")
def vectors(judged, encoder, indexes):
    return Vectors(encoder.encode_queries(judged.texts), np.asarray(indexes["float32"].vectors))


@pytest.mark.parametrize("k", [10, 100, 1000])
@pytest.mark.parametrize("kind", ["float32", "int8", "binary"])
def test_evaluation_ranks_as_the_device_does_by_vectors(judged, vectors, indexes, kind, k):
    search = vector_search(vectors, kind)
    names = list(judged.retrieval_set.documents)
    for row, vector in enumerate(vectors.queries):
        ranking = [names[position] for position in search(row, k)]
        assert ranking == [hit.id for hit in indexes[kind].search(vector, k)] and len(ranking) == k


@pytest.mark.parametrize("k", [10, 100, 1000])
def test_evaluation_ranks_as_the_device_does_with_bm25(judged, vectors, indexes, k):
    device = HybridIndex(indexes["float32"], WEIGHT)
    names = list(judged.retrieval_set.documents)
    with device_bm25(judged.documents) as bm25:
        search = hybrid_search(vectors, lambda row: bm25.scores(judged.texts[row]), WEIGHT)
        for row, (vector, text) in enumerate(zip(vectors.queries, judged.texts, strict=True)):
            np.testing.assert_array_equal(bm25.scores(text), device.bm25.scores(text))
            ranking = [names[position] for position in search(row, k)]
            assert ranking == [hit.id for hit in device.search(vector, text, k)] and len(ranking) == k


def test_figures_are_those_of_the_lists_that_a_device_shows(judged, vectors, indexes):
    device, names = HybridIndex(indexes["float32"], WEIGHT), list(judged.retrieval_set.documents)
    system = replace(SYMMETRIC, bm25="hybrid")
    figures = measure_systems({system: vectors}, judged, {"bundle": WEIGHT})["hybrid_symmetric"]
    for row, (name, text) in enumerate(judged.queries.items()):
        more = 1 if name == "q3" else 0  # asks for one more, because its own document does not count
        rankings = [
            [names[place] for place in device.top(vectors.queries[row], text, k + more)[0] if names[place] != name]
            for k in (10, 100)
        ]
        grades = judged.retrieval_set.qrels["test"][name]
        assert figures.ndcg10[row] == ndcg_at(rankings[0], grades)
        assert figures.recall100[row] == recall_at(rankings[1], grades)


def test_fusions_over_all_documents_are_those_of_whole_score_matrices(judged, vectors):
    pytest.importorskip("bm25s")
    scores, words = vectors.queries @ vectors.documents.T, bm25_scores(judged.retrieval_set, "test")
    fusion, ranks = replace(TEACHER, bm25="fusion"), replace(SYMMETRIC, bm25="ranks")
    figures = measure_systems({fusion: vectors, ranks: vectors, BM25: None}, judged)
    assert list(figures) == ["bm25", "fusion_teacher", "hybrid_ranks"]
    matrices = (words, fuse(scores, words), fuse_by_rank(scores, words))
    for values, matrix in zip(figures.values(), matrices, strict=True):
        expected = evaluate_scores(matrix, judged.retrieval_set, "test")
        np.testing.assert_array_equal(values.ndcg10, expected.ndcg10)
        np.testing.assert_array_equal(values.recall100, expected.recall100)


def test_reciprocal_ranks_against_their_definition():
    rng = np.random.default_rng(2)
    vectors, words = rng.normal(size=(3, 40)), np.maximum(rng.normal(size=(3, 40)), 0)
    words[2] = 0
    ranks = fuse_by_rank(vectors, words)
    place = {
        side: {column: rank for rank, column in enumerate(np.argsort(-matrix[0]), 1)}
        for side, matrix in (("v", vectors), ("w", words))
    }
    for column in range(40):
        expected = 1 / (60 + place["v"][column])
        expected += 1 / (60 + place["w"][column]) if words[0, column] > 0 else 0
        assert ranks[0, column] == pytest.approx(expected)
    assert np.argmax(ranks[2]) == np.argmax(vectors[2])  # BM25 says nothing there


def test_signs_alone_rank_by_those_that_agree(vectors):
    search = vector_search(vectors, "binary_unrescored")
    bits = pack_signs(vectors.documents)
    for row, query in enumerate(pack_signs(vectors.queries)):
        differing = np.bitwise_count(bits ^ query).sum(axis=1)
        assert search(row, 50).tolist() == np.argsort(differing, kind="stable")[:50].tolist()


def test_keys_of_systems():
    assert (SYMMETRIC.key, ASYMMETRIC.key, TEACHER.key, BM25.key) == ("symmetric", "asymmetric", "teacher", "bm25")
    assert replace(SYMMETRIC, storage="int8").key == "symmetric_int8"
    assert replace(ASYMMETRIC, queries="student_fp32").key == "asymmetric_fp32"
    assert replace(TEACHER, bm25="fusion").key == "fusion_teacher"
    assert replace(ASYMMETRIC, bm25="hybrid").key == "hybrid_asymmetric"
    assert len(METHODS) == 15


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(6)
    documents = {f"d{number}": " ".join(rng.choice(WORDS, size=6)) for number in range(150)}
    queries = {f"q{number}": documents[f"d{number}"] for number in range(8)}
    relevant = {"test": {f"q{number}": {f"d{number}": 1} for number in range(8)}}
    folder = tmp_path_factory.mktemp("data")
    write_retrieval_set(folder, RetrievalSet(documents, {}, queries, relevant))
    return folder


def test_a_bundle_alone_is_evaluated_with_bm25_and_with_fewer_bits(data, encoder):
    pytest.importorskip("bm25s")
    options = EvaluationOptions(settings=EvaluateSettings(bootstrap=20))
    found = evaluate_bundle(str(encoder.bundle), str(data), options)
    storages = {"int8", "binary", "binary_unrescored"}
    assert set(found.ndcg10) == {
        *("symmetric", "bm25", "fusion_symmetric", "hybrid_symmetric", "hybrid_ranks"),
        *(f"symmetric_{storage}" for storage in storages),
    }
    # A document asked for by itself is found by words, by vectors, and by both.
    assert found.ndcg10["hybrid_symmetric"].value > 0.99 and found.ndcg10["symmetric"].value > 0.9
    assert found.ndcg10["symmetric_binary"].value == pytest.approx(found.ndcg10["symmetric_int8"].value)
    plain = EvaluationOptions(settings=EvaluateSettings(baselines=("bm25",), stored_vectors=False, bootstrap=20))
    bare = evaluate_bundle(encoder.bundle, data, plain)
    assert set(bare.ndcg10) == {"symmetric", "bm25"} and not bare.baselines


def test_without_bm25s_a_bundle_is_measured_alone(data, encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    options = EvaluationOptions(settings=EvaluateSettings(stored_vectors=False, bootstrap=5))
    assert set(evaluate_bundle(encoder.bundle, data, options).ndcg10) == {"symmetric"}


def test_the_example_of_the_door_runs(data, encoder, monkeypatch, tmp_path):
    import doctest

    (tmp_path / "bundle").symlink_to(encoder.bundle)
    (tmp_path / "data").symlink_to(data)
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("bm25s")
    examples = doctest.DocTestFinder(recurse=False).find(evaluate_bundle, "evaluate_bundle", globs={})
    results = [doctest.DocTestRunner().run(example) for example in examples]
    assert sum(result.attempted for result in results) == 3 and not any(result.failed for result in results)


def test_the_package_is_imported_without_what_it_evaluates_with():
    code = (
        "import sys, pocketrank.pipeline.evaluate as wing\n"
        "print(sorted(wing.__all__), 'numpy' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("]")[0] == "['EvaluationOptions', 'evaluate_bundle'" and "True" not in done.stdout

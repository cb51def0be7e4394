"""What could be shipped instead of a bundle, and how its figures stand in the evaluation."""

import dataclasses
import json

import numpy as np
import pytest
from builders import small_models
from pocketrank.benchmarks.measure.model_files import quality_measurements
from pocketrank.pipeline.evaluate import baselines as baselines_module
from pocketrank.pipeline.evaluate.baselines import BaselineFigures, measure_baselines
from pocketrank.pipeline.evaluate.finished_bundle import evaluate_bundle
from pocketrank.pipeline.evaluate.model2vec import Variant, distil, encode, frequent_words, shipped_model, variants
from pocketrank.pipeline.evaluate.record import Evaluation, summarize
from pocketrank.pipeline.evaluate.vector_storage import stored_scores
from pocketrank.pipeline.packaging.bundle_stage import quality_figures
from pocketrank.pipeline.retrieval.bm25 import fuse
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, write_retrieval_set
from pocketrank.pipeline.retrieval.fusion import fuse_as_device, fuse_by_rank
from pocketrank.pipeline.retrieval.metrics import QualityFigures, evaluate_vectors
from pocketrank.pipeline.settings import EvaluateSettings, Model2vecSettings, TeacherSettings
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.runtime.errors import UnavailableError
from pocketrank.runtime.index import DocumentIndex
from pocketrank.runtime.progress import NoProgress
from pocketrank.runtime.schema import from_mapping, to_mapping

SMALL = Model2vecSettings(dimensions=(16, 8), storage=("float32", "int8"), vocabularies=("teacher",))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return small_models.make_teacher(tmp_path_factory.mktemp("baselines") / "small-teacher")


@pytest.fixture(scope="module")
def retrieval_set():
    documents = {f"d{number}": text for number, text in enumerate(small_models.sentences(60, seed=1, longest=20))}
    queries = {f"q{number}": " ".join(documents[f"d{number}"].split()[:4]) for number in range(20)}
    judged = {f"q{number}": {f"d{number}": 1} for number in range(20)}
    return RetrievalSet(documents, {}, queries, {"test": judged})


def test_the_teacher_in_int8_ranks_almost_as_the_teacher_and_is_not_measured_twice(
    teacher, retrieval_set, tmp_path, monkeypatch
):
    settings = TeacherSettings(model=str(teacher))

    def measured():
        return measure_baselines(
            ["bm25", "teacher-int8"], SMALL, settings, retrieval_set, "test", tmp_path, NoProgress()
        )

    (found,) = measured()
    loaded = load_teacher(settings)
    queries = loaded.encode(list(retrieval_set.queries.values()), "query")
    documents = loaded.encode(list(retrieval_set.documents.values()))
    exact = evaluate_vectors(queries, documents, retrieval_set, "test")
    assert found.name == "teacher_int8" and found.queries == exact.query_ids
    assert np.mean(found.ndcg10) == pytest.approx(exact.ndcg10.mean(), abs=0.05)
    weights, tokenizer = teacher / "model.safetensors", teacher / "tokenizer.json"
    assert found.bytes < weights.stat().st_size + tokenizer.stat().st_size

    def fail(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(baselines_module, "load_teacher", fail)
    assert measured() == [found]
    changed = dataclasses.replace(retrieval_set, queries=retrieval_set.queries | {"q0": "another question"})
    with pytest.raises(AssertionError, match="measured again"):
        measure_baselines(["teacher-int8"], SMALL, settings, changed, "test", tmp_path, NoProgress())


def test_nothing_is_loaded_when_no_rival_is_asked_for(retrieval_set):
    nowhere = TeacherSettings(model="/nowhere")
    assert measure_baselines(["bm25", "fusion"], SMALL, nowhere, retrieval_set, "test", None, NoProgress()) == []


def test_model2vec_at_several_sizes(teacher, retrieval_set, tmp_path):
    pytest.importorskip("skeletoken", reason="model2vec distils with it; pip install skeletoken")
    settings = TeacherSettings(model=str(teacher))
    found = measure_baselines(["model2vec"], SMALL, settings, retrieval_set, "test", tmp_path, NoProgress())
    names = [one.name for one in found]
    assert names == [f"model2vec_{size}" for size in ("16_float32", "16_int8", "8_float32", "8_int8")]
    sizes = [one.bytes for one in found]
    assert sizes[0] > sizes[1] > sizes[3] and sizes[0] > sizes[2]
    assert np.mean(found[0].ndcg10) > 0.3  # half of a document's words find it
    again = measure_baselines(["model2vec"], SMALL, settings, retrieval_set, "test", tmp_path, NoProgress())
    assert again == found and sum(path.is_dir() for path in tmp_path.iterdir()) == 1


def test_fewer_dimensions_are_the_first_of_the_same_pca(teacher, tmp_path):
    pytest.importorskip("skeletoken", reason="model2vec distils with it; pip install skeletoken")
    texts = small_models.sentences(30, seed=6)
    distil(teacher, "teacher", [], 16, tmp_path / "sixteen")
    distil(teacher, "teacher", [], 8, tmp_path / "eight")
    _, cut = shipped_model(tmp_path / "sixteen", Variant("teacher", 8, "float32"))
    _, own = shipped_model(tmp_path / "eight", Variant("teacher", 8, "float32"))
    np.testing.assert_allclose(encode(cut, texts), encode(own, texts), atol=1e-5)
    size, clustered = shipped_model(tmp_path / "eight", Variant("teacher", 8, "int8", clusters=20))
    assert clustered.embedding.shape == (20, 8) and size > 0


def test_a_vocabulary_of_the_corpus(teacher, retrieval_set, tmp_path):
    pytest.importorskip("skeletoken", reason="model2vec distils with it; pip install skeletoken")
    documents = [f"{text} zanzibar" for text in retrieval_set.documents.values()]
    assert frequent_words(documents)[0] == "zanzibar" and "zzz" not in frequent_words([*documents, "zzz"])
    made = {}
    for vocabulary in ("teacher", "corpus", "pruned"):
        distil(teacher, vocabulary, documents, 8, tmp_path / vocabulary)
        _, made[vocabulary] = shipped_model(tmp_path / vocabulary, Variant(vocabulary, 8, "float32"))
    assert "zanzibar" in made["corpus"].tokens and "zanzibar" not in made["teacher"].tokens
    assert set(made["pruned"].tokens) < set(made["teacher"].tokens)
    # What is left out occurs in no document: these keep every token that they had, and so their order by likeness.
    tokens = [made[name].tokenizer.encode(documents[0]).tokens for name in ("teacher", "pruned")]
    assert tokens[0] == tokens[1]


def test_variants_are_named_by_what_they_are():
    found = variants(Model2vecSettings(dimensions=(64,), storage=("int8",), vocabularies=("pruned",), clusters=(9,)))
    assert [one.name for one in found] == ["model2vec_pruned_64_int8", "model2vec_64_int8_c9"]
    assert "tokens that the corpus uses" in found[0].method and "9 clusters" in found[1].method


def test_without_the_library_the_command_is_named(teacher, retrieval_set, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "model2vec.distill", None)
    settings = TeacherSettings(model=str(teacher))
    with pytest.raises(UnavailableError, match="pip install model2vec skeletoken"):
        measure_baselines(["model2vec"], SMALL, settings, retrieval_set, "test", None, NoProgress())


def test_rivals_stand_in_the_evaluation_and_the_report_but_not_in_the_bundle(tmp_path):
    own = QualityFigures(("a", "b"), *(np.array([1.0, 0.5]) for _ in range(3)))
    teacher = QualityFigures(("a", "b"), *(np.array([1.0, 1.0]) for _ in range(3)))
    baseline = BaselineFigures("model2vec_64_int8", "static", 12345, ("a", "b"), (1.0, 0.2), (1.0, 0.2), (1.0, 0.2))
    found = summarize({"teacher": teacher, "symmetric": own}, "test", 9, 100, 1, [baseline])
    entry = found.baselines["model2vec_64_int8"]
    assert entry.bytes.value == 12345 and entry.ndcg10.value == 0.6 and entry.ndcg10.low <= 0.6 <= entry.ndcg10.high
    assert entry.ndcg10_retention is not None and entry.ndcg10_retention.value == pytest.approx(0.6)
    mapping = json.loads(json.dumps(to_mapping(found)))
    assert from_mapping(Evaluation, mapping, "evaluation.json") == found
    (tmp_path / "evaluation.json").write_text(json.dumps(mapping))
    reported = {one.metric: one for one in quality_measurements(tmp_path / "none", tmp_path / "evaluation.json")}
    size, quality = (reported[f"baselines_model2vec_64_int8_{name}"] for name in ("bytes", "ndcg10"))
    assert (size.value, size.unit, size.kind) == (12345, "B", "counted")
    assert (quality.value, quality.unit, quality.kind) == (0.6, "1", "measured") and quality.low is not None
    assert not [name for name in quality_figures(mapping) if "model2vec" in name]


def test_fusions_against_their_definitions():
    random = np.random.default_rng(2)
    vectors, words = random.normal(size=(3, 40)), np.maximum(random.normal(size=(3, 40)), 0)
    words[2] = 0
    np.testing.assert_allclose(fuse_as_device(vectors, words, 40, bm25_weight=1.0), fuse(vectors, words), atol=1e-9)
    few = fuse_as_device(vectors, words, 5)
    for row in range(3):
        named = set(np.argsort(-vectors[row])[:5])
        named |= {column for column in np.argsort(-words[row])[:5] if words[row, column] > 0}
        assert set(np.flatnonzero(np.isfinite(few[row]))) == named
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


def test_stored_vectors_rank_as_an_index_of_them_does(tmp_path):
    from builders.miniature import WORDS, write_bundle
    from pocketrank.runtime.corpus import Document
    from pocketrank.runtime.encoder import Encoder
    from pocketrank.runtime.index import build_index

    random = np.random.default_rng(4)
    encoder = Encoder.open(write_bundle(tmp_path / "bundle"))
    texts = [" ".join(random.choice(WORDS, size=random.integers(3, 9))) for _ in range(800)]
    queries = encoder.encode_queries(["merge two sorted lists", "read text from a socket"])
    scores = stored_scores(queries, encoder.encode_documents(texts))
    documents = [Document(str(number), "", text) for number, text in enumerate(texts)]
    for kind in ("int8", "binary"):
        index = DocumentIndex.open(build_index(encoder, documents, tmp_path / kind, kind))
        for row, query in enumerate(queries):
            rows, found = index.top(query, 10)
            np.testing.assert_allclose(found, np.sort(scores[kind][row])[::-1][:10], atol=1e-5)
            np.testing.assert_allclose(scores[kind][row][rows], found, atol=1e-5)
    assert scores["binary_unrescored"].max() <= 0 and np.isfinite(scores["binary"]).all()


def test_a_bundle_alone_is_evaluated_with_bm25_and_with_fewer_bits(tmp_path):
    from builders.miniature import WORDS, write_bundle

    pytest.importorskip("bm25s")
    random = np.random.default_rng(6)
    documents = {f"d{number}": " ".join(random.choice(WORDS, size=6)) for number in range(150)}
    queries = {f"q{number}": documents[f"d{number}"] for number in range(8)}
    judged = {"test": {f"q{number}": {f"d{number}": 1} for number in range(8)}}
    write_retrieval_set(tmp_path / "data", RetrievalSet(documents, {}, queries, judged))
    found = evaluate_bundle(write_bundle(tmp_path / "bundle"), tmp_path / "data", NoProgress(), resamples=20)
    ways = {"int8", "binary", "binary_unrescored"}
    assert set(found.ndcg10) == {
        *("symmetric", "bm25", "fusion_symmetric", "hybrid_symmetric", "hybrid_ranks"),
        *(f"symmetric_{way}" for way in ways),
    }
    # A document asked for by itself is found by words, by vectors, and by both.
    assert found.ndcg10["hybrid_symmetric"].value > 0.99 and found.ndcg10["symmetric"].value > 0.9
    assert found.ndcg10["symmetric_binary"].value == pytest.approx(found.ndcg10["symmetric_int8"].value)
    plain = EvaluateSettings(baselines=("bm25",), stored_vectors=False)
    bare = evaluate_bundle(tmp_path / "bundle", tmp_path / "data", NoProgress(), resamples=20, settings=plain)
    assert set(bare.ndcg10) == {"symmetric", "bm25"} and not bare.baselines

"""What could be shipped instead of a bundle, and how its figures stand in the evaluation."""

import dataclasses
import json
from importlib import metadata

import numpy as np
import pytest
from builders import small_models
from builders.scores import evaluate_vectors
from pocketrank.benchmarks.measure.model_files import quality_measurements
from pocketrank.pipeline.evaluate import baselines as baselines_module
from pocketrank.pipeline.evaluate.baselines import BaselineFigures, BaselineTask, measure_baselines
from pocketrank.pipeline.evaluate.model2vec import Variant, distil, encode, frequent_words, shipped_model, variants
from pocketrank.pipeline.evaluate.record import Evaluation, summarize
from pocketrank.pipeline.evaluate.systems import JudgedSplit
from pocketrank.pipeline.packaging.bundle_stage import quality_figures
from pocketrank.pipeline.retrieval.dataset import RetrievalSet
from pocketrank.pipeline.retrieval.metrics import QualityFigures
from pocketrank.pipeline.settings import Model2vecSettings, TeacherSettings
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.runtime.errors import UnavailableError
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


def task(settings, retrieval_set, cache=None):
    return BaselineTask(settings, JudgedSplit(retrieval_set, "test"), cache, NoProgress())


def test_the_teacher_in_int8_ranks_almost_as_the_teacher_and_is_not_measured_twice(
    teacher, retrieval_set, tmp_path, monkeypatch
):
    settings = TeacherSettings(model=str(teacher))

    def measured():
        return measure_baselines(["bm25", "teacher-int8"], SMALL, task(settings, retrieval_set, tmp_path))

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
        measure_baselines(["teacher-int8"], SMALL, task(settings, changed, tmp_path))


def needs_model2vec():
    """Skip where model2vec cannot distil: 0.9, which the older dependencies of optimum ask for, fails inside."""
    pytest.importorskip("skeletoken", reason="model2vec distils with it; pip install skeletoken")
    if metadata.version("model2vec").startswith("0.9"):
        pytest.skip("model2vec 0.9 does not go with skeletoken 0.6; pip install 'model2vec>=0.10'")


def test_nothing_is_loaded_when_no_baseline_is_asked_for(retrieval_set):
    nowhere = TeacherSettings(model="/nowhere")
    assert measure_baselines(["bm25", "fusion"], SMALL, task(nowhere, retrieval_set)) == []


def test_model2vec_at_several_sizes(teacher, retrieval_set, tmp_path):
    needs_model2vec()
    settings = TeacherSettings(model=str(teacher))
    found = measure_baselines(["model2vec"], SMALL, task(settings, retrieval_set, tmp_path))
    names = [one.name for one in found]
    assert names == [f"model2vec_{size}" for size in ("16_float32", "16_int8", "8_float32", "8_int8")]
    sizes = [one.bytes for one in found]
    assert sizes[0] > sizes[1] > sizes[3] and sizes[0] > sizes[2]
    assert np.mean(found[0].ndcg10) > 0.3  # half of a document's words find it
    again = measure_baselines(["model2vec"], SMALL, task(settings, retrieval_set, tmp_path))
    assert again == found and sum(path.is_dir() for path in tmp_path.iterdir()) == 1


def test_fewer_dimensions_are_the_first_of_the_same_pca(teacher, tmp_path):
    needs_model2vec()
    texts = small_models.sentences(30, seed=6)
    distil(teacher, "teacher", [], 16, tmp_path / "sixteen")
    distil(teacher, "teacher", [], 8, tmp_path / "eight")
    _, cut = shipped_model(tmp_path / "sixteen", Variant("teacher", 8, "float32"))
    _, own = shipped_model(tmp_path / "eight", Variant("teacher", 8, "float32"))
    np.testing.assert_allclose(encode(cut, texts), encode(own, texts), atol=1e-5)
    size, clustered = shipped_model(tmp_path / "eight", Variant("teacher", 8, "int8", clusters=20))
    assert clustered.embedding.shape == (20, 8) and size > 0


def test_a_vocabulary_of_the_corpus(teacher, retrieval_set, tmp_path):
    needs_model2vec()
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
        measure_baselines(["model2vec"], SMALL, task(settings, retrieval_set))


def test_baselines_stand_in_the_evaluation_and_the_report_but_not_in_the_bundle(tmp_path):
    own = QualityFigures(("a", "b"), *(np.array([1.0, 0.5]) for _ in range(3)))
    teacher = QualityFigures(("a", "b"), *(np.array([1.0, 1.0]) for _ in range(3)))
    baseline = BaselineFigures("model2vec_64_int8", "static", 12345, ("a", "b"), (1.0, 0.2), (1.0, 0.2), (1.0, 0.2))
    found = summarize(
        {"teacher": teacher, "symmetric": own}, split="test", documents=9, resamples=100, seed=1, baselines=[baseline]
    )
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

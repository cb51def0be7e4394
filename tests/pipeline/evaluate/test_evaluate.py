import json
import shutil

import numpy as np
import pytest
from builders.scores import evaluate_vectors
from pocketrank.pipeline.evaluate.record import per_query, read_evaluation, summarize
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set, write_retrieval_set
from pocketrank.pipeline.retrieval.metrics import QualityFigures
from pocketrank.pipeline.retrieval.system import METHODS
from pocketrank.pipeline.teacher.vectors.files import read_vectors
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.projection import read_projection


def figures(values) -> QualityFigures:
    array = np.asarray(values, dtype=float)
    return QualityFigures(tuple(f"q{place}" for place in range(len(array))), array, array, array)


def test_summary_holds_means_intervals_and_retention():
    systems = {"teacher": figures([1, 0.5, 1, 0.5]), "symmetric": figures([0.5, 0.5, 1, 0.4])}
    found = summarize(systems, split="test", documents=9, resamples=200, seed=1)
    assert found.ndcg10["teacher"].value == 0.75 and found.queries == 4 and found.documents == 9
    assert found.ndcg10_retention["symmetric"].value == pytest.approx(0.8)
    entry = found.ndcg10_retention["symmetric"]
    assert entry.low <= entry.value <= entry.high and entry.count == 4
    assert "teacher" not in found.ndcg10_retention


def test_without_a_teacher_nothing_is_retained_and_no_queries_are_refused():
    options = {"split": "dev", "documents": 2, "resamples": 0, "seed": 1}
    assert summarize({"bm25": figures([1, 0])}, **options).ndcg10_retention == {}
    with pytest.raises(InputError, match="no query"):
        summarize({"bm25": figures([])}, **options)


def test_per_query_values_keep_their_order():
    assert per_query({"bm25": figures([1, 0.25])}) == {
        "schema_version": 2,
        "queries": ["q0", "q1"],
        "ndcg10": {"bm25": [1.0, 0.25]},
    }


def test_vectors_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "documents.npy"
    with pytest.raises(InputError, match="does not exist"):
        read_vectors(path, 3)
    np.save(path, np.ones((2, 4)))
    assert read_vectors(path, 2).shape == (2, 4)
    with pytest.raises(InputError, match="not 3 rows"):
        read_vectors(path, 3)
    np.save(path, np.full((3, 4), np.nan))
    with pytest.raises(InputError, match="3 rows"):
        read_vectors(path, 3)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="no array of numbers"):
        read_vectors(path, 1)


def test_the_evaluation_of_a_run_is_that_of_the_shipped_file(tiny_run):
    found = read_evaluation(tiny_run / "stages" / "evaluate" / "evaluation.json")
    corpus = read_retrieval_set(tiny_run / "stages" / "corpus")
    assert set(found.ndcg10) == set(METHODS) and found.queries == len(corpus.qrels["test"])
    encoder = Encoder.open(tiny_run / "bundle")
    queries = encoder.encode_queries(list(corpus.split_queries("test").values()))
    documents = encoder.encode_documents(list(corpus.documents.values()))
    own = evaluate_vectors(queries, documents, corpus, "test")
    assert found.ndcg10["symmetric"].value == pytest.approx(own.ndcg10.mean(), abs=1e-6)
    teacher = np.load(tiny_run / "stages" / "teacher" / "documents.npy")
    projected = read_projection(tiny_run / "bundle" / "projection.safetensors").apply(teacher)
    asymmetric = evaluate_vectors(queries, projected, corpus, "test")
    assert found.ndcg10["asymmetric"].value == pytest.approx(asymmetric.ndcg10.mean(), abs=1e-6)
    share = found.ndcg10["asymmetric"].value / found.ndcg10["teacher"].value
    assert found.ndcg10_retention["asymmetric"].value == pytest.approx(share, abs=1e-5)


def test_the_command_agrees_with_the_stage(tiny_run, pocketrank, tmp_path):
    stage = read_evaluation(tiny_run / "stages" / "evaluate" / "evaluation.json")
    bundle, corpus = tiny_run / "bundle", tiny_run / "stages" / "corpus"
    done = pocketrank("evaluate", bundle, corpus, "--bootstrap", 50, "--json")
    assert done.returncode == 0, done.stderr
    own = json.loads(done.stdout)
    for name in ("symmetric", "bm25", "fusion_symmetric"):
        assert own["ndcg10"][name]["value"] == pytest.approx(stage.ndcg10[name].value, abs=1e-6)
    assert "teacher" not in own["ndcg10"]
    words = ("evaluate", bundle, corpus, "--documents", "teacher", "--cache", tmp_path / "cache", "--json")
    first, second = pocketrank(*words), pocketrank(*words)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout and len(list((tmp_path / "cache").glob("*.f32"))) == 2
    own = json.loads(first.stdout)
    for name in ("asymmetric", "teacher", "fusion_asymmetric", "fusion_teacher"):
        assert own["ndcg10"][name]["value"] == pytest.approx(stage.ndcg10[name].value, abs=1e-6)


def test_the_table_names_every_system(tiny_run, pocketrank):
    done = pocketrank("evaluate", tiny_run / "bundle", tiny_run / "stages" / "corpus", "--bootstrap", 10)
    assert done.returncode == 0, done.stderr
    for words in ("nDCG@10", "bundle encodes queries and documents", "BM25, English stop words", "150 documents"):
        assert words in done.stdout


def test_bad_input_ends_in_one_line(tiny_run, pocketrank, tmp_path):
    bundle, corpus = tiny_run / "bundle", tiny_run / "stages" / "corpus"
    other = tmp_path / "corpus"
    write_retrieval_set(other, read_retrieval_set(corpus))
    with (other / "qrels" / "test.tsv").open("a") as stream:
        stream.write("nobody\tnothing\tmuch\n")
    cases = [
        (("evaluate", bundle, tmp_path / "missing"), "not a folder"),
        (("evaluate", tmp_path, corpus), "manifest"),
        (("evaluate", bundle, corpus, "--split", "dev"), "'dev' has no judgements"),
        (("evaluate", bundle, other), "the score 'much' is no whole number"),
    ]
    bare = tmp_path / "bare"
    shutil.copytree(bundle, bare)
    (bare / "projection.safetensors").unlink()
    cases.append((("evaluate", bare, corpus, "--documents", "teacher"), "projection"))
    for words, expected in cases:
        done = pocketrank(*words)
        assert done.returncode in (1, 2) and done.stdout == "", done.stderr
        assert expected in done.stderr and done.stderr.count("\n") == 1, done.stderr

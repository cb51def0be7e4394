"""Noise in training texts and in test queries, and what it costs."""

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import small_models
from builders.scores import evaluate_vectors
from pocketrank.pipeline.evaluate import EvaluationOptions
from pocketrank.pipeline.evaluate.noise_robustness import measure_robustness, noisy_queries
from pocketrank.pipeline.evaluate.record import read_evaluation
from pocketrank.pipeline.queries.stage import training_texts
from pocketrank.pipeline.queries.training_texts import read_training_texts
from pocketrank.pipeline.queries.typing_noise import add_typing_errors, add_typing_noise, without_punctuation
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set, write_retrieval_set
from pocketrank.pipeline.retrieval.metrics import scored_queries
from pocketrank.pipeline.settings import EvaluateSettings, QueriesSettings, Recipe, TeacherSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.stage import run_teacher
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.progress import NoProgress

TEXT = "How do penguins keep their eggs warm, when the winter storms come from the south?"


def test_every_kind_of_noise_occurs() -> None:
    found = {add_typing_noise(TEXT, 1.0, random.Random(seed)) for seed in range(60)}
    assert {TEXT.upper(), TEXT.lower(), TEXT.title(), without_punctuation(TEXT)} <= found
    others = found - {TEXT, TEXT.upper(), TEXT.lower(), TEXT.title(), without_punctuation(TEXT)}
    assert len(others) > 5
    for text in others:  # typing errors: short words and all first letters stay
        words, clean = text.split(), TEXT.split()
        assert len(words) == len(clean)
        changed = [(one, two) for one, two in zip(words, clean, strict=True) if one != two]
        assert 1 <= len(changed) <= 2  # one for every eight words begun
        assert all(one[0] == two[0] and len(two) >= 4 for one, two in changed)
        assert all(abs(len(one) - len(two)) <= 1 for one, two in changed)


def test_the_chance_is_the_share_of_changed_texts() -> None:
    texts = [f"some words of text number {number}" for number in range(2000)]
    rng = random.Random(1)
    changed = sum(add_typing_noise(text, 0.3, rng) != text for text in texts)
    assert 0.27 < changed / 2000 < 0.33
    assert [add_typing_noise(text, 0.0, rng) for text in texts] == texts
    assert add_typing_errors("a bee, or b2", rng) == "a bee, or b2"


def birds() -> RetrievalSet:
    documents = {
        f"d{number}": f"Title {number}. The {word} bird lives near water, and eats fish number {number} on rocks."
        for number, word in enumerate(small_models.WORDS)
    }
    queries = {f"q{number}": f"Where does the {word} bird live?" for number, word in enumerate(small_models.WORDS)}
    judged = {f"q{number}": {f"d{number}": 1} for number in range(len(queries))}
    titles = {name: f"Title {name[1:]}." for name in documents}
    return RetrievalSet(documents, titles, queries, {"test": judged, "train": {}})


@pytest.mark.parametrize("target", ["clean", "own"])
def test_noisy_texts_are_trained_towards_the_text_that_the_recipe_says(target: str, tmp_path: Path) -> None:
    settings = QueriesSettings(kinds=("sentence", "crop"), noise=0.5, term_dropout=0.2, noise_target=target)  # type: ignore[arg-type]
    texts, _ = training_texts(birds(), settings, 1)
    bodies = " ".join(" ".join(text.split()) for text in birds().documents.values())
    aimed = [text for text in texts if text.target]
    if target == "own":
        assert not aimed
        return
    assert len(aimed) > 10
    for text in texts:
        assert (text.target or text.text) in bodies or text.kind == "document"
        assert text.text != text.target
    path = tmp_path / "training.jsonl"
    path.write_text("".join(json.dumps(text.record()) + "\n" for text in texts))
    assert read_training_texts(path) == texts


def test_the_teacher_encodes_the_target(tmp_path: Path) -> None:
    folder = small_models.make_teacher(tmp_path / "small-teacher")
    small_models.make_texts(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "queries" / "training.jsonl").read_text().splitlines()]
    clean = small_models.sentences(3, seed=8)
    lines[-3:] = [{"text": text.upper()[:9], "role": "query", "kind": "crop", "target": text} for text in clean]
    small_models.write_lines(tmp_path / "queries" / "training.jsonl", lines)
    settings = TeacherSettings(model=str(folder), dimension=8, workers=1)
    for name in ("output", "work"):
        (tmp_path / name).mkdir()
    inputs = {name: tmp_path / name for name in ("corpus", "queries")}
    recipe = Recipe("test", teacher=settings)
    run_teacher(StageContext(recipe, {}, inputs, tmp_path / "output", tmp_path / "work", NoProgress()))
    found = np.load(tmp_path / "output" / "training.npy")[-3:]
    assert np.abs(found - load_teacher(settings).encode(clean, "query")).max() < 1e-5


def test_noise_of_test_queries_follows_from_seed_and_query() -> None:
    clean = birds()
    changed = noisy_queries(clean, "test", 0.5, 1)
    assert changed == noisy_queries(clean, "test", 0.5, 1) != noisy_queries(clean, "test", 0.5, 2)
    fewer = RetrievalSet(clean.documents, clean.titles, dict(list(clean.queries.items())[5:]),
                         {"test": {name: clean.qrels["test"][name] for name in list(clean.queries)[5:]}})  # fmt: skip
    assert noisy_queries(fewer, "test", 0.5, 1).queries.items() <= changed.queries.items()
    assert changed.documents == clean.documents


def test_what_a_bundle_keeps_on_noisy_queries(tiny_bundle: Path, tiny_run: Path, pocketrank: Any) -> None:
    corpus = tiny_run / "stages" / "corpus"
    found = measure_robustness(tiny_bundle, corpus, 1.0, EvaluationOptions(settings=EvaluateSettings(bootstrap=50)))
    assert set(found.ndcg10) == {"symmetric", "bm25"} and 0 < found.changed_queries <= found.queries
    for entry in found.ndcg10.values():
        assert entry.retention == pytest.approx(entry.noisy / entry.clean, abs=1e-4)
        assert entry.low <= entry.retention <= entry.high
    encoder, changed = Encoder.open(tiny_bundle), noisy_queries(read_retrieval_set(corpus), "test", 1.0, 1)
    queries = encoder.encode([changed.queries[name] for name in scored_queries(changed, "test")])
    documents = encoder.encode(list(changed.documents.values()))
    noisy_mean = evaluate_vectors(queries, documents, changed, "test").ndcg10.mean()
    assert found.ndcg10["symmetric"].noisy == pytest.approx(noisy_mean, abs=1e-6)
    evaluation = read_evaluation(tiny_run / "stages" / "evaluate" / "evaluation.json")
    assert found.ndcg10["symmetric"].clean == pytest.approx(evaluation.ndcg10["symmetric"].value, abs=1e-6)
    done = pocketrank("evaluate", tiny_bundle, corpus, "--noise", 1, "--bootstrap", 50, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ndcg10"]["symmetric"]["noisy"] == found.ndcg10["symmetric"].noisy
    done = pocketrank("evaluate", tiny_bundle, corpus, "--noise", 0.5, "--bootstrap", 10)
    assert done.returncode == 0 and re.search(r"\d+ of \d+ queries changed", done.stdout), done.stderr


def test_an_impossible_chance_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    write_retrieval_set(tmp_path, birds())
    with pytest.raises(InputError, match="at most 1"):
        measure_robustness(tiny_bundle, tmp_path, 1.5)

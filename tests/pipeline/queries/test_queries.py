from collections import Counter
from pathlib import Path

import pytest
from pocketrank.pipeline.queries.held_out import SAME_QUERY, HeldOut
from pocketrank.pipeline.queries.stage import fair_shares, training_texts
from pocketrank.pipeline.queries.training_texts import read_training_texts
from pocketrank.pipeline.retrieval.dataset import RetrievalSet
from pocketrank.pipeline.retrieval.near_duplicates import ShingleIndex, character_shingles, normalise
from pocketrank.pipeline.settings import QueriesSettings
from pocketrank.runtime.errors import InputError

HELD_OUT = "How do penguins keep their eggs warm"


@pytest.fixture
def birds() -> RetrievalSet:
    words = ["albatross", "booby", "cormorant", "dipper", "egret", "falcon", "godwit", "heron", "ibis", "jacana"]
    documents = {
        name: f"About the {name} The {name} lives near water number {place}. It eats fish of kind {place} and sleeps "
        f"on rocks; people say that the {name} can fly {place} miles. Young ones stay for {place} weeks in the nest."
        for place, name in enumerate(words)
    }
    leak = "penguin"
    documents[leak] = (
        f"Penguins {HELD_OUT}? They stand on ice. How do penguins keep their egg warm is asked. "
        "The father holds the egg on his feet for many weeks and does not eat in all that time."
    )
    titles = {name: f"About the {name}" for name in words} | {leak: "Penguins"}
    queries = {f"q{name}": f"where does the {name} live and sleep" for name in words}
    queries |= {"test": HELD_OUT, "near": "How do penguins keep the eggs warm?"}
    qrels = {
        "train": {f"q{name}": {name: 1} for name in words} | {"near": {leak: 1}},
        "test": {"test": {leak: 1}},
    }
    return RetrievalSet(documents, titles, queries, qrels)


def test_no_generated_text_repeats_a_held_out_query(birds):
    settings = QueriesSettings(per_document=30)
    texts, report = training_texts(birds, settings, 1)
    generated = [text for text in texts if text.kind != "document"]
    index = ShingleIndex([character_shingles(HELD_OUT)], SAME_QUERY)
    for text in generated:
        assert not index.matches(character_shingles(text.text)), text
        assert normalise(HELD_OUT) not in normalise(text.text), text
    assert report["dropped_as_held_out"]["query"] == 1  # "near"
    assert report["dropped_as_held_out"]["sentence"] == 2  # the query itself, and its near-duplicate
    assert report["dropped_as_held_out"]["crop"] > 0
    # Noise must not carry a held-out query past the check.
    noisy, _ = training_texts(birds, QueriesSettings(per_document=30, noise=1.0, term_dropout=0.3), 1)
    kept = [text.text for text in noisy if text.kind == "sentence" and "father" not in text.text]
    assert not any("eggs" in text.lower() and "warm" in text.lower() for text in kept)


def test_the_same_seed_gives_the_same_texts_and_another_seed_others(birds):
    settings = QueriesSettings(noise=0.5, term_dropout=0.1)
    assert training_texts(birds, settings, 3) == training_texts(birds, settings, 3)
    assert training_texts(birds, settings, 3)[0] != training_texts(birds, settings, 4)[0]


def test_all_forms_are_there_and_each_text_once(birds):
    texts, report = training_texts(birds, QueriesSettings(), 1)
    counts = Counter(text.kind for text in texts)
    assert set(counts) == {"document", "query", "title", "sentence", "crop", "keywords"}
    assert dict(counts) == report["texts"]
    assert len({text.text for text in texts}) == len(texts)
    assert {text.role for text in texts if text.kind == "document"} == {"document"}
    assert {text.role for text in texts if text.kind != "document"} == {"query"}
    crops = {text.text for text in texts if text.kind == "crop"}
    bodies = [" ".join(birds.body(name).split()) for name in birds.documents]
    assert all(any(crop in body for body in bodies) for crop in crops)


def test_the_cap_is_kept_and_shared(birds):
    texts, report = training_texts(birds, QueriesSettings(max_texts=30), 1)
    assert len(texts) == 30 and report["texts"]["document"] == 11
    shares = [report["texts"][form] for form in ("sentence", "crop", "title", "keywords", "query")]
    assert max(shares) - min(shares) <= 1
    few, report = training_texts(birds, QueriesSettings(max_texts=10), 1)
    assert len(few) == 10 and report["texts"]["document"] == 5


def test_fair_shares():
    assert fair_shares({"a": 10, "b": 10, "c": 10}, 10) == {"a": 4, "b": 3, "c": 3}
    assert fair_shares({"a": 1, "b": 10, "c": 0}, 8) == {"a": 1, "b": 7, "c": 0}
    assert fair_shares({"a": 1, "b": 2}, 100) == {"a": 1, "b": 2}
    assert fair_shares({"a": 5}, -1) == {"a": 0}


def test_term_dropout_takes_words_and_adds_none(birds):
    plain, _ = training_texts(birds, QueriesSettings(kinds=("title",)), 1)
    short, _ = training_texts(birds, QueriesSettings(kinds=("title",), term_dropout=0.5), 1)
    before = [text.text.split() for text in plain if text.kind == "title"]
    after = [text.text.split() for text in short if text.kind == "title"]
    assert sum(map(len, after)) < sum(map(len, before))
    assert {word for words in after for word in words} <= {word for words in before for word in words}


@pytest.mark.parametrize(
    ("query", "text", "repeats"),
    [
        ("open a file for reading", "Open a file for reading.", True),
        ("open a file for reading", "Use this to open a file for reading, then close it again when all is done.", True),
        ("open a file for reading", "Open the file for reading", True),
        ("open a file for reading", "close the socket after writing", False),
        ("sort list", "this will sort list items in place and return nothing at all", False),
        ("sort list", "Sort List", True),
        ("", "anything", False),
    ],
)
def test_what_repeats_a_held_out_query(query, text, repeats):
    assert HeldOut([query]).repeats(text) is repeats


def test_a_broken_training_file_names_its_line(tmp_path):
    path = tmp_path / "training.jsonl"
    path.write_text('{"text": "a", "role": "query", "kind": "crop"}\n{"text": "b"}\n')
    with pytest.raises(InputError, match="line 2"):
        read_training_texts(path)


def test_lines_of_files_come_in_as_they_are(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("how to  fix a fence\n\nHOW to Sow clover?\n" + "held out query of three\n", encoding="utf-8")
    whole = RetrievalSet(
        {"d": "A fence keeps sheep out."}, {}, {"q": "held out query of three"}, {"test": {"q": {"d": 1}}}
    )
    settings = QueriesSettings(kinds=(), files=(str(log),), noise=1.0)
    texts, report = training_texts(whole, settings, 1)
    assert [text.text for text in texts if text.kind == "file"] == ["how to fix a fence", "HOW to Sow clover?"]
    assert report["dropped_as_held_out"] == {"file": 1}


def test_frames_are_filled_with_parts_of_documents() -> None:
    others = {f"o{number}": f"clover {number} times" for number in range(30)}
    whole = RetrievalSet(
        {"d": "Fences A fence keeps sheep out. Repair broken rails with wire!", **others},
        {"d": "Fences"},
        {"q": "held out query of three"},
        {"test": {"q": {"d": 1}}},
    )
    templates = ("how to {sentence}", "What is {phrase}?", "{title} manual")
    texts, report = training_texts(whole, QueriesSettings(kinds=(), templates=templates, per_document=3), 1)
    templated = [text.text for text in texts if text.kind == "templated" and "clover" not in text.text][:3]
    assert report["texts"]["templated"] > len(templated) == 3
    assert templated[0] in ("how to a fence keeps sheep out", "how to repair broken rails with wire")
    phrase = templated[1].removeprefix("What is ").removesuffix("?")
    assert 1 <= len(phrase.split()) <= 3
    assert phrase in "A fence keeps sheep out Repair broken rails with wire"
    assert templated[2] == "Fences manual"
    again, _ = training_texts(whole, QueriesSettings(kinds=(), templates=templates, per_document=3), 1)
    assert again == texts


def test_code_is_asked_for_in_words() -> None:
    lines = (
        "def createPath(path):",
        '"""Creates an absolute path in the file system."""',
        "os.make_dirs(path, mode=7)",
    )
    code = "\n    ".join(lines)
    whole = RetrievalSet({"a": code}, {}, {}, {"test": {}})
    templates = ("python {sentence}", "how to {name} in python")
    texts, _ = training_texts(whole, QueriesSettings(kinds=(), templates=templates, per_document=20), 1)
    asked = {text.text for text in texts if text.kind == "templated"}
    assert "python creates an absolute path in the file system" in asked and len(asked) == 2
    assert asked & {"how to create path in python", "how to make dirs in python"}


@pytest.mark.parametrize("frame", ["how to fix", "{title} and {phrase}", "what is {sentense}?"])
def test_a_frame_needs_one_known_part(frame: str) -> None:
    whole = RetrievalSet({"d": "A fence keeps sheep out."}, {}, {"q": "three"}, {"test": {"q": {"d": 1}}})
    with pytest.raises(InputError, match="needs exactly one of"):
        training_texts(whole, QueriesSettings(kinds=(), templates=(frame,)), 1)

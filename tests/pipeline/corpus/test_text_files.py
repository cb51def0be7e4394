"""The stage `corpus` on folders as people have them."""

import gzip
import json
import os
import sys

import pytest
from pocketrank.pipeline.corpus.sampling import hash_order
from pocketrank.pipeline.corpus.stage import run_corpus
from pocketrank.pipeline.corpus.text_files import read_texts
from pocketrank.pipeline.fingerprint import corpus_fingerprint
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.settings import CorpusSettings, Recipe
from pocketrank.pipeline.stage import StageContext
from pocketrank.runtime.files import json_bytes
from pocketrank.runtime.progress import NoProgress

WORDS = ("apples", "bridges", "candles", "deserts", "engines", "forests", "gardens", "harbours")


class Notes(NoProgress):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text.strip())


def corpus_stage(tmp_path, settings):
    recipe, progress = Recipe(name="x", corpus=settings), Notes()
    run_corpus(StageContext(recipe, {}, {}, tmp_path / "output", tmp_path / "work", progress))
    return recipe, read_retrieval_set(tmp_path / "output"), progress.said


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names in UTF-8 only")
def test_a_folder_of_many_kinds_is_read_and_what_is_left_out_is_said(tmp_path):
    folder = tmp_path / "texts"
    (folder / ".git").mkdir(parents=True)
    rows = [
        {"id": word, "title": f"Question number {word}", "content": f"The {word} answer, long enough to be a text."}
        for word in WORDS
    ]
    (folder / "faq.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    (folder / "pages").mkdir()
    (folder / "pages" / "Door.HTML").write_text(
        "<title>How to open the door</title><p>Hold the key to the lock until the lamp turns green.</p>"
    )
    coffee = "Coffee is made at eight. It is kept warm until the pot is empty."
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text(coffee)
    (folder / "scan.pdf").write_bytes(b"%PDF")
    (folder / ".git" / "note.md").write_text("Never read.")
    settings = CorpusSettings(source="texts", path=str(folder), test_fraction=0.3)
    recipe, found, said = corpus_stage(tmp_path, settings)
    assert len(found.documents) == 10 and "Never read." not in str(found.documents)
    assert {"faq.json.gz:1", "pages/Door.HTML:1", "caf\\xe9.txt:1"} <= set(found.documents)
    assert found.queries["q:pages/Door.HTML:1"] == "How to open the door"
    assert said[:2] == [
        "names of files that are not UTF-8, their bytes are shown: 1, caf\\xe9.txt",
        "files left out because their kind is not read (.pdf 1): 1, scan.pdf",
    ]
    before = corpus_fingerprint(recipe)
    assert set(before) == {"faq.json.gz", "pages/Door.HTML", "caf\\xe9.txt"} and json_bytes(before)
    (folder / ".git" / "note.md").write_text("Another commit.")
    assert corpus_fingerprint(recipe) == before
    (folder / "pages" / "Door.HTML").write_text("<p>Changed.</p>")
    assert corpus_fingerprint(recipe) != before


@pytest.mark.parametrize("split", ["test", "dev"])
def test_a_published_set_is_read_and_what_is_left_out_is_said(tmp_path, split):
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "a", "text": "one"}\n{"_id": "b", "text": "two"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "first"}\n{"_id": "r", "text": "second"}\n')
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nr\tb\t1.0\n")
    (folder / "qrels" / f"{split}.tsv").write_text("q a 1\nq gone 1\n".replace(" ", "\t"))
    (folder / "qrels" / "other.tsv").write_text("broken\n")
    if sys.platform == "linux":
        (folder / os.fsdecode(b"caf\xe9.txt")).write_text("no part of the set")
    recipe, found, said = corpus_stage(tmp_path, CorpusSettings(source="beir", path=str(folder), test_split=split))
    assert found.qrels == {"test": {"q": {"a": 1}}, "train": {"r": {"b": 1}}}
    assert said[0] == f"judgements in {split!r} left out because there is no such document: 1, gone"
    assert json_bytes(corpus_fingerprint(recipe))


def test_the_documents_that_stay_are_chosen_by_hash_and_keep_their_order(tmp_path):
    names = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    for name in names:
        (tmp_path / f"{name}.txt").write_text(f"The {name} file tells of {name} and what {name} does at night.\n")
    whole, _ = read_texts(CorpusSettings(source="texts", path=str(tmp_path)))
    some, _ = read_texts(CorpusSettings(source="texts", path=str(tmp_path), max_documents=3))
    expected = sorted(whole.documents, key=hash_order)[:3]
    assert list(some.documents) == [name for name in whole.documents if name in expected]
    assert len(read_texts(CorpusSettings(source="texts", path=str(tmp_path), max_documents=99))[0].documents) == 8

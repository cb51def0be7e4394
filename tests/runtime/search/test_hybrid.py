import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from builders.miniature import WORDS, write_bundle
from builders.scores import bm25_scores
from pocketrank.pipeline.evaluate.bm25_weight import choose_bm25_weights
from pocketrank.pipeline.retrieval.dataset import RetrievalSet
from pocketrank.pipeline.retrieval.fusion import fuse
from pocketrank.runtime.corpus import Document
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError, PocketrankError, UnavailableError
from pocketrank.runtime.files import write_bytes
from pocketrank.runtime.manifest import manifest_bytes, read_manifest
from pocketrank.runtime.search import hybrid as hybrid_module
from pocketrank.runtime.search import index as index_module
from pocketrank.runtime.search.bm25 import NAMES
from pocketrank.runtime.search.build import build_index
from pocketrank.runtime.search.hybrid import BM25_WEIGHT, HybridIndex
from pocketrank.runtime.search.index import DocumentIndex
from pocketrank.runtime.search.top_k import top_k

pytest.importorskip("bm25s")

QUERIES = ("merge two sorted lists", "close the file", "e4711", "the of and", "read text from a socket")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return Encoder.open(write_bundle(tmp_path_factory.mktemp("hybrid") / "bundle"))


@pytest.fixture(scope="module")
def documents():
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, size=random.integers(2, 9))) for _ in range(300)]
    texts[17], texts[18] = "merge two sorted lists into one list E4711", ""
    return [Document(f"d{number}", "", text) for number, text in enumerate(texts)]


@pytest.fixture(scope="module")
def indexes(encoder, documents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexes")
    return {
        kind: build_index(encoder, documents, folder / kind, vectors=kind, hybrid=True, passages=False)
        for kind in ("float32", "int8", "binary")
    }


def test_the_part_on_the_device_scores_as_the_baseline_does(indexes, documents):
    texts = {document.id: document.full_text for document in documents}
    queries = dict(zip("abcde", QUERIES, strict=True))
    judged = {query: {"d0": 1} for query in queries}
    expected = bm25_scores(RetrievalSet(texts, {}, queries, {"test": judged}), "test")
    part = HybridIndex(DocumentIndex.open(indexes["float32"])).bm25
    for row, query in enumerate(QUERIES):
        np.testing.assert_allclose(part.scores(query), expected[row], rtol=1e-5, atol=1e-5)
    assert not part.scores("the of and").any() and not part.scores("zzzz").any()
    assert np.flatnonzero(part.scores("E4711")).tolist() == [17]


@pytest.mark.parametrize("kind", ["float32", "int8", "binary"])
def test_fused_scores_are_sums_of_standardised_ones(encoder, documents, indexes, kind, monkeypatch):
    monkeypatch.setattr(hybrid_module, "CANDIDATES_MIN", 300)
    both = HybridIndex(DocumentIndex.open(indexes[kind]), bm25_weight=1.0)
    vectors = encoder.encode([document.full_text for document in documents])
    for query in QUERIES:
        vector = encoder.encode_query(query)
        rows, scores = both.top(vector, query, 10)
        # All documents are candidates here, so that the union is the corpus.
        expected = fuse((vectors @ vector)[None], both.bm25.scores(query)[None])[0]
        np.testing.assert_allclose(scores, expected[rows], atol=0.05 if kind != "float32" else 1e-4)
        assert scores[-1] >= np.sort(expected)[-10] - (0.1 if kind != "float32" else 1e-4)
        assert np.all(np.diff(scores) <= 0) and len(set(rows.tolist())) == 10


def test_a_rare_word_is_found_that_the_vectors_miss(encoder, indexes):
    index = DocumentIndex.open(indexes["float32"])
    vector = encoder.encode_query("e4711")
    assert 17 not in index.top(vector, 5)[0]
    assert HybridIndex(index).search(vector, "e4711", 20)[0].id == "d17"
    hits = HybridIndex(index, 1.0).search(vector, "e4711", 5)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]


def test_each_side_has_its_own_candidates(encoder, indexes, monkeypatch):
    monkeypatch.setattr(hybrid_module, "CANDIDATES", 0)
    monkeypatch.setattr(hybrid_module, "CANDIDATES_MIN", 1)
    both = HybridIndex(DocumentIndex.open(indexes["float32"]))
    vector = encoder.encode_query("e4711")
    best = int(both.index.top(vector, 1)[0][0])
    assert best != 17 and set(both.top(vector, "e4711", 5)[0].tolist()) == {17, best}
    monkeypatch.setattr(hybrid_module, "CANDIDATES", 1)
    rows, scores = both.top(vector, "zzzz", 5)  # no known word: the vectors alone
    assert rows.tolist() == both.index.top(vector, 5)[0].tolist() and np.isfinite(scores).all()


def test_top_k_against_sorting_with_many_ties():
    random = np.random.default_rng(1)
    for _ in range(100):
        scores = random.integers(-2, 3, int(random.integers(1, 40))).astype(np.float32)
        k = int(random.integers(1, 50))
        assert top_k(scores, k).tolist() == sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]
    assert top_k(np.empty(0), 3).tolist() == []


def test_nothing_is_pickled_and_the_bytes_repeat(encoder, documents, indexes, tmp_path):
    script = (
        "import sys, json; from pathlib import Path\n"
        "from pocketrank.runtime.search.bm25 import Bm25Settings, write_bm25\n"
        "write_bm25(Path(sys.argv[1]), json.load(sys.stdin), Bm25Settings())"
    )
    texts = json.dumps([document.full_text for document in documents])
    command = [sys.executable, "-c", script, str(tmp_path / "again")]
    subprocess.run(command, input=texts, text=True, check=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    part = indexes["float32"] / "bm25"
    assert sorted(path.name for path in part.iterdir()) == sorted(NAMES)
    for name in NAMES:
        assert (part / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
        if name.endswith(".npy"):
            assert np.load(part / name, allow_pickle=False).dtype != object


def test_an_index_without_the_part_says_how_to_get_it(encoder, documents, tmp_path):
    made = build_index(encoder, documents[:5], tmp_path / "i")
    assert "bm25" not in json.loads((made / "index.json").read_text())
    with pytest.raises(InputError, match="--hybrid"):
        HybridIndex(DocumentIndex.open(made))


def test_without_the_library_the_command_is_named(encoder, documents, indexes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    for call in (
        lambda: HybridIndex(DocumentIndex.open(indexes["float32"])),
        lambda: build_index(encoder, documents[:5], tmp_path / "i", hybrid=True),
    ):
        with pytest.raises(UnavailableError, match=r"pip install 'pocketrank\[hybrid\]'"):
            call()
    assert list(tmp_path.iterdir()) == []
    assert len(DocumentIndex.open(indexes["float32"])) == 300  # the vectors alone need nothing of it


def test_the_device_does_not_import_it(indexes):
    code = (
        "import sys, pocketrank.runtime.search.index, pocketrank.runtime.search.hybrid\n"
        "from pathlib import Path\n"
        f"pocketrank.runtime.search.index.DocumentIndex.open(Path({str(indexes['int8'])!r}))\n"
        "print('bm25s' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["missing", "cut", "garbage", "pickled"])
def test_a_damaged_part_is_refused(encoder, documents, tmp_path, monkeypatch, name, damage):
    made = build_index(encoder, documents[:20], tmp_path / "i", hybrid=True)
    path = made / "bm25" / name
    size = path.stat().st_size
    if damage == "missing":
        path.unlink()
    elif damage == "pickled":
        with path.open("wb") as stream:
            np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        path.write_bytes(path.read_bytes().ljust(size, b"\0")[:size])
    else:
        path.write_bytes(path.read_bytes()[: size // 2] if damage == "cut" else b"\xff" * size)
    for most in (index_module.CHECKED_WHOLE, 0):
        monkeypatch.setattr(index_module, "CHECKED_WHOLE", most)
        with pytest.raises(PocketrankError):
            HybridIndex(DocumentIndex.open(made))


def test_numbers_out_of_range_are_refused(encoder, documents, tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "CHECKED_WHOLE", 0)  # as of an index that is too large to be hashed at opening
    made = build_index(encoder, documents[:20], tmp_path / "i", hybrid=True)
    path = made / "bm25" / "rows.npy"
    postings = np.load(path)
    np.save(path, np.full_like(postings, 999))
    both = HybridIndex(DocumentIndex.open(made))
    with pytest.raises(InputError, match="damaged"):
        both.top(encoder.encode_query("file"), documents[3].text, 3)
    np.save(path, postings)
    vocabulary = made / "bm25" / "words.json"
    words = json.loads(vocabulary.read_text())
    vocabulary.write_text(json.dumps(words[1:], separators=(",", ":")).ljust(vocabulary.stat().st_size))
    with pytest.raises(InputError, match="does not fit"):
        HybridIndex(DocumentIndex.open(made))


def test_documents_without_words_cannot_be_indexed(encoder, tmp_path):
    with pytest.raises(InputError, match="no document has a word"):
        build_index(encoder, [Document("a", "", "? !"), Document("b", "", "")], tmp_path / "i", hybrid=True)
    assert list(tmp_path.iterdir()) == []


def test_the_weight_is_chosen_by_held_back_queries(encoder, documents):
    texts = {document.id: document.full_text for document in documents}
    own = encoder.encode_documents(list(texts.values()))
    # Each query asks for the document whose words it shares, which an untrained encoder does not find.
    asked = {f"q{row}": " ".join(texts[f"d{row}"].split()[:4]) for row in range(40, 120)}
    judged = {name: {f"d{name[1:]}": 1} for name in asked}
    whole = RetrievalSet(texts, {}, asked, {"train": judged, "test": {}})
    documents = {"bundle": own, "teacher": own}
    weights = choose_bm25_weights(whole, list(asked.values())[:60], encoder, documents)
    found = weights["bundle"]
    assert weights["teacher"] == found
    assert found.queries >= 60 and found.weight > BM25_WEIGHT
    assert found.ndcg10[f"{found.weight:g}"] == max(found.ndcg10.values()) > found.ndcg10["0.4"]
    for few in ([], list(asked.values())[:5]):
        assert choose_bm25_weights(whole, few, encoder, documents) == {}


def test_the_commands(encoder, documents, tmp_path, pocketrank):
    lines = [json.dumps({"_id": document.id, "text": document.text}) for document in documents]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    index = tmp_path / "index"
    done = pocketrank(
        "index", encoder.bundle, tmp_path / "corpus.jsonl", "--out", index, *("--hybrid", "--passages", "off", "--json")
    )
    assert done.returncode == 0, done.stderr
    stored = sum(path.stat().st_size for path in (index / "bm25").iterdir())
    assert json.loads(done.stdout)["bm25_bytes"] == stored
    words = ("search", index, "E4711", "--bundle", encoder.bundle, "--json")
    both = ("--hybrid", "--bm25-weight=1")
    found = [json.loads(pocketrank(*words, *more).stdout)["hits"][0]["id"] for more in ((), both)]
    assert found[0] != "d17" and found[1] == "d17"
    done = pocketrank("search", encoder.bundle, "E4711", "--corpus", tmp_path / "corpus.jsonl", *both, "--json")
    assert json.loads(done.stdout)["hits"][0]["id"] == "d17"
    chosen = shutil.copytree(encoder.bundle, tmp_path / "chosen")
    write_bytes(chosen / "manifest.json", manifest_bytes(replace(read_manifest(chosen), bm25_weight={"bundle": 1.0})))
    words = ("search", index, "E4711", "--bundle", chosen, "--json", "--hybrid")
    found = [json.loads(pocketrank(*words, *more).stdout)["hits"] for more in ((), both[1:], ("--bm25-weight=0",))]
    assert found[0] == found[1] != found[2]  # the weight that was chosen for the bundle is the default
    pocketrank("index", encoder.bundle, tmp_path / "corpus.jsonl", "--out", tmp_path / "plain")
    done = pocketrank("search", tmp_path / "plain", "E4711", "--bundle", encoder.bundle, "--hybrid")
    assert done.returncode == 2 and "pocketrank index --hybrid" in done.stderr and done.stderr.count("\n") == 1

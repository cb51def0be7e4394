"""The C library finds what `DocumentIndex` finds, in every kind of index, and its tool prints it."""

import json
import subprocess

import numpy as np
import pytest
from builders.miniature import WORDS, write_bundle
from pocketrank.runtime.corpus import Document
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.living.change import sync_index
from pocketrank.runtime.search.build import build_index
from pocketrank.runtime.search.index import DocumentIndex


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def encoder(bundle):
    return Encoder.open(bundle)


@pytest.fixture
def tool(native):
    def call(*words):
        command = [native / "pocketrank-native", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return call


def make_index(encoder, folder, vectors):
    drawn = np.random.default_rng(2)
    texts = [" ".join(drawn.choice(WORDS, drawn.integers(1, 9))) for _ in range(700)]
    documents = [Document(f"d{row}", f'title "{row}" é', text) for row, text in enumerate(texts)]
    return build_index(encoder, documents, folder, vectors=vectors)


@pytest.mark.parametrize("vectors", ["float32", "int8", "binary"])
def test_the_same_documents_in_the_same_order(bundle, encoder, tool, tmp_path, vectors):
    folder = make_index(encoder, tmp_path / "index", vectors)
    for query in ("merge two lists", "socket", "random number from the network"):
        done = tool("search", bundle, folder, query, 25)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        expected = DocumentIndex.open(folder).search(encoder.encode_query(query), 700)
        assert [hit["rank"] for hit in found] == list(range(1, 26)), done.stderr
        # At each rank the same score, and for each document its own; texts that are equal have equal ones.
        scores = np.array([hit["score"] for hit in found])
        assert np.abs(scores - [hit.score for hit in expected[:25]]).max() < 2e-4
        by_id = {hit.id: hit for hit in expected}
        assert np.abs(scores - [by_id[hit["id"]].score for hit in found]).max() < 2e-4
        assert [by_id[hit["id"]].title for hit in found] == [hit["title"] for hit in found]


def test_more_results_than_documents_and_equal_scores_in_their_order(bundle, encoder, tool, tmp_path):
    documents = [Document(name, "", "merge") for name in "abc"]
    build_index(encoder, documents, tmp_path / "index")
    found = [
        json.loads(line)["id"] for line in tool("search", bundle, tmp_path / "index", "merge", 9).stdout.splitlines()
    ]
    assert found == ["a", "b", "c"]


def test_encode_and_tokenize_print_json(bundle, encoder, tool):
    done = tool("encode", bundle, "--query", "merge two lists", "")
    vectors = np.array([json.loads(line) for line in done.stdout.splitlines()])
    assert np.abs(vectors - encoder.encode_queries(["merge two lists", ""])).max() < 1e-3
    assert json.loads(tool("tokenize", bundle, "merge é").stdout) == encoder.tokenize("merge é")


def test_what_does_not_fit_is_refused(bundle, encoder, tool, tmp_path):
    folder = make_index(encoder, tmp_path / "index", "int8")
    other = write_bundle(tmp_path / "other", seed=1)
    done = tool("search", other, folder, "merge")
    assert (done.returncode, done.stdout) == (2, "")
    assert "was made with another model or tokenizer" in done.stderr
    codes = folder / "codes.npy"
    codes.write_bytes(codes.read_bytes()[:-1])
    assert "codes.npy does not hold what index.json says" in tool("search", bundle, folder, "merge").stderr
    (folder / "index.json").unlink()
    assert "index.json: No such file" in tool("search", bundle, folder, "merge").stderr
    assert "nowhere is no bundle" in tool("encode", tmp_path / "nowhere", "merge").stderr
    assert tool("encode", bundle).returncode == 2


def test_an_index_that_was_changed_is_refused(bundle, encoder, tool, tmp_path):
    folder = make_index(encoder, tmp_path / "index", "int8")
    sync_index(encoder, folder, [Document("d0", "", "merge two lists")])
    done = tool("search", bundle, folder, "socket", 2)
    assert done.returncode == 2 and "was changed after it was made" in done.stderr

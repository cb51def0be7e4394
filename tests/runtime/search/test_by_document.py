"""Documents rank by their best passages, exactly; what is shown of one is that passage."""

import json

import numpy as np
import pytest
from builders.miniature import WORDS, write_bundle
from pocketrank.runtime.documents.document import Document, Place
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import VerificationError
from pocketrank.runtime.integrity.listed_files import list_entries
from pocketrank.runtime.integrity.sealed import sealed_bytes
from pocketrank.runtime.schema import to_mapping
from pocketrank.runtime.search.build import build_index
from pocketrank.runtime.search.by_document import best_by_document, rescored, rows_of
from pocketrank.runtime.search.hybrid import HybridIndex
from pocketrank.runtime.search.index import DocumentIndex
from pocketrank.runtime.search.matches import excerpt, matched_places
from pocketrank.runtime.search.top_k import top_k


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return Encoder.open(write_bundle(tmp_path_factory.mktemp("by-document") / "bundle"))


@pytest.fixture(scope="module")
def documents():
    random = np.random.default_rng(2)
    texts = [". ".join(random.choice(WORDS, size=random.integers(1, 90))) for _ in range(60)]
    texts[9] += "\n\nE4711"
    return [Document(f"d{n}", "", text, place=Place("all.txt", n + 1)) for n, text in enumerate(texts)]


def test_the_best_documents_against_sorting():
    random = np.random.default_rng(1)
    for _ in range(300):
        document_of = np.repeat(np.arange(n := random.integers(1, 12)), random.integers(1, 9, n)).astype(np.int32)
        scores = random.integers(-3, 4, len(document_of)).astype(np.float32)
        asked = []

        def top_rows(depth, scores=scores, asked=asked):
            asked.append(depth)
            best = top_k(scores, depth)
            return best, scores[best]

        k = int(random.integers(1, 14))
        rows, best = best_by_document(top_rows, document_of, k)
        maxima = [(-scores[document_of == d].max(), np.flatnonzero(document_of == d)) for d in range(n)]
        first = [(value, int(own[scores[own].argmax()])) for value, own in maxima]
        expected = sorted(first)[:k]
        assert rows.tolist() == [row for _, row in expected] and best.tolist() == [-value for value, _ in expected]
        assert asked == sorted(set(asked)) and asked[-1] <= len(scores)


def test_other_rankings_of_documents():
    document_of = np.array([0, 0, 1, 2, 2, 2], dtype=np.int32)
    scores = np.array([0.2, 0.8, 0.7, 0.6, 0.6, 0.0])
    rows = np.arange(6)
    assert rows_of(np.array([2, 0]), document_of).tolist() == [0, 1, 3, 4, 5]
    for ranking, order, values in (
        ("max", [1, 2, 3], [0.8, 0.7, 0.6]),
        ("mean2", [2, 3, 1], [0.7, 0.6, 0.5]),
        ("decay", [2, 1, 3], [0.7, 0.6, 0.9 / 1.75]),
    ):
        found, own = rescored(ranking, rows, scores, document_of, 3)
        assert found.tolist() == order, ranking
        np.testing.assert_allclose(own, values)


@pytest.mark.parametrize("kind", ["float32", "int8", "binary"])
def test_an_index_of_passages(encoder, documents, tmp_path, kind):
    index = DocumentIndex.open(build_index(encoder, documents, tmp_path / "i", vectors=kind))
    assert len(index) == 60 < index.manifest.count and index.manifest.tokens == index.manifest.tokens_read
    query = encoder.encode_query("merge two sorted lists")
    hits = index.search(query, 60)
    assert sorted(hit.id for hit in hits) == sorted(document.id for document in documents)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits[:20]:
        number = int(hit.id[1:])
        assert hit.text == documents[number].text[hit.start : hit.end] and (hit.file, hit.line) == (
            "all.txt",
            number + 1,
        )
        own = encoder.encode_documents(
            [index.record(row)["text"] for row in np.flatnonzero(index.document_of == number)]
        )
        assert abs(hit.score - (own @ query).max()) < (1e-5 if kind == "float32" else 0.02)
    for ranking in ("mean2", "decay"):
        assert len(index.search(query, 5, ranking)) == 5


def test_hybrid_search_finds_words_in_any_passage(encoder, documents, tmp_path):
    pytest.importorskip("bm25s")
    index = DocumentIndex.open(build_index(encoder, documents, tmp_path / "i", hybrid=True))
    hits = HybridIndex(index, 1.0).search(encoder.encode_query("e4711"), "E4711", 5)
    assert hits[0].id == "d9" and hits[0].text.endswith("E4711") and len({hit.id for hit in hits}) == 5


def test_an_index_of_the_schema_before_is_read(encoder, documents, tmp_path):
    made = build_index(encoder, documents[:5], tmp_path / "i", passages=False)
    old = json.loads((made / "index.json").read_text())
    lines = [json.loads(line) for line in (made / "passages.jsonl").read_text().splitlines()]
    offsets = [0]
    with (made / "documents.jsonl").open("w") as stream:
        for line in lines:
            stream.write(json.dumps({"id": line["id"], "title": line["title"], "snippet": line["text"]}) + "\n")
            offsets.append(stream.tell())
    np.save(made / "offsets.npy", np.array(offsets, dtype=np.int64))
    for name in ("index.json", "passages.jsonl", "document_of.npy"):
        (made / name).unlink()
    keys = ("count", "dimension", "vectors", "variant", "model_sha256", "tokenizer_sha256", "documents_by")
    mapping = {key: old[key] for key in keys} | {"files": to_mapping(list_entries(made)), "schema_version": 2}
    (made / "index.json").write_bytes(sealed_bytes(mapping | {"index_sha256": ""}, "index_sha256"))
    index = DocumentIndex.open(made)
    assert len(index) == 5 and index.document_of.tolist() == [0, 1, 2, 3, 4]
    (hit, *_) = index.search(encoder.encode_query(documents[3].text), 5)
    assert hit.text == lines[int(hit.id[1:])]["text"] and (hit.headings, hit.file, hit.line) == ((), "", 0)


def test_a_document_without_entries_is_damage(encoder, documents, tmp_path):
    made = build_index(encoder, documents[:5], tmp_path / "i")
    numbers = np.load(made / "document_of.npy")
    numbers[-1] += 1
    np.save(made / "document_of.npy", numbers)
    stored = json.loads((made / "index.json").read_text())
    stored["files"]["document_of.npy"] = to_mapping(list_entries(made))["document_of.npy"]
    (made / "index.json").write_bytes(sealed_bytes(stored | {"index_sha256": ""}, "index_sha256"))
    with pytest.raises(VerificationError, match=r"damaged|documents in its arrays"):
        DocumentIndex.open(made)


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("Renewing the certificates", "how do I renew a certificate", ["Renewing", "certificates"]),
        ("The file is open", "close the file", ["file"]),
        ("Pump E4711, pump E4712", "e4711", ["E4711"]),
        ("向量检索很快", "检索", ["检索"]),
        ("Übergröße", "ÜBERGRÖSSE übergröße", ["Übergröße"]),
        ("nothing here", "something else", []),
    ],
)
def test_matched_words(text, query, marked):
    assert [text[start:end] for start, end in matched_places(text, query)] == marked


def test_the_part_that_is_shown_holds_the_matched_words():
    text = "filler words " * 40 + "merge two sorted lists " + "more words " * 40
    start, end = excerpt(text, matched_places(text, "merge sorted lists"), 80)
    assert "merge two sorted lists" in text[start:end] and end - start <= 100 and text[start - 1] == " "
    assert excerpt("short", [], 80) == (0, 5)

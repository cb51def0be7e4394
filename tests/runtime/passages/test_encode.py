"""Headings have a share in the vectors of what stands below them, and nothing else changes them."""

import numpy as np
import pytest
from builders.miniature import write_bare_bundle
from pocketrank.runtime.documents.document import Document
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.passages.cutter import Cutting, PassageCutter
from pocketrank.runtime.passages.encode import PassageText, encode_passages


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return Encoder.open(write_bare_bundle(tmp_path_factory.mktemp("encode") / "bundle"))


def encoded(encoder, passages, weight):
    return np.concatenate(list(encode_passages(encoder, passages, weight)))


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_headings_count_by_their_weight(encoder, monkeypatch, weight):
    monkeypatch.setattr("pocketrank.runtime.encoder.WINDOW_TEXTS", 2)
    texts = [("file close it", "file"), ("file open it", "file"), ("random number", ""), ("file read", "file")]
    found = encoded(encoder, [PassageText(*text) for text in texts], weight)
    own, headings = encoder.encode_documents([text for text, _ in texts]), encoder.encode_documents(["file"])[0]
    for row, (_, heading) in enumerate(texts):
        expected = (1 - weight) * own[row] + weight * headings if heading else own[row]
        np.testing.assert_allclose(found[row], expected / np.linalg.norm(expected), atol=1e-6)


def test_records_have_no_headings(encoder):
    cutter = PassageCutter(encoder.tokenizer, cutting=Cutting(16, 8, 2))
    for marked, headings in ((True, "Lists"), (False, "")):
        document = Document("d", "Lists", "merge two", marked)
        (passage,) = cutter.cut(document).passages
        assert passage.to_encode(document) == ("Lists merge two", headings)

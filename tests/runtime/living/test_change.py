import os
import random
import shutil
import signal
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from builders.miniature import WORDS, write_bundle
from pocketrank.runtime.documents.document import Document, Place
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError, VerificationError
from pocketrank.runtime.living.change import add_documents, remove_documents, sync_index
from pocketrank.runtime.living.compaction import segments_to_fold
from pocketrank.runtime.search.build import build_index
from pocketrank.runtime.search.hybrid import HybridIndex
from pocketrank.runtime.search.index import DocumentIndex
from pocketrank.runtime.search.verify import verify_index

pytest.importorskip("bm25s")

QUERIES = ("merge two sorted lists", "close the file", "e4711", "read text from a socket")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return Encoder.open(write_bundle(tmp_path_factory.mktemp("living") / "bundle"))


def made_documents(count, seed=0):
    draw = np.random.default_rng(seed)
    # Few words and short texts: many documents have equal scores, so that their order shows.
    texts = [" ".join(draw.choice(WORDS, size=draw.integers(1, 30))) for _ in range(count)]
    return [Document(f"d{number}", "", text, place=Place("all.txt", number + 1)) for number, text in enumerate(texts)]


def numbered(documents):
    return [replace(document, place=Place("all.txt", number + 1)) for number, document in enumerate(documents)]


def edited(documents, seed):
    """Return the documents with some changed, some gone and some new, anywhere among them."""
    draw = random.Random(seed)
    kept = [document for document in documents if draw.random() > 0.1]
    kept = [
        replace(document, text=f"{document.text} e4711 {seed}") if draw.random() < 0.1 else document
        for document in kept
    ]
    for number in range(draw.randrange(1, 8)):
        added = Document(f"n{seed}-{number}", "New", f"open the {draw.choice(WORDS)}")
        kept.insert(draw.randrange(len(kept) + 1), added)
    return numbered(kept)


def answers(folder, encoder, k=500):
    """Return all that searches of the index in `folder` say."""
    index = DocumentIndex.open(folder)
    found = []
    for query in QUERIES:
        vector = encoder.encode_query(query)
        found.append([asdict(hit) for hit in index.search(vector, k)])
        found.append([asdict(hit) for hit in index.search(vector, 7, "mean2")])
        if index.manifest.bm25:
            found.append([asdict(hit) for hit in HybridIndex(index).search(vector, query, k)])
    return found


def assert_same(found, expected):
    for own, other in zip(found, expected, strict=True):
        scores = [[hit.pop("score") for hit in hits] for hits in (own, other)]
        np.testing.assert_allclose(*scores, atol=1e-6)
        assert own == other


@pytest.mark.parametrize(("kind", "passages"), [("float32", True), ("int8", True), ("binary", True), ("int8", False)])
def test_a_changed_index_answers_as_a_fresh_one(encoder, tmp_path, kind, passages):
    documents = made_documents(120)
    form = {"vectors": kind, "hybrid": True, "passages": passages}
    living = build_index(encoder, documents, tmp_path / "living", **form)
    for step in range(6):
        before = {document.id: document for document in documents}
        documents = edited(documents, step)
        changes = sync_index(encoder, living, documents)
        after = {document.id: document for document in documents}
        assert set(changes.added) == after.keys() - before.keys()
        assert set(changes.removed) == before.keys() - after.keys()
        assert set(changes.changed) == {name for name in after.keys() & before.keys() if after[name] != before[name]}
        known = {(document.title, document.text) for document in before.values()}
        assert changes.encoded == sum((found.title, found.text) not in known for found in documents)
        fresh = build_index(encoder, documents, tmp_path / "fresh", **form)
        assert_same(answers(living, encoder), answers(fresh, encoder))
        own, other = DocumentIndex.open(living), DocumentIndex.open(fresh)
        for name in ("count", "documents", "tokens", "tokens_read"):
            assert getattr(own.manifest, name) == getattr(other.manifest, name)
        assert (own.document_of == other.document_of).all() and (own.digests() == other.digests()).all()
        assert [check for check in verify_index(living) if not check.passed] == []
    stored = sum(segment.count for segment in own.segments)
    assert stored <= own.manifest.count / 0.75 + 1 and len(own.segments) <= 8


def test_what_did_not_change_is_not_encoded(encoder, tmp_path, monkeypatch):
    documents = made_documents(50)
    folder = build_index(encoder, documents, tmp_path / "i", hybrid=True)
    encoded = []
    whole = Encoder.encode_stream
    monkeypatch.setattr(
        Encoder,
        "encode_stream",
        lambda self, texts, batch=0: whole(self, (encoded.append(text) or text for text in texts)),
    )
    before = (folder / "index.json").read_bytes()
    assert sync_index(encoder, folder, documents).encoded == 0
    assert (folder / "index.json").read_bytes() == before and not (folder / "segments").exists()
    moved = numbered([Document("first", "", "close the file"), *documents])
    changes = sync_index(encoder, folder, moved)  # every place is another
    assert len(encoded) == changes.encoded == 1 and changes.added == ("first",) and len(changes.changed) == 50
    renamed = [replace(document, id=f"new/{document.id}") for document in moved]
    changes = sync_index(encoder, folder, renamed)
    assert len(encoded) == 1 and len(changes.added) == len(changes.removed) == 51
    assert_same(answers(folder, encoder), answers(build_index(encoder, renamed, tmp_path / "f", hybrid=True), encoder))


def test_adding_and_removing(encoder, tmp_path):
    documents = made_documents(30)
    folder = build_index(encoder, documents[:20], tmp_path / "i")
    new = [replace(documents[3], text="close the file E4711"), *documents[18:25]]
    changes = add_documents(encoder, folder, new)
    assert changes.changed == ("d3",) and changes.added == tuple(f"d{number}" for number in range(20, 25))
    expected = [*documents[:3], new[0], *documents[4:25]]
    assert_same(answers(folder, encoder), answers(build_index(encoder, expected, tmp_path / "f"), encoder))
    changes = remove_documents(encoder, folder, [documents[0], documents[29]])
    assert changes.removed == ("d0",) and changes.documents == 24 and changes.encoded == 0
    assert_same(answers(folder, encoder), answers(build_index(encoder, expected[1:], tmp_path / "f"), encoder))
    with pytest.raises(InputError, match="no document would be left"):
        remove_documents(encoder, folder, expected)


def test_an_open_index_goes_on_answering(encoder, tmp_path):
    documents = made_documents(40)
    folder = build_index(encoder, documents, tmp_path / "i", hybrid=True)
    opened = DocumentIndex.open(folder)
    vector = encoder.encode_query(QUERIES[0])
    expected = opened.search(vector, 40)
    for step in range(3):  # the first segment is folded into another and its files are removed
        documents = edited(edited(edited(documents, step), step + 10), step + 20)
        sync_index(encoder, folder, documents)
    assert not (folder / "passages.jsonl").exists()
    assert opened.search(vector, 40) == expected
    assert HybridIndex(opened).search(vector, QUERIES[0], 3)


def test_what_a_killed_change_left_is_no_damage_and_goes(encoder, tmp_path):
    documents = made_documents(20)
    folder = build_index(encoder, documents, tmp_path / "i")
    (folder / "segments" / "1").mkdir(parents=True)
    for name in ("segments/1/codes.npy", "live-1.npy", ".index.json.7.partial"):
        (folder / name).write_bytes(b"half")
    assert all(check.passed for check in verify_index(folder))
    (folder / "notes.txt").write_text("mine")
    assert not all(check.passed for check in verify_index(folder))
    sync_index(encoder, folder, documents)
    names = {path.name for path in folder.iterdir()}
    assert names == {"index.json", "notes.txt", *DocumentIndex.open(folder).manifest.files}
    sync_index(encoder, folder, edited(documents, 1))
    assert (folder / "notes.txt").exists() and (folder / "segments" / "1" / "offsets.npy").exists()


def test_refusals(encoder, tmp_path):
    documents = made_documents(10)
    folder = build_index(encoder, documents, tmp_path / "i")
    other = Encoder.open(write_bundle(tmp_path / "other", seed=5))
    with pytest.raises(InputError, match="made with another model"):
        sync_index(other, folder, documents)
    with pytest.raises(InputError, match="no index"):
        sync_index(encoder, tmp_path, documents)

    class Changing(list):
        def __iter__(self):
            self.read = getattr(self, "read", 0) + 1
            return iter([*documents, Document("x", "", "open " * self.read)])

    with pytest.raises(InputError, match="changed while it was read"):
        sync_index(encoder, folder, Changing(documents))
    assert_same(answers(folder, encoder), answers(build_index(encoder, documents, tmp_path / "f"), encoder))
    sync_index(encoder, folder, edited(documents, 3))
    live = folder / "live-1.npy"
    np.save(live, np.zeros_like(np.load(live)))
    with pytest.raises(VerificationError, match=r"live-1\.npy"):
        DocumentIndex.open(folder)


def test_only_one_change_at_a_time(encoder, tmp_path):
    documents = made_documents(10)
    folder = build_index(encoder, documents, tmp_path / "i")

    class Nested(list):
        def __iter__(self):
            with pytest.raises(InputError, match="another process is changing"):
                sync_index(encoder, folder, documents)
            return super().__iter__()

    assert sync_index(encoder, folder, Nested(edited(documents, 1))).added


FILE_EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")


def sync_in_a_child(encoder, folder, documents, last):
    """Sync in a process of its own that kills itself before operation `last` on the index; return how many it did."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        done = 0

        def watch(event, arguments):
            nonlocal done
            if event in FILE_EVENTS and str(arguments[0]).startswith(str(folder)):
                done += 1
                if done == last:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        sync_index(encoder, folder, documents)
        os.write(writer, str(done).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as stream:
        return int(stream.read() or 0)


def test_killed_at_any_moment_it_is_old_or_new(encoder, tmp_path):
    old = made_documents(60)
    new = edited(edited(old, 1), 2)
    made = build_index(encoder, old, tmp_path / "old", hybrid=True)
    expected = [answers(made, encoder), answers(build_index(encoder, new, tmp_path / "new", hybrid=True), encoder)]
    whole = sync_in_a_child(encoder, shutil.copytree(made, tmp_path / "whole"), new, 0)
    assert whole > 40
    states = []
    for last in range(1, whole + 1, max(1, whole // 15)):
        folder = shutil.copytree(made, tmp_path / f"killed{last}")
        assert sync_in_a_child(encoder, folder, new, last) == 0
        assert all(check.passed for check in verify_index(folder))
        states.append(expected.index(answers(folder, encoder)))
        if last % 2:
            sync_index(encoder, folder, new)
            assert answers(folder, encoder) == expected[1]
    assert states == sorted(states) and set(states) == {0, 1}


def test_folding_is_bounded():
    assert segments_to_fold([100], [100], 1) == []
    assert segments_to_fold([100], [74], 1) == [0]
    assert segments_to_fold([100, 10], [100, 10], 4) == []
    assert segments_to_fold([100, 10], [100, 10], 5) == [1]
    assert segments_to_fold([500, 40, 18, 8], [500, 40, 18, 8], 4) == [1, 2, 3]
    assert segments_to_fold([100, 10], [100, 0], 0) == [1]
    draw = random.Random(0)
    sizes, copied, added = [1000], 0, 0
    for _ in range(300):
        new = draw.randrange(1, 30)
        folded = segments_to_fold(sizes, sizes, new)
        moved = sum(sizes[number] for number in folded)
        sizes = [*(size for number, size in enumerate(sizes) if number not in folded), moved + new]
        copied, added = copied + moved, added + new
        assert sum(sizes) == 1000 + added and len(sizes) <= 11
    assert copied < 8 * (1000 + added)

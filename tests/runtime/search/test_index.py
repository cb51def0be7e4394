import gzip
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from builders.miniature import TEACHER, WORDS, write_bare_bundle, write_bundle, write_manifest
from pocketrank.runtime.corpus import Corpus, Document
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.errors import InputError, PocketrankError
from pocketrank.runtime.manifest import TeacherEntry, read_manifest
from pocketrank.runtime.projection import bundle_projection
from pocketrank.runtime.search import index as index_module
from pocketrank.runtime.search import stored_vectors as stored_vectors_module
from pocketrank.runtime.search.arrays import open_array
from pocketrank.runtime.search.build import TeacherVectors, build_index
from pocketrank.runtime.search.hybrid import HybridIndex
from pocketrank.runtime.search.index import DocumentIndex
from pocketrank.runtime.search.stored_vectors import quantize_rows
from pocketrank.runtime.search.top_k import top_k_of_blocks
from pocketrank.runtime.search.verify import verify_index

KINDS = ("float32", "int8", "binary")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return Encoder.open(write_bundle(tmp_path_factory.mktemp("index") / "bundle"))


@pytest.fixture(scope="module")
def documents():
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, size=random.integers(2, 9))) for _ in range(500)]
    texts[100] = texts[7] = "merge two sorted lists"  # equal vectors
    return [Document(f"d{number}", "", text) for number, text in enumerate(texts)]


@pytest.fixture(scope="module")
def indexes(encoder, documents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexes")
    return {
        kind: DocumentIndex.open(build_index(encoder, documents, folder / kind, vectors=kind, passages=False))
        for kind in ("float32", "int8", "binary")
    }


def exhaustive(encoder, documents, query, k):
    scores = encoder.encode([document.full_text for document in documents]) @ encoder.encode_query(query)
    return sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k], scores


def test_search_is_exact_and_ties_keep_the_order_of_the_documents(encoder, documents, indexes):
    query = encoder.encode_query("merge two sorted lists")
    rows, scores = indexes["float32"].top(query, 25)
    expected, all_scores = exhaustive(encoder, documents, "merge two sorted lists", 25)
    np.testing.assert_allclose(scores, all_scores[expected], atol=1e-6)
    assert list(rows[:2]) == [7, 100]
    assert np.all(np.diff(scores) <= 0)


@pytest.mark.parametrize("rows", [1, 7, 100, 499])
@pytest.mark.parametrize("kind", ["float32", "int8", "binary"])
def test_blocks_do_not_show(encoder, indexes, monkeypatch, rows, kind):
    query = encoder.encode_query("read text from a socket")
    whole = indexes[kind].top(query, 20)
    monkeypatch.setattr(stored_vectors_module, "BLOCK_ROWS", rows)
    parts = indexes[kind].top(query, 20)
    np.testing.assert_allclose(parts[1], whole[1], atol=1e-6)
    # Scores that differ in the last bit may change places; everything else must not.
    assert len(set(parts[0]) ^ set(whole[0])) <= 2


def test_best_rows_against_sorting_with_many_ties():
    random = np.random.default_rng(3)
    for _ in range(200):
        count, k = int(random.integers(1, 60)), int(random.integers(1, 70))
        scores = random.integers(-3, 3, count).astype(np.float32)
        step = int(random.integers(1, 20))
        blocks = ((np.arange(s, min(s + step, count)), scores[s : s + step]) for s in range(0, count, step))
        rows, best = top_k_of_blocks(blocks, k)
        expected = sorted(range(count), key=lambda row: (-scores[row], row))[:k]
        assert rows.tolist() == expected and best.tolist() == scores[expected].tolist()


def test_quantized_vectors_are_near_and_smaller(encoder, documents, indexes, monkeypatch):
    exact = encoder.encode([document.full_text for document in documents])
    codes, scales = quantize_rows(exact)
    assert np.abs(codes * scales[:, None] - exact).max() <= np.abs(exact).max() / 127 / 2 + 1e-7
    assert quantize_rows(np.zeros((1, 4), np.float32))[0].tolist() == [[0, 0, 0, 0]]
    sizes = {
        kind: sum(entry.bytes for name, entry in index.manifest.files.items() if name.endswith(".npy"))
        for kind, index in indexes.items()
    }
    assert sizes["int8"] < sizes["binary"] < sizes["float32"]
    for kind, least in (("int8", 9), ("binary", 8)):
        monkeypatch.setattr(
            stored_vectors_module, "RESCORED_MIN", 100
        )  # of 500 documents: the bits must have chosen well
        monkeypatch.setattr(stored_vectors_module, "RESCORED", 10)
        kept = []
        for query in ("close the file", "random number", "open a network connection"):
            vector = encoder.encode_query(query)
            found, wanted = (indexes[name].top(vector, 10) for name in (kind, "float32"))
            kept.append(len(set(found[0]) & set(wanted[0])))
            np.testing.assert_allclose(found[1][0], wanted[1][0], atol=0.01)
        assert np.mean(kept) >= least, (kind, kept)


def test_hits_carry_their_document(encoder, tmp_path):
    text = "merge two\tsorted\nlists " * 30
    made = build_index(
        encoder, [Document("ünï/1", "Title ☃", text), Document("2", "", "")], tmp_path / "i", passages=False
    )
    first, second = DocumentIndex.open(made).search(encoder.encode_query("merge two sorted lists"), k=5)
    assert (first.rank, first.id, first.title) == (1, "ünï/1", "Title ☃")
    assert first.snippet == " ".join(text.split())[:200]
    assert (second.rank, second.id, second.snippet) == (2, "2", "") and second.score <= first.score


def test_the_same_documents_give_the_same_bytes(encoder, documents, tmp_path):
    for kind in ("float32", "binary"):
        first = build_index(encoder, documents, tmp_path / "a", vectors=kind)
        second = build_index(encoder, documents, tmp_path / "b", vectors=kind)
        names = sorted(path.name for path in first.iterdir())
        assert names == sorted(path.name for path in second.iterdir())
        assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_teacher_vectors_enter_through_the_projection(encoder, documents, tmp_path):
    vectors = np.random.default_rng(1).normal(size=(len(documents), TEACHER)).astype(np.float32)
    np.save(tmp_path / "teacher.npy", vectors)
    projection = bundle_projection(encoder.bundle)
    teacher = TeacherVectors(open_array(tmp_path / "teacher.npy"), projection)
    made = build_index(encoder, documents, tmp_path / "i", teacher=teacher)
    index = DocumentIndex.open(made)
    assert index.manifest.documents_by == "teacher"
    stored = np.load(made / "vectors.npy")
    np.testing.assert_allclose(stored, projection.apply(vectors), atol=1e-6)
    rows, _ = index.top(stored[42], 1)
    assert rows.tolist() == [42]


@pytest.mark.parametrize(
    "vectors",
    [
        np.ones((3, TEACHER), np.float32),
        np.ones((500, TEACHER + 1), np.float32),
        np.ones((500, TEACHER), np.int64),
        np.full((500, TEACHER), np.nan, np.float32),
        np.ones(500, np.float32),
    ],
)
def test_teacher_vectors_that_do_not_fit_are_refused(encoder, documents, tmp_path, vectors):
    with pytest.raises(InputError):
        teacher = TeacherVectors(vectors, bundle_projection(encoder.bundle))
        build_index(encoder, documents, tmp_path / "i", vectors="int8", teacher=teacher)
    assert list(tmp_path.iterdir()) == []


def test_another_bundle_is_refused(indexes, encoder, tmp_path):
    indexes["int8"].check_encoder(encoder)
    with pytest.raises(InputError, match="another model"):
        indexes["int8"].check_encoder(Encoder.open(write_bare_bundle(tmp_path / "other", seed=1)))
    other = write_bare_bundle(tmp_path / "tokenizer")
    (other / "tokenizer.json").write_text((other / "tokenizer.json").read_text() + " ")
    with pytest.raises(InputError, match="another tokenizer"):
        indexes["int8"].check_encoder(Encoder.open(other))


def test_teacher_vectors_go_with_every_student_of_their_space(documents, tmp_path):
    def student(name: str, seed: int, teacher: str = "0", projection: Path | None = None) -> Encoder:
        folder = write_bundle(tmp_path / name, seed)
        if projection is not None:
            shutil.copy(projection, folder / "projection.safetensors")
        return Encoder.open(write_manifest(folder, teacher=TeacherEntry("none", teacher * 64, TEACHER)))

    old = student("old", 0)
    projection = old.bundle / "projection.safetensors"
    made = student("new", 1, projection=projection), student("other", 1, projection=projection, teacher="1")
    new, another_teacher, another_projection = *made, student("own", 1)
    vectors = np.random.default_rng(1).normal(size=(len(documents), TEACHER)).astype(np.float32)
    teacher = TeacherVectors(vectors, bundle_projection(old.bundle))
    index = DocumentIndex.open(build_index(old, documents, tmp_path / "teacher", teacher=teacher))
    assert index.manifest.space == read_manifest(old.bundle).space == read_manifest(new.bundle).space
    index.check_encoder(new)
    for stranger in (another_teacher, another_projection):
        with pytest.raises(InputError, match=f"another space .{old.space[:12]}, the bundle's is {stranger.space[:12]}"):
            index.check_encoder(stranger)
    with pytest.raises(InputError, match=r"another space .*without a name"):
        index.check_encoder(Encoder.open(write_bare_bundle(tmp_path / "bare", seed=1)))
    own = DocumentIndex.open(build_index(old, documents, tmp_path / "bundle"))
    with pytest.raises(InputError, match="another model"):  # its own vectors are those of one student
        own.check_encoder(new)


def test_an_index_appears_whole_or_not_at_all(encoder, documents, tmp_path):
    made = build_index(encoder, documents, tmp_path / "i")
    before = {path.name: path.read_bytes() for path in made.iterdir()}

    class Failing(list):
        def __iter__(self):
            yield from list.__iter__(self[:5])
            raise InputError("bad line")

    with pytest.raises(InputError, match="bad line"):
        build_index(encoder, Failing(documents), made)
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["i"]


def test_a_folder_that_is_no_index_is_not_overwritten(encoder, documents, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="would be lost"):
        build_index(encoder, documents, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_corpus_that_changes_while_it_is_read_is_noticed(encoder, tmp_path):
    class Growing(list):
        def __len__(self):
            return 1

    with pytest.raises(InputError, match="run again"):
        build_index(encoder, Growing([Document("a", "", "x"), Document("b", "", "y")]), tmp_path / "i")


@pytest.mark.parametrize(
    "name", [*("index.json", "passages.jsonl", "offsets.npy", "document_of.npy"), "codes.npy", "scales.npy"]
)
@pytest.mark.parametrize("damage", ["missing", "cut", "garbage"])
def test_a_damaged_index_is_refused(encoder, documents, tmp_path, name, damage):
    made = build_index(encoder, documents[:20], tmp_path / "i", vectors="int8")
    path = made / name
    size = path.stat().st_size
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: size // 2] if damage == "cut" else b"\xff" * size)
    with pytest.raises(PocketrankError) as caught:
        DocumentIndex.open(made).search(encoder.encode_query("close the file"), 3)
    assert "\n" not in str(caught.value)
    assert (name, damage) == ("index.json", "missing") or not all(check.passed for check in verify_index(made))


@pytest.fixture(scope="module")
def hybrid_bytes(encoder, documents, tmp_path_factory):
    """An index of each kind with its BM25 part, and the bytes of its files."""
    pytest.importorskip("bm25s")
    folder = tmp_path_factory.mktemp("flips")
    made = [build_index(encoder, documents[:40], folder / kind, vectors=kind, hybrid=True) for kind in KINDS]
    return {index: {path: path.read_bytes() for path in sorted(index.rglob("*.*"))} for index in made}


def _search(index, encoder, query):
    vector = encoder.encode_query(query)
    opened = DocumentIndex.open(index)
    return opened.search(vector, 40), HybridIndex(opened).search(vector, query, 40)


@pytest.mark.parametrize("checked_whole", [True, False])
def test_any_flipped_bit_is_an_error_in_one_line_or_harmless(encoder, hybrid_bytes, monkeypatch, checked_whole):
    """Every byte of a small index is checked at opening; of a large one `verify` finds what the opening does not."""
    monkeypatch.setattr(index_module, "CHECKED_WHOLE", 16_000_000 if checked_whole else 0)
    random = np.random.default_rng(4)
    refused = flips = 0
    for index, files in hybrid_bytes.items():
        for path, data in files.items():
            header = min(len(data), 128)  # of arrays, where a bit can mean anything
            for position in {0, len(data) - 1, *random.integers(0, header, 6), *random.integers(0, len(data), 6)}:
                damaged = bytearray(data)
                damaged[position] ^= 1 << int(random.integers(0, 8))
                path.write_bytes(damaged)
                flips += 1
                failed = [check.name for check in verify_index(index) if not check.passed]
                assert path.relative_to(index).as_posix() in failed, (path, position)
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    try:
                        _search(index, encoder, "merge two sorted lists")
                    except PocketrankError as error:
                        refused += 1
                        assert "\n" not in str(error), (path, position)
            path.write_bytes(data)
        assert all(check.passed for check in verify_index(index)) and _search(index, encoder, "close the file")
    assert flips > 250 and (refused == flips if checked_whole else refused > 80)


def test_every_bit_of_the_header_of_an_array(hybrid_bytes, tmp_path):
    (index, *_) = hybrid_bytes
    data = (index / "vectors.npy").read_bytes()
    for position in range(128 * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        (tmp_path / "a.npy").write_bytes(damaged)
        try:
            open_array(tmp_path / "a.npy")
        except InputError as error:
            assert "\n" not in str(error), (position, error)


def test_an_index_of_an_older_schema_is_named(encoder, documents, tmp_path, pocketrank):
    made = build_index(encoder, documents[:5], tmp_path / "i")
    stored = json.loads((made / "index.json").read_text())
    stored |= {"schema_version": 1, "files": {name: entry["bytes"] for name, entry in stored["files"].items()}}
    del stored["index_sha256"]
    (made / "index.json").write_text(json.dumps(stored))
    with pytest.raises(InputError, match=r"schema version 1, this pocketrank reads 3.*`pocketrank index`"):
        DocumentIndex.open(made)
    done = pocketrank("search", made, "x", "--bundle", encoder.bundle)
    assert done.returncode == 2 and "schema version 1" in done.stderr and done.stderr.count("\n") == 1


def test_the_commands_name_the_damaged_part(encoder, documents, tmp_path, pocketrank):
    made = build_index(encoder, documents[:20], tmp_path / "index")
    done = pocketrank("verify", made)
    assert done.returncode == 0 and "vectors.npy" in done.stdout and "checks passed" in done.stdout
    data = bytearray((made / "vectors.npy").read_bytes())
    data[-1] ^= 0x80
    (made / "vectors.npy").write_bytes(data)
    shown = json.loads((done := pocketrank("verify", made, "--json")).stdout)
    failed = [check["name"] for check in shown["checks"] if not check["passed"]]
    assert done.returncode == 1 and failed == ["vectors.npy", "opens"]
    done = pocketrank("search", made, "close the file", "--bundle", encoder.bundle)
    assert done.returncode == 1 and "vectors.npy differs" in done.stderr and done.stderr.count("\n") == 1
    done = pocketrank("verify", made, "--key", tmp_path / "key.pub")
    assert done.returncode == 2 and "only bundles are signed" in done.stderr


def test_pickles_are_never_opened(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"not a \.npy file of numbers"):
        open_array(tmp_path / "evil.npy")


@pytest.mark.parametrize("vector", [np.ones(3, np.float32), np.full(24, np.nan, np.float32)])
def test_wrong_queries_are_refused(indexes, vector):
    with pytest.raises(InputError):
        indexes["float32"].search(vector)
    with pytest.raises(InputError, match="at least 1"):
        indexes["float32"].search(np.ones(24, np.float32), 0)


# What a corpus may be.


def contents(path):
    corpus = Corpus(path)
    documents = [(document.id, document.title, document.text) for document in corpus]
    assert len(corpus) == len(documents)
    return documents


def test_json_lines_and_beir_folders(tmp_path):
    lines = '{"_id": "a", "title": "T", "text": "x"}\n\n{"id": 7, "contents": "y", "other": []}\r\n{"text": "z"}'
    (tmp_path / "c.jsonl").write_text("\ufeff" + lines, encoding="utf-8")
    expected = [("a", "T", "x"), ("7", "", "y"), ("4", "", "z")]
    assert contents(tmp_path / "c.jsonl") == expected
    (tmp_path / "beir").mkdir()
    with gzip.open(tmp_path / "beir" / "corpus.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(lines)
    assert contents(tmp_path / "beir") == expected


def test_text_files_and_folders(tmp_path):
    (tmp_path / "lines.txt").write_text("first\n\n  second \n", encoding="utf-8")
    assert contents(tmp_path / "lines.txt") == [("1", "", "first"), ("3", "", "second")]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "note.md").write_text("# Heading\n\nBody.\n", encoding="utf-8")
    (tmp_path / "sub" / "empty.md").write_text("\n")
    (tmp_path / "sub" / "image.png").write_bytes(b"\x89PNG")
    assert contents(tmp_path) == [("lines.txt", "first", "second"), ("sub/note.md", "Heading", "Body.")]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("c.jsonl", b'{"text": "a"}\n{"text": "b\xff"}', "line 2: not valid UTF-8"),
        ("c.jsonl", b'{"text": "a"', "line 1: not valid JSON"),
        ("c.jsonl", b"[1]", "a JSON object is needed"),
        ("c.jsonl", b"[" * 200_000, "nested too deeply"),
        ("c.jsonl", b'{"_id": "a"}', "holds no document .*lack a text.*c.jsonl line 1"),
        ("c.jsonl", b'{"text": 3}', "'text' must be a string"),
        ("c.jsonl", b'{"text": "\\ud800"}', "half a surrogate pair"),
        ("c.jsonl", b'{"_id":"a","text":"x"}\n{"_id":"a","text":"y"}', "'a' appears twice"),
        ("c.jsonl", b"", "holds no document"),
        ("c.txt", b" \n\n", "holds no document"),
        ("c.txt", b"ok\n\xc3\x28\n", "line 2: not valid UTF-8"),
        ("c.jsonl.gz", b"not gzip", "not a whole gzip file"),
        ("c.jsonl.gz", gzip.compress(b'{"text": "a"}' * 1000, mtime=0)[:-20], "not a whole gzip file"),
    ],
)
def test_bad_corpora_are_named_with_their_line(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        Corpus(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(InputError, match="does not exist"):
        Corpus(tmp_path / "absent")


def test_index_json_is_plain(indexes):
    stored = json.loads((indexes["binary"].folder / "index.json").read_text())
    assert stored["schema_version"] == 3 and stored["count"] == 500 and stored["vectors"] == "binary"
    assert str(indexes["binary"].folder) not in json.dumps(stored)

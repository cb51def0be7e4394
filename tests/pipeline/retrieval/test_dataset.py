import gzip
import json
from pathlib import Path

import pytest
from pocketrank.pipeline.corpus.stage import select
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set, write_retrieval_set
from pocketrank.pipeline.settings import CorpusSettings
from pocketrank.runtime.errors import InputError

CORPUS = [
    {"_id": "a", "title": "ListBatch", "text": "Sort a list\nin place."},
    {"_id": "b", "title": "", "text": "Öffne eine Datei."},
    {"_id": "c", "text": "No title here."},
]
QUERIES = [{"_id": "q1", "text": "how to sort"}, {"_id": "q2", "text": "open a file"}]


def lay(folder: Path, qrels: str = "query-id\tcorpus-id\tscore\nq1\ta\t2\nq1\tb\t0\n") -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CORPUS), encoding="utf-8")
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUERIES), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return folder


def test_reads_documents_titles_and_grades(tmp_path):
    found = read_retrieval_set(lay(tmp_path / "set"))
    assert found.documents == {
        "a": "ListBatch Sort a list\nin place.",
        "b": "Öffne eine Datei.",
        "c": "No title here.",
    }
    assert found.body("a") == "Sort a list\nin place."
    assert found.body("c") == "No title here."
    assert found.qrels == {"test": {"q1": {"a": 2, "b": 0}}}
    assert found.split_queries("test") == {"q1": "how to sort"}


def test_what_is_written_reads_back_and_repeats_byte_for_byte(tmp_path):
    first = read_retrieval_set(lay(tmp_path / "set"))
    digest = write_retrieval_set(tmp_path / "one", first)
    again = read_retrieval_set(tmp_path / "one")
    assert again == first
    assert write_retrieval_set(tmp_path / "two", again) == digest
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_split_without_judgements_is_a_file_with_only_the_header(tmp_path):
    write_retrieval_set(tmp_path, RetrievalSet({"a": "x"}, {"a": ""}, {}, {"train": {}, "test": {}}))
    assert (tmp_path / "qrels" / "train.tsv").read_text() == "query-id\tcorpus-id\tscore\n"
    assert read_retrieval_set(tmp_path).qrels["train"] == {}


def test_packed_corpus(tmp_path):
    folder = lay(tmp_path / "set")
    plain = folder / "corpus.jsonl"
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    expected = read_retrieval_set(folder)
    plain.unlink()
    assert read_retrieval_set(folder) == expected
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(b"x" * 1000)[:-12])
    with pytest.raises(InputError, match="gzip"):
        read_retrieval_set(folder)


@pytest.mark.parametrize(
    ("qrels", "words"),
    [
        ("h\th\tscore\nq1\ta\n", ("test.tsv, line 2", "three cells")),
        ("h\th\tscore\nq1\ta\tmuch\n", ("test.tsv, line 2", "much")),
        ("q1\ta\tmuch\n", ("test.tsv, line 1", "much")),
        ("q1\ta\t0.5\n", ("test.tsv, line 1", "0.5")),
        ("q1\ta\tnan\n", ("test.tsv, line 1", "nan")),
        ("q1\ta\tinf\n", ("test.tsv, line 1", "inf")),
        ("q1\ta\t1\nq1\ta\t" + "9" * 5000 + "\n", ("test.tsv, line 2", "99")),
    ],
)
def test_bad_judgements_name_file_line_and_id(tmp_path, qrels, words):
    with pytest.raises(InputError) as error:
        read_retrieval_set(lay(tmp_path / "set", qrels))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no document"),
        (b"\n\n", "holds no document"),
        (b'{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', "line 2.*'a' appears twice"),
        (b'{"_id": "a", "text": "x"}\n{"_id": ""\n', "line 2: not valid JSON"),
        (b'{"_id": "a", "text": "x"}\n["b"]\n', "line 2: a JSON object"),
        (b'{"text": "x"}\n', "line 1: _id"),
        (b'{"_id": "a\\tb", "text": "x"}\n', "line 1: _id"),
        (b'{"_id": "a", "text": 5}\n', "line 1: 'text'"),
        (b'{"_id": "a", "title": "t"}\n', "holds no document .*lack a text.*corpus.jsonl 1"),
        (
            b'{"_id": "a", "text": "x"}\n{"_id": "b", "text": "y", "m": ' + b"[" * 100_000,
            "line 2: JSON nested too deeply",
        ),
        (b'{"_id": ' + b"9" * 5000 + b', "text": "x"}\n', "line 1: not valid JSON"),
        (b'{"_id": "a", "text": "\\ud800"}\n', "line 1: 'text' holds half a surrogate"),
        (b'{"_id": "a", "text": "x"}\n{"_id": "b", "text": "\xff"}\n', "line 2: not valid UTF-8"),
    ],
)
def test_a_bad_corpus_is_refused_with_its_line(tmp_path, content, words):
    folder = lay(tmp_path / "set")
    (folder / "corpus.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_retrieval_set(folder)


HEADER = "query-id\tcorpus-id\tscore\n"
PLAIN = f"{HEADER}q1\ta\t2\nq2\tb\t1\n"
JUDGED = {"q1": {"a": 2}, "q2": {"b": 1}}


@pytest.mark.parametrize(
    "qrels",
    [
        PLAIN,
        f"{HEADER}q1\ta\t2.0\nq2\tb\t1.0\n",
        "query_id\tdoc_id\trelevance\nq1\ta\t2\nq2\tb\t1\n",
        "q1\ta\t2\nq2\tb\t1\n",
        "q1\t0\ta\t2\nq2\t0\tb\t1\n",
        "q1 0 a 2\nq2 0 b 1\n",
        f"\ufeff{PLAIN}".replace("\n", "\r\n"),
    ],
    ids=["plain", "grades as 1.0", "another header", "no header", "TREC", "TREC with spaces", "mark and line ends"],
)
def test_judgements_as_they_are_published(tmp_path, qrels):
    found = read_retrieval_set(lay(tmp_path / "set", qrels), ("test",))
    assert found.qrels == {"test": JUDGED} and found.remarks == ()


@pytest.mark.parametrize(("row", "what", "name"), [("q1\tgone\t1", "document", "gone"), ("q9\ta\t1", "query", "q9")])
def test_judgements_of_what_is_absent_are_left_out_and_counted(tmp_path, row, what, name):
    found = read_retrieval_set(lay(tmp_path / "set", f"{PLAIN}{row}\n"))
    assert found.qrels == {"test": JUDGED}
    assert found.remarks == (f"judgements in 'test' left out because there is no such {what}: 1, {name}",)
    only = read_retrieval_set(lay(tmp_path / "only", f"{HEADER}{row}\n"))
    with pytest.raises(InputError, match=f"no judgements .*no such {what}: 1, {name}"):
        only.judgements("test")


def test_only_the_splits_asked_for_are_read(tmp_path):
    folder = lay(tmp_path / "set", PLAIN)
    (folder / "qrels" / "train.tsv").write_text("broken\n")
    (folder / "qrels" / "._test.tsv").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X\xff\xfe")
    assert read_retrieval_set(folder, ("test",)).qrels == {"test": JUDGED}
    with pytest.raises(InputError, match=r"train\.tsv, line 1: three cells"):
        read_retrieval_set(folder)
    with pytest.raises(InputError, match=r"'dev' has no judgements;.*there are: test, train"):
        read_retrieval_set(folder, ("dev",))


def test_packed_files_other_keys_and_byte_order_marks(tmp_path):
    folder = lay(tmp_path / "set", PLAIN)
    expected = read_retrieval_set(folder)
    rows = [{"id": row["_id"], "title": row.get("title"), "contents": row["text"]} for row in CORPUS]
    text = "\ufeff" + "\r\n".join(json.dumps(row) for row in [*rows, {"id": "none", "abstract": "other key"}])
    for name, content in (("corpus.jsonl", text), ("queries.jsonl", ""), ("qrels/test.tsv", "")):
        path = folder / name
        content = content or f"\ufeff{path.read_text(encoding='utf-8')}"
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content.encode()))
        path.unlink()
    found = read_retrieval_set(folder)
    assert found == expected
    assert (
        len(found.remarks) == 1 and "records left out" in found.remarks[0] and "corpus.jsonl.gz 4" in found.remarks[0]
    )


def test_missing_files_and_splits_are_named(tmp_path):
    with pytest.raises(InputError, match="not a folder"):
        read_retrieval_set(tmp_path / "nothing")
    folder = lay(tmp_path / "set")
    with pytest.raises(InputError, match=r"'dev' has no judgements.*test"):
        read_retrieval_set(folder).judgements("dev")
    (folder / "queries.jsonl").unlink()
    with pytest.raises(InputError, match=r"queries\.jsonl does not exist"):
        read_retrieval_set(folder)


def test_selection_holds_out_the_test_split_and_keeps_what_it_needs():
    documents = {f"d{number}": f"text {number}" for number in range(50)}
    whole = RetrievalSet(
        documents,
        dict.fromkeys(documents, ""),
        {"t": "test", "both": "in two splits", "r": "train", "v": "dev only", "none": "unjudged"},
        {
            "train": {"r": {"d1": 1}, "both": {"d2": 1}},
            "dev": {"v": {"d3": 1}},
            "test": {"t": {"d40": 1}, "both": {"d41": 1, "d42": 0}},
        },
    )
    used = select(whole, CorpusSettings(source="beir", max_documents=5))
    assert set(used.qrels["test"]) == {"t", "both"}
    assert set(used.qrels["train"]) == {"r"}
    assert set(used.queries) == {"t", "both", "r"}
    assert len(used.documents) == 5
    assert {"d40", "d41", "d1"} <= set(used.documents)
    assert all(name in used.documents for split in used.qrels.values() for row in split.values() for name in row)


def test_real_sets_are_read_whole(data):
    found = read_retrieval_set(data / "scifact")
    assert (len(found.documents), len(found.qrels["test"]), len(found.qrels["train"])) == (5183, 300, 809)

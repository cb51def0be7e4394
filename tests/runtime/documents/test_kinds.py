"""Every kind of file, in every dress, gives the same documents; what is left out is counted and named."""

import csv
import gzip
import io
import json
import os
import sys

import pytest
from pocketrank.benchmarks.measure.query_texts import read_queries
from pocketrank.pipeline.corpus.text_files import read_texts
from pocketrank.pipeline.queries.generators import lines as training_texts
from pocketrank.pipeline.settings import CorpusSettings
from pocketrank.runtime.corpus import Corpus
from pocketrank.runtime.documents import packed
from pocketrank.runtime.errors import InputError, UnavailableError

ROWS = [
    {"_id": "pump-04", "title": "Reset the pump", "text": 'Hold the "green" button for five seconds, then let go.'},
    {"_id": "valve-11", "title": "", "text": "Close both cocks; drain the section. Überdruck vermeiden."},
    {"_id": "7", "title": "Alarm E4711", "text": "The inlet sensor reads below 0.2 bar."},
]
EXPECTED = [(row["_id"], row["title"], row["text"]) for row in ROWS]


def lines(**names: str) -> str:
    return "\n".join(json.dumps({names.get(key, key): value for key, value in row.items()}) for row in ROWS) + "\n"


def table(delimiter: str, names: tuple[str, ...] = ("_id", "title", "text"), quoting: int = csv.QUOTE_MINIMAL) -> str:
    stream = io.StringIO()
    escape = {"quotechar": None} if quoting == csv.QUOTE_NONE else {}
    writer = csv.writer(stream, delimiter=delimiter, quoting=quoting, lineterminator="\n", **escape)
    writer.writerows([names, *(row.values() for row in ROWS)])
    return stream.getvalue()


RECORDS = {
    "c.jsonl": lines(),
    "c.ndjson": lines(_id="id", text="contents"),
    "c.json": json.dumps(ROWS, indent=1),
    "object.json": json.dumps({row["_id"]: {"title": row["title"], "body": row["text"]} for row in ROWS}),
    "wrapped.json": json.dumps({"version": 1, "data": ROWS}),
    "c.csv": table(",", ("id", "Title", "Text")),
    "excel.csv": table(";"),
    "c.tsv": table("\t", ("docid", "title", "content"), csv.QUOTE_NONE),
}


def contents(path) -> list[tuple[str, str, str]]:
    corpus = Corpus(path)
    found = [(document.id, document.title, document.text) for document in corpus]
    assert len(corpus) == len(found)
    return found


def dressed(name: str, text: str, dress: str) -> tuple[str, bytes]:
    if dress == "upper case":
        return name.upper(), text.encode()
    if dress == "mark and line ends":
        return name, f"\ufeff{text}".replace("\n", "\r\n").encode()
    if dress == "packed":
        return f"{name}.gz", gzip.compress(text.encode())
    return name, text.encode()


DRESSES = ("plain", "upper case", "mark and line ends", "packed")


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("name", RECORDS)
def test_records_of_every_kind(tmp_path, name, dress):
    name, data = dressed(name, RECORDS[name], dress)
    (tmp_path / name).write_bytes(data)
    assert contents(str(tmp_path / name)) == EXPECTED
    assert not list(Corpus(tmp_path / name).remarks)
    inside = [(f"{name}:{identifier}", title, text) for identifier, title, text in EXPECTED]
    assert contents(tmp_path) == inside


MARKDOWN = "# Door code\n\nIt changes on the first\nMonday.\n\n## Spare key\n\nBehind the boiler.\n"
PROSE = {
    "plain.md": MARKDOWN,
    "front.md": f"---\ntitle: 'Door code'\ntags: [a, b]\nmore:\n  - x\n---\n{MARKDOWN}",
    "toml.markdown": f'+++\ntitle = "Door code"\ndraft = false\n+++\n{MARKDOWN}',
    "page.html": "<!DOCTYPE html><html><head><title>Door code</title><style>p{color:red}</style></head><body>"
    '<h1 title="a > b">Door <b>code</b></h1><!-- not <p>this</p> --><p>It changes on the\n first Monday.</p>'
    "<script>if (1 < 2) { x('<p>') }</script><h2>Spare&nbsp;key</h2><div>Behind the boiler.<br/></div>",
    "guide.rst": ".. _door:\n\nDoor code\n=========\n\nIt changes on the first\n:ref:`Monday`.\n\n"
    "Spare key\n---------\n\nBehind the ``boiler``.\n",
}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("name", PROSE)
def test_prose_of_every_kind(tmp_path, name, dress):
    name, data = dressed(name, PROSE[name], dress)
    (tmp_path / name).write_bytes(data)
    sections = [("1", "Door code", "It changes on the first Monday."), ("2", "Spare key", "Behind the boiler.")]
    assert contents(tmp_path / name) == sections
    [(identifier, title, text)] = contents(tmp_path)
    assert (identifier, title) == (name, "Door code")
    words = text.replace("#", "").split()
    assert words == ["It", "changes", "on", "the", "first", "Monday.", "Spare", "key", "Behind", "the", "boiler."]
    found, source = read_texts(CorpusSettings(source="texts", path=str(tmp_path), test_fraction=0.0))
    assert source["files"] == [name]
    assert found.titles == {f"{name}:1": "Door code", f"{name}:2": "Spare key"}


def test_lines_between_rules_are_no_front_matter(tmp_path):
    text = "---\nNote: the pump leaks.\nDo not start it.\n---\n\nMore.\n"
    (tmp_path / "note.md").write_text(text)
    assert "Do not start it." in contents(tmp_path)[0][2]


def test_a_recipe_reads_records_of_every_kind_alike(tmp_path):
    found = {}
    for name, text in RECORDS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        settings = CorpusSettings(source="texts", path=str(tmp_path / name), test_fraction=0.0)
        found[name] = list(read_texts(settings)[0].documents.values())
    assert all(documents == found["c.jsonl"] for documents in found.values()) and len(found["c.jsonl"]) == 3


def test_tables_without_names(tmp_path):
    (tmp_path / "c.tsv").write_text('1\t"Quoted" from the start\n2\tand\n3\n')
    corpus = Corpus(tmp_path / "c.tsv")
    assert contents(tmp_path / "c.tsv") == [("1", "", '"Quoted" from the start'), ("2", "", "and")]
    assert "read as id, text" in str(corpus.remarks) and "lack a text" in str(corpus.remarks)
    (tmp_path / "c.csv").write_text("only texts\nin lines\n")
    assert contents(tmp_path / "c.csv") == [("1", "", "only texts"), ("2", "", "in lines")]


def test_a_field_may_go_over_lines(tmp_path):
    (tmp_path / "c.csv").write_bytes(b'id,text\r\na,"one\r\ntwo"\r\nb,three\r\n')
    assert contents(tmp_path / "c.csv") == [("a", "", "one\ntwo"), ("b", "", "three")]


def test_other_shapes_of_json(tmp_path):
    for value, expected in (
        ({"a": "x", "b": "y"}, [("a", "", "x"), ("b", "", "y")]),
        (["x", "y"], [("1", "", "x"), ("2", "", "y")]),
        ({"title": "T", "text": "x"}, [("1", "T", "x")]),
    ):
        (tmp_path / "c.json").write_text(json.dumps(value))
        assert contents(tmp_path / "c.json") == expected


def test_folders_leave_out_what_is_no_document(tmp_path):
    for name in (".git/HEAD.md", "node_modules/a/README.md", "a/__pycache__/x.txt", ".hidden.txt", "a/.b/c.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("never read")
    for name in ("a/scan.PDF", "b.pdf", "LICENSE", "c.png", "x.tar.gz"):
        (tmp_path / name).write_bytes(b"\xff")
    (tmp_path / "package.json").write_text('{"name": "x", "version": "1", "scripts": {"test": "y"}}')
    (tmp_path / "figures.csv").write_text("month,sales,costs\nMay,3,4\n")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "lacking.jsonl").write_text('{"text": "x"}\n{"abstract": "y"}\n{"text": ""}\n')
    (tmp_path / "a" / "note.TXT").write_text("Read.")
    assert contents(tmp_path) == [("a/note.TXT", "Read.", ""), ("lacking.jsonl:1", "", "x")]
    remarks = list(Corpus(tmp_path).remarks)
    assert [remark.rpartition(": ")[2] for remark in remarks] == [
        "5, LICENSE, a/scan.PDF, b.pdf, …",
        "1, empty.txt",
        "2, figures.csv, package.json",
        "2, lacking.jsonl line 2, lacking.jsonl line 3",
    ]
    assert "(.pdf 2, .png 1, .tar.gz 1, no suffix 1)" in remarks[0]
    found, _ = read_texts(CorpusSettings(source="texts", path=str(tmp_path), test_fraction=0.0))
    assert set(found.documents.values()) == {"Read.", "x"}
    assert set(found.remarks) == {remark for remark in remarks if "empty.txt" not in remark}


@pytest.mark.parametrize("name", ["scan.pdf", "notes", "c.docx", "c.zip", "c.gz", "c.parquet.gz", "c.txt.bz2"])
def test_an_unknown_kind_is_refused_by_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(b'{"text": "x"}')
    for read in (Corpus, lambda path: read_texts(CorpusSettings(source="texts", path=str(path)))):
        with pytest.raises(InputError, match=r"cannot be read; make it one of \.txt, ") as caught:
            read(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("c.json", b"[1, 2]", "a list of records is needed"),
        ("c.json", b'{"a": "x", "b": {"text": "y"}}', "a list of records is needed"),
        ("c.json", b'[{"abstract": "y"}]', "no record has a text"),
        ("c.json", b"[" * 100_000, "nested too deeply"),
        ("c.json", b'[{"_id": ' + b"9" * 5000 + b', "text": "x"}]', "not valid JSON"),
        ("c.json", b'[{"text": "x"},\n{"text": ]', "line 2: not valid JSON"),
        ("c.json", b'[{"text": "x"}, {"text": 4}]', "record 2: 'text' must be a string"),
        ("c.jsonl", b'{"_id": true, "text": "x"}', "line 1: 'id' must be a string"),
        ("c.jsonl", b'{"text": "x", "n": ' + b"9" * 5000 + b"}", "line 1: not valid JSON"),
        ("c.csv", b"a,b,c\n1,2,3\n", "names no column for a text"),
        ("c.csv", b'id,text\n1,"never closed\n2,x\n', "not a valid table"),
        ("c.csv", b"id,text\n1,x,y\n", "line 2: 3 cells, but 2 columns"),
        ("c.csv", b"id,text\n1,x\n1,y\n", "'1' appears twice"),
        ("c.csv", b"id,text\n1,\xff\n", "line 2: not valid UTF-8"),
        ("c.html", b"<p>a</p>\n\xff", "line 2: not valid UTF-8"),
        ("c.html", b"<script>only</script>", "holds no document"),
        ("c.md.gz", b"plain", "not a whole gzip file"),
    ],
)
def test_bad_files_are_named_with_their_place(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        Corpus(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and len(str(caught.value)) < 500


def test_a_bomb_is_refused_before_it_fills_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "MAX_LINE_BYTES", 1 << 16)
    monkeypatch.setattr(packed, "ALLOWED_BYTES", 1 << 16)
    monkeypatch.setattr(packed, "MAX_WHOLE_BYTES", 1 << 18)
    line = b'{"text": "x"}\n'
    for name, data, message in (
        ("one-line.jsonl.gz", b"x" * (1 << 20), "longer than"),
        ("lines.jsonl.gz", line * (1 << 14), "unpacks to more than 100 times"),
        ("whole.md.gz", b"a " * (1 << 18), "unpacks to more than 100 times"),
        ("whole.json.gz", os.urandom(1 << 19).hex().encode(), "holds more than"),
    ):
        end = gzip.compress(b" ")  # so that the file's last word says nothing of its size
        (tmp_path / name).write_bytes(gzip.compress(data) + end)
        with pytest.raises(InputError, match=message):
            Corpus(tmp_path / name)
    (tmp_path / "line.txt").write_bytes(b"x" * (1 << 17))
    with pytest.raises(InputError, match="line 1: longer than"):
        Corpus(tmp_path / "line.txt")


@pytest.mark.parametrize("part", ["<!--", "<!", "<a ", "<", "</", "<?", "a='", "&#", "<script>", "<a '\">", '<a ">'])
def test_a_page_that_never_ends_takes_no_more_than_its_length(tmp_path, part):
    """By the square of the length each of these takes minutes; the test's own limit is far above what they take."""
    (tmp_path / "page.html").write_text(f"<p>Start</p><a {part * 200_000}")
    assert contents(tmp_path / "page.html")[0][2].startswith("Start")


def test_parquet_needs_its_extra(tmp_path, monkeypatch):
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnavailableError, match=r"pip install 'pocketrank\[parquet\]'"):
        Corpus(tmp_path / "c.parquet")


def test_parquet_is_read_by_batches(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"id": number, "title": None, "text": f"text {number}"} for number in range(600)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "c.parquet")
    assert contents(tmp_path / "c.parquet") == [(str(number), "", f"text {number}") for number in range(600)]
    (tmp_path / "c.parquet").write_bytes((tmp_path / "c.parquet").read_bytes()[:-9])
    with pytest.raises(InputError, match="not a whole Parquet file"):
        Corpus(tmp_path / "c.parquet")
    parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "c.parquet")
    with pytest.raises(InputError, match=r"none of its columns \(a\)"):
        Corpus(tmp_path / "c.parquet")


def test_names_that_are_not_utf8(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    try:
        with open(path, "w") as stream:
            stream.write("Coffee")
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    assert contents(tmp_path) == [("caf\\xe9.txt", "Coffee", "")]
    assert "not UTF-8" in str(Corpus(tmp_path).remarks)
    assert contents(os.fsdecode(path)) == [("1", "", "Coffee")]


@pytest.mark.parametrize("name", ["absent", "file.txt/x", "n" * 300, "a/" * 3000])
def test_paths_that_lead_nowhere(tmp_path, name):
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(InputError, match=r"does not exist|File name too long") as caught:
        Corpus(tmp_path / name)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("queries.txt", "\ufeffone\r\n\r\ntwo\r\n", ["one", "two"]),
        ("queries.JSONL", '{"_id": 1, "contents": "one"}\n{"text": "two"}\n', ["one", "two"]),
        ("queries.json", '[{"text": "one"}, {"text": "two"}]', ["one", "two"]),
        ("queries.csv", "id,text\n1,one\n2,two\n", ["one", "two"]),
        ("queries.tsv", "id\ttext\n1\tone\n2\ttwo\n", ["one", "two"]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_lists_of_texts_are_read_by_the_same_reader(name, data, expected, packed, tmp_path):
    """Queries to measure with, and texts to train on."""
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(data.encode()) if packed else data.encode())
    assert list(read_queries(path).texts) == list(training_texts([str(path)])) == expected


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("queries.md", "one", "is prose"),
        ("queries.xlsx", "one", "cannot be read; make it one of"),
        ("queries.csv", "id,text\n1,one\n2,\n", "lack a text"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(name, data, message, tmp_path):
    (tmp_path / name).write_text(data)
    with pytest.raises(InputError, match=message):
        read_queries(tmp_path / name)

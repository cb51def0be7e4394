"""What can be known before the first stage is refused before it, in one line, and leaves nothing behind."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from builders import small_models
from builders.miniature import write_bare_bundle, write_manifest
from pocketrank.pipeline.preflight import expected_texts
from pocketrank.pipeline.recipe import read_recipe
from pocketrank.pipeline.runner import check_recipe, run_recipe
from pocketrank.runtime.errors import InputError, UnavailableError

BUDGETS = {
    "budget": '[bundle]\nshipped_bytes = "300 KB"',
    "misspelt": '[bundle]\nshiped_bytes = "300 KB"',
    "tiny": '[bundle]\nshipped_bytes = "10 KB"',
    "board": '[device.raspberry-pi-4]\npeak_rss = "20 MB"',
}
RECIPE = """\
corpus = { source = "beir", path = "data" }
teacher = { model = "./teacher", dimension = 16 }
student = { layers = 1, hidden = 32, heads = 2, intermediate = 64, initialise = "teacher" }
vocabulary = { candidates = [512] }
queries = { per_document = 1 }
gate = { budget = "budget.toml" }
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a recipe that is right, and with all that wrong ones name."""
    folder = tmp_path_factory.mktemp("home")
    small_models.make_teacher(folder / "teacher")
    (folder / "data" / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{number}", "text": text} for number, text in enumerate(small_models.sentences(40))]
    queries = [{"_id": f"q{number}", "text": f"bast {number}"} for number in range(8)]
    for name, records in (("corpus", documents), ("queries", queries)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / "data" / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    judged = "".join(f"q{number}\td{number}\t1\n" for number in range(8))
    (folder / "data" / "qrels" / "test.tsv").write_text(judged, encoding="utf-8")
    for name, text in BUDGETS.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    (folder / "r.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "report.json").write_text("{}", encoding="utf-8")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "bird.png").write_bytes(b"bird")
    write_manifest(write_bare_bundle(folder / "last"))
    (folder / "broken").mkdir()
    for name in ("config.json", "model.safetensors", "modules.json"):
        shutil.copy(folder / "teacher" / name, folder / "broken")
    (folder / "broken" / "model.safetensors").write_bytes(b"broken")
    return folder


WRONG = {
    "corpus.path=nowhere": "nowhere' does not exist",
    "corpus.test_split=tets": "(there are: test)",
    "corpus.source=texts corpus.path=pictures": "pictures holds no text",
    "corpus.source=hub corpus.path=a/b": "corpus.revision",
    "corpus.source=pydocs corpus.packages=['nothere']": "'nothere' of corpus.packages is not installed",
    "queries.files=['nofile']": "nofile does not exist",
    "queries.templates=['{verb}']": "queries.templates",
    "vocabulary.size=100000": "table of 3,200,000 bytes (estimated",
    "vocabulary.kind=teacher vocabulary.lowercase=false": "make them the same",
    "vocabulary.kind=teacher cross_encoder.model=./x cross_encoder.use=['embeddings']": 'vocabulary.kind = "teacher"',
    "teacher.model=./nowhere": "there is no such folder",
    "teacher.model=./broken": "is no whole safetensors file",
    "teacher.model=package:gt-no-such": "pip install gt-no-such",
    "teacher.model=a/b": "teacher.revision",
    "teacher.dimension=33": "more than the teacher's own 32",
    "teacher.dimension=300": "needs as many training texts, and there are 2",
    "teacher.dimension=20 queries.max_texts=19": "there are 19 at most",
    "teacher.space=nowhere": "nowhere is no bundle",
    "teacher.space=last": "the space of {home}/last has 24 dimensions; set it to 24",
    "teacher.space=last teacher.dimension=24": "a space of none (40 dimensions, SHA-256 000000000000), and the teacher",
    "teacher.ensemble=[{model='./nowhere'}]": "teacher.ensemble[0].model",
    "cross_encoder.model=./nowhere distill.losses={list_kl=1.0}": "cross_encoder.model",
    "cross_encoder.model=./teacher distill.losses={list_kl=1.0}": "is no cross-encoder",
    "cross_encoder.model=./teacher": "names no list loss",
    "cross_encoder.model=./teacher distill.losses={list_kl=1.0} distill.batch_texts=30": "do not fit into",
    "distill.losses={cosin=1.0}": "did you mean 'cosine'",
    "distill.losses={corpus_kl_documents=1.0}": "about queries alone",
    "distill.losses={margin_mse=1.0}": "there is no cross-encoder",
    "distill.losses={cosine=0.0}": "no loss with a weight above 0",
    "distill.document_share=0.7 distill.judged_share=0.5": "more than 1 together",
    "distill.document_share=0.7 distill.passage_share=0.5": "passage_share = 0.5 are more than 1 together",
    "distill.quantize_aware_steps=9 quantize.target_bytes='1MB'": "quantize_aware_steps needs to know the schemes",
    "student.heads=3": "student.heads",
    "student.table_rank=32": "student.table_rank",
    "student.kind=static student.hidden=64": "wider than the vectors",
    "student.kind=static student.hidden=33 teacher.dimension=0": "wider than the vectors",
    "student.initialise=general student.general=teacher/1_Pooling": "a general student needs it",
    "student.initialise=general student.general=nowhere": "is no folder",
    "quantize.tensors={'layer7.qkv'='int7'}": "did you mean 'layer0.qkv'",
    "quantize.target_bytes='5kB'": "quantize.target_bytes allows 5,000 bytes",
    "export.engine=optimum student.kind=static student.hidden=16": "for a static student",
    "export.engine=optimum quantize.target_bytes='1MB'": "cannot write",
    "evaluate.baselines=['model2vec']": "needs model2vec and skeletoken",
    "benchmark.devices=['raspbery-pi-4']": "did you mean 'raspberry-pi-4'",
    "benchmark.devices=['raspberry-pi-4']": "pocketrank devices --setup qemu",
    "benchmark.devices=['qemu:x86-n100']": "only ARM boards",
    "benchmark.devices=['replay:nofile']": "nofile does not exist",
    "benchmark.devices=['host','host']": "named twice",
    "benchmark.energy=codecarbon": "pip install 'pocketrank[energy]'",
    "gate.budget=nowhere.toml": "nowhere.toml does not exist",
    "gate.budget=misspelt.toml": "did you mean 'shipped_bytes'",
    "gate.budget=board.toml": "benchmark.devices does not name",
    "gate.budget=tiny.toml": "allows 10,000 bytes",
    "gate.baseline=report.json": "report.json",
}
MISSING = {"model2vec", "skeletoken", "codecarbon"}


@pytest.mark.parametrize("overrides", WRONG)
def test_a_wrong_recipe_ends_before_the_first_stage(
    overrides: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where no emulator was set up
    find = importlib.util.find_spec

    def find_spec(name: str, *rest: Any) -> Any:
        return None if name in MISSING else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    out = tmp_path / "out"
    resolved = read_recipe(home / "r.toml", overrides.split())
    with pytest.raises((InputError, UnavailableError)) as refused:
        run_recipe(resolved, out)
    message = str(refused.value)
    assert WRONG[overrides].replace("{home}", str(home)) in message and "\n" not in message
    assert not (out / "stages").exists()
    with pytest.raises(type(refused.value)) as checked:
        list(check_recipe(resolved, tmp_path / "checked"))
    assert str(checked.value) == message.replace(str(out), str(tmp_path / "checked"))
    assert not (tmp_path / "checked").exists()


def test_a_right_recipe_is_checked_and_nothing_written(home: Path, tmp_path: Path) -> None:
    found = dict(check_recipe(read_recipe(home / "r.toml"), tmp_path / "out"))
    assert found["teacher"] == "teacher gives vectors of 32 dimensions"
    assert found["size"].endswith("or more (estimated), at most 300,000")
    assert not list(tmp_path.iterdir())


def test_what_a_run_does_not_reach_is_not_checked(home: Path, tmp_path: Path) -> None:
    resolved = read_recipe(home / "r.toml", ["gate.budget=nowhere.toml", "teacher.model=./nowhere"])
    assert list(run_recipe(resolved, tmp_path, until="queries")) == ["corpus", "queries"]
    names = [name for name, _ in check_recipe(resolved, tmp_path, "queries")]
    assert names == ["folder", "corpus", "vectors", "queries", "new vectors", "coverage"]


def test_a_finished_teacher_is_not_loaded_again(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = read_recipe(home / "r.toml")
    run_recipe(resolved, tmp_path / "out", until="teacher")
    loaded = []
    monkeypatch.setattr("pocketrank.pipeline.preflight.load_teacher", lambda *_: loaded.append(1) or [][0])
    results = run_recipe(resolved, tmp_path / "out", until="teacher")
    assert not loaded and not any(result.fresh for result in results.values())
    with pytest.raises(IndexError):
        run_recipe(resolved, tmp_path / "out", until="teacher", overwrite="stage:teacher")
    assert loaded


def test_too_little_disk_for_the_vectors_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = read_recipe(home / "r.toml")
    texts = expected_texts(resolved.recipe)
    assert texts.most == 41 * 6 + 9 and texts.likely == texts.most + 41  # a line more for files without a last line end
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"needs about [\d,]+ bytes \(estimated\).* has 1,000 free"):
        run_recipe(resolved, tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"):
        list(check_recipe(read_recipe(home / "r.toml"), tmp_path / "file" / "out"))

